"""The one texture of an isle: four tileable kinds of noise, computed from a fixed seed."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

SIDE = 128
CLOUDS, GRAIN, CELLS, DOTS = range(4)
"""Its channels: soft patches, fine grain, distance to the borders of cells, distance to scattered points."""


@functools.lru_cache(maxsize=8)
def texture(device: torch.device) -> Tensor:
    """(1, 4, SIDE + 1, SIDE + 1) float32, 0 to 1; the last row and column repeat the first, for sampling across."""
    rng = np.random.default_rng(5)
    first, second = _cells(rng, 40)
    layers = [
        _spectrum(rng, -1.6, 1, 40),
        _spectrum(rng, -0.4, 5, 64),
        np.clip((second - first) / (second - first).max() * 1.6, 0, 1),
        np.clip(first / 7.0, 0, 1),
    ]
    tile = np.stack([np.pad(layer, ((0, 1), (0, 1)), mode="wrap") for layer in layers])
    return torch.tensor(tile[None], dtype=torch.float32, device=device)


def sample(u: Tensor, v: Tensor) -> Tensor:
    """Read the texture at (b, h, w) places, 1 unit for one tile, bilinear. Shape (4, b, h, w)."""
    grid = torch.stack([u - u.floor(), v - v.floor()], -1) * 2 - 1
    b, h, w = u.shape
    out = torch.nn.functional.grid_sample(texture(u.device), grid.view(1, b * h, w, 2), align_corners=True)
    return out.view(4, b, h, w)


def _spectrum(rng: np.random.Generator, power: float, low: float, high: float) -> np.ndarray:
    """Noise with amplitude falling as frequency to `power`, spread evenly over 0 to 1."""
    fx, fy = np.meshgrid(np.fft.fftfreq(SIDE, 1 / SIDE), np.fft.fftfreq(SIDE, 1 / SIDE))
    radius = np.maximum(np.hypot(fx, fy), 0.5)
    amplitude = radius**power * (radius >= low) * (radius <= high)
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((SIDE, SIDE))) * amplitude).real
    return np.clip(0.5 + noise / noise.std() * 0.22, 0, 1)


def _cells(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances in pixels to the nearest and the second nearest of scattered points, on a torus."""
    points = rng.uniform(0, SIDE, (count, 2))
    at = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1)[:, :, None]
    apart = np.abs(at - points)
    apart = np.minimum(apart, SIDE - apart)
    order = np.sort(np.hypot(apart[..., 0], apart[..., 1]), axis=2)
    return order[..., 0], order[..., 1]
