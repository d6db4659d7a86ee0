"""Shares: CPU threads that each step some of a batch's sessions.

With all cores on one batch, every small operation waits for its slowest core, and what has no parallel form leaves the
others idle. With a share for each core, a step waits once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import torch

Share = TypeVar("Share")
Result = TypeVar("Result")

FEWEST = 8
"""Sessions of a share; smaller ones cost more than they save."""


def shares(count: int, device: torch.device) -> list[slice]:
    """How `count` sessions are shared out: one share for each CPU thread that torch may use, one alone on a GPU."""
    most = torch.get_num_threads() if device.type == "cpu" else 1
    number = max(1, min(most, count // FEWEST))
    edges = [count * index // number for index in range(number + 1)]
    return [slice(begin, end) for begin, end in pairwise(edges)]


def at_once(work: Callable[[Share], Result], parts: Iterable[Share]) -> list[Result]:
    """What `work` makes of each part, each in a thread with one core."""
    parts = list(parts)
    return list(_pool(len(parts)).map(work, parts))


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "share", initializer=torch.set_num_threads, initargs=(1,))
