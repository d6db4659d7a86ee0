"""Train the dynamics by shortcut forcing with x-prediction (Dreamer 4, arXiv 2509.24527, sec. 3.3).

Every frame of a window has a noise level of its own. Most frames learn to be denoised in the finest schedule (flow);
in some rows half of the frames learn to take one big step that equals two half steps of the same network (bootstrap).
Everything is a regression onto clean latents, weighted towards objects and towards what changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.engine import ENDING_WEIGHT
from inhabit.worldmodel.omni.dynamics import CONTEXT_LEVEL, K_MAX, Block, Dynamics, Prediction, two_hot
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.schedule import Average, Budget, Threads, learning_rate, precision

FINEST = K_MAX.bit_length() - 1
"""log2 of the steps of the finest schedule."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DynamicsTraining:
    """How the dynamics is trained."""

    batch: int = 3
    """Windows a step."""

    window: int = 32
    """Frames of a window; must exceed the transformer's context, or the model only ever sees starts."""

    rate: float = 7e-4
    """Peak learning rate of AdamW."""

    warmup: int = 200
    """Steps to the peak, also after a resume (the optimiser's state is not kept)."""

    decay_from: float = 0.6
    """Share of the budget after which the learning rate falls; 1 keeps it up for a later session."""

    average: float = 0.999
    """Decay of the averaged weights."""

    bootstrap_from: float = 0.1
    """Share of the budget before big steps are taught; 0 when resuming."""

    bootstrap_rows: tuple[float, float] = (0.25, 0.4)
    """Share of the rows that teach big steps: at first, and in the last third."""

    object_gain: float = 10.0
    """Extra weight of latents under objects: in Doom they are 3 % of all latents, and this makes them a quarter of the
    loss."""

    change_gain: float = 2.0
    """Extra weight of latents that change, times their change over the mean change."""

    previous_noise: float = 0.2
    """Largest share of noise in the previous frame that is handed on directly."""

    previous_drop: float = 0.15
    """Share of frames that get no previous frame, so that time attention is learnt too."""

    head_weight: float = 0.05
    """Weight of the reward and ending losses."""


@dataclass(frozen=True, kw_only=True)
class Latents:
    """A recording as the dynamics sees it; all tensors on the training device."""

    z: Tensor
    """(n, c, h, w) float16."""
    actions: Tensor
    rewards: Tensor
    ended: Tensor
    """(n,) float32, 1 where the frame terminated its episode."""
    first: Tensor
    care: Tensor
    """(n, h, w) float16: extra weight of each latent because of objects on it, 0 to 1."""


