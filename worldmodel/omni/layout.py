"""Layout: where things are put that words ask for, and that are not there yet.

An edit that is asked for "a red tower" and is shown a meadow paints nothing: the tower may stand anywhere, and the mean
of all those pictures is the meadow. So it is told where. A small network sees what stands in a picture, another reads
how many of which things a prompt wants; what is missing is put where nothing stands, as large and as far below the
horizon as such things were seen. (Places first, pictures after: Li et al. 2023, GLIGEN, arXiv 2301.07093.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.omni.autoencoder import Block
from inhabit.worldmodel.omni.text import TextConfig, TextEncoder, tokenise
from inhabit.worldmodel.response.noise import uniform

MOST = 3
"""Things of a kind that can be asked for."""

MOST_AT_ONCE = 4
"""Things that one prompt puts into a picture."""

COVERED = 0.1
"""Share of a place that may be covered already; where there is no such place, nothing is put."""

STANDS = 0.35
"""Where something stands by at least this chance, something stands."""

BESIDE = 9
"""Places beside each other, across the view, that are tried for each size."""

MARGIN = 0.8
"""Share of the view, around its middle, in which things are put whole."""

DRAW = 23
"""The draw of a session's noise that chooses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutConfig:
    """Its sizes."""

    kinds: tuple[str, ...]
    """What can be asked for."""

    boxes: int = 64
    """Sizes and distances that are known of each kind."""

    focal: float = 98.5
    """Pixels of the usual picture that one radian takes in its middle."""

    latent_channels: int = 16
    """Channels of the codec's latents."""

    grid: tuple[int, int] = (16, 16)
    """Latent rows and columns of the usual picture."""

    factor: int = 8
    """Pixels of a latent's side."""

    width: int = 48
    """Channels of the convolutions that see."""

    text: TextConfig = field(default_factory=lambda: TextConfig(tokens=48, width=64))
    """How prompts are read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What pictures show."""

    stands: Tensor
    """(b, kinds + 1, h, w) logits of what stands at each latent; the last of them of anything else that moves."""
    count: Tensor
    """(b, kinds, MOST + 1) logits of how many of each are in view."""
    pitch: Tensor
    """(b,) rad by which one looks up."""


