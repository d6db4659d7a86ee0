"""Train the edit on pairs of moments: before and after words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from inhabit.worldmodel.omni.edit import Edit
from inhabit.worldmodel.omni.text import Tokens
from inhabit.worldmodel.train.latents import Latents
from inhabit.worldmodel.train.loop import fit
from inhabit.worldmodel.train.readback import Readback
from inhabit.worldmodel.train.schedule import Average, Budget, precision


@dataclass(frozen=True, kw_only=True, slots=True)
class EditTraining:
    """How the edit is trained."""

    batch: int = 48
    """Pairs a step."""

    rate: float = 2e-3
    """Peak learning rate."""

    warmup: int = 200
    """Steps to the peak."""

    average: float = 0.999
    """Decay of the averaged weights."""

    carried_share: float = 0.5
    """Share of the pictures that motion has carried, as all that one sees in a dream."""

    noise: float = 0.15
    """Largest share of noise in a picture: what dreams show is never quite what was learnt from."""

    settled_share: float = 0.1
    """Share of the pictures that show already what is said."""

    object_gain: float = 2.0
    """Extra weight of latents under objects."""

    tolerance: float = 0.1
    """Errors of a latent count by their square up to about this, and by their size beyond it."""

    cut_share: float = 0.1
    """Share of the steps that show only the middle of the pictures."""

    reading_steps: int = 800
    """Steps in which only words are learnt, before everything else."""


class Pairs:
    """Moments before and after words.

    Args:
        allowed: (n,) bool: rows to learn from.
    """

    def __init__(self, data: Latents, allowed: Tensor):
        assert data.prompts is not None
        assert data.prompt is not None
        assert data.carried is not None
        self.data, self.prompts, self._prompt, self._carried = data, data.prompts, data.prompt, data.carried
        row = torch.arange(len(data.z), device=data.z.device)
        after = torch.where(data.next_stage >= 0, data.next_stage, -1) if data.next_stage is not None else row * 0 - 1
        before = (row - 1).clamp(min=0)
        said = (data.prompt != data.prompt[before]) & ~data.first
        staged, spoken = (allowed & (after >= 0)).nonzero()[:, 0], (allowed & said).nonzero()[:, 0]
        if len(staged):  # they show the same moment; elsewhere motion tells it, and what changes may take its time
            spoken = spoken[:0]
        self.before = torch.cat([staged, spoken])
        self.after = torch.cat([after[staged], spoken])
        self.same = torch.cat([torch.ones_like(staged), torch.zeros_like(spoken)]).bool()

    def __len__(self) -> int:
        return len(self.before)

    def draw(self, count: int, config: EditTraining) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pictures, (b, c, h, w), what becomes of them, their prompts' numbers, (b,), and where objects are then,
        (b, h, w)."""
        data, device = self.data, self.before.device
        chosen = torch.randint(len(self), (count,), device=device)
        before, after, same = self.before[chosen], self.after[chosen], self.same[chosen]
        settled = torch.rand(count, device=device) < config.settled_share
        row = torch.where(settled, after, before)
        moved = (~same & ~settled) | (torch.rand(count, device=device) < config.carried_share)
        moved &= ~data.first[row]
        seen = torch.where(moved[:, None, None, None], self._carried[row], data.z[row]).float()
        share = config.noise * torch.rand(count, device=device)[:, None, None, None]
        seen = seen * (1 - share) + torch.randn_like(seen) * share
        return seen, data.z[after].float(), self._prompt[after], data.care[after].float()


def train_edit(
    network: Edit,
    pairs: Pairs,
    budget: Budget,
    device: torch.device,
    config: EditTraining = EditTraining(),
    *,
    fresh: bool = True,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None,
) -> Edit:
    """Train for the budget and return the averaged network.

    Args:
        fresh: whether it has yet to learn what words are.
    """
    network = network.to(device).train()
    readback = Readback(pairs.prompts, network.config.coarse_width)
    if fresh and readback.useful:
        readback.to(device).teach(network, config.reading_steps, encoder=True)
    readback.requires_grad_(False)
    average = Average(network, config.average)

    def lesson() -> Tensor:
        seen, right, said, care = pairs.draw(config.batch, config)
        if torch.rand(()) < config.cut_share:
            rows, columns = (int(torch.randint((side + 1) // 2, side + 1, ())) for side in right.shape[-2:])
            top, left = (right.shape[-2] - rows) // 2, (right.shape[-1] - columns) // 2
            view = (..., slice(top, top + rows), slice(left, left + columns))
            seen, right, care = seen[view], right[view], care[view]
        tokens = Tokens(triples=pairs.prompts.triples[said], filled=pairs.prompts.filled[said])
        with precision(device):
            made = network(seen, tokens)
        weight = 1 + config.object_gain * care
        off = ((made - right).square().mean(1) + config.tolerance**2).sqrt() - config.tolerance
        loss = (off * weight).sum() / weight.sum()
        if readback.useful:
            loss = loss + 0.05 * readback(network, 16)
        return loss

    fit(network, lesson, budget, device, rate=config.rate, warmup=config.warmup, average=average, on_step=on_step)
    return average.network.eval().requires_grad_(False)
