"""Calibration: as many dreams end as games do."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.train.calibration import FEWEST, calibrate_endings, shift


class Footage(SimpleNamespace):
    def __len__(self):
        return len(self.first)


@pytest.fixture
def footage(small_pack):
    """Twenty episodes of fifty frames of a world in which nothing is to be seen; each fourth frame ends one."""
    frames, info = 1000, small_pack.file.info
    first = np.arange(frames) % 50 == 0
    return Footage(
        first=first,
        held_out=np.arange(frames) >= 800,
        pose=None,
        terminated=np.arange(frames) % 4 == 3,
        actions=np.zeros((frames, info.actions.size), np.float32),
    )


def engine_of(pack):
    return Engine(pack.autoencoder, copy.deepcopy(pack.dynamics), motion=pack.motion)


def test_a_shift_sets_the_mean_chance_and_keeps_the_order():
    logits = np.random.default_rng(0).normal(-9, 2, 4000)
    by = shift(logits, 0.003)
    assert (1 / (1 + np.exp(-(logits + by)))).mean() == pytest.approx(0.003, rel=1e-3)


def test_as_many_frames_end_as_in_the_recording(small_pack, footage):
    latents = torch.randn(1000, 8, 4, 4)
    engine = engine_of(small_pack)
    before = calibrate_endings(engine, footage, latents)
    assert before is not None
    assert abs(before - 0.25) > 0.01
    again = calibrate_endings(engine, footage, latents)
    assert again == pytest.approx(0.25, abs=1e-3)


def test_what_hardly_ever_ended_is_left_as_it_is(small_pack, footage):
    footage.terminated = np.arange(1000) < FEWEST - 1
    engine = engine_of(small_pack)
    weights = copy.deepcopy(engine.dynamics.state_dict())
    assert calibrate_endings(engine, footage, torch.randn(1000, 8, 4, 4)) is None
    for name, value in engine.dynamics.state_dict().items():
        torch.testing.assert_close(value, weights[name])
