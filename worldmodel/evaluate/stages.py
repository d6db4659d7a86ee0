"""Stages of a long measurement: a person sees which one runs, the report says how long each took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from inhabit.worldmodel.train.display import Display


class Stages:
    """Names and times stages."""

    def __init__(self, display: Display):
        self.display = display
        self.seconds: dict[str, float] = {}
        self._began = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Run one stage; what fails in it ends the display too."""
        self._began = time.monotonic()
        self.display.begin(name)
        try:
            yield
        finally:
            self.display.end()
        took = time.monotonic() - self._began
        self.seconds[name.replace(" ", "_")] = round(took, 1)
        self.display.say(f"{name}: {took:.0f} s")

    def show(self, done: int, total: int, unit: str) -> None:
        """Say how far the stage is."""
        self.display.show(done / max(1, total), time.monotonic() - self._began, done, unit, {})
