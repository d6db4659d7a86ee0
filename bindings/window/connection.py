"""Link: the connection to one world, and the sidecar behind it when we started that. Nothing here waits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.frames import Frame
from inhabit.bridge.world import WorldInfo


class Live(Protocol):
    """What the window needs of `inhabit.bridge.client.LiveWorld`."""

    @property
    def info(self) -> WorldInfo: ...
    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str: ...
    def send(self, controls: Controls) -> int: ...
    def poll(self, timeout_s: float = 0.0) -> Frame | None: ...
    def reset(self, seed: int | None = None) -> Any: ...
    def pause(self) -> Any: ...
    def resume(self) -> Any: ...
    def configure(self, **settings: Any) -> Any: ...
    def reconnect(self, endpoint: str | None = None) -> Any: ...
    def close(self) -> Any: ...


class Sidecar(Protocol):
    """What the window needs of `inhabit.bridge.supervisor.Supervisor`."""

    @property
    def endpoint(self) -> str: ...
    def start(self) -> Any: ...
    def poll(self) -> Any: ...
    def stop(self) -> Any: ...


class Link:
    """Opens a world in the background, notices when it is lost and, with a sidecar of its own, mends that.

    Phases: idle -> starting -> up, then up -> mending -> up for ever; down when opening failed, until retry().
    """

    def __init__(
        self, name: str, *, connect: Callable[[str], Live], endpoint: str = "", sidecar: Sidecar | None = None
    ):
        """Describe a connection; start() begins it.

        Args:
            name: what people call the world.
            connect: makes a client for an endpoint; it may take its time, it runs beside the window.
            endpoint: of a sidecar that runs already.
            sidecar: one that this link starts, watches and stops. Either this or `endpoint`.
        """
        self.name = name
        self.phase = "idle"
        self._reason = ""
        self._live: Live | None = None
        self._connect = connect
        self._endpoint = endpoint
        self._sidecar = sidecar
        self._work: Future[Any] | None = None
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"link to {name}")
