"""Calibration: heads that are set right at the end, on episodes that training has not seen."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.train.footage import Footage

CONTEXT, AHEAD = 8, 24
"""Real frames that a dream begins with, and frames that are dreamt after them."""

SESSIONS, MOST_SESSIONS = 64, 512
FEWEST = 8
"""Endings that a recording must have for its rate to be believed."""


def calibrate_endings(engine: Engine, footage: Footage, latents: Tensor, *, steps: int = 1) -> float | None:
    """Let as many dreamt frames end as real ones do, in short dreams under the play of held-out episodes.

    Episodes end seldom. What a network has seen of it, it knows by heart, and it tells a window's end from its middle:
    its chances rank frames, but are too high or too low together. And a dream shows what kills less clearly than the
    game does.

    Args:
        engine: its dynamics' ending head is changed in place.
        latents: (n, c, h, w) of the whole footage.
        steps: sampling steps of the dreams.

    Returns:
        The mean chance that was told before; None, with nothing changed, where too little is known.
    """
    if footage.terminated.sum() < FEWEST or not footage.held_out.any():
        return None
    logits = dreamt_endings(engine, footage, latents, steps=steps)
    if not len(logits):
        return None
    engine.dynamics.shift_endings(shift(logits, float(footage.terminated.mean())))
    return float(_chance(logits).mean())


def dreamt_endings(engine: Engine, footage: Footage, latents: Tensor, *, steps: int) -> np.ndarray:
    """Logits of the endings of all frames of short dreams that begin anywhere in held-out episodes, (n,)."""
    number = np.cumsum(footage.first)
    begin = np.arange(len(footage) - CONTEXT)
    begin = begin[(number[begin] == number[begin + CONTEXT]) & footage.held_out[begin]]
    begin = np.random.default_rng(0).permutation(begin)[:MOST_SESSIONS]
    told = [
        _dream(engine, footage, latents, begin[i : i + SESSIONS], number, steps) for i in range(0, len(begin), SESSIONS)
    ]
    return np.concatenate(told) if told else np.zeros(0)


def shift(logits: np.ndarray, rate: float) -> float:
    """What to add to the logits for their mean chance to be `rate`."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _chance(logits + middle).mean() < rate else (low, middle)
    return (low + high) / 2


def _dream(
    engine: Engine, footage: Footage, latents: Tensor, begin: np.ndarray, number: np.ndarray, steps: int
) -> np.ndarray:
    """What is told of each frame of these dreams, as long as their episodes go on."""
    seen = begin[:, None] + np.arange(CONTEXT)
    past = latents[torch.from_numpy(seen)].to(engine.device).float()
    pose = None if footage.pose is None else torch.from_numpy(footage.pose[begin])
    actions = torch.from_numpy(footage.actions[seen]).to(engine.device)
    state = engine.begin(past, actions, torch.from_numpy(begin), pose=pose)
    told = []
    for index in range(CONTEXT, CONTEXT + AHEAD):
        row = np.minimum(begin + index, len(footage) - 1)
        going = (number[row] == number[begin]) & (row == begin + index)
        if not going.any():
            break
        action = torch.from_numpy(footage.actions[row]).to(engine.device)
        state, outcome = engine.step(state, action, steps=steps, donate=True)
        chance = outcome.ending_chance.double().cpu().numpy()[going].clip(1e-12, 1 - 1e-12)
        told.append(np.log(chance / (1 - chance)))
    return np.concatenate(told) if told else np.zeros(0)


def _chance(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))
