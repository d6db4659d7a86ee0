"""Recall: a picture from the album, as it looks from where one stands now.

The poses tell how the eye has turned and moved; a network tells how far away things are. Together they say where each
pixel of the present view lies in the old picture: it is fetched from there and encoded, as motion does it with the
frame before, and shown to the dynamics. Distances are learnt without having been measured: the picture that they lead
to must look like the frame. (View synthesis as supervision: Zhou et al. 2017, arXiv 1704.07813.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.memory.pose import POSE, after, between
from inhabit.worldmodel.omni.autoencoder import Autoencoder
from inhabit.worldmodel.omni.autoencoder import Block as ConvBlock
from inhabit.worldmodel.omni.motion import place_of

NEAREST = 0.05
"""Points less far ahead of the old eye than this, in units, cannot be in its picture."""

ALIGN_CELL = 4
"""Pictures are held against views in blocks of so many pixels."""

ALIGN_UNITS, ALIGN_RAD = 0.06, math.radians(2)
"""So far away, and turned by so much, a better pose is looked for."""

LEAST_SEEN = 0.3
"""Share of a view that a picture must show for its pose to be told by it."""

CLEARLY = 0.9
"""A pose is better from which a picture is off by this share of what it is off from the believed one."""

FINE = 4
"""Distances so fine, or finer, are smoothed over two latents."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecallConfig:
    """The recall network's sizes."""

    latent_channels: int = 16
    """Channels of the codec's latents."""

    grid: tuple[int, int] | None = None
    """Latent rows and columns that are trained most; None for those of each picture."""

    width: int = 48
    """Channels of the convolutions."""

    blocks: int = 2
    """Residual blocks."""

    fineness: int = 1
    """Distances along one side of a latent."""


