"""Soft shadows on the ground: each thing throws one tapered streak away from the sun, and a dark spot at its foot."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from inhabit.worldmodel.worlds.isle.backdrop import View
from inhabit.worldmodel.worlds.isle.camera import Camera, entries, reach
from inhabit.worldmodel.worlds.isle.light import Light
from inhabit.worldmodel.worlds.isle.scene import BALL, BALL_RADIUS_M, SLOTS, State
from inhabit.worldmodel.worlds.isle.shapes import model_of

_OUTLINE = {
    "tower": (1.6, 1.3, 7.4), "house": (2.5, 1.7, 4.2), "tree": (0.35, 1.7, 4.2), "rock": (1.7, 0.8, 2.1),
    "pillar": (0.7, 0.6, 3.9), "creature": (0.45, 0.35, 1.2), "avatar": (0.33, 0.28, 1.75), "ball": (0.30, 0.26, 0.4),
}  # fmt: skip
"""Radius at the foot, radius at the top and height, m."""
_LONGEST = 2.4
"""Length of a shadow at most, in heights of what throws it."""
_SOFT_M = 0.22


@functools.lru_cache(maxsize=8)
def _outlines(device: torch.device) -> Tensor:
    return torch.tensor([_OUTLINE[model_of(slot)] for slot in range(SLOTS)], device=device)


def draw_shadows(state: State, camera: Camera, view: View, light: Light) -> Tensor:
    """How much of the sun each pixel's ground has lost. Shape (b, h, w), 0 to 1."""
    grown = state.presence.clone()
    grown[:, BALL] *= ~state.ball_held
    size = _outlines(camera.eye.device) * grown[..., None]  # (b, slots, 3)
    flat = light.toward[:, [0, 2]]
    rise = light.toward[:, 1:].clamp(min=0.05)
    away = -(flat / rise)
    away = away * (_LONGEST / away.norm(dim=1, keepdim=True).clamp(min=1e-3)).clamp(max=1)
    streak = away[:, None] * size[..., 2:]  # (b, slots, 2)
    lift = torch.zeros_like(size[..., 0])
    lift[:, BALL] = (state.place[:, BALL, 1] - BALL_RADIUS_M).clamp(min=0)
    foot = state.place[..., [0, 2]] + away[:, None] * lift[..., None]
    wide = size[..., :2].amax(-1) + _SOFT_M
    boxed = torch.stack(
        [torch.minimum(foot, foot + streak) - wide[..., None], torch.maximum(foot, foot + streak) + wide[..., None]], 2
    )
    corners = torch.stack([boxed[:, :, i, 0] for i in (0, 0, 1, 1)] + [boxed[:, :, i, 1] for i in (0, 1, 0, 1)], -1)
    corners = torch.stack([corners[..., :4], torch.zeros_like(corners[..., :4]), corners[..., 4:]], -1)
    half = (boxed[:, :, 1] - boxed[:, :, 0]).norm(dim=-1) / 2
    there = grown > 0.02
    box = reach(camera, corners, half * there)
    chosen = torch.nonzero((box[2] > box[0]) & (box[3] > box[1]) & there)
    island, slot = chosen[:, 0], chosen[:, 1]
    found = entries(camera, island, tuple(side[island, slot] for side in box))  # pyright: ignore[reportArgumentType]
    streaks = streak[island, slot]
    rows = torch.cat([foot[island, slot], streaks, size[island, slot, :2], streaks.square().sum(1, keepdim=True)], 1)
    x, z, sx, sz, r0, r1, square = rows.T.contiguous().index_select(1, found.thing)
    px, pz = view.gx.flatten()[found.at] - x, view.gz.flatten()[found.at] - z
    along = ((px * sx + pz * sz) / square.clamp(min=1e-4)).clamp(0, 1)
    apart = torch.hypot(px - along * sx, pz - along * sz)
    dark = ((r0 + (r1 - r0) * along + _SOFT_M - apart) / (2 * _SOFT_M)).clamp(0, 1) * (1 - 0.25 * along)
    shadow = torch.zeros(view.gx.numel(), device=px.device)
    return shadow.scatter_reduce_(0, found.at, dark, "amax").view_as(view.gx) * view.ground
