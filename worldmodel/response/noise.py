"""Noise from counters: a session's noise is a function of its own key and frame, never of who else is in the batch.

A counter is hashed with splitmix64 (Steele, Lea, Flood 2014) and turned into normals by Box and Muller. All on the
tensor's device, in integer arithmetic that wraps, so the bits are the same on every device and in every batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64


def normal(key: Tensor, frame: Tensor, draw: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normals for each session.

    Args:
        key: (b,) int64, one for each session.
        frame: (b,) int64, the frame that the noise is for.
        draw: which of the frame's draws this is; each is independent.
        shape: of one session's noise.

    Returns:
        (b, *shape) float32.
    """
    count = math.prod(shape)
    first, second = (_uniform(key, frame, 2 * draw + part, (count + 1) // 2) for part in (0, 1))
    radius, angle = (-2 * first.log()).sqrt(), (2 * math.pi) * second
    pair = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)
    return pair[:, :count].reshape(-1, *shape).float()


def uniform(key: Tensor, frame: Tensor, draw: int) -> Tensor:
    """One number in (0, 1] for each session. Shapes: two of (b,) int64 -> (b,) float64."""
    return _uniform(key, frame, 2 * draw, 1)[:, 0]


def uniforms(key: Tensor, frame: Tensor, draw: int, shape: tuple[int, ...]) -> Tensor:
    """Numbers in (0, 1] of that shape for each session. Shapes: two of (b,) int64 -> (b, *shape) float64."""
    return _uniform(key, frame, 2 * draw, math.prod(shape)).reshape(-1, *shape)


def _uniform(key: Tensor, frame: Tensor, stream: int, count: int) -> Tensor:
    """Shapes: (b, count) float64 in (0, 1]."""
    place = torch.arange(count, device=key.device)
    session = _hash(_hash(key) ^ _hash(frame * 64 + stream))
    bits = _hash(session[:, None] + place * _GOLDEN)
    return (_shift(bits, 11) + 1).double() * 2.0**-53


def _hash(x: Tensor) -> Tensor:
    x = x + _GOLDEN
    x = (x ^ _shift(x, 30)) * _MIX_1
    x = (x ^ _shift(x, 27)) * _MIX_2
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shift right without dragging the sign along."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
