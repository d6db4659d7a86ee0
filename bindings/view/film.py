"""Film: what a program without a window drew, as an mp4, or as a page of moments."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from inhabit.bridge.errors import InhabitError, MissingExtraError
from inhabit.bridge.report import make_room

ENDINGS = (".mp4", ".png")
MOMENTS, COLUMNS = 6, 3
KEPT = 4 * MOMENTS
"""Pictures that are kept for a page; when there are more, every other one is let go."""


class Film:
    """A film that is being written. It is complete after close(), or when its `with` block ends.

    Args:
        path: ending in .mp4 for a film, or .png for a page of six moments, the first and the last among them.
        rate_hz: pictures a second of the film.

    Raises InhabitError for another ending or when it cannot be written, MissingExtraError without PyAV or Pillow.
    """

    def __init__(self, path: Path, rate_hz: float):
        if path.suffix.lower() not in ENDINGS:
            raise InhabitError(f"Expected a file that ends in {' or '.join(ENDINGS)}, got {path}")
        make_room(path)
        self.path, self.pictures = path, 0
        self._rate = Fraction(rate_hz).limit_denominator(1001)
        self._kept: list[np.ndarray] = []
        self._every = 1
        self._container: Any = None
        self._stream: Any = None

    def add(self, pixels: np.ndarray) -> None:
        """Append a picture, (height, width, 3) uint8 RGB; all have the size of the first."""
        if self.path.suffix.lower() == ".mp4":
            self._write(pixels)
        elif self.pictures % self._every == 0:
            self._kept.append(pixels.copy())
            if len(self._kept) > KEPT:
                self._kept, self._every = self._kept[::2], self._every * 2
        self.pictures += 1

    def close(self) -> None:
        """Finish the file. Without a picture there is none."""
        if self._container is not None:
            self._container.mux(self._stream.encode(None))
            self._container.close()
            self._container = None
        elif self._kept:
            self._save_page()
            self._kept = []

    def _write(self, pixels: np.ndarray) -> None:
        try:
            import av
        except ImportError as error:
            raise MissingExtraError("av", "window") from error
        height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
        if self._container is None:
            try:
                self._container = av.open(str(self.path), "w")
            except OSError as error:
                raise InhabitError(f"Cannot write {self.path}: {error.strerror or error}") from error
            self._stream = self._container.add_stream("libx264", rate=self._rate, options={"crf": "20"})
            self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
        self._container.mux(self._stream.encode(picture))

    def _save_page(self) -> None:
        try:
            from PIL import Image
        except ImportError as error:
            raise MissingExtraError("pillow", "gl") from error
        count = min(MOMENTS, len(self._kept))
        chosen = [self._kept[round(place * (len(self._kept) - 1) / max(1, count - 1))] for place in range(count)]
        columns = min(COLUMNS, count)
        height, width = chosen[0].shape[:2]
        page = Image.new("RGB", (columns * width, -(-count // columns) * height))
        for place, pixels in enumerate(chosen):
            page.paste(Image.fromarray(pixels), (place % columns * width, place // columns * height))
        try:
            page.save(self.path)
        except OSError as error:
            raise InhabitError(f"Cannot write {self.path}: {error.strerror or error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
