"""Ahead: who walks straight on comes to places that nobody has seen.

What is far away grows as one comes nearer, and no picture of it gets any sharper by that: after ten seconds a view that
only moves is a blur. So every few seconds of walking one of the world's pictures is put where one goes: half as large,
as seen from as far away as one has walked since the last one, and growing as one comes nearer, until it is all that
there is. (Ground and sky are alike at every distance, so that a horizon stays a horizon.) It appears little by little
behind what is near, and not where something stands out that one is walking up to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.memory.vistas import Vistas
from inhabit.worldmodel.omni.autoencoder import to_float, to_pixels
from inhabit.worldmodel.omni.motion import beside

AFTER = 3.0
"""The next picture comes when one has walked so many units, which are seconds of walking."""

APPEARS = 0.8
"""It appears while one walks the first so much of that."""

RATE = 0.2
"""So much of it comes to sight in a frame."""

WALKS = 0.01
"""Who goes less than so many units ahead in a frame does not walk."""

NEAR = 0.5
"""What is nearer than one over this, in units, stands before it."""

STANDS_OUT = 0.4
"""What differs by so much from what is usual in its row, of -1 to 1, is something that one walks up to."""

ASIDE_RAD = 0.5
"""Who turns by more than this since it began to appear goes elsewhere."""

SOFT = 0.35
"""So much of its half width fades towards its edges."""

AROUND_PX = 9
"""Whether something stands out is asked of so many pixels across."""

BLENDED = 0.01
"""A pixel of which less than this is new has stayed what it was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ahead:
    """What lies ahead of the newest frames."""

    picture: Tensor
    """(b, h, w, 3) uint8: as it will look when one is there; no rows in a world without vistas."""

    shows: Tensor
    """(b,) bool: whether there is one."""

    left: Tensor
    """(b,) float32: units that are left to walk until the next one comes, and one is where this one was taken."""

    turned: Tensor
    """(b,) float32: rad by which one has turned to the right since it was chosen."""

    level: Tensor
    """(b,) float32: pitch of the view that `usual` is of, rad."""

    usual: Tensor
    """(b, features) what the place looks like, see Vistas.usual(); nothing in a world without vistas."""

    @classmethod
    def begin(cls, pixels: Tensor, pitch: Tensor, vistas: Vistas | None) -> Ahead:
        """Nothing is ahead of frames, (b, h, w, 3) uint8, seen at a pitch, (b,), but what they show."""
        b = len(pixels)
        nothing = torch.zeros(b, device=pixels.device)
        return cls(
            picture=pixels[:, :0, :0] if vistas is None else torch.zeros_like(vistas.blank(pixels)),
            shows=torch.zeros(b, dtype=torch.bool, device=pixels.device),
            left=nothing + AFTER,
            turned=nothing.clone(),
            level=nothing.clone() if vistas is None else pitch.float().clone(),
            usual=nothing[:, None][:, :0] if vistas is None else vistas.usual(to_float(pixels)),
        )

    def go_on(
        self,
        travel: Tensor,
        unit: Tensor,
        vistas: Vistas,
        dice: Tensor,
        open_picture: Callable[[Tensor, Tensor], Tensor],
        hand: Tensor | None,
    ) -> tuple[Ahead, Tensor]:
        """One frame on.

        Args:
            travel: (b, 5) to the next frames, see memory.pose.
            unit: the world's usual length, see Recall.
            dice: (b,) in (0, 1].
            open_picture: the pixels, (k, h, w, 3) uint8, of latents, (k, c, h, w), for sessions, (k,) int64.
            hand: (1, h, w) bool: where pictures show what is held, and not the world; None where they do not.

        Returns:
            What is ahead of those, and (b,) bool: where more of it comes to sight.
        """
        went = travel[:, 2] / unit
        left, turned = self.left - went.clamp(min=0), self.turned + travel[:, 3]
        shows = self.shows & (turned.abs() < ASIDE_RAD)
        walks = went > WALKS
        due = (left <= 0) & walks
        picture = self.picture
        if bool(due.any()):
            whose = due.nonzero()[:, 0]
            pixels = open_picture(vistas.picture(vistas.like(self.usual[whose], dice[whose])), whose)
            picture = picture.index_copy(0, whose, pixels if hand is None else _without(pixels, hand))
            left, turned, shows = left.masked_fill(due, AFTER), turned.masked_fill(due, 0.0), shows | due
        after = Ahead(picture=picture, shows=shows, left=left, turned=turned, level=self.level, usual=self.usual)
        return after, shows & walks & (left > (1 - APPEARS) * AFTER)

    def seen(self, view: Tensor, near: Tensor, pitch: Tensor, focal: Tensor, comes: Tensor) -> tuple[Tensor, Tensor]:
        """Views with a little more of it in them.

        Args:
            view: (b, 3, h, w) in [-1, 1].
            near: (b, h, w) one over how far away things are, in units.
            pitch: (b,) rad.
            focal: focal length, pixels.
            comes: (b,) bool: in which of them.

        Returns:
            The views, and (b, h, w) bool: where they are not what they were.
        """
        h, w = view.shape[-2:]
        tall, wide = self.picture.shape[1:3]
        size = (AFTER / (AFTER + self.left))[:, None, None]  # as large as it is seen
        x = torch.arange(w, device=view.device) + (0.5 - w / 2) + (self.turned.tan() * focal)[:, None, None]
        y = (torch.arange(h, device=view.device) + (0.5 - h / 2))[:, None] - (pitch.tan() * focal)[:, None, None]
        y = y / size + (self.level.tan() * focal)[:, None, None]
        x, y = torch.broadcast_tensors(x / size * (2 / wide), y * (2 / tall))
        known = (1 - torch.maximum(x.abs(), y.abs())) / SOFT
        off = (view - view.median(3, keepdim=True).values).abs()
        off = F.avg_pool2d(off, AROUND_PX, stride=1, padding=AROUND_PX // 2, count_include_pad=False).amax(1)
        plain, far = 2 - 2 * off / STANDS_OUT, 2 - 2 * near / NEAR
        share = RATE * known.clamp(0, 1) * plain.clamp(0, 1) * far.clamp(0, 1) * comes[:, None, None]
        where = torch.stack([x, y], -1)
        new = F.grid_sample(to_float(self.picture), where, mode="bicubic", padding_mode="border", align_corners=False)
        return torch.lerp(view, new.clamp(-1, 1), share[:, None]), share > BLENDED

    def select(self, sessions: Tensor) -> Ahead:
        return Ahead(**{f.name: getattr(self, f.name)[sessions] for f in fields(self)})

    def put_sessions(self, sessions: Tensor, fresh: Ahead) -> Ahead:
        """What is ahead when some sessions, (k,) int64, have that of `fresh`."""
        mine = {f.name: getattr(self, f.name) for f in fields(self)}
        return Ahead(**{name: part.index_copy(0, sessions, getattr(fresh, name)) for name, part in mine.items()})

    @staticmethod
    def join(parts: Sequence[Ahead]) -> Ahead:
        return Ahead(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Ahead)})


def _without(pixels: Tensor, hand: Tensor) -> Tensor:
    """Pictures with what lies beside it in place of what is held. Shapes: (k, h, w, 3) uint8, (1, h, w) bool."""
    k, h, w, _ = pixels.shape
    x = (torch.arange(w, device=pixels.device) + 0.5) * (2 / w) - 1
    y = (torch.arange(h, device=pixels.device) + 0.5) * (2 / h) - 1
    here = torch.stack([x.expand(h, w), y[:, None].expand(h, w)], -1).expand(k, -1, -1, -1)
    filled = F.grid_sample(to_float(pixels), beside(here, hand.expand(k, -1, -1)), mode="nearest", align_corners=False)
    return to_pixels(filled)
