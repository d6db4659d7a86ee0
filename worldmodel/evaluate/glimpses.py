"""Glimpses of isles, drawn for judges to learn from: other islands in every frame, under anything, seen from anywhere.

A recording shows a few islands for a long time, and who learns from it knows those; here nothing is seen twice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import torch

from inhabit.worldmodel.evaluate.reality import hold
from inhabit.worldmodel.recordings import Meta
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.schedule import Budget
from inhabit.worldmodel.worlds.isle import motion, truth
from inhabit.worldmodel.worlds.isle.attributes import LANDMARKS, VALUES, Attributes
from inhabit.worldmodel.worlds.isle.render import Picture, render
from inhabit.worldmodel.worlds.isle.scene import State, create, draws, replaced

THINGS = (*LANDMARKS, "creature", "avatar", "ball")
"""The kinds of things that may be in view."""

TOGETHER = 16
"""Islands that are drawn at once."""

HELD_EVERY = 8
"""Of the islands' batches every so many are held out."""

MOST_THROWN_FRAMES = 10
"""The ball is thrown up to so many frames before a glimpse."""


@torch.inference_mode()
def glimpses(
    count: int, *, size: tuple[int, int], seed: int, most_seconds: float = math.inf, throw: bool = False
) -> Iterator[tuple[State, Picture]]:
    """Random islands under random attributes, held-out combinations among them, seen from anywhere.

    Args:
        count: frames in all; each batch has up to TOGETHER.
        size: width and height, pixels.
        seed: of all of it.
        most_seconds: processor time after which no batch is begun.
        throw: half of the balls fly or lie about; else all are in the hand.
    """
    rng = np.random.default_rng(seed)
    budget = Budget(seconds=most_seconds, clock=time.process_time)
    for start in range(0, count, TOGETHER):
        if start and budget.left_s <= 0:
            break
        seeds = [seed * 1_000_000 + n for n in range(start, min(start + TOGETHER, count))]
        drawn = [_anything(rng) for _ in seeds]
        state = create(seeds, drawn, avatars=int(rng.integers(3)))
        where = draws(state.key, state.frame, 40, 5)
        reach = 20 if rng.random() < 0.3 else 4  # measures mostly stand in the middle, where no landmark is
        away, around = reach * where[:, 0].sqrt(), where[:, 1] * (2 * math.pi)
        player = torch.stack([away * around.sin(), torch.zeros_like(away), away * around.cos()], 1)
        tilt = torch.where(where[:, 4] < 0.5, 0.0, (where[:, 3] - 0.5) * 0.7)
        look = torch.stack([(where[:, 2] - 0.5) * (2 * math.pi), tilt], 1)
        state = replaced(state, player=player, look=look, frame=state.frame + int(rng.integers(1000)))
        still = torch.zeros(len(seeds), len(motion.ACTIONS))
        if throw:
            thrown = still.clone()
            thrown[:, motion.ACTIONS.index("THROW")] = torch.from_numpy(rng.integers(0, 2, len(seeds))).float()
            state = motion.step(state, thrown)
            for _ in range(int(rng.integers(MOST_THROWN_FRAMES))):
                state = motion.step(state, still)
        state = motion.step(state, still)
        yield state, render(state, *size)


def draw_footage(meta: Meta, count: int, *, seed: int, most_seconds: float = math.inf) -> Footage:
    """Glimpses as footage of single frames, with the things in view counted as THINGS.

    Args:
        meta: of a recording of isle, for the size of its frames and its actions.
    """
    frames: list[np.ndarray] = []
    boxes: list[tuple[int, ...]] = []
    size = (meta.world.width, meta.world.height)
    for state, picture in glimpses(count, size=size, seed=seed, most_seconds=most_seconds, throw=True):
        for row, seen in enumerate(truth.boxes(state, picture.labels), start=sum(map(len, frames))):
            kinds = [THINGS.index(box.name.partition(":")[0]) for box in seen]
            boxes += [(row, kind, box.x, box.y, box.width, box.height) for kind, box in zip(kinds, seen, strict=True)]
        frames.append(picture.pixels.numpy())
    pixels = np.concatenate(frames)
    none = np.zeros(len(pixels), np.float32)
    footage = Footage(
        meta=meta, frames=pixels, actions=np.zeros((len(pixels), meta.world.actions.size), np.float32), rewards=none,
        terminated=none > 0, first=none == 0, seeds=np.arange(len(pixels)), names=THINGS,
        boxes=np.array(boxes, np.int32).reshape(-1, 6),
    )  # fmt: skip
    return hold(footage, np.arange(len(pixels)) // TOGETHER % HELD_EVERY == HELD_EVERY - 1)


def _anything(rng: np.random.Generator) -> Attributes:
    named = {name: allowed[rng.integers(len(allowed))] for name, allowed in VALUES.items()}
    return Attributes(**named)  # pyright: ignore[reportArgumentType]
