"""Recordings to and from Minari, the data sets of offline reinforcement learning. Only this file knows Minari.

A recording's row holds a frame and what LED to it; Minari's step t holds an action and what came OF it. So an episode
of n + 1 rows becomes n steps with n + 1 observations, and nothing is shifted.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from inhabit.bridge.controls import ActionMap, ActionSource
from inhabit.bridge.errors import InhabitError, MissingExtraError
from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.recordings import Meta, Recorder, RecordingError, Shard, read_meta, read_shards

PREFIX = "minari:"
WORLD_KEY = "inhabit_recording"
"""Where a data set that we wrote says what the recording said of itself."""

DEFAULT_RATE_HZ = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What went over."""

    episodes: int
    frames: int


def export_minari(
    recording: Path, dataset_id: str, *, on_progress: Callable[[int], None] = lambda frames: None
) -> Counts:
    """Write a recording as a local Minari data set, lossless. Sound, words and objects have no place there.

    An episode that the recording broke off ends there with a truncation. Raises RecordingError for a recording that is
    not there, a name that Minari does not take, or one that exists.
    """
    minari = _minari()
    meta = read_meta(recording)
    dataset, episodes, frames = None, 0, 0
    for shard in read_shards(recording):
        buffers = [_buffer(shard, rows, meta.world, episodes + index) for index, rows in enumerate(_whole(shard))]
        if not buffers:
            continue
        if dataset is None:
            dataset = _create(minari, dataset_id, buffers, meta)
        else:
            dataset.update_dataset_from_buffer(buffers)
        episodes += len(buffers)
        frames += sum(len(buffer) + 1 for buffer in buffers)
        on_progress(frames)
    if dataset is None:
        raise RecordingError(f"Expected an episode of at least two frames, got none - at {recording}")
    dataset.storage.update_metadata({WORLD_KEY: msgspec.json.encode(meta).decode()})
    return Counts(episodes=episodes, frames=frames)


def import_minari(
    dataset_id: str,
    recording: Path,
    *,
    size: tuple[int, int] | None = None,
    rate_hz: float | None = None,
    on_progress: Callable[[int], None] = lambda frames: None,
) -> Counts:
    """Write a local Minari data set as a recording. Pictures are averaged down to `size` (width, height), pixels.

    Raises RecordingError for a data set that is not on this machine or does not consist of pictures.
    """
    minari = _minari()
    try:
        dataset = minari.load_dataset(dataset_id)
    except (FileNotFoundError, ValueError, OSError) as error:
        raise RecordingError(
            f"Expected a Minari data set that is on this machine, got {dataset_id!r} ({str(error).splitlines()[0]}); "
            f"`minari download {dataset_id}` fetches one, `minari list local` tells which there are"
        ) from error
    key = _picture_key(dataset)
    meta = _meta(dataset, dataset_id, key, size, rate_hz)
    to_vector = _translator(dataset.spec.action_space)
    frames = 0
    with Recorder(recording, meta.world, source=meta.source, licence=meta.licence) as recorder:
        for episode in dataset.iterate_episodes():
            pictures = episode.observations if key is None else episode.observations[key]
            for step in range(len(pictures)):
                before = step - 1
                recorder.add(
                    _fitted(np.asarray(pictures[step]), meta.world),
                    action=to_vector(episode.actions, before) if step else np.zeros(meta.world.actions.size),  # type: ignore[arg-type]
                    reward=float(episode.rewards[before]) if step else 0.0,
                    terminated=bool(step and episode.terminations[before]),
                    truncated=bool(step and episode.truncations[before]),
                    first=step == 0,
                )
            frames += len(pictures)
            on_progress(frames)
    return Counts(episodes=int(dataset.total_episodes), frames=frames)


def _whole(shard: Shard) -> Iterator[slice]:
    return (rows for rows in shard.episodes() if rows.stop - rows.start > 1)


def _buffer(shard: Shard, rows: slice, world: WorldInfo, number: int) -> Any:
    from minari.data_collector import EpisodeBuffer

    steps = slice(rows.start + 1, rows.stop)
    truncated = shard.truncated[steps].copy()
    if not shard.terminated[steps][-1]:
        truncated[-1] = True
    buttons = all(source.kind == "button" for source in world.actions.sources)
    actions = shard.actions[steps]
    return EpisodeBuffer(
        id=number,
        seed=int(shard.seeds[rows.start]),
        observations=shard.frames[rows],  # type: ignore[arg-type]
        actions=(actions > 0.5).astype(np.int8) if buttons else actions,  # type: ignore[arg-type]
        rewards=shard.rewards[steps].tolist(),
        terminations=shard.terminated[steps].tolist(),
        truncations=truncated.tolist(),
        infos={},
    )


