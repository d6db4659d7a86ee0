"""What is painted on things: windows, doors, bricks, bark, eyes. Each paint sees only the points that wear it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inhabit.worldmodel.worlds.isle.shapes import DARK, PAINTS, WOOD

LAMP = (1.0, 0.82, 0.42)


@dataclass(frozen=True, kw_only=True, slots=True)
class Skin:
    """Points of one paint. All (n,) but colour (n, 3)."""

    x: Tensor
    """In the part's unit frame, -1 to 1."""
    y: Tensor
    z: Tensor
    side: Tensor
    """Whether the surface faces sideways along the part's own x axis (of a wedge)."""
    upward: Tensor
    """How much the surface faces up."""
    colour: Tensor
    lamps: Tensor
    """Whether lamps are lit, 0 to 1."""
    roll: Tensor
    """rad: how far the ball has rolled."""


Painted = tuple[Tensor, Tensor | None]
"""The colour, and how much of it shines by itself."""


def painted(paint: Tensor, skin: Skin) -> tuple[Tensor, Tensor]:
    """Give points their colour. Shapes: paint (n,) int64; colour (n, 3), glow (n,)."""
    colour, glow = skin.colour.clone(), torch.zeros_like(skin.x)
    for name, brush in _BRUSHES.items():
        rows = torch.nonzero(paint == PAINTS.index(name))[:, 0]
        mine = Skin(**{field: getattr(skin, field)[rows] for field in Skin.__dataclass_fields__})
        new, shines = brush(mine)
        colour[rows] = new
        if shines is not None:
            glow[rows] = shines
    return colour, glow


def _mix(colour: Tensor, other: tuple[float, ...] | Tensor, share: Tensor) -> Tensor:
    other = other if isinstance(other, Tensor) else colour.new_tensor(other)
    return colour + (other - colour) * share[:, None]


def _bright(colour: Tensor, factor: Tensor) -> Tensor:
    """Lighter or darker; black things are lightened by adding, so that their pattern shows too."""
    return (colour * factor[:, None] + (factor[:, None] - 1) * 0.12).clamp(0, 1)


def _within(x: Tensor, middle: float, half: float) -> Tensor:
    return (x - middle).abs() < half


def _tower(s: Skin) -> Painted:
    turn = torch.atan2(s.x, s.z) / math.pi  # -1 to 1 around
    rows = s.y * 7
    brick = ((rows - rows.floor() < 0.1) & (s.upward < 0.5)).float()
    colour = _bright(s.colour, 1 - 0.22 * brick)
    across = (turn * 2) - (turn * 2).round()
    window = (_within(across, 0, 0.07) & (_within(s.y, 0.62, 0.11) | _within(s.y, 0.05, 0.11))).float()
    door = (_within(turn, 0, 0.10) & (s.y < -0.52)).float()
    colour = _mix(_mix(colour, DARK, window), WOOD, door)
    return _mix(colour, LAMP, window * s.lamps), window * s.lamps


def _crown(s: Skin) -> Painted:
    turn = torch.atan2(s.x, s.z) * (10 / math.pi)
    notch = ((turn - turn.floor() < 0.45) & (s.y > -0.1) & (s.upward < 0.5)).float()
    return _mix(_bright(s.colour, torch.full_like(s.x, 1.08)), DARK, 0.75 * notch), None


def _house(s: Skin) -> Painted:
    along = torch.where(s.side, s.z, s.x)
    frame = (_within(along.abs(), 0.56, 0.27) & _within(s.y, 0.12, 0.42)).float()
    pane = _within(along.abs(), 0.56, 0.20) & _within(s.y, 0.12, 0.34)
    bar = _within(along.abs(), 0.56, 0.025) | _within(s.y, 0.12, 0.04)
    window = (pane & ~bar).float()
    front = (s.z > 0.5) & ~s.side
    door = (_within(s.x, 0, 0.19) & (s.y < 0.32) & front).float()
    edge = (_within(s.x, 0, 0.24) & (s.y < 0.40) & front).float()
    plank = ((s.y * 5 - (s.y * 5).floor()) < 0.12).float()
    colour = _bright(s.colour, 1 - 0.10 * plank)
    pale = s.colour.mean(1) > 0.8
    trim = torch.where(pale[:, None], colour.new_tensor([0.45, 0.5, 0.6]), colour.new_tensor([0.95, 0.95, 0.92]))
    colour = _mix(_mix(colour, trim, torch.maximum(frame, edge)), (0.22, 0.30, 0.42), window)
    colour = _mix(_mix(colour, LAMP, window * s.lamps), WOOD, door)
    return colour, window * s.lamps


