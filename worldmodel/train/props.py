"""Teach a world what stands in pictures and what prompts want, and choose its cut-outs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.memory.compact import to_bytes
from inhabit.worldmodel.memory.props import MOST, Props
from inhabit.worldmodel.memory.vistas import LEAST_LOOK, MOST_LOOK
from inhabit.worldmodel.omni.text import Tokens, tokenise
from inhabit.worldmodel.train.loop import fit
from inhabit.worldmodel.train.schedule import Budget


@dataclass(frozen=True, kw_only=True, slots=True)
class PropsTraining:
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

    word_steps: int = 6000
    """Steps in which prompts are read."""

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
    """(n, kinds + 1, h, w) bool; see memory.props.Seen."""
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
    colour: Tensor
    """(p, kinds) int64: in which colour, likewise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CutOuts:
    """Things, m of them, as they were seen."""

    pictures: Tensor
    """(m, 4, side, side) uint8: colours, and how much of each pixel they cover."""
    facts: Tensor
    """(m, 5) float32 kind, colour, top, bottom, width, the last three in focal lengths from the horizon."""
    places: Tensor
    """(m, features) float32: what the place looked like; see memory.vistas.Vistas.usual()."""


def learn_words(props: Props, wishes: Wishes, device: torch.device, config: PropsTraining = PropsTraining()) -> Props:
    """Learn to read prompts."""
    props = props.to(device).train()
    tokens = tokenise(wishes.texts, props.config.text)
    triples = tokens.triples.short()

    def saying() -> Tensor:
        row = torch.randint(len(wishes.texts), (config.sayings,))
        heard = props.hear(Tokens(triples=triples[row].long(), filled=tokens.filled[row]).to(device))
        count, colour = ((part[row] + 1).to(device).flatten() for part in (wishes.wanted, wishes.colour))
        told = F.cross_entropy(heard.count.flatten(0, 1), count)
        return told + F.cross_entropy(heard.colour.flatten(0, 1), colour)

    alone = Budget(seconds=math.inf)
    fit(props.words, saying, alone, device, rate=config.word_rate, warmup=config.warmup, most_steps=config.word_steps)
    return props


def train_props(
    props: Props,
    scenery: Scenery,
    budget: Budget,
    device: torch.device,
    config: PropsTraining = PropsTraining(),
    *,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None,
) -> Props:
    """Learn for the budget what stands in pictures; cut-outs and words stay as they are."""
    props = props.to(device).train()
    props.words.requires_grad_(False)

    def lesson() -> Tensor:
        row = torch.randint(len(scenery.latents), (config.batch,))
        latents, stands = scenery.latents[row].to(device).float(), scenery.stands[row].to(device).float()
        share = config.noise * torch.rand(len(row), 1, 1, 1, device=device)
        seen = props(latents * (1 - share) + torch.randn_like(latents) * share)
        loss = F.binary_cross_entropy_with_logits(seen.stands, stands)
        counts = scenery.count[row].to(device).clamp(max=MOST).flatten()
        loss = loss + config.count_weight * F.cross_entropy(seen.count.flatten(0, 1), counts)
        return loss + config.pitch_weight * (seen.pitch - scenery.pitch[row].to(device)).square().mean()

    fit(props, lesson, budget, device, rate=config.rate, warmup=config.warmup, most_steps=config.steps, on_step=on_step)
    return props.eval().requires_grad_(False)


def collect(props: Props, seen: CutOuts) -> None:
    """Choose the world's cut-outs, of each kind in each colour as many as there are, or as many as of any other.

    Raises ValueError where fewer were seen than are wanted.
    """
    wanted = props.config.pictures
    if len(seen.facts) < wanted:
        raise ValueError(f"Expected {wanted} things that are whole in view, got {len(seen.facts)}")
    group = seen.facts[:, 0] * (len(props.config.colours) + 1) + seen.facts[:, 1]
    nth = torch.zeros(len(group))
    for one in group.unique():
        mine = (group == one).nonzero()[:, 0]
        nth[mine] = torch.arange(len(mine)).float()
    chosen = nth.argsort(stable=True)[:wanted]
    props.pictures.copy_(seen.pictures[chosen])
    props.kind.copy_(seen.facts[chosen, 0])
    props.colour.copy_(seen.facts[chosen, 1])
    props.box.copy_(seen.facts[chosen, 2:])
    props.place.copy_(to_bytes(seen.places[chosen], LEAST_LOOK, MOST_LOOK))


@torch.inference_mode()
def measure_props(props: Props, scenery: Scenery, wishes: Wishes) -> dict[str, float]:
    """How well it does on what it has not learnt from: shares of the cells that something stands in that it finds, and
    of those that it names that are right; of kinds whose number in view is right; the mean error of the pitch in
    degrees; and the share of prompts that are understood."""
    parts = [props(some.float()) for some in scenery.latents.split(64)]
    stands = torch.cat([part.stands for part in parts]) > 0
    count = torch.cat([part.count for part in parts]).argmax(2)
    pitch = torch.cat([part.pitch for part in parts])
    right = float((stands & scenery.stands).sum())
    heard = props.read(wishes.texts)
    known = (heard.count.argmax(2) - 1 == wishes.wanted) & (heard.colour.argmax(2) - 1 == wishes.colour)
    return {
        "recall": right / max(1.0, float(scenery.stands.sum())),
        "precision": right / max(1.0, float(stands.sum())),
        "count": float((count == scenery.count).float().mean()),
        "pitch": math.degrees(float((pitch - scenery.pitch).abs().mean())),
        "words": float(known.all(1).float().mean()),
    }
