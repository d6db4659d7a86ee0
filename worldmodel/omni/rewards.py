"""Rewards as the dynamics reads them: spread over bins, finest near nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

REWARD_BINS = 41
REWARD_LIMIT = 20.0
"""Rewards are read as two-hot over REWARD_BINS values, evenly spaced in symlog up to this many."""


def symlog(x: Tensor) -> Tensor:
    return x.sign() * x.abs().log1p()


def reward_values() -> Tensor:
    """The rewards that the bins stand for, (REWARD_BINS,)."""
    edge = symlog(torch.tensor(REWARD_LIMIT))
    grid = torch.linspace(-1, 1, REWARD_BINS) * edge
    return grid.sign() * grid.abs().expm1()


def two_hot(rewards: Tensor) -> Tensor:
    """Spread each reward over its two nearest bins, in symlog. Shapes: (...) -> (..., REWARD_BINS)."""
    edge = symlog(torch.tensor(REWARD_LIMIT))
    place = (symlog(rewards) / edge).clamp(-1, 1).add(1).mul((REWARD_BINS - 1) / 2)
    low = place.floor().clamp(max=REWARD_BINS - 2)
    share = (place - low)[..., None]
    low = low.long()
    hot = nn.functional.one_hot
    return hot(low, REWARD_BINS) * (1 - share) + hot(low + 1, REWARD_BINS) * share
