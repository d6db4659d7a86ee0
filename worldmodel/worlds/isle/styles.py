"""How a picture is drawn: plain, neon (dark, glowing edges) or sketch (paper and ink); and rain and snow before it."""

from __future__ import annotations

import torch
from torch import Tensor

from inhabit.worldmodel.worlds.isle.backdrop import Backdrop, View, spread
from inhabit.worldmodel.worlds.isle.light import Light
from inhabit.worldmodel.worlds.isle.scene import STEP_S, State
from inhabit.worldmodel.worlds.isle.things import Things

_GROUND_GLOW = ((0.10, 1.00, 0.38), (1.00, 0.78, 0.12), (0.55, 0.90, 1.00), (1.00, 0.22, 0.04))
_TIME_GLOW = ((1.00, 0.45, 0.60), (0.15, 0.75, 1.00), (1.00, 0.30, 0.08), (0.25, 0.12, 0.75))
"""The neon colour of each ground, and of the horizon at each time."""


def composed(things: Things, behind: Backdrop, light: Light) -> Tensor:
    """The plain picture. Shape (b, 3, h, w)."""
    outlined = things.colour * (1 - 0.30 * things.line * _veil(things, light))
    return outlined + behind.colour * (1 - things.cover)


def neon(state: State, view: View, things: Things, behind: Backdrop, light: Light, plain: Tensor) -> Tensor:
    """Dark, with a glowing grid on the ground and glowing edges in each thing's own colour."""
    tables = plain.new_tensor(_GROUND_GLOW), plain.new_tensor(_TIME_GLOW)
    earth, air = state.ground @ tables[0], state.time @ tables[1]
    up = (view.y / view.length).clamp(min=0)
    night = spread(plain.new_tensor([0.03, 0.015, 0.09]).expand(len(state), 3))
    glow_up = torch.exp(-up * 6.5)[:, None] * (0.85 - 0.5 * spread(light.moon))[:, None]
    bright = spread((1 - 0.55 * light.fog / 0.115).clamp(min=0.4))[:, None]
    sky = night + spread(air) * glow_up * bright + 0.5 * (plain - spread(light.low)).clamp(min=0)
    # a grid of 2 m, as wide as a pixel at least
    width = (0.035 + 0.009 * view.depth).clamp(max=0.5)
    lines = [1 - ((g / 2 - (g / 2).round()).abs() * 2 / width).clamp(max=1) for g in (view.gx, view.gz)]
    grid = torch.maximum(*lines) * (1.1 - view.depth / 45).clamp(0, 1)
    relief = behind.albedo - behind.albedo.mean((2, 3), keepdim=True)
    wet = (view.out > 28.2)[:, None]
    floor_glow = torch.where(wet, spread(plain.new_tensor([0.05, 0.25, 0.9]).expand(len(state), 3)), spread(earth))
    floor = floor_glow * (
        0.06 + 0.75 * grid[:, None] * torch.where(wet, 0.25, 1.0) + 0.35 * relief.mean(1, keepdim=True).clamp(min=0)
    )
    clear = torch.exp(-spread(light.fog) * view.depth * view.length)[:, None]
    floor = spread(air) * 0.3 * bright + (floor - spread(air) * 0.3 * bright) * clear
    back = torch.where(view.ground[:, None], floor, sky) + spread(air) * behind.ink * 0.8
    back = back + spread(light.flash)[:, None] * 0.25
    vivid = things.albedo * 1.25 + 0.16 * things.cover  # black things glow too, dimly
    veil = _veil(things, light)
    edge = vivid * things.line * veil
    body = things.albedo * 0.16 + things.colour * 0.10
    half = torch.nn.functional.avg_pool2d(edge, 2, ceil_mode=True)  # a wide glow needs no fine pixels
    half = torch.nn.functional.avg_pool2d(torch.nn.functional.avg_pool2d(half, 3, 1, 1), 3, 1, 1)
    bloom = torch.nn.functional.interpolate(half, edge.shape[2:], mode="bilinear")
    body = body * veil + spread(air) * 0.3 * bright * (1 - veil) * things.cover
    return (body + back * (1 - things.cover) + edge * 0.95 + bloom * 1.3).clamp(0, 1)


def _veil(things: Things, light: Light) -> Tensor:
    """How clearly each thing is seen through the air. Shape (b, 1, h, w)."""
    return torch.exp(-spread(light.fog) * torch.where(things.depth < 1e3, things.depth, 0.0))[:, None]


