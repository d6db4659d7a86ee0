"""Statistics of the experiment: means with intervals, ranks, and what a dream is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

RESAMPLES, RESAMPLES_OF_POLICIES = 10_000, 2_000


def mean_with_interval(values: Sequence[float], *, seed: int = 0) -> dict[str, Any]:
    """Mean, standard deviation, and the 95 % interval of the mean by the bootstrap (Efron 1979)."""
    sample = np.asarray(values, float)
    drawn = np.random.default_rng(seed).choice(sample, (RESAMPLES, len(sample))).mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return {
        "mean_tics": float(sample.mean()),
        "ci95": [float(low), float(high)],
        "sd_tics": float(sample.std(ddof=1)) if len(sample) > 1 else float("nan"),
        "episodes": len(sample),
    }


def over_seeds(groups: Sequence[Sequence[float]], *, seed: int = 0) -> dict[str, Any]:
    """The same for several policies: policies are drawn anew, and episodes within each, so that both count."""
    rng = np.random.default_rng(seed)
    samples = [np.asarray(group, float) for group in groups]
    means = np.empty(RESAMPLES_OF_POLICIES)
    for index in range(RESAMPLES_OF_POLICIES):
        picked = rng.integers(len(samples), size=len(samples))
        means[index] = np.mean([rng.choice(samples[pick], len(samples[pick])).mean() for pick in picked])
    low, high = np.percentile(means, [2.5, 97.5])
    each = [float(sample.mean()) for sample in samples]
    return {
        "mean_tics": float(np.mean(each)),
        "ci95": [float(low), float(high)],
        "policies": each,
        "episodes": int(sum(map(len, samples))),
    }


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's; NaN where one of them is always the same, or for fewer than three."""
    if len(one) < 3:
        return float("nan")
    a, b = _ranks(np.asarray(one, float)), _ranks(np.asarray(other, float))
    if a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def transfer_ratio(dream: float, random: float, real: float) -> float:
    """How much of what learning in the real game gains over chance, learning in the dream gains too: 1 is all of it."""
    return (dream - random) / (real - random) if real != random else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, equal values sharing their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(count)
    return (ends - (count - 1) / 2)[place]
