"""Make the README's picture of an island: dreams of three starts, turned away from, spoken to, and come back to.

.venv/bin/python scripts/isle_picture.py isle-tiny docs/images/isle-tiny.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from inhabit.bridge.controls import Controls
from inhabit.worldmodel.catalog import find_pack
from inhabit.worldmodel.evaluate.sheets import contact_sheet
from inhabit.worldmodel.neural_world import NeuralWorld

SCENES = (
    (3, "make it night", "a red tower"),
    (8, "let it snow", "two green trees"),
    (28, "drawn like a sketch", "a blue house and a white pillar"),
)
"""A start, and what is said in it."""

TURN_FRAMES, WALK_FRAMES, SHOW_FRAMES = 12, 24, 8

RIGHT, LEFT, AHEAD, STILL = (Controls(held=frozenset(keys)) for keys in (("KeyE",), ("KeyQ",), ("KeyW",), ()))


def main(pack_name: str, out: Path) -> None:
    world = NeuralWorld.open(find_pack(pack_name))
    rows = [scene(world, *each) for each in SCENES]
    print(f"{contact_sheet(rows, out)}: all dreamt; turn right, on, say, turn back, say, walk")


def scene(world: NeuralWorld, start: int, first: str, second: str) -> list[np.ndarray]:
    """The frames of a row."""
    shown = [world.reset(seed=1, options={"start": start}).pixels]
    for said, controls, frames in (
        ("", RIGHT, TURN_FRAMES),
        ("", RIGHT, TURN_FRAMES),
        (first, STILL, SHOW_FRAMES),
        ("", LEFT, TURN_FRAMES),
        ("", LEFT, TURN_FRAMES),
        (second, STILL, SHOW_FRAMES),
        ("", AHEAD, WALK_FRAMES),
    ):
        if said:
            world.configure(prompt=said)
        for _ in range(frames):
            frame = world.step(controls)
        shown.append(frame.pixels)
    return shown


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
