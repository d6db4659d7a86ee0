"""Blend: pictures between two frames of a world, at the display's rate. Costs one frame of latency, so it is off by
default.

A picture between two frames can only be made when the second one is there: what is shown runs one frame of the world
behind, 1000 / rate_hz ms. It is a cross-fade: it takes the stutter out of slow motion, and shows fast motion twice.
"""

from __future__ import annotations

import moderngl
import numpy as np

from inhabit.bindings.view.presenter import Presenter
from inhabit.bindings.view.stream import FrameStream
from inhabit.bridge.pacing import NS_PER_S


class Blend:
    """Fades from one frame to the next within a frame's time."""

    def __init__(self, presenter: Presenter, rate_hz: float):
        self._presenter = presenter
        self._period_ns = NS_PER_S / rate_hz
        self._streams = (FrameStream(presenter.ctx), FrameStream(presenter.ctx))
        self._newer = 0
        self._since_ns = 0

    @property
    def added_latency_ms(self) -> float:
        """How much later than without it a frame is fully shown, ms."""
        return self._period_ns / 1e6

    def show(self, pixels: np.ndarray, now_ns: int) -> None:
        """Take the next frame, (height, width, 3) uint8 RGB; it begins to appear now."""
        self._newer = 1 - self._newer
        self._streams[self._newer].show(pixels)
        older = self._streams[1 - self._newer]
        if not older.ready or older.texture.size != self._streams[self._newer].texture.size:
            older.show(pixels)
        self._since_ns = now_ns

    def texture(self, now_ns: int) -> moderngl.Texture:
        """What is to be seen now."""
        share = min(1.0, max(0.0, (now_ns - self._since_ns) / self._period_ns))
        newer = self._streams[self._newer].texture
        return newer if share >= 1.0 else self._presenter.mix(self._streams[1 - self._newer].texture, newer, share)

    def release(self) -> None:
        """Free everything. Calling it twice is fine."""
        for stream in self._streams:
            stream.release()
