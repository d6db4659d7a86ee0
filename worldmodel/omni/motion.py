"""Motion: where each pixel of the next frame comes from in this one, told from the picture and the last actions.

A latent stands for many pixels, and a picture that moves by a part of a latent is another latent altogether: to a small
transformer, turning the head is as hard as painting anew. So what only moves is moved, in pixels, and encoded again;
the dynamics starts from that and predicts the rest. (Motion compensation, as video codecs have it since H.261; learnt
flow for action-conditional prediction: Finn et al. 2016, arXiv 1605.07157.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.memory.pose import POSE
from inhabit.worldmodel.omni.autoencoder import Autoencoder
from inhabit.worldmodel.omni.autoencoder import Block as ConvBlock

UNCOVERED_PX = 0.75
"""What moves by less hides and uncovers nothing."""

HELD_STILL = 0.25
"""What moves by less than this share of what is beside it stays in the view."""

RIM = 0.8
"""What moves by less than this share of what is beside it may be the rim of such a thing."""

REACH = 3
"""So many shifts away from its rim it must be found."""

STARS, LOST = 0.35, 0.7
"""What moves by less than this share of how far turning moves the stars is held in the view; what was held until now is
so while it moves by less than that share."""

AROUND = 16
"""Places along a side at which it is told how the world moves behind it."""

RIM_PX = 2
"""How far what is held reaches beyond where it stands still: flows have no sharp rims."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionConfig:
    """The motion network's sizes."""

    latent_channels: int = 16
    """Channels of the codec's latents."""

    grid: tuple[int, int] | None = None
    """Latent rows and columns that are trained most; None for those of each picture."""

    actions: int = 3
    """Numbers in an action."""

    history: int = 4
    """Actions that it sees, the one that leads to the next frame included: turning and walking have momentum."""

    width: int = 48
    """Channels of the convolutions."""

    blocks: int = 2
    """Residual blocks, each told the actions."""

    fineness: int = 2
    """Flow vectors along one side of a latent."""

    travels: bool = False
    """Whether it also tells how the eye's pose changes, for a world that remembers places."""


