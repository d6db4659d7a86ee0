"""Poses: where the eye is and where it looks. (..., 5) float32: east, up, north, yaw (clockwise from north), pitch.

Lengths are in the world's own unit, angles in radians. A travel is a change of pose as the walker feels it: right, up,
forward, turn, nod.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

POSE = 5
"""Numbers in a pose, and in a travel."""


def after(pose: Tensor, travel: Tensor) -> Tensor:
    """Where a travel leads. Shapes: (..., 5) twice -> (..., 5)."""
    right, up, forward, turn, nod = travel.unbind(-1)
    east, height, north, yaw, pitch = pose.unbind(-1)
    sin, cos = yaw.sin(), yaw.cos()
    return torch.stack(
        [
            east + right * cos + forward * sin,
            height + up,
            north + forward * cos - right * sin,
            wrapped(yaw + turn),
            pitch + nod,
        ],
        -1,
    )


def between(pose: Tensor, later: Tensor) -> Tensor:
    """The travel that leads from one pose to another. Shapes: (..., 5) twice -> (..., 5)."""
    away = later - pose
    sin, cos = pose[..., 3].sin(), pose[..., 3].cos()
    return torch.stack(
        [
            away[..., 0] * cos - away[..., 2] * sin,
            away[..., 1],
            away[..., 0] * sin + away[..., 2] * cos,
            wrapped(away[..., 3]),
            away[..., 4],
        ],
        -1,
    )


def wrapped(angle: Tensor) -> Tensor:
    """The same angle from -pi to pi."""
    return torch.remainder(angle + math.pi, 2 * math.pi) - math.pi
