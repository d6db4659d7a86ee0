"""Play the real game in processes: random, scripted, or a policy; record it or only count how long each one lived."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from inhabit.bridge.controls import Controls
from inhabit.bridge.frames import Frame
from inhabit.bridge.report import read_report, write_report
from inhabit.worldmodel.experiments.config import MOST_FRAMES, SOURCE, TICS
from inhabit.worldmodel.recordings import Meta, Moment, ShardWriter, write_meta

EPISODES_A_TASK = 8
EXPLORING = 0.05
"""How often a policy that records presses something else: a world that saw one way of playing knows no other."""

HOLD_FRAMES = (1, 40)
"""A random player that records holds an action so long, most often shortly; pressed anew each frame it never gets
anywhere, and a world that saw nobody walk to the end of the room would make it up."""


class Episode(NamedTuple):
    """One life."""

    seed: int
    tics: float
    """Survived: Take Cover pays one for each tic."""
    frames: int


@dataclass(frozen=True, kw_only=True)
class Task:
    """Some episodes for one process."""

    player: str
    """"random", "scripted", "explorer" (random with actions held) or the file of a policy."""
    codec: Path | None
    """The pack whose codec the policy sees through."""
    seeds: range
    size: int
    record_to: Path | None
    """Folder of a recording; None only counts."""
    objects: bool
    """Record where the objects in view are."""
    note: Path | None
    """Where it is noted what these episodes were, when they are over."""


def play(
    player: str | Path,
    seeds: range,
    *,
    size: int,
    workers: int,
    codec: Path | None = None,
    record_to: Path | None = None,
    objects: bool = True,
    pieces: Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, all_: None,
) -> list[Episode]:
    """Play episodes with these seeds, each to its end or to MOST_FRAMES, and say how long each lasted.

    Args:
        pieces: a folder that notes what has been played, so that the same call goes on where it was broken off.
    """
    if record_to is not None:
        write_meta(record_to, describe(size))
    starts = range(seeds.start, seeds.stop, EPISODES_A_TASK)
    tasks = [
        Task(
            player=str(player),
            codec=codec,
            seeds=range(start, min(seeds.stop, start + EPISODES_A_TASK)),
            size=size,
            record_to=record_to,
            objects=objects,
            note=None if pieces is None else pieces / f"{start}.json",
        )
        for start in starts
    ]
    played = [task for task in tasks if task.note is not None and task.note.is_file()]
    lived = [Episode(*one) for task in played if task.note for one in read_report(task.note)["episodes"]]
    tasks = [task for task in tasks if task not in played]
    if not tasks:
        return sorted(lived)
    with multiprocessing.get_context("spawn").Pool(min(workers, len(tasks))) as pool:
        for episodes in pool.imap_unordered(_play, tasks):
            lived += episodes
            on_progress(len(lived), len(seeds))
    return sorted(lived)


def describe(size: int) -> Meta:
    """What a recording of the game at this size says of itself."""
    game = open_game(size, labels=False)
    game.close()
    return describe_of(game)


def open_game(size: int, *, labels: bool) -> Any:
    """The real Take Cover, as the world sees it: TICS tics a frame, without sound."""
    from inhabit.worldmodel.worlds.doom import DoomConfig, DoomWorld

    config = DoomConfig(width=size, height=size, tics=TICS, sound=False, labels=labels)
    return DoomWorld(SOURCE.partition(":")[2], config)


def _play(task: Task) -> list[Episode]:
    game = open_game(task.size, labels=task.player == "scripted" or (task.objects and task.record_to is not None))
    choose = _chooser(task, game)
    writer = ShardWriter(describe_of(game)) if task.record_to is not None else None
    lived = []
    for seed in task.seeds:
        moments = list(_episode(game, choose, seed, objects=task.objects))
        lived.append(Episode(seed, sum(moment.reward for moment in moments), len(moments) - 1))
        if writer is not None:
            for moment in moments:
                writer.add(moment)
    if writer is not None and task.record_to is not None:
        writer.write(task.record_to / f"shard-{task.seeds.start:08d}.h5")
    if task.note is not None:
        write_report(task.note, {"episodes": lived})
    game.close()
    return lived


def describe_of(game: Any) -> Meta:
    from inhabit.worldmodel.worlds.doom import VARIABLES

    return Meta(world=game.info, source=SOURCE, licence=game.info.licence, variables=VARIABLES)


def _episode(game: Any, choose: Callable[[Frame, int], np.ndarray], seed: int, *, objects: bool) -> Iterator[Moment]:
    frame = game.reset(seed=seed)
    yield _moment(game, frame, np.zeros(game.info.actions.size, np.float32), seed, objects=objects, first=True)
    for index in range(MOST_FRAMES):
        action = choose(frame, seed if index == 0 else -1)
        frame = game.step(Controls(action=tuple(map(float, action))))
        over = frame.terminated or frame.truncated
        cut = not over and index + 1 == MOST_FRAMES
        yield _moment(game, frame, action, seed, objects=objects, cut=cut)
        if over:
            return


def _moment(
    game: Any,
    frame: Frame,
    action: np.ndarray,
    seed: int,
    *,
    objects: bool,
    first: bool = False,
    cut: bool = False,
) -> Moment:
    return Moment(
        pixels=frame.pixels,
        action=action,
        reward=frame.reward,
        terminated=frame.terminated,
        truncated=frame.truncated or cut,
        first=first,
        seed=seed,
        objects=game.objects() if objects else (),
        variables=game.variables(),
    )


def _chooser(task: Task, game: Any) -> Callable[[Frame, int], np.ndarray]:
    """What is pressed at a frame; the second argument is the seed at an episode's first frame, else -1."""
    size = game.info.actions.size
    table = np.vstack([np.zeros(size), np.eye(size)]).astype(np.float32)
    if task.player == "scripted":
        return _scripted(game)
    if task.player in ("random", "explorer"):
        return _random(table, HOLD_FRAMES if task.player == "explorer" else (1, 2))
    return _policy(task, table)


