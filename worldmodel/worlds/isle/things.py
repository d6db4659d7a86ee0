"""Draw the things: cast each pixel's ray only at the parts whose rectangle holds it, keep the nearest, light it.

Work grows with the pixels that parts cover and not with (parts x pixels): a list of (part, pixel) entries is made,
cast, and brought down to the nearest by one scatter; only what is seen is shaded.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inhabit.worldmodel.worlds.isle import cast
from inhabit.worldmodel.worlds.isle.camera import NEAR_M, Camera, entries, reach
from inhabit.worldmodel.worlds.isle.light import Light
from inhabit.worldmodel.worlds.isle.paint import Skin, painted
from inhabit.worldmodel.worlds.isle.scene import BALL, State
from inhabit.worldmodel.worlds.isle.shapes import KINDS, Parts, PartTable, part_table, place_parts

FINER = 2
"""Rays a pixel along each side."""
_EMPTY = torch.iinfo(torch.int64).max
_CORNERS = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Things:
    """What the things look like, at the size of the picture."""

    colour: Tensor
    """(b, 3, h, w), already weighted with `cover`."""
    albedo: Tensor
    """(b, 3, h, w) the paint without light, weighted too."""
    cover: Tensor
    """(b, 1, h, w) share of the pixel that things cover."""
    line: Tensor
    """(b, 1, h, w) share of the pixel on an outline."""
    depth: Tensor
    """(b, h, w) m along the view, infinity where nothing stands."""
    labels: Tensor
    """(b, h, w) uint8: slot + 1 of the nearest thing, 0 for none."""


def draw_things(state: State, camera: Camera, light: Light) -> Things:
    table, parts, fine = part_table(state.key.device), place_parts(state), camera.finer(FINER)
    frames = _frames(camera, parts, table)
    nearest = _nearest(fine, parts, table, frames)
    b, h, w = len(state), fine.height, fine.width
    at = torch.nonzero(nearest != _EMPTY)[:, 0]
    key = nearest[at]
    part, t = key & 0xFF, (key >> 8).to(torch.int32).view(torch.float32)
    island = torch.div(at, h * w, rounding_mode="floor")
    px, py = (at % w).float(), (torch.div(at, w, rounding_mode="floor") % h).float()
    colour, albedo, face = _shade(state, fine, parts, table, frames, light, (island, part, t, px, py))
    surface = torch.zeros(b * h * w, dtype=torch.int16, device=at.device)
    surface[at] = face
    # the mean over each pixel's rays, as a sum of the few that hit something
    pixel = (island * camera.height + (py / FINER).long()) * camera.width + (px / FINER).long()
    values = torch.cat([colour, albedo, torch.ones_like(colour[:, :1])], 1) / FINER**2
    small = colour.new_zeros(b * camera.height * camera.width, 7).index_add_(0, pixel, values)
    small = small.view(b, camera.height, camera.width, 7).permute(0, 3, 1, 2).contiguous()
    front = _fold(nearest.view(b, h, w), torch.minimum)
    none = front == _EMPTY
    labels = torch.where(none, 0, table.slot[front & 0xFF * (~none).long()] + 1)
    depth = torch.where(none, torch.inf, (front >> 8).to(torch.int32).view(torch.float32))
    return Things(
        colour=small[:, :3],
        albedo=small[:, 3:6],
        cover=small[:, 6:],
        line=_lines(surface.view(b, 1, h, w)),
        depth=depth,
        labels=labels.to(torch.uint8),
    )


def _frames(camera: Camera, parts: Parts, table: PartTable) -> Tensor:
    """The camera in each part's unit frame: origin, ahead, right, up, taper. Shape (b, p, 14)."""
    b = len(parts.at)
    columns = []
    for vector, is_point in ((camera.eye, True), (camera.ahead, False), (camera.right, False), (camera.up, False)):
        x, y, z = ((vector[:, None] - parts.at) if is_point else vector[:, None].expand_as(parts.at)).unbind(-1)
        turned = torch.stack([x * parts.cos - z * parts.sin, y, x * parts.sin + z * parts.cos], -1)
        columns.append(turned / parts.half)
    return torch.cat([*columns, table.taper.expand(b, -1, -1)], -1)


def _nearest(camera: Camera, parts: Parts, table: PartTable, frames: Tensor) -> Tensor:
    """For each fine pixel its nearest part: depth bits times 256 plus the part, or _EMPTY. Shape (b h w,)."""
    device, b = frames.device, len(frames)
    signs = torch.tensor(_CORNERS, device=device, dtype=torch.float32)
    local = parts.half[:, :, None] * signs  # (b, p, 8, 3)
    cos, sin = parts.cos[..., None], parts.sin[..., None]
    x, y, z = local.unbind(-1)
    corners = parts.at[:, :, None] + torch.stack([x * cos + z * sin, y, z * cos - x * sin], -1)
    box = reach(camera, corners, parts.half.norm(dim=-1) * parts.there)
    nearest = torch.full((b * camera.height * camera.width,), _EMPTY, device=device)
    seen = (box[2] > box[0]) & (box[3] > box[1]) & parts.there
    for number, span in enumerate(table.spans):
        chosen = torch.nonzero(seen[:, span.start : span.stop])
        island, part = chosen[:, 0], chosen[:, 1] + span.start
        left, top, right, bottom = (side[island, part] for side in box)
        found = entries(camera, island, (left, top, right, bottom))
        rows = frames[island, part].T.contiguous()  # (14, m)
        o, d, taper_x, taper_z = _rays(camera, rows, found.thing, found.px, found.py)
        if KINDS[number] == "ball":
            t = cast.ball(o, d, NEAR_M)
        elif KINDS[number] == "frustum":
            t = cast.frustum(o, d, taper_x, NEAR_M)
        else:
            t = cast.wedge(o, d, taper_x, taper_z, NEAR_M)
        hit = torch.nonzero(t < 1e4)[:, 0]
        # positive floats sort like their bits: one integer minimum finds depth and part together
        key = (t[hit].view(torch.int32).long() << 8) | part[found.thing[hit]]
        nearest.scatter_reduce_(0, found.at[hit], key, "amin")
    return nearest


