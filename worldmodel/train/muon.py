"""Muon for processors that cannot multiply bf16: torch.optim.Muon always does, and is ten times as slow there."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Of the polynomial that brings singular values near 1 (Jordan et al. 2024)."""

ITERATIONS = 5
MOMENTUM = 0.95
EPS = 1e-7


class Fp32Muon(torch.optim.Optimizer):
    """The same steps as torch.optim.Muon with its defaults, in single precision. Learns matrices only."""

    def __init__(self, params: Any, lr: float, *, weight_decay: float):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        assert closure is None
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is None:
                    continue
                state = self.state[param]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(param.grad)
                momentum = state["momentum_buffer"].lerp_(param.grad, 1 - MOMENTUM)
                update = orthogonal(param.grad.lerp(momentum, MOMENTUM))
                param.mul_(1 - group["lr"] * group["weight_decay"])
                param.add_(update, alpha=-group["lr"] * math.sqrt(max(1, param.shape[0] / param.shape[1])))


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix with the same singular vectors, and singular values of about 1. Shapes: (m, n) -> (m, n)."""
    a, b, c = COEFFICIENTS
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / wide.norm().clamp(min=EPS)
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide
