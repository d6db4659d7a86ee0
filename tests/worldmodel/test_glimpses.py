"""Glimpses that judges learn from: other islands in every frame, with what is truly in view."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from inhabit.worldmodel.evaluate.detector import DetectorConfig, measure, train_detector
from inhabit.worldmodel.evaluate.glimpses import HELD_EVERY, THINGS, TOGETHER, draw_footage, glimpses
from inhabit.worldmodel.evaluate.reality import Reality, counted_by, hold
from inhabit.worldmodel.train.schedule import Budget
from inhabit.worldmodel.worlds.isle.record import describe
from inhabit.worldmodel.worlds.isle.scene import BALL
from inhabit.worldmodel.worlds.record import RecordConfig

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def meta():
    return describe(RecordConfig(source="isle", folder=Path(), width=64, height=64))


@pytest.fixture(scope="module")
def footage(meta):
    return draw_footage(meta, HELD_EVERY * TOGETHER, seed=4)


def test_equal_seeds_draw_equal_glimpses_and_others_draw_others(meta):
    one, same, other = (draw_footage(meta, 20, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.frames, same.frames)
    assert np.array_equal(one.boxes, same.boxes)
    assert len(one) == 20  # a last batch that is not full
    assert not np.array_equal(one.frames, other.frames)


def test_boxes_are_those_of_what_is_in_view(footage):
    assert footage.names == THINGS
    assert (np.diff(footage.boxes[:, 0]) >= 0).all()
    _, kind, x, y, width, height = footage.boxes.T
    assert set(kind) == set(range(len(THINGS)))  # in so many frames everything is seen once
    assert min(x.min(), y.min()) >= 0
    assert max((x + width).max(), (y + height).max()) <= 64
    ball = footage.boxes[kind == THINGS.index("ball")]
    held = (ball[:, 2] > 32) & (ball[:, 3] > 32) & (ball[:, 4] >= 10)
    assert 0.2 < held.mean() < 0.9  # some are in the hand, low on the right, some fly or lie about


def test_whole_batches_of_islands_are_held_out(footage):
    assert footage.held_out.reshape(-1, TOGETHER).all(1).sum() == 1
    assert footage.held_out.sum() == TOGETHER


def test_balls_stay_in_the_hand_unless_they_are_thrown():
    for state, picture in glimpses(16, size=(32, 32), seed=3):
        assert state.ball_held.all()
        assert picture.pixels.shape == (16, 32, 32, 3)
        assert (picture.labels == BALL + 1).flatten(1).any(1).sum() >= 14
    assert not all(state.ball_held.all() for state, _ in glimpses(16, size=(32, 32), seed=3, throw=True))


def test_play_is_counted_as_the_judge_counts(footage):
    few = hold(footage, footage.held_out)
    real = counted_by(Reality(test=few, judges=few, seeds={}), ("ball", "tower"))
    kinds = [THINGS.index(name) for name in ("ball", "tower")]
    assert real.test.names == ("ball", "tower")
    assert (real.test.boxes[:, 1] == 0).sum() == (footage.boxes[:, 1] == kinds[0]).sum()
    assert len(real.judges.boxes) == np.isin(footage.boxes[:, 1], kinds).sum()
    assert np.array_equal(real.judges.held_out, footage.held_out)


@pytest.mark.slow
def test_a_detector_that_learnt_from_glimpses_finds_things_on_other_islands(meta):
    lessons, others = draw_footage(meta, 640, seed=5), draw_footage(meta, 96, seed=6)
    detector = train_detector(lessons, Budget(seconds=120), torch.device("cpu"), DetectorConfig(steps=150))
    found = measure(detector, others, np.arange(len(others)))
    nothing = measure(detector, others, np.arange(len(others)), pixels=np.full_like(others.frames, 128))
    assert found.recall > 0.25, found
    assert found.precision > 0.4, found
    assert nothing.recall < found.recall / 2, nothing
