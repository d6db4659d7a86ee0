"""Take Cover, dreamt: agents that never touch Doom while they learn, tested in Doom.

The order: record real play and learn a world. Then some rounds of this: let policies learn in it, let those play the
real game, and refine the world on what they saw. Then let new policies learn in it at several temperatures, and test
all of them on real episodes that nobody has seen. Beside them stand a random player (the floor) and policies that
learnt in the real game (the ceiling). Nothing is ever chosen by how well it does in the dream: the last policy of each
training is the one that is tested, and the temperature of the headline is named beforehand. Each stage is kept as it
ends; the same command goes on from there.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.report import read_report, write_report
from inhabit.worldmodel.catalog import find_pack
from inhabit.worldmodel.experiments.config import (
    CHECKED,
    COLLECTED,
    MOST_FRAMES,
    PACK_NAME,
    RATE_HZ,
    REAL_TRAINED,
    RECORDED,
    SOURCE,
    TESTED,
    PPOConfig,
    TakeCoverConfig,
)
from inhabit.worldmodel.experiments.pieces import Clock, TrainingFile
from inhabit.worldmodel.experiments.players import GameEnvs, play
from inhabit.worldmodel.experiments.policy import Policy, save_policy
from inhabit.worldmodel.experiments.ppo import Envs, Learning, train, whole_episodes
from inhabit.worldmodel.experiments.starts import put_starts
from inhabit.worldmodel.experiments.summary import Stages, plain, summarise
from inhabit.worldmodel.neural_world import choose_device
from inhabit.worldmodel.pack import read_file
from inhabit.worldmodel.train.config import LearnConfig
from inhabit.worldmodel.train.display import Display

ACTIONS = 3
RATE_STEPS = 50

ANY_TIME = ("out", "workers", "device", "gate")
"""Settings that may change between one call and the next: they change nothing that is done already."""


class MakeDreams(Protocol):
    """Opens a batch of dreams: latents, tensors, SAME_STEP."""

    def __call__(
        self, pack: Path, count: int, *, temperature: float, horizon: int, steps: int, device: str
    ) -> Envs: ...


class Run(NamedTuple):
    """A policy's training."""

    stage: int | None
    """How often the world that it learns in was refined; None is the real game."""
    temperature: float
    seed: int

    @property
    def name(self) -> str:
        return f"real-{self.seed}" if self.stage is None else f"policy-{self.stage}-{self.temperature:g}-{self.seed}"


