"""The loop that a world's smaller networks are trained by: everything but the dynamics, and the judges too."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from inhabit.worldmodel.train.schedule import Average, Budget, Threads, learning_rate


def fit(
    network: nn.Module,
    lesson: Callable[[], Tensor],
    budget: Budget,
    device: torch.device,
    *,
    rate: float,
    warmup: int,
    gains: Mapping[str, float] | None = None,
    average: Average | None = None,
    most_steps: int = 0,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None,
) -> None:
    """Train by AdamW until the budget is used.

    Args:
        lesson: draws a batch and gives its loss, a scalar that gradients flow from.
        rate: peak learning rate.
        warmup: steps to it.
        gains: names of parameters and how many times the learning rate they get.
        average: of the network's weights, kept up to date.
        most_steps: steps after which it ends anyway; 0 for no bound.
        on_step: called after each step with their number so far and what to show.
    """
    gains = gains or {}
    groups = [{"params": [p for name, p in network.named_parameters() if name not in gains], "gain": 1.0}]
    groups += [{"params": [p], "gain": gains[name]} for name, p in network.named_parameters() if name in gains]
    optimizer = torch.optim.AdamW(groups, rate, betas=(0.9, 0.95), weight_decay=0.01)
    step, threads = 0, Threads(device)
    while budget.left_s > 0 and not (most_steps and step >= most_steps):
        threads.begin_step()
        share = max(budget.share, step / most_steps) if most_steps else budget.share
        now = learning_rate(step, share, peak=rate, warmup=warmup)
        for group in optimizer.param_groups:
            group["lr"] = now * group["gain"]
        loss = lesson()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if average:
            average.update(network)
        threads.end_step()
        step += 1
        on_step(step, {"loss": float(loss.detach())})
