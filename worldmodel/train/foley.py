"""Train the network that makes a world's sound: what is heard next, after what was done, said and heard."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.memory.pose import POSE, between
from inhabit.worldmodel.memory.recall import Recall
from inhabit.worldmodel.omni.flight import FELT, Flight, Thing
from inhabit.worldmodel.omni.foley import Foley, felt, walked, word_bags
from inhabit.worldmodel.omni.text import TextConfig
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.loop import fit
from inhabit.worldmodel.train.schedule import Average, Budget

BAGS_AT_ONCE = 1024

STRIDES = (0.5, 40.0)
"""The shortest and the longest stride that is looked for, as it is felt."""

STRIDES_TRIED = 800

STANDS_OUT = 8.0
"""A stride by which what is heard repeats so many times as much as by others is one."""

LISTENED = 256
"""Walks in which it is looked for."""


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

    deaf_share: float = 0.5
    """Share of the walks of which it hears only the beginning, and noise from then on: who hears each step need not
    remember which part of a stride it fell on, and in play nobody tells."""

    heard_frames: tuple[int, int] = (8, 32)
    """Frames of that, at least, and fewer than."""

    unsure: float = 0.05
    """By so much, of itself and of what one usually goes, what is felt of a travel may be wrong: play guesses it."""


class Score:
    """What this network learns from: on every row what was done, what held, and what was heard.

    Args:
        actions: (n, a) what led to each row.
        heard: (n, latent) sound latents.
        starts: rows from which an episode goes on for as long as a walk is.
        texts: all that was said.
        text_of: (n,) which of it holds.
        senses: (n, s) what was felt on each row; nothing by default.
    """

    def __init__(
        self,
        actions: np.ndarray,
        heard: Tensor,
        starts: np.ndarray,
        texts: Sequence[str],
        text_of: np.ndarray,
        *,
        senses: Tensor | None = None,
        text: TextConfig | None,
        device: torch.device,
    ):
        self.heard, self.actions = heard.to(device), torch.from_numpy(actions).to(device)
        self.starts, self.text_of = torch.from_numpy(starts).to(device), torch.from_numpy(text_of).to(device)
        self.senses = (torch.zeros(len(actions), 0) if senses is None else senses).to(device)
        self.bags: Tensor | None = None
        if text is not None:
            some = (word_bags(texts[at : at + BAGS_AT_ONCE], text) for at in range(0, len(texts), BAGS_AT_ONCE))
            self.bags = torch.cat(list(some)).to(device)

    @classmethod
    def of(
        cls,
        footage: Footage,
        heard: Tensor,
        text: TextConfig | None,
        device: torch.device,
        *,
        frames: int,
        recall: Recall | None = None,
        flight: Flight | None = None,
    ) -> Score:
        """A recording's. `heard` are the sound latents of all its rows, `frames` the length of a walk; the networks
        are those that the world knows by how one moves."""
        text_of = np.zeros(len(footage), np.int64) if footage.text_of is None else footage.text_of
        starts, senses = footage.windows(frames, held_out=False), None
        if recall is not None and footage.pose is not None:
            senses = senses_of(footage.actions, footage.pose, footage.first, recall.unit.cpu(), flight)
        return cls(footage.actions, heard, starts, footage.texts, text_of, senses=senses, text=text, device=device)

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

    def stride(self, frames: int) -> float:
        """How far one goes from one tread to the next, as it is felt: the length by which what begins to be heard
        repeats most, over so many frames; 0 where none stands out, or nothing is felt."""
        if not self.senses.shape[1] or not len(self):
            return 0.0
        rows = self.draw(LISTENED, frames)
        went = walked(self.senses[rows].float())
        heard = self.heard[rows].float()
        news = (heard[:, 1:] - heard[:, :-1]).norm(dim=-1)
        news = (news - news.mean(1, keepdim=True)) * (went[:, 1:] > 0)
        far = went.cumsum(1)[:, 1:]
        lengths = torch.logspace(*(math.log10(end) for end in STRIDES), STRIDES_TRIED, device=far.device)
        repeats = torch.stack(
            [torch.polar(news, 2 * math.pi * far / one).sum(1).abs().square().sum() for one in lengths]
        )
        best = int(repeats.argmax())
        return float(lengths[best]) if repeats[best] > STANDS_OUT * repeats.median() else 0.0


@torch.inference_mode()
def senses_of(actions: np.ndarray, pose: np.ndarray, first: np.ndarray, unit: Tensor, flight: Flight | None) -> Tensor:
    """What a world that knows how one moves feels on every row, in episodes that begin with everything in the hand.

    Args:
        actions: (n, a) what led to each row.
        pose: (n, 5).
        first: (n,) bool: where episodes begin.
        unit: what one walks in about a second.

    Returns:
        (n, POSE) or, with flight, (n, POSE + FELT).
    """
    places, done = torch.from_numpy(pose).float(), torch.from_numpy(actions).float()
    travel = torch.zeros(len(places), POSE)
    travel[1:] = between(places[:-1], places[1:]) * torch.from_numpy(~first[1:, None])
    moves = felt(travel, unit)
    if flight is None:
        return moves
    flight = copy.deepcopy(flight).cpu()
    begins = np.flatnonzero(first)
    order = np.argsort(-np.diff([*begins, len(first)]), kind="stable")  # longest first: those that go on are the first
    begins, lengths = begins[order], np.diff([*begins, len(first)])[order]
    thing, told = flight.held(places[begins][:, 4]), torch.zeros(len(places), FELT)
    told[begins] = flight.felt(thing, places[begins])
    for frame in range(1, int(lengths.max(initial=0))):
        rows = torch.from_numpy(begins[lengths > frame] + frame)
        thing = Thing.unpacked(thing.packed()[: len(rows)])
        thing = flight.step(thing, torch.stack([done[rows - 1], done[rows]], 1), travel[rows], places[rows])
        told[rows] = flight.felt(thing, places[rows])
    return torch.cat([moves, told], 1)


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
        deaf = torch.rand(len(rows), 1, device=device) < config.deaf_share
        since = torch.randint(*config.heard_frames, (len(rows), 1), device=device)
        nothing = deaf & (torch.arange(config.frames, device=device) >= since)
        share = torch.where(nothing[..., None], 1.0, share)
        before = torch.lerp(before, torch.randn_like(before), share)
        senses, cues = score.senses[rows].float(), score.cues(network, rows)
        if senses.shape[-1]:
            senses = torch.cat([_guessed(senses[..., :POSE], config.unsure), senses[..., POSE:]], -1)
        silence = network.silence(len(rows))
        if network.config.paced:  # nobody knows how far one had gone before
            silence[:, -1] = torch.rand(len(rows), device=device)
        told, _ = network.listen(silence, before, score.actions[rows], senses, cues)
        # what is half noise teaches most: there it is decided which sound it will be
        tau = torch.randn(rows.shape, device=device).sigmoid()
        noise = torch.randn_like(heard)
        made = network.velocity(torch.lerp(noise, heard, tau[..., None]), tau, told)
        return (made - (heard - noise))[:, 1:].square().mean()

    fit(network, lesson, budget, device, rate=config.rate, warmup=config.warmup, average=average, on_step=on_step)
    return average.network.eval().requires_grad_(False)


def _guessed(moves: Tensor, unsure: float) -> Tensor:
    """What is felt of travels, a little wrong: by as much in a whole walk, and by as much again from frame to frame."""
    wrong = 1 + unsure * torch.randn(len(moves), 1, moves.shape[-1], device=moves.device)
    return moves * wrong + unsure * torch.randn_like(moves)
