"""A world and a connection that live in the test's own process, so that the loop can be turned by hand."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inhabit.bridge.client import Effect
from inhabit.bridge.controls import IDLE, Controls
from inhabit.bridge.errors import LocalProtocolError
from inhabit.bridge.frames import Frame, Stamps
from inhabit.bridge.supervisor import Supervisor
from inhabit.bridge.toy import ToyWorld

BUILD_FOLDER = Path(__file__).parents[2] / "build" / "c"
"""What was built from the same C sources once is not built again."""

FRAME_NS = 33_000_000


class FakeClock:
    """Time that moves only when the test says so."""

    def __init__(self):
        self.now_ns = 1_000_000_000

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


class FakeLive:
    """The methods of LiveWorld over a toy world: one frame for each poll while it runs."""

    def __init__(self, clock: FakeClock):
        self.world = ToyWorld()
        self.info = self.world.info
        self.state, self.reason = "running", ""
        self.sent: list[Controls] = []
        self.calls: list[str] = []
        self._clock = clock
        self._sequence = self._epoch = self._sent_ns = 0
        self._pressed: frozenset[str] = frozenset()
        self._frame = self.world.reset(seed=1)
        self.restored: str | None = None
        """What comes of restore(): "" or a refusal; None is no answer yet."""

    def send(self, controls: Controls) -> int:
        self.sent.append(controls)
        self._pressed |= controls.pressed
        self._sequence, self._sent_ns = self._sequence + 1, self._clock()
        return self._sequence

    def poll(self, timeout_s: float = 0.0) -> Frame | None:
        self._clock.advance(max(timeout_s, 0.001))
        if self.state != "running":
            return None
        held = self.sent[-1] if self.sent else IDLE
        self._frame = self.world.step(replace(held, pressed=self._pressed))
        self._pressed = frozenset()
        self._clock.advance(0.033)
        stamps = Stamps(client_input_ns=self._sent_ns, client_arrived_ns=self._clock())
        return replace(self._frame, answers=self._sequence, epoch=self._epoch, stamps=stamps)

    def reset(self, seed: int | None = None, *, options=None) -> None:
        self.calls.append("reset")
        self._epoch += 1
        self.world.reset(seed=seed)

    def save(self) -> int:
        self.calls.append("save")
        return 7

    def restore(self, state: bytes) -> int:
        self.calls.append(f"restore {state!r}")
        return 8

    def effect(self, request: int) -> Effect | None:
        if request == 8:
            return None if self.restored is None else Effect(refused=self.restored)
        return Effect(state=b"moment") if request == 7 else None

    def pause(self) -> None:
        self.calls.append("pause")
        self.state = "paused"

    def resume(self) -> None:
        self.calls.append("resume")
        self.state = "running"

    def configure(self, **settings) -> None:
        if settings.get("steps") == 4:
            raise LocalProtocolError("Expected fewer steps, got 4")
        self.calls.append(f"steps={settings['steps']}")

    def close(self) -> None:
        self.calls.append("close")


class FakeConnection:
    """A connection that is up at once; `lose` and `retry` break and mend it."""

    def __init__(self, clock: FakeClock):
        self.name = "toy"
        self.live = FakeLive(clock)
        self.info = self.live.info
        self.reason, self.mending = "", False
        self.retried = 0

    @property
    def state(self) -> str:
        return self.live.state

    def start(self) -> None: ...

    def reset(self) -> None:
        self.live.reset()

    def turn(self, now_ns: int) -> bool:
        return False

    def poll(self, timeout_s: float) -> Frame | None:
        return self.live.poll(timeout_s)

    def lose(self, reason: str, *, mending: bool) -> None:
        self.live.state, self.reason, self.mending = "lost", reason, mending

    def retry(self) -> None:
        self.retried += 1
        self.live.state, self.reason, self.mending = "running", "", False

    def close(self) -> None:
        self.live.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def fake_connection(clock):
    return FakeConnection(clock)


@pytest.fixture
def dummy_display(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")


@pytest.fixture(scope="session")
def env_pack(tmp_path_factory) -> Path:
    """A small untrained pack on disk: a 64x64 world with three buttons in which episodes are short."""
    torch = pytest.importorskip("torch")
    from inhabit.bridge.controls import ActionMap, ActionSource
    from inhabit.bridge.world import WorldInfo
    from inhabit.worldmodel.omni.autoencoder import Autoencoder, AutoencoderConfig
    from inhabit.worldmodel.omni.block import DynamicsConfig
    from inhabit.worldmodel.omni.dynamics import Dynamics
    from inhabit.worldmodel.omni.transformer import TransformerConfig
    from inhabit.worldmodel.pack import Pack, Starts, WorldFile, save_pack

    torch.manual_seed(0)
    codec = AutoencoderConfig(latent_channels=8, widths=(8, 16, 16), blocks=(1, 1, 1))
    sizes = TransformerConfig(width=32, layers=4, heads=2, hidden=48, time_every=2, context=6)
    dynamics = DynamicsConfig(transformer=sizes, latent_channels=8, grid=(4, 4), actions=3)
    buttons = tuple(ActionSource(name=name) for name in ("LEFT", "RIGHT", "FIRE"))
    info = WorldInfo(
        name="small", width=64, height=64, rate_hz=20.0, steps=(1, 2, 4), actions=ActionMap(sources=buttons)
    )
    networks = Autoencoder(codec), Dynamics(dynamics)
    for network in networks:
        for weight in network.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.1 if weight.ndim == 2 else 0.02)
    file = WorldFile(info=info, source="test", autoencoder=codec, dynamics=dynamics)
    starts = Starts(latents=torch.randn(4, 5, 8, 4, 4).half(), actions=torch.zeros(4, 5, 3))
    folder = tmp_path_factory.mktemp("packs") / "small"
    save_pack(Pack(file=file, autoencoder=networks[0], dynamics=networks[1], starts=starts), folder)
    return folder


# ------------------------------------------------------------------------------------------------------- the C client


@pytest.fixture(scope="session")
def c_module():
    """The functions and types of inhabit.h (`.lib`, `.ffi`), built from the sources of the C client."""
    from inhabit.bindings.c import build

    if reason := build.missing_tools(python=True):
        pytest.skip(reason)
    return build.module(BUILD_FOLDER, sanitize="INHABIT_C_SANITIZE" in os.environ)


@pytest.fixture(scope="session")
def toy_endpoint():
    """Where a real sidecar with the toy world listens."""
    with Supervisor(["serve", "toy", "--max-sessions", "8"]) as sidecar:
        yield sidecar.wait_until_listening()


class CClient:
    """A client of inhabit.h as a test wants it: structs made, buffers of the right size, arrays out."""

    def __init__(self, module, endpoint: str, **options):
        self.lib, self.ffi = module.lib, module.ffi
        self.said = self.ffi.new("inhabit_options *", {"struct_size": self.ffi.sizeof("inhabit_options"), **options})
        self.handle_at = self.ffi.new("inhabit_client *")
        self.opened = self.lib.inhabit_open(endpoint.encode(), self.said, self.handle_at)
        self.handle = self.handle_at[0]
        self.buffer = np.zeros(0, np.uint8)
        self.frame = self.struct("inhabit_frame")
        self.bytes_each = 4 if options.get("flags", 0) & 1 else 3

    def struct(self, name: str):
        return self.ffi.new(f"{name} *", {"struct_size": self.ffi.sizeof(name)})

    def call(self, name: str, *arguments):
        return getattr(self.lib, f"inhabit_{name}")(self.handle, *arguments)

    def error(self) -> str:
        return self.text(self.lib.inhabit_last_error())

    def text(self, chars) -> str:
        return self.ffi.string(chars).decode()

    def ready(self):
        """Wait for the world and make a buffer for its frames. Returns what world it is."""
        assert self.call("wait", 20_000) == 0, self.error()
        world = self.struct("inhabit_world")
        assert self.call("describe_world", world) == 0, self.error()
        self.buffer = np.zeros(world.bytes, np.uint8)
        return world

    def pixels(self) -> np.ndarray:
        return self.buffer.reshape(self.frame.height, self.frame.width, self.bytes_each).copy()

    def room(self):
        return self.ffi.from_buffer("uint8_t[]", self.buffer), self.buffer.size, self.frame

    def step(self) -> np.ndarray:
        assert self.call("step", *self.room()) == 0, self.error()
        return self.pixels()

    def reset(self, seed: int = 7) -> np.ndarray:
        assert self.call("reset", seed, *self.room()) == 0, self.error()
        return self.pixels()

    def poll(self, timeout_ms: int = 2000) -> np.ndarray:
        result = self.call("poll", *self.room(), timeout_ms)
        assert result == 1, self.error()
        return self.pixels()

    def status(self):
        status = self.struct("inhabit_status")
        assert self.call("get_status", status) == 0, self.error()
        return status

    def answer(self, request: int):
        answer = self.struct("inhabit_answer")
        deadline = time.monotonic() + 10
        while (result := self.call("get_answer", request, answer)) == 0 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert result == 1, self.error()
        return answer


@pytest.fixture
def open_c(c_module):
    """Opens clients of the C interface and closes them after the test."""
    clients = []

    def open_one(endpoint: str, **options) -> CClient:
        clients.append(CClient(c_module, endpoint, **options))
        return clients[-1]

    yield open_one
    for client in clients:
        client.call("close")
