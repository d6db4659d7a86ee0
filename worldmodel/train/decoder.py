"""Teach the decoder to draw what latents leave open, instead of averaging it.

A latent says where a soldier stands and that the floor is tiled, but not where each pixel of it is. The best answer to
any distance is then the mean of all that may be: soldiers without legs, floors without pattern. So a critic looks at
windows of frames, with their latents, and says whether they are real; the decoder learns to pass. (Adversarial losses
for decoders: Esser et al. 2021, arXiv 2012.09841.) Only the decoder learns: latents, and so everything that dreams,
stay what they are. What it draws must also be read as the same latents again, or dreams would wear out sooner.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from inhabit.worldmodel.omni.autoencoder import Autoencoder, bounded
from inhabit.worldmodel.train.autoencoder import AutoencoderTraining, noised, reconstruction_loss, weighed_frames
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.schedule import Average, Budget, Threads, learning_rate, precision

WIDTH = 48
"""Channels of the critic at half of the frame's size; twice and four times as many below."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderTraining:
    """How the decoder learns to draw."""

    batch: int = 16
    """Windows a step."""

    window: int = 8
    """Latents along one side of a window."""

    rate: float = 3e-4
    """Peak learning rate of Adam, the decoder's and the critic's."""

    warmup: int = 300
    """Steps to the peak. From its end on the decoder hears the critic."""

    critic_weight: float = 0.05
    """Weight of what the critic says, beside the distance to the right pixels."""

    features_weight: float = 0.2
    """Weight of how far the critic's features of drawn and of real windows lie apart (arXiv 1606.03498)."""

    again_weight: float = 0.1
    """Weight of how far what is drawn, encoded again, is from the latents that it was drawn from."""


