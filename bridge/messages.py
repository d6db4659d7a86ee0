"""The messages of wire version 1: what each says, within which bounds, and who may send it.

docs/protocol.md is the same in words. This file has no bytes, no sockets and no rules of order: codec.py makes the
bytes, order.py says what is allowed when.

When to raise PROTOCOL_VERSION (one small integer, the first byte of every message):
  no bump   a new field with a default (map headers: any place; array headers: only at the end), a new message type,
            a new error code, a wider bound on what the server sends and old clients ignore
  bump      a field removed, renamed, re-typed or moved; a default or a bound changed in meaning; another payload
            layout; another order of messages
  for ever  the two bytes in front of the header, and ERROR (type 0x47): a peer of any version can be told why not
Never use a type byte or a field name again for something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

import msgspec

from inhabit.bridge.fields import (
    ID_BYTES,
    MAX_TEXT,
    Channel,
    Count,
    Identity,
    Limits,
    MaybeIdentity,
    Message,
    Milliseconds,
    Mode,
    Name,
    Nanoseconds,
    Request,
    Role,
    Seed,
    Settings,
    Text,
    WireControls,
    WireState,
)
from inhabit.bridge.frame_header import FrameHeader as FrameHeader
from inhabit.bridge.room_messages import Chat, Drive, Event, Moderate, Roster
from inhabit.bridge.service_messages import (
    Attached as Attached,
)
from inhabit.bridge.service_messages import (
    Figures as Figures,
)
from inhabit.bridge.service_messages import (
    Key as Key,
)
from inhabit.bridge.service_messages import (
    List as List,
)
from inhabit.bridge.service_messages import (
    Listed as Listed,
)
from inhabit.bridge.service_messages import (
    Look as Look,
)
from inhabit.bridge.service_messages import (
    Queued as Queued,
)
from inhabit.bridge.service_messages import (
    Ring as Ring,
)
from inhabit.bridge.service_messages import (
    RoomLine as RoomLine,
)
from inhabit.bridge.service_messages import (
    SessionLine as SessionLine,
)
from inhabit.bridge.world import WorldInfo

PROTOCOL_VERSION = 1

replace = msgspec.structs.replace


# --------------------------------------------------------------------------------------------------- client to server


class Hello(Message, frozen=True, kw_only=True):
    """HELLO (0x01): first on each connection. With `session` and `secret` it attaches to a living session."""

    client: Name
    """Who calls, for the server's log."""

    mode: Mode = "free"
    """free: the world runs on its own clock. lockstep: it moves only on STEP. monitor: STATE only, takes no place."""

    channel: Channel = "ctl"
    """ctl: everything but frames. vid: frames, always attaches."""

    session: MaybeIdentity = b""
    """From WELCOME: 16 bytes, or none for a new session."""

    secret: MaybeIdentity = b""
    """From WELCOME: 16 bytes, or none for a new session."""

    takes: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=32)], ...], msgspec.Meta(max_length=32)] = ()
    """Optional parts of the protocol that the client understands, such as "rooms"; unknown ones are ignored."""

    room: Annotated[str, msgspec.Meta(max_length=64, pattern="^[A-Za-z0-9_-]*$")] = ""
    """Join this shared world, in mode free. Empty: a world of one's own."""

    name: Annotated[str, msgspec.Meta(max_length=32)] = ""
    """What the others in a room call this person."""

    role: Role = "player"
    """What the client wants to be; it never gets more than its key allows."""

    world: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """A name out of the sidecar's list (LIST), never a path; "" takes its first one."""

    epoch: Count = 0
    """With `session`: the newest epoch that the client has seen, so that a restored session goes on above it."""

    def __post_init__(self) -> None:
        sizes = (len(self.session), len(self.secret))
        if sizes not in ((0, 0), (ID_BYTES, ID_BYTES)):
            raise ValueError(f"Expected session and secret of 16 bytes each, or neither, got {sizes[0]} and {sizes[1]}")
        if self.channel == "vid" and not self.session:
            raise ValueError("Expected session and secret in a HELLO on vid, got neither")


