"""Drift: whether a dream that goes on for thousands of frames still looks, and behaves, like the world it is of.

A few sessions dream on without end under recorded actions, strung together at random; endings are noted but the dream
goes on through them, so nothing ever mends it. In each window of time the judges' features of dreamt frames are
compared with those of real ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.evaluate.inverse_dynamics import (
    OFFSETS,
    balanced_accuracy,
    held_buttons,
    readable_rows,
    real_triples,
)  # fmt: skip
from inhabit.worldmodel.evaluate.judges import Judges, Seen
from inhabit.worldmodel.evaluate.rollout import CONTEXT_FRAMES
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.schedule import Threads

SEGMENT_FRAMES = 40
"""Recorded actions are strung together in runs of this length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftConfig:
    """How long and how often."""

    frames: int = 5000
    """Frames of each session."""

    sessions: int = 3
    """Sessions that dream at the same time."""

    windows: int = 10
    """Equal stretches of time that figures are given for."""

    every: int = 20
    """One moment of this many is looked at."""

    real_triples: int = 900
    """Real moments that they are compared with."""


@dataclass(frozen=True, kw_only=True)
class LongDream:
    """What was kept of a long rollout: triples of frames at sampled moments."""

    frame: np.ndarray
    """(m,) frame number of each moment, the same in all sessions."""
    triples: np.ndarray
    """(m, b, 3, h, w, 3) uint8."""
    actions: np.ndarray
    """(m, b, a) what led to the middle frame of each."""
    endings: np.ndarray
    """(frames, b) bool, drawn endings."""


