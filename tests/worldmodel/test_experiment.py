"""The Take Cover experiment: its statistics, its learner, its players, and all of it once in small."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.report import write_report
from inhabit.worldmodel.catalog import find_pack
from inhabit.worldmodel.experiments import config as settings
from inhabit.worldmodel.experiments.config import PPOConfig, take_cover
from inhabit.worldmodel.experiments.measures import mean_with_interval, over_seeds, rank_correlation, transfer_ratio
from inhabit.worldmodel.experiments.pieces import Clock, TrainingFile
from inhabit.worldmodel.experiments.players import Episode, play
from inhabit.worldmodel.experiments.policy import SEEN, Policy, Sight, load_policy, save_policy
from inhabit.worldmodel.experiments.ppo import Learning, advantages, train, whole_episodes
from inhabit.worldmodel.train.display import Display

SHAPE = (2, 2, 2)


class Signals:
    """A world in which a sign tells which of three actions pays; an episode ends after 8 steps, or is cut after 5."""

    def __init__(self, count: int = 16, *, cut: bool = False):
        self.num_envs, self._cut = count, cut
        self._rng = np.random.default_rng(0)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self._lived = np.zeros(self.num_envs, int)
        return self._signs(), {}

    def step(self, actions: Any) -> Any:
        rewards = (actions == torch.from_numpy(self._sign)).float()
        self._lived += 1
        over = self._lived >= (5 if self._cut else 8)
        self._lived[over] = 0
        latents = self._signs()
        flags = torch.from_numpy(over)
        final = np.full(self.num_envs, None, object)
        for row in np.flatnonzero(over):
            final[row] = latents[row] * 0
        no = torch.zeros_like(flags)
        ends = (no, flags) if self._cut else (flags, no)
        return latents, rewards, *ends, {"final_obs": final, "_final_obs": over}

    def close(self) -> None: ...

    def _signs(self) -> torch.Tensor:
        self._sign = self._rng.integers(0, 3, self.num_envs)
        latents = torch.zeros(self.num_envs, *SHAPE)
        latents[:, 0, 0] = torch.eye(3)[self._sign][:, :2] * 2
        return latents


@pytest.mark.parametrize("cut", [False, True])
def test_the_learner_finds_out_which_action_pays(cut):
    torch.manual_seed(0)
    policy = Policy(SHAPE, 3)
    config = PPOConfig(steps=8192, envs=16, length=32, epochs=4, parts=4, rate=1e-3, reward_scale=1.0)
    learning = train(Signals(cut=cut), policy, config, seed=1)
    most = 5 if cut else 8
    assert learning.returns[0] < 0.5 * most
    assert learning.returns[-1] > 0.6 * most  # chance gets a third
    assert learning.steps == 8192
    assert np.mean(whole_episodes(Signals(), policy, seed=1)) > 0.6 * 8


def test_advantages_are_those_of_the_definition():
    rng = torch.Generator().manual_seed(1)
    rewards, values = torch.rand(5, 2, generator=rng), torch.rand(5, 2, generator=rng)
    alive = torch.tensor([[1, 1], [0, 1], [1, 1], [1, 0], [1, 1]]).float()
    following, gamma, lam = torch.rand(2, generator=rng), 0.9, 0.8
    got = advantages(rewards, values, alive, following, gamma=gamma, lam=lam)
    for env in range(2):
        for t in range(5):
            expected, weight = 0.0, 1.0
            for later in range(t, 5):
                after = following[env] if later == 4 else values[later + 1, env]
                delta = rewards[later, env] + gamma * after * alive[later, env] - values[later, env]
                expected += weight * float(delta)
                weight *= gamma * lam * float(alive[later, env])
            assert float(got[t, env]) == pytest.approx(expected, abs=1e-5)


def test_a_policy_sees_the_last_frames_and_none_of_the_life_before():
    sight = Sight(torch.zeros(2, *SHAPE))
    sight.add(torch.ones(2, *SHAPE))
    assert sight.seen[:, :, 0, 0, 0].tolist() == [[0, 0, 1], [0, 0, 1]]
    assert sight.after(torch.tensor([1]), torch.full((1, *SHAPE), 2.0))[0, :, 0, 0, 0].tolist() == [0, 1, 2]
    sight.begin(torch.tensor([0]), torch.full((1, *SHAPE), 5.0))
    assert sight.seen[:, :, 0, 0, 0].tolist() == [[5] * SEEN, [0, 0, 1]]


def test_a_policy_is_kept_whole(tmp_path):
    policy = Policy(SHAPE, 3)
    save_policy(policy, tmp_path / "p.safetensors")
    again = load_policy(tmp_path / "p.safetensors", SHAPE, 3)
    seen = torch.randn(4, SEEN, *SHAPE)
    torch.testing.assert_close(policy(seen)[0].logits, again(seen)[0].logits)
    with pytest.raises(InhabitError, match="of shape"):
        load_policy(tmp_path / "p.safetensors", SHAPE, 4)


def test_a_training_that_is_broken_off_goes_on_from_what_was_kept(tmp_path, monkeypatch):
    """Broken off in an update or in a check: nothing is done twice but what came after the last time it was kept."""
    monkeypatch.setattr("inhabit.worldmodel.experiments.ppo.KEEP_EVERY_S", 0.0)
    config = PPOConfig(steps=1024, envs=16, length=16, epochs=1, parts=2)
    kept, checked = TrainingFile(tmp_path / "pieces" / "ppo.safetensors"), []

    def learn(breaks: str) -> Learning:
        policy = Policy(SHAPE, 3)

        def on_update(learning: Learning) -> None:
            if breaks == f"update {learning.steps}":
                raise KeyboardInterrupt

        def on_check(index: int) -> dict[str, float]:
            if breaks == f"check {index}":
                raise KeyboardInterrupt
            checked.append(index)
            return {"dream": float(index), "real": 0.0}

        return train(Signals(), policy, config, seed=1, on_update=on_update, checks=2, on_check=on_check, kept=kept)

    for breaks in ("update 512", "check 0", "update 1024", "check 1"):
        with pytest.raises(KeyboardInterrupt):
            learn(breaks)
    learning = learn("")
    assert learning.steps == 1024
    assert [told["dream"] for told in learning.checks] == [0, 1]
    assert checked == [0, 1]
    assert len(learning.returns) == 4  # updates, each counted once
    again = learn("")
    assert again == learning
    assert checked == [0, 1]


def test_what_was_played_is_not_played_again(tmp_path, monkeypatch):
    told = [[seed, 100.0 + seed, 25] for seed in range(16)]
    for first in (0, 8):
        write_report(tmp_path / f"{first}.json", {"episodes": told[first : first + 8]})
    monkeypatch.setattr(multiprocessing, "get_context", lambda kind: pytest.fail("played again"))
    assert play("random", range(16), size=64, workers=1, pieces=tmp_path) == [Episode(*one) for one in told]


def test_a_clock_counts_all_the_times_that_something_was_begun(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("inhabit.worldmodel.experiments.pieces.time.monotonic", lambda: now[0])
    for began_s in (0.0, 30.0):
        clock = Clock(Silent(), tmp_path / "clock.json")
        assert clock.seconds == began_s
        now[0] += 30
        clock.show(0.5, 30.0, 1, "frames", {})
        now[0] += 5  # not noted any more: broken off


class Silent(Display):
    def show(self, *_: Any) -> None: ...


ORPHANS = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from inhabit.worldmodel.experiments.side_by_side import begin_apart
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, context, begin_apart, (context.Queue(),))
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 60)
    time.sleep(60)
"""


