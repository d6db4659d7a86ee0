"""Pictures of the Take Cover report: survival by temperature, learning, and dream against reality."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

SOLVED, PUBLISHED = 750, 1092
"""Tics: what counts as solved, and the best that a policy learnt in a dream was reported to survive (Ha and Schmidhuber
2018)."""

DREAM, REAL, FLOOR, IMAGINED = "tab:blue", "black", "tab:gray", "tab:orange"


def draw(report: Mapping[str, Any], path: Path) -> Path:
    """All of it in one picture."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    survival, learning, agreement = figure.subplots(1, 3)
    _survival(survival, report)
    _learning(learning, report)
    _agreement(agreement, report)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path


def _survival(axis: Any, report: Mapping[str, Any]) -> None:
    names = list(report["dream"])
    bars = [("random", report["random"], FLOOR), *((f"T {name}", report["dream"][name], DREAM) for name in names),
            ("in Doom", report["real"], REAL)]  # fmt: skip
    for place, (_, told, colour) in enumerate(bars):
        mean, (low, high) = told["mean_tics"], told["ci95"]
        axis.bar(place, mean, color=colour, alpha=0.75)
        axis.errorbar(place, mean, [[mean - low], [high - mean]], color="black", capsize=4)
        if "imagined_mean_tics" in told:
            axis.plot(place, told["imagined_mean_tics"], "D", color=IMAGINED)
    axis.plot([], [], "D", color=IMAGINED, label="what it survives in the dream")
    axis.axhline(SOLVED, color=FLOOR, linestyle="--", linewidth=1, label="solved")
    axis.set_xticks(range(len(bars)), [name for name, *_ in bars], rotation=30)
    axis.set_title("real survival, tics (95 %)")
    axis.legend(fontsize=8)


def _learning(axis: Any, report: Mapping[str, Any]) -> None:
    for place, (name, curves) in enumerate(report["curves"].items()):
        for index, curve in enumerate(curves):
            values = np.array([np.nan if value is None else value for value in curve], float)
            share = np.linspace(0, 1, len(values))
            label = f"T {name}" if index == 0 else None
            axis.plot(share, values, color=f"C{place}", alpha=0.8, linewidth=1, label=label)
    for index, curve in enumerate(report["real_curves"]):
        values = np.array([np.nan if value is None else value for value in curve], float)
        axis.plot(np.linspace(0, 1, len(values)), values, color=REAL, linewidth=1, label=None if index else "in Doom")
    axis.set_xlabel("share of the steps")
    axis.set_title("return while learning, tics (dreams are cut)")
    axis.legend(fontsize=8)


def _agreement(axis: Any, report: Mapping[str, Any]) -> None:
    checks = report["checkpoints"]
    dream, real = [check["dream"] for check in checks], [check["real"] for check in checks]
    axis.plot(dream, real, "o", color=DREAM)
    most = max([*dream, *real, 1])
    axis.plot([0, most], [0, most], color=FLOOR, linewidth=1)
    correlation = report["rank_correlation"]
    said = "-" if correlation is None or correlation != correlation else f"{correlation:.2f}"
    axis.set_title(f"checkpoints: rank correlation {said}")
    axis.set_xlabel("survived in the dream, tics")
    axis.set_ylabel("survived in Doom, tics")
