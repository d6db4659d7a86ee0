"""The measures themselves: a perfect dream scores what perfection must score, a copy scores what a copy must score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from inhabit.bridge.controls import ActionMap, ActionSource
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.report import tidy
from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.evaluate import drift, fidelity
from inhabit.worldmodel.evaluate.detector import match
from inhabit.worldmodel.evaluate.endings import (
    average_precision,
    measure_endings,
    measure_rewards,
    read_heads,
    soft_precision_recall,
)
from inhabit.worldmodel.evaluate.inverse_dynamics import (
    REACH_PX,
    InverseDynamics,
    InverseDynamicsConfig,
    balanced_accuracy,
    button_names,
    held_buttons,
    read_buttons,
    readable_rows,
    real_triples,
    shift_profiles,
    train_inverse_dynamics,
)
from inhabit.worldmodel.evaluate.judges import Judges
from inhabit.worldmodel.evaluate.reality import check_fits, hold, take
from inhabit.worldmodel.evaluate.rollout import CONTEXT_FRAMES, Rollout
from inhabit.worldmodel.recordings import Meta
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.schedule import Budget

pytestmark = pytest.mark.usefixtures("one_thread")

EPISODES, LENGTH = 8, 40
TURN_PX = 4


@pytest.fixture(scope="module")
def footage() -> Footage:
    """A camera that LEFT and RIGHT turn before a pattern; FIRE lights a corner two frames later; all of it held out."""
    rng = np.random.default_rng(0)
    names = ("LEFT", "RIGHT", "FIRE")
    actions = ActionMap(sources=tuple(ActionSource(name=name) for name in names))
    info = WorldInfo(name="pattern", width=64, height=64, rate_hz=20.0, actions=actions)
    pattern = rng.integers(0, 200, (64, 64, 3)).repeat(3, axis=1).astype(np.uint8)
    frames, taken, boxes = [], [], []
    for episode in range(EPISODES):
        place, fired = 60, [False, False]
        for frame in range(LENGTH):
            action = np.eye(4, dtype=np.float32)[rng.integers(4), :3] if frame else np.zeros(3, np.float32)
            place = int(np.clip(place + TURN_PX * (action[1] - action[0]), 0, 128))
            picture = pattern[:, place : place + 64].copy()
            fired = [*fired[-2:], bool(action[2])]
            picture[:16, :16] = 255 if fired[-3] else 0
            frames.append(picture)
            taken.append(action)
            boxes.append((episode * LENGTH + frame, 0, 20, 30, 12, 14))
    total = EPISODES * LENGTH
    rewards = np.zeros(total, np.float32)
    rewards[10::LENGTH] = 1.0
    at_end = np.arange(total) % LENGTH == LENGTH - 1
    made = Footage(
        meta=Meta(world=info, source="test"),
        frames=np.stack(frames),
        actions=np.stack(taken),
        rewards=rewards,
        terminated=at_end,
        first=np.arange(total) % LENGTH == 0,
        seeds=np.repeat(np.arange(EPISODES), LENGTH),
        boxes=np.array(boxes, np.int32),
        names=("Square",),
    )
    return hold(made, np.ones(total, bool))


def rollout_of(footage: Footage, frames: int, picture) -> Rollout:
    """A rollout that dreams whatever picture(rows, last_seen) says."""
    starts = footage.windows(CONTEXT_FRAMES + frames, held_out=True)[::7]
    rows = starts[:, None] + CONTEXT_FRAMES + np.arange(frames)
    last = starts + CONTEXT_FRAMES - 1
    nothing = np.zeros(rows.shape, np.float32)
    return Rollout(
        rows=rows, given=rows, dreamt=picture(rows, last), last_seen=last, reward=nothing, ending_chance=nothing
    )


def dreams_of(footage: Footage, picture) -> fidelity.Dreams:
    near, far = rollout_of(footage, 4, picture), rollout_of(footage, 20, picture)
    return fidelity.Dreams(near=near, far=far, shuffled=near)


def perfect(footage):
    return lambda rows, last: footage.frames[rows]


def copy(footage):
    return lambda rows, last: footage.frames[last][:, None].repeat(rows.shape[1], axis=1)


def test_a_perfect_dream_has_skill_one_and_a_still_picture_none(footage):
    dream = fidelity.measure_pictures(dreams_of(footage, perfect(footage)), footage)
    still = fidelity.measure_pictures(dreams_of(footage, copy(footage)), footage)
    for horizon in (1, 4, 16):
        assert dream["skill"][horizon] == pytest.approx(1.0)
        assert still["skill"][horizon] == pytest.approx(0.0)
        low, high = still["skill_interval"][horizon]
        assert low <= 0 <= high
    assert 64 not in dream["skill"]
    assert len(still["curve"]["skill"]) == 20
    assert still["psnr_db"][16] == pytest.approx(still["curve"]["copy_psnr_db"][15])


def test_actions_read_off_real_frames_have_a_fidelity_of_one(footage, engine):
    judge = InverseDynamics(button_names(footage.meta.world.actions)).eval()
    real = dreams_of(footage, perfect(footage))
    figures = fidelity.measure_actions(engine, real, footage, judge, fidelity.FidelityConfig(action_triples=40))
    assert figures["ratio"] == pytest.approx(1.0)
    assert figures["dreamt"] == pytest.approx(figures["real"])
    assert figures["delta_psnr_db"] == pytest.approx(0.0)


def test_the_inverse_dynamics_model_learns_what_shows(footage):
    judges = hold(footage, footage.seeds >= EPISODES - 2)
    config = InverseDynamicsConfig(steps=40, batch=12)
    network = train_inverse_dynamics(judges, Budget(seconds=60), torch.device("cpu"), config)
    rows = readable_rows(judges, held_out=True)
    said, features = read_buttons(network, real_triples(judges, rows))
    truth = held_buttons(judges.actions[rows], judges.meta.world.actions)
    accuracy = balanced_accuracy(said, truth, network.names)
    assert min(accuracy.buttons.values()) > 0.8
    assert len(features) == len(rows)


def test_a_shift_of_the_picture_shows_as_the_least_error():
    torch.manual_seed(0)
    still = torch.rand(1, 1, 24, 40)
    moved = torch.roll(still, 3, dims=3)
    profile = shift_profiles(torch.cat([still, moved], dim=1)).reshape(2, 2 * REACH_PX + 1)
    assert int(profile[0].argmin()) == REACH_PX + 3
    assert int(profile[1].argmin()) != REACH_PX + 3


def test_balanced_accuracy_does_not_reward_the_commoner_answer():
    truth = np.zeros((100, 3), bool)
    truth[:10, :2] = True
    never = np.zeros_like(truth)
    assert balanced_accuracy(truth, truth, "abc").mean == 1.0
    assert balanced_accuracy(never, truth, "abc").mean == 0.5
    assert np.isnan(balanced_accuracy(never, truth, "abc").buttons["c"])


def test_an_axis_is_read_as_two_buttons():
    named = ActionMap(sources=(ActionSource(name="STEER", kind="axis"), ActionSource(name="GAS")))
    assert button_names(named) == ("STEER+", "STEER-", "GAS")
    held = held_buttons(np.array([[0.9, 0.0], [-0.9, 1.0], [0.1, 0.0]]), named)
    assert held.tolist() == [[True, False, False], [False, True, True], [False, False, False]]


BOX = (0, 10, 10, 8, 10)  # name, x, y, width, height: its centre is at (14, 15)


@pytest.mark.parametrize(
    ("found", "boxes", "expected"),
    [
        ([(0.9, 0, 14, 15)], [BOX], (1, 1, 1, 1)),
        ([(0.9, 0, 14, 15), (0.8, 0, 15, 15)], [BOX], (1, 1, 1, 2)),  # each object counts once
        ([(0.9, 0, 40, 15)], [BOX], (0, 1, 0, 1)),  # too far
        ([(0.9, 1, 14, 15)], [BOX], (0, 1, 0, 1)),  # another name
        ([], [BOX], (0, 1, 0, 0)),
        ([(0.9, 0, 14, 15)], [], (0, 0, 0, 1)),
        ([(0.9, 0, 12, 12)], [(0, 10, 10, 4, 4)], (0, 0, 0, 0)),  # too small to be asked for, or to be wrong about
        ([(0.9, 0, 14, 15)], [BOX, (0, 30, 30, 8, 10)], (1, 2, 1, 1)),
    ],
)
def test_detections_are_paired_with_objects(found, boxes, expected):
    score = match(found, np.array(boxes, np.int32).reshape(-1, 5))
    assert (score.found, score.present, score.right, score.claimed) == expected


def test_equal_features_are_no_distance_apart_and_one_deviation_is_one():
    features = np.random.default_rng(0).normal(size=(500, 12)) * np.arange(1, 13)
    unit = drift.spread(features)
    assert drift.distance(features, features, unit) == 0.0
    assert drift.distance(features + unit, features, unit) == pytest.approx(1.0)
    assert drift.distance(features * 2 - features.mean(0), features, unit) == pytest.approx(1.0)  # twice as spread
    constant = np.column_stack([features, np.ones(500)])
    assert drift.distance(constant, constant + np.eye(13)[12], drift.spread(constant)) == 0.0


def test_a_dream_that_stays_as_it_is_does_not_drift(footage):
    judges = Judges(inverse_dynamics=InverseDynamics(button_names(footage.meta.world.actions)).eval(), detector=None)
    rows = readable_rows(footage, held_out=True)[:20]
    triples = np.tile(real_triples(footage, rows)[:, None], (3, 1, 1, 1, 1, 1))
    actions = np.tile(footage.actions[rows][:, None], (3, 1, 1))
    dream = drift.LongDream(frame=np.arange(60) * 5, triples=triples, actions=actions, endings=np.zeros((300, 1), bool))
    figures = drift.measure_drift(dream, footage, judges, drift.DriftConfig(windows=3, real_triples=100))
    assert figures["drift"] == pytest.approx(0.0, abs=1e-6)
    assert figures["windows"][0]["distance"] > 0
    assert figures["terminations_per_1000"]["real"] == pytest.approx(1000 / LENGTH)
    assert tidy(figures)["windows"][0]["objects_per_frame"] is None  # no detector, no figure


def test_flicker_is_what_goes_and_comes_from_one_frame_to_the_next():
    gone, come = drift.changes(np.array([1.0, 2, 1, 0, 0]), np.array([1.0, 0, 3, 0, 2]))
    assert (gone, come) == (pytest.approx(1 / 3), pytest.approx(1 / 2))
    assert np.isnan(drift.changes(np.full(3, np.nan), np.full(3, np.nan))).all()


def test_scripted_actions_are_runs_of_recorded_ones(footage):
    script = drift.scripted_actions(footage, 100, 2)
    assert script.shape == (100, 2, 3)
    assert set(map(tuple, script.reshape(-1, 3))) <= set(map(tuple, footage.actions))


@pytest.mark.parametrize(
    ("chance_at", "chance", "expected"),
    [
        (10, 1.0, (1.0, 1.0)),
        (12, 1.0, (1.0, 1.0)),  # two frames late is near enough
        (13, 1.0, (0.0, 0.0)),
        (10, 0.25, (1.0, 0.25)),
    ],
)
def test_events_may_be_told_two_frames_off(chance_at, chance, expected):
    happened, told, episode = np.zeros(30, bool), np.zeros(30), np.zeros(30)
    happened[10], told[chance_at] = True, chance
    assert soft_precision_recall(happened, told, episode) == pytest.approx(expected)


def test_an_event_of_the_next_episode_does_not_count():
    happened, told, episode = np.zeros(30, bool), np.zeros(30), np.arange(30) // 15
    happened[15], told[14] = True, 1.0
    assert soft_precision_recall(happened, told, episode) == (0.0, 0.0)


def test_average_precision_is_one_when_events_rank_first():
    happened = np.array([False, True, False, True])
    assert average_precision(happened, np.array([0.1, 0.9, 0.2, 0.8])) == 1.0
    assert average_precision(happened, np.array([0.9, 0.1, 0.8, 0.2])) == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_heads_are_read_once_for_every_frame_that_has_a_past(footage, engine):
    latents = torch.randn(len(footage), 8, 4, 4)
    short = take(footage, footage.seeds < 3)
    short = hold(short, np.ones(len(short), bool))
    readings = read_heads(engine, short, latents, steps=1, episodes=3, most_frames=12, batch=2)
    expected = np.concatenate([np.arange(LENGTH - 11, LENGTH) + LENGTH * episode for episode in range(3)])
    assert readings.rows.tolist() == expected.tolist()
    assert len(np.unique(readings.episode)) == 3
    told = replace(
        readings, ending_chance=short.terminated[readings.rows].astype(float), reward=short.rewards[readings.rows]
    )
    endings, rewards = measure_endings(told, short), measure_rewards(told, short)
    assert (endings["precision"], endings["recall"], endings["average_precision"]) == (1.0, 1.0, 1.0)
    assert endings["events"] == 3
    assert rewards["events"] == 0


def test_rewards_are_told_by_sign_and_size(footage, engine):
    latents = torch.randn(len(footage), 8, 4, 4)
    readings = read_heads(engine, footage, latents, steps=1, episodes=2, most_frames=LENGTH)
    real = footage.rewards[readings.rows]
    for said, expected in ((real, (1.0, 1.0)), (real * 0.4, (None, 0.0)), (-real, (0.0, 0.0))):
        figures = tidy(measure_rewards(replace(readings, reward=said.astype(float)), footage))
        assert (figures["precision"], figures["recall"]) == expected


def test_taking_episodes_keeps_their_boxes_and_counts_names_anew(footage):
    kept = take(footage, footage.seeds == 2, names=("Other", "Square"))
    assert len(kept) == LENGTH
    assert kept.boxes_of(5).tolist() == [[1, 20, 30, 12, 14]]
    assert len(take(footage, footage.seeds == 2, names=("Other",)).boxes) == 0


def test_play_of_another_world_is_refused(footage):
    info = footage.meta.world
    check_fits(footage, info, "here")
    other = WorldInfo(name="big", width=128, height=64, rate_hz=20.0, actions=info.actions)
    with pytest.raises(InhabitError, match=r"Expected frames of 128x64.*got 64x64.*--recording"):
        check_fits(footage, other, "here")