def test_who_learns_apart_ends_with_the_experiment(tmp_path):
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
    until = time.monotonic() + 30
    while alive(child) and time.monotonic() < until:
        time.sleep(0.1)
    assert not alive(child)


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # ended, and nobody has asked how


def test_intervals_hold_the_mean_and_shrink_with_more_episodes():
    rng = np.random.default_rng(0)
    few, many = (mean_with_interval(rng.normal(300, 150, count).tolist()) for count in (25, 400))
    for told in (few, many):
        assert told["ci95"][0] < told["mean_tics"] < told["ci95"][1]
    widths = [told["ci95"][1] - told["ci95"][0] for told in (few, many)]
    assert widths[0] == pytest.approx(4 * 150 / 5, rel=0.4)  # 2 * 1.96 standard errors
    assert widths[1] < widths[0] / 2.5


def test_intervals_over_policies_are_wider_where_policies_differ():
    rng = np.random.default_rng(0)
    alike = over_seeds([rng.normal(300, 50, 50).tolist() for _ in range(3)])
    unlike = over_seeds([rng.normal(mean, 50, 50).tolist() for mean in (100, 300, 500)])
    assert unlike["ci95"][1] - unlike["ci95"][0] > 4 * (alike["ci95"][1] - alike["ci95"][0])
    assert unlike["episodes"] == 150
    assert len(unlike["policies"]) == 3


