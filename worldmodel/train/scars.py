"""Scars: pasts in which something is where it never is, so that a world learns to mend what a dream has spoilt.

Real pasts show the gun in one's hand in every frame, so a network learns to copy it from there. A dream that has once
lost it, behind a monster that came too near, has no past to copy it from, and plays on without. Here pasts are spoilt
on purpose, and what shall come is still what really came. Only what is no object is put there: that monsters vanish
must not be learnt.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from inhabit.worldmodel.train.latents import Latents
from inhabit.worldmodel.train.rehearsal import Past

LARGEST = 0.5
"""Of a frame's rows and columns."""
SMALLEST = 2
"""Latents along a side."""


def scarred(past: Past, data: Latents, share: float, random: torch.Generator) -> Past:
    """The same past, in a share of its windows with a piece of elsewhere from the first frame up to some frame.

    The pasts that were given stay as they are.
    """
    b, frames = past.rows.shape
    device = past.video.device
    chosen = (torch.rand(b, generator=random, device=device) < share).nonzero()[:, 0].tolist()
    if not chosen:
        return past
    video = past.video.clone()
    carried = None if past.carried is None else past.carried.clone()
    for window in chosen:
        piece, top, left = _piece(data, random)
        if piece is None:
            continue
        rows, columns = slice(top, top + piece.shape[1]), slice(left, left + piece.shape[2])
        last = 1 + int(torch.randint(frames, (), generator=random, device=device))
        video[window, :last, :, rows, columns] = piece
        if carried is not None:
            carried[window, :last, :, rows, columns] = piece
    return replace(past, video=video, carried=carried)


def _piece(data: Latents, random: torch.Generator) -> tuple[Tensor | None, int, int]:
    """A piece of some frame without objects on it, (c, h, w), and the row and column where to put it."""
    device = data.z.device

    def number(least: int, most: int) -> int:
        return int(torch.randint(least, most + 1, (), generator=random, device=device))

    rows, columns = data.z.shape[-2:]
    height, width = (number(min(SMALLEST, n), max(SMALLEST, int(LARGEST * n))) for n in (rows, columns))
    height, width = min(height, rows), min(width, columns)
    frame = number(0, len(data.z) - 1)
    (top, from_top), (left, from_left) = (
        (number(0, n - size), number(0, n - size)) for n, size in ((rows, height), (columns, width))
    )
    here = (slice(from_top, from_top + height), slice(from_left, from_left + width))
    if bool((data.care[frame][here] > 0).any()):
        return None, 0, 0
    return data.z[(frame, slice(None), *here)].float(), top, left
