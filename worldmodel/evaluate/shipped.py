"""Judges of isle that come with the library, so that all machines measure with the same ones, and at once.

They learn from the simulator alone, never from a dream. `python -m inhabit.worldmodel.evaluate.shipped` makes them
anew.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import nn

from inhabit.worldmodel.catalog import PackError
from inhabit.worldmodel.pack import fill

FOLDER = Path(__file__).parent / "judges_of_isle"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which to make."""

    names: tyro.conf.Positional[tuple[str, ...]] = ("attributes", "detector", "sound")
    """attributes, detector, sound."""


def kept_in(name: str, keep: Path | None) -> list[Path]:
    """Where a judge of that file name may lie: in the caller's folder, then among those that come with the library."""
    return [*([] if keep is None else [keep / name]), FOLDER / name]


def take(judge: nn.Module, name: str, keep: Path | None) -> Path | None:
    """Fill a judge from the first such file that is there and fits, and return the file; None where none does."""
    for path in kept_in(name, keep):
        if path.is_file():
            with contextlib.suppress(PackError):  # made by another version
                fill(judge, path)
                return path
    return None


def main() -> None:
    """Make them anew."""
    from inhabit.worldmodel.evaluate.attribute_judge import AttributeJudgeConfig, train_attribute_judge
    from inhabit.worldmodel.evaluate.hearing import HearingConfig, train_sound_judge
    from inhabit.worldmodel.evaluate.judges import JudgesConfig, train_glimpsing
    from inhabit.worldmodel.worlds.isle.record import describe
    from inhabit.worldmodel.worlds.record import RecordConfig

    options, cpu = tyro.cli(Options, description=__doc__), torch.device("cpu")
    meta = describe(RecordConfig(source="isle", folder=FOLDER, width=128, height=128))
    size = (meta.world.width, meta.world.height)
    makers: dict[str, Callable[[], object]] = {
        "attributes": lambda: train_attribute_judge(
            size, AttributeJudgeConfig(most_seconds=math.inf), cpu, keep=FOLDER
        ),
        "detector": lambda: train_glimpsing(meta, JudgesConfig(most_glimpse_seconds=math.inf), cpu, keep=FOLDER),
        "sound": lambda: train_sound_judge(HearingConfig(most_seconds=math.inf), keep=FOLDER),
    }
    unknown = [name for name in options.names if name not in makers]
    if unknown:
        sys.exit(f"Expected some of {', '.join(makers)}, got {', '.join(unknown)}")
    for name in options.names:
        for old in FOLDER.glob(f"{name}-*.safetensors"):
            old.unlink()
        print(name, flush=True)
        makers[name]()


if __name__ == "__main__":
    main()
