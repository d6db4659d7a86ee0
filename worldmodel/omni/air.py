"""Air: what falls between the eye and the world, such as rain and snow, as a layer of its own.

No flake is ever where another was, so that a network which is asked for the next picture paints the mean of all that
may be: haze. And what is carried from picture to picture hangs still. So the world behind is dreamt without it, and
what falls is drawn over the finished picture: from a film of it that was seen once and has no end, moved as the view
turns, as dense as words want it, in a colour that the picture tells. (Films without an end: Schoedl et al. 2000, Video
textures. Pictures as layers: Wang and Adelson 1994.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.omni.autoencoder import Block, to_float, to_pixels
from inhabit.worldmodel.omni.text import TextConfig, TextEncoder, tokenise

LEAST = 0.05
"""Words that ask for less than this of what may fall ask for none."""

SURE = 0.3
"""What is seen to fall in a picture by less than this does not: one may begin in any picture."""

SEEN = 8
"""Places along a side of a picture by which its colour is told."""

NAMED = 0.5
"""Words that speak of what falls by at least this say how much of it there is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AirConfig:
    """The layer's sizes."""

    kinds: tuple[str, ...] = ("rain", "snow")
    """What may fall."""

    frames: int = 80
    """Frames of a film."""

    size: tuple[int, int] = (128, 128)
    """Its rows and columns."""

    focal: float = 98.5
    """Pixels by which turning by a radian moves it."""

    width: int = 32
    """Channels of the convolutions that take it out of a picture."""

    text: TextConfig = field(default_factory=lambda: TextConfig(tokens=48, width=64))
    """How prompts are read."""


class Air(nn.Module):
    """What falls, taken out of pictures and drawn over them."""

    film: Tensor

    def __init__(self, config: AirConfig):
        super().__init__()
        self.config = config
        kinds, width = len(config.kinds), config.width
        self.register_buffer("film", torch.zeros(kinds, config.frames, *config.size, dtype=torch.uint8))
        self.join = nn.Conv2d(12, width, 3, padding=1)
        self.fine = Block(width)
        self.down = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.coarse = nn.Sequential(*(Block(2 * width) for _ in range(3)))
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.finish = Block(width)
        self.out = nn.Conv2d(width, 12, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)
        self.falls = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.SiLU(), nn.Linear(2 * width, kinds))
        self.words = TextEncoder(config.text, 1 + kinds)
        self.colour = nn.Sequential(nn.Linear(6 * SEEN**2, 64), nn.SiLU(), nn.Linear(64, 3 * kinds))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Take what falls out of pictures.

        Args:
            pixels: (b, 3, h, w) in [-1, 1], of an even height and width.

        Returns:
            (b, 3, h, w) what is behind it, and (b, kinds) how much of each falls, as logits.
        """
        h, w = pixels.shape[-2:]
        even = F.pad(pixels, (0, -w % 4, 0, -h % 4), mode="replicate")
        x = self.fine(self.join(F.pixel_unshuffle(even, 2)))
        y = self.coarse(self.down(x))
        x = self.finish(x + self.up(y))
        behind = even + F.pixel_shuffle(self.out(F.silu(x)), 2).float()
        return behind[..., :h, :w], self.falls(y.mean((2, 3)).float())

    @torch.inference_mode()
    def cleared(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures without what falls, where something does, and how much of each. Shapes: (b, 3, h, w) in [-1, 1] ->
        the same, (b, kinds) 0 to 1."""
        behind, falls = self(pixels)
        amount = falls.sigmoid()
        amount = torch.where(amount >= SURE, amount, 0.0)
        return torch.where((amount > 0).any(1)[:, None, None, None], behind.clamp(-1, 1), pixels), amount

    @torch.inference_mode()
    def told(self, prompts: Sequence[str], amount: Tensor) -> Tensor:
        """How much falls once words are said: as much as before where they do not speak of it.

        Shapes: (b, kinds) -> (b, kinds).
        """
        speaks, wanted = self.read(prompts).sigmoid().split([1, len(self.config.kinds)], 1)
        return torch.where(speaks >= NAMED, torch.where(wanted >= LEAST, wanted, 0.0), amount)

    def read(self, prompts: Sequence[str]) -> Tensor:
        """Whether prompts speak of what falls, and of how much of each, as logits. Shape (p, 1 + kinds)."""
        tokens = tokenise(prompts, self.config.text).to(self.film.device)
        return self.words(tokens)[:, 0].float()  # the mark at the beginning looks at all words

    def tint(self, pixels: Tensor) -> Tensor:
        """The colour that each kind has before pictures. Shapes: (b, 3, h, w) in [-1, 1] -> (b, kinds, 3) the same."""
        mean = F.adaptive_avg_pool2d(pixels, SEEN)
        spread = (F.adaptive_avg_pool2d(pixels.square(), SEEN) - mean.square()).clamp(min=0).sqrt()
        told = self.colour(torch.cat([mean, spread], 1).flatten(1))
        return told.tanh().unflatten(1, (-1, 3))

    @torch.inference_mode()
    def drawn(self, pixels: Tensor, amount: Tensor, pose: Tensor, frame: Tensor) -> Tensor:
        """Pictures with what falls before them.

        Args:
            pixels: (b, h, w, 3) uint8.
            amount: (b, kinds) 0 to 1.
            pose: (b, 5) where each eye looks; see memory.pose.
            frame: (b,) int64 numbers that count up.

        Returns:
            (b, h, w, 3) uint8.
        """
        if not bool((amount > 0).any()):
            return pixels
        picture, size = to_float(pixels), (pixels.shape[1], pixels.shape[2])
        tint = self.tint(picture)
        for kind in range(len(self.config.kinds)):
            covers = self._seen(kind, size, pose, frame) * amount[:, kind, None, None]
            picture = torch.lerp(picture, tint[:, kind, :, None, None], covers[:, None])
        return torch.where((amount > 0).any(1)[:, None, None, None], to_pixels(picture), pixels)

    def _seen(self, kind: int, size: tuple[int, int], pose: Tensor, frame: Tensor) -> Tensor:
        """How much of each pixel a kind covers, 0 to 1. Shape (b, h, w). Films go on where they end, on all sides."""
        film = self.film[kind, frame % self.config.frames]
        shift = torch.stack([-pose[:, 4], pose[:, 3]], 1) * self.config.focal  # rows, columns
        shift = shift + shift.new_tensor([film.shape[1] - size[0], film.shape[2] - size[1]]) / 2
        whole = shift.floor()
        part = (shift - whole)[:, :, None]
        row, column = (
            (torch.arange(side + 1, device=film.device) + whole[:, axis, None]).long() % film.shape[axis + 1]
            for axis, side in enumerate(size)
        )
        session = torch.arange(len(film), device=film.device)[:, None, None]
        seen = film[session, row[:, :, None], column[:, None, :]].float() / 255
        seen = torch.lerp(seen[:, :-1], seen[:, 1:], part[:, 0, :, None])
        return torch.lerp(seen[:, :, :-1], seen[:, :, 1:], part[:, 1, :, None])
