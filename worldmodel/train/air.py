"""Teach a world what falls in it: from pictures with it and the same without."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.omni.air import Air
from inhabit.worldmodel.omni.autoencoder import to_float
from inhabit.worldmodel.train.loop import fit
from inhabit.worldmodel.train.schedule import Budget

BLENDED = 16
"""Frames in which a film's end becomes its beginning."""

SPOT = 8
"""Pixels along a side of what does so at once: flakes go one by one, and never all of them are dim."""

LEAST_DARKER = 0.02
"""Where the world is as bright as what falls before it, nobody sees how much that covers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AirTraining:
    """How it is trained."""

    batch: int = 16
    """Pictures a step."""

    rate: float = 2e-3
    """Peak learning rate."""

    warmup: int = 100
    """Steps to the peak."""

    steps: int = 0
    """Steps after which it ends whatever time is left; 0 for no bound."""

    square_weight: float = 10.0
    """Weight of squares of errors beside their sizes: what is rare is not there, by their sizes alone."""

    falls_weight: float = 0.02
    """Weight of how much falls."""

    colour_weight: float = 0.2
    """Weight of what colour it has."""

    word_steps: int = 3000
    """Steps in which only what words say of it is learnt, before everything else."""

    word_rate: float = 2e-3
    """Their peak learning rate."""

    sayings: int = 128
    """Prompts in each of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Weather:
    """Pictures with what falls and without, n of them."""

    seen: Tensor
    """(n, h, w, 3) uint8."""
    behind: Tensor
    """(n, h, w, 3) uint8 the same without."""
    amount: Tensor
    """(n, kinds) 0 to 1, how much of each falls."""
    colour: Tensor
    """(n, kinds, 3) -1 to 1, which colour it has, or would have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sayings:
    """Prompts, p of them, and what they say of what falls."""

    texts: Sequence[str]
    speaks: Tensor
    """(p,) 0 or 1, whether they speak of it."""
    amount: Tensor
    """(p, kinds) 0 to 1; means nothing where they do not."""


def train_air(
    air: Air,
    weather: Weather,
    sayings: Sayings,
    budget: Budget,
    device: torch.device,
    config: AirTraining = AirTraining(),
    *,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None,
) -> Air:
    """Train for the budget; films stay as they are."""
    air = air.to(device).train()

    def saying() -> Tensor:
        row = torch.randint(len(sayings.texts), (config.sayings,))
        speaks, amount = sayings.speaks[row].to(device), sayings.amount[row].to(device)
        told = air.read([sayings.texts[index] for index in row.tolist()])
        each = F.binary_cross_entropy_with_logits(told[:, 1:], amount, reduction="none").mean(1)
        each = (each * speaks).sum() / speaks.sum().clamp(min=1)
        return F.binary_cross_entropy_with_logits(told[:, 0], speaks) + each

    def lesson() -> Tensor:
        row = torch.randint(len(weather.seen), (config.batch,))
        seen, behind = (to_float(part[row].to(device)) for part in (weather.seen, weather.behind))
        amount, colour = weather.amount[row].to(device), weather.colour[row].to(device)
        made, falls = air(seen)
        off = made - behind
        loss = off.abs().mean() + config.square_weight * off.square().mean()
        loss = loss + config.falls_weight * F.binary_cross_entropy_with_logits(falls, amount)
        return loss + config.colour_weight * (air.tint(behind) - colour).square().mean()

    alone = Budget(seconds=math.inf)
    fit(air.words, saying, alone, device, rate=config.word_rate, warmup=config.warmup, most_steps=config.word_steps)
    fit(air, lesson, budget, device, rate=config.rate, warmup=config.warmup, most_steps=config.steps, on_step=on_step)
    return air.eval().requires_grad_(False)


@torch.inference_mode()
def measure_air(air: Air, weather: Weather, sayings: Sayings) -> dict[str, float]:
    """How well it does on what it has not learnt from: mean differences of pixels with what falls and without it, of
    0 to 255; of amounts and colours, 0 to 1; and the share of prompts that are understood."""
    behind, seen = to_float(weather.behind), to_float(weather.seen)
    falling = weather.amount.amax(1) > 0
    parts = [air(some) for some in seen.split(32)]
    made, falls = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts]).sigmoid()
    amount = air.told(sayings.texts, torch.full_like(sayings.amount, -1.0))
    heard = torch.where(sayings.speaks[:, None] > 0, sayings.amount, -1.0)
    return {
        "seen": float((seen - behind)[falling].abs().mean() * 127.5),
        "left": float((made - behind)[falling].abs().mean() * 127.5),
        "harm": float((made - behind)[~falling].abs().mean() * 127.5),
        "amount": float((falls - weather.amount).abs().mean()),
        "colour": float((air.tint(behind) - weather.colour).abs().mean() / 2),
        "words": float(((amount - heard).abs().amax(1) < 0.25).float().mean()),
    }


def film_of(seen: Tensor, behind: Tensor, colour: Tensor, frames: int) -> Tensor:
    """A film without an end of what falls before an eye that stands still.

    Of all stretches of that length, the one whose end looks most like its beginning; in its last frames what comes
    before the beginning is blended in.

    Args:
        seen: (t, h, w, 3) uint8 with what falls, t well beyond `frames`.
        behind: (t, h, w, 3) uint8 the same without.
        colour: (3,) -1 to 1, of what falls.

    Returns:
        (frames, h, w) uint8: how much of each pixel it covers.
    """
    with_it, without = to_float(seen), to_float(behind)
    way = colour[None, :, None, None] - without
    covers = ((with_it - without) * way).sum(1) / way.square().sum(1).clamp(min=LEAST_DARKER)
    covers = covers.clamp(0, 1)
    starts = range(BLENDED, len(covers) - frames + 1)
    if not starts:
        raise ValueError(f"Expected more than {frames + BLENDED} frames, got {len(covers)}")
    before = slice(-BLENDED, None)

    def seam(start: int) -> float:
        return float((covers[start : start + frames][before] - covers[start - BLENDED : start]).abs().mean())

    start = min(starts, key=seam)
    film = covers[start : start + frames].clone()
    rows, columns = film.shape[1:]
    turn = torch.rand(1, 1, -(-rows // SPOT), -(-columns // SPOT), generator=torch.Generator().manual_seed(0))
    turn = F.interpolate(turn, size=(rows, columns))[0]
    share = torch.linspace(0, 1, BLENDED + 2)[1:-1, None, None]
    film[before] = torch.where(share > turn, covers[start - BLENDED : start], film[before])
    return (film * 255).round().to(torch.uint8)
