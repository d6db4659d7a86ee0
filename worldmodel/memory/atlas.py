"""The atlas: pictures of a place that is always the same, each with its pose.

A level of a game does not change from session to session, and recordings have shown all of it. So a world of one level
keeps a few thousand pictures, spread over where people stood and looked, and shows at every pose the nearest one as it
looks from there (see memory.recall): rooms are where they are, and walking on for an hour does not wear them off. It
also keeps where people stood: nobody has walked through a wall. (Rendering from pictures by proximity: Hedman et al.
2018, Deep Blending; memory that is looked up by pose: WorldMem, arXiv 2504.12369.)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inhabit.worldmodel.memory.album import overlap
from inhabit.worldmodel.memory.compact import of_bytes, to_bytes
from inhabit.worldmodel.memory.pose import POSE

TROD_STEP = 0.05
"""Places where people stood are kept once in a cube of so many units."""

STRIDE = 0.08
"""Nobody gets further than this, in units, from where people stood."""

CLOSER = 4
"""A picture that was taken so many times nearer is worth the angle that it may be off: who turns needs no distances."""

KEPT_OPEN = 1024
"""So many pictures that were shown last are kept as pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AtlasConfig:
    """The sizes of a world's atlas."""

    pictures: int
    """How many."""

    trodden: int
    """Places where people stood."""

    latent_channels: int = 16
    """Channels of the codec's latents."""

    grid: tuple[int, int] = (12, 16)
    """Latent rows and columns. Views of other sizes have no atlas."""


class Atlas(nn.Module):
    """A place's pictures."""

    latents: Tensor
    pose: Tensor
    trodden: Tensor
    least: Tensor
    most: Tensor

    def __init__(self, config: AtlasConfig):
        super().__init__()
        self.config = config
        rows, columns = config.grid
        channels = config.latent_channels
        self.register_buffer("latents", torch.zeros(config.pictures, channels, rows, columns, dtype=torch.uint8))
        self.register_buffer("least", torch.zeros(channels, 1, 1))
        self.register_buffer("most", torch.ones(channels, 1, 1))
        # levels are large: in half precision, a step would be lost
        self.register_buffer("pose", torch.zeros(config.pictures, POSE, dtype=torch.float64))
        self.register_buffer("trodden", torch.zeros(config.trodden, 3, dtype=torch.float64))
        self._open: OrderedDict[int, Tensor] = OrderedDict()

    def learn(self, latents: Tensor, pose: Tensor, trodden: Tensor) -> Atlas:
        """Keep these pictures, (n, c, h, w), with their poses, (n, 5), and these places, (m, 3)."""
        self.least.copy_(latents.amin((0, 2, 3))[:, None, None])
        self.most.copy_(latents.amax((0, 2, 3))[:, None, None])
        self.latents.copy_(to_bytes(latents, self.least, self.most))
        self.pose.copy_(pose)
        self.trodden.copy_(trodden)
        return self

    def nearest(self, pose: Tensor, unit: Tensor | float) -> Tensor:
        """The picture that shows each view best. Shapes: (b, 5) -> (b,) int64."""
        return overlap(self.pose.float(), pose[:, None], unit / CLOSER).argmax(1)

    def within(self, pose: Tensor, unit: Tensor) -> Tensor:
        """The pose, but near where people stood: walls stop who walks. Shapes: (b, 5) -> (b, 5)."""
        places = self.trodden.float()
        # the other way to reckon distances mixes those of large levels up
        away = torch.cdist(pose[:, :3], places, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = places[away.argmin(1)]
        away = pose[:, :3] - nearest
        far = away.norm(dim=1, keepdim=True) / (STRIDE * unit)
        return torch.cat([nearest + away / far.clamp(min=1), pose[:, 3:]], 1)

    def located(self, latents: Tensor) -> Tensor:
        """The poses of the pictures that look most like these. Shapes: (b, c, h, w) -> (b, 5) float32."""
        span = (self.most - self.least) / 255
        wanted = to_bytes(latents, self.least, self.most)
        near = []
        for one in wanted:
            off = [((some.float() - one.float()) * span).square().mean((1, 2, 3)) for some in self.latents.split(512)]
            near.append(torch.cat(off).argmin())
        return self.pose[torch.stack(near)].float()

    def pixels(self, number: Tensor, open_picture: Callable[[Tensor], Tensor]) -> Tensor:
        """Pictures as they look.

        Args:
            number: (b,) int64.
            open_picture: the pixels, (1, h, w, 3) uint8, of latents, (1, c, h, w); one at a time, so that they do not
                depend on what else is asked for.

        Returns:
            (b, h, w, 3) uint8.
        """
        shown = []
        for one in number.tolist():
            if one not in self._open:
                self._open[one] = open_picture(of_bytes(self.latents[one, None], self.least, self.most))[0]
            self._open.move_to_end(one)
            shown.append(self._open[one])
        while len(self._open) > KEPT_OPEN:
            self._open.popitem(last=False)
        return torch.stack(shown)
