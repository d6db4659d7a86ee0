"""Monado for tests: a real OpenXR runtime, and its driver that lets a program be the head and the hands.

The driver's packets are `struct r_remote_data` of Monado 25.0.0, src/xrt/drivers/remote/r_interface.h: 376 bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

VERSION = "25.0.0"
HEADER = b"mndrmt3\0"
PACKET_BYTES = 376
IDENTITY = (0.0, 0.0, 0.0, 1.0)
BUTTONS = (
    "hand_tracking", "active", "system_click", "system_touch", "a_click", "a_touch", "b_click", "b_touch",
    "trigger_click", "trigger_touch", "thumbstick_click", "thumbstick_touch", "trackpad_touch",
)  # fmt: skip


def folder() -> Path:
    """Where scripts/monado builds it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("INHABIT_MONADO") or cache / "inhabit" / f"monado-{VERSION}")


def missing() -> str:
    """Why there is no Monado here; "" when there is."""
    service = folder() / "bin" / "monado-service"
    return "" if service.is_file() else f"Monado is not at {folder()}: run scripts/monado"


@dataclass
class Hand:
    """One Index-like controller."""

    orientation: tuple[float, ...] = IDENTITY
    position: tuple[float, ...] = (0.0, 1.3, -0.5)
    trigger: float = 0.0
    squeeze: float = 0.0
    stick: tuple[float, float] = (0.0, 0.0)
    buttons: set[str] = field(default_factory=lambda: {"active"})

    def packet(self) -> bytes:
        curls, motion = (0.0,) * 5, (0.0,) * 6
        analog = (self.trigger, self.squeeze, 0.0, *self.stick, 0.0, 0.0, 0.0)
        return struct.pack(
            "<4f3f6f5f8f13?3x", *self.orientation, *self.position, *motion, *curls, *analog,
            *(name in self.buttons for name in BUTTONS),
        )  # fmt: skip


class Body:
    """The head and the hands of Monado's remote driver."""

    def __init__(self, port: int):
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self.orientation, self.position = IDENTITY, (0.0, 1.6, 0.0)
        self.left, self.right = Hand(), Hand()
        for _ in range(2):  # the driver's own reset pose and its present one
            self._receive()

    def send(self) -> None:
        """Let the runtime have what is set here."""
        eyes = struct.pack("<4f4f3fI", 0, 0, 0, 0, *IDENTITY, 0, 0, 0, 0) * 2
        head = struct.pack("<4f3f?3x", *self.orientation, *self.position, False)
        packet = HEADER + eyes + head + self.left.packet() + self.right.packet()
        assert len(packet) == PACKET_BYTES
        self._socket.sendall(packet)

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bytes:
        data = b""
        while len(data) < PACKET_BYTES:
            data += self._socket.recv(PACKET_BYTES - len(data))
        return data


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Monado:
    """A service of its own, with a runtime folder of its own.

    Args:
        display: an X display to compose on, such as ":87"; "" takes the compositor that shows nothing.
        remote: let a program be the head and the hands; else a simulated head wobbles.
    """

    def __init__(self, *, display: str = "", remote: bool = True, scale: int = 50):
        self._home = Path(tempfile.mkdtemp(prefix="inhabit-monado-"))
        run = self._home / "run"
        run.mkdir(mode=0o700)
        self.port = free_port()
        self.environment: Mapping[str, str] = {
            "XDG_RUNTIME_DIR": str(run),
            "XR_RUNTIME_JSON": str(folder() / "share" / "openxr" / "1" / "openxr_monado.json"),
            "OXR_NO_PRINTING": "1",
        }
        own = {"HOME": str(self._home), "XDG_CONFIG_HOME": str(self._home), "XRT_NO_STDIN": "1"}
        if remote:
            settings = {"remote": {"version": 0, "port": self.port, "view_count": 2}}
            (self._home / "monado").mkdir()
            (self._home / "monado" / "config_v0.json").write_text(json.dumps(settings))
            own["P_OVERRIDE_ACTIVE_CONFIG"] = "remote"
        else:
            own |= {"SIMULATED_ENABLE": "1", "SIMULATED_LEFT": "simple", "SIMULATED_RIGHT": "simple"}
        if display:
            own |= {"DISPLAY": display, "XRT_COMPOSITOR_FORCE_XCB": "1", "XRT_COMPOSITOR_SCALE_PERCENTAGE": str(scale)}
        else:
            own["XRT_COMPOSITOR_NULL"] = "1"
        self.log = self._home / "log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [folder() / "bin" / "monado-service"], env={**os.environ, **self.environment, **own}, stdout=log,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self._wait(run / "monado_comp_ipc")

    def body(self) -> Body:
        """Be the head and the hands."""
        return Body(self.port)

    def kill(self) -> None:
        """Let it die at once, as a crash would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def close(self) -> None:
        """End it and remove what it left."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        shutil.rmtree(self._home, ignore_errors=True)

    def _wait(self, socket_path: Path) -> None:
        until = time.monotonic() + 30
        while not socket_path.exists():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"Monado did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)
        time.sleep(0.3)  # it listens a moment after the socket is there


def needs_monado() -> None:
    """Skip the test where there is no OpenXR runtime, with the reason."""
    pytest.importorskip("xr", reason="pyopenxr is not installed")
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_monado():
    needs_monado()
    service = Monado()
    yield service
    service.close()


@pytest.fixture
def monado(shared_monado, monkeypatch):
    """A running runtime with nobody in it; OpenXR programs of this process and its children find it."""
    use(shared_monado, monkeypatch)
    return shared_monado


@pytest.fixture
def mortal_monado(monkeypatch):
    """A runtime of one test's own, to be killed."""
    needs_monado()
    service = Monado()
    use(service, monkeypatch)
    yield service
    service.close()


@pytest.fixture
def body(monado):
    """The head and the hands, at rest."""
    body = monado.body()
    body.send()
    yield body
    body.close()


@pytest.fixture(scope="session")
def composed_monado():
    """A runtime that composes what is shown into an X window of a display of its own."""
    needs_monado()
    if not (shutil.which("Xvfb")):
        pytest.skip("Xvfb is missing")
    display = ":86"
    server = subprocess.Popen(
        ["Xvfb", display, "-screen", "0", "1280x720x24", "-nolisten", "tcp"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until = time.monotonic() + 10
    while not Path("/tmp/.X11-unix/X86").exists() and time.monotonic() < until:
        time.sleep(0.05)
    service = Monado(display=display)
    yield service, display
    service.close()
    server.terminate()
    server.wait(10)


def use(service: Monado, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    monkeypatch.setenv("PYGAME_HIDE_SUPPORT_PROMPT", "1")
