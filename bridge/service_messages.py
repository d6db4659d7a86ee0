"""The messages about the sidecar itself and about how frames travel: lists, lines, figures, shared memory, keys."""

from __future__ import annotations

from typing import Annotated

import msgspec

from inhabit.bridge.fields import Count, Message, Milliseconds, Mode, Name, Request, Text


class Attached(Message, frozen=True, kw_only=True):
    """ATTACHED (0x12): the answer to RING, and later, when reading fails, the end of it."""

    ok: bool


class Key(Message, frozen=True, kw_only=True):
    """KEY (0x13): the picture cannot be decoded; the next one shall stand alone."""


class List(Message, frozen=True, kw_only=True):
    """LIST (0x10): what can be played here? Needs no session."""


class Look(Message, frozen=True, kw_only=True):
    """LOOK (0x11): how is the sidecar doing? For this machine and for admins; needs no session."""


class RoomLine(Message, frozen=True, kw_only=True):
    """One room in LISTED."""

    name: Name
    world: Name
    members: Count = 0
    members_max: Count = 0


class Listed(Message, frozen=True, kw_only=True):
    """LISTED (0x4B): the answer to LIST."""

    worlds: Annotated[tuple[Name, ...], msgspec.Meta(max_length=256)]
    """Names for HELLO; the first is what "" gives."""

    rooms: Annotated[tuple[RoomLine, ...], msgspec.Meta(max_length=256)] = ()
    places: Count = 0
    free: Count = 0
    queue: Count = 0
    """Clients that wait for a place."""


class Queued(Message, frozen=True, kw_only=True):
    """QUEUED (0x4C): there is no place yet, stay and be let in. Who does not take "queue" gets ERROR busy."""

    position: Request
    """1 for who is next."""

    retry_after_ms: Milliseconds = 0
    """About how long it will take, by how long sessions lasted here; 0 when nobody knows."""


class Ring(Message, frozen=True, kw_only=True):
    """RING (0x4E): memory on this machine for pixels; section 7.2 of docs/protocol.md has its layout."""

    name: Name
    slots: Annotated[int, msgspec.Meta(ge=1, le=64)]
    slot_bytes: Count


class SessionLine(Message, frozen=True, kw_only=True):
    """One session in FIGURES."""

    session: Text
    """The first digits of its identity, as in the log."""

    client: Text = ""
    world: Text = ""
    room: Text = ""
    mode: Mode = "free"
    state: Text = ""
    epoch: Count = 0
    made: Count = 0
    sent: Count = 0
    late: Count = 0
    age_s: float = 0.0
    connected: bool = True


class Figures(Message, frozen=True, kw_only=True):
    """FIGURES (0x4D): the answer to LOOK."""

    figures: dict[str, float] = msgspec.field(default_factory=dict)
    """By name; times in the unit that the name ends with, the others are counts."""

    sessions: Annotated[tuple[SessionLine, ...], msgspec.Meta(max_length=256)] = ()
