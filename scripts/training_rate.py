"""Measure how many frames a second the dynamics of `tiny` and `tiny-fine` learn here, as trained and in fp32.

.venv/bin/python scripts/training_rate.py
"""

from __future__ import annotations

import contextlib
import statistics
import time
from unittest import mock

import numpy as np
import torch

from inhabit.bridge.report import machine
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.train import dynamics
from inhabit.worldmodel.train.latents import Latents
from inhabit.worldmodel.train.presets import PRESETS

ROWS, STEPS = 400, 7


def frames_per_s(preset_name: str, *, full_precision: bool) -> float:
    """The median over STEPS steps, without big steps."""
    preset, device = PRESETS[preset_name], torch.device("cpu")
    zeros = torch.zeros(ROWS)
    data = Latents(
        z=torch.randn(ROWS, preset.dynamics.latent_channels, *preset.dynamics.grid).half(),
        actions=torch.zeros(ROWS, preset.dynamics.actions),
        rewards=zeros,
        ended=zeros,
        first=zeros.bool(),
        care=torch.zeros(ROWS, *preset.dynamics.grid),
    )
    training = preset.dynamics_training
    starts = np.arange(ROWS - training.window)
    trainer = dynamics.DynamicsTrainer(Dynamics(preset.dynamics), data, starts, device, training)
    times = []
    plain = mock.patch.object(dynamics, "precision", return_value=contextlib.nullcontext())
    with plain if full_precision else contextlib.nullcontext():
        for _ in range(STEPS):
            started = time.perf_counter()
            trainer.take_step(0.0)
            times.append(time.perf_counter() - started)
    return training.batch * training.window / statistics.median(times)


if __name__ == "__main__":
    for name in ("tiny", "tiny-fine"):
        rates = [frames_per_s(name, full_precision=full) for full in (False, True)]
        print(f"{name}: {rates[0]:.0f} frames/s as trained, {rates[1]:.0f} in fp32")
    print(machine())
