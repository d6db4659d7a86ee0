"""The messages of rooms: who is here, who drives, what was said. Only for clients whose HELLO takes "rooms"."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from inhabit.bridge.fields import Count, Message, Milliseconds, Name, Request, Role, Text

PersonName = Annotated[str, msgspec.Meta(max_length=32)]
EventKind = Annotated[str, msgspec.Meta(max_length=16)]

EVENT_KINDS = ("join", "leave", "chat", "prompt", "drive", "reset", "pause", "resume", "restore", "set", "notice")
"""What EVENT tells of. A newer sidecar may have more."""


class Chat(Message, frozen=True, kw_only=True):
    """CHAT (0x0D): say something to everybody in the room. Comes back to all as EVENT."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class Drive(Message, frozen=True, kw_only=True):
    """DRIVE (0x0E): ask for the driver token, give it back, or hand it on. A request."""

    request: Request
    what: Literal["ask", "release", "grant"]
    member: Count = 0
    """Of grant: who gets it."""


class Moderate(Message, frozen=True, kw_only=True):
    """MODERATE (0x0F): an admin mutes or removes a member. A request."""

    request: Request
    what: Literal["mute", "unmute", "kick"]
    member: Request
    reason: Text = ""


class Person(Message, frozen=True, kw_only=True):
    """One line of ROSTER."""

    member: Request
    name: PersonName
    role: Role = "player"
    colour: Annotated[int, msgspec.Meta(ge=0, le=0xFFFFFF)] = 0xFFFFFF
    """0xRRGGBB, for an avatar or a name tag."""

    connected: bool = True
    """False while the connection is broken and the place is kept."""

    muted: bool = False


class Wish(Message, frozen=True, kw_only=True):
    """A prompt that waits for its turn."""

    member: Request
    text: Text


class Roster(Message, frozen=True, kw_only=True):
    """ROSTER (0x49): the room as it is now, on every change."""

    room: Name
    you: Request
    """The number of the member that reads this."""

    steering: Literal["driver", "vote"] = "driver"
    driver: Count = 0
    """Who steers; 0 when nobody does, or all do by vote."""

    waiting: Annotated[tuple[Request, ...], msgspec.Meta(max_length=1024)] = ()
    """Who asked for the token, first come first."""

    people: Annotated[tuple[Person, ...], msgspec.Meta(max_length=256)] = ()
    prompts: Annotated[tuple[Wish, ...], msgspec.Meta(max_length=32)] = ()


class Event(Message, frozen=True, kw_only=True):
    """EVENT (0x4A): something happened in the room. A late joiner gets the newest ones of before."""

    number: Request
    """Grows by 1: a gap means that some were lost, a repetition that they are known."""

    kind: EventKind
    member: Count = 0
    """Who did it; 0 when the room itself did."""

    name: PersonName = ""
    text: Text = ""
    epoch: Count = 0
    frame: Count = 0
    """Index of the first frame that can show it."""

    age_ms: Milliseconds = 0
    """How long ago, when this was sent."""
