"""What could be known: an object that was in view is, one that comes from behind is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inhabit.bridge.controls import ActionMap
from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.evaluate.knowable import known_share
from inhabit.worldmodel.recordings import Meta
from inhabit.worldmodel.train.footage import Footage

TURN_RAD = np.pi / 4


@pytest.fixture
def footage() -> Footage:
    """Three frames, each an eighth of a turn to the right of the one before: a demon ahead at first, another behind."""
    info = WorldInfo(name="x", title="x", width=128, height=96, rate_hz=20.0, actions=ActionMap(sources=()))
    boxes = [
        (0, 0, 59, 40, 10, 20),  # ahead
        (1, 0, 0, 40, 1, 20),  # the same one, now at the left edge
        (2, 0, 59, 40, 10, 20),  # another one, at a right angle to the first
        (2, 1, 59, 40, 10, 20),
    ]
    pose = np.zeros((3, 5), np.float32)
    pose[:, 3] = np.arange(3) * TURN_RAD
    zeros = np.zeros(3, np.float32)
    return Footage(
        meta=Meta(world=info, source="x"),
        frames=np.zeros((3, 96, 128, 3), np.uint8),
        actions=np.zeros((3, 1), np.float32),
        rewards=zeros,
        terminated=zeros.astype(bool),
        first=np.array([True, False, False]),
        seeds=np.zeros(3, np.int64),
        boxes=np.array(boxes, np.int32),
        names=("Demon", "Imp"),
        pose=pose,
    )


def share(footage: Footage, row: int) -> float | None:
    return known_share(footage, np.array([[0]]), np.array([row]))


def test_what_was_in_view_is_known_wherever_the_view_has_turned(footage):
    assert share(footage, 0) == 1.0
    assert share(footage, 1) == 1.0


def test_what_comes_into_view_is_not(footage):
    assert share(footage, 2) == 0.0


def test_another_name_in_the_same_place_is_another_object(footage):
    renamed = footage.boxes.copy()
    renamed[1, 1] = 1
    assert share(replace(footage, boxes=renamed), 1) == 0.0


def test_nothing_is_said_without_poses_or_objects(footage):
    assert share(replace(footage, pose=None), 1) is None
    assert share(replace(footage, boxes=footage.boxes[:0]), 1) is None