def dream_on(
    engine: Engine,
    footage: Footage,
    latents: Tensor,
    config: DriftConfig,
    *,
    steps: int,
    on_frame: Callable[[int], None] = lambda frame: None,
) -> LongDream:
    """Dream `config.frames` frames in each session and keep what is to be looked at."""
    starts = footage.windows(CONTEXT_FRAMES, held_out=True)
    starts = starts[np.linspace(0, len(starts) - 1, config.sessions).astype(int)]
    script = scripted_actions(footage, config.frames, config.sessions)
    context = starts[:, None] + np.arange(CONTEXT_FRAMES)
    key = torch.arange(config.sessions) + 7_000_000
    pose = None if footage.pose is None else torch.from_numpy(footage.pose[context[:, 0]])
    state = engine.begin(latents[torch.from_numpy(context)], torch.from_numpy(footage.actions[context]), key, pose=pose)
    moments = np.arange(config.every // 2, config.frames - OFFSETS[-1], config.every)
    shown = {int(moment + offset) for moment in moments for offset in OFFSETS}
    pictures: dict[int, np.ndarray] = {}
    endings = np.zeros((config.frames, config.sessions), bool)
    threads = Threads(engine.device)
    for frame in range(config.frames):
        threads.begin_step()
        state, outcome = engine.step(state, torch.from_numpy(script[frame]), steps=steps)
        endings[frame] = outcome.terminated.cpu().numpy()
        if frame in shown:
            pictures[frame] = engine.show(state).cpu().numpy()
        threads.end_step()
        on_frame(frame + 1)
    triples = np.stack([np.stack([pictures[int(m + o)] for o in OFFSETS], axis=1) for m in moments])
    return LongDream(frame=moments, triples=triples, actions=script[moments], endings=endings)


def scripted_actions(footage: Footage, frames: int, sessions: int, *, seed: int = 0) -> np.ndarray:
    """Runs of recorded actions in random order. Shape (frames, sessions, a)."""
    length = min(SEGMENT_FRAMES, max(2, len(footage) // 4))
    runs = footage.windows(length, held_out=True)
    while not len(runs) and length > 1:
        length //= 2
        runs = footage.windows(length, held_out=True)
    drawn = np.random.default_rng(seed).choice(runs, (-(-frames // length), sessions))
    rows = drawn[:, None] + np.arange(length)[None, :, None]  # (runs, length, sessions)
    return footage.actions[rows.reshape(-1, sessions)[:frames]]


def measure_drift(dream: LongDream, footage: Footage, judges: Judges, config: DriftConfig) -> dict[str, Any]:
    """Figures of each window, and how much farther from reality the last is than the first.

    `drift` is the distance of the last window's features from real ones minus that of the first; see distance().
    `floor` is the distance between two halves of the real episodes. `objects_per_frame` and `sharpness` are means;
    `action_accuracy` is the balanced accuracy with which the given actions can be read off the dream.
    `objects_gone` is the share of the frames with objects after which the next has none, `objects_come` the reverse.
    Terminations are drawn endings, per 1000 frames; the dream goes on through them.
    """
    rows = readable_rows(footage, held_out=True)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(config.real_triples, len(rows))).astype(int))]
    real = judges.look(real_triples(footage, rows))
    named = footage.meta.world.actions
    windows, before, now = [], [], []
    for part in np.array_split(np.arange(len(dream.frame)), config.windows):
        triples = dream.triples[part].reshape(-1, *dream.triples.shape[2:])
        held = held_buttons(dream.actions[part].reshape(-1, dream.actions.shape[-1]), named)
        seen = judges.look(triples)
        accuracy = balanced_accuracy(seen.buttons, held, judges.inverse_dynamics.names).mean
        windows.append(_window(seen, real, accuracy, dream, part))
        before.append(seen.before)
        now.append(seen.objects)
    gone, come = changes(np.concatenate(before), np.concatenate(now))
    really_gone, really_come = changes(real.before, real.objects)
    half = (np.cumsum(footage.first)[rows] % 2).astype(bool)
    held = held_buttons(footage.actions[rows], named)
    return {
        "drift": windows[-1]["distance"] - windows[0]["distance"],
        "frames": len(dream.endings),
        "sessions": dream.endings.shape[1],
        "floor": distance(real.features[half], real.features[~half], spread(real.features)),
        "real": {
            "objects_per_frame": real.objects.mean(),
            "sharpness": real.sharpness.mean(),
            "action_accuracy": balanced_accuracy(real.buttons, held, judges.inverse_dynamics.names).mean,
        },
        "objects_gone": {"dreamt": gone, "real": really_gone},
        "objects_come": {"dreamt": come, "real": really_come},
        "terminations_per_1000": {
            "dreamt": 1000 * float(dream.endings.mean()),
            "real": 1000 * float(footage.terminated.mean()),
        },
        "windows": windows,
    }


def spread(features: np.ndarray) -> np.ndarray:
    """Standard deviation of each feature; one that never changes in reality is left out of distances (infinite)."""
    deviation = features.std(0)
    return np.where(deviation > 1e-4 * max(1e-9, deviation.max()), deviation, np.inf)


def distance(one: np.ndarray, other: np.ndarray, unit: np.ndarray) -> float:
    """How far apart two sets of features lie, in units of `unit`: the mean over features of the squared differences of
    their means and of their deviations, and the root of that. It is the Frechet distance of normals with independent
    features, made free of scale: 0 for equal sets, 1 when every mean is off by one real deviation.

    Shapes: (n, f), (m, f), (f,).
    """
    if not len(one) or not len(other):
        return float("nan")
    means = (one.mean(0) - other.mean(0)) / unit
    spreads = (one.std(0) - other.std(0)) / unit
    used = np.isfinite(unit)
    return float(np.sqrt((means[used] ** 2 + spreads[used] ** 2).mean())) if used.any() else 0.0


def changes(before: np.ndarray, now: np.ndarray) -> tuple[float, float]:
    """How often the last object goes, and a first one comes, from one frame to the next; NaN where nobody knows."""
    some, none = before > 0, before == 0
    gone = float((now[some] == 0).mean()) if some.any() else float("nan")
    return gone, float((now[none] > 0).mean()) if none.any() else float("nan")


def _window(seen: Seen, real: Seen, accuracy: float, dream: LongDream, part: np.ndarray) -> dict[str, float]:
    first, last = int(dream.frame[part[0]]), int(dream.frame[part[-1]])
    return {
        "from": first,
        "to": last,
        "distance": distance(seen.features, real.features, spread(real.features)),
        "objects_per_frame": float(seen.objects.mean()),
        "sharpness": float(seen.sharpness.mean()),
        "action_accuracy": accuracy,
        "terminations_per_1000": 1000 * float(dream.endings[first : last + 1].mean()),
    }
