"""The policy: a small network that reads the last latents of a world. The same on dreamt and on encoded real frames."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from inhabit.worldmodel.pack import fill, write_tensors

SEEN = 3
"""Frames that it sees, the newest last: from one alone nobody knows where a fireball flies."""

WIDTH = 128


class Policy(nn.Module):
    """Action chances and the value of a state."""

    def __init__(self, latent_shape: tuple[int, ...], actions: int):
        super().__init__()
        inputs = SEEN * torch.Size(latent_shape).numel()
        self.body = nn.Sequential(_linear(inputs, WIDTH, 2**0.5), nn.Tanh(), _linear(WIDTH, WIDTH, 2**0.5), nn.Tanh())
        self.actor, self.critic = _linear(WIDTH, actions, 0.01), _linear(WIDTH, 1, 1.0)

    def forward(self, seen: Tensor) -> tuple[Categorical, Tensor]:
        """Shapes: (b, SEEN, c, h, w) -> chances of (b,) actions, (b,)."""
        features = self.body(seen.flatten(1))
        return Categorical(logits=self.actor(features), validate_args=False), self.critic(features).squeeze(-1)


class Sight:
    """The last SEEN latents of each environment; an episode begins with its first one alone, repeated."""

    def __init__(self, first: Tensor):
        self.seen = _repeated(first)

    def add(self, latents: Tensor) -> None:
        """Shape (n, c, h, w)."""
        self.seen = torch.cat([self.seen[:, 1:], latents[:, None]], 1)

    def begin(self, rows: Tensor, first: Tensor) -> None:
        """Some environments began anew. Shapes: (k,) int64, (k, c, h, w)."""
        self.seen = self.seen.clone()
        self.seen[rows] = _repeated(first)

    def after(self, rows: Tensor, last: Tensor) -> Tensor:
        """What these would see if `last` came next. Shape (k, SEEN, c, h, w)."""
        return torch.cat([self.seen[rows, 1:], last[:, None]], 1)


def save_policy(policy: Policy, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(dict(policy.state_dict()), path)


def load_policy(path: Path, latent_shape: tuple[int, ...], actions: int) -> Policy:
    """Raises PackError for a file of another policy."""
    policy = Policy(latent_shape, actions)
    fill(policy, path)
    return policy.eval().requires_grad_(False)


def _linear(inputs: int, outputs: int, gain: float) -> nn.Linear:
    """Begin with orthogonal weights; a small gain at the end begins with all actions about as likely."""
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def _repeated(first: Tensor) -> Tensor:
    return first[:, None].expand(-1, SEEN, *first.shape[1:]).clone()
