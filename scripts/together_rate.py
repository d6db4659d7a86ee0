"""Frames a second of several sessions of one pack on one machine: each by itself, and stepped together in batches.

Every session has a thread that steps as fast as it can, as a sidecar whose worlds are late. The ways take turns, round
after round, so that what else runs on the machine is felt by all of them.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median
from threading import Barrier, Thread

import torch

from inhabit.bridge.controls import Controls
from inhabit.bridge.report import machine, tidy, write_report
from inhabit.worldmodel.catalog import DEFAULT_PACK, find_pack
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.neural_world import NeuralWorld, choose_device
from inhabit.worldmodel.pack import Pack, load_pack
from inhabit.worldmodel.together import Together

WAYS = ("alone", "together")
SWITCH_INTERVAL_S = 0.0005
"""As `inhabit serve` sets it: whose turn it is must not wait for 5 ms."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--world", default=DEFAULT_PACK)
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of torch, for each step")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    pack = load_pack(find_pack(options.world))
    engine = Engine.of(pack, choose_device(options.device))
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        for count in options.sessions:
            found: dict[str, list[tuple[float, float, float]]] = {way: [] for way in WAYS}
            for _ in range(options.rounds):
                for way in WAYS:
                    found[way].append(_round(pack, engine, count, way == "alone", options.seconds))
            for way, rounds in found.items():
                fps, step_ms, batch = (median(column) for column in zip(*rounds, strict=True))
                rows.append({"threads": threads, "sessions": count, "way": way, "fps": fps, "step_ms_p50": step_ms})
                rows[-1] |= {"sessions_a_batch": batch, "of_alone": fps / median(one[0] for one in found["alone"])}
                print(
                    "{threads} threads  {sessions} sessions  {way:8} {fps:6.1f} fps in all".format(**rows[-1]), end=""
                )
                print(
                    "  step {step_ms_p50:6.1f} ms  {sessions_a_batch:.1f} a batch  {of_alone:.2f} of alone".format(
                        **rows[-1]
                    ),
                    flush=True,
                )
    if options.report:
        write_report(
            options.report, tidy({"world": options.world, "machine": machine(str(engine.device)), "rows": rows})
        )


def _round(pack: Pack, engine: Engine, count: int, alone: bool, seconds: float) -> tuple[float, float, float]:
    """Frames a second of all sessions, median time of a step in ms, sessions of a batch on average."""
    together = Together(engine)
    worlds = [NeuralWorld(pack, engine, rider=together.rider()) for _ in range(count)]
    for seed, world in enumerate(worlds):
        world.step_alone(alone)
        world.reset(seed=seed)
        world.step(Controls())
    ready, times = Barrier(count + 1), [[] for _ in worlds]
    end = [0.0]

    def play(world: NeuralWorld, took: list[float]) -> None:
        ready.wait()
        while (now := time.perf_counter()) < end[0]:
            world.step(Controls())
            took.append(time.perf_counter() - now)

    threads = [Thread(target=play, args=pair) for pair in zip(worlds, times, strict=True)]
    for thread in threads:
        thread.start()
    before, begun = together.batches, time.perf_counter()
    end[0] = begun + seconds
    ready.wait()
    for thread in threads:
        thread.join()
    frames, batches = sum(map(len, times)), together.batches - before
    took = [one for session in times for one in session]
    return frames / (time.perf_counter() - begun), 1000 * median(took), frames / batches if batches else 1.0


if __name__ == "__main__":
    main()
