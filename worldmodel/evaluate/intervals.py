"""Confidence intervals by bootstrap: what the figure would be if other episodes had been drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

RESAMPLES = 1000


def ci95(cases: np.ndarray, figure: Callable[[np.ndarray], float] = np.nanmean) -> list[float]:
    """Where 95 % of the figure of resampled cases lies, with equal shares beyond both ends.

    Args:
        cases: (n, ...) one row for each case that was drawn independently; NaN where a case says nothing.
        figure: of any such array; the mean over all by default.
    """
    cases = np.asarray(cases, float)
    if not len(cases) or np.isnan(cases).all():
        return [float("nan"), float("nan")]
    drawn = np.random.default_rng(0).integers(len(cases), size=(RESAMPLES, len(cases)))
    figures = [figure(cases[rows]) for rows in drawn if not np.isnan(cases[rows]).all()]
    return [float(value) for value in np.nanpercentile(figures, (2.5, 97.5))]


def mean(cases: np.ndarray) -> float:
    """The mean of what is not NaN; NaN of nothing."""
    cases = np.asarray(cases, float)
    return float(np.nanmean(cases)) if np.isfinite(cases).any() else float("nan")
