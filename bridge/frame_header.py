"""FRAME: what is said of each frame. The message that is sent most, and the one with most to say."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from inhabit.bridge.fields import Count, Message, Nanoseconds, PixelFormat, Side, SoundFormat


class FrameHeader(Message, frozen=True, kw_only=True, array_like=True):
    """FRAME (0x44), server to client, on `vid`; parts: pixels[, sound]. Sent only against credit. Also in STEPPED."""

    epoch: Count
    """Grows with every RESET and RESTORE of the session."""

    number: Count
    """Frames sent on this session, this one included. Credit counts in it. 0 inside STEPPED."""

    index: Count
    """Frames since the last reset."""

    input_seq: Count = 0
    """The newest INPUT that this frame shows (in STEPPED: the request)."""

    input_t_ns: Nanoseconds = 0
    """`t_ns` of that INPUT or STEP, the client's clock."""

    received_ns: Nanoseconds = 0
    """That INPUT or STEP reached the session. This and the next three: the server's clock."""

    sampled_ns: Nanoseconds = 0
    """The tick read the controls."""

    done_ns: Nanoseconds = 0
    """The world had made the frame."""

    sent_ns: Nanoseconds = 0
    """The header was written."""

    format: PixelFormat = "rgb8"
    """rgb8: (height, width, 3) uint8, row 0 on top, no padding. jpeg, h264: one encoded picture of that size."""

    width: Side = 1
    """Pixels."""

    height: Side = 1
    """Pixels."""

    sound_samples: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    """Samples for each channel of the frame's sound, at the world's rate; 0 means that there is no sound part."""

    sound_channels: Annotated[int, msgspec.Meta(ge=0, le=8)] = 0
    """Channels of the sound part."""

    reward: float = 0.0
    """Earned since the last frame that was sent."""

    terminated: bool = False
    """The world's episode ended since the last frame that was sent."""

    truncated: bool = False
    """The episode was cut off since the last frame that was sent."""

    skipped: Count = 0
    """Frames made but never sent since the last one that was, because newer ones replaced them."""

    driver: Count = 0
    """In a room: the member who steered this frame; 0 when nobody did, or all did by vote."""

    slot: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    """Above 0: the pixels are no part of the message but lie in this slot of the shared memory that WELCOME names."""

    generation: Count = 0
    """Of that slot, as the slot itself says while it holds this frame."""

    key: bool = True
    """The pixels can be decoded without any frame before; only h264 ever says false."""

    sound_format: SoundFormat = "s16"
    """s16: interleaved int16, little-endian. opus: packets of 48 kHz, each led by its length as uint16."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.reward):
            raise ValueError(f"Expected a finite reward, got {self.reward}")

    @property
    def pixel_bytes(self) -> int:
        return self.width * self.height * 3

    @property
    def sound_bytes(self) -> int:
        return self.sound_samples * self.sound_channels * 2