def test_ranks_are_compared_not_values():
    assert rank_correlation([1, 2, 3, 4], [10, 20, 25, 1000]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 2, 3], [1, 2, 2, 3]) == pytest.approx(1)
    assert np.isnan(rank_correlation([1, 2, 3], [5, 5, 5]))
    assert np.isnan(rank_correlation([1, 2], [1, 2]))


def test_transfer_is_what_of_the_gain_comes_over():
    assert transfer_ratio(500, 250, 750) == pytest.approx(0.5)
    assert np.isnan(transfer_ratio(500, 250, 250))


def test_no_real_episode_serves_two_purposes():
    starts = [settings.RECORDED, settings.COLLECTED, settings.TESTED, settings.CHECKED, settings.REAL_TRAINED]
    assert starts == sorted(starts)
    assert min(np.diff(starts)) >= 1_000_000


def test_a_setting_that_does_not_fit_is_named(tmp_path):
    config = take_cover("smoke", tmp_path, workers=1)
    with pytest.raises(InhabitError, match="main temperature among 1, got 2"):
        replace(config, main_temperature=2.0)
    with pytest.raises(InhabitError, match="seeds of at least 1"):
        replace(config, seeds=0)
    with pytest.raises(InhabitError, match="rounds of at least 0"):
        replace(config, rounds=-1)
    with pytest.raises(InhabitError, match="explorer, random, scripted, got robot"):
        replace(config, players=("random", "robot"))


def test_each_round_lets_policies_of_the_newest_world_play_and_refines_it(tmp_path, monkeypatch):
    """And policies at all temperatures learn in the last one alone."""
    config = replace(take_cover("smoke", tmp_path, workers=1), rounds=2, temperatures=(1.0, 1.3))
    order, report = stages_of(config, monkeypatch)
    assert order == [
        "world-0, 0.6 min", "policy-0-1-0", "collect 0", "world-1, 0.25 min", "policy-1-1-0", "collect 1",
        "world-2, 0.25 min", "policy-2-1-0", "policy-2-1.3-0", "real-0",
    ]  # fmt: skip
    assert [one["mean_tics"] for one in report["rounds"]] == [400.0, 400.0]
    assert set(report["dream"]) == {"1", "1.3"}


def test_an_experiment_begins_with_the_world_that_it_is_told(tmp_path, monkeypatch):
    """Nothing is learnt before policies are; without rounds the world stays what it was."""
    pack, out = tmp_path / "mine", tmp_path / "out"
    shutil.copytree(find_pack("doom-take-cover"), pack)
    config = replace(take_cover("smoke", out, workers=1), world=str(pack), rounds=0)
    order, report = stages_of(config, monkeypatch)
    assert order == ["policy-0-1-0", "real-0"]
    assert report["rounds"] == []
    assert report["config"]["world"] == str(pack)
    for kept in (out / "world-0", out / settings.PACK_NAME):
        assert (kept / "dynamics.safetensors").read_bytes() == (pack / "dynamics.safetensors").read_bytes()


