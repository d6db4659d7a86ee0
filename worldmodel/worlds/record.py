"""Play a game with scripted players in parallel processes and write what they live through as a recording."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import InhabitError, WorldError
from inhabit.bridge.frames import Frame
from inhabit.bridge.world import World
from inhabit.worldmodel.recordings import SHARD_FRAMES, Box, Meta, Moment, RecordingError, ShardWriter, write_meta

MAX_EPISODE_FRAMES = 2000
MAX_EPISODES = 2**40
MOST_TICS = 35
"""Game tics a frame: a second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordConfig:
    """One recording."""

    source: str
    """What to play: "doom:SCENARIO", "gym:ENV_ID", "isle" or "isle:PROMPT"."""

    frames: int = 10_000
    """Frames that the recording shall hold in all."""

    folder: Path = Path("recordings/new")
    """Where it is written."""

    workers: int = 2
    """Processes that play at the same time."""

    seed: int = 0
    """Seed of the first episode; episode n has seed + n."""

    width: int = 128
    """Frame width, pixels, a multiple of 16."""

    height: int = 96
    """Frame height, pixels, a multiple of 16."""

    sound: bool = True
    """Whether sound is recorded where the game has it."""

    tics: int | None = None
    """Game tics a frame, for Doom, which has 35 a second; None for the usual 2."""

    def __post_init__(self) -> None:
        if self.tics is None:
            return
        if not self.source.startswith("doom:"):
            raise WorldError(f"Expected game tics a frame only for doom:SCENARIO, got {self.tics} for {self.source!r}")
        if not 1 <= self.tics <= MOST_TICS:
            raise WorldError(f"Expected 1 to {MOST_TICS} game tics a frame, got {self.tics}")


class Game(Protocol):
    """A world with a scripted player that knows it."""

    world: World
    variables: tuple[str, ...]

    def begin(self, seed: int) -> None: ...
    def choose(self) -> np.ndarray: ...
    def objects(self) -> Sequence[Box]: ...
    def values(self) -> Sequence[float]: ...
    def exhausted(self) -> bool:
        """Whether the episode shall be cut here, for a reason that the picture does not show."""
        ...


def open_game(config: RecordConfig) -> Game:
    """Open what `config.source` names. Raises WorldError for an unknown source."""
    kind, _, name = config.source.partition(":")
    if kind == "doom" and name:
        return _DoomGame(name, config)
    if kind == "gym" and name:
        return _GymGame(name, config)
    raise WorldError(f"Expected a source doom:SCENARIO, gym:ENV_ID or isle, got {config.source!r}")


class _DoomGame:
    def __init__(self, scenario: str, config: RecordConfig):
        from inhabit.worldmodel.worlds import doom

        tics = doom.DoomConfig().tics if config.tics is None else config.tics
        size = {"width": config.width, "height": config.height}
        self._doom = doom.DoomWorld(scenario, doom.DoomConfig(**size, tics=tics, sound=config.sound, depth=True))
        self.world: World = self._doom
        self.variables = doom.VARIABLES
        self._limited = True

    def begin(self, seed: int) -> None:
        from inhabit.worldmodel.worlds.doom_policies import DoomPlayer

        info = self.world.info
        self._player = DoomPlayer(info.actions.names, info.width, seed)
        self._limited = "ATTACK" in info.actions.names and self._value("AMMO2") > 0
        self._place = (0.0, 0.0)

    def choose(self) -> np.ndarray:
        from inhabit.worldmodel.worlds.doom_policies import Sight

        place = (self._value("POSITION_X"), self._value("POSITION_Y"))
        stuck = np.hypot(place[0] - self._place[0], place[1] - self._place[1]) < 1.0
        self._place = place
        return self._player.action(Sight(boxes=self._doom.objects(), stuck=bool(stuck), ways=self._doom.ways()))

    def objects(self) -> Sequence[Box]:
        return self._doom.objects()

    def values(self) -> Sequence[float]:
        return self._doom.variables()

    def exhausted(self) -> bool:
        # the picture has no ammunition counter: a model that saw empty guns would learn that shots fail at random
        return self._limited and self._value("AMMO2") <= 0

    def _value(self, name: str) -> float:
        return self._doom.variables()[self.variables.index(name)]


