"""Recordings: what worlds are learnt from. A folder with meta.json and HDF5 shards; this file is the whole format.

Row t of a shard is one moment: the frame, and the action, reward and ending that LED to it. The first row of an
episode has `first` set and an action of zeros; its last row is the final observation. Frames are lossless.
Shards and meta.json are written beside and renamed, so a recording is valid after every shard, whatever stops it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import h5py
import msgspec
import numpy as np

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.world import WorldInfo

FORMAT = 1
SHARD_FRAMES = 2048
CHUNK_FRAMES = 16
META = "meta.json"


class RecordingError(InhabitError):
    """A recording is missing, damaged, or of another kind than asked for."""


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """meta.json."""

    format: Annotated[int, msgspec.Meta(ge=1)] = FORMAT
    world: WorldInfo
    """Size, rate, actions and sound of the world that was recorded."""

    source: str
    """What was recorded, as `inhabit record` takes it, such as "doom:defend_the_center"."""

    licence: str = ""
    variables: tuple[str, ...] = ()
    """Names of the columns of `variables`, such as "HEALTH"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """One object in view."""

    name: str
    x: int
    """Left edge, pixels."""
    y: int
    """Top edge, pixels."""
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One row: a frame and what led to it."""

    pixels: np.ndarray
    action: np.ndarray
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    first: bool = False
    seed: int = 0
    """The episode's seed."""
    sound: np.ndarray | None = None
    """(samples, channels) int16."""
    objects: Sequence[Box] = ()
    variables: Sequence[float] = ()
    text: str | None = None
    """Words that hold from this frame on; None means that they did not change."""
    events: Sequence[str] = ()
    """Names of what happened in this frame, such as "bounce"."""


class ShardWriter:
    """Collects moments and writes them as one shard."""

    def __init__(self, meta: Meta):
        self._meta = meta
        self._rows: list[Moment] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, moment: Moment) -> None:
        """Append one moment. Raises RecordingError if it does not fit the recording's world."""
        info = self._meta.world
        if moment.pixels.shape != (info.height, info.width, 3) or moment.pixels.dtype != np.uint8:
            raise RecordingError(
                f"Expected pixels ({info.height}, {info.width}, 3) uint8, "
                f"got {moment.pixels.shape} {moment.pixels.dtype}"
            )
        if len(moment.action) != info.actions.size:
            raise RecordingError(
                f"Expected an action of {info.actions.size} numbers ({', '.join(info.actions.names)})"
                f", got {len(moment.action)}"
            )
        self._rows.append(moment)

    def write(self, path: Path) -> None:
        """Write beside `path` and rename; an empty shard writes nothing."""
        if not self._rows:
            return
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with h5py.File(partial, "w") as file:
            self._write(file)
        partial.replace(path)
        self._rows = []

    def _write(self, file: h5py.File) -> None:
        rows, info = self._rows, self._meta.world
        frames = np.stack([row.pixels for row in rows])
        chunk = (min(CHUNK_FRAMES, len(rows)), *frames.shape[1:])
        # gzip 1 halves raw Doom frames at the rate that a core plays them; higher levels cost more than they gain
        file.create_dataset("frames", data=frames, chunks=chunk, compression="gzip", compression_opts=1)
        file["actions"] = np.stack([row.action for row in rows]).astype(np.float32)
        file["rewards"] = np.array([row.reward for row in rows], np.float32)
        for name in ("terminated", "truncated", "first"):
            file[name] = np.array([getattr(row, name) for row in rows], bool)
        file["seeds"] = np.array([row.seed for row in rows], np.int64)
        file["variables"] = np.array([tuple(row.variables) for row in rows], np.float32).reshape(len(rows), -1)
        self._write_sound(file, max(1, info.sound_channels))
        self._write_objects(file)
        said = [(index, row.text) for index, row in enumerate(rows) if row.text is not None]
        file["text_frame"] = np.array([index for index, _ in said], np.int64)
        file.create_dataset("text", data=[text for _, text in said], dtype=h5py.string_dtype())
        happened = sorted({name for row in rows for name in row.events})
        table = [(index, happened.index(name)) for index, row in enumerate(rows) for name in row.events]
        file["events"] = np.array(table, np.int32).reshape(-1, 2)
        file.create_dataset("event_names", data=happened, dtype=h5py.string_dtype())

    def _write_sound(self, file: h5py.File, channels: int) -> None:
        silence = np.zeros((0, channels), np.int16)
        pieces = [silence if row.sound is None else row.sound for row in self._rows]
        sound = np.concatenate(pieces)
        chunks = (min(65536, len(sound)), channels) if len(sound) else None
        file.create_dataset(
            "sound",
            data=sound,
            chunks=chunks,
            compression="gzip" if chunks else None,
            compression_opts=1 if chunks else None,
        )
        file["sound_end"] = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)

    def _write_objects(self, file: h5py.File) -> None:
        names = sorted({box.name for row in self._rows for box in row.objects})
        table = [
            (index, names.index(box.name), box.x, box.y, box.width, box.height)
            for index, row in enumerate(self._rows)
            for box in row.objects
        ]
        file["objects"] = np.array(table, np.int32).reshape(-1, 6)
        file.create_dataset("object_names", data=names, dtype=h5py.string_dtype())


