"""Sound as Opus, for links where PCM is too much. With pictures.py the only file that knows PyAV; it is optional.

Opus knows packets of fixed length and rates of its own: what a world's frame sounds like is brought to 48 kHz and cut
into packets of 10 ms. What is left of a packet goes with the next frame, so that sound arrives up to 17 ms after its
picture (10 ms of a packet, 6.5 ms that Opus looks ahead), which nobody hears as late.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Iterator
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from inhabit.bridge.codec import Part

OPUS_HZ = 48_000
PACKET_MS = 10
BITS_PER_CHANNEL = 48_000
"""Of Opus, a second."""

LENGTH_BYTES = 2
"""In front of each packet."""

SPARE_S = 0.2
"""A part may give so much more than its header says; the rest of it is not decoded."""

CHANNELS_MAX = 2
LEAST_HZ, MOST_HZ = 4_000, 192_000


@cache
def has_opus() -> bool:
    """Whether PyAV is here, and has an encoder and a decoder of Opus."""
    if importlib.util.find_spec("av") is None:
        return False
    import av

    return "libopus" in av.codecs_available


def speaks_opus(takes: Collection[str], rate_hz: int, channels: int) -> bool:
    """Whether to send Opus to a client that takes these, of a world that sounds so; a silent one has 0 of both."""
    return "opus" in takes and LEAST_HZ <= rate_hz <= MOST_HZ and 1 <= channels <= CHANNELS_MAX and has_opus()


class OpusEncoder:
    """One stream of (samples, channels) int16, little-endian bytes in, packets out."""

    def __init__(self, rate_hz: int, channels: int):
        import av

        codec: Any = av.CodecContext.create("libopus", "w")
        codec.sample_rate, codec.format, codec.layout = OPUS_HZ, "s16", _layout(channels)
        codec.bit_rate, codec.time_base = BITS_PER_CHANNEL * channels, Fraction(1, OPUS_HZ)
        codec.options = {"application": "audio", "frame_duration": str(PACKET_MS)}
        codec.open()
        self._codec, self._rate_hz, self._channels, self._count = codec, rate_hz, channels, 0
        self._cut: Any = av.AudioResampler("s16", _layout(channels), OPUS_HZ, frame_size=codec.frame_size)

    def encode(self, sound: Part) -> bytes:
        """The packets that have become whole, each led by its length; none when it was too little for one."""
        samples = np.frombuffer(sound, "<i2")
        if not samples.size:
            return b""
        whole = []
        for frame in self._cut.resample(_frame(samples, self._rate_hz, self._channels)):
            frame.pts = self._count
            self._count += frame.samples
            whole += [bytes(packet) for packet in self._codec.encode(frame)]
        return b"".join(len(packet).to_bytes(LENGTH_BYTES, "little") + packet for packet in whole)


class OpusDecoder:
    """One stream of packets in, (samples, channels) int16 at the world's own rate out."""

    def __init__(self, rate_hz: int, channels: int):
        """Raises ValueError for what Opus, or a loudspeaker, cannot be."""
        import av

        if not 1 <= channels <= CHANNELS_MAX or not LEAST_HZ <= rate_hz <= MOST_HZ:
            raise ValueError(
                f"Expected 1 or {CHANNELS_MAX} channels at a rate of sound, got {channels} at {rate_hz} Hz"
            )
        self.channels = channels
        codec: Any = av.CodecContext.create("libopus", "r")
        codec.sample_rate, codec.layout = OPUS_HZ, _layout(channels)
        codec.open()
        self._codec, self._rate_hz = codec, rate_hz
        self._plain: Any = av.AudioResampler("s16", _layout(channels), rate_hz)

    def decode(self, data: Part, samples: int) -> np.ndarray:
        """What the packets sound like, about `samples` long; silence of that length for what is no Opus."""
        import av
        from av.error import FFmpegError

        pieces, left = [], samples + round(SPARE_S * self._rate_hz)
        try:
            for packet in _packets(bytes(data)):
                for frame in self._codec.decode(av.Packet(packet)):
                    for plain in self._plain.resample(frame):
                        pieces.append(plain.to_ndarray().reshape(-1, self.channels))
                        left -= plain.samples
                if left <= 0:
                    break
        except (FFmpegError, ValueError):
            return np.zeros((samples, self.channels), np.int16)
        return np.concatenate(pieces) if pieces else np.zeros((0, self.channels), np.int16)


def _packets(data: bytes) -> Iterator[bytes]:
    """Raises ValueError when the lengths do not fit."""
    at = 0
    while at < len(data):
        end = at + LENGTH_BYTES + int.from_bytes(data[at : at + LENGTH_BYTES], "little")
        if not at + LENGTH_BYTES < end <= len(data):
            raise ValueError(f"Expected a packet of at most {len(data) - at - LENGTH_BYTES} bytes")
        yield data[at + LENGTH_BYTES : end]
        at = end


def _frame(samples: np.ndarray, rate_hz: int, channels: int) -> Any:
    import av

    frame = av.AudioFrame.from_ndarray(
        samples.astype(np.int16, copy=False).reshape(1, -1), "s16", layout=_layout(channels)
    )
    frame.sample_rate = rate_hz
    return frame


def _layout(channels: int) -> str:
    return "mono" if channels == 1 else "stereo"