class Critic(nn.Module):
    """Tells real windows from drawn ones, place by place, knowing their latents."""

    def __init__(self, latent_channels: int, factor: int):
        super().__init__()
        widths = [WIDTH * 2 ** min(step, 2) for step in range(factor.bit_length() - 1)]
        self.stem = spectral_norm(nn.Conv2d(12, widths[0], 3, padding=1))
        self.downs = nn.ModuleList(spectral_norm(nn.Conv2d(*pair, 4, 2, 1)) for pair in pairwise(widths))
        self.latents = spectral_norm(nn.Conv2d(latent_channels, widths[-1], 1))
        self.last = spectral_norm(nn.Conv2d(widths[-1], widths[-1], 3, padding=1))
        self.near = spectral_norm(nn.Conv2d(widths[-2], 1, 1))
        self.far = spectral_norm(nn.Conv2d(widths[-1], 1, 1))

    def forward(self, pixels: Tensor, latents: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Scores, the higher the more real, and the features that they come from.

        Shapes: (b, 3, h * factor, w * factor), (b, c, h, w).
        """
        features = [_leaky(self.stem(F.pixel_unshuffle(pixels, 2)))]
        features += [_leaky(down(features[-1])) for down in self.downs[:-1]]
        near = self.near(features[-1])
        features.append(_leaky(self.downs[-1](features[-1]) + self.latents(latents)))
        features.append(_leaky(self.last(features[-1])))
        return [near.float(), self.far(features[-1]).float()], [one.float() for one in features]


class DecoderTrainer:
    """Owns the decoder in training, its average, and the critic."""

    def __init__(
        self,
        autoencoder: Autoencoder,
        footage: Footage,
        device: torch.device,
        config: DecoderTraining,
        codec: AutoencoderTraining,
        *,
        seed: int = 0,
    ):
        """Args:
        codec: how the codec was trained: what counts how much.
        """
        self.config, self._codec, self._footage, self._device = config, codec, footage, device
        torch.manual_seed(seed)
        self._random = np.random.default_rng(seed)
        self._rows = np.flatnonzero(~footage.held_out)
        self._autoencoder = autoencoder.to(device).eval().requires_grad_(False)
        self._decoder = copy.deepcopy(autoencoder.decoder).requires_grad_(True).train()
        self._average = Average(self._decoder, codec.average)
        self._critic = Critic(autoencoder.config.latent_channels, autoencoder.config.factor).to(device)
        networks = (self._decoder, self._critic)
        self._drawing, self._judging = (
            torch.optim.Adam(one.parameters(), config.rate, (0.5, 0.95)) for one in networks
        )
        self.step = 0

    def take_step(self, share: float) -> dict[str, float]:
        """The critic learns, then the decoder; `share` of the budget is behind us. Returns figures to show."""
        rate = learning_rate(self.step, share, peak=self.config.rate, warmup=self.config.warmup)
        for group in (*self._drawing.param_groups, *self._judging.param_groups):
            group["lr"] = rate
        pixels, weight, latents = self._batch()
        with precision(self._device):
            drawn = self._decoder(noised(latents, self._codec.noise)).float()
        doubt = self._teach_critic(pixels, drawn.detach(), latents)
        loss, figures = self._how_far(pixels, drawn, latents, weight)
        _descend(self._drawing, self._decoder, loss)
        self._average.update(self._decoder)
        self.step += 1
        return figures | {"critic": doubt}

    def trained(self) -> Autoencoder:
        """The autoencoder with what its decoder has become."""
        autoencoder = copy.deepcopy(self._autoencoder)
        autoencoder.decoder.load_state_dict(self._average.network.state_dict())
        return autoencoder

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Windows, how much their pixels count, and what the encoder says of them."""
        rows = np.sort(self._random.choice(self._rows, self.config.batch))
        frames, weight = weighed_frames(self._footage, rows, self._codec, self._device)
        pixels, weight = windows(frames, weight, self.config.window, self._autoencoder.config.factor)
        with torch.no_grad(), precision(self._device):
            return pixels, weight, bounded(self._autoencoder.encoder(pixels)).float()

    def _teach_critic(self, real: Tensor, drawn: Tensor, latents: Tensor) -> float:
        """How far it is from telling them apart, 0 to 4."""
        with precision(self._device):
            right, wrong = self._critic(real, latents)[0], self._critic(drawn, latents)[0]
        doubts = [F.relu(1 - one).mean() + F.relu(1 + other).mean() for one, other in zip(right, wrong, strict=True)]
        loss = torch.stack(doubts).sum()
        _descend(self._judging, self._critic, loss)
        return float(loss.detach())

    def _how_far(
        self, pixels: Tensor, drawn: Tensor, latents: Tensor, weight: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """How far drawn windows are from what they should be."""
        loss, figures = reconstruction_loss(drawn, pixels, weight, self._codec)
        with precision(self._device):
            again = bounded(self._autoencoder.encoder(drawn)).float()
        off = ((again - latents) / self._autoencoder.std).square().mean()
        loss = loss + self.config.again_weight * off
        if self.step >= self.config.warmup:
            self._critic.requires_grad_(False)
            with precision(self._device):
                scores, features = self._critic(drawn, latents)
                wanted = self._critic(pixels, latents)[1]
            self._critic.requires_grad_(True)
            apart = torch.stack([F.l1_loss(one, other) for one, other in zip(features, wanted, strict=True)]).sum()
            loss = loss - self.config.critic_weight * torch.stack([score.mean() for score in scores]).sum()
            loss = loss + self.config.features_weight * apart
        return loss, figures | {"again": float(off.detach())}


def train_decoder(
    autoencoder: Autoencoder,
    footage: Footage,
    budget: Budget,
    device: torch.device,
    config: DecoderTraining,
    codec: AutoencoderTraining,
    *,
    seed: int = 0,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None,
) -> Autoencoder:
    """Train within the budget; the same autoencoder, encoder and latents unchanged, with another decoder."""
    trainer, threads = DecoderTrainer(autoencoder, footage, device, config, codec, seed=seed), Threads(device)
    while budget.left_s > 0:
        threads.begin_step()
        figures = trainer.take_step(budget.share)
        threads.end_step()
        on_step(trainer.step, figures)
    return trainer.trained()


def windows(frames: Tensor, weight: Tensor, size: int, factor: int) -> tuple[Tensor, Tensor]:
    """A window of each frame, the likelier the more what it shows counts; the whole frame where that is smaller.

    Shapes: (b, 3, h, w), (b, 1, h, w) -> the same of size * factor, placed by whole latents.
    """
    rows, columns = frames.shape[2] // factor, frames.shape[3] // factor
    height, width = min(size, rows), min(size, columns)
    chosen = F.avg_pool2d(weight, factor).flatten(1).multinomial(1)[:, 0]
    shift = torch.rand(2, len(frames), device=frames.device)
    top = (chosen // columns - (shift[0] * height).long()).clamp(0, rows - height) * factor
    left = (chosen % columns - (shift[1] * width).long()).clamp(0, columns - width) * factor
    down = (top[:, None] + torch.arange(height * factor, device=frames.device))[:, :, None]
    across = (left[:, None] + torch.arange(width * factor, device=frames.device))[:, None, :]
    row = torch.arange(len(frames), device=frames.device)[:, None, None]
    cut = [one.permute(0, 2, 3, 1)[row, down, across].permute(0, 3, 1, 2) for one in (frames, weight)]
    return cut[0].contiguous(memory_format=torch.channels_last), cut[1].contiguous()


def _descend(optimizer: torch.optim.Optimizer, network: nn.Module, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)
