"""Teach a layout what stands in pictures, what prompts want, and how large things are."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.omni.layout import Layout
from inhabit.worldmodel.train.loop import fit
from inhabit.worldmodel.train.schedule import Budget


@dataclass(frozen=True, kw_only=True, slots=True)
class LayoutTraining:
    """How it is trained."""

    batch: int = 32
    """Pictures a step."""

    rate: float = 2e-3
    """Peak learning rate."""

    warmup: int = 100
    """Steps to the peak."""

    steps: int = 0
    """Steps after which it ends whatever time is left; 0 for no bound."""

    noise: float = 0.2
    """Largest share of noise in a picture: what dreams show is never quite what was learnt from."""

    count_weight: float = 0.1
    """Weight of how many there are."""

    pitch_weight: float = 10.0
    """Weight of how far one looks up."""

    word_steps: int = 3000
    """Steps in which only prompts are read, before everything else."""

    word_rate: float = 2e-3
    """Their peak learning rate."""

    sayings: int = 128
    """Prompts in each of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenery:
    """What pictures show, n of them."""

    latents: Tensor
    """(n, c, h, w) float16."""
    stands: Tensor
    """(n, kinds + 1, h, w) bool; see omni.layout.Seen."""
    count: Tensor
    """(n, kinds) int64."""
    pitch: Tensor
    """(n,) rad."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """Prompts, p of them, and what they want."""

    texts: Sequence[str]
    wanted: Tensor
    """(p, kinds) int64: how many of each, -1 where a prompt does not say it."""


def train_layout(
    layout: Layout,
    scenery: Scenery,
    wishes: Wishes,
    budget: Budget,
    device: torch.device,
    config: LayoutTraining = LayoutTraining(),
    *,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None,
) -> Layout:
    """Train for the budget; boxes stay as they are."""
    layout = layout.to(device).train()
    most = layout.count.out_features // len(layout.config.kinds) - 1

    def saying() -> Tensor:
        row = torch.randint(len(wishes.texts), (config.sayings,))
        told = layout.read([wishes.texts[index] for index in row.tolist()])
        return F.cross_entropy(told.flatten(0, 1), (wishes.wanted[row] + 1).to(device).flatten())

    def lesson() -> Tensor:
        row = torch.randint(len(scenery.latents), (config.batch,))
        latents, stands = scenery.latents[row].to(device).float(), scenery.stands[row].to(device).float()
        share = config.noise * torch.rand(len(row), 1, 1, 1, device=device)
        seen = layout(latents * (1 - share) + torch.randn_like(latents) * share)
        loss = F.binary_cross_entropy_with_logits(seen.stands, stands)
        counts = scenery.count[row].to(device).clamp(max=most).flatten()
        loss = loss + config.count_weight * F.cross_entropy(seen.count.flatten(0, 1), counts)
        return loss + config.pitch_weight * (seen.pitch - scenery.pitch[row].to(device)).square().mean()

    alone = Budget(seconds=math.inf)
    fit(layout.words, saying, alone, device, rate=config.word_rate, warmup=config.warmup, most_steps=config.word_steps)
    fit(
        layout, lesson, budget, device, rate=config.rate, warmup=config.warmup, most_steps=config.steps, on_step=on_step
    )
    return layout.eval().requires_grad_(False)


def sized(layout: Layout, boxes: Tensor) -> None:
    """Choose from things that were seen the sizes and distances that are known of each kind.

    Args:
        boxes: (m, 4) kind, top, bottom, width, in focal lengths from the horizon.
    """
    for kind, name in enumerate(layout.config.kinds):
        mine = boxes[boxes[:, 0] == kind, 1:]
        if not len(mine):
            raise ValueError(f"Expected a {name} that is whole in view, got none")
        chosen = torch.linspace(0, len(mine) - 1, layout.config.boxes).long()
        layout.boxes[kind] = mine[chosen]


@torch.inference_mode()
def measure_layout(layout: Layout, scenery: Scenery, wishes: Wishes) -> dict[str, float]:
    """How well it does on what it has not learnt from: shares of the cells that something stands in that it finds, and
    of those that it names that are right; of kinds whose number in view is right; the mean error of the pitch in
    degrees; and the share of prompts that are understood."""
    parts = [layout(some.float()) for some in scenery.latents.split(64)]
    stands = torch.cat([part.stands for part in parts]) > 0
    count = torch.cat([part.count for part in parts]).argmax(2)
    pitch = torch.cat([part.pitch for part in parts])
    right = float((stands & scenery.stands).sum())
    wanted = layout.read(wishes.texts).argmax(2) - 1
    return {
        "recall": right / max(1.0, float(scenery.stands.sum())),
        "precision": right / max(1.0, float(stands.sum())),
        "count": float((count == scenery.count).float().mean()),
        "pitch": math.degrees(float((pitch - scenery.pitch).abs().mean())),
        "words": float((wanted == wishes.wanted).all(1).float().mean()),
    }
