"""Frames on their way in: the newest one, and the credit that lets the next one come. outbox.py is the other end."""

from __future__ import annotations

import numpy as np

from inhabit.bridge.codec import Part
from inhabit.bridge.frames import NO_SOUND, Frame, Stamps
from inhabit.bridge.messages import FrameHeader
from inhabit.bridge.pacing import NS_PER_MS

CREDIT_LOST_NS = 1_000 * NS_PER_MS
"""A grant without a frame for this long is taken as lost, and one more is given."""


class FrameInbox:
    """What has come, what is wanted, what was granted; all by the frames' numbers on this session."""

    def __init__(self, now_ns: int):
        self._frame: Frame | None = None
        self._seen = self._wanted = self._granted = 0
        self._granted_ns = now_ns

    def want(self) -> None:
        """The caller is ready to draw: one frame beyond those that have come."""
        self._wanted = max(self._wanted, self._seen + 1)

    def put(self, number: int, frame: Frame) -> None:
        """A frame came."""
        self._seen = max(self._seen, number)
        self._frame = frame

    def miss(self, number: int) -> None:
        """A frame came that cannot be shown: let another one come."""
        self._seen = max(self._seen, number)
        self.want()

    def take(self) -> Frame | None:
        """The newest frame, once."""
        frame, self._frame = self._frame, None
        return frame

    def clear(self) -> None:
        """Another episode has begun."""
        if self._frame is not None:
            self._frame = None
            self.want()  # it came for a caller who still waits

    def begin_anew(self) -> None:
        """Another session, whose frames are counted from 1."""
        self._seen, self._wanted, self._granted = 0, 1, 0

    def go_on(self, sent: int) -> None:
        """A session goes on after so many frames: what was on its way is lost, and so is credit for it."""
        self._seen = max(self._seen, sent)
        self._wanted, self._granted = self._seen + 1, self._seen

    def due(self, now_ns: int, *, running: bool) -> int:
        """What CREDIT should say now, 0 for nothing."""
        overdue = self._granted > self._seen and now_ns - self._granted_ns >= CREDIT_LOST_NS
        upto = self._granted + 1 if overdue and running else self._wanted
        return upto if upto > self._granted else 0

    def granted(self, upto: int, now_ns: int) -> None:
        """It was said."""
        self._granted, self._granted_ns = upto, now_ns


def read_frame(header: FrameHeader, payload: tuple[Part, ...], *, epoch_before: int, now_ns: int) -> Frame:
    """Make a Frame of what arrived, without copying the pixels."""
    sound = NO_SOUND
    if header.sound_bytes:
        sound = np.frombuffer(payload[1], "<i2").reshape(header.sound_samples, header.sound_channels)
    return Frame(
        pixels=np.frombuffer(payload[0], np.uint8).reshape(header.height, header.width, 3),
        index=header.index, sound=sound, reward=header.reward, terminated=header.terminated,
        truncated=header.truncated, answers=header.input_seq, epoch=epoch_before + header.epoch,
        stamps=Stamps(
            client_input_ns=header.input_t_ns, server_received_ns=header.received_ns,
            server_sampled_ns=header.sampled_ns, server_done_ns=header.done_ns, server_sent_ns=header.sent_ns,
            client_arrived_ns=now_ns,
        ),
    )  # fmt: skip
