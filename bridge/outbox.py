"""Frames on their way out: one slot that holds only the newest, and the credit that lets it go.

Queues do not bound a frame's age, credit does: with a client that takes 100 ms for a frame, a queue of one still showed
frames 660 ms old, credit given when the client is ready to draw showed them 10 ms old.
"""

from __future__ import annotations

import msgspec
import numpy as np

from inhabit.bridge.codec import Packet
from inhabit.bridge.errors import WorldError
from inhabit.bridge.frames import Frame
from inhabit.bridge.inputs import Answered
from inhabit.bridge.messages import FrameHeader
from inhabit.bridge.world import WorldInfo

SOUND_KEPT_S = 0.5
"""Sound of skipped frames that is kept for the next one; what is older is dropped."""

BYTES_PER_SAMPLE = 2


class FrameSlot:
    """The newest frame that waits for credit. What happened in frames that it replaced is not lost."""

    def __init__(self, credit_max: int):
        self._credit_max = credit_max
        self._credit = 0
        self._waiting: tuple[FrameHeader, bytes, bytes] | None = None
        self.sent = 0

    def grant(self, upto: int) -> None:
        """Take an absolute credit. It never goes down, and never covers more than the window."""
        self._credit = max(self._credit, min(upto, self.sent + self._credit_max))

    def put(self, header: FrameHeader, pixels: bytes, sound: bytes, sound_kept: int) -> None:
        """Let a new frame replace the waiting one. `sound_kept`: bytes of sound that one message may carry."""
        if self._waiting is not None and self._waiting[0].epoch == header.epoch:
            old, _, old_sound = self._waiting
            sound = _newest(old_sound + sound, sound_kept, header.sound_channels)
            header = msgspec.structs.replace(
                header,
                reward=old.reward + header.reward,
                terminated=old.terminated or header.terminated,
                truncated=old.truncated or header.truncated,
                skipped=old.skipped + 1,
                sound_samples=len(sound) // (BYTES_PER_SAMPLE * max(1, header.sound_channels)),
            )
        self._waiting = (header, pixels, sound)

    def ready(self) -> bool:
        return self._waiting is not None and self.sent < self._credit

    def take(self, now_ns: int) -> Packet | None:
        """The frame to send now, stamped and numbered, if there is one and credit for it."""
        if self._waiting is None or self.sent >= self._credit:
            return None
        header, pixels, sound = self._waiting
        self._waiting = None
        self.sent += 1
        header = msgspec.structs.replace(header, number=self.sent, sent_ns=now_ns)
        return Packet(header, (pixels, sound) if sound else (pixels,))

    def clear(self) -> None:
        """Drop the waiting frame: it belongs to an episode that is over."""
        self._waiting = None


def _newest(sound: bytes, limit: int, channels: int) -> bytes:
    step = BYTES_PER_SAMPLE * max(1, channels)
    return sound[len(sound) - limit // step * step :] if len(sound) > limit else sound


def sound_kept_bytes(info: WorldInfo) -> int:
    """How much sound one message may carry."""
    return int(info.sound_rate_hz * SOUND_KEPT_S) * max(1, info.sound_channels) * BYTES_PER_SAMPLE


def write_frame(
    info: WorldInfo, frame: Frame, *, epoch: int, answered: Answered, sampled_ns: int, done_ns: int
) -> tuple[FrameHeader, bytes, bytes]:
    """Header, pixels and sound of a frame. Copies, because a world may draw its next frame into the same array.

    Raises WorldError when the frame is not what `info` promised.
    """
    pixels, sound = frame.pixels, frame.sound
    shape = (info.height, info.width, 3)
    if pixels.shape != shape or pixels.dtype != np.uint8:
        raise WorldError(
            f"Expected pixels {shape} uint8, got {pixels.shape} {pixels.dtype} - at a frame of {info.name}"
        )
    if sound.ndim != 2 or sound.dtype != np.int16:
        raise WorldError(
            f"Expected sound (samples, channels) int16, got {sound.shape} {sound.dtype} - at a frame of {info.name}"
        )
    if not np.isfinite(frame.reward):
        raise WorldError(f"Expected a finite reward, got {frame.reward} - at a frame of {info.name}")
    header = FrameHeader(
        epoch=epoch, number=0, index=int(frame.index), input_seq=answered.seq, input_t_ns=answered.t_ns,
        received_ns=answered.received_ns, sampled_ns=sampled_ns, done_ns=done_ns, width=info.width, height=info.height,
        sound_samples=sound.shape[0], sound_channels=sound.shape[1] if sound.size else 0, reward=float(frame.reward),
        terminated=bool(frame.terminated), truncated=bool(frame.truncated),
    )  # fmt: skip
    return header, pixels.tobytes(), sound.astype("<i2", copy=False).tobytes()
