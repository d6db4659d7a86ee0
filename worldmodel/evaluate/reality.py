"""Reality: the real play that dreams are measured against, and the other real play that the judges learn from.

No episode is in both, and the pack was trained on none of those that it is measured on: they are recorded anew with
seeds that no recording has, or they are the episodes of a recording that training holds out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from inhabit.bridge.errors import InhabitError, MissingExtraError
from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.recordings import RecordingError
from inhabit.worldmodel.train.footage import HELD_OUT_EVERY, Footage, load_footage

FIRST_SEED = 1_000_000
"""Recordings count their seeds from 0; so far up none of them has any."""

JUDGES_AFTER = 1_000
"""How far above the measured seeds those begin that the judges learn from."""

MEMORY_BYTES = 10**9
"""Frames that are kept in memory of each kind, bytes; beyond that fewer are read."""

JUDGES_HOLD = 8
"""Every eighth episode of the judges' footage chooses their thresholds instead of training them."""

HELD_OUT_SEEDS = range(HELD_OUT_EVERY - 1, HELD_OUT_EVERY * 9_999, HELD_OUT_EVERY)


@dataclass(frozen=True, kw_only=True)
class Cut(Footage):
    """Footage whose held-out rows are named one by one."""

    held: np.ndarray
    """(n,) bool."""

    @cached_property
    def held_out(self) -> np.ndarray:
        return self.held


@dataclass(frozen=True, kw_only=True)
class Reality:
    """Real play in memory."""

    test: Footage
    """What dreams are compared with; all of it is held out."""

    judges: Footage
    """What judges are trained on; its held-out part chooses their thresholds."""

    seeds: dict[str, Any]
    """Which episodes these are, for the report."""


