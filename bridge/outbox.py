"""Frames on their way out: one slot that holds only the newest, and the credit that lets it go.

Queues do not bound a frame's age, credit does: with a client that takes 100 ms for a frame, a queue of one still showed
frames 660 ms old, credit given when the client is ready to draw showed them 10 ms old.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from inhabit.bridge.codec import Packet
from inhabit.bridge.errors import WorldError
from inhabit.bridge.frames import Frame
from inhabit.bridge.messages import FrameHeader
from inhabit.bridge.world import WorldInfo

SOUND_KEPT_S = 0.5
"""Sound of skipped frames that is kept for the next one; what is older is dropped."""

BYTES_PER_SAMPLE = 2


class Drawn(NamedTuple):
    """A frame as bytes: the part of its header that the world knows, and its payload."""

    header: FrameHeader
    pixels: bytes
    sound: bytes

    @property
    def payload(self) -> tuple[bytes, ...]:
        return (self.pixels, self.sound) if self.sound else (self.pixels,)


def draw(info: WorldInfo, frame: Frame) -> Drawn:
    """Turn a frame into bytes. Copies, because a world may draw its next frame into the same array.

    Raises WorldError when the frame is not what `info` promised.
    """
    pixels, sound = frame.pixels, frame.sound
    shape = (info.height, info.width, 3)
    if pixels.shape != shape or pixels.dtype != np.uint8:
        got = f"{pixels.shape} {pixels.dtype}"
        raise WorldError(f"Expected pixels {shape} uint8, got {got} - at a frame of {info.name}")
    if sound.ndim != 2 or sound.dtype != np.int16:
        got = f"{sound.shape} {sound.dtype}"
        raise WorldError(f"Expected sound (samples, channels) int16, got {got} - at a frame of {info.name}")
    header = FrameHeader(
        epoch=0, number=0, index=int(frame.index), width=info.width, height=info.height,
        sound_samples=sound.shape[0] if sound.size else 0, sound_channels=sound.shape[1] if sound.size else 0,
        reward=float(frame.reward), terminated=bool(frame.terminated), truncated=bool(frame.truncated),
    )  # fmt: skip
    return Drawn(header, pixels.tobytes(), sound.astype("<i2", copy=False).tobytes())


class FrameSlot:
    """The newest frame that waits for credit. What happened in frames that it replaced is not lost."""

    def __init__(self, credit_max: int):
        self._credit_max = credit_max
        self._credit = 0
        self._resumed = False
        self._waiting: Drawn | None = None
        self.sent = 0

    def resume(self, sent: int) -> None:
        """Go on with the numbers of a session before this one."""
        self.sent, self._resumed = sent, True

    def grant(self, upto: int) -> None:
        """Take an absolute credit. It never goes down, and never covers more than the window."""
        if self._resumed:  # frames that were sent after the snapshot are known to the client only
            self.sent, self._resumed = max(self.sent, upto - 1), False
        self._credit = max(self._credit, min(upto, self.sent + self._credit_max))

    def put(self, drawn: Drawn, sound_kept: int) -> None:
        """Let a new frame replace the waiting one. `sound_kept`: bytes of sound that one message may carry."""
        old, self._waiting = self._waiting, drawn
        if old is None or old.header.epoch != drawn.header.epoch:
            return
        new = drawn.header
        channels = new.sound_channels or old.header.sound_channels
        sound = _newest(old.sound + drawn.sound, sound_kept, channels)
        header = msgspec.structs.replace(
            new,
            reward=old.header.reward + new.reward,
            terminated=old.header.terminated or new.terminated,
            truncated=old.header.truncated or new.truncated,
            skipped=old.header.skipped + 1,
            sound_samples=len(sound) // (BYTES_PER_SAMPLE * max(1, channels)),
            sound_channels=channels if sound else 0,
        )
        self._waiting = Drawn(header, drawn.pixels, sound)

    def take(self, now_ns: int) -> Packet | None:
        """The frame to send now, stamped and numbered, if there is one and credit for it."""
        if self._waiting is None or self.sent >= self._credit:
            return None
        drawn, self._waiting = self._waiting, None
        self.sent += 1
        header = msgspec.structs.replace(drawn.header, number=self.sent, sent_ns=now_ns)
        return Packet(header, drawn.payload)

    def clear(self) -> None:
        """Drop the waiting frame: it belongs to an episode that is over."""
        self._waiting = None


def _newest(sound: bytes, limit: int, channels: int) -> bytes:
    step = BYTES_PER_SAMPLE * max(1, channels)
    return sound[len(sound) - limit // step * step :] if len(sound) > limit else sound


def sound_kept_bytes(info: WorldInfo) -> int:
    """How much sound one message may carry."""
    return int(info.sound_rate_hz * SOUND_KEPT_S) * max(1, info.sound_channels) * BYTES_PER_SAMPLE
