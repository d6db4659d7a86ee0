"""Pictures and clips that a world may begin from: read, checked, and fitted to the world's frame.

The rules: a picture is scaled, never stretched. "crop" covers the frame and cuts what is too much, as much on either
side; "pad" shows all of it and repeats its edges into the rest. Transparent pixels lie on black, and a photograph is
turned as its camera says. Of a clip the last moments count, taken at the world's own rate.
"""

from __future__ import annotations

import io
import warnings
from fractions import Fraction
from typing import Any

import av
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from inhabit.bridge.errors import WorldError

FITS = ("crop", "pad")
MOST_BYTES = 16 * 1024 * 1024
MOST_PIXELS = 40_000_000
MOST_SECONDS = 60.0
"""Of a clip, only this much is read."""


def picture(value: Any, *, width: int, height: int, fit: str = "crop") -> np.ndarray:
    """One frame from a picture of any size. Shape (height, width, 3) uint8.

    Args:
        value: (h, w, 3) uint8, or the bytes of a PNG, JPEG, WebP or any other file that Pillow reads.

    Raises WorldError for anything else, and for files that are damaged or too large.
    """
    if isinstance(value, np.ndarray):
        return fitted(_checked(value, 3), width=width, height=height, fit=fit)
    data = _checked_bytes(value, "picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a size between Pillow's own limit and ours
            image = Image.open(io.BytesIO(data))
            if image.width * image.height > MOST_PIXELS:
                raise WorldError(f"Expected at most {MOST_PIXELS // 1_000_000} megapixels, got a picture {image.size}")
            image = ImageOps.exif_transpose(image)
            clear = image.convert("RGBA")
            flat = Image.alpha_composite(Image.new("RGBA", clear.size, "black"), clear).convert("RGB")
    except Image.DecompressionBombError as error:
        raise WorldError(f"Expected at most {MOST_PIXELS // 1_000_000} megapixels, got far more ({error})") from error
    except UnidentifiedImageError as error:
        raise WorldError(f"Expected a picture such as PNG or JPEG, got {len(data)} other bytes") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise WorldError(f"Expected a whole picture, got a damaged one ({error})") from error
    return fitted(np.asarray(flat), width=width, height=height, fit=fit)


def clip(value: Any, *, width: int, height: int, frames: int, rate_hz: float, fit: str = "crop") -> np.ndarray:
    """The last moments of a clip. Shape (1 to frames, height, width, 3) uint8.

    Args:
        value: (n, h, w, 3) uint8 at the world's rate, or the bytes of a video file that FFmpeg reads.
        frames: how many at most.
        rate_hz: frames a second of the world; a file's are taken at the moments that it asks for.

    Raises WorldError for anything else, and for files that are damaged or too large.
    """
    if isinstance(value, np.ndarray):
        shown = list(_checked(value, 4)[-frames:])
    else:
        shown = _read(_checked_bytes(value, "clip"), frames, rate_hz)
    return np.stack([fitted(frame, width=width, height=height, fit=fit) for frame in shown])


def fitted(pixels: np.ndarray, *, width: int, height: int, fit: str = "crop") -> np.ndarray:
    """Scale a picture into a frame, by the rules above. Shapes: (h, w, 3) uint8 -> (height, width, 3) uint8."""
    if fit not in FITS:
        raise WorldError(f"Expected fit to be one of {', '.join(FITS)}, got {fit!r}")
    h, w = pixels.shape[:2]
    if (h, w) == (height, width):
        return np.ascontiguousarray(pixels)
    scales = width / w, height / h
    scale = max(scales) if fit == "crop" else min(scales)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    scaled = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))
    if fit == "pad":
        down, across = height - size[1], width - size[0]
        edges = ((down // 2, down - down // 2), (across // 2, across - across // 2), (0, 0))
        return np.pad(scaled, edges, mode="edge")
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return np.ascontiguousarray(scaled[top : top + height, left : left + width])


def _read(data: bytes, frames: int, rate_hz: float) -> list[np.ndarray]:
    every, kept, due = Fraction(1) / Fraction(rate_hz).limit_denominator(1000), [], None
    try:
        with av.open(io.BytesIO(data)) as file:
            if file.format.name.endswith("_pipe") or file.format.name == "image2":
                raise WorldError("Expected a clip such as MP4 or WebM, got a picture: begin in it as an image")
            if not file.streams.video:
                raise WorldError("Expected a clip with a picture, got one without")
            stream = file.streams.video[0]
            if stream.width * stream.height > MOST_PIXELS:
                raise WorldError(f"Expected at most {MOST_PIXELS // 1_000_000} megapixels, got {stream.width} by "
                                 f"{stream.height}")  # fmt: skip
            for number, frame in enumerate(file.decode(stream)):
                at = Fraction(frame.time).limit_denominator(100_000) if frame.time is not None else number * every
                due = at if due is None else due
                if at >= due:
                    kept = [*kept[-(frames - 1) :], frame] if frames > 1 else [frame]
                    due += every
                if at > MOST_SECONDS:
                    break
            shown = [frame.to_ndarray(format="rgb24") for frame in kept]
    except (av.FFmpegError, ValueError) as error:
        raise WorldError(f"Expected a whole clip such as MP4 or WebM, got {len(data)} other bytes ({error})") from error
    if not shown:
        raise WorldError("Expected a clip with frames, got one without")
    return shown


def _checked(pixels: np.ndarray, dimensions: int) -> np.ndarray:
    shape = "(h, w, 3)" if dimensions == 3 else "(n, h, w, 3)"
    if pixels.dtype != np.uint8 or pixels.ndim != dimensions or pixels.shape[-1] != 3 or 0 in pixels.shape:
        raise WorldError(f"Expected uint8 pixels {shape}, got {pixels.dtype} {pixels.shape}")
    if pixels.shape[-3] * pixels.shape[-2] > MOST_PIXELS:
        raise WorldError(f"Expected at most {MOST_PIXELS // 1_000_000} megapixels, got {pixels.shape}")
    return pixels


def _checked_bytes(value: Any, what: str) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise WorldError(f"Expected a {what} as uint8 pixels or the bytes of a file, got {type(value).__name__}")
    if not 0 < len(value) <= MOST_BYTES:
        raise WorldError(f"Expected a {what} of 1 to {MOST_BYTES} bytes, got {len(value)}")
    return bytes(value)
