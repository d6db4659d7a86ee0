"""What lies behind the things: sky, far mountains, sea and the island's ground with its shadows, for every pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from inhabit.worldmodel.worlds.isle.attributes import GROUNDS
from inhabit.worldmodel.worlds.isle.camera import Camera
from inhabit.worldmodel.worlds.isle.light import Light
from inhabit.worldmodel.worlds.isle.scene import SHORE_M, STEP_S, State
from inhabit.worldmodel.worlds.isle.textures import CELLS, CLOUDS, DOTS, GRAIN, sample

FAR_M = 400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """The rays of every pixel and where they go. All (b, h, w)."""

    x: Tensor
    """Direction, not of unit length: 1 m along the view."""
    y: Tensor
    z: Tensor
    length: Tensor
    ground: Tensor
    """bool: whether the ray meets the plane of ground and water."""
    depth: Tensor
    """m along the view to that plane, FAR_M at most."""
    gx: Tensor
    """m: where it meets it."""
    gz: Tensor
    azimuth: Tensor
    rise: Tensor
    """Slope above the horizon."""
    coarse: Tensor
    """(4, b, h, w) the texture on the ground (24 m a tile), or on the clouds."""
    fine: Tensor
    """(4, b, h, w) the texture on the ground (6 m a tile), or on the dome of stars."""
    out: Tensor
    """m from the middle of the island, along a wavy shore: the water begins at SHORE_M."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backdrop:
    """All (b, 3, h, w) but ink (b, 1, h, w)."""

    colour: Tensor
    albedo: Tensor
    ink: Tensor
    """Where a draughtsman would draw a line, 0 to 1."""


def spread(value: Tensor) -> Tensor:
    """A number or colour for each island, to be used with pixels: (b,) -> (b, 1, 1), (b, 3) -> (b, 3, 1, 1)."""
    return value[..., None, None]


