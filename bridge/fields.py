"""Types of the fields of wire messages, each with its bounds, and the two structures that messages share."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from inhabit.bridge.controls import BUTTONS, PAD_AXES

MAX_PARTS = 4
"""Parts of one message, the header included."""

MAX_HEADER_BYTES = 64 * 1024
"""Size of the first part of any message."""

MAX_STATE_BYTES = 64 * 1024 * 1024
"""Size of a saved state."""

MAX_PICTURE_BYTES = 16 * 1024 * 1024
"""Size of an encoded picture."""

MAX_SOUND_BYTES = 64 * 1024
"""Size of encoded sound."""

MAX_TEXT = 512
"""Characters of a reason or an error message."""

ID_BYTES = 16
TRAVEL_MAX = 1e6

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Nanoseconds = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=86_400_000)]
Request = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Identity = Annotated[bytes, msgspec.Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
MaybeIdentity = Annotated[bytes, msgspec.Meta(max_length=ID_BYTES)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Names = Annotated[tuple[Annotated[str, msgspec.Meta(max_length=32)], ...], msgspec.Meta(max_length=64)]
Travel = Annotated[float, msgspec.Meta(ge=-TRAVEL_MAX, le=TRAVEL_MAX)]
Deflection = Annotated[float, msgspec.Meta(ge=-1, le=1)]
Side = Annotated[int, msgspec.Meta(ge=1, le=8192)]
Seed = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Setting = bool | int | float | Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] | None
Settings = Annotated[dict[Name, Setting], msgspec.Meta(max_length=32)]

Mode = Literal["free", "lockstep", "monitor"]
Role = Literal["player", "viewer", "admin"]
Channel = Literal["ctl", "vid"]
PixelFormat = Literal["rgb8", "jpeg", "h264"]
SoundFormat = Literal["s16", "opus"]
WireState = Literal["loading", "ready", "running", "paused", "failed"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every header."""


class WireControls(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a person or an agent does. Names as in controls.py."""

    held: Names = ()
    """Names of the keys and buttons that are down."""

    pressed: Names = ()
    """Names that went down since the last message, even if they are up again."""

    axes: Annotated[dict[str, Deflection], msgspec.Meta(max_length=len(PAD_AXES))] = {}
    """Axis name to value, -1 to 1."""

    mouse_dx: Travel = 0.0
    """Mouse travel to the right since the last message, pixels."""

    mouse_dy: Travel = 0.0
    """Mouse travel downwards since the last message, pixels."""

    scroll: Travel = 0.0
    """Wheel travel since the last message, notches."""

    action: Annotated[tuple[Travel, ...], msgspec.Meta(max_length=256)] | None = None
    """The world's own action vector instead of devices; None when a person plays."""

    def __post_init__(self) -> None:
        for name in (*self.held, *self.pressed):
            if name not in BUTTONS:
                raise ValueError(f"Expected a W3C key code, Mouse0-4 or a Pad button, got {name!r}")
        for name in self.axes:
            if name not in PAD_AXES:
                raise ValueError(f"Expected an axis ({', '.join(PAD_AXES)}), got {name!r}")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The server's times and sizes, told in WELCOME."""

    input_timeout_ms: Milliseconds = 250
    """Everything is released when no INPUT came for this long."""

    input_resend_ms: Milliseconds = 100
    """A client repeats its INPUT at least this often."""

    beat_ms: Milliseconds = 500
    """STATE comes this often while the world makes progress."""

    hang_ms: Milliseconds = 2000
    """No STATE for this long: take the sidecar for hung or gone."""

    lease_ms: Milliseconds = 3000
    """A free-running session ends after this long without a message; 0: only when its connection breaks."""

    credit_max: Annotated[int, msgspec.Meta(ge=1, le=8)] = 2
    """Frames that may be on their way."""

    requests_max: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    """Requests that may wait for their answer (1 in lock-step)."""

    state_bytes: Annotated[int, msgspec.Meta(ge=0, le=MAX_STATE_BYTES)] = MAX_STATE_BYTES
    """Largest saved state."""
