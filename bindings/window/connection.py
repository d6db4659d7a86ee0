"""Connection: the way to one world, and the sidecar behind it when we started that. Nothing here waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from inhabit.bridge.client import LiveWorld
from inhabit.bridge.world import WorldInfo

if TYPE_CHECKING:
    from inhabit.bridge.supervisor import Supervisor

JOIN_TIMEOUT_S = 10.0
"""How long a sidecar that should run already may take to answer at all, s."""

START_TIMEOUT_S = 60.0
"""How long a sidecar that was just started may take to answer at all, s. Loading a world may take longer."""

State = Literal["loading", "running", "paused", "failed", "lost"]
_STATES: dict[str, State] = {
    "connecting": "loading", "loading": "loading", "ready": "loading", "running": "running", "paused": "paused",
    "failed": "failed", "lost": "lost", "closed": "lost",
}  # fmt: skip


class Connection:
    """Opens a world, notices when it is lost and, with a sidecar of its own, mends that."""

    def __init__(self, name: str, *, endpoint: str = "", supervisor: Supervisor | None = None):
        """Describe a connection; start() begins it.

        Args:
            name: what people call the world.
            endpoint: of a sidecar that runs already.
            supervisor: of a sidecar that this connection starts, watches and stops. Either this or `endpoint`.
        """
        self.name = name
        self.live: LiveWorld | None = None
        """The client; None while there is no sidecar to talk to yet."""

        self.info: WorldInfo | None = None
        """What the world is; None until it has said so."""

        self._endpoint = endpoint
        self._supervisor = supervisor

    @property
    def state(self) -> State:
        """What people are told: a world that is not there yet is loading."""
        return _STATES[self.live.state] if self.live else "loading"

    @property
    def reason(self) -> str:
        """Why it is so, or why the last request was refused."""
        return self.live.reason if self.live else ""

    @property
    def mending(self) -> bool:
        """True while a lost sidecar is being started again."""
        return False

    def start(self) -> None:
        """Begin to open the world; turn() carries it on."""
        if self._supervisor:
            self._supervisor.start()
        else:
            self._open(self._endpoint, JOIN_TIMEOUT_S)

    def turn(self) -> bool:
        """Follow what the sidecar does. Returns True when a new session with it has begun."""
        if self.live and self.info is None and self.live.state in ("ready", "running", "paused"):
            self.info = self.live.info
        return False

    def retry(self) -> None:
        """Try again with a world that is lost or has failed."""
        if self.live:
            self.live.reconnect()

    def close(self) -> None:
        """Leave the world, and stop the sidecar if it is ours."""
        if self.live:
            self.live.close()
        if self._supervisor:
            self._supervisor.stop()

    def _open(self, endpoint: str, timeout_s: float) -> None:
        if self.live:
            self.live.reconnect(endpoint)
        else:
            self.live = LiveWorld(endpoint, client="inhabit play", timeout_s=timeout_s)
