"""Open-loop rollouts: the same start and the same actions as the real game, dreamt in one batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.schedule import Threads

CONTEXT_FRAMES = 16
"""Real frames that a rollout starts from."""

HORIZONS = (1, 4, 16, 64)
"""Frames ahead at which dream and reality are compared."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Dreams beside what really happened."""

    rows: np.ndarray
    """(b, n) rows of the footage that were dreamt."""
    given: np.ndarray
    """(b, n) rows of the footage whose actions the dreams were given: `rows`, unless they were shuffled."""
    dreamt: np.ndarray
    """(b, n, h, w, 3) uint8."""
    last_seen: np.ndarray
    """(b,) rows of the last real frame before each dream."""
    reward: np.ndarray
    """(b, n) float32."""
    ending_chance: np.ndarray
    """(b, n) float32."""


def roll_out(
    engine: Engine,
    footage: Footage,
    latents: Tensor,
    starts: np.ndarray,
    frames: int,
    *,
    heard: Tensor | None = None,
    steps: int = 2,
    seed: int = 0,
    shuffle_actions: bool = False,
    batch: int = 32,
) -> Rollout:
    """Dream `frames` frames after CONTEXT_FRAMES real ones, under the recorded actions.

    Args:
        latents: (n, c, h, w) of the whole footage.
        heard: (n, latent) of the whole footage's sound, for a world with sound.
        starts: (b,) rows at which each window begins.
        shuffle_actions: give each dream another dream's actions (what a model that ignores actions would not notice).
        batch: dreams at the same time; no figure depends on it.
    """
    context = starts[:, None] + np.arange(CONTEXT_FRAMES)
    rows = starts[:, None] + CONTEXT_FRAMES + np.arange(frames)
    given = np.roll(rows, 1, axis=0) if shuffle_actions else rows
    key = torch.arange(len(starts)) + seed * 1_000_003
    dreamt = np.empty((len(starts), frames, *footage.frames.shape[1:]), np.uint8)
    reward, ending = (np.empty((len(starts), frames), np.float32) for _ in range(2))
    threads = Threads(engine.device)
    for part in (slice(first, first + batch) for first in range(0, len(starts), batch)):
        seen = torch.from_numpy(context[part])
        said = _said(footage, context[part, -1]) if engine.listens else None
        state = engine.begin(
            latents[seen],
            torch.from_numpy(footage.actions[context[part]]),
            key[part],
            sound=None if heard is None else heard[seen],
            prompts=said,
            pose=None if footage.pose is None else torch.from_numpy(footage.pose[context[part, 0]]),
        )
        for index in range(frames):
            threads.begin_step()
            if said is not None and (now := _said(footage, rows[part, index])) != said:
                state, said = engine.say(state, now), now
            action = torch.from_numpy(footage.actions[given[part, index]])
            state, outcome = engine.step(state, action, steps=steps)
            dreamt[part, index] = engine.show(state).cpu().numpy()
            reward[part, index] = outcome.reward.cpu().numpy()
            ending[part, index] = outcome.ending_chance.cpu().numpy()
            threads.end_step()
    return Rollout(rows=rows, given=given, dreamt=dreamt, last_seen=context[:, -1], reward=reward, ending_chance=ending)


def _said(footage: Footage, rows: np.ndarray) -> list[str]:
    """What holds at each of these rows."""
    return [footage.texts[0 if footage.text_of is None else footage.text_of[row]] for row in rows]


def skill(rollout: Rollout, footage: Footage, horizon: int) -> tuple[float, float]:
    """Skill over copying the last seen frame, 1 - MSE / MSE(copy), and PSNR in dB, at one horizon."""
    real = footage.frames[rollout.rows[:, horizon - 1]].astype(np.float32)
    copy = footage.frames[rollout.last_seen].astype(np.float32)
    error = float(np.mean((rollout.dreamt[:, horizon - 1].astype(np.float32) - real) ** 2))
    floor = float(np.mean((copy - real) ** 2))
    return 1 - error / max(floor, 1e-9), psnr_db(error)


def psnr_db(mse: float) -> float:
    """Peak signal to noise ratio of 8-bit pixels."""
    return 10 * float(np.log10(255.0**2 / max(mse, 1e-9)))


def windows_for(footage: Footage, frames: int, count: int) -> np.ndarray:
    """Up to `count` held-out starts, spread over the held-out episodes. Shape (<= count,)."""
    starts = footage.windows(CONTEXT_FRAMES + frames, held_out=True, stride=1)
    return starts[np.linspace(0, len(starts) - 1, min(count, len(starts))).astype(int)] if len(starts) else starts


def side_by_side(rollout: Rollout, footage: Footage, session: int, horizons: tuple[int, ...]) -> list[list[np.ndarray]]:
    """Two rows for a contact sheet: real frames above, dreamt ones below."""
    at = [h - 1 for h in horizons if h <= rollout.rows.shape[1]]
    last = footage.frames[rollout.last_seen[session]]
    real = [last, *footage.frames[rollout.rows[session, at]]]
    return [real, [last, *rollout.dreamt[session, at]]]
