"""Train the edit on pairs of moments: before and after words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from inhabit.worldmodel.omni.edit import Edit
from inhabit.worldmodel.omni.text import Tokens
from inhabit.worldmodel.train.critic import Criticism, Exhibits, LatentCritic
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

    hidden_share: float = 0.4
    """Share of the pictures of which an edge is hidden, as if it came into view only now: at first little of it, at
    most half of the picture."""

    silent_share: float = 0.25
    """Share of those pictures whose prompt is withheld; they show what holds."""

    again_share: float = 0.5
    """Share of those pictures of which the nearer half of what is hidden shows what the edit itself painted there: in
    play it goes on from that, column by column."""

    critic_weight: float = 0.1
    """Weight of what the critic says."""

    hidden_gain: float = 5.0
    """Extra weight of what it says of what is hidden: many pictures are right there, and their mean is none."""

    critic_rate: float = 1e-3
    """The critic's learning rate."""

    critic_alone: int = 100
    """Steps in which only the critic learns from what is painted."""

    object_gain: float = 2.0
    """Extra weight of latents under objects."""

    tolerance: float = 0.1
    """Errors of a latent count by their square up to about this, and by their size beyond it."""

    cut_share: float = 0.1
    """Share of the steps that show only the middle of the pictures."""

    reading_steps: int = 800
    """Steps in which only words are learnt, before everything else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """Pictures to change, b of them."""

    seen: Tensor
    """(b, c, h, w)."""
    known: Tensor
    """(b, h, w) bool: what of them is shown."""
    prompt: Tensor
    """(b,) int64 the number of what is said."""
    right: Tensor
    """(b, c, h, w) what they shall become."""
    care: Tensor
    """(b, h, w) where objects are then."""
    nearer: Tensor
    """(b, h, w) bool: what of the rest is painted first, and shown as it was painted."""

    def cut(self, rows: int, columns: int) -> Task:
        """Only the middle of the pictures."""
        top, left = (self.right.shape[-2] - rows) // 2, (self.right.shape[-1] - columns) // 2
        view = (..., slice(top, top + rows), slice(left, left + columns))
        parts = {name: getattr(self, name)[view] for name in ("seen", "known", "right", "care", "nearer")}
        return Task(prompt=self.prompt, **parts)


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

    def draw(self, count: int, config: EditTraining) -> Task:
        """Some of them."""
        data, device = self.data, self.before.device

        def chance(share: float) -> Tensor:
            return torch.rand(count, device=device) < share

        chosen = torch.randint(len(self), (count,), device=device)
        before, after, same = self.before[chosen], self.after[chosen], self.same[chosen]
        hides = chance(config.hidden_share)
        settled = chance(config.settled_share) | (hides & chance(0.5))
        row = torch.where(settled, after, before)
        moved = ((~same & ~settled) | chance(config.carried_share)) & ~data.first[row]
        seen = torch.where(moved[:, None, None, None], self._carried[row], data.z[row]).float()
        share = config.noise * torch.rand(count, device=device)[:, None, None, None]
        silent = hides & settled & chance(config.silent_share)
        known, nearer = edges(hides, (seen.shape[-2], seen.shape[-1]))
        return Task(
            seen=seen * (1 - share) + torch.randn_like(seen) * share,
            known=known,
            prompt=torch.where(silent, len(self.prompts.triples) - 1, self._prompt[after]),
            right=data.z[after].float(),
            care=data.care[after].float(),
            nearer=nearer & chance(config.again_share)[:, None, None],
        )


def edges(hides: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """What is left to see when the view has turned: some columns at one side are hidden, or some rows, or both.

    Shapes: (b,) bool of which any shall be -> (b, h, w) bool: what is shown, and the nearer half of the rest.
    """
    b, device = len(hides), hides.device
    which = torch.rand(b, device=device)
    known = torch.ones(b, *size, dtype=torch.bool, device=device)
    near = known
    for axis, some in ((2, which < 0.8), (1, which > 0.6)):
        length = size[axis - 1]
        place = torch.arange(length, device=device)
        deep = 1 + (torch.rand(b, device=device).square() * (length // 2)).long()
        far = torch.where((torch.rand(b, device=device) < 0.5)[:, None], place, length - 1 - place)
        shown = ~(hides & some)[:, None]
        line, half = (far >= deep[:, None]) | shown, (far >= (deep[:, None] + 1) // 2) | shown
        known = known & (line[:, None, :] if axis == 2 else line[:, :, None])
        near = near & (half[:, None, :] if axis == 2 else half[:, :, None])
    return known, near & ~known


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
    critic = LatentCritic(network.config.latent_channels, network.config.grid)
    criticism = Criticism(critic, device, rate=config.critic_rate)

    def paint(task: Task, tokens: Tokens) -> Tensor:
        with precision(device):
            return network(task.seen, tokens, task.known, torch.randn_like(task.seen))

    def lesson() -> Tensor:
        task = pairs.draw(config.batch, config)
        if torch.rand(()) < config.cut_share:
            task = task.cut(*(int(torch.randint((side + 1) // 2, side + 1, ())) for side in task.right.shape[-2:]))
        tokens = Tokens(triples=pairs.prompts.triples[task.prompt], filled=pairs.prompts.filled[task.prompt])
        if task.nearer.any():
            with torch.no_grad():
                first = paint(task, tokens)
            seen = torch.where(task.nearer[:, None], first, task.seen)
            task = replace(task, seen=seen, known=task.known | task.nearer)
        made = paint(task, tokens)
        weight = 1 + config.object_gain * task.care
        off = ((made - task.right).square().mean(1) + config.tolerance**2).sqrt() - config.tolerance
        loss = (off * weight).sum() / weight.sum()
        shown = Exhibits(painted=made, real=task.right, before=task.seen * task.known[:, None])
        criticism.learn([shown.detached()])
        if criticism.lessons > config.critic_alone:
            loss = loss + config.critic_weight * criticism.of(shown, 1 + config.hidden_gain * ~task.known)
        if readback.useful:
            loss = loss + 0.05 * readback(network, 16)
        return loss

    fit(network, lesson, budget, device, rate=config.rate, warmup=config.warmup, average=average, on_step=on_step)
    return average.network.eval().requires_grad_(False)
