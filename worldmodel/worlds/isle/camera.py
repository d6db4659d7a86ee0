"""Where a batch of players looks from, and which pixels a thing can reach."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from inhabit.worldmodel.worlds.isle.motion import gaze
from inhabit.worldmodel.worlds.isle.scene import EYE_M, State

VIEW = math.radians(66)
"""The angle that the shorter side of the picture spans."""
NEAR_M = 0.12


@dataclass(frozen=True, kw_only=True, slots=True)
class Camera:
    """One pinhole camera for each island. Depth is measured along `ahead`."""

    eye: Tensor
    """(b, 3) m."""
    right: Tensor
    up: Tensor
    ahead: Tensor
    width: int
    height: int

    @property
    def focal_px(self) -> float:
        return min(self.width, self.height) / 2 / math.tan(VIEW / 2)

    def finer(self, times: int) -> Camera:
        """The same view in more pixels."""
        return Camera(
            eye=self.eye,
            right=self.right,
            up=self.up,
            ahead=self.ahead,
            width=self.width * times,
            height=self.height * times,
        )

    def slopes(self, px: Tensor, py: Tensor) -> tuple[Tensor, Tensor]:
        """How far the ray of a pixel goes right and up for each metre ahead."""
        return (px + (0.5 - self.width / 2)) / self.focal_px, ((self.height / 2 - 0.5) - py) / self.focal_px


def camera_of(state: State, width: int, height: int) -> Camera:
    yaw = state.look[:, 0]
    ahead = gaze(state)
    right = torch.stack([yaw.cos(), torch.zeros_like(yaw), -yaw.sin()], 1)
    return Camera(
        eye=state.player + state.player.new_tensor([0.0, EYE_M, 0.0]),
        right=right,
        up=torch.cross(ahead, right, dim=1),
        ahead=ahead,
        width=width,
        height=height,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Entries:
    """The pixels that each of a list of things may reach, one entry for each (thing, pixel)."""

    thing: Tensor
    """(e,) int64: which of the list."""
    px: Tensor
    """(e,) float32 column."""
    py: Tensor
    at: Tensor
    """(e,) int64: place of the pixel in a flat (b, height, width) buffer."""


def reach(camera: Camera, corners: Tensor, radius: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The rectangle of pixels around convex hulls.

    Args:
        corners: (b, n, c, 3) world points whose hull holds the thing.
        radius: (b, n) of a ball around their mean that holds it too.

    Returns:
        left, top, right, bottom, each (b, n) int64, right and bottom exclusive; empty for what is out of view.
    """
    basis = torch.stack([camera.right, camera.up, camera.ahead], 1)  # (b, 3, 3)
    seen = torch.einsum("bncw,bvw->bncv", corners - camera.eye[:, None, None], basis)
    ahead = seen[..., 2]
    safe = ahead.clamp(min=NEAR_M)
    middle, f = seen.mean(2), camera.focal_px
    crosses = (ahead < NEAR_M).any(2)
    bounds = []
    for axis, half in ((0, camera.width / 2), (1, camera.height / 2)):
        along = seen[..., axis] / safe
        low, high = _ball_slopes(middle[..., axis], middle[..., 2], radius)
        # a hull that crosses the near plane has no corners to project: the ball around it bounds it
        low = torch.where(crosses, low, torch.maximum(low, along.amin(2)))
        high = torch.where(crosses, high, torch.minimum(high, along.amax(2)))
        if axis:
            low, high = -high, -low
        bounds.append(((low * f + half).floor().clamp(0, 2 * half), (high * f + half).ceil().clamp(0, 2 * half)))
    (left, right), (top, bottom) = bounds
    gone = (ahead.amax(2) < NEAR_M) | (radius <= 0)
    right, bottom = torch.where(gone, left, right), torch.where(gone, top, bottom)
    return left.long(), top.long(), right.long(), bottom.long()


def _ball_slopes(across: Tensor, ahead: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """The slopes between which a ball lies, in one plane."""
    away = torch.hypot(across, ahead)
    angle = torch.atan2(across, ahead)
    half = torch.asin((radius / away.clamp(min=1e-3)).clamp(max=1))
    inside = radius >= away
    limit = math.radians(88)
    low = torch.where(inside, -limit, (angle - half).clamp(-limit, limit)).tan()
    high = torch.where(inside, limit, (angle + half).clamp(-limit, limit)).tan()
    return low, high


def entries(camera: Camera, island: Tensor, box: tuple[Tensor, Tensor, Tensor, Tensor]) -> Entries:
    """List the pixels of rectangles. Shapes: island and each of box (m,)."""
    left, top, right, bottom = box
    wide, count = right - left, (right - left) * (bottom - top)
    thing = torch.repeat_interleave(torch.arange(len(left), device=left.device), count)
    start = count.cumsum(0) - count
    within = torch.arange(len(thing), device=left.device) - start[thing]
    row = torch.div(within, wide[thing], rounding_mode="floor")
    px = within - row * wide[thing] + left[thing]
    py = row + top[thing]
    at = (island[thing] * camera.height + py) * camera.width + px
    return Entries(thing=thing, px=px.float(), py=py.float(), at=at)
