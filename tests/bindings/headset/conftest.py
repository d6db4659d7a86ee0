"""Monado for tests: a real OpenXR runtime, and its driver that lets a program be the head and the hands.

The driver's packets are `struct r_remote_data` of Monado 25.0.0, src/xrt/drivers/remote/r_interface.h: 376 bytes.
"""

from __future__ import annotations

import json
import shutil
import socket
import struct
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

HEADER = b"mndrmt3\0"
PACKET_BYTES = 376
IDENTITY = (0.0, 0.0, 0.0, 1.0)
BUTTONS = (
    "hand_tracking", "active", "system_click", "system_touch", "a_click", "a_touch", "b_click", "b_touch",
    "trigger_click", "trigger_touch", "thumbstick_click", "thumbstick_touch", "trackpad_touch",
)  # fmt: skip


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


def remote_monado(display: str = "") -> tuple[Any, int]:
    """A service whose head and hands are a program, and the port at which it listens to that."""
    from inhabit.bindings.headset.monado import Monado

    port = free_port()
    config = json.dumps({"remote": {"version": 0, "port": port, "view_count": 2}})
    return Monado(display=display, devices={"P_OVERRIDE_ACTIVE_CONFIG": "remote"}, config=config), port


def needs_monado() -> None:
    """Skip the test where there is no OpenXR runtime, with the reason."""
    pytest.importorskip("xr", reason="pyopenxr is not installed")
    from inhabit.bindings.headset.monado import monado_missing

    if reason := monado_missing():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_monado():
    needs_monado()
    service, port = remote_monado()
    yield service, port
    service.close()


@pytest.fixture
def monado(shared_monado, monkeypatch):
    """A running runtime with nobody in it; OpenXR programs of this process and its children find it."""
    use(shared_monado[0], monkeypatch)
    return shared_monado[0]


@pytest.fixture
def mortal_monado(monkeypatch):
    """A runtime of one test's own, to be killed."""
    needs_monado()
    service, port = remote_monado()
    use(service, monkeypatch)
    yield service, lambda: Body(port)
    service.close()


@pytest.fixture
def body(monado, shared_monado):
    """The head and the hands, at rest."""
    body = Body(shared_monado[1])
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
    service, port = remote_monado(display)
    yield service, display, lambda: Body(port)
    service.close()
    server.terminate()
    server.wait(10)


def use(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    monkeypatch.setenv("PYGAME_HIDE_SUPPORT_PROMPT", "1")
