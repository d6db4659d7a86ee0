"""Pictures as H.264 or JPEG, for links that raw pixels are too wide for. Only this file knows PyAV; it is optional.

H.264 is made for a game: no frame waits for a later one (zerolatency), and instead of large key frames a column of
fresh picture wanders over it (intra-refresh), so that no single frame is ten times as large as the others. A frame that
was encoded must be sent: what is to be left out is left out before.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection
from fractions import Fraction
from typing import Any, Literal, Protocol

import numpy as np

from inhabit.bridge.codec import Part

Encoding = Literal["h264", "jpeg"]
ENCODINGS: tuple[Encoding, ...] = ("h264", "jpeg")

BITS_PER_PIXEL = 0.12
"""Of H.264, on average."""

LEAST_BIT_RATE = 300_000
BUFFER_S = 0.1
"""No more than this time's bits may come at once."""

REFRESH_S = 2.0
"""The picture is wholly fresh after this long, at the latest."""

JPEG_QUALITY = 85


class PictureError(ValueError):
    """Bytes that give no picture."""


class Encoder(Protocol):
    def encode(self, pixels: Part) -> tuple[bytes, bool]:
        """One picture, and whether it stands alone."""
        ...


class Decoder(Protocol):
    def decode(self, data: Part, width: int, height: int) -> np.ndarray:
        """One picture, (height, width, 3) uint8. Raises PictureError."""
        ...


def choose(takes: Collection[str], width: int, height: int) -> Encoding | None:
    """The best encoding that the client takes, that can be made here, and that suits pictures of that size."""
    for encoding in ENCODINGS:
        module = "av" if encoding == "h264" else "PIL"
        fits = encoding == "jpeg" or (width % 2 == 0 and height % 2 == 0)
        if encoding in takes and fits and importlib.util.find_spec(module) is not None:
            return encoding
    return None


def decodable() -> tuple[Encoding, ...]:
    """What a client on this machine can take."""
    modules = {"h264": "av", "jpeg": "PIL"}
    return tuple(encoding for encoding in ENCODINGS if importlib.util.find_spec(modules[encoding]) is not None)


def make_encoder(encoding: Encoding, width: int, height: int, rate_hz: float) -> Encoder:
    return H264Encoder(width, height, rate_hz) if encoding == "h264" else JpegEncoder(width, height)


def make_decoder(encoding: Encoding) -> Decoder:
    return H264Decoder() if encoding == "h264" else JpegDecoder()


class H264Encoder:
    """One stream. The first picture stands alone, later ones need those before."""

    def __init__(self, width: int, height: int, rate_hz: float):
        import av

        rate = max(1, round(rate_hz))
        bit_rate = max(LEAST_BIT_RATE, round(width * height * rate * BITS_PER_PIXEL))
        codec: Any = av.CodecContext.create("libx264", "w")
        codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
        codec.framerate, codec.time_base = Fraction(rate), Fraction(1, rate)
        codec.bit_rate, codec.max_b_frames = bit_rate, 0
        kilobits = bit_rate // 1000
        codec.options = {
            "preset": "veryfast", "tune": "zerolatency",
            "x264-params": (
                f"intra-refresh=1:keyint={max(2, round(rate * REFRESH_S))}:repeat-headers=1:"
                f"vbv-maxrate={kilobits}:vbv-bufsize={max(1, round(kilobits * BUFFER_S))}"
            ),
        }  # fmt: skip
        self._codec, self._shape, self._count = codec, (height, width, 3), 0

    def encode(self, pixels: Part) -> tuple[bytes, bool]:
        import av

        frame = av.VideoFrame.from_ndarray(np.frombuffer(pixels, np.uint8).reshape(self._shape), format="rgb24")
        frame.pts = self._count
        self._count += 1
        packets = self._codec.encode(frame)
        return b"".join(bytes(packet) for packet in packets), self._count == 1


class JpegEncoder:
    """Every picture stands alone."""

    def __init__(self, width: int, height: int):
        self._shape = (height, width, 3)

    def encode(self, pixels: Part) -> tuple[bytes, bool]:
        import io

        from PIL import Image

        file = io.BytesIO()
        image = Image.fromarray(np.frombuffer(pixels, np.uint8).reshape(self._shape))
        image.save(file, "JPEG", quality=JPEG_QUALITY)
        return file.getvalue(), True


class H264Decoder:
    """One stream, from a picture that stands alone."""

    def __init__(self) -> None:
        import av
        from av.codec.context import Flags

        codec: Any = av.CodecContext.create("h264", "r")
        codec.thread_type = "SLICE"  # frame threads would hold pictures back
        codec.flags |= Flags.low_delay
        self._codec = codec

    def decode(self, data: Part, width: int, height: int) -> np.ndarray:
        import av
        from av.error import FFmpegError

        try:
            frames = self._codec.decode(av.Packet(bytes(data)))
        except FFmpegError as error:
            raise PictureError(f"Expected a picture of H.264, got: {error}") from error
        if not frames:
            raise PictureError("Expected a picture of H.264, got a part of one")
        return _checked(frames[-1].to_ndarray(format="rgb24"), width, height)


class JpegDecoder:
    def decode(self, data: Part, width: int, height: int) -> np.ndarray:
        import io

        from PIL import Image

        try:
            with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
                if image.size != (width, height):  # before it is decoded: a bomb is refused unopened
                    raise PictureError(f"Expected a picture of {width}x{height}, got {image.width}x{image.height}")
                return _checked(np.asarray(image.convert("RGB")), width, height)
        except (OSError, SyntaxError) as error:
            raise PictureError(f"Expected a JPEG, got: {error}") from error


def _checked(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    if pixels.shape != (height, width, 3):
        raise PictureError(f"Expected a picture of {width}x{height}, got {pixels.shape[1]}x{pixels.shape[0]}")
    return pixels
