"""Muon in single precision takes the steps that torch's takes in bf16."""

from __future__ import annotations

import pytest
import torch

from inhabit.worldmodel.train.muon import Fp32Muon, orthogonal


def test_singular_values_come_near_one():
    torch.manual_seed(0)
    for shape in ((24, 64), (64, 24)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
        assert 0.5 < values.min() <= values.max() < 1.5


@pytest.mark.parametrize("shape", [(24, 64), (64, 24)])
def test_it_steps_as_torch_does(shape):
    torch.manual_seed(1)
    start, goal = torch.randn(shape), torch.randn(shape)
    ends = []
    for make in (Fp32Muon, torch.optim.Muon):
        weight = torch.nn.Parameter(start.clone())
        optimizer = make([weight], lr=0.05, weight_decay=0.01)
        for _ in range(10):
            optimizer.zero_grad()
            (weight - goal).square().mean().backward()
            optimizer.step()
        ends.append(weight.detach() - start)
    apart = (ends[0] - ends[1]).norm() / ends[1].norm()
    assert apart < 0.03, "bf16 rounds"
