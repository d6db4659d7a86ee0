"""The canvas: what only moves is fetched from where it was painted, however long ago, and not from its own last copy.

Moving a picture mixes neighbouring pixels, and so do the codec's encoder and decoder. Done anew in every frame, that
wears a pattern off within a second, even before an eye that stands still. So the canvas keeps one picture, and for
every pixel of the newest frame the place on it that the pixel came from; flows are chained, pixels are fetched once.
Where something was painted since, the newest frame is moved instead. When little of the old picture is in use, the
newest takes its place. What came into view from a vista is fetched from there; what comes in above or below, in a world
that has vistas, mirrors the edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.memory.vistas import Coming
from inhabit.worldmodel.omni.motion import beside

LEAST_USED = 0.5
"""A canvas of which less than this share of the newest frame comes is replaced by that frame."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Canvas:
    """A picture, and where on it the pixels of the newest frame lie."""

    picture: Tensor
    """(b, h, w, 3) uint8."""
    place: Tensor
    """(b, h, w, 2) float32: column and row, -1 to 1 from edge to edge; where a world has vistas, those go on beyond."""
    used: Tensor
    """(b, h, w) bool: whether the pixel is still what lies there."""
    edge: Tensor
    """(b, 2) float32: the column of each vista that lies at the picture's left and right edge."""

    @classmethod
    def of(cls, pixels: Tensor, taken: Tensor | None = None, held: Tensor | None = None) -> Canvas:
        """A canvas that is the newest frame, (b, h, w, 3) uint8.

        Args:
            taken: (b, 2) of its sides, where a world has vistas.
            held: (b, h, w) bool: where it does not show the world.
        """
        b, h, w, _ = pixels.shape
        row = (torch.arange(h, device=pixels.device) + 0.5) * (2 / max(1, h)) - 1
        column = (torch.arange(w, device=pixels.device) + 0.5) * (2 / max(1, w)) - 1
        place = torch.stack([column.expand(h, w), row[:, None].expand(h, w)], -1)
        used = torch.ones(b, h, w, dtype=torch.bool, device=pixels.device) if held is None else ~held
        edge = torch.zeros(b, 2, device=pixels.device) if taken is None or not taken.numel() else taken
        return cls(picture=pixels, place=place.repeat(b, 1, 1, 1), used=used, edge=edge)

    def move(
        self, where: Tensor, newest: Tensor, coming: Coming | None = None, held: Tensor | None = None
    ) -> tuple[Canvas, Tensor]:
        """The next frame's pixels, as far as they only move.

        Args:
            where: (b, h, w, 2) the place in the newest frame that each pixel comes from, as motion.places() tells it.
            newest: (b, 3, h, w) in [-1, 1], the newest frame.
            coming: what comes into view from pictures beyond the edges.
            held: (b, h, w) bool: where the newest frame shows what is held in the view, and not the world behind it.

        Returns:
            The canvas of that frame, and its pixels, (b, 3, h, w), without what is held.
        """
        known = torch.cat([self.place, self.used[..., None].float()], -1).permute(0, 3, 1, 2)
        moved = F.grid_sample(known, where, padding_mode="border", align_corners=False)
        place = moved[:, :2].permute(0, 2, 3, 1)
        used = (moved[:, 2] > 0.99) & (where.abs() < 1).all(-1)  # all four that it is mixed of, and in view
        # worlds that paint a good deal have learnt from the former; in the others the edge goes on above and below
        how, beyond = ("bilinear", "border") if coming is None else ("bicubic", "reflection")
        source = where if held is None else beside(where, held)  # what is behind and was never seen
        pixels = F.grid_sample(newest, source, mode=how, padding_mode=beyond, align_corners=False)
        if coming is not None:
            w = newest.shape[-1]
            for side, sign in ((0, -1), (1, 1)):
                column = (coming.column[:, side] + 0.5 - self.edge[:, side, None, None]) * (2 / w)
                there = torch.stack([sign * (1 + column), coming.row[:, side]], -1)
                place = torch.where(coming.there[:, side, ..., None], there, place)
                used = used | coming.there[:, side]
                column = (sign * place[..., 0] - 1) * (w / 2) + self.edge[:, side, None, None]
                wide = coming.sides.pixels.shape[3]
                mine = used & (sign * place[..., 0] > 1) & (column < wide)
                if bool(mine.any()):
                    there = torch.stack([column * (2 / wide) - 1, place[..., 1]], -1)
                    pixels = torch.where(mine[:, None], _fetched(coming.sides.pixels[:, side], there), pixels)
        mine = used & (place[..., 0].abs() <= 1)
        pixels = torch.where(mine[:, None], _fetched(self.picture, place), pixels)
        return replace(self, place=place, used=used), pixels.clamp(-1, 1)

    def painted(
        self,
        kept: Tensor,
        newest: Tensor,
        taken: Tensor | None = None,
        held: Tensor | None = None,
        *,
        only: Tensor | None = None,
    ) -> Canvas:
        """The canvas once the frame is made.

        Args:
            kept: (b, rows, columns) bool: which of its latents are what move() gave.
            newest: (b, h, w, 3) uint8, the frame.
            taken: (b, 2) of its sides, where a world has vistas.
            held: (b, h, w) bool: what of it is held in the view; the world behind stays what it is.
            only: (b, h, w) bool: the pixels that the canvas is there for; all by default.
        """
        used = self.without(~kept).used
        used = used if held is None else used | (self.used & held)
        only = torch.ones_like(used) if only is None else only
        worn = ((used & only).sum((1, 2)) <= LEAST_USED * only.sum((1, 2)))[:, None, None]
        fresh = Canvas.of(newest, taken, held)
        return Canvas(
            picture=torch.where(worn[..., None], newest, self.picture),
            place=torch.where(worn[..., None], fresh.place, self.place),
            used=torch.where(worn, fresh.used, used),
            edge=torch.where(worn[:, 0], fresh.edge, self.edge),
        )

    def without(self, cells: Tensor) -> Canvas:
        """The canvas where some latents, (b, rows, columns) bool, are not what lies there."""
        others = F.interpolate(cells[:, None].float(), size=self.used.shape[1:], mode="nearest")[:, 0].bool()
        return replace(self, used=self.used & ~others)

    def renewed(self, sessions: Tensor, newest: Tensor, taken: Tensor, held: Tensor | None = None) -> Canvas:
        """The canvas with the newest frames, (b, h, w, 3) uint8, where sessions, (b,) bool, shall begin anew.

        Args:
            taken: (b, 2) of their sides.
            held: (b, h, w) bool: where they do not show the world.
        """
        chosen = sessions.nonzero()[:, 0]
        if not len(chosen):
            return self
        fresh = Canvas.of(newest[chosen], taken[chosen], None if held is None else held[chosen])
        return self.put_sessions(chosen, fresh)

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


def _fetched(picture: Tensor, place: Tensor) -> Tensor:
    """Shapes: (b, h, w, 3) uint8, (b, h, w, 2) -> (b, 3, h, w) in [-1, 1]."""
    whole = picture.permute(0, 3, 1, 2).float() / 127.5 - 1
    return F.grid_sample(whole, place, mode="bicubic", padding_mode="border", align_corners=False)