def step_up(x: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """Smoothly 0 below `low` and 1 above `high`."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def view_of(state: State, camera: Camera) -> View:
    device = camera.eye.device
    px = torch.arange(camera.width, device=device, dtype=torch.float32)
    py = torch.arange(camera.height, device=device, dtype=torch.float32)
    u, v = camera.slopes(px, py[:, None])
    x, y, z = (
        torch.addcmul(spread(camera.ahead[:, i]) + spread(camera.right[:, i]) * u, spread(camera.up[:, i]), v)
        for i in range(3)
    )
    flat = torch.hypot(x, z).clamp(min=1e-4)
    length = torch.hypot(flat, y)
    ground = y < -spread(camera.eye[:, 1]) / FAR_M
    depth = torch.where(ground, -spread(camera.eye[:, 1]) / torch.where(ground, y, -1.0), FAR_M)
    gx, gz = spread(camera.eye[:, 0]) + depth * x, spread(camera.eye[:, 2]) + depth * z
    drift = spread(state.frame * (STEP_S * 0.006) + state.traits[:, 1])
    sky = 0.55 / (y / length + 0.16).clamp(min=0.05) / length
    coarse = sample(torch.where(ground, gx / 24, x * sky + drift), torch.where(ground, gz / 24, z * sky + drift))
    dome = 1.4 / (length + y.clamp(min=0))
    fine = sample(torch.where(ground, gx / 6, x * dome), torch.where(ground, gz / 6, z * dome))
    return View(
        x=x,
        y=y,
        z=z,
        length=length,
        ground=ground,
        depth=depth,
        gx=gx,
        gz=gz,
        azimuth=torch.atan2(x, z),
        rise=y / flat,
        coarse=coarse,
        fine=fine,
        out=torch.hypot(gx, gz) + (coarse[CLOUDS] - 0.5) * 2.4,
    )


def draw_backdrop(state: State, view: View, light: Light, shadow: Tensor) -> Backdrop:
    """Sky above, ground and water below. Shadow is (b, h, w), 0 to 1."""
    ground_albedo, glow = _ground(state, view)
    wet = step_up(view.out, SHORE_M - 0.15, SHORE_M + 0.25)[:, None]
    water = _water(state, view, light)
    plain = spread(light.toward[:, 1]).clamp(min=0.12).sqrt() * 0.98
    direct = (plain * (1 - shadow))[:, None] * spread(light.sun)
    # the contact shadow also takes a little of the sky's light
    lit = ground_albedo * (direct + spread(light.shade) * (1 - 0.22 * shadow)[:, None])
    lit = torch.maximum(lit, ground_albedo * glow)
    near = lit + (water - lit) * wet
    clear = torch.exp(-spread(light.fog) * view.depth * view.length)[:, None]
    near = spread(light.haze) + (near - spread(light.haze)) * clear
    sky, ridge = _sky(state, view, light)
    below = view.ground[:, None]
    sea = torch.tensor([0.12, 0.42, 0.62], device=near.device)[:, None, None]
    shore = (1 - (view.out - SHORE_M).abs() / (0.10 + 0.010 * view.depth)).clamp(0, 1) * view.ground * (view.depth < 60)
    horizon = (1 - view.rise.abs() * 90).clamp(0, 1) * 0.7
    return Backdrop(
        colour=torch.where(below, near, sky),
        albedo=torch.where(below, ground_albedo + (sea - ground_albedo) * wet, sky),
        ink=torch.maximum(torch.maximum(shore, ridge), horizon)[:, None] * clear,
    )


def _ground(state: State, view: View) -> tuple[Tensor, Tensor]:
    """The ground's paint (b, 3, h, w) and how much of it shines by itself (b, 1, h, w)."""
    b, h, w = view.gx.shape
    albedo, glow = view.gx.new_zeros(b, 3, h, w), view.gx.new_zeros(b, 1, h, w)
    for number, name in enumerate(GROUNDS):
        weight = state.ground[:, number]
        rows = torch.nonzero(weight > 0)[:, 0]
        if not len(rows):
            continue
        colour, shines = _GROUNDS[name](_Patch(state, view, rows))
        share = spread(weight[rows])[:, None]
        albedo[rows] += colour * share
        glow[rows] += shines[:, None] * share if shines is not None else 0.0
    return albedo, glow


class _Patch:
    """The ground of some islands: places, texture and how much detail the distance leaves."""

    def __init__(self, state: State, view: View, rows: Tensor):
        self.x, self.z, self.out = view.gx[rows], view.gz[rows], view.out[rows]
        self.depth = view.depth[rows]
        keep_fine, keep_coarse = (1.15 - self.depth / 11).clamp(0, 1), (1.2 - self.depth / 42).clamp(0, 1)
        coarse, fine = view.coarse[:, rows], view.fine[:, rows]
        self.patches = (coarse[CLOUDS] - 0.5) * keep_coarse
        self.cells, self.far_dots = coarse[CELLS], coarse[DOTS]
        self.grain = (fine[GRAIN] - 0.5) * keep_fine
        self.dots, self.keep_fine, self.keep_coarse = fine[DOTS], keep_fine, keep_coarse
        self.time_s = spread(state.frame[rows] * STEP_S)

    def squares(self, side_m: float) -> Tensor:
        """A soft chequer, -1 to 1, that fades with distance."""
        wave = (self.x * (math.pi / side_m)).sin() * (self.z * (math.pi / side_m)).sin()
        return (wave * 6).clamp(-1, 1) * self.keep_coarse

    def paint(self, base: tuple[float, float, float]) -> Tensor:
        return torch.tensor(base, device=self.x.device)[:, None, None].expand(len(self.x), 3, *self.x.shape[1:])


def _toward(colour: Tensor, other: tuple[float, float, float], share: Tensor) -> Tensor:
    goal = torch.tensor(other, device=colour.device)[:, None, None]
    return colour + (goal - colour) * share[:, None]


def _grass(p: _Patch) -> tuple[Tensor, Tensor | None]:
    tone = 1 + 0.055 * p.squares(3.0) + 0.7 * p.patches + 0.45 * p.grain
    colour = p.paint((0.38, 0.66, 0.22)) * tone[:, None]
    colour = _toward(colour, (0.62, 0.74, 0.24), (p.patches * 2.2).clamp(0, 0.6))
    flower = (p.dots < 0.13) * p.keep_fine
    colour = _toward(colour, (1.0, 0.97, 0.75), flower * 0.9)
    return _toward(colour, (0.91, 0.80, 0.55), step_up(p.out, SHORE_M - 2.6, SHORE_M - 1.4)), None


def _sand(p: _Patch) -> tuple[Tensor, Tensor | None]:
    ripple = ((p.x * 0.9 + p.z * 2.1) + 9 * p.patches).sin() * p.keep_coarse
    tone = 1 + 0.06 * ripple + 0.03 * p.squares(4.0) + 0.22 * p.patches + 0.18 * p.grain
    colour = p.paint((0.93, 0.78, 0.48)) * tone[:, None]
    pebble = (p.dots < 0.15) * p.keep_fine
    return _toward(colour, (0.58, 0.45, 0.32), pebble * 0.8), None


def _snow(p: _Patch) -> tuple[Tensor, Tensor | None]:
    colour = p.paint((0.88, 0.91, 0.96)) * (1 + 0.025 * p.squares(4.0) + 0.16 * p.grain)[:, None]
    colour = _toward(colour, (0.66, 0.77, 0.93), (p.patches * 2.4 + 0.1).clamp(0, 0.8))
    print_ = (p.dots < 0.22) * p.keep_fine
    return _toward(colour, (0.66, 0.76, 0.92), print_ * 0.55), None


def _lava(p: _Patch) -> tuple[Tensor, Tensor | None]:
    crack = 1 - step_up(p.cells, 0.03, 0.12)
    pulse = 0.78 + 0.22 * (p.time_s * 2.2 + p.x * 0.5 + p.z * 0.3).sin()
    hot = (crack * pulse).clamp(0, 1)
    warm = (1 - step_up(p.cells, 0.05, 0.42)) * 0.35
    colour = p.paint((0.20, 0.15, 0.155)) * (1 + 0.8 * p.patches + 0.9 * p.grain + 0.06 * p.squares(3.0))[:, None]
    colour = _toward(colour, (0.75, 0.10, 0.02), warm)
    colour = _toward(colour, (1.0, 0.46, 0.06), hot)
    dry = 1 - step_up(p.out, SHORE_M - 1.0, SHORE_M - 0.2)
    return colour, torch.maximum(hot, warm * 0.9) * dry


_GROUNDS = {"grass": _grass, "sand": _sand, "snow": _snow, "lava": _lava}


def _water(state: State, view: View, light: Light) -> Tensor:
    """The sea: waves that run ashore, foam at the shore, the sky's colour far out."""
    time_s = spread(state.frame * STEP_S)
    near = (1.3 - view.depth / 50).clamp(0, 1)
    wave = (view.out * 1.7 + time_s * 1.6 + 4 * view.coarse[GRAIN]).sin() * (
        view.gx * 0.5 - view.gz * 0.3 + time_s
    ).sin()
    deep = torch.tensor([0.07, 0.34, 0.56], device=wave.device)[:, None, None]
    body = deep * (spread(light.shade) + spread(light.sun) * 0.8) * 1.25
    mirror = step_up(view.depth, 15.0, 160.0)[:, None] * 0.7
    body = body + (spread(light.low) * 0.9 - body) * mirror
    body = body * (1 + 0.16 * wave * near)[:, None]
    swash = 0.55 * (time_s * 1.1 + 5 * view.coarse[CLOUDS]).sin()
    foam = (1 - (view.out - SHORE_M - 0.55 - swash).abs() / 0.42).clamp(0, 1)
    crest = step_up(wave, 0.82, 0.98) * near * 0.5
    white = torch.maximum(foam, crest)[:, None]
    return body + (spread(light.shade + light.sun).clamp(max=1) - body) * white * 0.85


def _sky(state: State, view: View, light: Light) -> tuple[Tensor, Tensor]:
    """Gradient, stars, sun or moon, clouds, bolt and far mountains. Also (b, h, w) the line of their ridge."""
    up = (view.y / view.length).clamp(min=0)
    sky = spread(light.low) + (spread(light.top) - spread(light.low)) * (up.sqrt() * 1.15).clamp(max=1)[:, None]
    toward = light.toward
    cosine = (
        view.x * spread(toward[:, 0]) + view.y * spread(toward[:, 1]) + view.z * spread(toward[:, 2])
    ) / view.length
    away = (2 - 2 * cosine).clamp(min=0).sqrt()  # radians, for small angles
    sky = sky + spread(light.disc) * (torch.exp(-away * 5.5) * 0.38 * spread(light.face))[:, None]
    stars = (1 - step_up(view.fine[DOTS], 0.08, 0.20)) * step_up(up, 0.03, 0.2) * spread(light.stars)
    sky = sky + stars[:, None] * 0.9
    disc = (1 - step_up(away, 0.062, 0.076)) * spread(light.face)
    dark_side = spread(light.moon) * step_up(view.fine[CLOUDS], 0.45, 0.75) * 0.22
    sky = sky + (spread(light.disc) * (1 - dark_side)[:, None] - sky) * disc[:, None]
    thick = step_up(view.coarse[CLOUDS], 0.48, 0.86) * step_up(up, 0.02, 0.18) * spread(light.clouds)
    sky = sky + (spread(light.cloud_colour) - sky) * (0.85 * thick)[:, None]
    sky = sky + (_bolt(state, view) * spread(light.flash.clamp(max=0.8)))[:, None]
    a, phase = view.azimuth, 2 * math.pi * state.traits
    ridge = 0.055 + 0.028 * (3 * a + spread(phase[:, 4])).sin() + 0.020 * (7 * a + spread(phase[:, 5])).sin()
    ridge = ridge + 0.010 * (17 * a + spread(phase[:, 6])).sin()
    far = torch.exp(-spread(light.fog) * 130)
    mountain = (1 - step_up(view.rise, ridge - 0.004, ridge + 0.004)) * far
    blue = torch.tensor([0.34, 0.44, 0.60], device=sky.device)
    tone = 0.55 * light.haze + 0.45 * blue * (light.shade + light.sun)
    sky = sky + (spread(tone) - sky) * mountain[:, None]
    return sky, (1 - (view.rise - ridge).abs() * 110).clamp(0, 1) * far


def _bolt(state: State, view: View) -> Tensor:
    """The crooked line of the last lightning. Shape (b, h, w)."""
    crook = 0.05 * (view.rise * 23 + spread(state.bolt) * 9).sin() + 0.03 * (view.rise * 61).sin()
    turn = view.azimuth - spread(state.bolt) - crook
    turn = torch.remainder(turn + math.pi, 2 * math.pi) - math.pi
    return (1 - turn.abs() * 45).clamp(0, 1) * (view.rise > 0) * (spread(state.lightning) < 5)
