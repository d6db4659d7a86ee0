"""Measure what a headset's display gets while its world runs, and while the world is stopped for five seconds.

.venv/bin/python scripts/headset_rate.py [--report FILE]

Runs on Monado's compositor without a display, which shows 20 frames a second.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from inhabit.bindings.headset import Headset, HeadsetLoop, HeadsetOptions
from inhabit.bindings.headset.monado import Monado
from inhabit.bridge.client import LiveWorld
from inhabit.bridge.report import machine, write_report
from inhabit.bridge.supervisor import Supervisor

SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Options:
    report: Path | None = None
    """Write the figures to this JSON file too."""


def watch(loop: HeadsetLoop) -> dict[str, float]:
    """Frames submitted and frames of the world within SECONDS, and the longest time between two submits."""
    headset = loop.headset
    frames, of_world, began_s = headset.frames, loop.world_frames, time.monotonic()
    headset.longest_gap_ns = 0
    while time.monotonic() - began_s < SECONDS and loop.turn():
        pass
    return {
        "submitted": headset.frames - frames,
        "of_the_world": loop.world_frames - of_world,
        "longest_gap_ms": headset.longest_gap_ns / 1e6,
    }


def main(options: Options) -> None:
    figures = {}
    with Monado() as runtime:
        os.environ.update(runtime.environment)
        for layers in ("auto", "projection"):
            with (
                Supervisor(["serve", "toy"]) as sidecar,
                LiveWorld(sidecar.wait_until_listening()) as world,
                Headset(HeadsetOptions(layers=layers, sound=False)) as headset,
            ):
                loop, pid = HeadsetLoop(headset, world), sidecar.poll().pid
                while loop.world_frames < 40 and loop.turn():
                    pass
                running = watch(loop)
                assert pid is not None
                os.kill(pid, signal.SIGSTOP)
                try:
                    stopped = watch(loop)
                finally:
                    os.kill(pid, signal.SIGCONT)
                figures[loop.stage.kind] = {"running": running, "stopped": stopped}
                loop.close()
    for kind, figure in figures.items():
        for state, numbers in figure.items():
            said = ", ".join(f"{name.replace('_', ' ')} {value:.0f}" for name, value in numbers.items())
            print(f"{kind:11} world {state:8} {said}")
    if options.report:
        write_report(options.report, {"headset": figures, "machine": machine()})


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
