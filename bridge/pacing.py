"""Time: the injected clock, the tick schedule and what is remembered of latencies. Nothing here sleeps."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import numpy as np

Clock = Callable[[], int]
"""Gives monotonic nanoseconds."""

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000

monotonic_ns: Clock = time.perf_counter_ns
"""perf_counter and not monotonic: on Windows the latter has a resolution of 15 ms before Python 3.13."""


class Schedule:
    """Ticks at absolute deadlines. One that is missed is left out and counted, never caught up with."""

    def __init__(self, rate_hz: float, start_ns: int):
        if not rate_hz > 0:
            raise ValueError(f"Expected a rate above 0 Hz, got {rate_hz}")
        self._period_ns = NS_PER_S / rate_hz
        self._start_ns = start_ns
        self._ticks = 0
        self.late = 0
        """Ticks left out."""

    @property
    def due_ns(self) -> int:
        """When the next tick is due. Computed from the start each time, so that rounding does not add up."""
        return self._start_ns + round(self._ticks * self._period_ns)

    def take(self, now_ns: int) -> bool:
        """Is a tick due? If so, move on to the next deadline that is still ahead or just begun."""
        behind_ns = now_ns - self.due_ns
        if behind_ns < 0:
            return False
        missed = int(behind_ns // self._period_ns)
        self.late += missed
        self._ticks += missed + 1
        return True

    def restart(self, now_ns: int) -> None:
        """Begin again: the next tick is one period from now, so that a first frame is seen. `late` goes on counting."""
        self._start_ns = now_ns
        self._ticks = 1


class Recent:
    """The newest values of one measure."""

    def __init__(self, size: int = 1024):
        self._values: deque[float] = deque(maxlen=size)

    def add(self, value: float) -> None:
        self._values.append(value)

    def __len__(self) -> int:
        return len(self._values)

    def percentile(self, percent: float) -> float:
        """NaN when nothing was measured."""
        return float(np.percentile(self._values, percent)) if self._values else float("nan")
