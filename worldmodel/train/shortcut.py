"""Shortcuts: a big step shall lead where two half steps of the same network lead (Dreamer 4, arXiv 2509.24527)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inhabit.worldmodel.omni.block import K_MAX, Block
from inhabit.worldmodel.omni.dynamics import Dynamics


@dataclass(frozen=True, kw_only=True, slots=True)
class Clean:
    """Clean frames: real ones, or what the network shall say."""

    video: Tensor
    """(b, t, c, h, w)."""

    sound: Tensor | None = None
    """(b, t, latent); None in a silent world."""


@torch.no_grad()
def bootstrap_target(network: Dynamics, block: Block, real: Clean, big: Tensor, count: int) -> Clean:
    """Where two half steps of the present network lead, as clean frames; real ones where no big step is taught.

    Where they lead when all is painted: what was kept instead would teach to paint a copy of it.
    """
    part, mask = block.select(slice(count)), big[:count]
    half = torch.where(mask, part.step + 1, part.step)
    ahead = torch.where(mask, K_MAX >> half, 0)  # levels that half a step advances
    first = network(replace(part, step=half))
    halfway = replace(
        part,
        noised=_advanced(part.noised, first.painting.painted, part.level, ahead),
        level=part.level + ahead,
        step=half,
        sound=_sound_advanced(part, first.sound, ahead),
    )
    second = network(halfway)
    painted = first.painting.painted, second.painting.painted
    video = _reached(part.noised, painted[0], halfway.noised, painted[1], part.level, ahead)
    target = Clean(video=_replaced(real.video, video, mask))
    if real.sound is None or part.sound is None or halfway.sound is None:
        return target
    noised = part.sound[:, :, 0], halfway.sound[:, :, 0]
    sound = _reached(noised[0], first.sound, noised[1], second.sound, part.level, ahead)
    return replace(target, sound=_replaced(real.sound, sound, mask))


def wide(of_frame: Tensor, like: Tensor) -> Tensor:
    """Let one value for each frame stand beside all its numbers. Shapes: (b, t), (b, t, ...) -> (b, t, 1 ...)."""
    return of_frame.reshape(*of_frame.shape, *[1] * (like.ndim - 2))


def tau_of(level: Tensor, like: Tensor) -> Tensor:
    return wide(level.float() / K_MAX, like)


def _advanced(noised: Tensor, clean: Tensor, level: Tensor, ahead: Tensor) -> Tensor:
    """One step towards a prediction, as long as `ahead` levels."""
    velocity = (clean - noised) / (1 - tau_of(level, noised))
    return noised + velocity * tau_of(ahead, noised)


def _sound_advanced(part: Block, clean: Tensor | None, ahead: Tensor) -> Tensor | None:
    if part.sound is None or clean is None:
        return None
    return torch.stack([_advanced(part.sound[:, :, 0], clean, part.level, ahead), part.sound[:, :, 1]], 2)


def _reached(noised: Tensor, first: Tensor, halfway: Tensor, second: Tensor, level: Tensor, ahead: Tensor) -> Tensor:
    """Where the mean of two half steps' velocities leads when it is followed to the end."""
    velocity_1 = (first - noised) / (1 - tau_of(level, noised))
    velocity_2 = (second - halfway) / (1 - tau_of(level + ahead, noised))
    return noised + (1 - tau_of(level, noised)) * (velocity_1 + velocity_2) / 2


def _replaced(real: Tensor, made: Tensor, mask: Tensor) -> Tensor:
    """`made` in the first rows where the mask says so, and `real` elsewhere."""
    count = len(mask)
    return torch.cat([torch.where(wide(mask, made), made, real[:count]), real[count:]])
