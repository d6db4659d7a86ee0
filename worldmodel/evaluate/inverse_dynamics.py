"""An inverse-dynamics model: three frames in, the buttons that were held out. The judge of whether a dream obeys.

Trained on real frames alone. What it reads off dreamt frames, against what the dream was told, says how well actions
show; the same on real frames bounds that, because not every press can be seen (a shot while the gun reloads).
Source: action accuracy as in Genie and MineWorld; VPT's inverse dynamics (arXiv 2206.11795).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.bridge.controls import ActionMap
from inhabit.worldmodel.omni.autoencoder import Block, to_float
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.loop import fit
from inhabit.worldmodel.train.schedule import Budget, precision

OFFSETS = (-1, 0, 2)
"""The three frames, counted from the one that an action led to: motion shows at once, a shot two frames late."""

OFFSETS_SEEN = len(OFFSETS)

REACH_PX = 6
"""Largest shift of the picture between two frames that is looked for, in pixels of the reduced size."""

AXIS_PRESS = 1 / 3
"""How far an axis must go to count as pushed that way."""

ROWS_SEEN_PX = 48
"""Frames are averaged down to about this height: motion survives that, and it makes the judge quick."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InverseDynamicsConfig:
    """Training of the inverse-dynamics model."""

    width: int = 32
    """Channels at half of the size that is seen."""

    batch: int = 32

    steps: int = 0
    """Optimiser steps, if the budget allows; 0 uses the budget up. Judges of equal steps are equal on any machine."""

    rate: float = 3e-3
    """Peak learning rate of AdamW."""


