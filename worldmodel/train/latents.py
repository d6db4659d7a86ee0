"""A recording as the dynamics sees it: latents and columns on the training device."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.omni.text import TextConfig, Tokens, tokenise
from inhabit.worldmodel.train.footage import Footage


@dataclass(frozen=True, kw_only=True)
class Latents:
    """A recording as the dynamics sees it; all tensors on the training device."""

    z: Tensor
    """(n, c, h, w) float16."""
    actions: Tensor
    rewards: Tensor
    ended: Tensor
    """(n,) float32, 1 where the frame terminated its episode."""
    first: Tensor
    care: Tensor
    """(n, h, w) float16: extra weight of each latent because of objects on it, 0 to 1."""
    carried: Tensor | None = None
    """(n, c, h, w) float16: for each frame the one before, as motion carries it there."""
    recent: Tensor | None = None
    """(n, history, a): the actions that motion sees."""
    recalled: Tensor | None = None
    """(n, c + 1, h, w) float16: for each frame an older picture, turned to where one looks, and how much there is."""
    faces: Tensor | None = None
    """(n, rows, columns) int16 what the die of each token shows, for a world with dice."""
    prompts: Tokens | None = None
    """The recording's texts, and an empty one as the last, for a world that listens to words."""
    prompt: Tensor | None = None
    """(n,) int64 which of them held at each frame."""
    sound: Tensor | None = None
    """(n, latent) float16 sound latents, for a world with sound."""
    loudness: Tensor | None = None
    """(n,) float32 how loud it was."""
    pose: Tensor | None = None
    """(n, 5) float32 where the eye was, where that was recorded."""
    next_stage: Tensor | None = None
    """(n,) int64: the row of the same moment after the next words, -1 where there is none; None in other recordings."""

    @cached_property
    def last(self) -> Tensor:
        """(n,) int64: the last row of each row's episode."""
        ends = F.pad(self.first[1:], (0, 1), value=True).nonzero()[:, 0]
        return ends[self.first.cumsum(0) - self.first[0].long()]

    def windows(self, starts: Tensor, frames: int) -> Tensor:
        """Rows of windows; where one runs past its episode's end, its last row again and again.

        Shapes: (b,) -> (b, frames).
        """
        rows = starts[:, None] + torch.arange(frames, device=starts.device)
        return torch.minimum(rows, self.last[starts][:, None])

    def speak(self, rows: Tensor, now: Tensor) -> tuple[Tensor, Tensor]:
        """Say the next words in mid-stream, where a recording shows what comes of them.

        Args:
            rows: (b, t) of windows.
            now: (b, t) bool: when to say them.

        Returns:
            (b, t) rows of the same moments after the words that were said until then, and whether any were said there.
        """
        if self.next_stage is None:
            return rows, torch.zeros_like(now)
        spoken, told, shift = [], [], torch.zeros_like(rows[:, 0])
        for row, say in zip(rows.unbind(1), now.unbind(1), strict=True):
            here = row + shift
            ahead = self.next_stage[here]
            say = say & (ahead >= 0)
            shift = torch.where(say, ahead - row, shift)
            spoken.append(row + shift)
            told.append(say)
        return torch.stack(spoken, 1), torch.stack(told, 1)

    def cut(self, rows: int, columns: int) -> Latents:
        """The same with only the middle of each frame, as a smaller window shows it. Nothing is copied."""
        top, left = (self.z.shape[-2] - rows) // 2, (self.z.shape[-1] - columns) // 2
        parts = {name: getattr(self, name) for name in ("z", "care", "carried", "recalled")}
        view = (..., slice(top, top + rows), slice(left, left + columns))
        parts = {name: part if part is None else part[view] for name, part in parts.items()}
        if self.faces is not None:
            cell = self.z.shape[-1] // self.faces.shape[-1]
            parts["faces"] = self.faces[
                ..., top // cell : (top + rows) // cell, left // cell : (left + columns) // cell
            ]
        return replace(self, **parts)


def goes_on(rows: Tensor) -> Tensor:
    """Which frames of windows there are, (b, t) bool: those after an episode's end only repeat it."""
    return F.pad(rows[:, 1:] != rows[:, :-1], (1, 0), value=True)


def gather_latents(
    footage: Footage,
    z: Tensor,
    device: torch.device,
    *,
    carried: Tensor | None = None,
    recent: Tensor | None = None,
    recalled: Tensor | None = None,
    text: TextConfig | None = None,
    sound: Tensor | None = None,
    loudness: np.ndarray | None = None,
) -> Latents:
    """Put a recording's latents and columns onto the training device.

    Args:
        z: (n, c, h, w) latents of its frames.
        carried: (n, c, h, w) latents of the frame before each, as motion carries it there.
        recent: (n, history, a) the actions that motion sees.
        recalled: (n, c + 1, h, w) what the album shows of each frame.
        text: how prompts are read, for a world that shall listen to words.
        sound: (n, latent) latents of its sound, for a world that shall sound.
        loudness: (n,) how loud it was.
    """

    def column(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(device)

    return Latents(
        z=z.to(device),
        actions=column(footage.actions),
        rewards=column(footage.rewards),
        ended=column(footage.terminated),
        first=torch.from_numpy(footage.first).to(device),
        care=object_cells(footage, (z.shape[-2], z.shape[-1])).to(device),
        carried=None if carried is None else carried.to(device),
        recent=None if recent is None else recent.to(device),
        recalled=None if recalled is None else recalled.to(device),
        prompts=None if text is None else tokenise([*footage.texts, ""], text).to(device),
        prompt=None if footage.text_of is None else torch.from_numpy(footage.text_of).to(device),
        sound=None if sound is None else sound.to(device),
        loudness=None if loudness is None else column(loudness),
        pose=None if footage.pose is None else torch.from_numpy(footage.pose).to(device),
        next_stage=None if footage.next_stage is None else torch.from_numpy(footage.next_stage).to(device),
    )


def object_cells(footage: Footage, grid: tuple[int, int], names: Collection[int] | None = None) -> Tensor:
    """Which latents have objects on them. Shape (n, rows, columns) float16: 1 under an object, 0 elsewhere.

    Where no objects were recorded, cells that hold something unusual count.

    Args:
        names: numbers of the names that count; all of them by default.
    """
    side = footage.frames.shape[1] // grid[0]
    cells = np.zeros((len(footage), *grid), np.float16)
    if not footage.names:
        for start in range(0, len(footage), 512):
            unusual = footage.unusual(slice(start, start + 512)) > 0.5
            cells[start : start + 512] = unusual.reshape(-1, grid[0], side, grid[1], side).any((2, 4))
    counting = slice(None) if names is None else np.isin(footage.boxes[:, 1], list(names))
    for row, _, x, y, width, height in footage.boxes[counting]:
        cells[
            row, max(0, y) // side : (y + height - 1) // side + 1, max(0, x) // side : (x + width - 1) // side + 1
        ] = 1
    return torch.from_numpy(cells)
