"""Train the network that makes a world's sound: what is heard next, after what was done, said and heard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.omni.foley import Foley, word_bags
from inhabit.worldmodel.omni.text import TextConfig
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
    """What this network learns from: on every row what was done, what held, and what was heard.

    Args:
        actions: (n, a) what led to each row.
        heard: (n, latent) sound latents.
        starts: rows from which an episode goes on for as long as a walk is.
        texts: all that was said.
        text_of: (n,) which of it holds.
    """

    def __init__(
        self,
        actions: np.ndarray,
        heard: Tensor,
        starts: np.ndarray,
        texts: Sequence[str],
        text_of: np.ndarray,
        *,
        text: TextConfig | None,
        device: torch.device,
    ):
        self.heard, self.actions = heard.to(device), torch.from_numpy(actions).to(device)
        self.starts, self.text_of = torch.from_numpy(starts).to(device), torch.from_numpy(text_of).to(device)
        self.bags: Tensor | None = None
        if text is not None:
            some = (word_bags(texts[at : at + BAGS_AT_ONCE], text) for at in range(0, len(texts), BAGS_AT_ONCE))
            self.bags = torch.cat(list(some)).to(device)

    @classmethod
    def of(
        cls, footage: Footage, heard: Tensor, text: TextConfig | None, device: torch.device, *, frames: int
    ) -> Score:
        """A recording's. `heard` are the sound latents of all its rows, `frames` the length of a walk."""
        text_of = np.zeros(len(footage), np.int64) if footage.text_of is None else footage.text_of
        starts = footage.windows(frames, held_out=False)
        return cls(footage.actions, heard, starts, footage.texts, text_of, text=text, device=device)

    def __len__(self) -> int:
        return len(self.starts)

    def draw(self, count: int, frames: int) -> Tensor:
        """Rows of some walks. Shape (count, frames)."""
        chosen = torch.randint(len(self.starts), (count,), device=self.starts.device)
        return self.starts[chosen, None] + torch.arange(frames, device=self.starts.device)

    def cues(self, network: Foley, rows: Tensor) -> Tensor:
        """What holds on rows. Shapes: (b, t) -> (b, t, cue_width)."""
        if self.bags is None:
            return self.heard.new_zeros(*rows.shape, 0, dtype=torch.float32)
        texts, which = self.text_of[rows].unique(return_inverse=True)
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