class Recall(nn.Module):
    """Find a view in an older picture."""

    unit: Tensor

    def __init__(self, config: RecallConfig):
        super().__init__()
        self.config = config
        self.join = nn.Conv2d(config.latent_channels + 4, config.width, 3, padding=1)
        self.blocks = nn.Sequential(*(ConvBlock(config.width) for _ in range(config.blocks)))
        self.out = nn.Conv2d(config.width, config.fineness**2, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.constant_(self.out.bias, -2.0)  # at first everything is some way off
        self.zoom = nn.Parameter(torch.zeros(()))
        """Logarithm of the focal length in halves of the usual width; 0 is a view of 90 degrees."""
        self.register_buffer("unit", torch.ones(()))
        """The length that is 1 to the network, in the world's own: what one walks in about a second."""

    def nearness(self, view: Tensor, pose: Tensor) -> Tensor:
        """How near things are: one over the distance ahead, in units.

        Args:
            view: (b, c, h, w) latents that show about what will be seen.
            pose: (b, 5) of the view: the height of the eye and its pitch tell where the ground is.

        Returns:
            (b, 1, fineness * h, fineness * w) float32.
        """
        b, _, h, w = view.shape
        stance = torch.stack([pose[:, 1] / self.unit, pose[:, 4]], 1).to(view.dtype)
        hints = torch.cat(
            [place_of(view, self.config.grid).expand(b, -1, -1, -1), stance[..., None, None].expand(-1, -1, h, w)], 1
        )
        x = self.join(torch.cat([view, hints], 1).contiguous(memory_format=torch.channels_last))
        out = self.out(F.silu(self.blocks(x))).float()
        near = F.softplus(F.pixel_shuffle(out, self.config.fineness))
        if self.config.fineness < FINE:
            return near
        # each place within a latent has a channel of its own, and they never quite agree
        wide = 2 * self.config.fineness + 1
        return F.avg_pool2d(near, wide, stride=1, padding=wide // 2, count_include_pad=False)

    def find(self, nearness: Tensor, seen: Tensor, now: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Where a view's pixels lie in a picture.

        Args:
            nearness: (b, 1, rows, columns) of the view, as nearness() gives it.
            seen: (b, 5) the picture's pose.
            now: (b, 5) the view's pose.
            size: height and width of both, pixels.

        Returns:
            (b, h, w, 2) columns and rows, -1 to 1 from edge to edge, and (b, 1, h, w): 1 where that is in the picture.
        """
        h, w = size
        near = F.interpolate(nearness, size=size, mode="bilinear", align_corners=False)[:, 0]
        columns = nearness.shape[-1]
        usual = self.config.grid[1] * self.config.fineness if self.config.grid else columns
        focal = self.zoom.exp() * (w * usual / columns / 2)  # pixels
        across = (torch.arange(w, device=near.device) + (0.5 - w / 2)) / focal
        down = ((torch.arange(h, device=near.device) + (0.5 - h / 2)) / focal)[:, None]
        travel = between(seen, now)[..., None, None]  # (b, 5, 1, 1)
        pitch, pitch_seen = now[:, 4, None, None], seen[:, 4, None, None]
        # from the eye along each pixel: right, up, ahead; then level, then as the old eye stood, then as it looked
        up = pitch.sin() - down * pitch.cos()
        ahead = pitch.cos() + down * pitch.sin()
        sin, cos = travel[:, 3].sin(), travel[:, 3].cos()
        steps = travel[:, :3] / self.unit
        right = across * cos + ahead * sin + steps[:, 0] * near
        ahead = ahead * cos - across * sin + steps[:, 2] * near
        up = up + steps[:, 1] * near
        tilted_up = up * pitch_seen.cos() - ahead * pitch_seen.sin()
        tilted_ahead = ahead * pitch_seen.cos() + up * pitch_seen.sin()
        depth = tilted_ahead.clamp(min=NEAREST)
        x = right / depth * focal * (2 / w)
        y = -tilted_up / depth * focal * (2 / h)
        inside = (x.abs() < 1) & (y.abs() < 1) & (tilted_ahead > NEAREST)
        return torch.stack([x, y], -1), inside[:, None].float()


def fetch(pixels: Tensor, where: Tensor) -> Tensor:
    """Shapes: (b, 3, h, w), (b, h, w, 2) as Recall.find() tells it -> (b, 3, h, w); beyond the edges, the edge."""
    return F.grid_sample(pixels, where, padding_mode="border", align_corners=False)


def turned(
    recall: Recall,
    autoencoder: Autoencoder,
    pixels: Tensor,
    seen: Tensor,
    view: Tensor,
    now: Tensor,
    held: Tensor | None = None,
) -> Tensor:
    """An old picture as it looks from here.

    Args:
        pixels: (b, 3, h, w) in [-1, 1], the old picture.
        seen: (b, 5) its pose.
        view: (b, c, h, w) latents that show about what will be seen: the newest frame, carried on.
        now: (b, 5) the pose of the frame to come.
        held: (b, h, w) bool: where views do not show the world, but what is held in front of it.

    Returns:
        (b, c + 1, h, w): latents, and in the last channel how much of each was in the picture, 0 to 1. Where nothing
        was, the latents are zeros.
    """
    assert seen.shape[-1] == POSE
    where, inside = recall.find(recall.nearness(view, now), seen, now, (pixels.shape[-2], pixels.shape[-1]))
    if held is not None:
        hides = F.grid_sample(held.float()[:, None], where, padding_mode="border", align_corners=False)
        inside = inside * (hides == 0)
    moved = fetch(pixels.float(), where)
    latents = autoencoder.encode(moved.contiguous(memory_format=torch.channels_last))
    known = F.avg_pool2d(inside, pixels.shape[-1] // view.shape[-1]).to(latents.dtype)
    return torch.cat([latents * (known > 0), known], 1)


def aligned(recall: Recall, nearness: Tensor, pixels: Tensor, seen: Tensor, view: Tensor, now: Tensor) -> Tensor:
    """The poses, near those that are believed in, from which old pictures look most like views.

    Args:
        nearness: (b, 1, rows, columns) of the views.
        pixels: (b, 3, h, w) in [-1, 1], the old pictures.
        seen: (b, 5) their poses.
        view: (b, 3, h, w) in [-1, 1].
        now: (b, 5) the believed poses of the views.

    Returns:
        (b, 5), the believed ones where no other fits clearly better.
    """
    small, target = F.avg_pool2d(pixels.float(), ALIGN_CELL), F.avg_pool2d(view.float(), ALIGN_CELL)
    size = (small.shape[-2], small.shape[-1])
    steps = torch.linspace(-1, 1, 5, device=now.device)
    right, ahead, turn = torch.meshgrid(steps, steps, steps, indexing="ij")
    level = torch.zeros_like(turn)
    reach = ALIGN_UNITS * recall.unit
    offsets = torch.stack([right * reach, level, ahead * reach, turn * ALIGN_RAD, level], -1).flatten(0, 2)
    found = []
    for one in range(len(now)):  # each by itself: sessions do not depend on their neighbours
        poses = after(now[one, None].expand(len(offsets), -1), offsets)
        several = [part[one, None].expand(len(offsets), *part.shape[1:]) for part in (nearness, seen, small)]
        where, inside = recall.find(several[0], several[1], poses, size)
        off = (fetch(several[2], where) - target[one]).abs().mean(1, keepdim=True)
        off = (off * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp(min=1)
        off = torch.where(inside.mean((1, 2, 3)) > LEAST_SEEN, off, torch.inf)
        best, here = off.argmin(), len(offsets) // 2
        found.append(poses[best if off[best] < CLEARLY * off[here] else here])
    return torch.stack(found)
