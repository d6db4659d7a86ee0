"""Policies that learn side by side, each in a process of its own: networks as small as these do not fill two cores."""

from __future__ import annotations

import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from typing import Any

from inhabit.worldmodel.experiments.config import TakeCoverConfig
from inhabit.worldmodel.experiments.take_cover import MakeDreams, Run, TakeCover
from inhabit.worldmodel.train.display import Display

LOOK_EVERY_S = 1.0
_heard: Any = None
"""In a process that learns: where it tells how far it is."""


def learn_side_by_side(config: TakeCoverConfig, make_dreams: MakeDreams, runs: Sequence[Run], display: Display) -> None:
    """Do these runs, config.workers at a time; each is kept as it goes, as if it had been alone.

    Raises what a run raises.
    """
    context = multiprocessing.get_context("spawn")
    heard, began = context.Queue(), time.monotonic()
    shares, steps, figures = dict.fromkeys((run.name for run in runs), 0.0), dict[str, int](), dict[str, float]()
    display.begin(", ".join(shares) + f": {config.ppo.steps} steps each")
    with ProcessPoolExecutor(config.workers, context, begin_apart, (heard,)) as pool:
        waiting: set[Future[None]] = {pool.submit(_learn, config, make_dreams, run) for run in runs}
        try:
            while waiting:
                done, waiting = wait(waiting, LOOK_EVERY_S, FIRST_EXCEPTION)
                for one in done:
                    one.result()
                while True:
                    try:
                        name, shares[name], steps[name], figures = heard.get_nowait()
                    except queue.Empty:
                        break
                share = sum(shares.values()) / len(shares)
                display.show(share, time.monotonic() - began, sum(steps.values()), "steps", figures)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    display.end()


class Told(Display):
    """The display of a process that learns: it tells the one that shows."""

    def __init__(self, name: str):
        self._name = name

    def say(self, text: str) -> None: ...

    def begin(self, stage: str) -> None: ...

    def end(self) -> None: ...

    def show(self, share: float, elapsed_s: float, done: int, unit: str, figures: Mapping[str, float]) -> None:
        if unit == "steps":
            _heard.put((self._name, share, done, dict(figures)))


def begin_apart(heard: Any) -> None:
    """In a process that learns, first of all: tell there how far it is, and end with the process that began it."""
    global _heard
    _heard = heard
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)  # what was learnt is kept, and the same command goes on from there


def _learn(config: TakeCoverConfig, make_dreams: MakeDreams, run: Run) -> None:
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // config.workers))
    TakeCover(replace(config, workers=1), make_dreams, Told(run.name)).learn(run)
