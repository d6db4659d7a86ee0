"""A sidecar, its clients and time itself in one thread: what happens when is up to the test."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from inhabit.bridge.client import LiveWorld, RemoteWorld
from inhabit.bridge.fields import Limits
from inhabit.bridge.loopback import Loopback
from inhabit.bridge.server import Server
from inhabit.bridge.sidecar import Sidecar
from inhabit.bridge.toy import ToyWorld
from inhabit.bridge.world import World

MS = 1_000_000


class FakeClock:
    """Monotonic nanoseconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000 * MS

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, ms: float) -> None:
        self.now_ns += round(ms * MS)


class Stage:
    """A sidecar on a loopback transport and a fake clock."""

    def __init__(
        self, make_world: Callable[[], World], *, max_sessions: int = 4, limits: Limits | None = None, **options: Any
    ):
        self.clock = FakeClock()
        self.hub = Loopback(on_wait=lambda timeout_s: self.run(1))
        self.sidecar = Sidecar(make_world, max_sessions=max_sessions, limits=limits, clock=self.clock, **options)
        self.sidecar.prepare()
        self.hanging = False
        """The threads of the worlds stand still."""

    def turn(self) -> None:
        """Let the sidecar do everything that it can do now."""
        while (arrival := self.hub.server.receive()) is not None:
            self.sidecar.receive(arrival.route, arrival.parts, self.clock())
        if not self.hanging:
            for seat in self.sidecar.seats:
                while seat.turn():
                    pass
        for outgoing in self.sidecar.outgoing(self.clock()):
            if self.hub.server.send(outgoing.route, outgoing.parts) == "gone":
                self.sidecar.gone(outgoing.route, self.clock())

    def run(self, ms: int, *clients: LiveWorld) -> None:
        """Let time pass, 1 ms at a time; the clients poll meanwhile."""
        for _ in range(ms):
            self.clock.advance(1)
            self.turn()
            for client in clients:
                client.poll()

    def live(self, **options: object) -> LiveWorld:
        return LiveWorld("loopback", connect=lambda endpoint: self.hub.connect(), clock=self.clock, **options)  # type: ignore[arg-type]

    def remote(self, **options: object) -> RemoteWorld:
        return RemoteWorld("loopback", connect=lambda endpoint: self.hub.connect(), clock=self.clock, **options)  # type: ignore[arg-type]


@pytest.fixture
def stage() -> Stage:
    return Stage(ToyWorld)


@pytest.fixture
def make_stage() -> Callable[..., Stage]:
    return Stage


@pytest.fixture
def served() -> Iterator[Server]:
    """Toy worlds behind real sockets."""
    with Server(ToyWorld) as server:
        yield server


def _neighbour(name: str) -> ModuleType:
    """A module beside this file, however pytest was started."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def proxied() -> Iterator[Callable[[str], Any]]:
    """Puts a proxy that can stall, cut and narrow before an endpoint."""
    proxies = []

    def put(endpoint: str) -> Any:
        proxies.append(_neighbour("chaos").Proxy(endpoint))
        return proxies[-1]

    yield put
    for proxy in proxies:
        proxy.close()


@pytest.fixture
def faulty() -> tuple[str, str]:
    """The program whose worlds break on purpose, for a Supervisor."""
    return (sys.executable, str(Path(__file__).with_name("faulty_sidecar.py")))


@pytest.fixture(scope="session")
def simulation() -> Any:
    """The class Simulation of simulation.py."""
    return _neighbour("simulation").Simulation
