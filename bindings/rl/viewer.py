"""A window that shows an environment's frames, for render_mode="human"."""

from __future__ import annotations

import numpy as np
from gymnasium.error import DependencyNotInstalled

from inhabit.bridge.world import WorldInfo

LEAST_WIDTH_PX = 512


class Viewer:
    """Opens with the first frame, keeps the world's rate."""

    def __init__(self, info: WorldInfo):
        try:
            import pygame
        except ImportError as error:
            raise DependencyNotInstalled('pygame is not installed, run `pip install "inhabit[window]"`') from error
        self._pygame = pygame
        scale = max(1, round(LEAST_WIDTH_PX / info.width))
        self._size = (info.width * scale, info.height * scale)
        self._rate_hz = info.rate_hz
        pygame.display.init()
        self._screen = pygame.display.set_mode(self._size)
        pygame.display.set_caption(info.title or info.name)
        self._clock = pygame.time.Clock()

    def show(self, pixels: np.ndarray) -> None:
        """Draw (height, width, 3) uint8 pixels."""
        surface = self._pygame.surfarray.make_surface(pixels.swapaxes(0, 1))
        self._pygame.transform.scale(surface, self._size, self._screen)
        self._pygame.event.pump()
        self._pygame.display.flip()
        self._clock.tick(self._rate_hz)

    def close(self) -> None:
        self._pygame.display.quit()
