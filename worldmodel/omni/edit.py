"""Edits: what words change in a picture. A prompt that is said in mid-stream is carried out on the newest picture, and
the next one is dreamt from that.

Dreams keep what motion carries. A frame in which everything is painted anew at once is the dynamics' hardest and its
rarest task, and what it paints there stays. To the edit it is the only task: the picture and the words are all that it
is shown, and it learns from nothing but moments that were recorded before and after words. (Editing by instruction:
Brooks et al. 2023, arXiv 2211.09800; convolutions that are told by scale and shift: arXiv 1709.07871.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.omni.detail import NormedBlock
from inhabit.worldmodel.omni.motion import place_of
from inhabit.worldmodel.omni.norm import ChannelNorm, Norm
from inhabit.worldmodel.omni.text import TextConfig, TextEncoder, Tokens


@dataclass(frozen=True, kw_only=True, slots=True)
class EditConfig:
    """The edit's sizes."""

    text: TextConfig = field(default_factory=TextConfig)
    """How prompts are read."""

    latent_channels: int = 16
    """Channels of the codec's latents."""

    grid: tuple[int, int] = (16, 16)
    """Latent rows and columns that are trained most."""

    width: int = 96
    """Channels of the convolutions that see single latents."""

    blocks: tuple[int, int] = (2, 3)
    """Residual blocks of those, before and after the coarse ones."""

    coarse_width: int = 192
    """Channels where one place stands for 2x2 latents."""

    coarse_blocks: int = 3
    """Residual blocks there, after each of which places look at the words and at each other."""

    heads: int = 4
    """Attention heads."""

    fills: bool = True
    """Whether it also paints what a picture does not show, such as what comes into view at its edge."""


class Edit(nn.Module):
    """Latents as they are to latents as words want them."""

    def __init__(self, config: EditConfig):
        super().__init__()
        self.config = config
        width, coarse = config.width, config.coarse_width
        self.text = TextEncoder(config.text, coarse)
        self.gist_in = nn.Sequential(nn.Linear(coarse, coarse), Norm(coarse))
        self.join = nn.Conv2d(config.latent_channels + 2 + config.fills, width, 3, padding=1)
        self.fine = nn.ModuleList(NormedBlock(width, coarse) for _ in range(config.blocks[0]))
        self.down = nn.Conv2d(width, coarse, 2, stride=2)
        self.coarse = nn.ModuleList(NormedBlock(coarse, coarse) for _ in range(config.coarse_blocks))
        self.looks = nn.ModuleList(_Look(coarse, config.heads) for _ in range(config.coarse_blocks))
        self.up = nn.ConvTranspose2d(coarse, width, 2, stride=2)
        self.finish = nn.ModuleList(NormedBlock(width, coarse) for _ in range(config.blocks[1]))
        self.norm = ChannelNorm(width)
        self.out = nn.Conv2d(width, 2 * config.latent_channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(
        self, latents: Tensor, tokens: Tokens, known: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """What pictures become under prompts, one for each; see change()."""
        return self.change(latents, self.text(tokens), tokens.filled, known, noise)

    def read(self, tokens: Tokens) -> Tensor:
        """Read prompts, once for as long as they hold. Shape (p, tokens, coarse_width)."""
        return self.text(tokens)

    def change(
        self, latents: Tensor, words: Tensor, filled: Tensor, known: Tensor | None = None, noise: Tensor | None = None
    ) -> Tensor:
        """What pictures become under prompts.

        Args:
            latents: (b, c, h, w).
            words: (b, tokens, coarse_width) one prompt for each, as read() has it.
            filled: (b, tokens) bool: which of those there are.
            known: (b, h, w) bool: which latents show something; all by default. The others are painted.
            noise: (b, c, h, w) what they are painted from; zeros by default.

        Returns:
            (b, c, h, w) float32.
        """
        h, w = latents.shape[-2:]
        if self.config.fills:
            known = torch.ones_like(latents[:, 0], dtype=torch.bool) if known is None else known
            rest = torch.zeros_like(latents) if noise is None else noise
            latents = torch.where(known[:, None], latents, rest)
            latents = torch.cat([latents, (~known[:, None]).to(latents.dtype)], 1)
        even = F.pad(latents, (0, w % 2, 0, h % 2), mode="replicate")
        return self._changed(even, words, filled)[..., :h, :w]

    def _changed(self, seen: Tensor, words: Tensor, filled: Tensor) -> Tensor:
        """The same for an even height and width, and with what is not known as the last channel."""
        told, latents = self._gist(words, filled), seen[:, : self.config.latent_channels]
        place = place_of(seen, self.config.grid).expand(len(seen), -1, -1, -1)
        x = self.join(torch.cat([seen, place], 1).contiguous(memory_format=torch.channels_last))
        for block in self.fine:
            x = block(x, told)
        y = self.down(x)
        where = place_of(y, (self.config.grid[0] // 2, self.config.grid[1] // 2))
        for block, look in zip(self.coarse, self.looks, strict=True):
            y = look(block(y, told), where, words, filled)
        x = x + self.up(y)
        for block in self.finish:
            x = block(x, told)
        with torch.autocast(latents.device.type, enabled=False):  # the last layer stays fp32: it sets the picture
            # all of the old picture stays, until it is known what should
            new, leave = self.out(F.silu(self.norm(x).float())).chunk(2, 1)
            old = latents.float() * (1 - seen[:, -1:]) if self.config.fills else latents.float()
            return old * (1 - leave) + new

    def gist(self, tokens: Tokens) -> Tensor:
        """What prompts say as a whole. Shape (p, coarse_width)."""
        return self._gist(self.text(tokens), tokens.filled)

    def reading(self) -> Iterator[nn.Parameter]:
        """The parameters that read prompts."""
        yield from self.text.parameters()
        yield from self.gist_in.parameters()

    def _gist(self, words: Tensor, filled: Tensor) -> Tensor:
        there = filled[..., None].to(words.dtype)
        return self.gist_in((words * there).sum(1) / there.sum(1).clamp(min=1))


class _Look(nn.Module):
    """Places look at the words, and at each other: which colour belongs to which thing, and where that is."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = ChannelNorm(width)
        self.place = nn.Linear(2, width)
        self.query = nn.Linear(width, width)
        self.word_keys = nn.Linear(width, 2 * width)
        self.place_keys = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, where: Tensor, words: Tensor, filled: Tensor) -> Tensor:
        """Shapes: (b, c, h, w), (2, h, w), (b, tokens, c), (b, tokens) -> (b, c, h, w)."""
        at = self.norm(x).flatten(2).mT + self.place(where.flatten(1).mT)
        keys, values = torch.cat([self.word_keys(words), self.place_keys(at)], 1).chunk(2, -1)
        known = F.pad(filled, (0, at.shape[1]), value=True)[:, None, None]
        parts = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query(at), keys, values))
        seen = F.scaled_dot_product_attention(*parts, attn_mask=known)
        return x + self.out(seen.transpose(1, 2).flatten(2)).mT.unflatten(2, x.shape[2:])
