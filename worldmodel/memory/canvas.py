"""The canvas: what only moves is fetched from where it was painted, however long ago, and not from its own last copy.

Moving a picture mixes neighbouring pixels, and so do the codec's encoder and decoder. Done anew in every frame, that
wears a pattern off within a second, even before an eye that stands still. So the canvas keeps one picture, and for
every pixel of the newest frame the place on it that the pixel came from; flows are chained, pixels are fetched once.
Where something was painted since, the newest frame is moved instead. When little of the old picture is in use, the
newest takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_USED = 0.5
"""A canvas of which less than this share of the newest frame comes is replaced by that frame."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Canvas:
    """A picture, and where on it the pixels of the newest frame lie."""

    picture: Tensor
    """(b, h, w, 3) uint8."""
    place: Tensor
    """(b, h, w, 2) float32: column and row, -1 to 1 from edge to edge."""
    used: Tensor
    """(b, h, w) bool: whether the pixel is still what lies there."""

    @classmethod
    def of(cls, pixels: Tensor) -> Canvas:
        """A canvas that is the newest frame, (b, h, w, 3) uint8."""
        b, h, w, _ = pixels.shape
        row = (torch.arange(h, device=pixels.device) + 0.5) * (2 / max(1, h)) - 1
        column = (torch.arange(w, device=pixels.device) + 0.5) * (2 / max(1, w)) - 1
        place = torch.stack([column.expand(h, w), row[:, None].expand(h, w)], -1)
        used = torch.ones(b, h, w, dtype=torch.bool, device=pixels.device)
        return cls(picture=pixels, place=place.repeat(b, 1, 1, 1), used=used)

    def move(self, where: Tensor, newest: Tensor) -> tuple[Canvas, Tensor]:
        """The next frame's pixels, as far as they only move.

        Args:
            where: (b, h, w, 2) the place in the newest frame that each pixel comes from, as motion.places() tells it.
            newest: (b, 3, h, w) in [-1, 1], the newest frame.

        Returns:
            The canvas of that frame, and its pixels, (b, 3, h, w).
        """
        place = F.grid_sample(self.place.permute(0, 3, 1, 2), where, padding_mode="border", align_corners=False)
        place = place.permute(0, 2, 3, 1)
        whole = F.grid_sample(self.used[:, None].float(), where, padding_mode="zeros", align_corners=False)[:, 0]
        used = whole > 0.99  # all four that it is mixed of
        picture = self.picture.permute(0, 3, 1, 2).float() / 127.5 - 1
        fetched = F.grid_sample(picture, place, mode="bicubic", padding_mode="border", align_corners=False)
        moved = F.grid_sample(newest, where, padding_mode="border", align_corners=False)
        return replace(self, place=place, used=used), torch.where(used[:, None], fetched.clamp(-1, 1), moved)

    def painted(self, kept: Tensor, newest: Tensor) -> Canvas:
        """The canvas once the frame is made.

        Args:
            kept: (b, rows, columns) bool: which of its latents are what move() gave.
            newest: (b, h, w, 3) uint8, the frame.
        """
        used = self.used & F.interpolate(kept[:, None].float(), size=self.used.shape[1:], mode="nearest")[:, 0].bool()
        worn = (used.float().mean((1, 2)) < LEAST_USED)[:, None, None]
        fresh = Canvas.of(newest)
        return Canvas(
            picture=torch.where(worn[..., None], newest, self.picture),
            place=torch.where(worn[..., None], fresh.place, self.place),
            used=torch.where(worn, fresh.used, used),
        )

    def select(self, sessions: Tensor) -> Canvas:
        return Canvas(**{f.name: getattr(self, f.name)[sessions] for f in fields(self)})

    def put_sessions(self, sessions: Tensor, fresh: Canvas) -> Canvas:
        """A canvas in which some sessions, (k,) int64, have those of `fresh`."""
        return Canvas(
            **{f.name: getattr(self, f.name).index_copy(0, sessions, getattr(fresh, f.name)) for f in fields(self)}
        )

    @staticmethod
    def join(parts: Sequence[Canvas]) -> Canvas:
        return Canvas(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Canvas)})