class TakeCover:
    """The experiment. run() does all that is not done yet and returns the report."""

    def __init__(self, config: TakeCoverConfig, make_dreams: MakeDreams, display: Display):
        self.config, self.display = config, display
        self._make_dreams = make_dreams
        self.out = config.out
        self.recording, self.world = self.out / "recording", self.out / PACK_NAME

    @property
    def _last_world(self) -> Path:
        return self.out / f"world-{self.config.rounds}"

    def run(self) -> dict[str, Any]:
        config = self.config
        self._check_settings()
        self.record()
        floor = self._once("random", lambda pieces: {"tics": self._test("random", None, pieces=pieces)})
        self._once("world-0", self._first_world)
        rounds = [self._round(number) for number in range(config.rounds)]
        dreamt = [Run(config.rounds, t, seed) for t in config.temperatures for seed in range(config.seeds)]
        told = self._learn_all([*dreamt, *(Run(None, 1.0, seed) for seed in range(config.seeds))])
        last = {
            t: [told for run, told in zip(dreamt, told, strict=False) if run.temperature == t]
            for t in config.temperatures
        }
        real = told[len(dreamt) :]
        endings = self._once("endings", self._endings)
        rates = self._once("rates", self._rates)
        return summarise(
            config, Stages(random=floor, rounds=rounds, last=last, real=real, endings=endings, rates=rates)
        )

    def _round(self, number: int) -> list[dict[str, Any]]:
        """Let policies learn in the world, play the real game, and refine the world. Returns what they told."""
        told = self._learn_all([Run(number, self.config.main_temperature, seed) for seed in range(self.config.seeds)])
        self._once(f"collected-{number}", lambda pieces: self._collect(number, pieces))
        name, minutes = f"world-{number + 1}", self.config.refine_minutes
        self._once(name, lambda pieces: self._learn(name, minutes, pieces))
        return told

    def record(self) -> None:
        """Only the first stage: the real episodes that the first world is learnt from."""
        self._check_settings()
        self._once("recorded", self._record)

    def _check_settings(self) -> None:
        """Raise InhabitError when the folder holds stages of an experiment with other settings, or the world to begin
        with is none of Take Cover."""
        if self.config.world and not self._done("world-0").is_file():
            check_world_fits(self.config)
        mine = {name: value for name, value in plain(self.config).items() if name not in ANY_TIME}
        there = self._once("settings", lambda pieces: mine)
        there = {"world": "", **there}  # what a folder without that setting was begun with
        other = [name for name, value in mine.items() if there.get(name) != value]
        if other:
            said = ", ".join(f"{name} {there.get(name)}" for name in other)
            raise InhabitError(
                f"Expected the settings that this folder was begun with ({said}), got "
                f"{', '.join(f'{name} {mine[name]}' for name in other)} - at {self.out}; choose another -o"
            )

    def _record(self, pieces: Path) -> dict[str, Any]:
        share, players = math.ceil(self.config.episodes / len(self.config.players)), self.config.players
        begins = [RECORDED + index * share for index in range(len(players))]
        ends = [min(begin + share, RECORDED + self.config.episodes) for begin in begins]
        parts = zip(players, map(range, begins, ends), strict=True)
        return {player: self._summary(self._play(player, seeds, pieces, record=True)) for player, seeds in parts}

    def _collect(self, number: int, pieces: Path) -> dict[str, Any]:
        """Real play of what a round's policies have become."""
        told, share = {}, max(1, self.config.collect_episodes // self.config.seeds)
        for seed in range(self.config.seeds):
            first = COLLECTED + (number * self.config.seeds + seed) * share
            file = self._file(number, self.config.main_temperature, seed)
            told[f"policy {seed}"] = self._summary(self._play(file, range(first, first + share), pieces, record=True))
        return told

    def _first_world(self, pieces: Path) -> dict[str, Any]:
        """Learn it, or take the one that the experiment was told to begin with."""
        if not self.config.world:
            return self._learn("world-0", self.config.world_minutes, pieces)
        for stale in (self.world, self.world.with_name(f"{PACK_NAME}.run")):
            shutil.rmtree(stale, ignore_errors=True)
        shutil.copytree(find_pack(self.config.world), self.world)
        return {"minutes": 0.0, "beginnings": self._keep_world("world-0")}

    def _learn(self, name: str, minutes: float, pieces: Path) -> dict[str, Any]:
        """Learn or refine the world for what is left of `minutes`, give it starts, and keep a copy under `name`."""
        clock, recall = Clock(self.display, pieces / "clock.json"), None
        try:
            self._learn_for(minutes, self.config.gate, clock)
        except InhabitError:
            recall = reached(self.world)
            if recall is None:
                raise
            self.display.say(f"the codec shows {recall:.0%} of the objects, not {self.config.gate:.0%}: it must do")
            self._learn_for(minutes, recall, clock)
        clock.note()
        return {"minutes": minutes, "beginnings": self._keep_world(name), "below_gate": recall}

    def _keep_world(self, name: str) -> int:
        """Give the world its starts and keep a copy of it under `name`; returns how many starts begin an episode."""
        beginnings = put_starts(self.world, self.recording)
        shutil.rmtree(self.out / name, ignore_errors=True)
        shutil.copytree(self.world, self.out / name)
        return beginnings

    def _learn_for(self, minutes: float, gate: float, clock: Clock) -> None:
        from inhabit.worldmodel.train.learn import learn

        left = max(minutes - clock.seconds / 60, min(1.0, minutes))
        learn(
            LearnConfig(
                recording=self.recording, out=self.world, name=PACK_NAME, preset=self.config.preset, minutes=left,
                device=self.config.device, sound_share=0.0, gate=gate,
            ),
            clock,
        )  # fmt: skip

    def learn(self, run: Run) -> dict[str, Any]:
        """Train a policy and test it in the real game; one that learns in the dream also on its way, and in both."""

        def work(pieces: Path) -> dict[str, Any]:
            if run.stage is None:
                return self._train_in_game(run.seed, pieces)
            return self._train_in_dream(run.name, run.stage, run.temperature, run.seed, pieces)

        return self._once(run.name, work)

    def _learn_all(self, runs: Sequence[Run]) -> list[dict[str, Any]]:
        """What each run told; on CPUs, as many at a time as there are workers."""
        left = [run for run in runs if not self._done(run.name).is_file()]
        if min(self.config.workers, len(left)) > 1 and choose_device(self.config.device).type == "cpu":
            from inhabit.worldmodel.experiments.side_by_side import learn_side_by_side

            learn_side_by_side(self.config, self._make_dreams, left, self.display)
        return [self.learn(run) for run in runs]

    def _train_in_dream(self, name: str, stage: int, temperature: float, seed: int, pieces: Path) -> dict[str, Any]:
        config, pack, file = self.config, self.out / f"world-{stage}", self._file(stage, temperature, seed)
        envs = self._dreams(pack, config.ppo.envs, temperature=temperature, horizon=config.horizon)
        policy = self._new_policy(envs, seed)

        def check(index: int) -> dict[str, float]:
            save_policy(policy, file)
            played = pieces / f"check-{index}"
            real = self._test(file, pack, pieces=played, first=CHECKED, count=config.checkpoint_episodes)
            dream = self._imagine(policy, stage, temperature, seed)
            return {"dream": float(np.mean(dream)), "real": float(np.mean(real))}

        learning = self._train(name, envs, policy, config.ppo, seed, pieces, check)
        envs.close()
        imagined = self._imagine(policy, stage, temperature, seed)
        return {
            "temperature": temperature, "seed": seed, "tics": self._test(file, pack, pieces=pieces / "test"),
            "imagined": imagined, "checkpoints": learning.checks, **_told(learning),
        }  # fmt: skip

    def _train_in_game(self, seed: int, pieces: Path) -> dict[str, Any]:
        """The ceiling: the same policy and as many steps, in the real game."""
        config, pack, file = self.config, self._last_world, self.out / "policies" / f"real-{seed}.safetensors"
        first_seed = REAL_TRAINED + seed * 500_000
        envs = GameEnvs(pack, config.real_envs, size=config.size, first_seed=first_seed)
        policy = self._new_policy(envs, seed).cpu()
        length = config.ppo.length * config.ppo.envs // config.real_envs  # as many steps between two updates
        learning = self._train(f"real-{seed}", envs, policy, replace(config.ppo, length=length), seed, pieces)
        envs.close()
        save_policy(policy, file)
        return {"seed": seed, "tics": self._test(file, pack, pieces=pieces / "test"), **_told(learning)}

    def _train(
        self,
        name: str,
        envs: Envs,
        policy: Policy,
        config: PPOConfig,
        seed: int,
        pieces: Path,
        check: Callable[[int], dict[str, float]] | None = None,
    ) -> Learning:
        title = f"{name}: {config.steps} steps"
        self.display.begin(title)

        def on_update(learning: Learning) -> None:
            figures = {"return": learning.returns[-1], "entropy": learning.entropies[-1]}
            known = {what: value for what, value in figures.items() if value == value}
            self.display.show(learning.steps / config.steps, learning.all_s, learning.steps, "steps", known)

        def on_check(index: int) -> dict[str, float]:
            told = check(index) if check else {}
            self.display.begin(title)
            return told

        learning = train(
            envs, policy, config, seed=seed, on_update=on_update, kept=TrainingFile(pieces / "ppo.safetensors"),
            checks=self.config.checkpoints if check else 0, on_check=on_check,
        )  # fmt: skip
        self.display.end()
        return learning

    def _new_policy(self, envs: Any, seed: int) -> Policy:
        torch.manual_seed(seed)
        first, _ = envs.reset(seed=seed)
        return Policy(tuple(first.shape[1:]), ACTIONS).to(first.device)

    def _imagine(self, policy: Policy, stage: int, temperature: float, seed: int) -> list[float]:
        """Tics that the policy survives in whole dreamt episodes, from real beginnings."""
        pack = self.out / f"world-{stage}"
        beginnings = int(read_report(self._done(f"world-{stage}"))["beginnings"])
        count = self.config.imagined_episodes
        envs = self._dreams(pack, count, temperature=temperature, horizon=self.config.longest_dream)
        starts = [index % max(1, beginnings) for index in range(count)]
        earned = whole_episodes(envs, policy, seed=10_000 + seed, options={"start": starts})
        envs.close()
        return earned

    def _test(
        self,
        player: str | Path,
        pack: Path | None,
        *,
        pieces: Path,
        first: int = TESTED,
        count: int | None = None,
    ) -> list[float]:
        """Tics survived in real episodes; the same seeds for everybody."""
        seeds = range(first, first + (count or self.config.test_episodes))
        return [episode.tics for episode in self._play(player, seeds, pieces, codec=pack)]

    def _play(
        self, player: str | Path, seeds: range, pieces: Path, *, codec: Path | None = None, record: bool = False
    ) -> Any:
        began = time.monotonic()
        self.display.begin(f"{len(seeds)} real episodes, {Path(player).stem}")

        def show(done: int, all_: int) -> None:
            self.display.show(done / all_, time.monotonic() - began, done, "episodes", {})

        if codec is None and isinstance(player, Path):
            codec = self.out / "world-0"
        episodes = play(
            player, seeds, size=self.config.size, workers=self.config.workers, codec=codec,
            record_to=self.recording if record else None, objects=self.config.objects, pieces=pieces,
            on_progress=show,
        )  # fmt: skip
        self.display.end()
        return episodes

    def _endings(self, pieces: Path) -> dict[str, Any]:
        """Does the world know when a life ends? One step ahead, on held-out episodes."""
        from inhabit.worldmodel.dreams.dreams import DreamConfig, tempered_engine
        from inhabit.worldmodel.evaluate.endings import measure_endings, measure_rewards, read_heads
        from inhabit.worldmodel.evaluate.reality import hold, take
        from inhabit.worldmodel.pack import load_pack
        from inhabit.worldmodel.train.autoencoder import encode_all
        from inhabit.worldmodel.train.footage import load_footage

        footage = load_footage(self.recording)
        kept = take(footage, footage.held_out) if footage.held_out.any() else footage
        held = hold(kept, np.ones(len(kept), bool))
        pack = load_pack(self._last_world)
        engine = tempered_engine(pack, DreamConfig(device=self.config.device))
        latents = encode_all(engine.autoencoder, held, engine.device)
        readings = read_heads(
            engine, held, latents, steps=self.config.steps, episodes=64, most_frames=MOST_FRAMES, batch=16
        )
        return {"termination": measure_endings(readings, held), "reward": measure_rewards(readings, held),
                "held_out": bool(footage.held_out.any())}  # fmt: skip

    def _rates(self, pieces: Path) -> dict[str, Any]:
        """Imagined steps a second: of the batch that policies learn in, and of a single session."""
        told = {}
        for count in (1, self.config.ppo.envs):
            envs = self._dreams(self._last_world, count, temperature=1.0, horizon=self.config.horizon)
            envs.reset(seed=1)
            actions = np.zeros(count, np.int64)
            for _ in range(3):
                envs.step(actions)
            began = time.monotonic()
            for _ in range(RATE_STEPS):
                envs.step(actions)
            told[f"batch_{count}"] = RATE_STEPS * count / (time.monotonic() - began)
            envs.close()
        return told

    def _dreams(self, pack: Path, count: int, *, temperature: float, horizon: int) -> Envs:
        config = self.config
        return self._make_dreams(
            pack, count, temperature=temperature, horizon=horizon, steps=config.steps, device=config.device
        )

    def _file(self, stage: int, temperature: float, seed: int) -> Path:
        return self.out / "policies" / f"dream-{stage}-{temperature:g}-{seed}.safetensors"

    def _done(self, name: str) -> Path:
        return self.out / "stages" / f"{name}.json"

    def _once(self, name: str, work: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """What a stage told when it was done; it is done now if it was not.

        Args:
            work: does it, and keeps what it has done so far in the folder that it is given.
        """
        path, pieces = self._done(name), self.out / "pieces" / name
        if not path.is_file():
            began = time.monotonic()
            told = work(pieces)
            write_report(path, {**told, "seconds": time.monotonic() - began})
            shutil.rmtree(pieces, ignore_errors=True)
        return read_report(path)

    def _summary(self, episodes: Any) -> dict[str, Any]:
        tics = [episode.tics for episode in episodes]
        return {"episodes": len(tics), "frames": sum(episode.frames for episode in episodes),
                "mean_tics": float(np.mean(tics))}  # fmt: skip


def check_world_fits(config: TakeCoverConfig) -> None:
    """Raise InhabitError unless the world to begin with is one that this experiment could have learnt."""
    folder = find_pack(config.world)
    if folder.resolve().is_relative_to(config.out.resolve()):
        raise InhabitError(
            f"Expected a world outside {config.out}, which the experiment fills and clears, got {config.world}; "
            "choose another -o"
        )
    file = read_file(folder)
    info, dynamics = file.info, file.dynamics
    wanted = f"a world of {SOURCE} at {config.size}x{config.size}, {RATE_HZ:g} Hz"
    got = f"{file.source or 'one of nothing known'} at {info.width}x{info.height}, {info.rate_hz:g} Hz"
    if (file.source, info.width, info.height, info.rate_hz) != (SOURCE, config.size, config.size, RATE_HZ):
        raise InhabitError(f"Expected {wanted}, got {got} - {config.world}")
    more = [name for name in ("sound", "text", "recall") if getattr(dynamics, name)]
    if more:
        raise InhabitError(f"Expected {wanted} and nothing more, got one with {', '.join(more)} - {config.world}")
    preset = file.training.get("preset")
    if config.rounds and preset != config.preset:
        raise InhabitError(
            f"Expected a world of preset {config.preset}, which rounds would refine, got {preset or 'one of none'} - "
            f"{config.world}; choose --rounds 0, which takes it as it is"
        )


def reached(world: Path) -> float | None:
    """Share of the objects that the codec of a world in training shows, where that is what holds the training up."""
    progress = world.with_name(world.name + ".run") / "progress.json"
    if not progress.is_file():
        return None
    told = read_report(progress)
    return None if told["codec_passed"] else told["codec"].get("object_recall")


def _told(learning: Learning) -> dict[str, Any]:
    return {
        "steps": learning.steps,
        "steps_per_s": learning.steps / learning.all_s,
        "env_steps_per_s": learning.steps / learning.env_s,
        "returns": learning.returns,
        "entropies": learning.entropies,
    }