class Input(Message, frozen=True, kw_only=True, array_like=True):
    """INPUT (0x02): what is held now and what happened since the last one."""

    seq: Request
    """Grows by at least 1 with new content; the same number again only renews the time-out."""

    epoch: Count
    """The newest epoch that the client has seen; older ones are dropped."""

    t_ns: Nanoseconds
    """When the client sent this content first, its own clock. Echoed."""

    controls: WireControls


class Step(Message, frozen=True, kw_only=True):
    """STEP (0x03): one frame in lock-step. A request, answered by STEPPED."""

    request: Request
    t_ns: Nanoseconds = 0
    controls: WireControls = WireControls()


class Credit(Message, frozen=True, kw_only=True, array_like=True):
    """CREDIT (0x04): the client is ready for more. Absolute, so a lost or repeated one does no harm."""

    upto: Count
    """The client takes frames whose `number` is at most this. Never goes down."""


class Set(Message, frozen=True, kw_only=True):
    """SET (0x05): change settings of the world, such as steps=2. A request."""

    request: Request
    settings: Settings


class Reset(Message, frozen=True, kw_only=True):
    """RESET (0x06): begin a new episode and epoch. A request; in lock-step answered by STEPPED."""

    request: Request
    seed: Seed | None = None
    options: Settings = msgspec.field(default_factory=dict)
    t_ns: Nanoseconds = 0


class Pause(Message, frozen=True, kw_only=True):
    """PAUSE (0x07): stop the world's clock. A request."""

    request: Request


class Resume(Message, frozen=True, kw_only=True):
    """RESUME (0x08): let the world's clock go on. A request."""

    request: Request


class Save(Message, frozen=True, kw_only=True):
    """SAVE (0x09): ask for the whole state, which comes as the second part of the ACK. A request."""

    request: Request


class Restore(Message, frozen=True, kw_only=True):
    """RESTORE (0x0A); parts: state. Go on from a saved state, in a new epoch. A request."""

    request: Request


class Prompt(Message, frozen=True, kw_only=True):
    """PROMPT (0x0B): say to the world what it shall be. A request; `frame` of its ACK is the first that can show it."""

    request: Request
    text: Text


class Ping(Message, frozen=True, kw_only=True):
    """PING (0x0C): renew the lease and measure the way there and back."""

    t_ns: Nanoseconds = 0


# --------------------------------------------------------------------------------------------------- server to client


class Welcome(Message, frozen=True, kw_only=True):
    """WELCOME (0x41): the session exists and its world is there."""

    session: Identity
    secret: Identity
    boot: Identity
    """Another value after each start of the sidecar."""

    mode: Mode
    epoch: Count
    world: WorldInfo
    limits: Limits = Limits()
    role: Role = "player"
    room: Annotated[str, msgspec.Meta(max_length=64)] = ""
    """The shared world that this is, empty for one's own."""

    member: Count = 0
    """Who we are in that room."""

    resumed: Annotated[str, msgspec.Meta(max_length=16)] = ""
    """"live": the session went on meanwhile; "snapshot": it was restored, and what came after that is lost."""

    request: Count = 0
    """The newest request of the session that was carried out."""

    frames: Count = 0
    """`number` of the newest frame that was sent: credit counts from there."""


class State(Message, frozen=True, kw_only=True):
    """STATE (0x42): on every change, and every `beat_ms` while the thread that runs the world makes progress."""

    state: WireState
    reason: Text = ""
    """Why, for people."""

    epoch: Count = 0
    tick: Count = 0
    """Turns of the thread that runs the world. Stands still in a hung sidecar, which then sends no STATE at all."""

    busy_ms: Milliseconds = 0
    """In loading: for how long the world has been made, reset or restored."""

    made: Count = 0
    """Frames that the world has made in this session."""

    late: Count = 0
    """Ticks left out because the world was too slow for its own rate."""

    video: bool = False
    """A `vid` connection is attached."""


class Stepped(Message, frozen=True, kw_only=True):
    """STEPPED (0x43), on `ctl`; parts: pixels[, sound]. The answer to STEP, and in lock-step to RESET."""

    request: Request
    frame: FrameHeader


