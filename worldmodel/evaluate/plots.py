"""Pictures of a report: curves over the horizon, windows of a long dream. Matplotlib without its global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inhabit.worldmodel.evaluate.drift import LongDream
from inhabit.worldmodel.evaluate.inverse_dynamics import OFFSETS
from inhabit.worldmodel.evaluate.rollout import Rollout, side_by_side
from inhabit.worldmodel.evaluate.sheets import contact_sheet
from inhabit.worldmodel.train.footage import Footage

DREAM, REAL, FLOOR = "tab:blue", "black", "tab:gray"
SHEET_HORIZONS = (1, 2, 4, 8, 16, 32, 64)
STRIP_ACROSS = 10
STRIP_FRAMES = 50


def draw_horizon(report: Mapping[str, Any], path: Path) -> Path:
    """Skill, PSNR and object recall against frames ahead."""
    panels = 3 if "objects" in report else 2
    figure = Figure(figsize=(4.2 * panels, 3.4), layout="constrained")
    axes = figure.subplots(1, panels)
    curve = report["curve"]
    ahead = np.arange(1, len(curve["skill"]) + 1)
    _line(axes[0], ahead, curve["skill"], "dream", DREAM)
    for horizon, (low, high) in report["skill_interval"].items():
        axes[0].plot([int(horizon)] * 2, [low, high], color=DREAM, alpha=0.5)
    _level(axes[0], 0.0, "a still picture", FLOOR)
    axes[0].set_title("skill (1 is perfect)")
    _line(axes[1], ahead, curve["psnr_db"], "dream", DREAM)
    _line(axes[1], ahead, curve["copy_psnr_db"], "a still picture", FLOOR)
    _level(axes[1], report["codec"]["psnr_db"], "the codec alone", REAL)
    axes[1].set_title("PSNR, dB")
    if "objects" in report:
        _objects(axes[2], report["objects"])
    return _save(figure, axes, path, "frames ahead", log=True)


def draw_drift(report: Mapping[str, Any], path: Path) -> Path:
    """Distance from reality, objects and obedience over thousands of frames."""
    long_run = report["long_run"]
    at = [(window["from"] + window["to"]) / 2 for window in long_run["windows"]]
    names = ["distance", "action_accuracy", "sharpness"] + ["objects_per_frame"] * ("objects" in report)
    titles = {
        "distance": "distance from real frames",
        "action_accuracy": "buttons read off the dream",
        "sharpness": "sharpness",
        "objects_per_frame": "objects a frame",
    }
    figure = Figure(figsize=(3.8 * len(names), 3.2), layout="constrained")
    axes = figure.subplots(1, len(names))
    for axis, name in zip(axes, names, strict=True):
        _line(axis, at, [window[name] for window in long_run["windows"]], "dream", DREAM)
        real = long_run["floor"] if name == "distance" else long_run["real"][name]
        _level(axis, real, "real", REAL)
        axis.set_title(titles[name])
        axis.set_ylim(bottom=0)
    return _save(figure, axes, path, "frame of the dream")


def draw_dreams(dreams: Rollout, footage: Footage, path: Path, *, sessions: int = 8) -> Path:
    """A contact sheet: for some sessions a row of real frames above a row of dreamt ones."""
    chosen = np.unique(np.linspace(0, len(dreams.rows) - 1, sessions).astype(int))
    rows = [row for session in chosen for row in side_by_side(dreams, footage, int(session), SHEET_HORIZONS)]
    return contact_sheet(rows, path)


def draw_strip(dream: LongDream, path: Path, *, session: int = 0) -> Path:
    """One long dream from its first frames to its last, row by row."""
    picks = np.unique(np.linspace(0, len(dream.frame) - 1, STRIP_FRAMES).astype(int))
    frames = [dream.triples[pick, session, OFFSETS.index(0)] for pick in picks]
    rows: Sequence[Sequence[np.ndarray]] = [frames[i : i + STRIP_ACROSS] for i in range(0, len(frames), STRIP_ACROSS)]
    return contact_sheet(rows, path)


def _objects(axis: Axes, objects: Mapping[str, Any]) -> None:
    at = [int(h) for h in objects["recall"]]
    _line(axis, at, list(objects["recall"].values()), "recall", DREAM)
    _line(axis, at, list(objects["precision"].values()), "precision", "tab:orange")
    _line(axis, at, list(objects["copy_recall"].values()), "recall of a still picture", FLOOR)
    _level(axis, objects["ceiling"], "the codec alone", REAL)
    if known := objects.get("known"):
        _line(axis, [int(h) for h in known], list(known.values()), "in view before", REAL)
    axis.set_ylim(0, 1)
    axis.set_title("objects found")


def _line(axis: Axes, x: Any, y: Sequence[float | None], label: str, colour: str) -> None:
    values = [np.nan if value is None else value for value in y]
    axis.plot(x, values, marker="o" if len(values) <= 12 else None, markersize=3, label=label, color=colour)


def _level(axis: Axes, y: float | None, label: str, colour: str) -> None:
    if y is not None and np.isfinite(y):
        axis.axhline(y, color=colour, linestyle=":", linewidth=1, label=label)


def _save(figure: Figure, axes: Sequence[Axes], path: Path, below: str, *, log: bool = False) -> Path:
    for axis in axes:
        axis.set_xlabel(below)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, fontsize=8)
        if log:
            axis.set_xscale("log", base=2)
            axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    return path
