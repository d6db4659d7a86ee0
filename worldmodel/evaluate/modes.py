"""Quality modes: what one, two and four sampling steps a frame give, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.evaluate import fidelity
from inhabit.worldmodel.evaluate.detector import Detector, detect_all, match
from inhabit.worldmodel.evaluate.intervals import ci95
from inhabit.worldmodel.evaluate.rollout import Rollout, psnr_db, roll_out, windows_for
from inhabit.worldmodel.evaluate.speed import SpeedConfig, Subject, summary, time_frames
from inhabit.worldmodel.neural_world import QUALITIES
from inhabit.worldmodel.pack import Starts
from inhabit.worldmodel.train.footage import Footage


@dataclass(frozen=True, kw_only=True, slots=True)
class ModesConfig:
    """How much is dreamt in each mode."""

    windows: int = 32
    frames: int = 16
    timed_frames: int = 40
    timed_s: float = 6.0
    """Time in which frames are counted, at most."""


def measure_modes(
    engine: Engine, starts: Starts, footage: Footage, latents: Tensor, detector: Detector | None, config: ModesConfig
) -> dict[str, Any]:
    """The `modes` figures: for turbo, balanced and fine their `steps`, `fps`, and, over the same windows and actions,
    `skill`, `psnr_db` and `object_recall` after each of 1, 4 and 16 frames, as far as episodes allow.

    `fps` is one session's, picture in main memory, with as many threads as are set.
    """
    frames = config.frames
    while frames > 1 and not len(windows_for(footage, frames, 4)):
        frames //= 4
    windows = windows_for(footage, frames, config.windows)
    if not len(windows):
        return {}
    figures: dict[str, Any] = {}
    subject = Subject(engine=engine, starts=starts, said={})
    for name, steps in QUALITIES.items():
        speed = SpeedConfig(timed_frames=config.timed_frames, timed_s=config.timed_s)
        times = time_frames(subject, subject.begin(), steps, speed.timed_frames, speed.timed_s)
        dreams = roll_out(engine, footage, latents, windows, frames, steps=steps)
        figures[name] = {"steps": steps, **summary(times), **_truth_of(dreams, footage, detector)}
    return figures


def _truth_of(dreams: Rollout, footage: Footage, detector: Detector | None) -> dict[str, Any]:
    errors, floors = fidelity.errors_of(dreams, footage)
    at = [h for h in (1, 4, 16) if h <= errors.shape[1]]

    def skill(pairs: np.ndarray) -> float:
        return 1 - float(pairs[:, 0].sum() / max(pairs[:, 1].sum(), 1e-9))

    pairs = {h: np.stack([errors[:, h - 1], floors[:, h - 1]], 1) for h in at}
    said: dict[str, Any] = {
        "skill": {h: skill(pairs[h]) for h in at},
        "psnr_db": {h: psnr_db(float(errors[:, h - 1].mean())) for h in at},
        "ci95": {"skill": {h: ci95(pairs[h], skill) for h in at}},
    }
    if detector is not None:
        counts = {h: _found(dreams, footage, detector, h) for h in at}
        said["object_recall"] = {h: _recall(counts[h]) for h in at}
        said["ci95"]["object_recall"] = {h: ci95(counts[h], _recall) for h in at}
    return said


def _found(dreams: Rollout, footage: Footage, detector: Detector, horizon: int) -> np.ndarray:
    """(n, 2) objects found and objects there, for each dream."""
    found = detect_all(detector, dreams.dreamt[:, horizon - 1])
    scores = [
        match(seen, footage.boxes_of(int(row))) for seen, row in zip(found, dreams.rows[:, horizon - 1], strict=True)
    ]
    return np.array([(one.found, one.present) for one in scores], float)


def _recall(counts: np.ndarray) -> float:
    found, present = counts.sum(0)
    return float(found / present) if present else float("nan")
