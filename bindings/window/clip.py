"""Clip: what the window shows, written to an mp4 with one picture for each frame of the world, and its sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.codec
import av.container
import numpy as np
import pygame
from av.codec.codec import UnknownCodecError

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.frames import Frame

CODECS = (("libx264", {"preset": "veryfast", "crf": "18"}), ("libopenh264", {}), ("mpeg4", {"qscale": "3"}))
"""Encoders to try in turn, with their settings; the last one is part of every FFmpeg."""

CLIP_SOUND_HZ = 48_000
"""Sound rate of every clip: AAC knows only some, and a world may have any."""

LONGEST_GAP_S = 2.0
"""A jump in the world's frame index (a restored state) stands still for at most this long in the clip."""


class Clip:
    """An mp4 that is being written. It appears under its name when it is complete.

    Time in the clip is the world's own: frame n lasts from n / rate to (n + 1) / rate, however late it came.
    A frame that never arrived leaves the one before it on screen.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], rate_hz: float, *, sound_rate_hz: int = 0, sound_channels: int = 0
    ):
        """Begin a clip.

        Args:
            size: width and height of its pictures, pixels; odd ones lose a pixel, which the video format asks for.
            sound_rate_hz: samples a second of the world's sound, 0 for a silent clip.

        Raises InhabitError when the file cannot be written.
        """
        self.path = path
        self.size = (size[0] // 2 * 2, size[1] // 2 * 2)
        self.rate_hz = rate_hz
        self.frames = 0
        self._closed = False
        self._tick = 0
        self._last: tuple[int, int] | None = None
        self._partial = path.with_name(f"{path.name}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._container = av.open(str(self._partial), "w", format="mp4")
        except OSError as error:
            raise InhabitError(f"Cannot write {path}: {error.strerror or error}, choose another folder") from error
        self._stream = self._open_stream()
        self._track = SoundTrack(self._container, sound_rate_hz, sound_channels) if sound_rate_hz else None

    def _open_stream(self) -> av.VideoStream:
        name, settings = next((name, settings) for name, settings in CODECS if _has_encoder(name))
        rate = Fraction(self.rate_hz).limit_denominator(1001)
        stream = self._container.add_stream(name, rate=rate, options=settings)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = self.size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = 1 / rate
        return stream

    @property
    def seconds(self) -> float:
        """Length so far, s of the world's time."""
        return (self._tick + 1) / self.rate_hz if self.frames else 0.0

    def add(self, picture: pygame.Surface, frame: Frame) -> None:
        """Append what was shown for a frame; a picture of another size is scaled. The same frame twice is one.

        Raises InhabitError when it cannot be written.
        """
        if self._last == (frame.epoch, frame.index):
            return
        if self._last:
            gap = frame.index - self._last[1] if frame.epoch == self._last[0] else 1
            self._tick += int(min(max(gap, 1), LONGEST_GAP_S * self.rate_hz))
        self._last = (frame.epoch, frame.index)
        if picture.get_size() != self.size:
            picture = pygame.transform.smoothscale(picture, self.size)
        width, height = self.size
        pixels = np.frombuffer(pygame.image.tobytes(picture, "RGB"), np.uint8).reshape(height, width, 3)
        video = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        video.pts = self._tick
        video.time_base = self._stream.codec_context.time_base
        try:
            self._container.mux(self._stream.encode(video))
            if self._track:
                self._track.add(frame.sound, ends_s=(self._tick + 1) / self.rate_hz)
        except OSError as error:
            raise self._trouble(error) from error
        self.frames += 1

    def close(self) -> None:
        """Finish the file and give it its name; a clip without a frame leaves no file. Calling it twice is fine.

        Raises InhabitError when it cannot be written, such as on a full disk.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if self.frames:
                self._container.mux(self._stream.encode(None))
                if self._track:
                    self._track.close()
            self._container.close()
        except OSError as error:
            raise self._trouble(error) from error
        if self.frames:
            self._partial.replace(self.path)
        else:
            self._partial.unlink()

    def _trouble(self, error: OSError) -> InhabitError:
        return InhabitError(f"Cannot go on writing {self.path}: {error.strerror or error}")

    def __enter__(self) -> Clip:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self.close()


class SoundTrack:
    """A clip's sound. Each frame's sound ends when the frame does; where none came there is silence."""

    def __init__(self, container: av.container.OutputContainer, rate_hz: int, channels: int):
        layout = {1: "mono", 2: "stereo"}.get(channels)
        if layout is None:
            raise InhabitError(f"Expected sound of 1 or 2 channels, got {channels}")
        self._container, self._rate_hz, self._layout, self._channels = container, rate_hz, layout, channels
        stream = container.add_stream("aac", rate=CLIP_SOUND_HZ)
        assert isinstance(stream, av.AudioStream)
        stream.layout = layout
        self._stream = stream
        self._written = 0

    def add(self, samples: np.ndarray, *, ends_s: float) -> None:
        """Append (samples, channels) int16 that were heard up to `ends_s` of the clip's time."""
        begins = round(ends_s * self._rate_hz) - len(samples)
        silence = np.zeros((max(0, begins - self._written), self._channels), np.int16)
        heard = samples.reshape(-1, self._channels)[max(0, self._written - begins) :]
        sound = np.concatenate([silence, heard])
        if not len(sound):
            return
        packet = av.AudioFrame.from_ndarray(sound.reshape(1, -1), format="s16", layout=self._layout)
        packet.sample_rate = self._rate_hz
        packet.pts, packet.time_base = self._written, Fraction(1, self._rate_hz)
        self._written += len(sound)
        self._container.mux(self._stream.encode(packet))

    def close(self) -> None:
        """Write what the encoder still holds."""
        self._container.mux(self._stream.encode(None))


def _has_encoder(name: str) -> bool:
    try:
        av.codec.Codec(name, "w")
    except UnknownCodecError:
        return False
    return True
