"""Train the video autoencoder. Objects are the game: they and what moves weigh more than walls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.omni.autoencoder import Autoencoder, bounded, to_float, to_pixels
from inhabit.worldmodel.train.footage import Footage, object_weight
from inhabit.worldmodel.train.loop import fit
from inhabit.worldmodel.train.schedule import Average, Budget, precision


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderTraining:
    """How the codec is trained."""

    batch: int = 24
    """Frames a step."""

    rate: float = 1.5e-3
    """Peak learning rate of AdamW."""

    warmup: int = 200
    """Steps to the peak."""

    average: float = 0.998
    """Decay of the averaged weights."""

    object_gain: float = 4.0
    """Extra weight of pixels on objects; see footage.object_weight."""

    change_gain: float = 2.0
    """Extra weight of pixels that changed since the frame before."""

    edge_weight: float = 0.5
    """Weight of the difference between neighbouring pixels (keeps edges crisp)."""

    noise: float = 0.2
    """Largest noise on the latents that the decoder learns to forgive; half of the frames get some."""


def train_autoencoder(
    network: Autoencoder,
    footage: Footage,
    budget: Budget,
    device: torch.device,
    config: AutoencoderTraining,
    *,
    seed: int = 0,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None,
    on_save: Callable[[Autoencoder], None] = lambda network: None,
) -> Autoencoder:
    """Train within the budget and return the averaged network with its latents standardised."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    network = network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    network.requires_grad_(True)  # it may be the average of an earlier session
    average = Average(network, config.average)
    rows = np.flatnonzero(~footage.held_out)
    told: dict[str, float] = {}

    def lesson() -> Tensor:
        chosen = np.sort(rng.choice(rows, config.batch))
        pixels, weight = weighed_frames(footage, chosen, config, device)
        with precision(device):
            latents = bounded(network.encoder(pixels))
            shown = network.decoder(noised(latents, config.noise))
        loss, figures = reconstruction_loss(shown.float(), pixels, weight, config)
        told.update(figures)
        return loss

    def after(step: int, _: Mapping[str, float]) -> None:
        on_step(step, told)
        if budget.save_is_due():
            on_save(average.network)

    fit(network, lesson, budget, device, rate=config.rate, warmup=config.warmup, average=average, on_step=after)
    standardise(average.network, footage, device)
    on_save(average.network)
    return average.network


def reconstruction_loss(
    shown: Tensor, pixels: Tensor, weight: Tensor, config: AutoencoderTraining
) -> tuple[Tensor, dict[str, float]]:
    """Weighted L1 and L2, and L1 of neighbouring differences. Shapes: (b, 3, h, w) twice, (b, 1, h, w)."""
    error = shown - pixels
    plain = (weight * (error.abs() + error.square())).mean()
    across = ((error[..., 1:] - error[..., :-1]).abs() * weight[..., 1:]).mean()
    down = ((error[..., 1:, :] - error[..., :-1, :]).abs() * weight[..., 1:, :]).mean()
    loss = plain + config.edge_weight * (across + down)
    mse = float(error.detach().square().mean())
    return loss, {"loss": float(loss.detach()), "psnr_db": 10 * float(np.log10(4 / max(mse, 1e-9)))}


@torch.no_grad()
def standardise(network: Autoencoder, footage: Footage, device: torch.device, *, samples: int = 2048) -> None:
    """Set the network's mean and std from training frames, so that its latents have unit variance."""
    rows = np.flatnonzero(~footage.held_out)
    rows = rows[:: max(1, len(rows) // samples)][:samples]
    latents = torch.cat(
        [
            bounded(network.encoder(to_float(torch.from_numpy(footage.frames[part]).to(device))))
            for part in np.array_split(rows, max(1, len(rows) // 64))
        ]
    )
    network.mean.copy_(latents.mean((0, 2, 3))[:, None, None])
    network.std.copy_(latents.std((0, 2, 3))[:, None, None].clamp(min=1e-3))


@torch.inference_mode()
def encode_all(
    network: Autoencoder,
    footage: Footage,
    device: torch.device,
    *,
    on_step: Callable[[int], None] = lambda done: None,
    keep_on: torch.device | None = None,
) -> Tensor:
    """Encode every frame. Shape (n, c, h/16, w/16) float16, on `keep_on` (default: main memory)."""
    pieces = []
    for start in range(0, len(footage), 128):
        pixels = to_float(torch.from_numpy(footage.frames[start : start + 128]).to(device))
        with precision(device):
            latents = network.encode(pixels.contiguous(memory_format=torch.channels_last))
        pieces.append(latents.to(keep_on or "cpu", torch.float16).contiguous())
        on_step(start + len(pixels))
    return torch.cat(pieces)


@torch.inference_mode()
def reconstruct(network: Autoencoder, frames: np.ndarray, device: torch.device) -> np.ndarray:
    """Encode and decode. Shapes: (n, h, w, 3) uint8 -> the same."""
    shown = []
    for start in range(0, len(frames), 64):
        pixels = to_float(torch.from_numpy(frames[start : start + 64]).to(device))
        shown.append(to_pixels(network.decode(network.encode(pixels))).cpu().numpy())
    return np.concatenate(shown)


def weighed_frames(
    footage: Footage, rows: np.ndarray, config: AutoencoderTraining, device: torch.device
) -> tuple[Tensor, Tensor]:
    pixels = to_float(torch.from_numpy(footage.frames[rows]).to(device))
    before = to_float(torch.from_numpy(footage.frames[footage.previous_rows(rows)]).to(device))
    changed = ((pixels - before).abs().mean(1, keepdim=True) > 0.08).float()
    weight = object_weight(footage, rows, gain=config.object_gain).to(device) + config.change_gain * changed
    weight = weight / weight.mean()
    return pixels.contiguous(memory_format=torch.channels_last), weight


def noised(latents: Tensor, most: float) -> Tensor:
    strength = most * torch.rand(len(latents), 1, 1, 1, device=latents.device)
    strength = strength * (torch.rand_like(strength) < 0.5)
    scale = latents.detach().float().std().to(latents.dtype)
    return latents + strength.to(latents.dtype) * scale * torch.randn_like(latents)
