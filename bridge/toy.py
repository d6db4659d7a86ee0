"""A deterministic little world without a model: a square that the arrows move. For tests and for client writers."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from inhabit.bridge.controls import ActionMap, ActionSource, Controls
from inhabit.bridge.errors import WorldError
from inhabit.bridge.frames import Frame
from inhabit.bridge.world import WorldInfo

SQUARE_PX = 8


class ToyState(msgspec.Struct):
    x: int
    y: int
    index: int
    colour: int


class ToyWorld:
    """A square of a seeded colour on a dark ground. "FIRE" makes it white for that frame and earns 1."""

    def __init__(self, *, width: int = 64, height: int = 48, rate_hz: float = 30.0):
        self.info = WorldInfo(
            name="toy",
            title="A square that the arrows move",
            width=width,
            height=height,
            rate_hz=rate_hz,
            actions=ActionMap(
                sources=(
                    ActionSource(name="LEFT", keys=("ArrowLeft", "KeyA"), pad=("-PadLX",), mouse="-x"),
                    ActionSource(name="RIGHT", keys=("ArrowRight", "KeyD"), pad=("+PadLX",), mouse="+x"),
                    ActionSource(name="FIRE", keys=("Space", "Mouse0", "PadA")),
                )
            ),
            steps=(1, 2, 4),
            licence="CC0-1.0",
        )
        self.steps = 2
        self._state: ToyState | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Frame:
        colour = int(np.random.default_rng(seed).integers(0x404040, 0xFFFFFF))
        self._state = ToyState((self.info.width - SQUARE_PX) // 2, (self.info.height - SQUARE_PX) // 2, 0, colour)
        return self._draw(fired=False)

    def step(self, controls: Controls) -> Frame:
        if self._state is None:
            raise WorldError("Cannot call step() before reset()")
        left, right, fire = self.info.actions.action(controls)
        s = self._state
        x = int(np.clip(s.x + 2 * (right > 0.5) - 2 * (left > 0.5), 0, self.info.width - SQUARE_PX))
        self._state = ToyState(x, s.y, s.index + 1, s.colour)
        return self._draw(fired=bool(fire > 0.5))

    def configure(self, **settings: Any) -> None:
        for name, value in settings.items():
            if name != "steps" or value not in self.info.steps:
                raise WorldError(f"Expected steps to be one of {self.info.steps}, got {name}={value!r}")
            self.steps = value

    def save(self) -> bytes:
        if self._state is None:
            raise WorldError("Cannot call save() before reset()")
        return msgspec.msgpack.encode(self._state)

    def restore(self, state: bytes) -> None:
        try:
            self._state = msgspec.msgpack.decode(state, type=ToyState)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WorldError(f"Expected a state that save() of this world gave, got {len(state)} bytes") from error

    def close(self) -> None:
        self._state = None

    def _draw(self, *, fired: bool) -> Frame:
        s = self._state
        assert s is not None
        pixels = np.full((self.info.height, self.info.width, 3), 24, np.uint8)
        colour = 0xFFFFFF if fired else s.colour
        pixels[s.y : s.y + SQUARE_PX, s.x : s.x + SQUARE_PX] = (colour >> 16, colour >> 8 & 255, colour & 255)
        return Frame(pixels=pixels, index=s.index, reward=float(fired))
