"""Train the network that makes a world's sound: what is heard next, after what was done, said and heard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.omni.foley import Foley, word_bags
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.loop import fit
from inhabit.worldmodel.train.schedule import Average, Budget

BAGS_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class FoleyTraining:
    """How it is trained."""

    batch: int = 24
    """Walks a step."""

    frames: int = 96
    """Frames of each; those of shorter episodes are not learnt from."""

    rate: float = 1.5e-3
    """Peak learning rate."""

    warmup: int = 100
    """Steps to the peak."""

    average: float = 0.998
    """Decay of the averaged weights."""

    noisy_share: float = 0.7
    """Share of the walks whose past is noisy: in play it hears what it made itself."""

    noise: float = 0.4
    """Largest share of noise in it."""


class Score:
    """A recording as this network reads it: on every row what was done, what held, and what was heard.

    Args:
        heard: (n, latent) sound latents of all rows.
    """

    def __init__(self, footage: Footage, heard: Tensor, network: Foley, device: torch.device, *, frames: int):
        self.heard = heard.to(device)
        self.actions = torch.from_numpy(footage.actions).to(device)
        self.starts = torch.from_numpy(footage.windows(frames, held_out=False)).to(device)
        self.text: Tensor | None = None
        if network.config.text is not None:
            texts, config = footage.texts, network.config.text
            some = (word_bags(texts[at : at + BAGS_AT_ONCE], config) for at in range(0, len(texts), BAGS_AT_ONCE))
            self.bags = torch.cat(list(some)).to(device)
            of_row = footage.text_of if footage.text_of is not None else np.zeros(len(footage), np.int64)
            self.text = torch.from_numpy(of_row).to(device)

    def __len__(self) -> int:
        return len(self.starts)

    def draw(self, count: int, frames: int) -> Tensor:
        """Rows of some walks. Shape (count, frames)."""
        chosen = torch.randint(len(self.starts), (count,), device=self.starts.device)
        return self.starts[chosen, None] + torch.arange(frames, device=self.starts.device)

    def cues(self, network: Foley, rows: Tensor) -> Tensor:
        """What holds on rows. Shapes: (b, t) -> (b, t, cue_width)."""
        if self.text is None:
            return self.heard.new_zeros(*rows.shape, 0, dtype=torch.float32)
        texts, which = self.text[rows].unique(return_inverse=True)
        return network.cue(self.bags[texts])[which]


def train_foley(
    network: Foley,
    score: Score,
    budget: Budget,
    device: torch.device,
    config: FoleyTraining = FoleyTraining(),
    *,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None,
) -> Foley:
    """Train for the budget and return the averaged network."""
    network = network.to(device).train()
    average = Average(network, config.average)

    def lesson() -> Tensor:
        rows = score.draw(config.batch, config.frames)
        heard = score.heard[rows].float()
        before = torch.cat([torch.zeros_like(heard[:, :1]), heard[:, :-1]], 1)
        noisy = torch.rand(len(rows), 1, 1, device=device) < config.noisy_share
        share = config.noise * noisy * torch.rand(len(rows), 1, 1, device=device)
        before = torch.lerp(before, torch.randn_like(before), share)
        told, _ = network.listen(network.silence(len(rows)), before, score.actions[rows], score.cues(network, rows))
        # what is half noise teaches most: there it is decided which sound it will be
        tau = torch.randn(rows.shape, device=device).sigmoid()
        noise = torch.randn_like(heard)
        made = network.velocity(torch.lerp(noise, heard, tau[..., None]), tau, told)
        return (made - (heard - noise))[:, 1:].square().mean()

    fit(network, lesson, budget, device, rate=config.rate, warmup=config.warmup, average=average, on_step=on_step)
    return average.network.eval().requires_grad_(False)
