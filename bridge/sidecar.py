"""The sidecar without sockets and threads: who is connected, who sits where, who is too many, whose lease is up.

Identity is what the server issued (session and secret), never the name of a connection: routes come and go. Where keys
are asked for, a session also belongs to the key that began it.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import NamedTuple

from inhabit.bridge.admission import CLOSED, Admission, short
from inhabit.bridge.codec import Part, WireError, decode_from_client, encode
from inhabit.bridge.delivery import Delivery
from inhabit.bridge.errors import LocalProtocolError
from inhabit.bridge.fields import ID_BYTES, Limits
from inhabit.bridge.figures import Measures
from inhabit.bridge.keys import LOCAL, Grant
from inhabit.bridge.member import Member
from inhabit.bridge.messages import (
    Bye,
    Error,
    Figures,
    FrameHeader,
    Hello,
    List,
    Look,
    Message,
    Ping,
    Pong,
    clip_text,
    replace,
)
from inhabit.bridge.pacing import Clock, monotonic_ns
from inhabit.bridge.people import Moderate, keep
from inhabit.bridge.places import WAITING_MAX, Places, Waiter
from inhabit.bridge.quotas import Meters
from inhabit.bridge.room import RoomOptions
from inhabit.bridge.seat import MakeWorld, Seat
from inhabit.bridge.session import Session
from inhabit.bridge.snapshots import Snapshots
from inhabit.bridge.watchers import Watchers

log = logging.getLogger(__name__)

SESSIONS_TOLD = 256
RANKS = {"viewer": 0, "player": 1, "admin": 2}


class Outgoing(NamedTuple):
    """A message on its way out."""

    route: Hashable
    parts: list[Part]


class Sidecar:
    """Sessions and routes. Everything but Seat.turn() is called by the one thread that owns the transport.

    Args:
        make_world: makes the world that clients get who name none.
        worlds: further ones, by the names that clients use.
        authorise: what the holder of a public key may do; None for a stranger.
        lobby: the room of all who name no other.
    """

    def __init__(
        self,
        make_world: MakeWorld,
        *,
        max_sessions: int = 4,
        limits: Limits | None = None,
        clock: Clock = monotonic_ns,
        open_seat: Callable[[Seat], None] = lambda seat: None,
        rooms: RoomOptions | None = None,
        lobby: str = "",
        moderate: Moderate = keep,
        name: str = "world",
        worlds: Mapping[str, MakeWorld] | None = None,
        authorise: Callable[[str], Grant | None] = lambda user: LOCAL,
        snapshots: Snapshots | None = None,
        snapshot_every_s: float = 5.0,
        traces: Path | None = None,
        restarts: int = 0,
        wake: Callable[[], None] = lambda: None,
    ):
        self.lock = RLock()
        self._limits, self._clock, self._lobby, self._authorise = limits or Limits(), clock, lobby, authorise
        self.places = Places(
            {name: make_world, **(worlds or {})}, max_sessions=max_sessions, limits=self._limits, lock=self.lock,
            clock=clock, open_seat=open_seat, rooms=rooms or RoomOptions(), moderate=moderate,
            snapshots=snapshots or Snapshots(), snapshot_every_s=snapshot_every_s, traces=traces,
        )  # fmt: skip
        self._admission = Admission(self.places, self._limits, lobby=lobby, boot=secrets.token_bytes(ID_BYTES))
        self._sessions: dict[bytes, Session] = {}
        self._by_route: dict[Hashable, Session] = {}
        self._watchers = Watchers(self._limits.beat_ms)
        self._meters = Meters(clock())
        self._replies: list[tuple[Hashable, Message]] = []
        self._stopping = False
        self.figures = Measures(clock())
        self._delivery = Delivery(self.figures, wake)
        self.restarts = restarts

    @property
    def seats(self) -> list[Seat]:
        return self.places.seats

    def prepare(self) -> Seat:
        """Open the first seat, so that its world is made before anybody comes."""
        seat = self.places.open(self.places.default)
        if self._lobby:
            self.places.open_room(seat, self._lobby, self._clock(), permanent=True)
        return seat

    # ------------------------------------------------------------------------------------------------------------- in

    def receive(self, route: Hashable, parts: Sequence[Part], now_ns: int, user: str = "") -> None:
        """Take one message, from anybody, of any content."""
        with self.lock:
            grant = self._authorise(user)
            if grant is None:
                self._reply(route, Error(code="not_allowed", message="Expected a key that is on this sidecar's list"))
                return
            if not self._within_quota(route, parts, now_ns, user, grant):
                return
            session = self._by_route.get(route)
            if session is not None and session.user != user:
                session = None  # another peer under the name of a connection that was somebody's
            try:
                packet = decode_from_client(parts)
            except WireError as error:
                if session is not None:
                    session.bad_message(error.code, str(error))
                else:
                    self._reply(route, Error(code=error.code, message=clip_text(str(error))))
                return
            message = packet.message
            again = session is not None and session.routes.vid is None
            if isinstance(message, Hello) and (session is None or (again and message.channel == "vid")):
                self._hello(message, route, now_ns, user, grant)
            elif session is not None:
                session.receive(packet, now_ns)
            elif isinstance(message, Look) and user and grant.role != "admin":
                self._reply(route, Error(code="not_allowed", message="Expected an admin to LOOK at the sidecar"))
            else:
                self._from_outside(message, route, now_ns)

    def gone(self, route: Hashable, now_ns: int) -> None:
        """The transport says that this connection is no more."""
        with self.lock:
            self._watchers.remove(route)
            self._meters.forget(route)
            self.places.line.pop(route, None)
            session = self._by_route.pop(route, None)
            if session is not None:
                session.detach(route, now_ns)

    def wake_worlds(self) -> None:
        """Wake the threads that a request waits for."""
        with self.lock:
            for seat in self.seats:
                if seat.session is not None and seat.session.wants_turn:
                    seat.news.set()

    def _within_quota(self, route: Hashable, parts: Sequence[Part], now_ns: int, user: str, grant: Grant) -> bool:
        """Is this peer within its bounds? With keys a person's connections share theirs."""
        meter = self._meters.of(user or route, grant.quota, now_ns)
        why = meter.refuse(parts, now_ns)
        if why and meter.may_complain(now_ns):
            text = f"Too much: {why} beyond the quota, {meter.dropped} messages were dropped so far"
            self._reply(route, Error(code="quota", message=text))
        return not why

    def _from_outside(self, message: Message, route: Hashable, now_ns: int) -> None:
        """A message of a connection without a session."""
        if isinstance(message, List):
            self._reply(route, self.places.listed())
        elif isinstance(message, Look):
            self._reply(route, self.figures_told(now_ns))
        elif route in self._watchers:
            answer = self._watchers.receive(message, route, now_ns)
            if answer is not None:
                self._reply(route, answer)
        elif route in self.places.line:
            self.places.line[route].heard_ns = now_ns
            if isinstance(message, Ping):
                self._reply(route, Pong(t_ns=message.t_ns, server_ns=now_ns))
            elif isinstance(message, Bye):
                del self.places.line[route]
        else:
            self._reply(route, Error(code="no_session", message="Expected HELLO first - at this connection"))

    def _hello(self, hello: Hello, route: Hashable, now_ns: int, user: str, grant: Grant) -> None:
        if RANKS[hello.role] > RANKS[grant.role]:
            hello = replace(hello, role=grant.role)
        if hello.mode == "monitor":
            refusal = self._watchers.add(route, now_ns)
            if refusal is not None:
                self._reply(route, refusal)
            return
        if hello.session:
            session = self._sessions.get(hello.session)
            if session is not None and session.owns(hello.secret) and session.user == user:
                session.parting = ""
                self._bind(session, hello, route, now_ns)
            elif hello.channel == "ctl" and session is None:
                self._welcome(hello, route, now_ns, user, grant)
            else:
                self._reply(route, CLOSED)
        elif route in self.places.line:
            self.places.line[route].heard_ns = now_ns
        else:
            self._welcome(hello, route, now_ns, user, grant)

    def _welcome(self, hello: Hello, route: Hashable, now_ns: int, user: str, grant: Grant) -> None:
        """Let a new client in, or say why not."""
        sessions = sum(session.user == user for session in self._sessions.values())
        if 0 < grant.quota.sessions <= sessions:
            self._reply(route, Error(code="quota", message=f"Expected at most {sessions} sessions with this key"))
            return
        if self._admission.room_of(hello):
            session = self._admission.join(hello, now_ns)
        elif hello.session:
            session = self._admission.back(hello, now_ns, user)
        else:
            session = self._admission.alone(hello, now_ns)
        if isinstance(session, Session):
            session.user = user
            self.figures.count("resumed" if session.revival else "sessions")
            self._sessions[session.identity] = session
            self._bind(session, hello, route, now_ns)
        elif session.code == "busy" and "queue" in hello.takes and len(self.places.line) < WAITING_MAX:
            self.places.line[route] = Waiter(hello, user, now_ns)
        else:
            self.figures.count("refused")
            self._reply(route, session)

    def _bind(self, session: Session, hello: Hello, route: Hashable, now_ns: int) -> None:
        self._by_route.pop(session.routes.vid if hello.channel == "vid" else session.routes.ctl, None)
        self._by_route[route] = session
        session.attach(hello, route, now_ns)

    # ------------------------------------------------------------------------------------------------------------ out

    def outgoing(self, now_ns: int) -> list[Outgoing]:
        """Everything that shall be sent now, in order."""
        with self.lock:
            self._beat(now_ns)
            messages = []
            for session in list(self._sessions.values()):
                messages += self._take(session, now_ns)
                if session.state == "closed":
                    self._remove(session, now_ns)
            self._call_next(now_ns)
            replies, self._replies = self._replies, []
            return [Outgoing(route, encode(message)) for route, message in replies] + messages

    def close(self, reason: str) -> None:
        """End all sessions; outgoing() then has the farewells. Snapshots stay for a sidecar after this one."""
        with self.lock:
            self._stopping = True
            for session in self._sessions.values():
                session.close(reason)
            self._replies += [(route, Bye(reason=reason)) for route in (*self._watchers, *self.places.line)]
            self._watchers.clear()
            self.places.line.clear()

    def _take(self, session: Session, now_ns: int) -> list[Outgoing]:
        """What one session has to say, as bytes. What cannot be written is the fault of its world, and ends only it."""
        self._delivery.offer_ring(session)
        packets = [(session.routes.ctl, packet) for packet in session.outgoing()]
        frame = self._delivery.next_frame(session, now_ns)
        if frame is not None and isinstance(frame.message, FrameHeader):
            self._delivery.measure(session, frame.message, now_ns)
            packets.append((session.routes.vid, frame))
        if session.wants_list and session.routes.ctl is not None:
            session.wants_list = False
            self._reply(session.routes.ctl, self.places.listed())
        if frame is not None and session.ring_attached:
            packets[-1] = (session.routes.vid, self._delivery.through_ring(session, frame))
        messages = []
        for route, packet in packets:
            try:
                if route is not None:
                    messages.append(Outgoing(route, encode(packet.message, *packet.payload)))
            except LocalProtocolError as error:
                log.error("session %s: %s", short(session), error)
                session.fail(str(error))
        return messages

    def figures_told(self, now_ns: int) -> Figures:
        """How the sidecar is doing."""
        with self.lock:
            listed = self.places.listed()
            told = self.figures.table(now_ns) | {
                "sessions_now": len(self._sessions), "places": listed.places, "places_free": listed.free,
                "queue": listed.queue, "rooms": len(self.places.rooms), "restarts": self.restarts,
                "set_backs": sum(seat.set_back_count for seat in self.seats),
                "failures": sum(seat.failure_count for seat in self.seats),
                "dropped_messages": self._meters.dropped,
            }  # fmt: skip
            lines = [session.line(now_ns) for session in list(self._sessions.values())[:SESSIONS_TOLD]]
            return Figures(figures={name: float(value) for name, value in told.items()}, sessions=tuple(lines))

    def _call_next(self, now_ns: int) -> None:
        """Let those in who stand first in the line, as long as there are places."""
        self.places.sweep(now_ns)
        self._meters.sweep(now_ns)
        while self.places.line and self.places.free:
            route, waiter = next(iter(self.places.line.items()))
            grant = self._authorise(waiter.user)
            self.places.line.pop(route)
            if grant is not None:
                self._admission.calling = True
                self._welcome(waiter.hello, route, now_ns, waiter.user, grant)
                self._admission.calling = False
            if route in self.places.line:  # a seat that hangs is free but of no use
                break
        self._replies += self.places.told(now_ns)

    def _beat(self, now_ns: int) -> None:
        """Let each session and monitor hear of progress, and end those that nobody holds any more."""
        for seat in self.seats:
            if seat.session is not None:
                seat.session.beat(seat.turns, seat.busy_ms(now_ns), now_ns)
        wanted = bool(self.places.line)
        for session in self._sessions.values():
            expired = session.expired(now_ns, wanted=wanted)
            if expired is None or session.parting:
                continue
            if isinstance(session, Member) or session.state in ("loading", "failed"):
                session.close(expired)
            else:
                session.parting = expired  # its world is saved first, by the thread that owns it
        for seat in self.seats:
            if isinstance(seat.session, Session) and seat.session.parting:
                seat.news.set()
        self._replies += self._watchers.beats(self.seats, now_ns)

    def _remove(self, session: Session, now_ns: int) -> None:
        log.info("session %s: over, %s", short(session), session.reason or "the client said BYE")
        del self._sessions[session.identity]
        self._delivery.forget(session)
        if not session.parting and not self._stopping:  # who said BYE does not come back
            self.places.snapshots.drop(session.identity.hex())
        for route in [route for route, owner in self._by_route.items() if owner is session]:
            del self._by_route[route]
        if isinstance(session, Member):
            session.room.leave(session, now_ns)
        self.places.leave(session, now_ns - session.begun_ns)

    def _reply(self, route: Hashable, message: Message) -> None:
        self._replies.append((route, message))
