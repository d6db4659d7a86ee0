"""A critic of latents: what a dream paints shall look like a frame, and not like the mean of all that it may be.

The best answer to any distance is a mean or a middle of what is possible: a floor without pattern, a monster without
outline. Painted on from frame to frame, that is all that is left of a world. So a small network learns to tell real
latents from painted ones, place by place, with what was there before; and the dynamics learns to pass. (Adversarial
training after diffusion: Lin et al. 2025, arXiv 2501.08316; of worlds that run frame by frame: arXiv 2506.09350.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.omni.motion import place_of
from inhabit.worldmodel.train.schedule import precision

NUDGE = 0.1
"""Noise, in spreads of a latent, that must not change what the critic says of real latents."""

STEADINESS = 1.0
"""Weight of that: an estimate of the squared gradient at real latents (R1, arXiv 1801.04406), without a second pass
back (arXiv 2501.08316, sec. 3.3)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exhibits:
    """Frames for the critic, k of them."""

    painted: Tensor
    """(k, c, h, w) latents as they were painted."""

    real: Tensor
    """(k, c, h, w) as they really were."""

    before: Tensor
    """(k, c, h, w) what was there before, as the painter was shown it."""

    def detached(self) -> Exhibits:
        """The same, for the critic to learn from."""
        return Exhibits(painted=self.painted.detach(), real=self.real, before=self.before)


class LatentCritic(nn.Module):
    """Scores each place of a frame, the higher the more real."""

    def __init__(self, latent_channels: int, grid: tuple[int, int], width: int = 64):
        super().__init__()
        self.grid = grid
        self.body = nn.Sequential(
            nn.Conv2d(2 * latent_channels + 2, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 1, 1),
        )

    def forward(self, latents: Tensor, before: Tensor) -> Tensor:
        """Shapes: (k, c, h, w) twice -> (k, h, w)."""
        place = place_of(latents, self.grid).expand(len(latents), -1, -1, -1)
        seen = torch.cat([latents, before, place], 1).contiguous(memory_format=torch.channels_last)
        return self.body(seen)[:, 0].float()


class Criticism:
    """Owns a critic and its optimiser. What the critic is asked flows into what is painted, never into the critic."""

    def __init__(self, critic: LatentCritic, device: torch.device, *, rate: float):
        self.critic = critic.to(device).requires_grad_(False)
        self._optimizer = torch.optim.AdamW(critic.parameters(), rate, betas=(0.5, 0.95), weight_decay=0.01)
        self._device = device
        self.lessons = 0

    def of(self, shown: Exhibits, weight: Tensor | None = None) -> Tensor:
        """How unreal what was painted looks; what the painter learns flows into it. A scalar, 0 at best.

        Args:
            weight: (k, h, w) how much each place counts; 1 by default.
        """
        with precision(self._device):
            doubt = F.softplus(-self.critic(shown.painted, shown.before))
        return (doubt if weight is None else doubt * weight).mean()

    def learn(self, parts: Sequence[Exhibits]) -> float:
        """Learn to tell them apart; frames of one size in each part. Returns how often it could, 0.5 to 1."""
        self.critic.requires_grad_(True)
        losses, told = zip(*(self._doubt(part) for part in parts), strict=True)
        self._optimizer.zero_grad(set_to_none=True)
        torch.stack(losses).mean().backward()
        nn.utils.clip_grad_norm_(self.critic.parameters(), 1.0)
        self._optimizer.step()
        self.critic.requires_grad_(False)
        self.lessons += 1
        return sum(told) / len(told)

    def _doubt(self, shown: Exhibits) -> tuple[Tensor, float]:
        """How far the critic is from telling them apart, and how often it can."""
        nudged = shown.real + NUDGE * torch.randn_like(shown.real)
        with precision(self._device):
            latents = torch.cat([shown.painted, shown.real, nudged])
            wrong, right, beside = self.critic(latents, shown.before.repeat(3, 1, 1, 1)).chunk(3)
        loss = (F.softplus(wrong) + F.softplus(-right)).mean()
        loss = loss + STEADINESS * ((right - beside) / NUDGE).square().mean()
        return loss, float(((wrong < 0).float().mean() + (right > 0).float().mean()) / 2)