def cache_folder() -> Path:
    """Where fresh recordings are kept: XDG_CACHE_HOME, or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inhabit" / "eval"


def record_fresh(
    source: str,
    info: WorldInfo,
    seeds: range,
    *,
    judge_seeds: int,
    cache: Path,
    on_progress: Callable[[int], None] = lambda frames: None,
) -> Reality:
    """Play the pack's source with `seeds`, and with `judge_seeds` others for the judges. A second call reads the cache.

    Raises InhabitError when the source cannot be played here; the message says what to do instead.
    """
    others = range(seeds.stop + JUDGES_AFTER, seeds.stop + JUDGES_AFTER + judge_seeds)
    folders = [_recorded(source, info, part, cache, on_progress) for part in (seeds, others)]
    limit = _row_limit(info)
    test, judges = (load_footage(folder, limit=limit) for folder in folders)
    return _reality(
        test, judges, info, {"test": _span(seeds), "judges": _span(others), "held_out": True, "recorded": "fresh"}
    )


def read_recording(folder: Path, info: WorldInfo, *, unseen: bool, test_frames: int, judge_frames: int) -> Reality:
    """Take real play from a recording: its held-out episodes, or all of it when the pack has seen none (`unseen`).

    A recording without held-out episodes (one of few episodes, or of one's own game) is measured on play that the pack
    may have been trained on; `seeds.held_out` is then false.
    """
    limit = _row_limit(info)
    seen = load_footage(folder, limit=min(limit, 2 * judge_frames))
    test = None if unseen else _held_out_part(folder, min(limit, test_frames))
    said = {"recorded": folder.name, "held_out": unseen or test is not None}
    if test is None:
        even = np.cumsum(seen.first) % 2 == 0
        if not even.any():
            raise RecordingError(
                f"Expected at least two episodes, to judge one by the other, got one - at {folder}; record longer play"
            )
        test, seen = take(seen, even), take(seen, ~even)
    else:
        seen = take(seen, ~seen.held_out)
    said |= {"test": _counted(test.seeds), "judges": _counted(seen.seeds)}
    return _reality(test, seen, info, said)


def take(footage: Footage, keep: np.ndarray, *, names: tuple[str, ...] | None = None) -> Footage:
    """The rows where `keep` (n,) holds, whole episodes; boxes are counted by `names`, others are dropped."""
    names = footage.names if names is None else names
    number = np.array([names.index(name) if name in names else -1 for name in footage.names] or [-1])
    boxes = footage.boxes[keep[footage.boxes[:, 0]]] if len(footage.boxes) else footage.boxes.reshape(0, 6)
    row_of = np.cumsum(keep) - 1
    boxes = np.column_stack([row_of[boxes[:, 0]], number[boxes[:, 1]], boxes[:, 2:]]) if len(boxes) else boxes
    columns = {name: getattr(footage, name)[keep] for name in _COLUMNS}
    said = {"texts": footage.texts, "text_of": None if footage.text_of is None else footage.text_of[keep]}
    pose = None if footage.pose is None else footage.pose[keep]
    return Footage(meta=footage.meta, boxes=boxes[boxes[:, 1] >= 0], names=names, pose=pose, **said, **columns)


def plainly_named(footage: Footage) -> Footage:
    """The same footage with what stands before a colon as the objects' names: "tower:red" is a tower."""
    kinds = [name.partition(":")[0] for name in footage.names]
    names = tuple(dict.fromkeys(kinds))
    boxes = footage.boxes.copy()
    if len(boxes):
        boxes[:, 1] = np.array([names.index(kind) for kind in kinds])[boxes[:, 1]]
    return replace(footage, boxes=boxes, names=names)


def hold(footage: Footage, held: np.ndarray) -> Footage:
    """The same footage with its held-out rows named by `held` (n,)."""
    return Cut(**{field.name: getattr(footage, field.name) for field in fields(Footage)}, held=held)


def counted_by(real: Reality, names: tuple[str, ...]) -> Reality:
    """The same play with its objects counted by `names`; others are dropped."""
    test, judges = (
        hold(take(footage, np.ones(len(footage), bool), names=names), footage.held_out)
        for footage in (real.test, real.judges)
    )
    return replace(real, test=test, judges=judges)


def check_fits(footage: Footage, info: WorldInfo, folder: Path | str) -> None:
    """Raise InhabitError unless the footage is of the world that the pack has learnt."""
    got = footage.meta.world
    for what, mine, theirs in (
        ("frames of", f"{info.width}x{info.height}", f"{got.width}x{got.height}"),
        ("the actions", ", ".join(info.actions.names), ", ".join(got.actions.names)),
        ("a rate of", f"{info.rate_hz:g} Hz", f"{got.rate_hz:g} Hz"),
    ):
        if mine != theirs:
            raise InhabitError(
                f"Expected {what} {mine}, as the pack {info.name!r} has them, got {theirs} - at {folder}; "
                f"give a recording of the world that it was learnt from with --recording"
            )


_COLUMNS = ("frames", "actions", "rewards", "terminated", "first", "seeds")


def _reality(test: Footage, judges: Footage, info: WorldInfo, seeds: dict[str, Any]) -> Reality:
    test, judges = plainly_named(test), plainly_named(judges)
    for footage in (test, judges):
        check_fits(footage, info, footage.meta.source)
    test = take(test, np.ones(len(test), bool), names=judges.names)  # the judges count names in their own order
    episode = np.cumsum(judges.first)
    chooses = episode % JUDGES_HOLD == 0 if episode[-1] >= JUDGES_HOLD else episode == episode[-1]
    seeds = {**seeds, "test_frames": len(test), "judge_frames": len(judges)}
    return Reality(test=hold(test, np.ones(len(test), bool)), judges=hold(judges, chooses), seeds=seeds)


def _recorded(source: str, info: WorldInfo, seeds: range, cache: Path, on_progress: Callable[[int], None]) -> Path:
    """The folder with exactly these episodes; played now unless it is there."""
    from inhabit.worldmodel.worlds.doom import tics_of
    from inhabit.worldmodel.worlds.record import RecordConfig, record_seeds

    name = f"{source.replace(':', '-').replace('/', '-')}-{info.width}x{info.height}-{info.rate_hz:g}hz"
    folder = cache / f"{name}-{_span(seeds).replace(':', '-')}"
    if folder.is_dir():
        return folder
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    config = RecordConfig(
        source=source,
        folder=partial,
        workers=os.cpu_count() or 1,
        width=info.width,
        height=info.height,
        sound=False,
        tics=tics_of(info.rate_hz) if source.startswith("doom:") else None,
    )
    try:
        partial.mkdir(parents=True)
        record_seeds(config, seeds, on_progress=on_progress)
        partial.rename(folder)
    except MissingExtraError as error:
        raise InhabitError(f"{error} to play {source!r} anew, or give real play with --recording DIR") from error
    except RecordingError:
        raise
    except InhabitError as error:
        raise InhabitError(f"Cannot play {source!r} anew ({error}); give real play with --recording DIR") from error
    except OSError as error:
        raise InhabitError(f"Cannot write {partial}: {error.strerror or error}; choose another --cache") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _held_out_part(folder: Path, frames: int) -> Footage | None:
    try:
        return load_footage(folder, limit=frames, seeds=HELD_OUT_SEEDS)
    except RecordingError:  # the folder was read just before, so it is that no episode is held out
        return None


def _row_limit(info: WorldInfo) -> int:
    return max(2_000, MEMORY_BYTES // (3 * info.width * info.height))


def _span(seeds: range) -> str:
    return f"{seeds.start}:{seeds.stop}"


def _counted(seeds: np.ndarray) -> str:
    kinds = np.unique(seeds)
    return f"{len(kinds)} from {kinds[0]} to {kinds[-1]}"
