"""Speaker: a world's sound, played without gaps by a thread of SDL's. Only this file knows the audio device.

What is in hand, how much of it, and what becomes of sound that is late is bridge/sound_buffer.py's to say.
"""

from __future__ import annotations

import threading
import time

import pygame
from pygame._sdl2 import audio
from pygame._sdl2.sdl2 import INIT_AUDIO, init_subsystem

from inhabit.bridge.frames import Frame
from inhabit.bridge.sound_buffer import SoundBuffer

CHUNK = 256
"""Samples that the device asks for at a time."""

REST_S = 0.3
"""How long a device may take to be between two fillings when it is closed, s."""

VOLUMES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)


class Speaker:
    """The sound of one world on the default audio device. Without a device it is silent, and says why."""

    def __init__(self) -> None:
        self.volume = 0.75
        """0 to 1."""

        self.trouble = ""
        """Why nothing can be heard; "" when all is well."""

        self.queue: SoundBuffer | None = None
        self._device: audio.AudioDevice | None = None
        self._episode = -1
        self._filled = threading.Event()

    def play(self, frame: Frame, rate_hz: int) -> None:
        """Let a frame be heard; the first one with sound opens the device.

        Args:
            rate_hz: samples a second of the world's sound.
        """
        if not frame.sound.size:
            return
        channels = frame.sound.shape[1]
        if self.queue is None or (self.queue.rate_hz, self.queue.channels) != (rate_hz, channels):
            self.play_from(SoundBuffer(rate_hz, channels))
        assert self.queue is not None
        if frame.epoch != self._episode:
            self._episode = frame.epoch
            self.queue.clear()
        self.queue.put(frame.sound)

    def play_from(self, buffer: SoundBuffer) -> None:
        """Let be heard what comes out of this buffer; a new one opens the device anew."""
        if buffer is not self.queue:
            self.close()
            self.queue = buffer
            self._open(buffer.rate_hz, buffer.channels)

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
        """Let the device go. Calling it twice is fine.

        A speaker must be closed: SDL waits for the thread that fills the device, and that for the interpreter's lock,
        which we hold then. So it is closed right after a filling, when the thread is where it needs nothing of ours.
        """
        device, self._device = self._device, None
        if device:
            self._filled.clear()
            self._filled.wait(REST_S)
            time.sleep(0.001)
            device.close()

    def _open(self, rate_hz: int, channels: int) -> None:
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
        self._filled.set()
