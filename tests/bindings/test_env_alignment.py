"""The usual lie of dreams: reward or ending one step off. A game in which one action pays and one kills is recorded,
learnt for real, and dreamt: the dream must pay for the very step in which that action was taken, and end at it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inhabit.bindings.vector_env import make_vector_env
from inhabit.bridge.controls import ActionMap, ActionSource
from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.recordings import Recorder

NOTHING, PAY, DIE = 0, 1, 2
FRAMES, MOST = 4000, 60
SESSIONS, LEARNT = 4, 0.3


@pytest.fixture
def recording(tmp_path):
    """A grey room that flashes when it pays."""
    buttons = (ActionSource(name="PAY"), ActionSource(name="DIE"))
    info = WorldInfo(name="scripted", width=64, height=64, rate_hz=10.0, actions=ActionMap(sources=buttons))
    rng = np.random.default_rng(0)
    with Recorder(tmp_path / "recording", info, source="scripted") as recorder:
        row = 0
        for _ in range(FRAMES):
            first = row == 0
            action = NOTHING if first else int(rng.choice(3, p=[0.55, 0.4, 0.05]))
            pixels = np.full((64, 64, 3), 200 if action == PAY else 90, np.uint8)
            pixels[:, : 8 + 4 * (row % 8)] = 40  # something that moves
            over = action == DIE or row == MOST
            recorder.add(
                pixels,
                action=[float(action == PAY), float(action == DIE)],
                reward=float(action == PAY),
                terminated=action == DIE,
                truncated=over and action != DIE,
                first=first,
            )
            row = 0 if over else row + 1
    return tmp_path / "recording"


@pytest.fixture
def quick_preset(monkeypatch):
    """The preset nano with a short memory, made to learn rewards and endings rather than pictures."""
    from inhabit.worldmodel.train.presets import PRESETS

    nano = PRESETS["nano"]
    sizes = replace(nano.dynamics.transformer, context=8)
    training = replace(nano.dynamics_training, window=12, batch=16, warmup=20, head_weight=1.0)
    quick = replace(nano, dynamics=replace(nano.dynamics, transformer=sizes), dynamics_training=training)
    monkeypatch.setitem(PRESETS, "nano", quick)


@pytest.mark.slow
def test_the_dream_pays_and_ends_with_the_very_action_that_does_it(recording, quick_preset, tmp_path):
    """How soon a network has learnt it depends on the machine: it may learn in a few sessions."""
    from inhabit.worldmodel.train.config import LearnConfig
    from inhabit.worldmodel.train.display import Display
    from inhabit.worldmodel.train.learn import learn

    pack = tmp_path / "pack"
    for _ in range(SESSIONS):
        learn(LearnConfig(recording=recording, out=pack, preset="nano", minutes=0.35, sound_share=0), Display())
        told = agreement(pack)
        print(told)
        if all(now > LEARNT for now, _, _ in told):
            break
    for now, late, early in told:
        assert now > LEARNT
        assert now > 2.5 * max(abs(late), abs(early))


def agreement(pack):
    """How rewards, then endings, go with the actions that bring them: in the same step, a step late, a step early."""
    envs = make_vector_env(8, pack=pack, obs="latent", autoreset_mode="SameStep", steps=1, horizon=40)
    envs.reset(seed=1)
    rng = np.random.default_rng(1)
    paid, pressed, ended, killed = [], [], [], []
    for _ in range(60):
        actions = rng.choice(3, 8, p=[0.5, 0.4, 0.1])
        _, _, _, _, info = stepped = envs.step(actions)
        paid.append(stepped[1])
        pressed.append(actions == PAY)
        chance = info["ending_chance"].copy()
        if "final_info" in info:
            last = info["_final_info"]
            chance[last] = info["final_info"]["ending_chance"][last]
        ended.append(chance)
        killed.append(actions == DIE)
    columns = [np.array(column, float) for column in (paid, pressed, ended, killed)]
    return [shifted(*columns[:2]), shifted(*columns[2:])]


def shifted(told, done):
    """Correlation in the same step, with what was done a step before, and with what is done a step later."""
    pairs = (told, done), (told[1:], done[:-1]), (told[:-1], done[1:])
    return tuple(correlation(one.ravel(), other.ravel()) for one, other in pairs)


def correlation(one, other):
    """0 where nothing varies yet."""
    return float(np.corrcoef(one, other)[0, 1]) if one.std() > 0 and other.std() > 0 else 0.0
