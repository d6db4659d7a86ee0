"""Where rays meet the unit shapes of shapes.py, and which way the surface faces there. Plain vector arithmetic.

Every function takes the ray's origin and direction in the shape's unit frame as three tensors each, and gives the
smallest t above `near` at which it enters, or infinity.
"""

from __future__ import annotations

import torch
from torch import Tensor

Vector = tuple[Tensor, Tensor, Tensor]
_TINY = 1e-6


def ball(o: Vector, d: Vector, near: float) -> Tensor:
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = o[0] * d[0] + o[1] * d[1] + o[2] * d[2]
    c = o[0] * o[0] + o[1] * o[1] + o[2] * o[2] - 1
    inside = b * b - a * c
    t = -(b + inside.clamp(min=0).sqrt()) / a
    return torch.where((inside > 0) & (t > near), t, torch.inf)


def frustum(o: Vector, d: Vector, taper: Tensor, near: float) -> Tensor:
    middle, lean = (1 + taper) / 2, (1 - taper) / 2  # the radius is middle - lean y
    ro, rd = middle - lean * o[1], -lean * d[1]
    a = d[0] * d[0] + d[2] * d[2] - rd * rd
    b = o[0] * d[0] + o[2] * d[2] - ro * rd
    c = o[0] * o[0] + o[2] * o[2] - ro * ro
    a = torch.where(a.abs() < _TINY, _TINY, a)
    under = b * b - a * c
    root = under.clamp(min=0).sqrt()
    best = torch.full_like(a, torch.inf)
    for t in ((-b - root) / a, (root - b) / a):
        good = (under > 0) & ((o[1] + t * d[1]).abs() <= 1) & (t > near)
        best = torch.where(good, torch.minimum(best, t), best)
    dy = torch.where(d[1].abs() < _TINY, _TINY, d[1])
    t = (torch.where(d[1] < 0, 1.0, -1.0) - o[1]) / dy  # the cap that faces the ray
    x, z, r = o[0] + t * d[0], o[2] + t * d[2], ro + t * rd
    return torch.where((x * x + z * z <= r * r) & (t > near), torch.minimum(best, t), best)


def wedge(o: Vector, d: Vector, taper_x: Tensor, taper_z: Tensor, near: float) -> Tensor:
    dy = torch.where(d[1].abs() < _TINY, _TINY, d[1])
    one, two = (1 - o[1]) / dy, (-1 - o[1]) / dy
    enter, leave = torch.minimum(one, two), torch.maximum(one, two)
    for axis, taper in ((0, taper_x), (2, taper_z)):
        middle, lean = (1 + taper) / 2, (1 - taper) / 2
        lean_o, lean_d = lean * o[1] - middle, lean * d[1]
        for out_o, out_d in ((lean_o + o[axis], lean_d + d[axis]), (lean_o - o[axis], lean_d - d[axis])):
            out_d = torch.where(out_d.abs() < _TINY, _TINY, out_d)
            t = -out_o / out_d
            coming = out_d < 0
            enter = torch.where(coming, torch.maximum(enter, t), enter)
            leave = torch.where(coming, leave, torch.minimum(leave, t))
    return torch.where((enter < leave) & (enter > near), enter, torch.inf)


def facing(p: Vector, kind: Tensor, taper_x: Tensor, taper_z: Tensor) -> Vector:
    """The outward normal at a point of a shape's surface in its unit frame, not of unit length.

    Args:
        kind: 0 ball, 1 frustum, 2 wedge.
    """
    x, y, z = p
    cap = (y.abs() > 0.9995) & (kind > 0)
    lean_x, lean_z = (1 - taper_x) / 2, (1 - taper_z) / 2
    out_x = x.abs() + lean_x * y - (1 + taper_x) / 2  # 0 on the x sides of a wedge, else below
    out_z = z.abs() + lean_z * y - (1 + taper_z) / 2
    side_x = out_x > out_z
    radius = (1 + taper_x) / 2 - lean_x * y
    wedge_n = (
        torch.where(side_x, x.sign(), 0.0),
        torch.where(side_x, lean_x, lean_z),
        torch.where(side_x, 0.0, z.sign()),
    )
    round_n = (x, lean_x * radius, z)
    ball_n = (x, y, z)
    flat = (torch.zeros_like(x), y, torch.zeros_like(x))
    return tuple(  # pyright: ignore[reportReturnType]
        torch.where(cap, f, torch.where(kind == 0, b, torch.where(kind == 1, r, w)))
        for f, b, r, w in zip(flat, ball_n, round_n, wedge_n, strict=True)
    )
