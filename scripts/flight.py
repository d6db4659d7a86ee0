"""Teach a pack of the island where its ball flies: from the simulator itself, from walks that nobody draws.

.venv/bin/python scripts/flight.py worldmodel/packs/isle-tiny --minutes 8
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import torch
import tyro

from inhabit.bridge.errors import InhabitError
from inhabit.worldmodel.evaluate.dreamers import pose_now
from inhabit.worldmodel.pack import load_pack, save_pack
from inhabit.worldmodel.train.display import Display
from inhabit.worldmodel.train.flight import FlightTraining, Tracks, measure_flight, new_flight, train_flight
from inhabit.worldmodel.train.schedule import Budget
from inhabit.worldmodel.worlds.isle.camera import camera_of
from inhabit.worldmodel.worlds.isle.record import play
from inhabit.worldmodel.worlds.isle.scene import BALL, BALL_RADIUS_M, State
from inhabit.worldmodel.worlds.isle.shapes import HELD_SIZE

FIRST_SEED, MEASURED_SEED = 2_000_000, 9_700_000
"""No recording has these islands, and on none of them is anything else measured."""

TOGETHER = 64
"""Islands that are played at once."""

LEAST_PX, LEAST_M = 1.5, 0.2
"""What is narrower in the view, or nearer, is not seen."""


def main(pack: Path, /, *, minutes: float = 8.0, walks: int = 512, out: Path | None = None) -> None:
    """Learn.

    Args:
        pack: folder of the pack.
        minutes: how long, after all is played.
        walks: islands to walk on, some 400 frames on each.
        out: where the better pack is written; the same folder by default.
    """
    world, display, device = load_pack(pack), Display(), torch.device("cpu")
    if world.file.source != "isle" or world.recall is None:
        raise InhabitError(f"Expected a pack of isle that remembers, got one of {world.file.source} - at {pack}")
    info = world.file.info
    size, training = (info.height, info.width), FlightTraining()
    display.begin(f"playing {walks} islands")
    tracks = watch(FIRST_SEED, walks, size, training.frames)
    focal = float(world.recall.zoom.detach().exp()) * info.width / 2
    unit = float(world.recall.unit)
    flight = world.flight or new_flight("ball", actions=world.file.dynamics.actions, focal=focal, unit=unit)
    display.begin(f"flight ({minutes:.1f} min)")
    budget = Budget(seconds=60 * minutes)

    def on_step(step: int, figures: Mapping[str, float]) -> None:
        display.show(budget.share, budget.elapsed_s, step * training.batch, "walks", figures)

    flight = train_flight(flight.requires_grad_(True), tracks, budget, device, training, on_step=on_step)
    display.end()
    others = watch(MEASURED_SEED, 64, size, training.frames)
    for frames in (16, training.frames):
        figures = measure_flight(flight, others, frames=frames)
        print(f"{frames} frames: {', '.join(f'{name} {value:.3f}' for name, value in figures.items())}")
    told = world.file.training
    told = {**told, "flight_minutes": told.get("flight_minutes", 0.0) + budget.elapsed_s / 60}
    file = msgspec.structs.replace(world.file, flight=flight.config, training=told)
    save_pack(replace(world, file=file, flight=flight), out or pack)
    print(f"the pack is in {out or pack}: inhabit play {out or pack}")


@torch.inference_mode()
def watch(first_seed: int, walks: int, size: tuple[int, int], frames: int) -> Tracks:
    """Play so many islands, and see where the ball is."""
    done: list[list[tuple[np.ndarray, ...]]] = []
    for start in range(0, walks, TOGETHER):
        seeds = range(first_seed + start, first_seed + min(walks, start + TOGETHER))
        rows: list[list[tuple[np.ndarray, ...]]] = [[] for _ in seeds]
        for beat in play(seeds, drawn=False):
            pose, (edges, seen) = pose_now(beat.state), ball_in_view(beat.state, size)
            for place, row in enumerate(beat.rows):
                rows[row].append((beat.actions[place], pose[place], edges[place], seen[place]))
        done += rows
    actions, pose, edges, seen = (np.stack([row[part] for one in done for row in one]) for part in range(4))
    ends = np.cumsum([len(one) for one in done])
    first = np.zeros(len(pose), bool)
    first[[0, *ends[:-1]]] = True
    begins = np.concatenate([np.arange(end - len(one), end - frames) for one, end in zip(done, ends, strict=True)])
    return Tracks.made(actions, pose, first, edges, seen, begins, size)


def ball_in_view(state: State, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(b, 4) edges of the ball in pixels from the view's middle, and (b,) bool whether it is seen; what stands before
    it is not looked at."""
    height, width = size
    camera = camera_of(state, width, height)
    away = state.place[:, BALL] - camera.eye
    right, up, ahead = ((away * axis).sum(1) for axis in (camera.right, camera.up, camera.ahead))
    scale = camera.focal_px / ahead.clamp(min=LEAST_M)
    radius = BALL_RADIUS_M * torch.where(state.ball_held, HELD_SIZE, 1.0) * scale
    x, y = right * scale, -up * scale
    edges = torch.stack([x - radius, y - radius, x + radius, y + radius], 1)
    limit = edges.new_tensor([width, height, width, height]) / 2
    edges = edges.clamp(-limit, limit)
    seen = (ahead > LEAST_M) & ((edges[:, 2:] - edges[:, :2]).amin(1) > LEAST_PX)
    return edges.numpy(), seen.numpy()


if __name__ == "__main__":
    torch.manual_seed(0)
    try:
        tyro.cli(main)
    except InhabitError as error:
        print(f"flight: {error}", file=sys.stderr)
        raise SystemExit(2) from error
