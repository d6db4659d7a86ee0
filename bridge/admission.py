"""Who gets in, and where: a world of one's own, a room, or the place that one had before."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from inhabit.bridge.fields import ID_BYTES, Limits
from inhabit.bridge.messages import Error, Hello, clip_text, replace
from inhabit.bridge.places import Places
from inhabit.bridge.seat import Seat
from inhabit.bridge.session import Session

log = logging.getLogger(__name__)

CLOSED = Error(code="closed", message="Expected a living session and its secret")


class Admission:
    """Makes sessions of those who say HELLO, and gives them their seats. Under the sidecar's lock.

    Args:
        lobby: the room of all who name no other.
        boot: tells this run of the sidecar from others.
    """

    def __init__(self, places: Places, limits: Limits, *, lobby: str, boot: bytes):
        self._places, self._limits, self._lobby, self._boot = places, limits, lobby, boot
        self.calling = False
        """Who stands first in the line is being let in: nobody is overtaken."""

    def alone(self, hello: Hello, now_ns: int) -> Session | Error:
        """A place and a world of one's own."""
        seat = self._seat_for(hello, now_ns)
        if isinstance(seat, Error):
            return seat
        session = Session(hello, now_ns=now_ns, **self._credentials())
        session.world = seat.name
        seat.sit(session)
        log.info("session %s: %r plays %s, mode %s", short(session), hello.client, seat.name, hello.mode)
        return session

    def back(self, hello: Hello, now_ns: int, user: str) -> Session | Error:
        """A place for a session that has lost its own, or whose sidecar died: it goes on from its last snapshot."""
        kept = self._places.snapshots.get(hello.session.hex())
        if kept is None or not kept[0].opened_by(hello.secret, user) or kept[0].world not in self._places.worlds:
            return CLOSED
        snapshot = kept[0]
        hello = replace(hello, mode=snapshot.mode, role=snapshot.role, world=snapshot.world)
        seat = self._seat_for(hello, now_ns)
        if isinstance(seat, Error):
            return seat
        credentials: dict[str, Any] = self._credentials()
        credentials |= {"identity": hello.session, "secret": hello.secret}
        session = Session(hello, now_ns=now_ns, **credentials)
        session.world, session.revival = seat.name, kept
        seat.sit(session)
        log.info("session %s: %r comes back to frame %d", short(session), hello.client, snapshot.index)
        return session

    def join(self, hello: Hello, now_ns: int) -> Session | Error:
        """A place in a world that is shared."""
        name = self.room_of(hello)
        if hello.mode != "free":
            return Error(code="wrong_mode", message=f"Expected mode free in a room, got {hello.mode}")
        room = self._places.rooms.get(name)
        if room is None:
            seat = self._seat_for(hello, now_ns)
            if isinstance(seat, Error):
                return seat
            room = self._places.open_room(seat, name, now_ns)
        if room.full:
            return Error(code="room_full", message=f"All {len(room.members)} places in the room {name!r} are taken")
        if hello.session:
            room.go_above(hello.epoch, now_ns)
        member = room.join(hello, now_ns, **self._credentials())
        log.info("session %s: %r joins %r as %r", short(member), hello.client, name, member.name)
        return member

    def _seat_for(self, hello: Hello, now_ns: int) -> Seat | Error:
        name = hello.world or self._places.default
        if name not in self._places.worlds:
            known = ", ".join(self._places.worlds)
            return Error(code="no_world", message=clip_text(f"Expected a world ({known}), got {hello.world!r}"))
        overtakes = bool(self._places.line) and not self.calling  # who comes now stands behind those who wait
        seat = None if overtakes else self._places.take(name, now_ns)
        if seat is not None:
            return seat
        text = f"All {self._places.max_sessions} places are taken: try again later, or start `serve --max-sessions N`"
        return Error(code="busy", message=text)

    def room_of(self, hello: Hello) -> str:
        """The room that a client goes to: the one it names, else the lobby; agents go to none by themselves."""
        return hello.room or (self._lobby if hello.mode == "free" and not hello.world else "")

    def _credentials(self) -> dict[str, Any]:
        """What the server gives to every session."""
        identity, secret = secrets.token_bytes(ID_BYTES), secrets.token_bytes(ID_BYTES)
        return {"identity": identity, "secret": secret, "boot": self._boot, "limits": self._limits}


def short(session: Session) -> str:
    """How the log calls a session."""
    return session.identity.hex()[:8]
