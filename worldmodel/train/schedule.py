"""Time as the measure of training: budgets in minutes, learning rates that know how much is left, averaged weights."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

SAVE_EVERY_S = 120.0
TRIAL_EVERY_S = 90.0
TRIAL_STEPS = 3


@dataclass(kw_only=True, slots=True)
class Budget:
    """A stretch of training time."""

    seconds: float
    """How long it lasts."""

    clock: Callable[[], float] = time.monotonic
    """Seconds, monotonic."""

    started: float = field(init=False)
    _saved: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self._saved = self.clock()

    @property
    def elapsed_s(self) -> float:
        return self.clock() - self.started

    @property
    def share(self) -> float:
        """0 at the start, 1 at the end."""
        return min(1.0, self.elapsed_s / self.seconds) if self.seconds > 0 else 1.0

    @property
    def left_s(self) -> float:
        return max(0.0, self.seconds - self.elapsed_s)

    def save_is_due(self) -> bool:
        """True once in SAVE_EVERY_S."""
        now = self.clock()
        if now - self._saved < SAVE_EVERY_S:
            return False
        self._saved = now
        return True


class Threads:
    """Chooses the number of CPU threads by what steps take, again and again.

    On a machine that others use too, one thread can be several times as fast as two: at every layer, two wait for the
    one that was put aside. How busy the others are changes by the minute.
    """

    def __init__(self, device: torch.device, *, clock: Callable[[], float] = time.monotonic):
        cores = os.cpu_count() or 1
        self._choices = sorted({1, max(1, cores // 2), cores}) if device.type == "cpu" else []
        self._clock = clock
        self._times: dict[int, list[float]] = {}
        self._trial_due = clock()
        self._queue: list[int] = []
        self._step_began = clock()

    def begin_step(self) -> None:
        """Call before each step: sets the number of threads that it runs with."""
        now = self._clock()
        if not self._queue and len(self._choices) > 1 and now >= self._trial_due:
            self._queue = [count for count in self._choices for _ in range(TRIAL_STEPS)]
            self._times = {}
        if self._queue:
            torch.set_num_threads(self._queue[0])
        self._step_began = now

    def end_step(self) -> None:
        """Call after each step: when all choices were tried, the fastest stays for a while."""
        if not self._queue:
            return
        count = self._queue.pop(0)
        self._times.setdefault(count, []).append(self._clock() - self._step_began)
        if not self._queue:
            torch.set_num_threads(min(self._times, key=lambda choice: sorted(self._times[choice])[TRIAL_STEPS // 2]))
            self._trial_due = self._clock() + TRIAL_EVERY_S


def learning_rate(step: int, share: float, *, peak: float, warmup: int, decay_from: float = 0.6) -> float:
    """Warm up over `warmup` steps, stay, and fall along a cosine to a tenth over the last part of the budget."""
    warm = min(1.0, (step + 1) / max(1, warmup))
    if share <= decay_from:
        return peak * warm
    fall = (share - decay_from) / (1 - decay_from)
    return peak * warm * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * fall)))


class Average:
    """An exponential moving average of a network's weights: what is measured, saved and shipped."""

    def __init__(self, network: nn.Module, decay: float):
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay
        self._steps = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self._steps += 1
        decay = min(self._decay, self._steps / (self._steps + 10))  # follow closely at first
        for mine, theirs in zip(self.network.parameters(), network.parameters(), strict=True):
            mine.lerp_(theirs, 1 - decay)
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)


def precision(device: torch.device) -> torch.autocast:
    """bf16 for matrix work where the machine has it in hardware; parameters, norms and losses stay fp32."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16)
    return torch.autocast("cpu", torch.bfloat16, enabled=cpu_has_bf16())


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bf16 natively; emulated, it is slower than fp32."""
    capability = getattr(torch.backends.cpu, "get_cpu_capability", lambda: "")()
    return bool(torch.cpu._is_avx512_bf16_supported()) if "AVX512" in capability else False
