"""Learn a world from a recording. Run the same command again to go on where it ended."""

from __future__ import annotations

from inhabit.worldmodel.catalog import require_torch
from inhabit.worldmodel.train.config import LearnConfig as Options


def run(options: Options) -> None:
    require_torch()
    from inhabit.worldmodel.train.display import Display
    from inhabit.worldmodel.train.learn import learn

    folder = learn(options, Display())
    print(f"the pack is in {folder}: inhabit play {folder}")
