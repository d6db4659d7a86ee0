"""World: the small contract that neural worlds, real games and remote worlds keep, and the check that they do."""

from __future__ import annotations

from typing import Annotated, Any, Protocol, runtime_checkable

import msgspec
import numpy as np

from inhabit.bridge.controls import IDLE, ActionMap, Controls
from inhabit.bridge.frames import Frame


class WorldInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a client must know of a world before its first frame. Travels in world.json and in WELCOME."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    """Short name, such as "doom-center"."""

    title: Annotated[str, msgspec.Meta(max_length=256)] = ""
    """One line for people."""

    width: Annotated[int, msgspec.Meta(ge=8, le=8192)]
    """Frame width, pixels."""

    height: Annotated[int, msgspec.Meta(ge=8, le=8192)]
    """Frame height, pixels."""

    rate_hz: Annotated[float, msgspec.Meta(gt=0, le=1000)]
    """The world's own clock: frames a second."""

    actions: ActionMap
    """What the world can be told to do, and which controls do it."""

    steps: tuple[int, ...] = ()
    """Sampling steps a frame that can be chosen while it runs; empty when the world has no such choice."""

    sound_rate_hz: int = 0
    """Sound samples a second, 0 for a silent world."""

    sound_channels: int = 0

    prompts: tuple[str, ...] = ()
    """Example prompts; empty when the world does not listen to words."""

    licence: str = ""
    """Licence of what was learnt from."""


@runtime_checkable
class World(Protocol):
    """A place that answers controls with frames. Single-threaded: the caller takes turns."""

    @property
    def info(self) -> WorldInfo: ...

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Frame:
        """Begin a new episode and return its first frame, index 0. The same seed gives the same start."""
        ...

    def step(self, controls: Controls) -> Frame:
        """Advance one frame. Raises WorldError before reset(). After a terminated frame a free-running caller may
        simply go on: the world then decides what follows (a neural world dreams on, a game begins anew)."""
        ...

    def configure(self, **settings: Any) -> str | None:
        """Change settings while it runs, such as steps=2 or prompt="snow". Returns a remark for people, if there is one
        to make (words that were not understood). Raises WorldError for an unknown name or value."""
        ...

    def save(self) -> bytes:
        """Return the whole state; restore() of it, here or in another process of this version, continues equally."""
        ...

    def restore(self, state: bytes) -> None: ...

    def close(self) -> None:
        """Free everything. Calling it twice is fine."""
        ...


class WorldCheckError(AssertionError):
    """A world does not keep the contract; the message names the rule and what was seen."""


def check_world(world: World, *, frames: int = 8, save: bool = True, seeded: bool = True) -> None:
    """Run a world through the contract and raise WorldCheckError at the first rule it breaks.

    `save=False` skips save and restore (a real game may not offer them), `seeded=False` the equal-seeds rule.
    """
    _require(world.info.actions.size > 0, "info.actions names at least one action", world.info.actions)
    world.info.actions.check(f"world {world.info.name!r}")
    _check_order(world)
    first = world.reset(seed=7)
    _check_frame(world.info, first, 0)
    played = _play(world, frames)
    for index, frame in enumerate(played, start=1):
        _check_frame(world.info, frame, index)
    if seeded:
        again = [world.reset(seed=7), *_play(world, frames)]
        for one, other in zip([first, *played], again, strict=True):
            _require(np.array_equal(one.pixels, other.pixels), "equal seeds and controls give equal frames", one.index)
    if save:
        _check_save(world, frames)
    world.close()
    world.close()


def _check_order(world: World) -> None:
    from inhabit.bridge.errors import WorldError

    try:
        world.step(IDLE)
    except WorldError:
        return
    raise WorldCheckError("step() before reset() must raise WorldError, it returned a frame")


def _check_save(world: World, frames: int) -> None:
    world.reset(seed=11)
    _play(world, frames)
    state = world.save()
    _require(isinstance(state, bytes), "save() returns bytes", type(state).__name__)
    expected = _play(world, frames)
    world.restore(state)
    for one, other in zip(expected, _play(world, frames), strict=True):
        same = np.array_equal(one.pixels, other.pixels) and one.index == other.index
        _require(same, "restore() continues exactly as before", one.index)


def _play(world: World, frames: int) -> list[Frame]:
    size = world.info.actions.size
    hot = np.eye(size, dtype=float)
    return [world.step(Controls(action=tuple(hot[i % size]))) for i in range(frames)]


def _check_frame(info: WorldInfo, frame: Frame, index: int) -> None:
    shape = (info.height, info.width, 3)
    _require(frame.pixels.shape == shape, f"pixels have shape {shape}", frame.pixels.shape)
    _require(frame.pixels.dtype == np.uint8, "pixels are uint8", frame.pixels.dtype)
    _require(
        frame.sound.dtype == np.int16 and frame.sound.ndim == 2,
        "sound is (samples, channels) int16",
        (frame.sound.dtype, frame.sound.shape),
    )
    _require(frame.index == index, f"the frame's index is {index}", frame.index)
    for name in ("terminated", "truncated"):
        value = getattr(frame, name)
        _require(type(value) is bool, f"{name} is a Python bool", type(value).__name__)
    _require(isinstance(frame.reward, float) and np.isfinite(frame.reward), "reward is a finite float", frame.reward)


def _require(holds: bool, rule: str, seen: object) -> None:
    if not holds:
        raise WorldCheckError(f"Expected: {rule}, got {seen!r}")
