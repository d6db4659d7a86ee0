"""Foley: the sound of a frame, made from what is done, what words say, and what was heard until now.

The transformer's sound token is a guess in one to four passes, and of what may be heard in the next sixteenth of a
second it says the mean: a hiss in which no step can be told from any other. So in play the sound comes from a network
of its own that knows nothing else. A recurrent layer keeps count (how far one has walked since the last step, how long
ago something was thrown), and a small network turns noise into one of the sounds that may come now, by flow matching
frame after frame (as Li et al. 2024, arXiv 2406.11838, do for the tokens of a picture). It does not see the picture,
but it may feel how one moves, and where what one threw flies. How far one has walked it need not count itself: it is
told at which part of a stride one is, and only has to remember at which one was heard to tread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.bridge.errors import WorldError
from inhabit.worldmodel.omni.text import TextConfig, tokenise

GOES, TURNS = 16.0, 10.0
"""What one goes in a frame, in units, and turns, in rad, is felt so many times as large."""

LEAST_GOES, ALOFT = 0.2, 0.12
"""Who goes by less than this in a frame, as it is felt, stands still; who rises or sinks by more is in the air."""

PACES = 3
"""Pairs of waves that tell at which part of a stride one is."""

WAVES = 16
"""Pairs of waves that tell how much of a sound is still noise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoleyConfig:
    """The network's sizes."""

    latent: int = 32
    """Numbers that stand for a frame's sound, as the sound codec has it."""

    actions: int = 6
    """Numbers of an action."""

    senses: int = 0
    """Numbers that tell how one moves, see felt(): POSE, and FELT more where something may be thrown; 0 are none."""

    paced: bool = False
    """Whether it is told at which part of a stride one is."""

    text: TextConfig | None = None
    """How prompts are cut into words; None for a world without."""

    width: int = 256
    """Features of the recurrent layer."""

    head_width: int = 192
    """Features of the network that turns noise into sound."""

    head_blocks: int = 2
    """Residual blocks of that."""

    steps: int = 8
    """Steps from noise to sound."""