def _tiles(s: Skin) -> Painted:
    rows = s.y * 4
    row = ((rows - rows.floor()) < 0.25).float()
    return _bright(s.colour, 1 - 0.2 * row), None


def _leaves(s: Skin) -> Painted:
    blot = (s.x * 7.3 + s.y * 3.1).sin() * (s.y * 8.7 - s.z * 2.2).sin() + (s.z * 7.9 + s.x * 3.3).sin()
    return _bright(s.colour, 1 + 0.16 * (blot > 0.35) - 0.20 * (blot < -0.45)), None


def _bark(s: Skin) -> Painted:
    return _bright(s.colour, 1 - 0.25 * (torch.atan2(s.x, s.z) * 6 + s.y * 2).sin().clamp(min=0)), None


def _stone(s: Skin) -> Painted:
    fleck = (s.x * 2.1 + s.y * 3.3).sin() * (s.z * 2.6 - s.y * 1.9 + 1).sin()
    return _bright(s.colour, 1.0 + 0.12 * (fleck > 0.45) - 0.14 * (fleck < -0.4)), None


def _column(s: Skin) -> Painted:
    band = (torch.atan2(s.x, s.z) + s.y * 6).sin() > 0.45
    pale = s.colour.mean(1) > 0.8
    stripe = torch.where(pale[:, None], s.colour * 0.72, s.colour.new_tensor([0.93, 0.92, 0.88]).expand_as(s.colour))
    return _mix(s.colour, stripe, 0.62 * band), None


def _fur(s: Skin) -> Painted:
    belly = (s.y < -0.35).float()
    spots = ((s.x * 6).sin() * (s.z * 7).sin() > 0.55).float() * (1 - belly)
    return _bright(_mix(s.colour, (0.98, 0.95, 0.88), 0.7 * belly), 1 - 0.25 * spots), None


def _face(s: Skin) -> Painted:
    front = s.z > 0.2
    white = (((s.x.abs() - 0.40) ** 2 + (s.y - 0.22) ** 2 < 0.085) & front).float()
    pupil = (((s.x.abs() - 0.38) ** 2 + (s.y - 0.20) ** 2 < 0.028) & front).float()
    nose = ((s.x**2 + (s.y + 0.22) ** 2 < 0.03) & front).float()
    return _mix(_mix(_mix(s.colour, (1.0, 1.0, 1.0), white), DARK, pupil), DARK, nose), None


def _coat(s: Skin) -> Painted:
    legs = (s.y < -0.25).float()
    gap = (legs > 0) & (s.x.abs() < 0.13)
    colour = _mix(s.colour, (0.20, 0.22, 0.32), legs)
    return _mix(colour, (0.08, 0.08, 0.12), 0.8 * gap), None


def _visor(s: Skin) -> Painted:
    hair = ((s.y > 0.35) | (s.z < -0.15)).float()
    eyes = (((s.x.abs() - 0.36) ** 2 + (s.y - 0.08) ** 2 < 0.022) & (s.z > 0)).float()
    return _mix(_mix(s.colour, (0.30, 0.18, 0.10), hair), DARK, eyes), None


def _toy(s: Skin) -> Painted:
    y = s.y * s.roll.cos() + s.z * s.roll.sin()  # the ball's own frame turns as it rolls
    z = s.z * s.roll.cos() - s.y * s.roll.sin()
    stripe = (y.abs() < 0.24) | (z.abs() < 0.14)
    return _mix(s.colour, (1.0, 1.0, 1.0), stripe.float()), None


_BRUSHES: dict[str, Callable[[Skin], Painted]] = {
    "tower": _tower, "crown": _crown, "house": _house, "tiles": _tiles, "leaves": _leaves, "bark": _bark,
    "stone": _stone, "column": _column, "fur": _fur, "face": _face, "coat": _coat, "visor": _visor, "toy": _toy,
}  # fmt: skip
