"""Sights: the sorts of objects' pictures that a recording has, token by token; what dice learn to foretell.

Each token that objects touch is described by its latents under them. The descriptions are sorted into as many sorts as
the dice have faces (k-means), so that one face is a monster far away at the left of a token, another one a fireball in
its middle. The first face is kept for tokens without an object.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.omni.chance import Chance
from inhabit.worldmodel.train.footage import Footage

SAMPLE = 20_000
"""Tokens that the sorts are learnt from."""

ALWAYS = 0.9
"""Share of the frames in which a name must be in view for it to count as always there."""

ROUNDS = 20
"""Rounds of Lloyd's algorithm."""

CHUNK = 4096


def drawn_names(footage: Footage) -> list[int]:
    """Numbers of the names that dice stand for: all but those of which one is in view all but always.

    What is always there need not be drawn. Were it, dice would show little else, and a fireball between ten monsters
    that stand would have a new place in each frame.
    """
    frames = [len(np.unique(footage.boxes[footage.boxes[:, 1] == name, 0])) for name in range(len(footage.names))]
    return [name for name, count in enumerate(frames) if 0 < count < ALWAYS * len(footage)]


def faces_for(chance: Chance, z: Tensor, care: Tensor) -> Tensor:
    """What the dice of a recording show; new dice get their sights from it first.

    Shapes: (n, c, h, w), (n, h, w) -> (n, h / patch, w / patch) int16.
    """
    sights = chance.sights
    if not sights.any():
        sights.copy_(sort_sights(z, care, len(sights), sights.shape[-1]))
    return faces_of(z, care, sights.cpu())


def sort_sights(z: Tensor, care: Tensor, faces: int, patch: int, *, seed: int = 0) -> Tensor:
    """Sort what a recording shows.

    Args:
        z: (n, c, h, w) latents of a recording.
        care: (n, h, w) where objects are, 0 to 1.
        faces: sorts, with the first, which is no object.
        patch: latents along one side of a token.

    Returns:
        (faces, c + 1, patch, patch): what each sort looks like, and how much of each latent the object covers.
    """
    sights = torch.zeros(faces, z.shape[1] + 1, patch, patch)
    places = _touched(care, patch).nonzero()
    if len(places):
        random = torch.Generator().manual_seed(seed)
        some = places[torch.randperm(len(places), generator=random)[:SAMPLE]]
        centres = _sorts(_describe(z, care, some, patch), faces - 1, random)
        centres = centres.unflatten(1, (-1, patch, patch))
        cover = centres[:, -1:] / z.shape[1] ** 0.5
        sights[1 : 1 + len(centres)] = torch.cat([centres[:, :-1] / cover.clamp(min=0.1), cover], 1)
    return sights


def faces_of(z: Tensor, care: Tensor, sights: Tensor) -> Tensor:
    """What the die of each token shows: the sort that is nearest.

    Shapes: (n, c, h, w), (n, h, w), (faces, c + 1, patch, patch) -> (n, h / patch, w / patch) int16.
    """
    patch = sights.shape[-1]
    touched = _touched(care, patch)
    found = torch.zeros(touched.shape, dtype=torch.int16)
    cover = sights[1:, -1:]
    used = cover.flatten(1).any(1)
    centres = torch.cat([sights[1:, :-1] * cover.clamp(min=0.1), cover * z.shape[1] ** 0.5], 1)[used].flatten(1)
    for part in touched.nonzero().split(CHUNK) if len(centres) else ():
        sort = _nearest(_describe(z, care, part, patch), centres)
        found[part[:, 0], part[:, 1], part[:, 2]] = (used.nonzero()[:, 0][sort] + 1).to(torch.int16)
    return found


def _touched(care: Tensor, patch: int) -> Tensor:
    """Which tokens objects touch. Shape (n, h / patch, w / patch) bool."""
    return _windows(care[:, None], patch).amax((3, 4, 5)) > 0


def _windows(x: Tensor, patch: int) -> Tensor:
    """Shapes: (n, c, h, w) -> (n, h / patch, w / patch, c, patch, patch)."""
    return x.unfold(2, patch, patch).unfold(3, patch, patch).permute(0, 2, 3, 1, 4, 5)


def _describe(z: Tensor, care: Tensor, places: Tensor, patch: int) -> Tensor:
    """Shapes: places (k, 3) -> (k, (c + 1) * patch^2)."""
    row, top, left = places.unbind(1)
    shown, under = _windows(z, patch)[row, top, left].float(), _windows(care[:, None], patch)[row, top, left].float()
    # where objects are tells as much as how they look
    return torch.cat([shown * under, under * z.shape[1] ** 0.5], 1).flatten(1)


def _sorts(described: Tensor, count: int, random: torch.Generator) -> Tensor:
    """k-means. Shapes: (k, f) -> (count, f), fewer where there is less."""
    count = min(count, len(described))
    centres = described[torch.randperm(len(described), generator=random)[:count]]
    for _ in range(ROUNDS):
        nearest = _nearest(described, centres)
        members = torch.bincount(nearest, minlength=count)
        sums = torch.zeros_like(centres).index_add_(0, nearest, described)
        centres = torch.where(members[:, None] > 0, sums / members[:, None].clamp(min=1), centres)
    return centres


def _nearest(described: Tensor, centres: Tensor) -> Tensor:
    return torch.cdist(described, centres).argmin(1)