class Layout(nn.Module):
    """Where things come."""

    boxes: Tensor

    def __init__(self, config: LayoutConfig):
        super().__init__()
        self.config = config
        kinds, width = len(config.kinds), config.width
        self.register_buffer("boxes", torch.zeros(kinds, config.boxes, 3))
        self.join = nn.Sequential(nn.Conv2d(config.latent_channels, width, 3, padding=1), Block(width))
        self.down = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.coarse = nn.Sequential(*(Block(2 * width) for _ in range(3)))
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.finish = Block(width)
        self.out = nn.Conv2d(width, kinds + 1, 3, padding=1)
        self.count = nn.Linear(4 * width, kinds * (MOST + 1))
        self.pitch = nn.Sequential(nn.Linear(2 * width * config.grid[0] // 2, 64), nn.SiLU(), nn.Linear(64, 1))
        self.words = TextEncoder(config.text, kinds * (MOST + 2))

    def forward(self, latents: Tensor) -> Seen:
        """Look at pictures. Shape: (b, c, h, w)."""
        h, w = latents.shape[-2:]
        x = self.join(F.pad(latents, (0, w % 2, 0, h % 2), mode="replicate"))
        y = self.coarse(self.down(x))
        x = self.finish(x + self.up(y))[..., :h, :w]
        whole = torch.cat([y.mean((2, 3)), y.amax((2, 3))], 1)
        rows = F.adaptive_avg_pool2d(y, (self.config.grid[0] // 2, 1)).flatten(1)  # the horizon is a row
        return Seen(
            stands=self.out(F.silu(x)).float(),
            count=self.count(whole).float().unflatten(1, (-1, MOST + 1)),
            pitch=self.pitch(rows).float()[:, 0],
        )

    def read(self, prompts: Sequence[str]) -> Tensor:
        """How many of each kind prompts want: logits of not saying it, of none, one, and so on. Shape
        (p, kinds, MOST + 2)."""
        tokens = tokenise(prompts, self.config.text).to(self.boxes.device)
        return self.words(tokens)[:, 0].float().unflatten(1, (-1, MOST + 2))

    @torch.inference_mode()
    def arranged(self, latents: Tensor, prompts: Sequence[str], key: Tensor, frame: Tensor) -> Tensor:
        """Where what prompts want, and pictures do not show, is put.

        Args:
            latents: (b, c, h, w), one for each prompt.
            key, frame: (b,) int64 by which it is drawn.

        Returns:
            (b, kinds, MOST, 4) left, right, top, bottom of each in pixels of the usual picture, from its middle; all 0
            where nothing is put.
        """
        seen = self(latents.float())
        wanted = (self.read(prompts).argmax(2) - 1).clamp(min=0)
        missing = (wanted - seen.count.argmax(2)).clamp(min=0)
        places = torch.zeros(*missing.shape, MOST, 4, device=latents.device)
        for row in (missing > 0).any(1).nonzero()[:, 0].tolist():
            stands = (seen.stands[row].sigmoid() >= STANDS).any(0).float()
            horizon = self.config.focal * seen.pitch[row].tan()
            self._arrange(places[row], missing[row], stands, horizon, key[row], frame[row])
        return places

    def covers(self, places: Tensor, size: tuple[int, int], turn: Tensor, nod: Tensor) -> Tensor:
        """How much of each latent places take up.

        Args:
            places: (b, kinds, MOST, 4); see arranged().
            size: rows and columns of latents.
            turn, nod: (b,) rad by which one looks further to the right, and up, than where they were arranged.

        Returns:
            (b, kinds, h, w) 0 to 1.
        """
        there = places[..., 1] > places[..., 0]
        focal, scale = self.config.focal, self._scale(size)
        side = focal * torch.tan((places[..., :2] / focal).atan() - turn[:, None, None, None]).clamp(-50, 50)
        ahead = (turn.abs() < 1.0)[:, None, None]
        upright = places[..., 2:] + focal * nod.tan()[:, None, None, None]
        columns, rows = (_overlap(edges / scale, count) for edges, count in ((side, size[1]), (upright, size[0])))
        taken = rows[..., :, None] * columns[..., None, :] * (there & ahead)[..., None, None]
        return taken.amax(2)

    def _arrange(
        self, places: Tensor, missing: Tensor, stands: Tensor, horizon: Tensor, key: Tensor, frame: Tensor
    ) -> None:
        """Fill the places, (kinds, MOST, 4), of one session, a thing of each kind at a time."""
        size, scale = (stands.shape[0], stands.shape[1]), self._scale((stands.shape[0], stands.shape[1]))
        half = MARGIN * size[1] * scale / 2
        draws = uniform(key + torch.arange(MOST_AT_ONCE, device=key.device), frame.expand(MOST_AT_ONCE), DRAW)
        kinds = (missing > 0).nonzero()[:, 0]
        kinds = kinds.roll(int(draws[0] * len(kinds)))
        order = [(int(kind), nth) for nth in range(MOST) for kind in kinds if nth < int(missing[kind])]
        zero = torch.zeros(1, device=stands.device)
        for (kind, nth), draw in zip(order, draws.tolist(), strict=False):
            boxes = self.boxes[kind] * self.config.focal
            middle = torch.linspace(-1, 1, BESIDE, device=boxes.device) * half
            middle = middle[None] * (1 - boxes[:, 2:] / (2 * half)).clamp(min=0)  # whole within the view
            side, upright = boxes[:, None, 2] / 2, boxes[:, None, :2] + horizon
            tried = torch.stack(
                [middle - side, middle + side, *(edge.expand_as(middle) for edge in upright.unbind(2))], 2
            ).flatten(0, 1)
            taken = self.covers(tried[:, None, None], size, zero.expand(len(tried)), zero.expand(len(tried)))[:, 0]
            area = taken.sum((1, 2))
            covered = (taken * stands).sum((1, 2)) / area.clamp(min=1e-3)
            free = ((covered <= COVERED) & (area > 0.5)).nonzero()[:, 0]
            if not len(free):
                continue
            chosen = int(free[int(draw * (len(free) - 1))])
            places[kind, nth] = tried[chosen]
            stands.copy_(torch.maximum(stands, F.max_pool2d((taken[chosen] > 0.1).float()[None], 3, 1, 1)[0]))

    def _scale(self, size: tuple[int, int]) -> float:
        """Pixels of the usual picture in a latent's side: the shorter side always spans the same angle."""
        return self.config.factor * min(self.config.grid) / min(size)


def _overlap(edges: Tensor, count: int) -> Tensor:
    """How much of each of `count` cells lies between two edges. Shapes: (..., 2) from their middle -> (..., count)."""
    first = torch.arange(count, device=edges.device) - count / 2
    low, high = edges[..., :1], edges[..., 1:]
    return (torch.minimum(high, first + 1) - torch.maximum(low, first)).clamp(0, 1)