class Recorder:
    """Record any game from Python: open it, add() each frame, close it. The three lines a user's own game needs.

    >>> with Recorder("recordings/mine", info, source="my game") as recorder:      # doctest: +SKIP
    ...     recorder.add(pixels, action=(1, 0), first=True)
    """

    def __init__(
        self, folder: str | Path, info: WorldInfo, *, source: str, licence: str = "", variables: Sequence[str] = ()
    ):
        """Begin, or go on with, a recording.

        Args:
            source: what is played.
            licence: of what the frames show.
            variables: names of the numbers that add() is given with each frame. A game in which one walks around gives
                X (east), Y (up), Z (north), YAW (degrees, clockwise from north) and PITCH (degrees, up): a world that
                is learnt from them remembers places.
        """
        self._folder = Path(folder)
        meta = Meta(world=info, source=source, licence=licence, variables=tuple(variables))
        self._writer = ShardWriter(write_meta(self._folder, meta))
        self._variables = len(variables)
        self._next = len(list(self._folder.glob("shard-*.h5")))
        self._seed = self._next * SHARD_FRAMES - 1  # episodes are numbered, and go on beyond those that are there
        self._after_end = True

    def add(
        self,
        pixels: np.ndarray,
        *,
        action: Sequence[float],
        reward: float = 0.0,
        terminated: bool = False,
        truncated: bool = False,
        first: bool = False,
        sound: np.ndarray | None = None,
        objects: Sequence[Box] = (),
        text: str | None = None,
        variables: Sequence[float] = (),
    ) -> None:
        """Append the frame that `action` led to. A frame after an ended episode begins the next one by itself."""
        if len(variables) != self._variables:
            raise RecordingError(
                f"Expected {self._variables} variables, as the recording began with, got {variables!r}"
            )
        first = first or self._after_end
        self._after_end = terminated or truncated
        self._seed += first
        self._writer.add(
            Moment(
                pixels=np.array(pixels),
                action=np.asarray(action, np.float32),
                reward=reward,
                terminated=terminated,
                truncated=truncated,
                first=first,
                seed=self._seed,
                sound=sound,
                objects=objects,
                text=text,
                variables=variables,
            )
        )
        if len(self._writer) >= SHARD_FRAMES:
            self._flush()

    def close(self) -> None:
        self._flush()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _flush(self) -> None:
        self._writer.write(self._folder / f"shard-{self._next:05d}.h5")
        self._next += 1


def write_meta(folder: Path, meta: Meta) -> Meta:
    """Create the folder and its meta.json. Raises RecordingError if it holds a recording of another world."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / META
    if path.exists():
        there = read_meta(folder)
        if there != meta:
            raise RecordingError(
                f"Expected an empty folder or a recording of {meta.source!r}, got a recording of "
                f"{there.source!r} ({there.world.width}x{there.world.height}) - at {folder}; "
                f"choose another folder with -o"
            )
        return meta
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(meta), indent=2))
    partial.replace(path)
    return meta


def read_meta(folder: Path) -> Meta:
    path = folder / META
    if not path.is_file():
        raise RecordingError(
            f"Expected a recording (a folder with {META}), got {folder}; "
            f"`inhabit record doom:defend_the_center -o {folder}` makes one"
        )
    try:
        meta = msgspec.json.decode(path.read_bytes(), type=Meta)
    except msgspec.DecodeError as error:
        raise RecordingError(f"Expected a valid {META}, got: {error} - at {path}") from error
    if meta.format > FORMAT:
        raise RecordingError(f"Expected recording format up to {FORMAT}, got {meta.format} - at {path}; update inhabit")
    return meta


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One shard, read into memory."""

    path: Path
    frames: np.ndarray
    """(n, height, width, 3) uint8."""
    actions: np.ndarray
    """(n, actions) float32; row t led to frame t."""
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    first: np.ndarray
    seeds: np.ndarray
    variables: np.ndarray
    sound: np.ndarray
    sound_end: np.ndarray
    objects: np.ndarray
    """(m, 6) int32: row, name, x, y, width, height."""
    object_names: tuple[str, ...] = field(default=())
    text_frame: np.ndarray
    """(k,) int64: the row from which each text holds, to the next one or to the episode's end."""
    text: tuple[str, ...] = ()
    events: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int32))
    """(m, 2) int32: row, name. Recordings made before events were kept have none."""
    event_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.actions)

    def boxes(self, row: int) -> list[Box]:
        """The objects in view in one frame."""
        mine = self.objects[self.objects[:, 0] == row]
        return [
            Box(name=self.object_names[n], x=int(x), y=int(y), width=int(w), height=int(h)) for _, n, x, y, w, h in mine
        ]

    def happened(self, row: int) -> list[str]:
        """Names of what happened in one frame."""
        return [self.event_names[name] for name in self.events[self.events[:, 0] == row, 1]]

    def episodes(self) -> Iterator[slice]:
        """Rows of each episode that begins in this shard (the last one may have been cut by the shard's end)."""
        starts = np.flatnonzero(self.first)
        for start, end in zip(starts, [*starts[1:], len(self)], strict=True):
            yield slice(int(start), int(end))


