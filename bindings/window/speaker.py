"""Speaker: a world's sound, played without gaps by a thread of SDL's. Only this file knows the audio device.

Frames bring their sound in lumps and not always on time, so a little is kept in hand before playing begins. When it
runs out, silence fades in and the reserve is gathered anew; when too much piles up, the oldest goes: sound that lags
behind its picture is worse than a gap.
"""

from __future__ import annotations

import threading

import numpy as np
import pygame
from pygame._sdl2 import audio
from pygame._sdl2.sdl2 import INIT_AUDIO, init_subsystem

from inhabit.bridge.frames import Frame

RESERVE_S = 0.12
"""Sound in hand before playing begins, s: two frames of a world at 17.5 Hz."""

LONGEST_LAG_S = 0.35
"""More than this in hand lags behind the picture, and is cut down to the reserve, s."""

CHUNK = 256
"""Samples that the device asks for at a time."""

FADE = 64
"""Samples over which sound begins and ends, so that nothing clicks."""

VOLUMES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


class Queue:
    """Samples on their way to a device, (samples, channels) int16. No device in here: take() is its whole face."""

    def __init__(self, rate_hz: int, channels: int):
        self.rate_hz, self.channels = rate_hz, channels
        self.underruns = 0
        """Times that it ran dry while sound was playing."""

        self.dropped = 0
        """Samples that were thrown away because they came too late to be heard with their picture."""

        self.taken = 0
        """Samples of the world's sound that were played."""

        self._waiting = np.zeros((0, channels), np.int16)
        self._flowing = False
        self._last = np.zeros(channels, np.float32)
        self._lock = threading.Lock()

    @property
    def lag_s(self) -> float:
        """Sound in hand, s."""
        return len(self._waiting) / self.rate_hz

    @property
    def playing(self) -> bool:
        """True while sound comes out of it."""
        return self._flowing

    def put(self, samples: np.ndarray) -> None:
        """Append (samples, channels) int16."""
        with self._lock:
            self._waiting = np.concatenate([self._waiting, samples])
            if self.lag_s > LONGEST_LAG_S:
                extra = len(self._waiting) - round(RESERVE_S * self.rate_hz)
                self.dropped += extra
                self._waiting = self._waiting[extra:]

    def clear(self) -> None:
        """Forget what waits: another episode begins, or the world stands still. That is no underrun."""
        with self._lock:
            self._waiting = self._waiting[:0]
            self._flowing = False

    def take(self, count: int) -> np.ndarray:
        """The next samples, (count, channels) float32, silence where there are none."""
        with self._lock:
            out = np.zeros((count, self.channels), np.float32)
            begins = not self._flowing
            if begins and self.lag_s < RESERVE_S:
                return self._ended(out)
            self._flowing = True
            found = min(count, len(self._waiting))
            out[:found] = self._waiting[:found]
            self._waiting = self._waiting[found:]
            self.taken += found
            if begins:
                rise = min(FADE, found)
                out[:rise] *= np.linspace(0, 1, rise, dtype=np.float32)[:, None]
            if found:
                self._last = out[found - 1].copy()
            if found < count:
                self.underruns += 1
                self._flowing = False
                out[found:] = self._ended(out[found:])
            return out

    def _ended(self, out: np.ndarray) -> np.ndarray:
        """Let the last sample die away instead of stopping dead."""
        fall = min(FADE, len(out))
        out[:fall] += self._last * np.linspace(1, 0, fall, dtype=np.float32)[:, None]
        self._last = np.zeros_like(self._last)
        return out


class Speaker:
    """The sound of one world on the default audio device. Without a device it is silent, and says why."""

    def __init__(self) -> None:
        self.volume = 0.75
        """0 to 1."""

        self.trouble = ""
        """Why nothing can be heard; "" when all is well."""

        self.queue: Queue | None = None
        self._device: audio.AudioDevice | None = None
        self._episode = -1

    def play(self, frame: Frame, rate_hz: int) -> None:
        """Let a frame be heard; the first one with sound opens the device.

        Args:
            rate_hz: samples a second of the world's sound.
        """
        if not frame.sound.size:
            return
        channels = frame.sound.shape[1]
        if self.queue is None or (self.queue.rate_hz, self.queue.channels) != (rate_hz, channels):
            self._open(rate_hz, channels)
        assert self.queue is not None
        if frame.epoch != self._episode:
            self._episode = frame.epoch
            self.queue.clear()
        self.queue.put(frame.sound)

    def rest(self) -> None:
        """The world stands still: what is in hand is not played on."""
        if self.queue:
            self.queue.clear()

    def turn_volume(self, louder: bool) -> float:
        """Go to the next volume and return it."""
        above = [volume for volume in VOLUMES if volume > self.volume]
        below = [volume for volume in VOLUMES if volume < self.volume]
        self.volume = (above[0] if above else VOLUMES[-1]) if louder else (below[-1] if below else VOLUMES[0])
        return self.volume

    def close(self) -> None:
        """Let the device go. Calling it twice is fine."""
        if self._device:
            self._device.close()
            self._device = None

    def _open(self, rate_hz: int, channels: int) -> None:
        self.close()
        self.queue = Queue(rate_hz, channels)
        try:
            init_subsystem(INIT_AUDIO)
            self._device = self._open_device(rate_hz, channels)
            self._device.pause(0)
        except (pygame.error, RuntimeError, OSError) as error:
            self.trouble = f"No sound: {error}"

    def _open_device(self, rate_hz: int, channels: int) -> audio.AudioDevice:
        """The default device; some drivers know it only by its name."""
        trouble: Exception | None = None
        for name in (None, *audio.get_audio_device_names(False)):
            try:
                return audio.AudioDevice(
                    devicename=name,
                    iscapture=False,
                    frequency=rate_hz,
                    audioformat=audio.AUDIO_S16,
                    numchannels=channels,
                    chunksize=CHUNK,
                    allowed_changes=0,
                    callback=self._fill,
                )
            except (pygame.error, RuntimeError) as error:
                trouble = error
        raise pygame.error(str(trouble))

    def _fill(self, device: audio.AudioDevice, room: memoryview) -> None:
        """Called by SDL's own thread."""
        queue = self.queue
        assert queue is not None
        samples = queue.take(len(room) // (2 * queue.channels)) * self.volume
        room[:] = samples.clip(-32768, 32767).astype("<i2").tobytes()
