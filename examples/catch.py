"""A small game of our own, to learn a world from: catch the falling ball. `python examples/catch.py` plays it."""

import sys

import numpy as np
import pygame

SIZE, PADDLE, BALL = 64, 16, 4
SKY, GROUND, RED, YELLOW = (40, 60, 110), (70, 110, 60), (220, 70, 60), (250, 220, 90)


class Catch:
    """Move the paddle left and right. Catching the ball earns 1, missing it ends the game."""

    def __init__(self, seed: int = 0):
        self.rng = np.random.default_rng(seed)
        self.surface = pygame.Surface((SIZE, SIZE))
        self.reset()

    def reset(self) -> np.ndarray:
        self.paddle = (SIZE - PADDLE) / 2
        self._drop()
        return self.draw()

    def step(self, left: bool, right: bool) -> tuple[np.ndarray, float, bool]:
        """Advance one frame. Returns (64, 64, 3) uint8 pixels, the reward, and whether the game is over."""
        self.paddle = float(np.clip(self.paddle + 3 * right - 3 * left, 0, SIZE - PADDLE))
        self.x, self.y = self.x + self.drift, self.y + 2
        if not 0 <= self.x <= SIZE - BALL:
            self.drift = -self.drift
        if self.y < SIZE - 10:
            return self.draw(), 0.0, False
        caught = self.paddle - BALL < self.x < self.paddle + PADDLE
        self._drop()
        return self.draw(), float(caught), not caught

    def draw(self) -> np.ndarray:
        self.surface.fill(SKY)
        self.surface.fill(GROUND, (0, SIZE - 4, SIZE, 4))
        self.surface.fill(RED, (self.paddle, SIZE - 8, PADDLE, 4))
        self.surface.fill(YELLOW, (self.x, self.y, BALL, BALL))
        return pygame.surfarray.array3d(self.surface).swapaxes(0, 1)

    def _drop(self) -> None:
        self.x, self.y = float(self.rng.integers(0, SIZE - BALL)), 2.0
        self.drift = float(self.rng.choice([-1, 0, 1]))


if __name__ == "__main__":
    window, clock, game = pygame.display.set_mode((512, 512)), pygame.time.Clock(), Catch()
    while not any(event.type == pygame.QUIT for event in pygame.event.get()):
        keys = pygame.key.get_pressed()
        if game.step(keys[pygame.K_LEFT], keys[pygame.K_RIGHT])[2]:
            game.reset()
        pygame.transform.scale(game.surface, window.get_size(), window)
        pygame.display.flip()
        clock.tick(20)
    sys.exit()
