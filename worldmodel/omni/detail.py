"""The dynamics' convolutions: what reads and writes a frame latent by latent, before and after the transformer."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from inhabit.worldmodel.omni.autoencoder import Block as ConvBlock
from inhabit.worldmodel.omni.block import Block, DynamicsConfig, Painting
from inhabit.worldmodel.omni.motion import place_of
from inhabit.worldmodel.omni.norm import ChannelNorm

DETAIL_NOTES = 64
"""Channels in which the transformer tells the detail convolutions what happens at a latent."""


class NormedBlock(nn.Module):
    """A residual block that starts as the identity, does not care how large its input is, and is told of the frame.

    What a frame is told scales and shifts every channel (FiLM, arXiv 1709.07871): words that change a whole picture
    need not find their way through the transformer first.
    """

    def __init__(self, width: int, told: int):
        super().__init__()
        self.norm = ChannelNorm(width)
        self.told = nn.Linear(told, 2 * width)
        self.inner = nn.Conv2d(width, width, 3, padding=1)
        self.outer = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.told.weight)  # what is told changes nothing until it is known what it should change
        nn.init.zeros_(self.told.bias)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Shapes: (n, c, h, w), (n, told) -> (n, c, h, w)."""
        scale, shift = self.told(told)[..., None, None].chunk(2, 1)
        h = self.norm(x) * (1 + scale) + shift
        return x + self.outer(nn.functional.silu(self.inner(h)))


def residual_blocks(config: DynamicsConfig, count: int) -> nn.ModuleList:
    """Normed blocks, or those of older packs, which are told nothing."""
    width, told = config.detail_width, config.transformer.width
    return nn.ModuleList(NormedBlock(width, told) if config.normed else ConvBlock(width) for _ in range(count))


def through(blocks: Iterable[nn.Module], x: Tensor, told: Tensor) -> Tensor:
    """Shapes: (n, c, h, w), (n, told) -> (n, c, h, w)."""
    for block in blocks:
        x = block(x, told) if isinstance(block, NormedBlock) else block(x)
    return x


