"""Painter: text, panels and key caps, in sizes that follow the window. Everything the overlays are drawn with."""

from __future__ import annotations

import math

import pygame
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

TEXT: Colour = (237, 239, 243)
DIM: Colour = (154, 163, 178)
ACCENT: Colour = (125, 196, 255)
GOOD: Colour = (126, 217, 149)
WARN: Colour = (255, 196, 97)
BAD: Colour = (255, 121, 112)
PANEL = (13, 15, 20, 214)
EDGE = (255, 255, 255, 26)
CAP = (44, 49, 60)
CAP_EDGE = (92, 100, 116)

SMALLEST_TEXT_PX = 11
LARGEST_TEXT_PX = 28
FINER = 3
"""Text is set this many times larger and then reduced: letters then stand where they should, not on whole pixels."""

CACHED = 512
"""Rendered texts that are kept; all are dropped when there are more."""


class Painter:
    """Draws on one surface at a time; keeps fonts and rendered texts between frames.

    Text is set by Pillow: its built-in font is the same on every machine and is spaced better than pygame's.
    """

    def __init__(self) -> None:
        self._fonts: dict[int, ImageFont.FreeTypeFont | ImageFont.ImageFont] = {}
        self._texts: dict[tuple[str, int, Colour], pygame.Surface] = {}

    def text_px(self, surface: pygame.Surface, share: float = 1 / 32) -> int:
        """A text height that suits a surface's size, pixels."""
        width, height = surface.get_size()
        return int(max(SMALLEST_TEXT_PX, min(LARGEST_TEXT_PX, height * share, width * share * 0.8)))

    def text(self, words: str, px: int, colour: Colour = TEXT) -> pygame.Surface:
        """Render one line, as high as line_px() says."""
        key = (words, px, colour)
        if key not in self._texts:
            if len(self._texts) >= CACHED:
                self._texts.clear()
            self._texts[key] = self._render(words, px, colour)
        return self._texts[key]

    def width(self, words: str, px: int) -> int:
        """How wide a line will be, pixels."""
        return math.ceil(self._font(px * FINER).getlength(words) / FINER)

    def clip(self, words: str, px: int, room_px: int) -> str:
        """Shorten words so that they are at most `room_px` wide."""
        if self.width(words, px) <= room_px:
            return words
        while words and self.width(f"{words}...", px) > room_px:
            words = words[:-1]
        return f"{words}..."

    def line_px(self, px: int) -> int:
        """Distance from one line to the next, pixels."""
        return round(px * 1.45)

    def wrap(self, words: str, px: int, room_px: int) -> list[str]:
        """Break words into lines that are at most `room_px` wide; a longer word stands alone."""
        lines: list[str] = []
        for word in words.split():
            if lines and self.width(f"{lines[-1]} {word}", px) <= room_px:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
        return lines

    def panel(self, surface: pygame.Surface, rect: pygame.Rect, fill: tuple[int, int, int, int] = PANEL) -> None:
        """Draw a translucent panel with round corners."""
        glass = pygame.Surface(rect.size, pygame.SRCALPHA)
        radius = max(4, min(12, rect.height // 6))
        pygame.draw.rect(glass, fill, glass.get_rect(), border_radius=radius)
        pygame.draw.rect(glass, EDGE, glass.get_rect(), width=1, border_radius=radius)
        surface.blit(glass, rect)

    def dim(self, surface: pygame.Surface, rect: pygame.Rect, alpha: int = 150) -> None:
        """Darken a part of the picture."""
        shade = pygame.Surface(rect.size, pygame.SRCALPHA)
        shade.fill((8, 9, 12, alpha))
        surface.blit(shade, rect)

    def cap_width(self, name: str, px: int) -> int:
        """How wide a key cap will be, pixels."""
        return max(self.width(name, px) + px, round(px * 1.7))

    def cap(self, surface: pygame.Surface, name: str, px: int, topleft: tuple[int, int]) -> int:
        """Draw a key cap and return its width, pixels."""
        rect = pygame.Rect(topleft, (self.cap_width(name, px), self.line_px(px)))
        pygame.draw.rect(surface, CAP, rect, border_radius=max(3, px // 3))
        pygame.draw.rect(surface, CAP_EDGE, rect, width=1, border_radius=max(3, px // 3))
        words = self.text(name, px)
        surface.blit(words, words.get_rect(center=rect.center))
        return rect.width

    def _font(self, px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        if px not in self._fonts:
            self._fonts[px] = ImageFont.load_default(px)
        return self._fonts[px]

    def _render(self, words: str, px: int, colour: Colour) -> pygame.Surface:
        size = (max(1, self.width(words, px)), self.line_px(px))
        image = Image.new("RGBA", (size[0] * FINER, size[1] * FINER), (*colour, 0))
        middle, font = size[1] * FINER / 2, self._font(px * FINER)
        ImageDraw.Draw(image).text((0, middle), words, fill=(*colour, 255), font=font, anchor="lm")
        return pygame.image.frombytes(image.reduce(FINER).tobytes(), size, "RGBA")
