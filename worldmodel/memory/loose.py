"""What has left the hand, as it is seen: the picture of it that was seen last in the hand, smaller, where it is now."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.omni.flight import NEAREST

SMALLEST_PX = 0.35
"""What is less than this wide on either side of its middle is not seen."""

BLURS = 5
"""So many pictures of it are kept for small sizes, each blurred twice as far as the one before."""

RIM = 0.9
"""Its rim is not well known: pixels are taken from inside this share of it."""


def covered(seen: Tensor, size: tuple[int, int]) -> Tensor:
    """How much of each pixel it covers, 0 to 1.

    Args:
        seen: (b, 4) as Flight.seen_at() tells it.
        size: height and width, pixels.

    Returns:
        (b, h, w) float32.
    """
    x, y, radius, ahead = (part[:, None, None] for part in seen.unbind(1))
    across, down = _grid(size, seen.device)
    away = torch.hypot(across - x, down - y)
    return (radius - away + 0.5).clamp(0, 1) * ((ahead > NEAREST) & (radius > SMALLEST_PX))


def sprite(picture: Tensor, kept: Tensor, seen: Tensor) -> Tensor:
    """A picture of it, moved and scaled to where it is seen.

    Args:
        picture: (b, 3, h, w) in [-1, 1], in which it was in the hand.
        kept: (3,) column, row and half its width in that. What of it lies outside is as what lies opposite.
        seen: (b, 4) where it is seen.

    Returns:
        (b, 3, h, w), right wherever covered() is more than 0.
    """
    size = (picture.shape[-2], picture.shape[-1])
    h, w = size
    across, down = _grid(size, picture.device)
    radius = seen[:, 2, None, None].clamp(min=SMALLEST_PX)
    right, below = (across - seen[:, 0, None, None]) / radius, (down - seen[:, 1, None, None]) / radius
    inside = (RIM / torch.hypot(right, below).clamp(min=RIM)).clamp(max=1)
    right, below = right * inside, below * inside
    x, y = _within(kept[0], right * kept[2], w / 2), _within(kept[1], below * kept[2], h / 2)
    where = torch.stack(torch.broadcast_tensors(x * (2 / w), y * (2 / h)), -1)
    mask = covered(torch.stack([kept[0], kept[1], kept[2] * RIM, torch.ones_like(kept[0])])[None], size)[:, None]
    blur = (kept[2] / radius[:, 0, 0]).clamp(min=1).log2().round().long().clamp(max=BLURS - 1)
    shown = picture
    for level in range(1, BLURS):
        chosen = (blur == level).nonzero()[:, 0]
        if len(chosen):
            wide = 2**level + 1
            soft = _blurred(picture[chosen] * mask, wide) / _blurred(mask, wide).clamp(min=1e-3)
            shown = shown.index_copy(0, chosen, soft)
    return F.grid_sample(shown, where, padding_mode="border", align_corners=False)


def _within(middle: Tensor, away: Tensor, edge: float) -> Tensor:
    """Places `away` from the middle, or opposite, where they lie beyond the edge."""
    there = middle + away
    return torch.where(there.abs() > edge - 1, middle - away, there)


def _blurred(picture: Tensor, wide: int) -> Tensor:
    return F.avg_pool2d(picture, wide, stride=1, padding=wide // 2, count_include_pad=False)


def _grid(size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Columns (w,) and rows (h, 1) of the pixels, from the view's middle."""
    h, w = size
    across = torch.arange(w, device=device) + (0.5 - w / 2)
    return across, (torch.arange(h, device=device) + (0.5 - h / 2))[:, None]
