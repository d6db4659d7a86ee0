"""The real Doom behind the contract of a world, and recordings of it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

pytest.importorskip("vizdoom", reason='needs pip install "inhabit[doom]"')

from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import WorldError
from inhabit.bridge.world import check_world
from inhabit.worldmodel.recordings import read_meta, read_shards
from inhabit.worldmodel.train.footage import load_footage
from inhabit.worldmodel.worlds.doom import DoomConfig, DoomWorld, scenarios, shrink
from inhabit.worldmodel.worlds.doom_policies import DoomPlayer, Sight
from inhabit.worldmodel.worlds.record import RecordConfig, record


def test_the_real_game_keeps_the_contract_of_a_world():
    check_world(DoomWorld("defend_the_center"), save=False)


def test_turning_left_and_right_are_opposites():
    world = DoomWorld("defend_the_center")
    turned = {}
    for name in ("TURN_LEFT", "TURN_RIGHT"):
        world.reset(seed=3)
        before = world.variables()[4]
        action = tuple(float(name == button) for button in world.info.actions.names)
        for _ in range(3):
            world.step(Controls(action=action))
        turned[name] = (world.variables()[4] - before + 180) % 360 - 180
    world.close()
    assert turned["TURN_LEFT"] > 2
    assert turned["TURN_RIGHT"] < -2


def test_an_unknown_scenario_lists_the_known_ones():
    with pytest.raises(WorldError, match=r"defend_the_center.*got 'nowhere'"):
        DoomWorld("nowhere")
    assert "my_way_home" in scenarios()


def test_shrinking_averages_blocks():
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[:2, :2] = [[[0, 10, 255]] * 2, [[2, 20, 255]] * 2]
    assert shrink(pixels, 2, 2)[0, 0].tolist() == [1, 15, 255]


def test_players_are_seeded_and_a_fifth_random():
    buttons = ("TURN_LEFT", "TURN_RIGHT", "ATTACK")
    players = [DoomPlayer(buttons, 128, seed) for seed in (1, 1, 2)]
    sight = Sight(boxes=(), stuck=False)
    plays = [np.array([player.action(sight) for _ in range(600)]) for player in players]
    assert np.array_equal(plays[0], plays[1])
    assert not np.array_equal(plays[0], plays[2])
    both = np.concatenate([plays[0], plays[2]])
    odd = (both[:, 0] > 0) & (both[:, 1] > 0)  # left and right at once is a thing that only chance does
    assert odd.mean() > 0.01
    assert (both.sum(0) > 0).all()


def test_players_who_walk_turn_from_walls_to_where_the_view_is_open():
    buttons = ("TURN_LEFT", "TURN_RIGHT", "MOVE_FORWARD")
    wall, door = np.array([2.0] * 16), np.array([2.0] * 5 + [60.0] * 6 + [2.0] * 5)
    walked = {}
    for name, ways in (("wall", wall), ("door", door)):
        players = [DoomPlayer(buttons, 128, seed) for seed in range(20)]
        sight = Sight(boxes=(), stuck=False, ways=tuple(ways))
        walked[name] = np.mean([player.action(sight)[2] for player in players for _ in range(200)])
    assert walked["wall"] < 0.35 < walked["door"]


def test_how_far_a_view_reaches_is_told_by_direction():
    world = DoomWorld("my_way_home", DoomConfig(sound=False, depth=True))
    world.reset(seed=0)
    ways = world.ways()
    world.close()
    assert len(ways) == 16
    assert 0 < min(ways) < max(ways) <= 255


def test_recording_holds_what_was_played(tmp_path):
    config = RecordConfig(source="doom:defend_the_center", frames=400, folder=tmp_path / "r", workers=2)
    assert record(config) >= 400
    meta = read_meta(config.folder)
    assert (meta.world.width, meta.world.height, meta.world.rate_hz) == (128, 96, 17.5)
    footage = load_footage(config.folder)
    assert len(footage) >= 400
    assert footage.first.sum() >= 2
    assert len(footage.boxes) > 0
    assert set(footage.names) <= {"Demon", "MarineChainsawVzd"}
    assert footage.actions[footage.first].sum() == 0
    assert {int(seed) % 2 for seed in footage.seeds} == {0, 1}
    shard = next(read_shards(config.folder))
    assert shard.sound_end[-1] == len(shard.sound)
    assert abs(len(shard.sound) - len(shard) * 22050 * 2 / 35) <= 1260 * 4


def test_frames_may_stand_for_more_tics(tmp_path):
    config = RecordConfig(
        source="doom:take_cover", frames=40, folder=tmp_path / "r", workers=1, width=64, height=64, tics=4
    )
    record(config)
    assert read_meta(config.folder).world.rate_hz == 8.75
    footage = load_footage(config.folder)
    assert footage.rewards[~footage.first & ~footage.terminated].mean() == 4  # one for each tic survived
    for source, tics, said in (("gym:CartPole-v1", 4, "only for doom:SCENARIO"), ("doom:basic", 99, "1 to 35")):
        with pytest.raises(WorldError, match=said):
            RecordConfig(source=source, tics=tics)


def test_extending_continues_with_new_seeds(tmp_path):
    for frames in (150, 300):
        record(RecordConfig(source="doom:basic", frames=frames, folder=tmp_path / "r", workers=1, sound=False))
    footage = load_footage(tmp_path / "r")
    starts = footage.seeds[footage.first]
    assert len(set(starts.tolist())) == len(starts)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_leaves_a_valid_recording(tmp_path):
    command = [sys.executable, "-m", "inhabit.commands", "record", "doom:defend_the_center", "-o", str(tmp_path / "r")]
    process = subprocess.Popen(
        [*command, "--frames", "200000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background inherits "ignore"
    )
    time.sleep(12)
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert len(load_footage(tmp_path / "r")) > 0


@pytest.mark.slow
def test_players_end_with_a_recorder_that_is_killed(tmp_path):
    command = [sys.executable, "-m", "inhabit.commands", "record", "doom:defend_the_center", "-o", str(tmp_path / "r")]
    process = subprocess.Popen([*command, "--frames", "200000", "--workers", "2"], stdout=subprocess.DEVNULL)
    time.sleep(12)
    players = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    gone, alive = psutil.wait_procs(players, timeout=60)
    for one in alive:
        one.kill()
    assert len(gone) >= 2
    assert not alive
    assert len(load_footage(tmp_path / "r")) > 0


def test_the_same_seed_replays_the_same_game():
    world = DoomWorld("defend_the_center")
    runs = []
    for _ in range(2):
        world.reset(seed=12)
        runs.append([world.step(Controls(action=(1, 0, 1))).pixels for _ in range(10)])
    world.close()
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))