def gather_latents(footage: Footage, z: Tensor, device: torch.device) -> Latents:
    """Put a recording's latents and columns onto the training device."""

    def column(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(device)

    return Latents(
        z=z.to(device),
        actions=column(footage.actions),
        rewards=column(footage.rewards),
        ended=column(footage.terminated),
        first=torch.from_numpy(footage.first).to(device),
        care=object_cells(footage, (z.shape[-2], z.shape[-1])).to(device),
    )


def object_cells(footage: Footage, grid: tuple[int, int]) -> Tensor:
    """Which latents have objects on them. Shape (n, rows, columns) float16: 1 under an object, 0 elsewhere.

    Where no objects were recorded, cells that hold something unusual count.
    """
    side = footage.frames.shape[1] // grid[0]
    cells = np.zeros((len(footage), *grid), np.float16)
    if not footage.names:
        for start in range(0, len(footage), 512):
            unusual = footage.unusual(slice(start, start + 512)) > 0.5
            cells[start : start + 512] = unusual.reshape(-1, grid[0], side, grid[1], side).any((2, 4))
    for row, _, x, y, width, height in footage.boxes:
        cells[
            row, max(0, y) // side : (y + height - 1) // side + 1, max(0, x) // side : (x + width - 1) // side + 1
        ] = 1
    return torch.from_numpy(cells)


class DynamicsTrainer:
    """Owns the network in training, its average and its optimiser; `train` runs it for a budget."""

    def __init__(
        self,
        network: Dynamics,
        data: Latents,
        starts: np.ndarray,
        device: torch.device,
        config: DynamicsTraining,
        *,
        seed: int = 0,
    ):
        self.config = config
        self.network = network.to(device).train()
        self.average = Average(network, config.average)
        self.step = 0
        self._data = data
        self._starts = torch.from_numpy(starts).to(device)
        self._device = device
        self._optimizer = torch.optim.AdamW(_groups(network), config.rate, betas=(0.9, 0.95), fused=True)
        self._random = torch.Generator(device).manual_seed(seed)

    def train(
        self,
        budget: Budget,
        *,
        on_step: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None,
        on_save: Callable[[Dynamics], None] = lambda network: None,
    ) -> Dynamics:
        """Train until the budget is used and return the averaged network."""
        threads = Threads(self._device)
        while budget.left_s > 0:
            threads.begin_step()
            rate = learning_rate(
                self.step,
                budget.share,
                peak=self.config.rate,
                warmup=self.config.warmup,
                decay_from=self.config.decay_from,
            )
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            figures = self.take_step(budget.share)
            threads.end_step()
            on_step(self.step, figures)
            if budget.save_is_due():
                on_save(self.average.network)
        on_save(self.average.network)
        return self.average.network

    def take_step(self, share: float) -> dict[str, float]:
        """One optimiser step; `share` of the budget is behind us. Returns figures to show."""
        rows = self._draw_rows()
        block, clean = self._noise(rows)
        bootstrapped = torch.zeros_like(block.level, dtype=torch.bool)
        target = clean
        with precision(self._device):
            big = self._bootstrap_rows(share)
            if big:
                block, bootstrapped = self._make_big(block, clean, big)
                target = self._bootstrap_target(block, clean, bootstrapped, big)
            prediction = self.network(block)
        losses = self._losses(prediction, target, clean, block, bootstrapped, rows)
        loss = losses["video"] + self.config.head_weight * (losses["reward"] + losses["ending"])
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        self.average.update(self.network)
        self.step += 1
        return {name: float(value.detach()) for name, value in losses.items()}

    def _draw_rows(self) -> Tensor:
        chosen = torch.randint(len(self._starts), (self.config.batch,), generator=self._random, device=self._device)
        return self._starts[chosen][:, None] + torch.arange(self.config.window, device=self._device)

    def _noise(self, rows: Tensor) -> tuple[Block, Tensor]:
        """A block in which every frame has a level of its own, all in the finest schedule, and the clean latents."""
        clean = self._data.z[rows].float()
        level = self._levels(rows.shape)
        fresh = self._normal(clean.shape)
        return Block(
            noised=_blend(clean, fresh, level),
            previous=self._previous(rows, clean),
            actions=self._data.actions[rows],
            level=level,
            step=torch.full_like(level, FINEST),
        ), clean

    def _levels(self, shape: torch.Size) -> Tensor:
        """Half uniform, half nearly clean, the state in which frames serve as context."""
        anywhere = torch.randint(K_MAX, shape, generator=self._random, device=self._device)
        dip = torch.rand(shape, generator=self._random, device=self._device)
        context = CONTEXT_LEVEL - (dip > 0.7).long() - (dip > 0.9).long()
        return torch.where(self._uniform(shape) < 0.5, anywhere, context)

    def _previous(self, rows: Tensor, clean: Tensor) -> Tensor:
        head = rows[:, :1]
        opening = self._data.z[(head - 1).clamp(min=0)].float()
        opening = opening * (~self._data.first[head])[..., None, None, None]
        previous = torch.cat([opening, clean[:, :-1]], dim=1)
        share = self.config.previous_noise * self._uniform(rows.shape)[..., None, None, None]
        kept = (self._uniform(rows.shape) >= self.config.previous_drop)[..., None, None, None]
        return (previous * (1 - share) + self._normal(clean.shape) * share) * kept

    def _bootstrap_rows(self, share: float) -> int:
        if share < self.config.bootstrap_from:
            return 0
        wanted = self.config.batch * self.config.bootstrap_rows[share > 2 / 3]
        # a small batch takes turns, so that the share holds on average
        return int(wanted) + int(float(torch.rand((), generator=self._random, device=self._device)) < wanted % 1)

    def _make_big(self, block: Block, clean: Tensor, count: int) -> tuple[Block, Tensor]:
        """Give half of the frames of the first `count` rows a big step, and the others the state of context."""
        shape = block.level.shape
        in_rows = torch.arange(shape[0], device=self._device)[:, None] < count
        bootstrapped = in_rows & (self._uniform(shape) < 0.5)
        step = torch.randint(FINEST, shape, generator=self._random, device=self._device)  # 1, 2 or 4 steps
        grid = (self._uniform(shape) * 2**step).long() * (K_MAX >> step)
        level = torch.where(in_rows, CONTEXT_LEVEL, block.level)
        level = torch.where(bootstrapped, grid, level)
        step = torch.where(bootstrapped, step, block.step)
        fresh = self._normal(clean.shape)
        return replace(block, noised=_blend(clean, fresh, level), level=level, step=step), bootstrapped

    @torch.no_grad()
    def _bootstrap_target(self, block: Block, clean: Tensor, bootstrapped: Tensor, count: int) -> Tensor:
        """Where two half steps of the present network lead, as a clean frame. Shape of `clean`."""
        part = Block(**{name: getattr(block, name)[:count] for name in Block.__slots__})
        mask = bootstrapped[:count]
        half = torch.where(mask, part.step + 1, part.step)
        tau = _tau(part.level)
        ahead = torch.where(mask, K_MAX >> half, 0)  # levels that half a step advances
        first = self.network(replace(part, step=half)).clean
        velocity_1 = (first - part.noised) / (1 - tau)
        noised = torch.where(mask[..., None, None, None], part.noised + velocity_1 * _tau(ahead), part.noised)
        second = self.network(replace(part, noised=noised, level=part.level + ahead, step=half)).clean
        velocity_2 = (second - noised) / (1 - _tau(part.level + ahead))
        reached = part.noised + (1 - tau) * (velocity_1 + velocity_2) / 2
        target = torch.where(mask[..., None, None, None], reached, clean[:count])
        return torch.cat([target, clean[count:]])

    def _losses(
        self, prediction: Prediction, target: Tensor, clean: Tensor, block: Block, bootstrapped: Tensor, rows: Tensor
    ) -> dict[str, Tensor]:
        ramp = 0.9 * _tau(block.level) + 0.1
        weight = self._weight(rows, clean)
        error = (prediction.clean.float() - target).square() * weight * ramp
        rewards, ended = self._data.rewards[rows], self._data.ended[rows]
        reward = F.cross_entropy(prediction.reward_logits.flatten(0, 1), two_hot(rewards).flatten(0, 1))
        pressure = torch.full((), ENDING_WEIGHT, device=self._device)
        ending = F.binary_cross_entropy_with_logits(prediction.ending_logit, ended, pos_weight=pressure)
        return {"video": error.mean() / ramp.mean(), "reward": reward, "ending": ending}

    def _weight(self, rows: Tensor, clean: Tensor) -> Tensor:
        """How much each latent counts, (b, t, 1, h, w), one on average."""
        change = (clean[:, 1:] - clean[:, :-1]).abs().mean(2, keepdim=True)
        change = torch.cat([change[:, :1], change], dim=1)
        weight = 1 + self.config.change_gain * (change / change.mean().clamp(min=1e-6)).clamp(max=4)
        weight = weight + self.config.object_gain * self._data.care[rows].float()[:, :, None]
        return weight / weight.mean()

    def _normal(self, shape: torch.Size) -> Tensor:
        return torch.randn(shape, generator=self._random, device=self._device)

    def _uniform(self, shape: torch.Size) -> Tensor:
        return torch.rand(shape, generator=self._random, device=self._device)


def _tau(level: Tensor) -> Tensor:
    return (level.float() / K_MAX)[..., None, None, None]


def _blend(clean: Tensor, fresh: Tensor, level: Tensor) -> Tensor:
    tau = _tau(level)
    return tau * clean + (1 - tau) * fresh


def _groups(network: nn.Module) -> list[dict]:
    """Weight decay for matrices only: norms, biases and embeddings are left alone."""
    matrices = [p for p in network.parameters() if p.ndim >= 2]
    rest = [p for p in network.parameters() if p.ndim < 2]
    return [{"params": matrices, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]
