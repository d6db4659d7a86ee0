"""Calibration: heads that are set right at the end, on episodes that training has not seen."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.evaluate.endings import read_heads
from inhabit.worldmodel.train.footage import Footage

EPISODES, MOST_FRAMES = 48, 600
FEWEST = 8
"""Endings that a recording must have for its rate to be believed."""


def calibrate_endings(engine: Engine, footage: Footage, latents: Tensor) -> float | None:
    """Let as many frames of held-out episodes end as do in the recording.

    Episodes end seldom. What a network has seen of it, it knows by heart, and it tells a window's end from its middle:
    its chances rank frames, but are too high or too low together.

    Args:
        engine: its dynamics' ending head is changed in place.
        latents: (n, c, h, w) of the whole footage.

    Returns:
        The mean chance that was told before; None, with nothing changed, where too little is known.
    """
    if footage.terminated.sum() < FEWEST or not footage.held_out.any():
        return None
    readings = read_heads(engine, footage, latents, steps=1, episodes=EPISODES, most_frames=MOST_FRAMES)
    chance = np.clip(readings.ending_chance.astype(np.float64), 1e-12, 1 - 1e-12)
    engine.dynamics.shift_endings(shift(np.log(chance / (1 - chance)), float(footage.terminated.mean())))
    return float(chance.mean())


def shift(logits: np.ndarray, rate: float) -> float:
    """What to add to the logits for their mean chance to be `rate`."""
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 / (1 + np.exp(-(logits + middle)))).mean() < rate else (low, middle)
    return (low + high) / 2
