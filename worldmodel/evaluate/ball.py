"""Whether a thrown ball flies as it would: its place in dreamt frames against its place in the simulator's.

The ball is found by its colour, on islands on which nothing else has that colour, and the same way in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inhabit.worldmodel.evaluate.dreamers import Dreamer, Size, dream, open_islands, what_happens
from inhabit.worldmodel.evaluate.intervals import ci95, mean
from inhabit.worldmodel.evaluate.patches import patches_of
from inhabit.worldmodel.worlds.isle.attributes import LANDMARKS, Attributes
from inhabit.worldmodel.worlds.isle.motion import ACTIONS
from inhabit.worldmodel.worlds.isle.scene import BALL

FLIGHT_FRAMES = 20
LEAST_SHARE = 0.00025
"""Share of the frame that the ball must fill to be looked for: 4 pixels of 128x128."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BallConfig:
    """How often it is thrown."""

    throws: int = 16


def measure_ball(
    dreamer: Dreamer, config: BallConfig, *, size: Size, seed: int = 0
) -> tuple[dict[str, Any], list[list[np.ndarray]]]:
    """The `physics` figures, and rows for a contact sheet (simulator above, dream below).

    `path_error` is the mean over throws of the mean distance, in pixels, between the ball in the dream and the ball in
    the simulator, over the frames in which the simulator shows it. A dream that shows no ball is held to have left it
    where it showed it last. `found` is the share of frames with a ball; `copy` is the error of a ball that never leaves
    the hand, `simulator` what the search by colour makes of the simulator's own frames, `codec` of those coded.
    """
    rng = np.random.default_rng([seed, 51])
    seeds = [8_000_000 + 1000 * seed + n for n in range(config.throws)]
    attributes = [_plain(rng) for _ in seeds]
    lift = np.zeros((11, config.throws, len(ACTIONS)), np.float32)
    lift[2:7, :, ACTIONS.index("LOOK_Y")] = rng.uniform(0, 0.6, config.throws)
    lift[2:7, :, ACTIONS.index("LOOK_X")] = rng.uniform(-0.8, 0.8, config.throws)
    opening = open_islands(seeds, attributes, size=size, avatars=0, script=lift)
    script = np.zeros((FLIGHT_FRAMES, config.throws, len(ACTIONS)), np.float32)
    script[:2, :, ACTIONS.index("THROW")] = 1.0
    film = dream(dreamer, opening, script)
    real = what_happens(opening, script)
    true, shown = _true_path(real.labels)
    hand = np.array([_find(frames[-1], None) for frames in opening.frames])
    paths = {"dream": film.pixels, "simulator": real.film.pixels}
    flat = real.film.pixels
    paths["codec"] = dreamer.coded(flat.reshape(-1, *flat.shape[2:])).reshape(flat.shape)
    errors: dict[str, np.ndarray] = {}
    found = np.zeros_like(shown, float)
    for who, pixels in paths.items():
        path, there = _follow(pixels, hand)
        errors[who] = np.where(shown, np.hypot(*np.moveaxis(path - true, -1, 0)), np.nan)
        if who == "dream":
            found = there[shown]
    errors["copy"] = np.where(shown, np.hypot(*np.moveaxis(hand[:, None] - true, -1, 0)), np.nan)
    throws = {who: np.array([mean(row) for row in rows]) for who, rows in errors.items()}
    figures = {
        "path_error": mean(throws["dream"]),
        "found": float(found.mean()) if found.size else float("nan"),
        "copy": mean(throws["copy"]),
        "codec": mean(throws["codec"]),
        "simulator": mean(throws["simulator"]),
        "throws": int(np.isfinite(throws["dream"]).sum()),
        "ci95": {"path_error": ci95(throws["dream"])},
    }
    at = [0, 1, 2, 3, 4, 6, 8, 12, 16]
    sheet = [list(rows[i, at]) for i in range(min(4, config.throws)) for rows in (real.film.pixels, film.pixels)]
    return figures, sheet


def _plain(rng: np.random.Generator) -> Attributes:
    """A clear noon without anything that has the ball's colour."""
    ground = str(rng.choice(["grass", "snow"]))
    named = {f"{kind}_colour": str(rng.choice(["blue", "white", "green", "purple"])) for kind in LANDMARKS}
    return Attributes(ground=ground, creatures=0, **named)  # pyright: ignore[reportArgumentType]


def _true_path(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(b, n, 2) centre of the ball's pixels (x, y), and (b, n) bool whether enough of them are there."""
    b, n, h, w = labels.shape
    path, shown = np.full((b, n, 2), np.nan), np.zeros((b, n), bool)
    for i, t in np.ndindex(b, n):
        ys, xs = np.nonzero(labels[i, t] == BALL + 1)
        if len(xs) >= LEAST_SHARE * h * w:
            path[i, t], shown[i, t] = (xs.mean(), ys.mean()), True
    return path, shown


def _follow(pixels: np.ndarray, hand: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(b, n, 2) where the ball is, or was last, and (b, n) bool whether it was found, in (b, n, h, w, 3)."""
    b, n = pixels.shape[:2]
    path, there = np.zeros((b, n, 2)), np.zeros((b, n), bool)
    for i in range(b):
        last = hand[i]
        for t in range(n):
            place = _find(pixels[i, t], last)
            there[i, t] = np.isfinite(place).all()
            last = place if there[i, t] else last
            path[i, t] = last
    return path, there


def _find(frame: np.ndarray, near: np.ndarray | None) -> np.ndarray:
    """(x, y) of the ball, NaN where there is none; where several patches have its colour, the one nearest to `near`."""
    red, green, blue = frame.astype(np.float32).transpose(2, 0, 1)
    h, w = red.shape
    warm = (red - blue > 70) & (red - green > 25) & (red > 110)
    patches = patches_of(warm, least=LEAST_SHARE * h * w / 2)
    if not patches:
        return np.full(2, np.nan)
    centres = np.array([(xs.mean(), ys.mean()) for ys, xs in patches])
    if near is None or not np.isfinite(near).all():
        return centres[int(np.argmax([len(ys) for ys, _ in patches]))]
    return centres[int(np.argmin(np.hypot(*(centres - near).T)))]