class Motion(nn.Module):
    """Predict the flow that leads to the next frame, and the travel."""

    travel_scale: Tensor

    def __init__(self, config: MotionConfig):
        super().__init__()
        self.config = config
        self.actions_in = nn.Sequential(nn.Linear(config.actions * config.history, 64), nn.SiLU())
        self.join = nn.Conv2d(2 * config.latent_channels + 2, config.width, 3, padding=1)
        self.blocks = nn.ModuleList(ConvBlock(config.width) for _ in range(config.blocks))
        self.told = nn.ModuleList(nn.Linear(64, 2 * config.width) for _ in range(config.blocks))
        self.out = nn.Conv2d(config.width, 2 * config.fineness**2, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)
        if config.travels:
            self.travel = nn.Sequential(nn.Linear(64 + config.width, 64), nn.SiLU(), nn.Linear(64, POSE))
            self.register_buffer("travel_scale", torch.ones(POSE))

    def forward(self, latents: Tensor, before: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Predict where the next frame's pixels come from.

        Args:
            latents: (b, c, h, w) the newest frame.
            before: (b, c, h, w) the frame before it; zeros where there is none.
            actions: (b, history, a) the last one leads to the next frame.

        Returns:
            (b, 2, fineness * h, fineness * w) float32: columns to the right and rows down, in latents; and the travel,
            (b, 5) float32 (see memory.pose), or (b, 0) where none is learnt.
        """
        told = self.actions_in(actions.flatten(1))
        place = place_of(latents, self.config.grid).expand(len(latents), -1, -1, -1)
        x = self.join(torch.cat([latents, before, place], 1).contiguous(memory_format=torch.channels_last))
        for block, tell in zip(self.blocks, self.told, strict=True):
            gain, shift = tell(told)[:, :, None, None].chunk(2, 1)
            x = block(x * (1 + gain) + shift)
        flow = F.pixel_shuffle(self.out(F.silu(x)), self.config.fineness).float()
        if not self.config.travels:
            return flow, told.new_zeros(len(told), 0, dtype=torch.float32)
        return flow, self.travel(torch.cat([told, x.mean((2, 3))], 1)).float() * self.travel_scale


def warp(pixels: Tensor, flow: Tensor, cell: float) -> tuple[Tensor, Tensor]:
    """Fetch each pixel from where the flow says that it is.

    Args:
        pixels: (b, channels, h, w).
        flow: (b, 2, rows, columns), columns to the right and rows down, in units of `cell` pixels; any resolution.

    Returns:
        (b, channels, h, w), where the nearest edge stands in for what lies outside, and (b, 1, h, w): 1 where the
        source lies inside the frame, else 0.
    """
    where = places(flow, (pixels.shape[-2], pixels.shape[-1]), cell)
    moved = F.grid_sample(pixels, where, padding_mode="border", align_corners=False)
    return moved, (where.abs() < 1).all(-1)[:, None].float()


def places(flow: Tensor, size: tuple[int, int], cell: float) -> Tensor:
    """The place that each pixel comes from.

    Args:
        flow: (b, 2, rows, columns), columns to the right and rows down, in units of `cell` pixels; any resolution.
        size: height and width in pixels.

    Returns:
        (b, h, w, 2): column and row, -1 to 1 from edge to edge.
    """
    h, w = size
    flow = F.interpolate(flow, size=size, mode="bilinear", align_corners=False) * cell
    y = (torch.arange(h, device=flow.device)[:, None] + 0.5 + flow[:, 1]) * (2 / h) - 1
    x = (torch.arange(w, device=flow.device) + 0.5 + flow[:, 0]) * (2 / w) - 1
    return torch.stack([x, y], -1)


def uncovered(where: Tensor) -> Tensor:
    """The same places, but what something that stays in the view has hidden until now comes from beside it.

    Behind a ball in one's hand the world moves on. What comes out behind it was never seen, and the place that it would
    come from shows the ball: moved from there, it would leave a trail.

    Args:
        where: (b, h, w, 2) as places() tells it.
    """
    h, w = where.shape[1:3]
    here = _here(where)
    shift = where - here
    half = shift.new_tensor([w / 2, h / 2])
    length = (shift * half).norm(dim=-1)
    slower = []
    for reach in range(1, REACH + 1):  # towards the object, whose rim is not sharp in a flow
        at = here + reach * shift
        there = F.grid_sample(shift.permute(0, 3, 1, 2), at, padding_mode="border", align_corners=False)
        slower.append((there.permute(0, 2, 3, 1) * half).norm(dim=-1) / length.clamp(min=UNCOVERED_PX))
    inside = (where.abs() < 1).all(-1)
    hidden = inside & (length > UNCOVERED_PX) & (slower[0] < RIM) & (torch.stack(slower).amin(0) < HELD_STILL)
    return torch.where(hidden[..., None], here - shift, where)


def held_still(where: Tensor, stars: Tensor, before: Tensor) -> Tensor:
    """What is held in the view, such as a ball in one's hand: it stands still while turning moves even the stars.

    Args:
        where: (b, h, w, 2) as places() tells it.
        stars: (b,) pixels by which turning moves what is infinitely far away.
        before: (b, h, w) bool: what was held in the frame before. Who does not turn knows no better.
    """
    moves = _pixels(where - _here(where)).norm(dim=-1) / stars.clamp(min=UNCOVERED_PX)[:, None, None]
    wide = F.max_pool2d((moves < STARS).float()[:, None], 2 * RIM_PX + 1, stride=1, padding=RIM_PX)[:, 0] > 0
    return torch.where((stars > UNCOVERED_PX)[:, None, None], wide | (before & (moves < LOST)), before)


def behind(where: Tensor, held: Tensor) -> Tensor:
    """The same places with those of the world behind what is held, which moves as what is around it.

    Shapes: (b, h, w, 2), (b, h, w) bool -> (b, h, w, 2).
    """
    here = _here(where)
    shift, seen = (where - here).permute(0, 3, 1, 2), (~held).float()[:, None]
    size = shift.shape[-2:]
    weight = F.adaptive_avg_pool2d(seen, AROUND)
    coarse = F.adaptive_avg_pool2d(shift * seen, AROUND) / weight.clamp(min=1e-6)
    seen = (weight > 0).float()
    for _ in range(AROUND):  # from the rim inwards
        if bool(seen.all()):
            break
        weight = F.avg_pool2d(seen, 3, stride=1, padding=1)
        around = F.avg_pool2d(coarse * seen, 3, stride=1, padding=1) / weight.clamp(min=1e-6)
        coarse, seen = torch.where(seen > 0, coarse, around), (weight > 0).float()
    filled = F.interpolate(coarse, size=size, mode="bilinear", align_corners=False)
    return here + torch.where(held[:, None], filled, shift).permute(0, 2, 3, 1)


def beside(where: Tensor, held: Tensor) -> Tensor:
    """The same places, but where one shows what is held, one to the left or right of that, as far from its rim.

    What lies outside is mirrored at the edge.

    Shapes: (b, h, w, 2), (b, h, w) bool -> (b, h, w, 2).
    """
    w, inside = held.shape[2], _mirrored(where)
    column = torch.arange(w, device=held.device).expand_as(held)
    left = torch.where(held, -w, column).cummax(2).values
    right = torch.where(held, 2 * w, column).flip(2).cummin(2).values.flip(2)
    rim = torch.where(column - left <= right - column, left, right)
    free = (2 * rim - column).clamp(0, w - 1)  # what is held as wide as the view leaves nothing to show
    shown = torch.stack([held.float(), (free + 0.5) * (2 / w) - 1], 1)
    hides, x = F.grid_sample(shown, inside, mode="nearest", padding_mode="border", align_corners=False).unbind(1)
    return torch.stack([torch.where(hides > 0, x, inside[..., 0]), inside[..., 1]], -1)


def _mirrored(where: Tensor) -> Tensor:
    """Places beyond an edge, mirrored there."""
    return 1 - (torch.remainder(where + 1, 4) - 2).abs()


def _here(where: Tensor) -> Tensor:
    """The place of each pixel itself, (h, w, 2), -1 to 1 from edge to edge."""
    h, w = where.shape[1:3]
    y = (torch.arange(h, device=where.device) + 0.5) * (2 / h) - 1
    x = (torch.arange(w, device=where.device) + 0.5) * (2 / w) - 1
    return torch.stack([x.expand(h, w), y[:, None].expand(h, w)], -1)


def _pixels(shift: Tensor) -> Tensor:
    """Shifts in pixels. Shapes: (b, h, w, 2) -> the same."""
    h, w = shift.shape[1:3]
    return shift * shift.new_tensor([w / 2, h / 2])


def carry(
    motion: Motion, autoencoder: Autoencoder, pixels: Tensor, latents: Tensor, before: Tensor, actions: Tensor
) -> tuple[Tensor, Tensor]:
    """The newest frame as motion carries it to the next one, encoded.

    Args:
        pixels: (b, 3, h, w) in [-1, 1], the newest frame.
        latents, before, actions: as Motion takes them.

    Returns:
        (b, c, h, w) latents, and the travel as Motion tells it.
    """
    cell = pixels.shape[-1] / latents.shape[-1]
    flow, travel = motion(latents, before, actions)
    moved, _ = warp(pixels.float(), flow, cell)
    return autoencoder.encode(moved.contiguous(memory_format=torch.channels_last)), travel


def place_of(like: Tensor, grid: tuple[int, int] | None) -> Tensor:
    """Row and column of each latent, -1 to 1 from edge to edge of the usual size. Shape (2, h, w).

    The middle of a view is its middle at every size: a smaller one shows less of the world, a larger one more.
    """
    reach = [
        torch.linspace(-1, 1, size, device=like.device) * ((size - 1) / max(1, usual - 1))
        for size, usual in zip(like.shape[-2:], grid or like.shape[-2:], strict=True)
    ]
    return torch.stack(torch.meshgrid(*reach, indexing="ij")).to(like.dtype)
