"""What is true of a frame: where the player is, what is in view, and what happened."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.recordings import Box
from inhabit.worldmodel.worlds.isle.attributes import COLOURS, LANDMARKS, VALUES, Attributes, decode
from inhabit.worldmodel.worlds.isle.scene import (
    AVATARS,
    CREATURES,
    EACH,
    EVENTS,
    EYE_M,
    SLOTS,
    WALKERS,
    State,
    creature_colours,
    draws,
)  # fmt: skip

VARIABLES = ("X", "Y", "Z", "YAW", "PITCH")
"""The eye's place in metres (x east, y up, z north) and its yaw (0 north, 90 east) and pitch (up) in degrees."""
MIN_PIXELS = 6
"""Things that show fewer pixels have no box."""


def poses(state: State) -> np.ndarray:
    """VARIABLES of each island. Shape (b, 5) float32."""
    eye = state.player + state.player.new_tensor([0.0, EYE_M, 0.0])
    return torch.cat([eye, state.look * (180 / math.pi)], 1).cpu().numpy()


def events(state: State) -> list[tuple[str, ...]]:
    """Names of what happened in each island's frame."""
    return [tuple(name for name, on in zip(EVENTS, row, strict=True) if on) for row in state.events.tolist()]


def attributes(state: State) -> list[Attributes]:
    """The attributes in force in each island."""
    return [decode(codes) for codes in state.goal.tolist()]


def names(state: State) -> list[tuple[str, ...]]:
    """What stands in each slot, such as "tower:red", "creature:blue", "avatar", "ball"; label n is slot n - 1."""
    own = creature_colours(draws(state.key, torch.zeros_like(state.key), 9, len(WALKERS))).tolist()
    colours, order = list(COLOURS), list(VALUES)
    found = []
    for codes, walkers in zip(state.goal.tolist(), own, strict=True):
        row = []
        for kind in LANDMARKS:
            row += [f"{kind}:{colours[codes[order.index(f'{kind}_colour')]]}"] * EACH
        row += [f"creature:{colours[walkers[n]]}" for n in range(len(CREATURES))]
        row += ["avatar"] * len(AVATARS)
        found.append((*row, "ball"))
    assert all(len(row) == SLOTS for row in found)
    return found


def boxes(state: State, labels: Tensor) -> list[list[Box]]:
    """The things in view as the label buffer (b, h, w) shows them, in pixels; what shows too little is left out."""
    b = len(labels)
    hits = torch.nonzero(labels)
    thing = hits[:, 0] * SLOTS + labels[hits[:, 0], hits[:, 1], hits[:, 2]].long() - 1
    count = torch.bincount(thing, minlength=b * SLOTS)
    edges = []
    for axis, how in ((2, "amin"), (1, "amin"), (2, "amax"), (1, "amax")):
        start = torch.full((b * SLOTS,), 1 << 20 if how == "amin" else -1, device=labels.device)
        edges.append(start.scatter_reduce(0, thing, hits[:, axis], how))
    table = torch.stack([count, *edges], 1).view(b, SLOTS, 5).tolist()
    return [
        [
            Box(name=name, x=left, y=top, width=right - left + 1, height=bottom - top + 1)
            for name, (pixels, left, top, right, bottom) in zip(row_names, row, strict=True)
            if pixels >= MIN_PIXELS
        ]
        for row_names, row in zip(names(state), table, strict=True)
    ]