class _GymGame:
    variables: tuple[str, ...] = ()

    def __init__(self, env_id: str, config: RecordConfig):
        from inhabit.worldmodel.worlds.gym import GymConfig, GymWorld

        self.world: World = GymWorld(env_id, GymConfig(width=config.width, height=config.height))

    def begin(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._hold = 0

    def choose(self) -> np.ndarray:
        """Hold one random action for 1 to 8 frames, now and then for up to 30."""
        sources = self.world.info.actions.sources
        if self._hold <= 0:
            self._hold = int(self._rng.integers(1, 9 if self._rng.random() < 0.8 else 31))
            chosen = self._rng.integers(len(sources))
            self._action = np.array(
                [
                    self._rng.uniform(-1, 1) if source.kind == "axis" else float(index == chosen)
                    for index, source in enumerate(sources)
                ],
                np.float32,
            )
        self._hold -= 1
        return self._action

    def objects(self) -> Sequence[Box]:
        return ()

    def values(self) -> Sequence[float]:
        return ()

    def exhausted(self) -> bool:
        return False


def record(config: RecordConfig, *, on_progress: Callable[[int], None] = lambda frames: None) -> int:
    """Make or extend a recording and return the frames it now holds. Ctrl-C keeps what was played.

    Args:
        on_progress: called with the number of frames played so far, a few times a second.
    """
    meta = _describe(config)
    write_meta(config.folder, meta)
    held, next_seed = _already(config)
    if held >= config.frames:
        return held
    seeds = [range(next_seed + index, next_seed + MAX_EPISODES, config.workers) for index in range(config.workers)]
    return _run_players(config, meta, seeds, held, on_progress)


def record_seeds(
    config: RecordConfig, seeds: range, *, on_progress: Callable[[int], None] = lambda frames: None
) -> int:
    """Play exactly the episodes with these seeds, each to its end; the config's `frames` and `seed` do not count.

    Returns the frames that were played. Shards that lie in the folder already are left as they are.
    """
    if not len(seeds):
        raise RecordingError(f"Expected a range with seeds in it, got {seeds.start}:{seeds.stop}")
    meta = _describe(config)
    write_meta(config.folder, meta)
    workers = min(config.workers, len(seeds))
    config = replace(config, workers=workers, frames=MAX_EPISODES * MAX_EPISODE_FRAMES)
    return _run_players(config, meta, [seeds[index::workers] for index in range(workers)], 0, on_progress)


def _run_players(
    config: RecordConfig, meta: Meta, seeds: Sequence[range], held: int, on_progress: Callable[[int], None]
) -> int:
    """Let one process play each range of seeds until all are through, or until the recording holds `config.frames`."""
    context = multiprocessing.get_context("spawn")
    played, stop, failures = context.Value("q", held), context.Event(), context.SimpleQueue()
    workers = [
        context.Process(target=_work, args=(config, meta, index, mine, played, stop, failures))
        for index, mine in enumerate(seeds)
    ]
    for worker in workers:
        worker.start()
    try:
        while any(worker.is_alive() for worker in workers):
            on_progress(min(played.value, config.frames))
            time.sleep(0.2)
    except KeyboardInterrupt:
        stop.set()
        raise
    finally:
        for worker in workers:
            worker.join()
    if not failures.empty():
        raise RecordingError(f"A player stopped: {failures.get()} - what was recorded is kept in {config.folder}")
    return int(played.value)


def _describe(config: RecordConfig) -> Meta:
    if config.frames < 1 or config.workers < 1:
        raise RecordingError(f"Expected frames and workers of at least 1, got {config.frames} and {config.workers}")
    for name in ("width", "height"):
        if getattr(config, name) % 16 or getattr(config, name) < 32:
            raise RecordingError(f"Expected a {name} that is a multiple of 16, 32 or more, got {getattr(config, name)}")
    if config.source.partition(":")[0] == "isle":
        from inhabit.worldmodel.worlds.isle.record import describe

        return describe(config)
    game = open_game(config)
    info, variables = game.world.info, game.variables
    game.world.close()
    return Meta(world=info, source=config.source, licence=info.licence, variables=variables)


def _already(config: RecordConfig) -> tuple[int, int]:
    """Frames that the folder holds, and the first seed that no episode in it has."""
    import h5py

    frames, seed = 0, config.seed
    for path in config.folder.glob("shard-*.h5"):
        with contextlib.suppress(OSError, KeyError, ValueError), h5py.File(path, "r") as file:
            frames += len(file["actions"])
            seed = max(seed, int(file["seeds"][()].max()) + 1)
    return frames, seed


def _work(config: RecordConfig, meta: Meta, index: int, seeds: range, played: Any, stop: Any, failures: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides; this process ends its shard in peace
    threading.Thread(target=_stop_with_parent, args=(stop,), daemon=True).start()
    try:
        _play(config, meta, index, seeds, played, stop)
    except InhabitError as error:
        failures.put(str(error))


def _stop_with_parent(stop: Any) -> None:
    """Also where the parent was killed and could not say so."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    stop.set()


def _play(config: RecordConfig, meta: Meta, index: int, seeds: range, played: Any, stop: Any) -> None:
    # named for the batch's first seed, which is the same for all players of one call
    name, shard = f"shard-{seeds.start - index:08d}-{index:02d}", 0
    if config.source.partition(":")[0] == "isle":  # many islands at once
        from inhabit.worldmodel.worlds.isle.record import record_seeds

        record_seeds(config, meta, name, seeds, played, stop)
        return
    game, writer = open_game(config), ShardWriter(meta)
    for seed in seeds:
        if played.value >= config.frames or stop.is_set():
            break
        for moment in _episode(game, seed):
            writer.add(moment)
            with played.get_lock():
                played.value += 1
            if played.value >= config.frames or stop.is_set():
                break
        if len(writer) >= SHARD_FRAMES:
            writer.write(config.folder / f"{name}-{shard:04d}.h5")
            shard += 1
    writer.write(config.folder / f"{name}-{shard:04d}.h5")
    game.world.close()


def _episode(game: Game, seed: int) -> Any:
    frame = game.world.reset(seed=seed)
    game.begin(seed)
    yield _moment(game, frame, np.zeros(game.world.info.actions.size, np.float32), seed, first=True)
    for _ in range(MAX_EPISODE_FRAMES):
        action = game.choose()
        frame = game.world.step(Controls(action=tuple(float(value) for value in action)))
        over = frame.terminated or frame.truncated
        cut = not over and game.exhausted()
        yield _moment(game, frame, action, seed, cut=cut)
        if over or cut:
            return


def _moment(
    game: Game, frame: Frame, action: np.ndarray, seed: int, *, first: bool = False, cut: bool = False
) -> Moment:
    return Moment(
        pixels=frame.pixels,
        action=action,
        reward=frame.reward,
        terminated=frame.terminated,
        truncated=frame.truncated or cut,
        first=first,
        seed=seed,
        sound=frame.sound,
        objects=game.objects(),
        variables=game.values(),
    )