def _create(minari: Any, dataset_id: str, buffers: list[Any], meta: Meta) -> Any:
    from gymnasium import spaces

    world = meta.world
    buttons = all(source.kind == "button" for source in world.actions.sources)
    size = world.actions.size
    try:
        with warnings.catch_warnings():
            # a recording is of no Gymnasium environment
            warnings.filterwarnings("ignore", message=".*(eval_env|env_spec)")
            return minari.create_dataset_from_buffers(
                dataset_id,
                buffers,
                observation_space=spaces.Box(0, 255, (world.height, world.width, 3), np.uint8),
                action_space=spaces.MultiBinary(size) if buttons else spaces.Box(-1, 1, (size,), np.float32),
                algorithm_name="inhabit record",
                author="inhabit",
                author_email="-",
                code_permalink="-",
                description=f"{meta.source}: actions {', '.join(world.actions.names)}; {meta.licence}",
                data_format="hdf5",
                jpeg_encoding=False,
            )
    except ValueError as error:
        raise RecordingError(f"Expected a new Minari name such as doom/take-cover-v0, got: {error}") from error


def _meta(dataset: Any, dataset_id: str, key: str | None, size: tuple[int, int] | None, rate_hz: float | None) -> Meta:
    known = dataset.storage.metadata.get(WORLD_KEY)
    if known and size is None and rate_hz is None:
        meta = msgspec.json.decode(known, type=Meta)
        return Meta(world=meta.world, source=f"{PREFIX}{dataset_id}", licence=meta.licence)
    space = dataset.spec.observation_space if key is None else dataset.spec.observation_space[key]
    height, width = space.shape[:2]
    width, height = size or (max(32, width // 16 * 16), max(32, height // 16 * 16))
    if width % 16 or height % 16:
        raise RecordingError(f"Expected a size in multiples of 16, got {width}x{height} - at --size")
    world = WorldInfo(
        name=dataset_id.replace("/", "-")[-64:],
        title=f"Minari {dataset_id}",
        width=width,
        height=height,
        rate_hz=rate_hz or _rate_of(dataset),
        actions=ActionMap(sources=tuple(_sources(dataset.spec.action_space))),
    )
    return Meta(world=world, source=f"{PREFIX}{dataset_id}")


def _rate_of(dataset: Any) -> float:
    spec = dataset.spec.env_spec
    metadata = getattr(spec, "kwargs", {}).get("metadata", {}) if spec is not None else {}
    return float(metadata.get("render_fps") or DEFAULT_RATE_HZ)


def _picture_key(dataset: Any) -> str | None:
    """Where the pictures are: None when an observation is one, else the name of its part that is."""
    from gymnasium import spaces

    def is_picture(space: Any) -> bool:
        return (
            isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) == 3 and space.shape[2] == 3
        )

    space = dataset.spec.observation_space
    if is_picture(space):
        return None
    keys = [name for name, part in space.spaces.items() if is_picture(part)] if isinstance(space, spaces.Dict) else []
    if len(keys) != 1:
        raise RecordingError(
            f"Expected a data set whose observations are (height, width, 3) uint8 pictures, or have one such part, "
            f"got {space} - at {dataset.spec.dataset_id}"
        )
    return keys[0]


def _sources(space: Any) -> Iterator[ActionSource]:
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        yield from (ActionSource(name=f"ACTION_{index}") for index in range(int(space.n)))
    elif isinstance(space, spaces.MultiBinary):
        yield from (ActionSource(name=f"BUTTON_{index}") for index in range(int(np.prod(space.shape))))
    elif isinstance(space, spaces.Box) and np.isfinite(space.low).all() and np.isfinite(space.high).all():
        count = int(np.prod(space.shape))
        yield from (ActionSource(name=f"AXIS_{index}", kind="axis") for index in range(count))
    else:
        raise RecordingError(f"Expected actions that are Discrete, MultiBinary or a bounded Box, got {space}")


def _translator(space: Any) -> Callable[[Any, int], np.ndarray]:
    """From an episode's actions and a step to an action vector."""
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        hot = np.eye(int(space.n), dtype=np.float32)
        return lambda actions, step: hot[int(actions[step]) - int(space.start)]
    if isinstance(space, spaces.MultiBinary):
        return lambda actions, step: np.asarray(actions[step], np.float32).ravel()
    middle, half = (space.high + space.low) / 2, (space.high - space.low) / 2
    return lambda actions, step: ((np.asarray(actions[step]) - middle) / half).astype(np.float32).ravel()


def _fitted(picture: np.ndarray, world: WorldInfo) -> np.ndarray:
    if picture.shape[:2] == (world.height, world.width):
        return picture
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((world.width, world.height), Image.Resampling.BOX))


def _minari() -> Any:
    try:
        import minari
    except ImportError as error:
        raise MissingExtraError("minari", "rl") from error
    return minari


def check_source(source: str) -> str:
    """The data set's name in "minari:NAME". Raises InhabitError for anything else."""
    name = source.removeprefix(PREFIX)
    if not source.startswith(PREFIX) or not name:
        raise InhabitError(f"Expected a source such as minari:atari/breakout/expert-v0, got {source!r}")
    return name
