"""RMSNorm, with a quick way back on a CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Norm(nn.RMSNorm):
    """RMSNorm over the last dimension. It keeps its input's type, so that the fused kernel runs under autocast (it
    accumulates in fp32)."""

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad and x.device.type == "cpu":
            return _LearningNorm.apply(x, self.weight)
        return F.rms_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.eps)


class ChannelNorm(Norm):
    """The same over the channels of each place, (n, c, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class _LearningNorm(torch.autograd.Function):
    """The same numbers with their gradient by hand. On a CPU, torch takes its RMSNorm apart to differentiate it, and
    each of the parts goes through all of memory: a quarter of a training step went there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = (length.square_() / x.shape[-1]).add_(torch.finfo(torch.float32).eps).rsqrt_().to(x.dtype)
        normed = x * scale
        ctx.save_for_backward(normed, scale, weight)
        return normed * weight.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        normed, scale, weight = ctx.saved_tensors
        (grad,) = grads
        weight = weight.to(grad.dtype)
        along = (grad * normed).flatten(0, -2)
        turned = grad * weight
        away = (along @ weight).view(scale.shape) / grad.shape[-1]
        return turned.sub_(normed * away).mul_(scale), along.sum(0, dtype=torch.float32)