class InverseDynamics(nn.Module):
    """Which buttons were held."""

    def __init__(self, names: Sequence[str], width: int = 32):
        super().__init__()
        self.names = tuple(names)
        self.body = nn.Sequential(
            nn.Conv2d(9, width, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            Block(2 * width),
            nn.SiLU(),
        )
        inputs = 4 * width + 2 * (OFFSETS_SEEN - 1) * (2 * REACH_PX + 1)
        self.head = nn.Sequential(nn.Linear(inputs, 2 * width), nn.SiLU(), nn.Linear(2 * width, len(names)))

    def features(self, pixels: Tensor) -> Tensor:
        """Shapes: (b, 3 frames, h, w, 3) uint8 -> (b, features): means and peaks over the picture, and shifts."""
        b, t = pixels.shape[:2]
        x = to_float(pixels.flatten(0, 1))  # (b * 3, 3, h, w)
        x = F.avg_pool2d(x, max(1, x.shape[-2] // ROWS_SEEN_PX)).unflatten(0, (b, t))
        h = self.body(x.flatten(1, 2))
        return torch.cat([h.mean((2, 3)), h.amax((2, 3)), shift_profiles(x.mean(2))], dim=1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Shapes: (b, 3 frames, h, w, 3) uint8 -> (b, buttons) logits."""
        return self.head(self.features(pixels))


def shift_profiles(x: Tensor) -> Tensor:
    """How well each frame fits the one before it when that is shifted, sideways and up or down.

    A turning camera moves the whole picture: that is plain to see in these figures, and slow to learn for convolutions.
    Shapes: (b, t, h, w) -> (b, 2 * (t - 1) * (2 * REACH_PX + 1)), each profile standardised.
    """
    h, w = x.shape[2:]
    profiles = []
    for high, wide in ((0, 1), (1, 0)):
        errors = []
        for shift in range(-REACH_PX, REACH_PX + 1):
            dy, dx = high * shift, wide * shift
            now = x[:, 1:, max(0, dy) : h + min(0, dy), max(0, dx) : w + min(0, dx)]
            then = x[:, :-1, max(0, -dy) : h + min(0, -dy), max(0, -dx) : w + min(0, -dx)]
            errors.append((now - then).abs().mean((2, 3)))
        profile = torch.stack(errors, -1)  # (b, t - 1, shifts)
        profiles.append((profile - profile.mean(-1, keepdim=True)) / (profile.std(-1, keepdim=True) + 1e-3))
    return torch.cat(profiles, dim=1).flatten(1)


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """How well buttons were read."""

    buttons: dict[str, float]
    """Balanced accuracy of each; NaN where it was always held or never."""

    @property
    def mean(self) -> float:
        """Over the buttons that have a figure; 0.5 is chance."""
        known = [value for value in self.buttons.values() if not np.isnan(value)]
        return float(np.mean(known)) if known else float("nan")


def button_names(actions: ActionMap) -> tuple[str, ...]:
    """What is to be read: each button, and both directions of each axis."""
    kinds = [
        (source.name,) if source.kind == "button" else (f"{source.name}+", f"{source.name}-")
        for source in actions.sources
    ]
    return tuple(name for pair in kinds for name in pair)


def held_buttons(actions: np.ndarray, named: ActionMap) -> np.ndarray:
    """Shapes: (..., actions) float -> (..., buttons) bool, in the order of button_names()."""
    columns = []
    for index, source in enumerate(named.sources):
        value = actions[..., index]
        columns += [value > 0.5] if source.kind == "button" else [value > AXIS_PRESS, value < -AXIS_PRESS]
    return np.stack(columns, -1)


def readable_rows(footage: Footage, *, held_out: bool) -> np.ndarray:
    """Rows all of whose OFFSETS lie in the same episode."""
    return footage.windows(OFFSETS[-1] - OFFSETS[0] + 1, held_out=held_out) - OFFSETS[0]


def real_triples(footage: Footage, rows: np.ndarray) -> np.ndarray:
    """Shapes: (n,) rows -> (n, 3, h, w, 3) uint8."""
    return footage.frames[rows[:, None] + np.array(OFFSETS)]


def train_inverse_dynamics(
    footage: Footage,
    budget: Budget,
    device: torch.device,
    config: InverseDynamicsConfig | None = None,
    *,
    seed: int = 0,
) -> InverseDynamics:
    """Train on real frames that are not held out. A button held rarely weighs as much as one held often."""
    config = config or InverseDynamicsConfig()
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    named = footage.meta.world.actions
    network = InverseDynamics(button_names(named), config.width).to(device)
    rows = readable_rows(footage, held_out=False)
    held = held_buttons(footage.actions, named)
    often = torch.from_numpy(held[rows].mean(0)).float().clamp(0.01, 0.99)
    pressure = ((1 - often) / often).to(device)

    def lesson() -> Tensor:
        chosen = rng.choice(rows, config.batch)
        truth = torch.from_numpy(held[chosen]).float().to(device)
        with precision(device):
            logits = network(torch.from_numpy(real_triples(footage, chosen)).to(device))
        return F.binary_cross_entropy_with_logits(logits.float(), truth, pos_weight=pressure)

    fit(network, lesson, budget, device, rate=config.rate, warmup=50, most_steps=config.steps)
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def read_buttons(network: InverseDynamics, triples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read buttons and features. Shapes: (n, 3, h, w, 3) uint8 -> (n, buttons) bool, (n, features) float32."""
    device = next(network.parameters()).device
    said, features = [], []
    for start in range(0, len(triples), 64):
        pixels = torch.from_numpy(np.ascontiguousarray(triples[start : start + 64])).to(device)
        with precision(device):
            part = network.features(pixels)
            said.append((network.head(part) > 0).cpu().numpy())
        features.append(part.float().cpu().numpy())
    return np.concatenate(said), np.concatenate(features)


def balanced_accuracy(said: np.ndarray, truth: np.ndarray, names: Sequence[str]) -> Accuracy:
    """Mean of the shares of presses and of non-presses that were read as such. Shapes: two of (n, buttons) bool."""
    figures = {}
    for index, name in enumerate(names):
        held = truth[:, index]
        shares = [np.mean(said[held == state, index] == state) for state in (True, False) if (held == state).any()]
        figures[name] = float(np.mean(shares)) if len(shares) == 2 else float("nan")
    return Accuracy(buttons=figures)
