"""The video autoencoder: frames to a grid of latents and back. Convolutions alone: any size its factor divides works.

Deep-compression style (DC-AE, arXiv 2410.10733): each change of resolution carries a parameter-free shortcut (space to
channel), so that the convolutions only learn what the shortcut misses. No norms: they would let far pixels change near
ones. Latents are bounded softly and standardised to unit variance, because the noise of the dynamics is N(0, 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FOLD = 4
"""Pixels along one side of what the first convolution sees as one."""

LATENT_BOUND = 3.0
"""Latents are LATENT_BOUND * tanh(h / LATENT_BOUND) before they are standardised."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderConfig:
    """The codec's sizes."""

    latent_channels: int = 32
    """Channels of a latent."""

    widths: tuple[int, ...] = (64, 128, 192)
    """Channels at 1/4, 1/8, ... of the frame's size; the last is the latents' size."""

    blocks: tuple[int, ...] = (1, 2, 2)
    """Residual blocks at each of them, in the encoder and in the decoder."""

    @property
    def factor(self) -> int:
        """Pixels along one side of a latent's cell: 8 for two widths, 16 for three."""
        return FOLD * 2 ** (len(self.widths) - 1)


class Autoencoder(nn.Module):
    """Encode frames to standardised latents and decode them again."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.register_buffer("mean", torch.zeros(config.latent_channels, 1, 1))
        self.register_buffer("std", torch.ones(config.latent_channels, 1, 1))

    def encode(self, pixels: Tensor) -> Tensor:
        """Shapes: (b, 3, h, w) in [-1, 1] -> (b, c, h/factor, w/factor), about unit variance."""
        return (bounded(self.encoder(pixels)) - self.mean) / self.std

    def decode(self, latents: Tensor) -> Tensor:
        """Shapes: (b, c, h, w) standardised -> (b, 3, factor * h, factor * w), about [-1, 1]."""
        return self.decoder(latents * self.std + self.mean)

    def within(self, latents: Tensor) -> Tensor:
        """Latents within what encode() can give: outside it nothing is learnt, and an error could only grow."""
        return latents.clamp((-LATENT_BOUND - self.mean) / self.std, (LATENT_BOUND - self.mean) / self.std)


class Encoder(nn.Module):
    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        widths = config.widths
        self.stem = nn.Conv2d(3 * FOLD**2, widths[0], 3, padding=1)
        self.stages = nn.ModuleList(_blocks(*size) for size in zip(widths, config.blocks, strict=True))
        self.downs = nn.ModuleList(Down(*pair) for pair in pairwise(widths))
        self.head = nn.Conv2d(widths[-1], config.latent_channels, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        h = self.stages[0](self.stem(F.pixel_unshuffle(pixels, FOLD)))
        for down, stage in zip(self.downs, list(self.stages)[1:], strict=True):
            h = stage(down(h))
        return self.head(h)


class Decoder(nn.Module):
    def __init__(self, config: AutoencoderConfig):
        super().__init__()
        widths = config.widths[::-1]
        self.stem = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.stages = nn.ModuleList(_blocks(*size) for size in zip(widths, config.blocks[::-1], strict=True))
        self.ups = nn.ModuleList(Up(*pair) for pair in pairwise(widths))
        self.head = nn.Conv2d(widths[-1], 3 * FOLD**2, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        h = self.stages[0](self.stem(latents))
        for up, stage in zip(self.ups, list(self.stages)[1:], strict=True):
            h = stage(up(h))
        return F.pixel_shuffle(self.head(h), FOLD)


class Block(nn.Module):
    """A residual block that starts as the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.inner = nn.Conv2d(width, width, 3, padding=1)
        self.outer = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.outer.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.outer(F.silu(self.inner(F.silu(x))))


class Down(nn.Module):
    """Halve the resolution. Shortcut: space to channel, neighbouring channels averaged."""

    def __init__(self, width: int, wider: int):
        super().__init__()
        self.wider = wider
        self.conv = nn.Conv2d(width, wider, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        folded = F.pixel_unshuffle(x, 2)  # (b, 4 width, h/2, w/2)
        b, c, h, w = folded.shape
        # widths need not divide each other: average over as many equal groups as there are channels to fill
        shortcut = F.adaptive_avg_pool1d(folded.permute(0, 2, 3, 1).reshape(b, h * w, c), self.wider)
        return self.conv(x) + shortcut.reshape(b, h, w, self.wider).permute(0, 3, 1, 2)


class Up(nn.Module):
    """Double the resolution. Shortcut: channel to space, channels repeated."""

    def __init__(self, width: int, narrower: int):
        super().__init__()
        self.repeats = -(-4 * narrower // width)
        self.channels = 4 * narrower
        self.conv = nn.Conv2d(width, 4 * narrower, 1)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x.repeat_interleave(self.repeats, dim=1)[:, : self.channels]
        return F.pixel_shuffle(self.conv(x) + shortcut, 2)


def bounded(latents: Tensor) -> Tensor:
    """Bound softly, so that no input can throw a latent far out of what the dynamics knows."""
    return LATENT_BOUND * torch.tanh(latents / LATENT_BOUND)


def to_float(pixels: Tensor) -> Tensor:
    """Shapes: (b, h, w, 3) uint8 -> (b, 3, h, w) float in [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pixels(frames: Tensor) -> Tensor:
    """Shapes: (b, 3, h, w) float -> (b, h, w, 3) uint8."""
    return ((frames + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(count)))
