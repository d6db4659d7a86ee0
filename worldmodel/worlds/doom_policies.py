"""Scripted players for Doom recordings. A model obeys only what it saw done: they aim, sweep, roam and burst at random.

Uniform random play alone teaches a model that inputs hardly matter (Open-Dreamer); without any random bursts it never
sees the odd combinations that people press. So a player changes its mind every second or two, and at least a fifth
of all frames are random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from inhabit.worldmodel.recordings import Box

SCENERY = frozenset(("BulletPuff", "Blood", "TeleportFog", "DoomImpBall", "PlasmaBall", "Rocket", "BaronBall"))
"""Names in view that nobody shoots at."""

RANDOM_SHARE = 0.3
SEGMENT_FRAMES = (15, 70)
BURST_FRAMES = (1, 8)

NEAR = 5.0
"""A wall nearer than this, in units of ViZDoom's depth buffer, is turned away from."""

FAR = (9.0, 30.0)
"""As far as a view must reach before one walks that way: a wall of the room at least, through a door at best."""

Held = frozenset[str]
Choose = Callable[[Sequence[Box]], Held]


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What a player sees besides pixels."""

    boxes: Sequence[Box]
    stuck: bool
    """Whether the last frame's movement led nowhere."""

    ways: Sequence[float] = ()
    """How far the view reaches, from left to right, in units of ViZDoom's depth buffer; nothing where nobody knows."""


class DoomPlayer:
    """Chooses buttons frame by frame, from a seed."""

    def __init__(self, buttons: Sequence[str], width: int, seed: int):
        self._buttons = tuple(buttons)
        self._centre = width / 2
        self._rng = np.random.default_rng(seed)
        self._mind: Callable[[Sight], Held] = self._random
        self._left = 0
        self._held: Held = frozenset()
        self._hold = 0
        self._way = "LEFT"
        self._far = FAR[0]

    def action(self, sight: Sight) -> np.ndarray:
        """The next action, (buttons,) float32 of 0 and 1."""
        if self._left <= 0:
            self._change_mind()
        self._left -= 1
        held = self._mind(sight)
        return np.array([name in held for name in self._buttons], np.float32)

    def _change_mind(self) -> None:
        minds: list[Callable[[Sight], Held]] = [self._sweep]
        if "ATTACK" in self._buttons:
            minds = [self._aim, self._aim, self._aim, self._sweep]
        if "MOVE_FORWARD" in self._buttons:
            minds += [self._roam] * 3
        elif "MOVE_LEFT" in self._buttons:
            minds += [self._dodge]
        random = self._rng.random() < RANDOM_SHARE
        self._mind = self._random if random else minds[self._rng.integers(len(minds))]
        self._left = int(self._rng.integers(*SEGMENT_FRAMES))
        self._way = "LEFT" if self._rng.random() < 0.5 else "RIGHT"
        self._hold = 0

    def _random(self, sight: Sight) -> Held:
        if self._hold <= 0:
            self._hold = int(self._rng.integers(BURST_FRAMES[0], BURST_FRAMES[1] + 1))
            self._held = frozenset(name for name in self._buttons if self._rng.random() < 0.35)
        self._hold -= 1
        return self._held

    def _aim(self, sight: Sight) -> Held:
        foes = [box for box in sight.boxes if box.name not in SCENERY]
        if not foes:
            return frozenset({f"TURN_{self._way}"})
        foe = max(foes, key=lambda box: box.height)
        middle = foe.x + foe.width / 2
        if abs(middle - self._centre) <= max(1.5, foe.width / 2.5):
            return frozenset({"ATTACK"}) if self._rng.random() < 0.85 else frozenset()
        self._way = "LEFT" if middle < self._centre else "RIGHT"
        if self._rng.random() < 0.25:  # let go now and then, so that turning is not one endless press
            return frozenset()
        return frozenset({f"TURN_{self._way}", f"MOVE_{self._way}"} & set(self._buttons))

    def _sweep(self, sight: Sight) -> Held:
        if self._hold <= 0:
            self._hold = int(self._rng.integers(4, 40))
            self._held = frozenset({f"TURN_{self._way}"}) if self._rng.random() < 0.8 else frozenset()
            self._way = "RIGHT" if self._way == "LEFT" else "LEFT"
        self._hold -= 1
        return self._held

    def _roam(self, sight: Sight) -> Held:
        ways = np.array(sight.ways)
        third = len(ways) // 3
        ahead = float(ways[third:-third].min()) if third else np.inf
        if (sight.stuck or ahead < NEAR) and self._hold <= 0:
            self._hold = int(self._rng.integers(8, 40))
            self._far = self._rng.uniform(*FAR)
            right = float(ways[-third:].max() > ways[:third].max()) if third else 0.5
            self._way = "RIGHT" if self._rng.random() < 0.2 + 0.6 * right else "LEFT"
        self._hold -= 1
        if self._hold > 0 and ahead >= self._far and np.isfinite(ahead):
            self._hold = 0
        if self._hold > 0:
            return frozenset({f"TURN_{self._way}"})
        veer = {f"TURN_{self._way}"} if self._rng.random() < 0.12 else set()
        return frozenset({"MOVE_FORWARD"} | veer)

    def _dodge(self, sight: Sight) -> Held:
        if self._hold <= 0:
            self._hold = int(self._rng.integers(3, 14))
            self._way = "LEFT" if self._rng.random() < 0.5 else "RIGHT"
        self._hold -= 1
        return frozenset({f"MOVE_{self._way}"})
