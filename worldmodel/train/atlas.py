"""Choose the pictures of a world that is always the same place, and what is learnt from them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.memory.album import overlap
from inhabit.worldmodel.memory.atlas import CLOSER, TROD_STEP, Atlas, AtlasConfig
from inhabit.worldmodel.memory.foresight import REMEMBERED
from inhabit.worldmodel.train.footage import Footage

SAME_MOMENT_FRAMES = 8
"""Frames of an episode that are nearer than this to each other tell each other too much."""

LESSON_OVERLAP = 0.4
"""Pictures that show at least so much of a frame are what distances are learnt from: near ones tell little of them."""


def choose_atlas(footage: Footage, latents: Tensor, count: int, unit: float) -> tuple[Atlas, np.ndarray]:
    """An atlas of `count` pictures, spread over all poses that were recorded, and the rows that they are.

    Each is the one that those before show least of (farthest-first traversal: Gonzalez 1985).

    Args:
        latents: (n, c, h, w) of all frames.
        unit: see Recall.
    """
    assert footage.pose is not None
    rows = np.flatnonzero(~footage.held_out)
    pose = torch.from_numpy(footage.pose[rows])
    count = min(count, len(rows))
    chosen, shown = [0], overlap(pose[:1], pose, unit)
    while len(chosen) < count:
        chosen.append(int(shown.argmin()))
        shown = torch.maximum(shown, overlap(pose[chosen[-1]][None], pose, unit))
    rows = rows[chosen]
    stood = footage.pose[~footage.held_out, :3]
    _, first = np.unique(np.round(stood / (TROD_STEP * unit)).astype(np.int64), axis=0, return_index=True)
    trodden = torch.from_numpy(stood[first])
    _, channels, h, w = latents.shape
    config = AtlasConfig(pictures=count, trodden=len(trodden), latent_channels=channels, grid=(h, w))
    return Atlas(config).learn(latents[rows].float(), torch.from_numpy(footage.pose[rows]), trodden), rows


def nearest_pictures(footage: Footage, chosen: np.ndarray, unit: float) -> np.ndarray:
    """The row of the picture that an atlas of the rows `chosen` shows at each row, but another moment's, -1 where it
    has no other. (n,) int64."""

    def nearest(shown: Tensor) -> Tensor:
        best, at = shown.max(1)
        return torch.where(best >= 0, at, -1)

    return _pictures(footage, chosen, unit / CLOSER, nearest)


def lesson_pictures(footage: Footage, chosen: np.ndarray, unit: float, *, seed: int = 0) -> np.ndarray:
    """The row of some picture that shows enough of each row, -1 where none was found. (n,) int64."""
    generator = torch.Generator().manual_seed(seed)

    def draw(shown: Tensor) -> Tensor:
        fits = (shown >= LESSON_OVERLAP).float() * torch.rand(shown.shape, generator=generator)
        best, at = fits.max(1)
        return torch.where(best > 0, at, -1)

    return _pictures(footage, chosen, unit, draw)


def shown_first(recalled: Tensor, carried: Tensor, *, batch: int = 4096) -> Tensor:
    """What pictures show, and where they show nothing, what motion carries there.

    Shapes: (n, c + 1, h, w), (n, c, h, w) -> (n, c, h, w).
    """
    shown = torch.empty_like(carried)
    for start in range(0, len(carried), batch):
        some, known = recalled[start : start + batch, :-1], recalled[start : start + batch, -1:]
        shown[start : start + batch] = torch.where(known >= REMEMBERED, some, carried[start : start + batch])
    return shown


def _pictures(footage: Footage, chosen: np.ndarray, unit: float, choose: Callable[[Tensor], Tensor]) -> np.ndarray:
    """The row of the picture that is chosen by how much of each row all of them show, (k, pictures) -> (k,)."""
    assert footage.pose is not None
    pose, kept = torch.from_numpy(footage.pose), torch.from_numpy(footage.pose[chosen])
    episode = np.cumsum(footage.first)
    picked = np.full(len(footage), -1, np.int64)
    for start in range(0, len(footage), 256):
        rows = np.arange(start, min(start + 256, len(footage)))
        same = (episode[rows, None] == episode[chosen]) & (abs(rows[:, None] - chosen) < SAME_MOMENT_FRAMES)
        shown = overlap(kept, pose[rows, None], unit).masked_fill(torch.from_numpy(same), -1.0)
        at = choose(shown).numpy()
        picked[rows] = np.where(at >= 0, chosen[at], -1)
    return picked