def _random(table: np.ndarray, hold: tuple[int, int]) -> Callable[[Frame, int], np.ndarray]:
    rng, held, left = np.random.default_rng(), table[0], 0

    def choose(frame: Frame, begins: int) -> np.ndarray:
        nonlocal rng, held, left
        if begins >= 0:
            rng, left = np.random.default_rng(begins), 0
        if left == 0:
            held, left = table[rng.integers(len(table))], int(np.exp(rng.uniform(*np.log(hold))))
        left -= 1
        return held

    return choose


def _scripted(game: Any) -> Callable[[Frame, int], np.ndarray]:
    from inhabit.worldmodel.worlds.doom_policies import DoomPlayer, Sight

    player = DoomPlayer(game.info.actions.names, game.info.width, 0)

    def choose(frame: Frame, begins: int) -> np.ndarray:
        nonlocal player
        if begins >= 0:
            player = DoomPlayer(game.info.actions.names, game.info.width, begins)
        return player.action(Sight(boxes=game.objects(), stuck=False))

    return choose


def _policy(task: Task, table: np.ndarray) -> Callable[[Frame, int], np.ndarray]:
    """A policy samples its actions: the most likely one alone tends to stand in a corner."""
    import torch

    from inhabit.worldmodel.dreams.real import Codec
    from inhabit.worldmodel.experiments.policy import Sight, load_policy

    torch.set_num_threads(1)
    assert task.codec is not None
    codec = Codec(task.codec)
    policy = load_policy(Path(task.player), codec.latent_shape, len(table))
    sight: Sight | None = None
    rng = np.random.default_rng()
    explore = EXPLORING if task.record_to is not None else 0.0

    def choose(frame: Frame, begins: int) -> np.ndarray:
        nonlocal sight, rng
        latents = torch.from_numpy(codec.encode(frame.pixels[None]))
        if begins >= 0 or sight is None:
            sight, rng = Sight(latents), np.random.default_rng(begins)
        else:
            sight.add(latents)
        with torch.inference_mode():
            chances = policy(sight.seen)[0].probs[0].double().numpy()
        if rng.random() < explore:
            return table[rng.integers(len(table))]
        return table[rng.choice(len(table), p=chances / chances.sum())]

    return choose


class GameEnvs:
    """Real games side by side as PPO takes them: latents of the pack's codec, tensors, SAME_STEP.

    Args:
        codec: folder of the pack.
        count: games.
        first_seed: of the first episode; each further one counts on.
    """

    def __init__(self, codec: Path, count: int, *, size: int, first_seed: int):
        from inhabit.worldmodel.dreams.real import Codec

        self.num_envs = count
        self._codec = Codec(codec)
        self._games = [open_game(size, labels=False) for _ in range(count)]
        self._actions = np.vstack([np.zeros(2), np.eye(2)])
        self._next = first_seed
        self._lived = np.zeros(count, np.int64)
        self.play_s = 0.0

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """All begin; the seeds are our own."""
        self._lived[:] = 0
        return self._encoded([self._begin(game) for game in self._games]), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        import torch

        began = time.monotonic()
        frames = [
            game.step(Controls(action=tuple(self._actions[int(action)])))
            for game, action in zip(self._games, actions, strict=True)
        ]
        self.play_s += time.monotonic() - began
        self._lived += 1
        rewards = torch.tensor([frame.reward for frame in frames])
        terminated = np.array([frame.terminated for frame in frames])
        truncated = np.array([frame.truncated for frame in frames]) | (self._lived >= MOST_FRAMES)
        latents = self._encoded([frame.pixels for frame in frames])
        over = terminated | truncated
        info: dict[str, Any] = {}
        if over.any():
            final = np.full(self.num_envs, None, object)
            rows = np.flatnonzero(over)
            for row in rows:
                final[row] = latents[row].clone()
            latents[rows] = self._encoded([self._begin(self._games[row]) for row in rows])
            self._lived[rows] = 0
            info = {"final_obs": final, "_final_obs": over}
        return latents, rewards, torch.from_numpy(terminated), torch.from_numpy(truncated), info

    def close(self) -> None:
        for game in self._games:
            game.close()

    def _begin(self, game: Any) -> np.ndarray:
        self._next += 1
        return game.reset(seed=self._next - 1).pixels

    def _encoded(self, frames: list[np.ndarray]) -> Any:
        import torch

        return torch.from_numpy(self._codec.encode(np.stack(frames)).copy())
