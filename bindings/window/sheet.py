"""ContactSheet: a few pictures of a whole clip on one page, each with its time and what was pressed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pygame
from PIL import Image, ImageDraw, ImageFont

from inhabit.bridge.errors import InhabitError

COLUMNS, ROWS = 6, 4
THUMB_WIDTH_PX = 256
TEXT_PX = 14
MARGIN_PX = 8
INK, PAPER, QUIET = (237, 239, 243), (18, 20, 25), (154, 163, 178)


@dataclass(frozen=True, slots=True)
class Thumb:
    """One picture on the sheet."""

    seconds: float
    pressed: str
    image: Image.Image


class ContactSheet:
    """Collects pictures while a clip of unknown length goes on: when it has too many it keeps every other one."""

    def __init__(self, columns: int = COLUMNS, rows: int = ROWS):
        self.columns, self.rows = columns, rows
        self._thumbs: list[Thumb] = []
        self._every = 1
        self._offered = 0

    def add(self, picture: pygame.Surface, seconds: float, pressed: str) -> None:
        """Offer a picture.

        Args:
            seconds: its time in the clip.
            pressed: the actions it shows, such as "TURN_LEFT ATTACK".
        """
        if self._offered % self._every == 0:
            self._thumbs.append(Thumb(seconds, pressed, _shrink(picture)))
        self._offered += 1
        if len(self._thumbs) >= 4 * self.columns * self.rows:
            self._thumbs = self._thumbs[::2]
            self._every *= 2

    @property
    def chosen(self) -> list[Thumb]:
        """The pictures that go on the sheet: evenly spread, first and last among them."""
        places = self.columns * self.rows
        count = len(self._thumbs)
        if count <= places:
            return list(self._thumbs)
        return [self._thumbs[round(place * (count - 1) / (places - 1))] for place in range(places)]

    def save(self, path: Path) -> None:
        """Write the sheet as a PNG; nothing is written when there is no picture. Raises InhabitError if that fails."""
        thumbs = self.chosen
        if not thumbs:
            return
        width, height = thumbs[0].image.size
        cell_width, cell_height = width + MARGIN_PX, height + MARGIN_PX + 2 * TEXT_PX
        rows = math.ceil(len(thumbs) / self.columns)
        page = Image.new("RGB", (self.columns * cell_width + MARGIN_PX, rows * cell_height + MARGIN_PX), PAPER)
        draw, font = ImageDraw.Draw(page), ImageFont.load_default(TEXT_PX)
        for number, thumb in enumerate(thumbs):
            x = MARGIN_PX + number % self.columns * cell_width
            y = MARGIN_PX + number // self.columns * cell_height
            page.paste(thumb.image, (x, y))
            time = f"{thumb.seconds:.1f} s"
            draw.text((x, y + height + 4), time, fill=QUIET, font=font)
            draw.text((x + 48, y + height + 4), _shorten(thumb.pressed, font, width - 48), fill=INK, font=font)
        try:
            page.save(path)
        except OSError as error:
            raise InhabitError(f"Cannot write {path}: {error.strerror or error}") from error


def _shrink(picture: pygame.Surface) -> Image.Image:
    image = Image.frombytes("RGB", picture.get_size(), pygame.image.tobytes(picture, "RGB"))
    height = max(1, round(THUMB_WIDTH_PX * image.height / image.width))
    filter_ = Image.Resampling.BOX if image.width >= THUMB_WIDTH_PX else Image.Resampling.NEAREST
    return image.resize((THUMB_WIDTH_PX, height), filter_)


def _shorten(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room_px: int) -> str:
    while words and font.getlength(words) > room_px:
        words = words[:-4] + "..." if len(words) > 4 else ""
    return words
