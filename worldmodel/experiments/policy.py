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
CHANNELS = 16


class Policy(nn.Module):
    """Action chances and the value of a state.

    A fireball looks the same wherever it is: convolutions find it, and only then counts where it was found. The two are
    networks of their own: what is worth much would otherwise drown what is to be done.
    """

    def __init__(self, latent_shape: tuple[int, ...], actions: int):
        super().__init__()
        self.actor = _network(latent_shape, actions, 0.01)
        self.critic = _network(latent_shape, 1, 1.0)

    def forward(self, seen: Tensor) -> tuple[Categorical, Tensor]:
        """Shapes: (b, SEEN, c, h, w) -> chances of (b,) actions, (b,)."""
        frames = seen.flatten(1, 2)
        return Categorical(logits=self.actor(frames), validate_args=False), self.critic(frames).squeeze(-1)


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


def _network(latent_shape: tuple[int, ...], outputs: int, gain: float) -> nn.Sequential:
    channels, rows, columns = latent_shape
    return nn.Sequential(
        _begun(nn.Conv2d(SEEN * channels, CHANNELS, 3, padding=1), 2**0.5),
        nn.ReLU(),
        _begun(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), 2**0.5),
        nn.ReLU(),
        nn.Flatten(),
        _linear(CHANNELS * rows * columns, WIDTH, 2**0.5),
        nn.Tanh(),
        _linear(WIDTH, outputs, gain),
    )


def _linear(inputs: int, outputs: int, gain: float) -> nn.Module:
    """Begin with orthogonal weights; a small gain at the end begins with all actions about as likely."""
    return _begun(nn.Linear(inputs, outputs), gain)


def _begun(layer: nn.Module, gain: float) -> nn.Module:
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    nn.init.orthogonal_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _repeated(first: Tensor) -> Tensor:
    return first[:, None].expand(-1, SEEN, *first.shape[1:]).clone()