def _rays(camera: Camera, rows: Tensor, which: Tensor, px: Tensor, py: Tensor):
    """Rays of pixels in the frame of the part that each meets. Shapes: rows (14, m), which (e,)."""
    u, v = camera.slopes(px, py)
    values = rows.index_select(1, which)
    o = (values[0], values[1], values[2])
    dx, dy, dz = (torch.addcmul(torch.addcmul(values[3 + i], u, values[6 + i]), v, values[9 + i]) for i in range(3))
    return o, (dx, dy, dz), values[12], values[13]


def _shade(state: State, camera: Camera, parts: Parts, table: PartTable, frames: Tensor, light: Light, seen):
    """Paint and light what is seen. Returns colour and albedo (n, 3) and a number for each flat face (n,)."""
    island, part, t, px, py = seen
    row = island * len(table.slot) + part
    o, d, taper_x, taper_z = _rays(camera, frames.flatten(0, 1).T.contiguous(), row, px, py)
    x, y, z = (o[i] + t * d[i] for i in range(3))
    kinds = torch.empty_like(table.slot)
    for number, span in enumerate(table.spans):
        kinds[span.start : span.stop] = number
    kind = kinds[part]
    n = cast.facing((x, y, z), kind, taper_x, taper_z)
    half = parts.half.flatten(0, 1)[row]
    nx, ny, nz = n[0] / half[:, 0], n[1] / half[:, 1], n[2] / half[:, 2]
    size = (nx * nx + ny * ny + nz * nz).clamp(min=1e-12).rsqrt()
    nx, ny, nz = nx * size, ny * size, nz * size
    cos, sin = parts.cos.flatten()[row], parts.sin.flatten()[row]
    wx, wz = nx * cos + nz * sin, nz * cos - nx * sin
    slot = table.slot[part]
    skin = Skin(
        x=x,
        y=y,
        z=z,
        side=nx.abs() > nz.abs(),
        upward=ny,
        colour=parts.colour.flatten(0, 1)[row],
        lamps=light.lamps[island],
        roll=state.gait[:, BALL][island],
    )
    albedo, glow = painted(table.paint[part], skin)
    toward = light.toward[island]
    direct = (wx * toward[:, 0] + ny * toward[:, 1] + wz * toward[:, 2]).clamp(min=0)
    from_sky = 1.24 + 0.16 * ny
    # the foot of a thing is darker, which makes it stand on the ground
    high = parts.at.flatten(0, 1)[row, 1] + y * half[:, 1]
    from_sky = from_sky * (0.72 + 0.28 * (high * 1.4).clamp(0, 1)) * torch.where(slot == BALL, 1.15, 1.0)
    lit = albedo * (light.shade[island] * from_sky[:, None] + light.sun[island] * (direct * 0.72)[:, None])
    colour = lit + (albedo - lit) * glow[:, None]
    u, v = camera.slopes(px, py)
    distance = t * (1 + u * u + v * v).sqrt()
    clear = torch.exp(-light.fog[island] * distance)[:, None]
    colour = light.haze[island] + (colour - light.haze[island]) * clear
    wall = torch.where(ny.abs() > 0.9, 0, 1 + (skin.side.long() * 2 + torch.where(skin.side, nx > 0, nz > 0).long()))
    face = 1 + part * 8 + torch.where(kind == 2, wall, (kind == 1).long() * (ny.abs() > 0.99).long())
    return colour.clamp(0, 1), albedo, face.to(torch.int16)


def _lines(surface: Tensor) -> Tensor:
    """Share of each pixel that borders on another face. Shapes: (b, 1, 2h, 2w) int16 -> (b, 1, h, w)."""
    line = torch.zeros_like(surface, dtype=torch.bool)
    across = surface[..., 1:] != surface[..., :-1]
    down = surface[..., 1:, :] != surface[..., :-1, :]
    line[..., 1:] |= across
    line[..., :-1] |= across
    line[..., 1:, :] |= down
    line[..., :-1, :] |= down
    return _fold(line.to(torch.uint8), torch.add) / float(FINER**2)


def _fold(fine: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Join each block of FINER x FINER into one. Shapes: (..., FINER h, FINER w) -> (..., h, w)."""
    rows = functools.reduce(join, (fine[..., i::FINER, :] for i in range(FINER)))
    return functools.reduce(join, (rows[..., i::FINER] for i in range(FINER)))
