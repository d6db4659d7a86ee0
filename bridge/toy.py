"""A deterministic little world without a model: a square that the arrows move. For tests and for client writers."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from inhabit.bridge.controls import ActionMap, ActionSource, Controls
from inhabit.bridge.errors import WorldError
from inhabit.bridge.frames import NO_SOUND, Frame
from inhabit.bridge.world import WorldInfo

SQUARE_PX = 8
GROUND = 0x181818
TONE_HZ, FIRE_HZ = 220.0, 660.0
FILLERS = frozenset(("a", "the", "on", "square"))
COLOURS = {
    "red": 0xE04040, "orange": 0xF09030, "yellow": 0xF0E050, "green": 0x40C060, "blue": 0x4070F0, "purple": 0xA050D0,
    "white": 0xF4F4F4, "grey": 0x808080, "black": 0x101010,
}  # fmt: skip


class ToyState(msgspec.Struct):
    x: int
    y: int
    index: int
    colour: int
    ground: int = GROUND


class ToyWorld:
    """A square of a seeded colour on a dark ground. "FIRE" makes it white for that frame and earns 1.

    Args:
        words: listen to prompts such as "blue on white".
        sound_rate_hz: samples a second of a stereo hum that comes from where the square is; 0 for none.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        height: int = 48,
        rate_hz: float = 30.0,
        words: bool = False,
        sound_rate_hz: int = 0,
    ):
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
            prompts=("red", "blue on white", "yellow on purple") if words else (),
            sound_rate_hz=sound_rate_hz,
            sound_channels=2 if sound_rate_hz else 0,
            licence="CC0-1.0",
        )
        self.steps = 2
        self._state: ToyState | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Frame:
        red, green, blue = np.random.default_rng(seed).integers(0x60, 0x100, 3).tolist()  # always seen on the ground
        colour = red << 16 | green << 8 | blue
        self._state = ToyState((self.info.width - SQUARE_PX) // 2, (self.info.height - SQUARE_PX) // 2, 0, colour)
        return self._draw(fired=False)

    def step(self, controls: Controls) -> Frame:
        if self._state is None:
            raise WorldError("Cannot call step() before reset()")
        left, right, fire = self.info.actions.action(controls)
        s = self._state
        x = int(np.clip(s.x + 2 * (right > 0.5) - 2 * (left > 0.5), 0, self.info.width - SQUARE_PX))
        self._state = ToyState(x, s.y, s.index + 1, s.colour, s.ground)
        return self._draw(fired=bool(fire > 0.5))

    def configure(self, **settings: Any) -> str | None:
        remark = None
        for name, value in settings.items():
            if name == "prompt" and self.info.prompts:
                remark = self._hear(value)
                continue
            if name != "steps" or value not in self.info.steps:
                raise WorldError(f"Expected steps to be one of {self.info.steps}, got {name}={value!r}")
            self.steps = value
        return remark

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

    def _hear(self, text: Any) -> str | None:
        """Take a colour for the square, and one after "on" for the ground. Returns the words it does not know."""
        if self._state is None:
            raise WorldError("Cannot say a prompt before reset()")
        words = str(text).lower().split()
        if not set(words) & set(COLOURS):
            raise WorldError(f"Expected a colour ({', '.join(COLOURS)}), as in 'blue on white', got {str(text)[:80]!r}")
        square, _, below = " ".join(words).partition("on ")
        colour = next((word for word in square.split() if word in COLOURS), "")
        ground = next((word for word in below.split() if word in COLOURS), "")
        s = self._state
        self._state = ToyState(s.x, s.y, s.index, COLOURS.get(colour, s.colour), COLOURS.get(ground, s.ground))
        strange = [word for word in words if word not in COLOURS and word not in FILLERS]
        return f"unknown: {', '.join(strange)}" if strange else None

    def _draw(self, *, fired: bool) -> Frame:
        s = self._state
        assert s is not None
        ground = (s.ground >> 16, s.ground >> 8 & 255, s.ground & 255)
        pixels = np.full((self.info.height, self.info.width, 3), ground, np.uint8)
        colour = 0xFFFFFF if fired else s.colour
        pixels[s.y : s.y + SQUARE_PX, s.x : s.x + SQUARE_PX] = (colour >> 16, colour >> 8 & 255, colour & 255)
        return Frame(pixels=pixels, index=s.index, reward=float(fired), sound=self._hum(s, fired=fired))

    def _hum(self, s: ToyState, *, fired: bool) -> np.ndarray:
        """What the frame sounds like: as many samples as have become due, so that the tone runs through."""
        rate_hz = self.info.sound_rate_hz
        if not rate_hz:
            return NO_SOUND
        due = [round(index * rate_hz / self.info.rate_hz) for index in (s.index, s.index + 1)]
        times_s = np.arange(*due) / rate_hz
        tone = 1500 * np.sin(2 * np.pi * TONE_HZ * times_s)
        if fired:
            tone += 8000 * np.sin(2 * np.pi * FIRE_HZ * times_s)
        right = s.x / (self.info.width - SQUARE_PX)
        return (tone[:, None] * np.array([1 - right, right])).astype(np.int16)
