"""A critic: tells painted frames from real ones, and by that teaches what a distance cannot.

What is not known to the pixel, such as the pattern of a floor that comes into view, is painted as the mean of all that
it may be: the distance to what is right asks for that. A critic does not care which of them it is, but whether it looks
like any. It sees a frame's latents alone, and the place of each: what should be there is the distance's affair.
(Relativistic loss with penalties on real and on painted frames: Huang et al. 2024, arXiv 2501.05441; the penalties by
differences, as Lin et al. 2025, arXiv 2501.08316.)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.omni.autoencoder import Block as ConvBlock
from inhabit.worldmodel.omni.motion import place_of

WIDTH = 64
BLOCKS = 3
NUDGE = 0.05
"""How far latents are moved to see how steep the critic is."""
STEEPNESS_WEIGHT = 10.0
RATE = 5e-4


class CriticNetwork(nn.Module):
    """One opinion for each latent of a frame: the higher, the more real."""

    def __init__(self, channels: int, grid: tuple[int, int]):
        super().__init__()
        self.grid = grid
        self.join = nn.Conv2d(channels + 2, WIDTH, 3, padding=1)
        self.blocks = nn.Sequential(*(ConvBlock(WIDTH) for _ in range(BLOCKS)))
        self.out = nn.Conv2d(WIDTH, 1, 1)

    def forward(self, latents: Tensor) -> Tensor:
        """Shapes: (n, c, h, w) -> (n, h, w) float32."""
        place = place_of(latents, self.grid).expand(len(latents), -1, -1, -1)
        x = self.join(torch.cat([latents, place], 1).contiguous(memory_format=torch.channels_last))
        return self.out(F.silu(self.blocks(x)))[:, 0].float()


class Critic:
    """A critic in training."""

    def __init__(self, network: CriticNetwork, device: torch.device):
        self.network = network.to(device).train()
        self._optimizer = torch.optim.AdamW(network.parameters(), RATE, betas=(0.0, 0.99), weight_decay=0.0)

    def learn(self, painted: Tensor, real: Tensor) -> Tensor:
        """One step of its own. Shapes: (n, c, h, w) twice -> how well it tells them apart, 0 to 1."""
        painted = painted.detach()
        both = torch.cat([real, painted])
        says = self.network(torch.cat([both, both + NUDGE * torch.randn_like(both)]))
        says, nudged = says.chunk(2)
        margin = says[: len(real)] - says[len(real) :]
        loss = F.softplus(-margin).mean() + STEEPNESS_WEIGHT * (says - nudged).square().mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return (margin > 0).float().mean().detach()

    def judge(self, painted: Tensor, real: Tensor, weight: Tensor) -> Tensor:
        """How much worse painted frames look than real ones; what is learnt flows into them.

        Args:
            painted, real: (n, c, h, w).
            weight: (n, h, w) how much each place counts.
        """
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        says = self.network(torch.cat([painted, real]))
        for parameter in self.network.parameters():
            parameter.requires_grad_(True)
        ours, theirs = says.chunk(2)
        return (F.softplus(theirs - ours) * weight).sum() / weight.sum()


def balanced(loss: Tensor, beside: Tensor, at: Tensor, share: float) -> Tensor:
    """A loss scaled so that it pulls at a tensor `share` times as strongly as another one does."""
    pull = [torch.autograd.grad(one, at, retain_graph=True)[0].norm() for one in (beside, loss)]
    return loss * (share * pull[0] / pull[1].clamp(min=1e-8)).clamp(max=100.0).detach()
