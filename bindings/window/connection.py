"""Connection: the way to one world, and the sidecar behind it when we started that. Nothing here waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from inhabit.bridge.client import LiveWorld
from inhabit.bridge.frames import Frame
from inhabit.bridge.pacing import NS_PER_MS
from inhabit.bridge.supervisor import Supervisor, SupervisorStatus
from inhabit.bridge.world import WorldInfo

JOIN_TIMEOUT_S = 10.0
"""How long a sidecar that should run already may take to answer at all, s."""

START_TIMEOUT_S = 60.0
"""How long a sidecar that was just started may take to answer at all, s. Loading a world may take longer."""

WATCH_EVERY_NS = 50 * NS_PER_MS
RECONNECT_EVERY_NS = 1000 * NS_PER_MS
"""A session that is lost although its sidecar lives is begun anew, at most this often."""

State = Literal["loading", "running", "paused", "failed", "lost"]
_STATES: dict[str, State] = {
    "connecting": "loading", "loading": "loading", "ready": "loading", "running": "running", "paused": "paused",
    "failed": "failed", "lost": "lost", "closed": "lost",
}  # fmt: skip


class Connection:
    """Opens a world, notices when it is lost and, with a sidecar of its own, mends that."""

    def __init__(
        self,
        name: str,
        *,
        endpoint: str = "",
        supervisor: Supervisor | None = None,
        options: Mapping[str, Any] | None = None,
    ):
        """Describe a connection; start() begins it.

        Args:
            name: what people call the world.
            endpoint: of a sidecar that runs already.
            supervisor: of a sidecar that this connection starts, watches and stops. Either this or `endpoint`.
            options: what every episode begins with, as World.reset() takes them, such as {"image": bytes}.
        """
        self.name = name
        self.live: LiveWorld | None = None
        """The client; None while there is no sidecar to talk to yet."""

        self.info: WorldInfo | None = None
        """What the world is; None until it has said so."""

        self._options = dict(options or {})
        self._refused = ""
        self._endpoint = endpoint
        self._supervisor = supervisor
        self._status: SupervisorStatus | None = None
        self._watched_ns = self._reconnected_ns = 0

    @property
    def state(self) -> State:
        """What people are told: a world that is not there yet is loading."""
        if self._sidecar_state or not self.live:
            return self._sidecar_state or "loading"
        return "failed" if self._refused and self.live.state == "ready" else _STATES[self.live.state]

    @property
    def reason(self) -> str:
        """Why it is so, or why the last request was refused."""
        if self._sidecar_state and self._status:
            return self._status.reason.removeprefix("inhabit: ")
        return (self._refused or self.live.reason) if self.live else ""

    @property
    def mending(self) -> bool:
        """True while somebody sees to it that a lost sidecar comes back."""
        return self._status is not None and self._status.state != "failed"

    def start(self) -> None:
        """Begin to open the world; turn() carries it on."""
        if self._supervisor:
            self._supervisor.start()
        else:
            self._open(self._endpoint, JOIN_TIMEOUT_S)

    def turn(self, now_ns: int) -> bool:
        """Follow what the sidecar does. Returns True when a new session with it has begun."""
        begun = False
        if self._supervisor and not self._unmade and now_ns - self._watched_ns >= WATCH_EVERY_NS:
            self._watched_ns = now_ns
            self._status = self._supervisor.poll()
            begun = self._follow(self._status, now_ns)
        self._learn_info()
        return begun

    def poll(self, timeout_s: float) -> Frame | None:
        """Take the newest frame, waiting for it at most `timeout_s`; what the world is, is known before its first."""
        frame = self.live.poll(timeout_s) if self.live else None
        if self.live and self.live.state == "ready" and (effect := self.live.effect(self.live.beginning)):
            self._refused = effect.refused  # the world will not begin as it was asked to
        elif frame:
            self._refused = ""
        self._learn_info()
        return frame

    def reset(self) -> None:
        """Begin again."""
        if self.live:
            self.live.reset(options=self._options)

    def retry(self) -> None:
        """Try again with a world that is lost or has failed."""
        given_up = self._status is not None and self._status.state == "failed"
        if self._supervisor and (given_up or self._unmade):
            self._supervisor.stop()
            self._supervisor.start()
            self._status, self._endpoint = self._supervisor.poll(), ""
            if self._unmade and self.live:
                self.live.close()
                self.live = None
        elif self.live and not self._sidecar_state:
            self.live.reconnect()

    def close(self) -> None:
        """Leave the world, and stop the sidecar if it is ours."""
        if self.live:
            self.live.close()
        if self._supervisor:
            self._supervisor.stop()

    def _learn_info(self) -> None:
        if self.live and self.info is None and self.live.state in ("ready", "running", "paused"):
            self.info = self.live.info  # it is known in these states; in others it would be waited for

    @property
    def _unmade(self) -> bool:
        """The sidecar could not make its world at all: starting it again by itself would only fail again."""
        return self.info is None and self.live is not None and self.live.state == "failed"

    @property
    def _sidecar_state(self) -> State | None:
        """What the sidecar's process decides; None when the session has the say."""
        if self._unmade:
            return None
        match self._status:
            case SupervisorStatus(state="failed"):
                return "failed"
            case SupervisorStatus(state="ending" | "waiting"):
                return "lost"
            case SupervisorStatus(state="starting", restarts=restarts):
                return "lost" if restarts else "loading"
        return None

    def _follow(self, status: SupervisorStatus, now_ns: int) -> bool:
        if not status.endpoint:
            return False
        if status.endpoint != self._endpoint:
            self._endpoint = status.endpoint
            self._open(status.endpoint, START_TIMEOUT_S)
            return True
        lost = self.live is not None and self.live.state in ("lost", "closed")
        if lost and status.state == "running" and now_ns - self._reconnected_ns >= RECONNECT_EVERY_NS:
            self._reconnected_ns = now_ns
            self._open(status.endpoint, START_TIMEOUT_S)
            return True
        return False

    def _open(self, endpoint: str, timeout_s: float) -> None:
        if self.live:
            self.live.reconnect(endpoint)
        else:
            self.live = LiveWorld(endpoint, client="inhabit play", timeout_s=timeout_s, options=self._options)