def test_a_world_of_something_else_is_refused_before_anything_is_done(tmp_path, monkeypatch):
    config = take_cover("smoke", tmp_path / "out", workers=1)
    shipped = find_pack("doom-take-cover")
    for name, old, new in (
        ("fast", '"rate_hz":8.75', '"rate_hz":35.0'),
        ("strange", '"preset":"nano"', '"preset":"other"'),
    ):
        shutil.copytree(shipped, tmp_path / name)
        told = json.loads((shipped / "world.json").read_text())
        text = json.dumps(told, separators=(",", ":"))
        assert old in text
        (tmp_path / name / "world.json").write_text(text.replace(old, new))
    for world, said in (
        ("doom-center", "got doom:defend_the_center at 128x96, 17.5 Hz - doom-center"),
        ("nowhere", "'nowhere'"),
        (str(tmp_path / "fast"), "got doom:take_cover at 64x64, 35 Hz"),
        (str(tmp_path / "strange"), "preset nano, which rounds would refine, got other .* choose --rounds 0"),
    ):
        with pytest.raises(InhabitError, match=said):
            stages_of(replace(config, world=world), monkeypatch)
        assert not (tmp_path / "out").exists()


def test_a_world_inside_the_experiments_folder_is_refused_and_left_there(tmp_path, monkeypatch):
    mine = tmp_path / "out" / settings.PACK_NAME
    shutil.copytree(find_pack("doom-take-cover"), mine)
    config = replace(take_cover("smoke", tmp_path / "out", workers=1), world=str(mine), rounds=0)
    with pytest.raises(InhabitError, match="world outside"):
        stages_of(config, monkeypatch)
    assert (mine / "dynamics.safetensors").is_file()


def test_a_folder_that_was_begun_before_worlds_could_be_named_goes_on(tmp_path, monkeypatch):
    config = replace(take_cover("smoke", tmp_path, workers=1), rounds=0)
    stages_of(config, monkeypatch)
    kept = tmp_path / "stages" / "settings.json"
    told = json.loads(kept.read_text())
    assert told.pop("world") == ""
    kept.write_text(json.dumps(told))
    stages_of(config, monkeypatch)
    with pytest.raises(InhabitError, match="begun with"):
        stages_of(replace(config, seeds=7), monkeypatch)


def test_a_world_that_was_begun_with_may_be_gone_when_the_experiment_goes_on(tmp_path, monkeypatch):
    pack = tmp_path / "mine"
    shutil.copytree(find_pack("doom-take-cover"), pack)
    config = replace(take_cover("smoke", tmp_path / "out", workers=1), world=str(pack), rounds=0)
    stages_of(config, monkeypatch)
    shutil.rmtree(pack)
    stages_of(config, monkeypatch)


def stages_of(config: settings.TakeCoverConfig, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], dict[str, Any]]:
    """The order of an experiment's stages, with nothing behind them, and the report."""
    from inhabit.worldmodel.experiments import take_cover as module

    order: list[str] = []
    told = {"tics": [300.0, 500.0], "imagined": [600.0], "checkpoints": [], "returns": [1.0], "steps_per_s": 1.0}
    endings, rates = {"termination": {}, "reward": {}}, {"batch_16": 9.0}

    def learn_all(self, runs):
        order.extend(run.name for run in runs)
        return [{**told, "seed": run.seed} for run in runs]

    def collect(self, number, pieces):
        order.append(f"collect {number}")
        return {}

    def learn(self, name, minutes, pieces):
        order.append(f"{name}, {minutes:g} min")
        return {}

    for name, stub in (("_learn_all", learn_all), ("_collect", collect), ("_learn", learn)):
        monkeypatch.setattr(module.TakeCover, name, stub)
    monkeypatch.setattr(module.TakeCover, "_record", lambda self, pieces: {})
    monkeypatch.setattr(module.TakeCover, "_test", lambda self, player, pack, *, pieces: [250.0, 270.0])
    monkeypatch.setattr(module.TakeCover, "_endings", lambda self, pieces: endings)
    monkeypatch.setattr(module.TakeCover, "_rates", lambda self, pieces: rates)
    monkeypatch.setattr(module, "put_starts", lambda world, recording: 3)
    return order, module.TakeCover(config, Mock(), Display()).run()


