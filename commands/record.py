"""Make a recording to learn from: "isle" (our simulator), "doom:SCENARIO" (ViZDoom) or "gym:ENV_ID" (Gymnasium)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.report import make_folder
from inhabit.worldmodel.catalog import check_spec, did_you_mean, is_real


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to record and where to."""

    source: tyro.conf.Positional[str]
    """isle, isle:PROMPT, doom:SCENARIO or gym:ENV_ID."""

    frames: int = 20_000
    """Frames that the recording shall hold in all; an existing recording is extended."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder to write to."""

    workers: int = 0
    """Processes that play at the same time; 0 means one for each core."""

    seed: int = 0
    """Seed of the first episode; episode n has seed + n."""

    size: str = ""
    """Frame size, WIDTHxHEIGHT in pixels, multiples of 16; without it 128x128 for isle, 128x96 for others."""

    sound: bool = True
    """Record sound where the game has it."""

    tics: int | None = None
    """Game tics a frame, for Doom, which has 35 a second; without it 2, which makes 17.5 frames a second."""

    to_minari: str = ""
    """Also write it as a Minari data set of this name, such as doom/take-cover-v0."""


def run(options: Options) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from inhabit.worldmodel.worlds.record import RecordConfig, record

    if options.frames < 1:
        raise InhabitError(f"Expected at least 1 frame, got {options.frames} - at --frames")
    if not is_real(options.source):
        near = did_you_mean(options.source, ("isle",))
        raise InhabitError(f"Expected isle, isle:PROMPT, doom:SCENARIO or gym:ENV_ID, got {options.source!r}{near}")
    check_spec(options.source)
    make_folder(options.out)
    width, height = parse_size(options.size or ("128x128" if options.source.partition(":")[0] == "isle" else "128x96"))
    config = RecordConfig(
        source=options.source,
        frames=options.frames,
        folder=options.out,
        workers=options.workers or os.cpu_count() or 1,
        seed=options.seed,
        width=width,
        height=height,
        sound=options.sound,
        tics=options.tics,
    )
    columns = (TextColumn("recording"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn()) as progress:
        task = progress.add_task("record", total=options.frames, rate="")

        def show(frames: int) -> None:
            speed = progress.tasks[0].speed
            progress.update(task, completed=frames, rate=f"{speed:.0f} frames/s" if speed else "")

        held = record(config, on_progress=show)
        show(held)
    print(f"{held} frames of {options.source} in {options.out}")
    if options.to_minari:
        from inhabit.worldmodel.minari_datasets import export_minari

        counts = export_minari(options.out, options.to_minari)
        print(f"{counts.episodes} episodes in the Minari data set {options.to_minari}")


def parse_size(text: str) -> tuple[int, int]:
    """Read "WIDTHxHEIGHT". Raises InhabitError for anything else."""
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise InhabitError(f"Expected a size such as 128x96, got {text!r} - at --size") from error
    return width, height
