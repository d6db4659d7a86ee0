"""Choose the pictures that a world goes on in where its view comes to what nobody has seen."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from inhabit.worldmodel.memory.vistas import Vistas, VistasConfig
from inhabit.worldmodel.omni.autoencoder import Autoencoder
from inhabit.worldmodel.train.footage import Footage

HELD_SHARE = 0.2
"""Objects of a name that so often have the same place in the view are held there, or fixed to it."""

NEAR_WIDTH, NEAR_AREA = 0.4, 0.12
"""Shares of the view: what is larger stands so near that nothing goes on behind it."""

PLACE_PX = 8
"""Boxes nearer to each other than about this have the same place."""


def choose_vistas(footage: Footage, latents: Tensor, autoencoder: Autoencoder, count: int) -> Vistas | None:
    """Pictures spread over a recording; None where it has too few that are open and hold nothing.

    Args:
        latents: (n, c, h, w) of all frames.
        count: how many.
    """
    rows = np.flatnonzero(~footage.held_out & _open(footage))
    if len(rows) < count:
        return None
    rows = rows[np.linspace(0, len(rows) - 1, count).astype(int)]
    _, channels, *grid = latents.shape
    vistas = Vistas(VistasConfig(pictures=count, latent_channels=channels, grid=(grid[0], grid[1])))
    device = autoencoder.mean.device
    return vistas.to(device).learn(latents[rows].to(device).float(), autoencoder)


def _open(footage: Footage) -> np.ndarray:
    """(n,) bool: whether nothing stands near, and nothing is held."""
    height, width = footage.frames.shape[1:3]
    row, name, *_, wide, high = footage.boxes.T
    near = (wide > NEAR_WIDTH * width) | (wide * high > NEAR_AREA * width * height)
    held = np.zeros(len(footage.boxes), bool)
    for one in np.unique(name):
        mine = np.flatnonzero(name == one)
        _, place, times = np.unique(
            footage.boxes[mine, 2:] // PLACE_PX, axis=0, return_inverse=True, return_counts=True
        )
        held[mine] = (times / len(mine) > HELD_SHARE)[place.reshape(-1)]
    found = np.ones(len(footage), bool)
    found[row[near | held]] = False
    return found
