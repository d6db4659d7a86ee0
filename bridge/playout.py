"""Sound and picture of one world, presented together by the world's own clock. Sans-I/O: a window calls it in its loop.

Sound is the master, because the ear hears a gap and the eye forgives a late frame. A picture is due when the sound that
begins with it is heard, or up to LEAD_S before: in games an early answer is worth more than lips that match, and so
nothing is held back on a quick link. Where no sound is played, every picture is due at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from inhabit.bridge.frames import Frame
from inhabit.bridge.pacing import monotonic_ns
from inhabit.bridge.sound_buffer import SoundBuffer

LEAD_S = 0.04
"""A picture may be seen this long before it is heard: not noticed by anybody (ITU-R BT.1359 puts it at 45 ms)."""

HELD_MAX = 16
"""Pictures that wait; with more the oldest is due."""


class Playout:
    """Frames in as they come, pictures out as they are due, sound out as a device asks for it."""

    def __init__(self, clock: Callable[[], int] = monotonic_ns):
        self.sound: SoundBuffer | None = None
        """None until a frame brought sound."""

        self._clock = clock
        self._waiting: deque[tuple[float, Frame]] = deque()
        self._epoch = -1

    def put(self, frame: Frame, *, rate_hz: float, sound_rate_hz: int) -> None:
        """Take a frame that has come. `rate_hz`: of the world; `sound_rate_hz`: of its samples, 0 when it is silent."""
        if frame.epoch != self._epoch:
            self._epoch = frame.epoch
            self.clear()
        if frame.sound.size and sound_rate_hz:
            channels = frame.sound.shape[1]
            if self.sound is None or (self.sound.rate_hz, self.sound.channels) != (sound_rate_hz, channels):
                self.sound = SoundBuffer(sound_rate_hz, channels, self._clock)
            self.sound.put(frame.sound, (frame.index + 1) / rate_hz)
        self._waiting.append((frame.index / rate_hz, frame))

    def show(self) -> Frame | None:
        """The next picture that is due, each one once and in order; None while the one before stays."""
        if not self._waiting:
            return None
        heard_s = self.sound.position_s() if self.sound is not None else None
        due_s, frame = self._waiting[0]
        if heard_s is not None and due_s > heard_s + LEAD_S and len(self._waiting) <= HELD_MAX:
            return None
        self._waiting.popleft()
        return frame

    def clear(self) -> None:
        """Forget what waits: another episode begins, or the world stands still."""
        self._waiting.clear()
        if self.sound is not None:
            self.sound.clear()