class Ack(Message, frozen=True, kw_only=True):
    """ACK (0x45)[; parts: state]. The request was carried out."""

    request: Request
    epoch: Count = 0
    frame: Count = 0
    """Index of the first frame that can show it; 0 after RESTORE, which goes on wherever the state was."""

    note: Text = ""
    """What the world remarks about it, for people, such as words that it does not know."""


class Pong(Message, frozen=True, kw_only=True):
    """PONG (0x46): the answer to PING, by the thread that owns the sockets: it proves the wire, not the world."""

    t_ns: Nanoseconds = 0
    """Echo of the PING."""

    server_ns: Nanoseconds = 0
    """The server's clock."""


ErrorCode = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
"""A code of ERRORS or, from a newer peer, one that is not there."""

ERRORS: Mapping[str, str] = MappingProxyType(
    {
        "version": "the wire version of the message is not spoken here",
        "bad_message": "the message breaks the protocol's form or bounds",
        "no_session": "this connection belongs to no session: say HELLO",
        "busy": "every place is taken",
        "room_full": "every place in the room is taken",
        "wrong_state": "the message does not fit the session's state",
        "wrong_mode": "the message does not fit the session's mode",
        "pending": "too many requests wait for their answer",
        "stale": "the request is older than one that was answered",
        "refused": "the world said no, nothing changed",
        "world_failed": "the world broke; details are in the sidecar's log under the incident",
        "closed": "the session has ended",
        "not_allowed": "the role does not allow it",
        "no_world": "the sidecar has no world of that name",
        "quota": "too much of it in too little time",
    }
)


class Error(Message, frozen=True, kw_only=True):
    """ERROR (0x47): why something was not done. Its form is the same in every wire version."""

    code: ErrorCode
    message: Text = ""
    """For people: what was expected, what came, and the way out. Never a traceback."""

    request: Count = 0
    """The request that it answers, 0 when none."""

    incident: Annotated[str, msgspec.Meta(max_length=32)] = ""
    """Where to look in the sidecar's log."""

    versions: tuple[int, int] = (PROTOCOL_VERSION, PROTOCOL_VERSION)
    """Lowest and highest wire version that the sender speaks."""


class Bye(Message, frozen=True, kw_only=True):
    """BYE (0x7F), both ways: the session ends now."""

    reason: Text = ""


FROM_CLIENT: Mapping[int, type[Message]] = MappingProxyType(
    {
        0x01: Hello, 0x02: Input, 0x03: Step, 0x04: Credit, 0x05: Set, 0x06: Reset, 0x07: Pause, 0x08: Resume,
        0x09: Save, 0x0A: Restore, 0x0B: Prompt, 0x0C: Ping, 0x0D: Chat, 0x0E: Drive,
        0x0F: Moderate, 0x10: List, 0x11: Look, 0x12: Attached, 0x13: Key, 0x7F: Bye,
    }
)  # fmt: skip
FROM_SERVER: Mapping[int, type[Message]] = MappingProxyType(
    {
        0x41: Welcome, 0x42: State, 0x43: Stepped, 0x44: FrameHeader, 0x45: Ack, 0x46: Pong, 0x47: Error,
        0x49: Roster, 0x4A: Event, 0x4B: Listed, 0x4C: Queued, 0x4D: Figures,
        0x4E: Ring, 0x7F: Bye,
    }
)  # fmt: skip
TYPE_BYTES: Mapping[type[Message], int] = MappingProxyType(
    {kind: byte for table in (FROM_CLIENT, FROM_SERVER) for byte, kind in table.items()}
)
"""0x48 is kept for AUDIO: in version 1 sound travels as a part of FRAME."""

REQUESTS: tuple[type[Message], ...] = (Step, Set, Reset, Pause, Resume, Save, Restore, Prompt, Drive, Moderate)
"""Messages with a request id: each is carried out once and answered by ACK, STEPPED or ERROR."""


def clip_text(text: str, limit: int = MAX_TEXT) -> str:
    """Shorten a text for people to what the wire takes, and mend what is no UTF-8, such as the bytes of a file name."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"