def read_shards(folder: str | Path, *, seeds: range | None = None) -> Iterator[Shard]:
    """Yield a recording's shards in order. A damaged one is named in a warning and skipped.

    Args:
        seeds: keep only episodes whose seed lies in this range.
    """
    folder = Path(folder)
    read_meta(folder)
    paths = sorted(folder.glob("shard-*.h5"))
    if not paths:
        raise RecordingError(f"Expected shards (shard-*.h5), got none - at {folder}; record again")
    readable = 0
    for path in paths:
        try:
            shard = _read_shard(path)
        except (OSError, KeyError, ValueError) as error:
            warnings.warn(f"skipped a damaged shard: {path} ({str(error)[:120]})", stacklevel=2)
            continue
        readable += 1
        if seeds is not None:
            shard = _only_seeds(shard, seeds)
        if len(shard):
            yield shard
    if not readable:
        raise RecordingError(f"Expected at least one readable shard, got {len(paths)} damaged - at {folder}")


def _read_shard(path: Path) -> Shard:
    with h5py.File(path, "r") as file:
        late = {"events", "event_names"} - set(file)  # older recordings lack them
        arrays = {name: file[name][()] for name in Shard.__dataclass_fields__ if name not in {"path", *late}}
    for name in {"object_names", "text", "event_names"} - late:
        arrays[name] = tuple(value.decode() for value in arrays[name])
    rows = {name: len(arrays[name]) for name in ("frames", "actions", "rewards", "terminated", "first", "sound_end")}
    if len(set(rows.values())) != 1:
        raise ValueError(f"columns of different lengths: {rows}")
    return Shard(path=path, **arrays)


def _only_seeds(shard: Shard, seeds: range) -> Shard:
    keep = (
        np.isin(shard.seeds, np.asarray(seeds))
        if len(seeds) < 10_000
        else ((shard.seeds >= seeds.start) & (shard.seeds < seeds.stop))
    )
    if keep.all():
        return shard
    row_of = np.cumsum(keep) - 1
    start = np.concatenate([[0], shard.sound_end[:-1]])
    pieces = [shard.sound[a:b] for a, b in zip(start[keep], shard.sound_end[keep], strict=True)]
    objects = shard.objects[keep[shard.objects[:, 0]]] if len(shard.objects) else shard.objects
    objects = np.column_stack([row_of[objects[:, 0]], objects[:, 1:]]) if len(objects) else objects
    events = shard.events[keep[shard.events[:, 0]]]
    said = keep[shard.text_frame] if len(shard.text_frame) else np.zeros(0, bool)
    columns = ("frames", "actions", "rewards", "terminated", "truncated", "first", "seeds", "variables")
    return Shard(
        path=shard.path,
        **{name: getattr(shard, name)[keep] for name in columns},
        sound=np.concatenate(pieces) if pieces else shard.sound[:0],
        sound_end=np.cumsum([len(piece) for piece in pieces], dtype=np.int64),
        objects=objects,
        object_names=shard.object_names,
        text_frame=row_of[shard.text_frame[said]],
        text=tuple(text for text, held in zip(shard.text, said, strict=True) if held),
        events=np.column_stack([row_of[events[:, 0]], events[:, 1]]),
        event_names=shard.event_names,
    )
