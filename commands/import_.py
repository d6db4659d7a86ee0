"""Make a recording of a data set that others recorded: minari:ID, a Minari data set on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from inhabit.commands.record import parse_size


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to import and where to."""

    source: tyro.conf.Positional[str]
    """minari:ID, such as minari:atari/breakout/expert-v0; `minari list local` tells what is here."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder to write to."""

    size: str = ""
    """Frame size, WIDTHxHEIGHT in pixels, multiples of 16; without it the data set's, rounded down to such."""

    rate_hz: float = 0.0
    """Frames a second; 0 takes what the data set says, else 20."""


def run(options: Options) -> None:
    from inhabit.worldmodel.minari_datasets import check_source, import_minari

    name = check_source(options.source)
    size = parse_size(options.size) if options.size else None
    counts = import_minari(name, options.out, size=size, rate_hz=options.rate_hz or None)
    print(f"{counts.frames} frames, {counts.episodes} episodes of {options.source} in {options.out}")
