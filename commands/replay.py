"""Play a trace back in this process, and hold every frame against the one that was shown."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from inhabit.bridge.beginnings import with_picture
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.frames import Frame
from inhabit.bridge.inputs import from_wire
from inhabit.bridge.report import make_room, write_report
from inhabit.bridge.trace import Record, checksum, read_trace
from inhabit.bridge.world import World
from inhabit.worldmodel.catalog import open_world

DIFFERS_EXIT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    trace: tyro.conf.Positional[Path]
    """A file that `inhabit serve --traces FOLDER` wrote."""

    world: str = ""
    """What to play it in, if not the world of the name in the trace: a pack's folder, say."""

    report: Path | None = None
    """Write what was found to this JSON file."""


@dataclass(slots=True)
class Found:
    """How a replay went."""

    frames: int = 0
    differ: int = 0
    first_difference: int = -1
    """Index of the first frame that is not the same; -1 when all are."""

    faults: int = 0
    prompts: int = 0
    resets: int = 0


def run(options: Options) -> None:
    """Replay. Exit code 1 when a frame differs."""
    if options.report is not None:
        make_room(options.report)
    records = list(read_trace(options.trace))
    begin = records[0]
    threads = begin.said.get("threads")
    world = open_world(options.world or begin.text)
    try:
        _same_threads(threads)
        found = replay(world, records)
    finally:
        world.close()
    if options.report is not None:
        write_report(options.report, {"trace": options.trace.name, "world": begin.text, **_told(found)})
    same = found.frames - found.differ
    print(
        f"{options.trace.name}: {begin.who} in {begin.text}, {found.frames} frames, {found.resets} resets, "
        f"{found.prompts} prompts, {found.faults} faults; {same} of {found.frames} frames the same"
    )
    if found.differ:
        print(f"the first that differs is frame {found.first_difference}: another machine, version or world?")
        sys.exit(DIFFERS_EXIT)


def replay(world: World, records: Iterable[Record]) -> Found:
    """Do with a world what the records say. Raises InhabitError for what the world cannot do."""
    found, frame = Found(), None
    for record in records:
        match record.kind:
            case "reset":
                options = with_picture(record.settings, record.state or None)
                frame = world.reset(seed=record.seed, options=options or None)
                found.resets += 1
            case "step":
                if record.controls is None:
                    raise InhabitError("Expected controls in a step of the trace, got none")
                frame = world.step(from_wire(record.controls))
            case "set":
                world.configure(**record.settings)
            case "prompt":
                world.configure(prompt=record.text)
                found.prompts += 1
            case "restore":
                world.restore(record.state)
            case "fault":
                found.faults += 1
            case "frame":
                _compare(found, record, frame)
    return found


def _compare(found: Found, record: Record, frame: Frame | None) -> None:
    found.frames += 1
    if frame is None or frame.index != record.index or checksum(frame) != record.crc:
        found.differ += 1
        if found.first_difference < 0:
            found.first_difference = record.index


def _same_threads(threads: Any) -> None:
    """Sums of floats depend on how many threads make them."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(threads, int) and threads > 0:
        torch.set_num_threads(threads)


def _told(found: Found) -> dict[str, int]:
    return {name: getattr(found, name) for name in Found.__slots__}