class Foley(nn.Module):
    """What is heard next."""

    stride: Tensor

    def __init__(self, config: FoleyConfig):
        super().__init__()
        self.config = config
        width, head = config.width, config.head_width
        self.enter = nn.Linear(config.latent + config.actions + config.senses + 2 * PACES * config.paced, width)
        if config.paced:
            self.register_buffer("stride", torch.ones(()))
        if config.text:
            self.words = nn.Sequential(nn.Linear(config.text.buckets, width), nn.SiLU(), nn.Linear(width, width))
        self.memory = nn.GRU(width, width, batch_first=True)
        self.told = nn.Linear(2 * width, head)
        self.level = nn.Sequential(nn.Linear(2 * WAVES, head), nn.SiLU(), nn.Linear(head, head))
        self.noised = nn.Linear(config.latent, head)
        self.blocks = nn.ModuleList(_Told(head) for _ in range(config.head_blocks))
        self.last = nn.Linear(head, 2 * head)
        self.out = nn.Linear(head, config.latent)
        for layer in (self.last, self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @property
    def cue_width(self) -> int:
        """Features of a prompt as this network reads it; 0 in a world without words."""
        return self.config.width if self.config.text else 0

    def read(self, prompts: Sequence[str]) -> Tensor:
        """Prompts as this network reads them. Shape (p, cue_width)."""
        if self.config.text is None:
            return self.enter.weight.new_zeros(len(prompts), 0)
        return self.cue(word_bags(prompts, self.config.text).to(self.enter.weight.device))

    def cue(self, bags: Tensor) -> Tensor:
        """Shapes: (p, buckets) from word_bags() -> (p, cue_width)."""
        return self.words(bags.to(self.enter.weight.dtype))

    @property
    def memory_width(self) -> int:
        """Numbers that a session's memory has: the recurrent layer's, and where one is in a stride."""
        return self.config.width + self.config.paced

    def silence(self, b: int) -> Tensor:
        """The memory of sessions that have heard nothing. Shape (b, memory_width)."""
        return self.enter.weight.new_zeros(b, self.memory_width)

    def feeling(self, senses: int, stride: float = 0.0) -> Foley:
        """The same network, which may learn to heed what it has not been told yet.

        Args:
            senses: so many numbers.
            stride: how far one goes, as it is felt, from one tread to the next; 0 to be told nothing of it.
        """
        if senses < self.config.senses:
            raise WorldError(f"Expected at least the {self.config.senses} senses that it has, got {senses}")
        paced = self.config.paced or stride > 0
        more, named = Foley(replace(self.config, senses=senses, paced=paced)), self.state_dict()
        plain = self.config.latent + self.config.actions + self.config.senses
        known, paces = named["enter.weight"].tensor_split([plain], 1)
        paces = F.pad(paces, (0, 2 * PACES * paced - paces.shape[1]))
        named["enter.weight"] = torch.cat([F.pad(known, (0, senses - self.config.senses)), paces], 1)
        if paced:
            named["stride"] = torch.tensor(stride or float(self.stride))
        more.load_state_dict(named)
        return more

    def listen(
        self, memory: Tensor, before: Tensor, actions: Tensor, senses: Tensor, cue: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Count on.

        Args:
            memory: (b, memory_width).
            before: (b, t, latent) what was heard in the frame before each.
            actions: (b, t, a) what leads to each.
            senses: (b, t, senses) what is felt in each.
            cue: (b, t, cue_width) what holds there.

        Returns:
            (b, t, head_width) what make() needs to know of each frame, and the memory after the last one.
        """
        memory, pace = memory.split([self.config.width, memory.shape[1] - self.config.width], 1)
        told = [before, actions, senses]
        if self.config.paced:
            phase = pace + (walked(senses) / self.stride).cumsum(1)
            pace = phase[:, -1:] % 1
            angles = (2 * math.pi * phase)[..., None] * torch.arange(1, PACES + 1, device=phase.device)
            told += [angles.sin(), angles.cos()]
        seen = self.enter(torch.cat(told, -1))
        if self.config.text:
            seen = seen + cue
        counted, after = self.memory(seen, memory.contiguous()[None])
        return self.told(torch.cat([counted, seen], -1)), torch.cat([after[0], pace], 1)

    def velocity(self, noised: Tensor, tau: Tensor, told: Tensor) -> Tensor:
        """Which way to the sound. Shapes: (..., latent), (...), (..., head_width) -> (..., latent)."""
        waves = torch.linspace(0, 5, WAVES, device=tau.device).exp() * math.pi * tau[..., None]
        told = F.silu(told + self.level(torch.cat([waves.sin(), waves.cos()], -1)))
        x = self.noised(noised)
        for block in self.blocks:
            x = block(x, told)
        scale, shift = self.last(told).chunk(2, -1)
        return self.out(F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift)

    def make(self, noise: Tensor, told: Tensor) -> Tensor:
        """Sound from noise. Shapes: (..., latent), (..., head_width) -> (..., latent)."""
        for step in range(self.config.steps):
            tau = torch.full(noise.shape[:-1], step / self.config.steps, device=noise.device)
            noise = noise + self.velocity(noise, tau, told) / self.config.steps
        return noise

    def step(
        self, memory: Tensor, before: Tensor, action: Tensor, senses: Tensor, cue: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One frame further.

        Args:
            memory: (b, memory_width).
            before: (b, latent) what was heard last.
            action: (b, a).
            senses: (b, senses).
            cue: (b, cue_width).
            noise: (b, latent).

        Returns:
            The frame's sound, (b, latent), and the memory after it.
        """
        told, after = self.listen(memory, before[:, None], action[:, None], senses[:, None], cue[:, None])
        return self.make(noise, told[:, 0]), after


class _Told(nn.Module):
    """A residual block whose scale, shift and gate are told. Starts as the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.told = nn.Linear(width, 3 * width)
        self.inner = nn.Linear(width, 2 * width)
        self.outer = nn.Linear(2 * width, width)
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Shapes: (..., width) twice -> (..., width)."""
        scale, shift, gate = self.told(told).chunk(3, -1)
        y = F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift
        return x + gate * self.outer(F.silu(self.inner(y)))


def felt(travel: Tensor, unit: Tensor | float) -> Tensor:
    """What is felt of a travel. Shapes: (..., 5) of memory.pose, and what is walked in about a second -> (..., 5)."""
    return torch.cat([travel[..., :3] * (GOES / unit), travel[..., 3:] * TURNS], -1)


def walked(senses: Tensor) -> Tensor:
    """How far one goes on the ground, as it is felt. Shapes: (..., senses) -> (...)."""
    right, up, forward = senses[..., :3].unbind(-1)
    went = torch.hypot(right, forward)
    return torch.where((went >= LEAST_GOES) & (up.abs() <= ALOFT), went, 0.0)


def word_bags(prompts: Sequence[str], config: TextConfig) -> Tensor:
    """Which letter triples prompts have, in whatever order. Shape (p, buckets) uint8, 0 and 1."""
    triples = tokenise(prompts, config).triples.flatten(1)
    bags = torch.zeros(len(prompts), config.buckets, dtype=torch.uint8)
    bags.scatter_(1, triples, 1)
    bags[:, 0] = 0  # stands for none
    return bags
