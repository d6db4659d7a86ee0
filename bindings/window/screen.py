"""Screen: the window itself, and how a world's picture lies in it: aspect-true, sharp when whole pixels fit."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import numpy as np
import pygame

from inhabit.bridge.errors import InhabitError

INVISIBLE = ("dummy", "offscreen")
"""SDL's drivers that show nothing."""

BACKGROUND = (11, 12, 15)
GAP_PX = 8
"""Space between two worlds side by side, pixels."""

SHARP_SHARE = 0.85
"""Use whole-pixel scaling when the picture then still fills this share of the room's width or height."""

SMALLEST_PX = (320, 240)
ROOM_SHARE = 0.85
"""Share of the desktop that a new window may take."""


def has_display() -> bool:
    """True when a window can be shown here: on Linux X11, Wayland or a driver that SDL_VIDEODRIVER names."""
    driver = os.environ.get("SDL_VIDEODRIVER", "")
    if driver or not sys.platform.startswith("linux"):
        return driver not in INVISIBLE
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def fit(width: int, height: int, room: pygame.Rect) -> tuple[pygame.Rect, bool]:
    """Lay a picture of `width` x `height` pixels into a room, centred and aspect-true.

    Returns where it lies and whether to scale it smoothly; whole multiples stay sharp.
    """
    scale = min(room.width / width, room.height / height)
    whole = int(scale)
    sharp = whole >= 1 and whole / scale >= SHARP_SHARE
    size = (width * whole, height * whole) if sharp else (max(1, round(width * scale)), max(1, round(height * scale)))
    rect = pygame.Rect((0, 0), size)
    rect.center = room.center
    return rect, not sharp


def split(room: pygame.Rect, panes: int) -> list[pygame.Rect]:
    """Cut a room into equal parts beside each other."""
    width = (room.width - GAP_PX * (panes - 1)) // panes
    return [pygame.Rect(room.x + (width + GAP_PX) * i, room.y, width, room.height) for i in range(panes)]


def opening_size(content: tuple[int, int], desktop: tuple[int, int], scale: int = 0) -> tuple[int, int]:
    """Choose a new window's size, pixels.

    Args:
        content: what is shown, unscaled, pixels.
        scale: whole magnification; 0 takes the largest that leaves some desktop free.
    """
    width, height = content
    if not scale:
        scale = max(1, int(min(desktop[0] * ROOM_SHARE / width, desktop[1] * ROOM_SHARE / height)))
    return max(width * scale, SMALLEST_PX[0]), max(height * scale, SMALLEST_PX[1])


class Screen:
    """The window's surface, its size and its mode."""

    def __init__(self, title: str, size: tuple[int, int]):
        """Open a window. Raises InhabitError where none can be opened."""
        try:
            pygame.display.init()
            self.surface = pygame.display.set_mode(size, pygame.RESIZABLE)
        except pygame.error as error:
            raise InhabitError(f"Cannot open a window: {error}; without a display use --headless") from error
        driver = pygame.display.get_driver()
        if driver in INVISIBLE and os.environ.get("SDL_VIDEODRIVER") != driver:
            pygame.display.quit()  # SDL draws into memory when it finds nothing better
            raise InhabitError(f"Cannot open a window on DISPLAY {os.environ.get('DISPLAY')!r}; use --headless")
        self.fullscreen = False
        self._windowed_size = size
        self.entitle(title)

    @property
    def size(self) -> tuple[int, int]:
        return self.surface.get_size()

    def entitle(self, title: str) -> None:
        """Write a title on the window."""
        self.title = title
        pygame.display.set_caption(title)

    @property
    def room(self) -> pygame.Rect:
        return self.surface.get_rect()

    def resize(self, size: tuple[int, int]) -> None:
        """Give the window another size; a full screen keeps its own."""
        self._windowed_size = size
        if not self.fullscreen:
            self.surface = pygame.display.set_mode(size, pygame.RESIZABLE)

    def toggle_fullscreen(self) -> None:
        """Fill the screen, or go back to the window as it was."""
        if not self.fullscreen:
            self._windowed_size = self.size
        self.fullscreen = not self.fullscreen
        flags = pygame.FULLSCREEN if self.fullscreen else pygame.RESIZABLE
        self.surface = pygame.display.set_mode((0, 0) if self.fullscreen else self._windowed_size, flags)

    def refresh(self) -> None:
        """Take the surface that SDL made when the user resized the window."""
        self.surface = pygame.display.get_surface() or self.surface

    def places(self, sizes: Sequence[tuple[int, int]]) -> list[tuple[pygame.Rect, bool]]:
        """Where pictures of these sizes (width, height, pixels) lie beside each other, and whether each is smoothed."""
        return [fit(width, height, room) for (width, height), room in zip(sizes, split(self.room, len(sizes)))]

    def draw(self, pictures: Sequence[np.ndarray | None], unknown: tuple[int, int]) -> list[pygame.Rect]:
        """Clear the window and draw each picture in its part of it. Returns where the pictures lie.

        Args:
            pictures: (height, width, 3) uint8 RGB each, or None where there is none yet.
            unknown: width and height that stand for a missing picture, pixels.
        """
        self.surface.fill(BACKGROUND)
        sizes = [unknown if picture is None else (picture.shape[1], picture.shape[0]) for picture in pictures]
        places = self.places(sizes)
        for picture, (rect, smooth) in zip(pictures, places, strict=True):
            if picture is not None:
                self._blit(picture, rect, smooth)
        return [rect for rect, _ in places]

    def grab_mouse(self, captured: bool) -> None:
        """Hide the mouse and keep it inside the window, or let it go."""
        pygame.event.set_grab(captured)
        pygame.mouse.set_visible(not captured)
        pygame.mouse.set_relative_mode(captured)

    def flip(self) -> None:
        pygame.display.flip()

    def close(self) -> None:
        pygame.display.quit()

    def _blit(self, picture: np.ndarray, rect: pygame.Rect, smooth: bool) -> None:
        pixels = np.ascontiguousarray(picture)  # frombuffer reads memory in order; a frame usually is already
        image = pygame.image.frombuffer(pixels.data, (pixels.shape[1], pixels.shape[0]), "RGB")
        if image.get_size() != rect.size:
            image = (pygame.transform.smoothscale if smooth else pygame.transform.scale)(image, rect.size)
        self.surface.blit(image, rect)
