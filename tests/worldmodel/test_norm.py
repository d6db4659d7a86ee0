"""The norm's own gradient is torch's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from inhabit.worldmodel.omni.norm import ChannelNorm, Norm


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_learning_norms_as_playing_does(dtype, near):
    torch.manual_seed(0)
    norm = Norm(64)
    torch.nn.init.normal_(norm.weight, 1, 0.3)
    x, wanted = (torch.randn(50, 7, 64).mul(3).to(dtype) for _ in range(2))

    def learnt(run) -> list[torch.Tensor]:
        leaf = x.clone().requires_grad_()
        norm.weight.grad = None
        y = run(leaf)
        y.backward(wanted)
        assert leaf.grad is not None
        assert norm.weight.grad is not None
        assert y.dtype == leaf.grad.dtype == dtype
        return [part.float() for part in (y.detach(), leaf.grad, norm.weight.grad)]

    ours = learnt(norm)
    theirs = learnt(lambda leaf: F.rms_norm(leaf, (64,), norm.weight.to(dtype), None))
    for mine, right in zip(ours, theirs, strict=True):
        assert (mine - right).abs().max() < near * right.abs().max()
    with torch.no_grad():
        assert (norm(x).float() - ours[0]).abs().max() < near * ours[0].abs().max()


def test_channels_are_normed_place_by_place():
    x = torch.randn(2, 8, 3, 4)
    assert torch.allclose(ChannelNorm(8)(x).square().mean(1), torch.ones(2, 3, 4), atol=1e-3)
