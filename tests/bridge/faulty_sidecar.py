"""`inhabit serve` with worlds that break on purpose, in a process of its own."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from inhabit.bridge.frames import Frame
from inhabit.bridge.toy import ToyWorld
from inhabit.commands import serve
from inhabit.commands.__main__ import main


class Stripes(ToyWorld):
    """Every pixel of a frame has the same value, which follows from its index: a torn frame has two."""

    def __init__(self):
        super().__init__(width=320, height=240)

    def _draw(self, *, fired):
        assert self._state is not None
        index = self._state.index
        pixels = np.full((240, 320, 3), index % 251, np.uint8)
        return Frame(pixels=pixels, index=index, reward=float(fired))


class Hangs(ToyWorld):
    """Space makes it busy for ever."""

    def step(self, controls):
        while "Space" in controls.pressed:
            pass
        return super().step(controls)


class Once(ToyWorld):
    """Does something bad at frame 40, once in the life of the process."""

    done = False

    def step(self, controls):
        frame = super().step(controls)
        if frame.index == 40 and not Once.done:
            Once.done = True
            return self.misbehave(frame)
        return frame

    def misbehave(self, frame):
        raise NotImplementedError


class OutOfMemory(Once):
    def misbehave(self, frame):
        raise MemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class NotANumber(Once):
    def misbehave(self, frame):
        return Frame(pixels=frame.pixels, index=frame.index, reward=float("nan"))


class DeviceLost(Once):
    """Its device is lost in the first process only."""

    def misbehave(self, frame):
        marker = Path(os.environ["INHABIT_TEST_MARKER"])
        if marker.exists():
            return frame
        marker.touch()
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


class Slow(ToyWorld):
    """Needs three ticks for each."""

    def step(self, controls):
        time.sleep(3 / self.info.rate_hz)
        return super().step(controls)


class Poisoned(ToyWorld):
    """Breaks at every frame from 40 on, however often it is set back."""

    def step(self, controls):
        frame = super().step(controls)
        if frame.index >= 40:
            raise ZeroDivisionError
        return frame


WORLDS = {
    "toy": ToyWorld, "stripes": Stripes, "hangs": Hangs, "oom": OutOfMemory, "nan": NotANumber, "lost": DeviceLost,
    "slow": Slow, "poisoned": Poisoned,
}  # fmt: skip

if __name__ == "__main__":
    serve.open_world = lambda spec: WORLDS[spec]()
    serve.check_spec = lambda spec: None
    main(sys.argv[1:])
