"""Recordings to Minari and back: nothing is lost, nothing is shifted."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from inhabit.bridge.controls import ActionMap, ActionSource
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.minari_datasets import check_source, export_minari, import_minari
from inhabit.worldmodel.recordings import Recorder, RecordingError, read_meta, read_shards

minari: Any = pytest.importorskip("minari")
NAME = "inhabit/test-v0"


@pytest.fixture(autouse=True)
def datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path


def record(folder, kind: Any = "button", lengths=(5, 3, 7)):
    rng = np.random.default_rng(0)
    sources = tuple(ActionSource(name=name, kind=kind) for name in ("LEFT", "RIGHT"))
    info = WorldInfo(name="small", width=48, height=32, rate_hz=12.0, actions=ActionMap(sources=sources))
    with Recorder(folder, info, source="test", licence="CC0-1.0") as recorder:
        for number, length in enumerate(lengths):
            for row in range(length):
                pressed = rng.integers(0, 2, 2) if kind == "button" else rng.uniform(-1, 1, 2)
                recorder.add(
                    rng.integers(0, 256, (32, 48, 3)).astype(np.uint8),
                    action=(pressed * (row > 0)).tolist(),
                    reward=float(row * (number + 1)),
                    terminated=row == length - 1 and number != 1,
                    truncated=row == length - 1 and number == 1,
                    first=row == 0,
                )
    return next(iter(read_shards(folder)))


@pytest.mark.parametrize("kind", ["button", "axis"])
def test_there_and_back_nothing_is_lost(datasets, kind):
    before = record(datasets / "recording", kind)
    counts = export_minari(datasets / "recording", NAME)
    assert (counts.episodes, counts.frames) == (3, 15)
    import_minari(NAME, datasets / "back")
    (after,) = read_shards(datasets / "back")
    for column in ("frames", "rewards", "terminated", "truncated", "first"):
        np.testing.assert_array_equal(getattr(before, column), getattr(after, column))
    np.testing.assert_allclose(before.actions, after.actions, atol=1e-6)
    world, back = read_meta(datasets / "recording").world, read_meta(datasets / "back").world
    assert back == world


def test_minari_sees_an_action_with_what_came_of_it(datasets):
    shard = record(datasets / "recording")
    export_minari(datasets / "recording", NAME)
    first = next(minari.load_dataset(NAME).iterate_episodes([0]))
    assert first.observations.shape == (5, 32, 48, 3)
    np.testing.assert_array_equal(first.observations, shard.frames[:5])  # lossless
    np.testing.assert_array_equal(first.actions, shard.actions[1:5])
    np.testing.assert_array_equal(first.rewards, [1, 2, 3, 4])
    assert first.terminations.tolist() == [False, False, False, True]


def test_an_episode_that_was_broken_off_ends_with_a_truncation(datasets):
    sources = (ActionSource(name="GO"),)
    info = WorldInfo(name="small", width=32, height=32, rate_hz=12.0, actions=ActionMap(sources=sources))
    with Recorder(datasets / "recording", info, source="test") as recorder:
        for _ in range(4):
            recorder.add(np.zeros((32, 32, 3), np.uint8), action=[1])
    export_minari(datasets / "recording", NAME)
    (episode,) = minari.load_dataset(NAME).iterate_episodes()
    assert episode.truncations.tolist() == [False, False, True]
    assert not episode.terminations.any()


def test_another_size_is_averaged_down(datasets):
    record(datasets / "recording")
    export_minari(datasets / "recording", NAME)
    import_minari(NAME, datasets / "small", size=(32, 32), rate_hz=7.0)
    meta = read_meta(datasets / "small")
    assert (meta.world.width, meta.world.height, meta.world.rate_hz) == (32, 32, 7.0)
    assert meta.world.actions.names == ("BUTTON_0", "BUTTON_1")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_data_set_of_a_real_environment_is_imported(datasets):
    """Recorded by Minari's own means from a Gymnasium environment with pictures."""
    import gymnasium
    from gymnasium import spaces
    from minari.data_collector import EpisodeBuffer

    env: Any = gymnasium.make("CartPole-v1", render_mode="rgb_array")
    env.reset(seed=1)
    pictures, rewards = [env.render()], []
    for action in (0, 1, 1, 0):
        _, reward, *_ = env.step(action)
        pictures.append(env.render())
        rewards.append(float(reward))
    shape = np.shape(pictures[0])
    buffer = EpisodeBuffer(
        observations=np.stack(pictures),  # type: ignore[arg-type]
        actions=np.array([0, 1, 1, 0]),  # type: ignore[arg-type]
        rewards=rewards,
        terminations=[False] * 4,
        truncations=[False, False, False, True],
        infos={},
    )
    minari.create_dataset_from_buffers(
        "cartpole/pictures-v0", [buffer], observation_space=spaces.Box(0, 255, shape, np.uint8),
        action_space=spaces.Discrete(2), algorithm_name="none", author="test", author_email="-", code_permalink="-",
        description="a cart", jpeg_encoding=False,
    )  # fmt: skip
    import_minari("cartpole/pictures-v0", datasets / "cart", size=(96, 64))
    (shard,) = read_shards(datasets / "cart")
    assert shard.frames.shape == (5, 64, 96, 3)
    np.testing.assert_array_equal(shard.actions, [[0, 0], [1, 0], [0, 1], [0, 1], [1, 0]])
    np.testing.assert_array_equal(shard.rewards, [0, 1, 1, 1, 1])
    assert shard.truncated.tolist() == [False] * 4 + [True]


def test_mistakes_are_told(datasets):
    with pytest.raises(RecordingError, match="minari download some/thing-v0"):
        import_minari("some/thing-v0", datasets / "out")
    with pytest.raises(RecordingError, match="Expected a recording"):
        export_minari(datasets / "nothing", NAME)
    record(datasets / "recording")
    export_minari(datasets / "recording", NAME)
    with pytest.raises(RecordingError, match="already exists"):
        export_minari(datasets / "recording", NAME)
    with pytest.raises(InhabitError, match="such as minari:"):
        check_source("atari/breakout")


@pytest.mark.slow
def test_the_commands_do_it(datasets):
    pytest.importorskip("vizdoom")

    def inhabit(*arguments):
        command = [sys.executable, "-m", "inhabit.commands", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    arguments = ("--frames", 300, "--size", "64x64", "--no-sound", "-o", datasets / "doom", "--to-minari", NAME)
    assert "episodes in the Minari data set" in inhabit("record", "doom:take_cover", *arguments)
    assert "frames" in inhabit("import", f"minari:{NAME}", "-o", datasets / "back")
    assert read_meta(datasets / "back").world == read_meta(datasets / "doom").world
