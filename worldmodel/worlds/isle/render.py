"""Pictures of a batch of isles by analytic ray casting: pixels, depth and labels, any size, on any device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inhabit.worldmodel.worlds.isle.backdrop import draw_backdrop, spread, view_of
from inhabit.worldmodel.worlds.isle.camera import camera_of
from inhabit.worldmodel.worlds.isle.light import light_of
from inhabit.worldmodel.worlds.isle.scene import State, pick
from inhabit.worldmodel.worlds.isle.shadows import draw_shadows
from inhabit.worldmodel.worlds.isle.styles import composed, neon, precipitation, sketch
from inhabit.worldmodel.worlds.isle.things import draw_things

CHUNK_PX = {"cpu": 1 << 16, "cuda": 1 << 21}
"""Pixels that are drawn at once: few enough for a processor's cache, many enough to fill a GPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """What b players see."""

    pixels: Tensor
    """(b, h, w, 3) uint8 RGB, row 0 on top."""
    depth: Tensor
    """(b, h, w) float32 m along the view; sky is at infinity."""
    labels: Tensor
    """(b, h, w) uint8: 0 for sky, ground and water, slot + 1 for things (truth.names says what they are)."""


@torch.inference_mode()
def render(state: State, width: int = 128, height: int = 128, *, falling: bool = True) -> Picture:
    """Draw every island as its player sees it.

    Args:
        falling: whether rain and snow are drawn; without, their light is there and they are not.
    """
    if width < 8 or height < 8:
        raise ValueError(f"Expected a picture of at least 8x8 pixels, got {width}x{height}")
    device = state.key.device
    chunk = max(1, CHUNK_PX.get(device.type, 1 << 16) // (width * height))
    drawn = [_render(pick(state, slice(i, i + chunk)), width, height, falling) for i in range(0, len(state), chunk)]
    if len(drawn) == 1:
        return drawn[0]
    return Picture(
        pixels=torch.cat([one.pixels for one in drawn]),
        depth=torch.cat([one.depth for one in drawn]),
        labels=torch.cat([one.labels for one in drawn]),
    )


def _render(state: State, width: int, height: int, falling: bool) -> Picture:
    camera, light = camera_of(state, width, height), light_of(state)
    things = draw_things(state, camera, light)
    view = view_of(state, camera)
    behind = draw_backdrop(state, view, light, draw_shadows(state, camera, view, light))
    picture = plain = composed(things, behind, light)
    for number, draw in ((1, neon), (2, sketch)):
        share = state.style[:, number]
        if bool((share > 0).any()):
            picture = picture + (draw(state, view, things, behind, light, plain) - plain) * spread(share)[:, None]
    picture = precipitation(state, view, light, picture) if falling else picture
    ground_depth = torch.where(view.ground, view.depth, torch.inf)
    return Picture(
        pixels=(picture.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous(),
        depth=torch.minimum(things.depth, ground_depth),
        labels=things.labels,
    )
