"""What a dream could know: how many of the objects that are really there had been in view before the dream began.

What comes into view from behind, or through a door, was never seen: no dream can find it but by chance. Where one turns
quickly, that is half of all there is after a second. Recall is to be read beside this share.
"""

from __future__ import annotations

import math

import numpy as np

from inhabit.worldmodel.evaluate.detector import MIN_HEIGHT_PX
from inhabit.worldmodel.train.footage import Footage

REACH_RAD = math.radians(10)
"""An object of the same name within this angle of where it was is taken for the same one,"""
WANDER_RAD = math.radians(0.5)
"""and within this angle more for each frame since."""


def known_share(footage: Footage, before: np.ndarray, rows: np.ndarray) -> float | None:
    """Of the objects at `rows`, the share that was in view in the frames `before` each.

    Shapes: (b, context) and (b,). None where no poses were recorded or nothing is there. Directions are told apart, not
    distances; the view is taken to be 90 degrees wide, as ViZDoom's is.
    """
    if footage.pose is None:
        return None
    known = present = 0
    for seen, row in zip(before, rows, strict=True):
        memory = np.concatenate([_directions(footage, int(one)) for one in seen])
        for name, direction, height in _directions(footage, int(row)):
            if height < MIN_HEIGHT_PX:
                continue
            away = np.abs((memory[:, 1] - direction + math.pi) % (2 * math.pi) - math.pi)
            reach = REACH_RAD + WANDER_RAD * (row - seen[-1])
            present += 1
            known += bool(np.any((memory[:, 0] == name) & (away < reach)))
    return known / present if present else None


def _directions(footage: Footage, row: int) -> np.ndarray:
    """(k, 3): name, direction from north in radians, and height in pixels of each object in view."""
    assert footage.pose is not None
    boxes = footage.boxes_of(row)
    half = footage.frames.shape[2] / 2
    across = (boxes[:, 1] + boxes[:, 3] / 2 - half) / half
    return np.column_stack([boxes[:, 0], footage.pose[row, 3] + np.arctan(across), boxes[:, 4]])
