"""Train the motion network on pairs of frames, and carry a recording's frames with it.

There is no flow to learn from: the next frame itself is the lesson. The moved frame is compared with it at several
scales, because a picture that is off by half a texture looks no better for coming nearer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.memory.pose import between
from inhabit.worldmodel.omni.autoencoder import Autoencoder, to_float, to_pixels
from inhabit.worldmodel.omni.motion import Motion, carry, warp
from inhabit.worldmodel.train.footage import Footage, object_weight
from inhabit.worldmodel.train.loop import fit
from inhabit.worldmodel.train.schedule import Average, Budget, precision


@dataclass(frozen=True, kw_only=True, slots=True)
class MotionTraining:
    """How the motion network is trained."""

    batch: int = 32
    """Pairs of frames a step."""

    rate: float = 3e-3
    """Peak learning rate."""

    warmup: int = 100
    """Steps to the peak."""

    scales: tuple[int, ...] = (1, 2, 4, 8)
    """Pixels along one side of what is averaged before frames are compared."""

    object_gain: float = 10.0
    """Extra weight of an object of usual size."""

    outside_weight: float = 0.02
    """Weight of pixels that come from outside the frame, beside 1 of others."""

    travel_weight: float = 0.05
    """Weight of the travel's loss beside that of the picture."""

    smoothness: float = 0.008
    """Weight of the difference of neighbouring flow vectors."""


def train_motion(
    network: Motion,
    footage: Footage,
    latents: Tensor,
    budget: Budget,
    device: torch.device,
    config: MotionTraining = MotionTraining(),
    *,
    seed: int = 0,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None,
) -> Motion:
    """Train until the budget is used and return the averaged network.

    Args:
        latents: (n, c, h, w) of all frames.
    """
    network = network.to(device).train()
    average = Average(network, 0.998)
    rows = np.flatnonzero(~footage.first & ~footage.held_out)
    recent = recent_actions(footage, network.config.history)
    random = np.random.default_rng(seed)
    cell = footage.frames.shape[2] / latents.shape[-1]
    travels = travels_of(footage) if network.config.travels else None
    if travels is not None:
        network.travel_scale.copy_(travels[rows].square().mean(0).sqrt().clamp(min=1e-4))
        average.network.travel_scale.copy_(network.travel_scale)

    def lesson() -> Tensor:
        chosen = random.choice(rows, config.batch)
        with precision(device):
            flow, travel = network(*(x.to(device) for x in _seen(footage, latents, recent, chosen)))
        past = to_float(torch.from_numpy(footage.frames[chosen - 1]).to(device))
        loss = picture_loss(*warp(past, flow, cell), footage, chosen, config, device)
        loss = loss + config.smoothness * roughness(flow)
        if travels is not None:
            missed = (travel - travels[chosen].to(device)) / network.travel_scale
            loss = loss + config.travel_weight * missed.square().clamp(max=9).mean()
        return loss

    fit(network, lesson, budget, device, rate=config.rate, warmup=config.warmup, average=average, on_step=on_step)
    return average.network.eval().requires_grad_(False)


@torch.inference_mode()
def carry_all(
    network: Motion,
    autoencoder: Autoencoder,
    footage: Footage,
    latents: Tensor,
    device: torch.device,
    *,
    on_step: Callable[[int], None] = lambda done: None,
    batch: int = 128,
) -> Tensor:
    """For each frame the one before it as motion carries it there, as latents; zeros for an episode's first frame.

    What is moved is what the codec shows of the frame before, as in play. Shape (n, c, h, w) float16, in main memory.
    """
    recent = recent_actions(footage, network.config.history)
    carried = torch.zeros_like(latents, dtype=torch.float16, device="cpu")
    for start in range(0, len(footage), batch):
        rows = np.arange(start, min(start + batch, len(footage)))
        rows = rows[~footage.first[rows]]
        if len(rows):
            seen, before, actions = (x.to(device) for x in _seen(footage, latents, recent, rows))
            with precision(device):
                shown = to_float(to_pixels(autoencoder.decode(seen).float()))
                moved, _ = carry(network, autoencoder, shown, seen, before, actions)
            carried[torch.from_numpy(rows)] = moved.to("cpu", torch.float16)
        on_step(min(start + batch, len(footage)))
    return carried


def recent_actions(footage: Footage, history: int) -> Tensor:
    """The actions that led to each frame, newest last; zeros from before its episode. Shape (n, history, a) float32."""
    n = len(footage)
    begin = np.maximum.accumulate(np.where(footage.first, np.arange(n), 0))
    back = np.arange(n)[:, None] - np.arange(history)[::-1]
    within = back >= begin[:, None]
    actions = footage.actions[np.where(within, back, 0)] * within[..., None]
    return torch.from_numpy(actions.astype(np.float32))


def _seen(footage: Footage, latents: Tensor, recent: Tensor, rows: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """What the network is shown for these rows, none of them an episode's first."""
    newest = torch.from_numpy(rows - 1)
    there = torch.from_numpy(~footage.first[rows - 1])[:, None, None, None]
    before = latents[(newest - 1).clamp(min=0)].float() * there
    return latents[newest].float(), before, recent[torch.from_numpy(rows)]


def travels_of(footage: Footage) -> Tensor | None:
    """How the eye's pose changed with each frame, (n, 5) float32; None where no pose was recorded."""
    if footage.pose is None:
        return None
    pose = torch.from_numpy(footage.pose)
    return between(torch.cat([pose[:1], pose[:-1]]), pose)


def picture_loss(
    moved: Tensor, inside: Tensor, footage: Footage, rows: np.ndarray, config: MotionTraining, device: torch.device
) -> Tensor:
    """How far moved pictures are from the frames at `rows`, at all scales.

    Args:
        moved: (b, 3, h, w) in [-1, 1].
        inside: (b, 1, h, w), 1 where the source of a pixel is known.
    """
    error = moved - to_float(torch.from_numpy(footage.frames[rows]).to(device))
    weight = object_weight(footage, rows, gain=config.object_gain).to(device)
    weight = weight * (config.outside_weight + (1 - config.outside_weight) * inside)
    loss = torch.zeros((), device=device)
    for scale in config.scales:
        size = F.avg_pool2d(error, scale).square().add(1e-4).sqrt().mean(1, keepdim=True)
        part = F.avg_pool2d(weight, scale)
        loss = loss + (size * part).sum() / part.sum()
    return loss


def roughness(field: Tensor) -> Tensor:
    """Mean difference of neighbours in a (b, n, h, w) field."""
    return (field[..., 1:, :] - field[..., :-1, :]).abs().mean() + (field[..., 1:] - field[..., :-1]).abs().mean()