def sketch(state: State, view: View, things: Things, behind: Backdrop, light: Light, plain: Tensor) -> Tensor:
    """White paper, dark outlines, hatching where it is dark and a thin wash of colour."""
    h, w = plain.shape[2:]
    fine = min(h, w) / 128
    row = torch.arange(h, device=plain.device)[:, None] / fine
    column = torch.arange(w, device=plain.device) / fine
    albedo = things.albedo + behind.albedo * (1 - things.cover)
    shade = plain.mean(1, keepdim=True) / albedo.mean(1, keepdim=True).clamp(min=0.08)
    dusk = state.time @ plain.new_tensor([[1.0, 0.93, 0.90], [1.0, 0.995, 0.97], [1.0, 0.84, 0.72], [0.66, 0.70, 0.84]])
    weather = state.weather @ plain.new_tensor([[1.0], [0.93], [0.98], [0.95], [0.76]])
    paper = spread(dusk * weather)
    wash = 0.60 * things.cover + 0.26 * (1 - things.cover) * view.ground[:, None] + 0.10 * (~view.ground)[:, None]
    colour = paper * (1 - wash + wash * (albedo * 1.08).clamp(0, 1))
    hatch = ((row + column) % 5 < 1.4).float()
    darker = ((row - column) % 5 < 1.4).float()
    veil = torch.exp(-spread(light.fog) * torch.where(view.depth < 300, view.depth * view.length, 20.0))[:, None]
    dim = (0.80 - shade * spread(1 / weather.clamp(min=0.3))).clamp(0, 1) * view.ground[:, None].float().clamp(min=0.55)
    colour = colour * (1 - 0.30 * hatch * (dim * 4).clamp(0, 1) * veil)
    night = spread(state.time[:, 3:])
    upper = (~view.ground)[:, None] * (1 - things.cover)
    colour = colour * (1 - 0.13 * darker * upper * torch.maximum(night, spread(state.weather[:, 4:]) * 0.8))
    stars = (plain.mean(1, keepdim=True) - 0.42).clamp(0, 1) * upper * night
    colour = colour + stars * 0.6
    ink = torch.maximum((things.line * 1.5).clamp(max=1), behind.ink * (1 - things.cover))
    colour = colour * (1 - 0.88 * ink * _veil(things, light)) + 0.05 * ink
    fogged = (1 - torch.exp(-spread(light.fog) * torch.minimum(view.depth, things.depth) * view.length))[:, None]
    colour = colour + (paper * 0.98 - colour) * fogged * spread(state.weather[:, 3:4]) * 0.9
    return (colour + spread(light.flash)[:, None] * 0.15).clamp(0, 1)


def precipitation(state: State, view: View, light: Light, picture: Tensor) -> Tensor:
    """Rain streaks and snow flakes in the air between the eye and everything else."""
    picture = picture.clone()
    wet, cold = colours_of_air(state, light).unbind(1)
    time_s = state.frame * STEP_S
    rows = torch.nonzero(light.rain > 0)[:, 0]
    if len(rows):
        drops = _streaks(view.azimuth[rows], view.rise[rows], time_s[rows]) * spread(light.rain[rows])
        picture[rows] += (spread(wet[rows]) - picture[rows]) * (0.55 * drops)[:, None]
    rows = torch.nonzero(light.snow > 0)[:, 0]
    if len(rows):
        flakes = _flakes(view.azimuth[rows], view.rise[rows], time_s[rows]) * spread(light.snow[rows])
        picture[rows] += (spread(cold[rows]) - picture[rows]) * (0.92 * flakes)[:, None]
    return picture


def colours_of_air(state: State, light: Light) -> Tensor:
    """The colours of rain and snow, whether they fall or not. Shape (b, 2, 3), 0 to 1."""
    paper, glow = state.style[:, 2], state.style[:, 1]
    lit = (light.shade.mean(1) + light.sun.mean(1)).clamp(0.25, 1)
    wet = _air_colour((0.80, 0.86, 0.95), (0.30, 0.85, 1.0), (0.22, 0.26, 0.36), lit, glow, paper, light.top)
    cold = _air_colour((1.0, 1.0, 1.0), (0.75, 0.95, 1.0), (0.42, 0.50, 0.64), lit.sqrt(), glow, paper, light.top)
    return torch.stack([wet, cold], 1)


def _air_colour(plain, neon_, ink, lit: Tensor, glow: Tensor, paper: Tensor, like: Tensor) -> Tensor:
    """(b, 3) the colour of what falls, in each island's style."""
    normal = like.new_tensor(plain) * lit[:, None]
    drawn = torch.lerp(normal, like.new_tensor(neon_).expand_as(normal), glow[:, None])
    return torch.lerp(drawn, like.new_tensor(ink).expand_as(drawn), paper[:, None])


def _hash(cell: Tensor, salt: int) -> Tensor:
    """0 to 1 from whole numbers, equal on every device."""
    x = (cell + salt) * 40503
    x = (x ^ (x >> 7)) * 26543
    return ((x ^ (x >> 9)) & 1023) / 1024


def _streaks(azimuth: Tensor, rise: Tensor, time_s: Tensor) -> Tensor:
    total = torch.zeros_like(azimuth)
    for salt, (many, fall, long) in enumerate(((26.0, 2.6, 0.9), (44.0, 2.0, 1.6))):
        slant = azimuth * many + rise * 2.0
        column = slant.floor().long()
        down = rise * long + spread(time_s) * fall + 4 * _hash(column, 11 * salt)
        drop = (down - down.floor()) < 0.24
        within = slant - slant.floor()
        inside = (1 - (within - 0.5).abs() * (4.0 - salt)).clamp(0, 1)
        total = torch.maximum(total, inside * drop * (0.9 - 0.3 * salt))
    return total


def _flakes(azimuth: Tensor, rise: Tensor, time_s: Tensor) -> Tensor:
    total = torch.zeros_like(azimuth)
    for salt, (many, fall, size) in enumerate(((5.0, 0.55, 0.12), (9.0, 0.8, 0.14), (15.0, 1.0, 0.17))):
        sway = 0.25 * (spread(time_s) * 1.3 + rise * 3 + salt).sin()
        u, v = azimuth * many + sway, rise * many + spread(time_s) * (fall * 2.4)
        column, row = u.floor().long(), v.floor().long()
        cell = column * 619 + row * 7919
        x, y = u - column - 0.5 - 0.5 * (_hash(cell, salt) - 0.5), v - row - 0.5 - 0.5 * (_hash(cell, 7 + salt) - 0.5)
        total = torch.maximum(total, ((size - torch.hypot(x, y)) / (0.45 * size)).clamp(0, 1) * (_hash(cell, 17) < 0.6))
    return total
