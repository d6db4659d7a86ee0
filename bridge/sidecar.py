"""The sidecar without sockets and threads: who is connected, who sits where, who is too many, whose lease is up.

Identity is what the server issued (session and secret), never the name of a connection: routes come and go.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from threading import RLock
from typing import Any, NamedTuple

from inhabit.bridge.codec import Part, WireError, decode_from_client, encode
from inhabit.bridge.errors import LocalProtocolError
from inhabit.bridge.fields import ID_BYTES, Limits
from inhabit.bridge.member import Member
from inhabit.bridge.messages import Bye, Error, Hello, Message, Ping, Pong, State, clip_text
from inhabit.bridge.pacing import NS_PER_MS, Clock, monotonic_ns
from inhabit.bridge.people import Moderate, keep
from inhabit.bridge.room import Room, RoomOptions
from inhabit.bridge.seat import MakeWorld, Seat
from inhabit.bridge.session import Session

log = logging.getLogger(__name__)

MONITORS_MAX = 4
MONITOR_LEASE_NS = 3_000 * NS_PER_MS


class Outgoing(NamedTuple):
    """A message on its way out."""

    route: Hashable
    parts: list[Part]


@dataclass(slots=True)
class Monitor:
    """A connection that only wants to know whether the sidecar is alive."""

    heard_ns: int
    due_ns: int
    turns: tuple[int, ...] = ()


class Sidecar:
    """Sessions, seats and routes. Everything but Seat.turn() is called by the one thread that owns the transport."""

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
    ):
        if max_sessions < 1:
            raise ValueError(f"Expected at least 1 session, got {max_sessions}")
        self.lock = RLock()
        self.seats: list[Seat] = []
        self._make_world, self._max_sessions, self._clock = make_world, max_sessions, clock
        self._limits = limits or Limits()
        self._open_seat = open_seat
        self._room_options, self._lobby, self._moderate = rooms or RoomOptions(), lobby, moderate
        self.rooms: dict[str, Room] = {}
        self._boot = secrets.token_bytes(ID_BYTES)
        self._sessions: dict[bytes, Session] = {}
        self._by_route: dict[Hashable, Session] = {}
        self._monitors: dict[Hashable, Monitor] = {}
        self._replies: list[tuple[Hashable, Message]] = []

    def prepare(self) -> Seat:
        """Open the first seat, so that its world is made before anybody comes."""
        seat = self._add_seat()
        if self._lobby:
            self._seat_room(seat, self._lobby, self._clock(), permanent=True)
        return seat

    # ------------------------------------------------------------------------------------------------------------- in

    def receive(self, route: Hashable, parts: Sequence[Part], now_ns: int) -> None:
        """Take one message, from anybody, of any content."""
        with self.lock:
            session = self._by_route.get(route)
            try:
                packet = decode_from_client(parts)
            except WireError as error:
                if session is not None:
                    session.bad_message(error.code, str(error))
                else:
                    self._reply(route, Error(code=error.code, message=clip_text(str(error))))
                return
            message = packet.message
            if isinstance(message, Hello) and session is None:
                self._hello(message, route, now_ns)
            elif session is not None:
                session.receive(packet, now_ns)
            elif route in self._monitors:
                self._from_monitor(message, route, now_ns)
            else:
                self._reply(route, Error(code="no_session", message="Expected HELLO first - at this connection"))

    def gone(self, route: Hashable, now_ns: int) -> None:
        """The transport says that this connection is no more."""
        with self.lock:
            self._monitors.pop(route, None)
            session = self._by_route.pop(route, None)
            if session is not None:
                session.detach(route, now_ns)

    def wake_worlds(self) -> None:
        """Wake the threads that a request waits for."""
        with self.lock:
            for seat in self.seats:
                if seat.session is not None and seat.session.wants_turn:
                    seat.news.set()

    def _hello(self, hello: Hello, route: Hashable, now_ns: int) -> None:
        if hello.mode == "monitor":
            self._hello_monitor(route, now_ns)
            return
        if hello.session:
            session = self._sessions.get(hello.session)
            if session is None or not session.owns(hello.secret):
                self._reply(route, Error(code="closed", message="Expected a living session and its secret"))
                return
        else:
            session = self._join(hello, now_ns) if self._room_of(hello) else self._admit(hello, now_ns)
            if isinstance(session, Error):
                self._reply(route, session)
                return
        self._by_route.pop(session.routes.vid if hello.channel == "vid" else session.routes.ctl, None)
        self._by_route[route] = session
        session.attach(hello, route, now_ns)

    def _hello_monitor(self, route: Hashable, now_ns: int) -> None:
        if route not in self._monitors and len(self._monitors) >= MONITORS_MAX:
            self._reply(route, Error(code="busy", message=f"There are {MONITORS_MAX} monitors already"))
        else:
            self._monitors[route] = Monitor(heard_ns=now_ns, due_ns=now_ns)

    def _from_monitor(self, message: Message, route: Hashable, now_ns: int) -> None:
        self._monitors[route].heard_ns = now_ns
        if isinstance(message, Ping):
            self._reply(route, Pong(t_ns=message.t_ns, server_ns=now_ns))
        elif isinstance(message, Bye):
            del self._monitors[route]
        elif not isinstance(message, Hello):
            self._reply(route, Error(code="wrong_mode", message="Expected only PING and BYE in mode monitor"))

    def _admit(self, hello: Hello, now_ns: int) -> Session | Error:
        """A place and a world of one's own."""
        seat = self._free_seat(now_ns)
        if seat is None:
            return self._busy()
        session = Session(hello, now_ns=now_ns, **self._credentials())
        self._sessions[session.identity] = session
        seat.sit(session)
        log.info("session %s: %r plays, mode %s", session.identity.hex()[:8], hello.client, hello.mode)
        return session

    def _join(self, hello: Hello, now_ns: int) -> Session | Error:
        """A place in a world that is shared."""
        name = self._room_of(hello)
        if hello.mode != "free":
            return Error(code="wrong_mode", message=f"Expected mode free in a room, got {hello.mode}")
        room = self.rooms.get(name)
        if room is None:
            seat = self._free_seat(now_ns)
            if seat is None:
                return self._busy()
            room = self._seat_room(seat, name, now_ns)
        if room.full:
            return Error(code="busy", message=f"All {len(room.members)} places in the room {name!r} are taken")
        member = room.join(hello, now_ns, **self._credentials())
        self._sessions[member.identity] = member
        log.info("session %s: %r joins %r as %r", member.identity.hex()[:8], hello.client, name, member.name)
        return member

    def _room_of(self, hello: Hello) -> str:
        """The room that a client goes to: the one it names, else the lobby; agents go to none by themselves."""
        return hello.room or (self._lobby if hello.mode == "free" else "")

    def _seat_room(self, seat: Seat, name: str, now_ns: int, *, permanent: bool = False) -> Room:
        room = Room(name, self._room_options, now_ns=now_ns, permanent=permanent, moderate=self._moderate)
        self.rooms[name] = room
        seat.sit(room)
        return room

    def _credentials(self) -> dict[str, Any]:
        """What the server gives to every session."""
        identity, secret = secrets.token_bytes(ID_BYTES), secrets.token_bytes(ID_BYTES)
        return {"identity": identity, "secret": secret, "boot": self._boot, "limits": self._limits}

    def _busy(self) -> Error:
        text = f"All {self._max_sessions} places are taken: try again later, or start `serve --max-sessions N`"
        return Error(code="busy", message=text)

    def _free_seat(self, now_ns: int) -> Seat | None:
        hang_ns = self._limits.hang_ms * NS_PER_MS
        seat = next((seat for seat in self.seats if seat.session is None and not seat.hangs(hang_ns, now_ns)), None)
        if seat is None and len(self.seats) < self._max_sessions:
            seat = self._add_seat()
        return seat

    def _add_seat(self) -> Seat:
        seat = Seat(self._make_world, lock=self.lock, clock=self._clock)
        self.seats.append(seat)
        self._open_seat(seat)
        return seat

    # ------------------------------------------------------------------------------------------------------------ out

    def outgoing(self, now_ns: int) -> list[Outgoing]:
        """Everything that shall be sent now, in order."""
        with self.lock:
            self._beat(now_ns)
            replies, self._replies = self._replies, []
            messages = [Outgoing(route, encode(message)) for route, message in replies]
            for session in list(self._sessions.values()):
                messages += self._take(session, now_ns)
                if session.state == "closed":
                    self._remove(session)
            return messages

    def close(self, reason: str) -> None:
        """End all sessions; outgoing() then has the farewells."""
        with self.lock:
            for session in self._sessions.values():
                session.close(reason)
            self._replies += [(route, Bye(reason=reason)) for route in self._monitors]
            self._monitors.clear()

    def _take(self, session: Session, now_ns: int) -> list[Outgoing]:
        """What one session has to say, as bytes. What cannot be written is the fault of its world, and ends only it."""
        packets = [(session.routes.ctl, packet) for packet in session.outgoing()]
        frame = session.frame(now_ns)
        if frame is not None:
            packets.append((session.routes.vid, frame))
        messages = []
        for route, packet in packets:
            try:
                if route is not None:
                    messages.append(Outgoing(route, encode(packet.message, *packet.payload)))
            except LocalProtocolError as error:
                log.error("session %s: %s", session.identity.hex()[:8], error)
                session.fail(str(error))
        return messages

    def _beat(self, now_ns: int) -> None:
        """Let each session and monitor hear of progress, and end those that nobody holds any more."""
        for seat in self.seats:
            session = seat.session
            if session is not None:
                session.beat(seat.turns, seat.busy_ms(now_ns), now_ns)
            if isinstance(session, Room) and session.abandoned(now_ns):
                del self.rooms[session.name]
                seat.sit(None)
        for session in self._sessions.values():
            expired = session.expired(now_ns)
            if expired is not None:
                session.close(expired)
        for route, monitor in list(self._monitors.items()):
            if now_ns - monitor.heard_ns > MONITOR_LEASE_NS:
                del self._monitors[route]
            elif now_ns >= monitor.due_ns:
                self._beat_monitor(route, monitor, now_ns)

    def _beat_monitor(self, route: Hashable, monitor: Monitor, now_ns: int) -> None:
        """A monitor hears a beat only if every world's thread has moved, or is at something that may take long."""
        turns = tuple(seat.turns for seat in self.seats)
        busy = [seat.busy_ms(now_ns) for seat in self.seats]
        before = monitor.turns + (-1,) * (len(turns) - len(monitor.turns))
        if not all(now != then or long for now, then, long in zip(turns, before, busy, strict=True)):
            return
        monitor.turns, monitor.due_ns = turns, now_ns + self._limits.beat_ms * NS_PER_MS
        state = "loading" if any(busy) else "running"
        self._reply(route, State(state=state, tick=sum(turns), busy_ms=max(busy, default=0)))

    def _remove(self, session: Session) -> None:
        log.info("session %s: over, %s", session.identity.hex()[:8], session.reason or "the client said BYE")
        del self._sessions[session.identity]
        for route in [route for route, owner in self._by_route.items() if owner is session]:
            del self._by_route[route]
        if isinstance(session, Member):
            session.room.leave(session, self._clock())
        for seat in self.seats:
            if seat.session is session:
                seat.sit(None)

    def _reply(self, route: Hashable, message: Message) -> None:
        self._replies.append((route, message))
