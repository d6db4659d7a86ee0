"""Rewards and endings: what the heads say one step ahead, against what happened.

The heads are read teacher-forced: a session walks through a whole held-out episode, at each frame the engine predicts
the next one exactly as in play (the same passes, with the action that was played), its heads are read, and then the
true frame is put in the place of the dreamt one. So every figure is about one step from the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.schedule import Threads

NEAR_FRAMES = 2
"""An event that is told this many frames early or late counts as told."""


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What the heads said of n frames, with what happened there. Arrays of length n, episode after episode."""

    rows: np.ndarray
    """Rows of the footage."""
    episode: np.ndarray
    """Which of the read episodes each frame is of."""
    reward: np.ndarray
    """Expected reward."""
    ending_chance: np.ndarray


def read_heads(
    engine: Engine, footage: Footage, latents: Tensor, *, steps: int, episodes: int, most_frames: int, batch: int = 24
) -> Readings:
    """Walk through up to `episodes` held-out episodes, each up to `most_frames` frames, and read the heads.

    Long episodes keep their end, which is where they end.
    """
    bounds = np.append(np.flatnonzero(footage.first), len(footage))
    spans = [(max(a, b - most_frames), b) for a, b in pairwise(bounds) if b - a > 1 and footage.held_out[a]]
    spans = sorted(spans[:episodes], key=lambda span: span[0] - span[1])  # the longest first: the others end before it
    parts = [_walk(engine, footage, latents, spans[i : i + batch], steps) for i in range(0, len(spans), batch)]
    rows, reward, chance = (np.concatenate(column) for column in zip(*parts))
    order = np.argsort(rows, kind="stable")
    starts = np.sort([a for a, _ in spans])
    return Readings(
        rows=rows[order],
        episode=np.searchsorted(starts, rows[order], side="right"),
        reward=reward[order],
        ending_chance=chance[order],
    )


def measure_endings(readings: Readings, footage: Footage) -> dict[str, Any]:
    """How well endings are told, when each frame ends its episode by the drawn chance, as the engine does in play.

    `precision`: the share of drawn endings that fall on or at most NEAR_FRAMES before a true one; `recall`: how likely
    it is that one is drawn so near to a true one. Both are expectations over the draws, so nothing needs a threshold.
    `average_precision` and `base_rate` compare chances frame by frame. Only terminations count: an episode that was
    cut has no true ending.
    """
    happened = footage.terminated[readings.rows].astype(bool)
    chance = readings.ending_chance.astype(float)
    precision, recall = soft_precision_recall(happened, chance, readings.episode)
    return {
        "precision": precision,
        "recall": recall,
        "average_precision": average_precision(happened, chance),
        "base_rate": float(happened.mean()),
        "events": int(happened.sum()),
        "told_per_1000": 1000 * float(chance.mean()),
        "real_per_1000": 1000 * float(happened.mean()),
    }


def measure_rewards(readings: Readings, footage: Footage) -> dict[str, Any]:
    """How well rewards are told. An event is a frame whose reward differs from the commonest one.

    It counts as told when the expected reward differs from the commonest one by more than half of the median event, at
    most NEAR_FRAMES away and with the same sign. `correlation` is of the rewards themselves.
    """
    real = footage.rewards[readings.rows].astype(float)
    values, counts = np.unique(real, return_counts=True)
    usual = values[counts.argmax()]
    size = float(np.median(np.abs(real[real != usual] - usual))) if (real != usual).any() else 1.0
    figures: dict[str, Any] = {"events": int((real != usual).sum()), "usual": float(usual), "event_size": size}
    told_right = events_told = told = told_true = 0.0
    for sign in (1, -1):
        happened = sign * (real - usual) > 1e-6
        said = (sign * (readings.reward - usual) > size / 2).astype(float)
        precision, recall = soft_precision_recall(happened, said, readings.episode)
        told += said.sum()
        told_true += said.sum() * (precision if said.any() else 0)
        events_told += happened.sum()
        told_right += happened.sum() * (recall if happened.any() else 0)
    figures["precision"] = told_true / told if told else float("nan")
    figures["recall"] = told_right / events_told if events_told else float("nan")
    varied = real.std() > 0 and readings.reward.std() > 0
    figures["correlation"] = float(np.corrcoef(real, readings.reward)[0, 1]) if varied else float("nan")
    return figures


def soft_precision_recall(happened: np.ndarray, chance: np.ndarray, episode: np.ndarray) -> tuple[float, float]:
    """Expected precision and recall when frame t is claimed with `chance` t, NEAR_FRAMES off allowed.

    Shapes: three of (n,): bool, float in 0 to 1, and the episode that each frame belongs to.
    """
    near, missed = happened.copy(), 1 - chance
    for off in range(1, NEAR_FRAMES + 1):
        same = episode[off:] == episode[:-off]
        near[off:] |= happened[:-off] & same
        near[:-off] |= happened[off:] & same
        missed[off:] *= np.where(same, 1 - chance[:-off], 1)
        missed[:-off] *= np.where(same, 1 - chance[off:], 1)
    precision = float((chance * near).sum() / chance.sum()) if chance.sum() > 0 else float("nan")
    recall = float(1 - missed[happened].mean()) if happened.any() else float("nan")
    return precision, recall


def average_precision(happened: np.ndarray, chance: np.ndarray) -> float:
    """Mean precision at each true event when frames are ranked by chance; the base rate is what ignorance scores."""
    if not happened.any():
        return float("nan")
    ranked = happened[np.argsort(-chance, kind="stable")]
    return float((np.cumsum(ranked) / np.arange(1, len(ranked) + 1))[ranked].mean())


def _walk(
    engine: Engine, footage: Footage, latents: Tensor, spans: list[tuple[int, int]], steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Teacher-forced readings of some episodes at once: rows, rewards and ending chances, frame after frame."""
    first = np.array([a for a, _ in spans])
    length = np.array([b - a for a, b in spans])
    true = torch.from_numpy(first)[:, None]
    pose = None if footage.pose is None or not engine.recall else torch.from_numpy(footage.pose).to(engine.device)
    begun = None if pose is None else pose[first]
    state = engine.begin(latents[true], torch.from_numpy(footage.actions[first])[:, None], true[:, 0], pose=begun)
    rows, reward, chance = [], [], []
    threads = Threads(engine.device)
    for frame in range(1, int(length.max())):
        threads.begin_step()
        alive = int((length > frame).sum())  # longest first, so that those still going on are the first ones
        if alive < len(state):
            state = state.select(torch.arange(alive, device=engine.device))
        now = first[:alive] + frame
        after, outcome = engine.step(state, torch.from_numpy(footage.actions[now]), steps=steps, donate=True)
        state = replace(after, latents=latents[torch.from_numpy(now)].float().to(engine.device))
        state = state if pose is None else replace(state, pose=pose[now])
        rows.append(now)
        reward.append(outcome.reward.float().cpu().numpy())
        chance.append(outcome.ending_chance.float().cpu().numpy())
        threads.end_step()
    return np.concatenate(rows), np.concatenate(reward), np.concatenate(chance)