@pytest.mark.slow
def test_players_in_processes_play_and_record_what_they_are_told(tmp_path):
    """The real game: equal seeds live equally long, and each row holds the action that led to it."""
    pytest.importorskip("vizdoom")
    from inhabit.worldmodel.recordings import read_shards

    again = [play("random", range(40, 44), size=64, workers=count) for count in (1, 2)]
    assert again[0] == again[1]
    assert all(episode.tics == pytest.approx(4 * episode.frames, abs=4) for episode in again[0])
    episodes = play("explorer", range(50, 54), size=64, workers=2, record_to=tmp_path / "r")
    shards = list(read_shards(tmp_path / "r"))
    first = np.concatenate([shard.first for shard in shards])
    actions, ended = (np.concatenate([getattr(shard, name) for shard in shards]) for name in ("actions", "terminated"))
    assert sum(map(len, shards)) == sum(episode.frames + 1 for episode in episodes)
    assert not actions[first].any()
    assert ended.sum() == 4
    assert sum(float(shard.rewards.sum()) for shard in shards) == pytest.approx(sum(e.tics for e in episodes))


def test_the_demo_tells_how_to_get_an_agent(tmp_path):
    command = [sys.executable, "-m", "inhabit.demos.dream_agent", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "inhabit experiment take-cover" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_experiment_runs_from_end_to_end_and_goes_on_where_it_stopped(tmp_path):
    """Small beyond meaning, but all of it: two worlds learnt, policies in the dream and in Doom, the report."""
    pytest.importorskip("vizdoom")
    from inhabit.commands.experiment import make_dreams, print_report
    from inhabit.worldmodel.experiments.plots import draw
    from inhabit.worldmodel.experiments.take_cover import TakeCover

    config = replace(
        take_cover("smoke", tmp_path, workers=2), episodes=8, collect_episodes=2, world_minutes=0.2,
        refine_minutes=0.1, test_episodes=2, checkpoints=1, ppo=PPOConfig(steps=256, envs=8, length=16, parts=2),
    )  # fmt: skip
    report = TakeCover(config, make_dreams, Display()).run()
    for path in (("random", "mean_tics"), ("dream", "1", "mean_tics"), ("dream", "1", "ci95"), ("real", "mean_tics"),
                 ("termination", "precision"), ("termination", "recall"), ("transfer_ratio",), ("exploitation_gap",),
                 ("rank_correlation",), ("imagined_steps_per_s",)):  # fmt: skip
        value: Any = report
        for name in path:
            value = value[name]
    assert report["imagined_steps_per_s"] > 0
    assert report["dream"]["1"]["imagined_mean_tics"] > 0
    assert 0 < report["random"]["mean_tics"] < 2200
    assert draw(report, tmp_path / "plots.png").is_file()
    print_report(report)
    assert (tmp_path / "doom-take-cover" / "world.json").is_file()
    clip = tmp_path / "clip.mp4"
    command = [sys.executable, "-m", "inhabit.demos.dream_agent", str(tmp_path), "--headless", "--out", str(clip)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "in Doom" in done.stdout, done.stderr
    page = np.asarray(Image.open(clip.with_suffix(".png")))
    assert page.std() > 10
    assert clip.stat().st_size > 10_000
    stages = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "stages").glob("*.json")}
    again = TakeCover(config, make_dreams, Display()).run()
    assert again["random"] == report["random"]
    with pytest.raises(InhabitError, match="this folder was begun with \\(horizon 40\\), got horizon 41"):
        TakeCover(replace(config, horizon=41), make_dreams, Display()).run()
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "stages").glob("*.json")} == stages
