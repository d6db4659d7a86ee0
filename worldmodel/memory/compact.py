"""Pictures in memory: a byte for each number."""

from __future__ import annotations

import torch
from torch import Tensor


def to_bytes(values: Tensor, least: Tensor | float, most: Tensor | float) -> Tensor:
    """Numbers from `least` to `most` as (...) uint8; what lies outside is moved to the nearest of them."""
    return ((values - least) / (most - least) * 255).round().clamp(0, 255).to(torch.uint8)


def of_bytes(values: Tensor, least: Tensor | float, most: Tensor | float) -> Tensor:
    """The numbers again, (...) float32."""
    return values.float() * ((most - least) / 255) + least