class Stem(nn.Module):
    """Read the noised frame and the frame before it latent by latent, before whole patches become tokens."""

    def __init__(self, config: DynamicsConfig):
        super().__init__()
        width, pictures = config.detail_width, 2 + config.earlier
        pictures += (config.motion is not None) + (config.recall is not None)
        known = 2 + (config.recall is not None)
        self.grid = config.grid
        self.join = nn.Conv2d(pictures * config.latent_channels + known, width, 3, padding=1)
        self.blocks = residual_blocks(config, config.detail_blocks[0])
        self.norm = ChannelNorm(width) if config.normed else nn.Identity()

    def forward(self, block: Block, told: Tensor) -> Tensor:
        """Shapes: (b, t, 1, d) -> (b, t, detail_width, h, w)."""
        # convolutions do not know where they are, and turning the view moves its edges twice as far as its middle
        shape = block.noised.shape[:2]
        pictures = [block.noised, block.previous, block.earlier, block.carried, block.recalled]
        pictures = [picture for picture in pictures if picture is not None]
        place = place_of(block.noised, self.grid).expand(*shape, -1, -1, -1)
        both = torch.cat([*pictures, place], dim=2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return self.norm(through(self.blocks, self.join(both), told.flatten(0, 2))).unflatten(0, shape)


class Detail(nn.Module):
    """Write the frame: what the transformer decided for each place, carried out on the frame before.

    A token that stands for hundreds of numbers passes a transformer of this size only in outline: the common survives,
    and a monster of ten pixels is gone within a frame. So the transformer only notes what happens where, and
    convolutions at full resolution do it: each place begins as what it was, as what motion carried there, or as what
    is remembered of it, and they write what changes.
    """

    def __init__(self, config: DynamicsConfig):
        super().__init__()
        width, channels = config.detail_width, config.latent_channels
        self.keeps = config.keeps
        self.join = nn.Conv2d(DETAIL_NOTES + width, width, 3, padding=1)
        (self.first,) = residual_blocks(config, 1)
        self.begin_norm = ChannelNorm(width) if config.normed else nn.Identity()
        self.norm = ChannelNorm(width) if config.normed else nn.Identity()
        if config.motion:
            # in newer packs the last choice is nothing: what was there may say nothing of what will be
            self.choice = nn.Conv2d(width, 2 + (config.recall is not None) + config.normed, 1)
            nn.init.zeros_(self.choice.weight)
            assert self.choice.bias is not None
            with torch.no_grad():  # at first everything is where motion carried it, or nearly
                self.choice.bias.copy_(torch.tensor([0.0, 3.0, 0.0, 0.0])[: len(self.choice.bias)])
        if config.keeps:
            self.pays = nn.Conv2d(width, 1, 3, padding=1)
        if config.chance:
            self.sight_gate = nn.Conv2d(width + channels + 1, 1, 3, padding=1)
            assert self.sight_gate.bias is not None
            nn.init.constant_(self.sight_gate.bias, -2.0)
        self.begin_in = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = residual_blocks(config, config.detail_blocks[1] - 1)
        self.out = nn.Conv2d(width, channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, notes: Tensor, seen: Tensor, block: Block, told: Tensor, sight: Tensor | None = None) -> Painting:
        """Shapes: (b, t, DETAIL_NOTES, h, w), (b, t, detail_width, h, w), (b, t, 1, d), (b, t, c + 1, h, w)."""
        told = told.flatten(0, 2)
        both = torch.cat([notes, seen.to(notes.dtype)], dim=2).flatten(0, 1)
        h = self.join(both.contiguous(memory_format=torch.channels_last))
        h = through([self.first], h, told)
        normed = self.begin_norm(h)
        begin, kept = self._begin(normed, block)
        if sight is not None:
            begin = self._sighted(begin, normed, sight.flatten(0, 1))
        h = h + self.begin_in(begin.contiguous(memory_format=torch.channels_last))
        h = self.norm(through(self.blocks, h, told))
        with torch.autocast(notes.device.type, enabled=False):  # the last layer stays fp32: it sets the picture
            change = self.out(nn.functional.silu(h.float()))
            painted = (begin.float() + change).unflatten(0, notes.shape[:2])
            if not self.keeps:
                return Painting(painted=painted)
            pays = self.pays(nn.functional.silu(h.float()))[:, 0]
        size = notes.shape[:2]
        return Painting(painted=painted, kept=kept.float().unflatten(0, size), pays=pays.unflatten(0, size))

    def _sighted(self, begin: Tensor, h: Tensor, sight: Tensor) -> Tensor:
        """What each place begins as where dice show an object: that, as far as nothing better is known."""
        gate = self.sight_gate(torch.cat([h, sight.to(h.dtype)], 1)).float().sigmoid() * sight[:, -1:]
        return begin + gate * (sight[:, :-1] - begin)

    def _begin(self, h: Tensor, block: Block) -> tuple[Tensor, Tensor]:
        """What each place begins as, a mixture of pictures and nothing, and the likeliest picture: (b * t, c, h, w)."""
        begin = block.previous.flatten(0, 1)
        if block.carried is None:
            return begin, begin
        share = self.choice(h).float()
        pictures = [begin, block.carried.flatten(0, 1)]
        if block.recalled is not None:
            pictures.append(block.recalled[:, :, :-1].flatten(0, 1))
            unknown = block.recalled[:, :, -1].flatten(0, 1) < 0.5
            share = torch.cat([share[:, :2], share[:, 2:3].masked_fill(unknown[:, None], -1e4), share[:, 3:]], 1)
        shown, count = torch.stack(pictures, 1), len(pictures)
        likeliest = nn.functional.one_hot(share[:, :count].argmax(1), count).movedim(-1, 1).to(shown.dtype)
        begin = (shown * share.softmax(1)[:, :count, None]).sum(1)
        return begin, (shown * likeliest[:, :, None]).sum(1)
