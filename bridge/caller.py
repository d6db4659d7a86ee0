"""The client of a session as the server sees it: who it is, its connections, what it is told, when it is gone.

Sans-I/O, as session.py, which adds the world: what the client asks of it and what comes of that.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import msgspec

from inhabit.bridge import messages as wire
from inhabit.bridge.codec import Packet
from inhabit.bridge.fields import Limits, Mode, Role
from inhabit.bridge.messages import Message, clip_text
from inhabit.bridge.order import SessionState
from inhabit.bridge.pacing import NS_PER_MS
from inhabit.bridge.world import WorldInfo

BAD_MESSAGES_MAX = 32
"""Bad messages after which a session is closed."""

RECONNECT_NS = 1_400 * NS_PER_MS
"""A session whose connection broke keeps its place this long; then a snapshot is all that is left of it."""

WANTED_NS = 1_900 * NS_PER_MS
"""A silent session keeps its place this long while others wait for one."""


@dataclass(slots=True)
class Routes:
    """Where a session's messages go: opaque names that the transport gave to its connections."""

    ctl: Hashable | None = None
    vid: Hashable | None = None


class Caller:
    """One client, by whichever connections."""

    def __init__(self, hello: wire.Hello, *, identity: bytes, secret: bytes, boot: bytes, limits: Limits, now_ns: int):
        self.client = hello.client
        self.role: Role = hello.role
        self.user = ""
        """The public key that it came with; "" where keys are not asked for."""

        self.begun_ns = now_ns
        self.wants_key = False
        """The next encoded picture shall stand alone."""

        self.ring_offered = self.ring_attached = False
        self.wants_list = False
        """LIST waits for its answer."""

        self.takes = frozenset(hello.takes)
        """Optional parts of the protocol that the client understands."""

        self.mode: Mode = hello.mode
        self.identity, self._secret, self._boot, self._limits = identity, secret, boot, limits
        self.state: SessionState = "loading"
        self.reason = ""
        self.epoch = 0
        self.routes = Routes()
        self.parting = ""
        """Why the session is about to end for want of a client: its world is saved first."""

        self._resumed = ""
        self._greeted = False
        self._told: SessionState | None = None
        self._info: WorldInfo | None = None
        self._outbox: deque[Packet] = deque(maxlen=256)
        self._heard_ns, self._gone_ns = now_ns, now_ns
        self._beat_due_ns, self._tick, self._busy_ms = now_ns, -1, 0
        self._made = self._bad = 0

    @property
    def late(self) -> int:
        """Ticks left out because the world was too slow."""
        return 0

    def owns(self, secret: bytes) -> bool:
        """Does this secret open this session? Compared in constant time."""
        return self.state != "closed" and hmac.compare_digest(secret, self._secret)

    def attach(self, hello: wire.Hello, route: Hashable, now_ns: int) -> None:
        """Bind a connection to this session; a newer one takes the place of an older one of the same channel."""
        self._heard_ns = now_ns
        if hello.channel == "vid":
            self.routes.vid = route
            self.wants_key = True
            self._say_state()
        else:
            if self._greeted:
                self._resumed = "live"
                self.ring_offered = self.ring_attached = False
                self.routes.vid = None  # it may be as dead as the connection before; a living one says HELLO again
            self.routes.ctl = route
            self._greet()

    def detach(self, route: Hashable, now_ns: int) -> None:
        """A connection is gone."""
        if route == self.routes.vid:
            self.routes.vid = None
            self._say_state()
        elif route == self.routes.ctl:
            self.routes.ctl, self._gone_ns = None, now_ns
            self._outbox.clear()

    @property
    def info(self) -> WorldInfo | None:
        """What world it is; None until it is there."""
        return self._info

    def offer_ring(self, ring: wire.Ring) -> None:
        """Tell the client of memory that it may read frames from."""
        self.ring_offered = True
        self._say(ring)

    def bad_message(self, code: str, text: str) -> None:
        """Something arrived that is no message. Too many of them end the session."""
        self._bad += 1
        self._error(code, text)
        if self._bad >= BAD_MESSAGES_MAX:
            self.close(f"{self._bad} bad messages")

    def outgoing(self) -> list[Packet]:
        """Everything that shall go out on `ctl`, oldest first."""
        packets = list(self._outbox)
        self._outbox.clear()
        return packets

    def beat(self, tick: int, busy_ms: int, now_ns: int) -> None:
        """Say STATE if it is due and the world's thread has moved. `busy_ms`: it is at something that may take long."""
        if now_ns < self._beat_due_ns or (tick == self._tick and not busy_ms):
            return
        self._beat_due_ns = now_ns + self._limits.beat_ms * NS_PER_MS
        self._tick, self._busy_ms = tick, busy_ms
        self._say_state()

    def expired(self, now_ns: int, *, wanted: bool = False) -> str | None:
        """Why this session is over for want of a client, None while it is not. `wanted`: others wait for its place."""
        if self.routes.ctl is None and now_ns - self._gone_ns > RECONNECT_NS:
            return "the connection broke and did not come back"
        silent_ms = (now_ns - self._heard_ns) // NS_PER_MS
        lease_ms = min(self._limits.lease_ms, WANTED_NS // NS_PER_MS) if wanted else self._limits.lease_ms
        if self.mode != "lockstep" and 0 < lease_ms < silent_ms:
            return f"no message for {silent_ms / 1000:.1f} s"
        return None

    def close(self, reason: str) -> None:
        """End the session from this side."""
        if self.state != "closed":
            self.reason = clip_text(reason)
            self.state = "closed"
            self._say(wire.Bye(reason=self.reason))

    def _go(self, state: SessionState) -> None:
        self.state = state
        if state != self._told:
            self._say_state()

    def _greet(self) -> None:
        if self._info is not None:
            self._greeted = True
            limits = self._limits if self.mode != "lockstep" else _lockstep(self._limits)
            self._say(
                wire.Welcome(
                    session=self.identity, secret=self._secret, boot=self._boot, mode=self.mode, epoch=self.epoch,
                    world=self._info, limits=limits, role=self.role, resumed=self._resumed,
                    **self._welcome_more(),
                )
            )  # fmt: skip
        self._say_state()

    def _welcome_more(self) -> dict[str, Any]:
        """Further fields of WELCOME."""
        return {}

    def _say_state(self) -> None:
        self._told = self.state
        if self.state == "closed":
            return
        busy = self._busy_ms > 0 and self.state != "failed"
        self._say(
            wire.State(
                state="loading" if busy else self.state, reason=self.reason,
                epoch=self.epoch, tick=max(0, self._tick), busy_ms=self._busy_ms, made=self._made,
                late=self.late, video=self.routes.vid is not None,
            )
        )  # fmt: skip

    def _say(self, message: Message) -> None:
        self._outbox.append(Packet(message))

    def _error(self, code: str, text: str, request: int = 0) -> None:
        self._say(wire.Error(code=code, message=clip_text(text), request=request))


def _lockstep(limits: Limits) -> Limits:
    """In lock-step one request waits at a time, and an agent may think for as long as it likes."""
    return msgspec.structs.replace(limits, lease_ms=0, requests_max=1)
