"""Any Gymnasium environment with an RGB render, as a World. Only this file knows Gymnasium's spaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from inhabit.bridge.controls import ActionMap, ActionSource, Controls
from inhabit.bridge.errors import MissingExtraError, WorldError
from inhabit.bridge.frames import Frame
from inhabit.bridge.world import WorldInfo

DEFAULT_RATE_HZ = 20.0
_DIGITS = tuple(f"Digit{digit}" for digit in (1, 2, 3, 4, 5, 6, 7, 8, 9, 0))
# words in an Atari-style action meaning, and the keys that people expect for them
_WORDS = {"UP": "ArrowUp", "DOWN": "ArrowDown", "LEFT": "ArrowLeft", "RIGHT": "ArrowRight", "FIRE": "Space"}


@dataclass(frozen=True, kw_only=True, slots=True)
class GymConfig:
    """How an environment is seen."""

    width: int = 128
    """Frame width, pixels."""

    height: int = 96
    """Frame height, pixels."""


class GymWorld:
    """One Gymnasium environment as a World. Discrete actions become buttons, Box actions become axes."""

    def __init__(self, env_id: str, config: GymConfig = GymConfig()):
        self.config = config
        self._env = _make(env_id)
        actions, self._to_env = _translate(self._env.action_space, env_id, _meanings(self._env))
        rate = float(self._env.metadata.get("render_fps") or DEFAULT_RATE_HZ)
        self.info = WorldInfo(
            name=env_id.split("/")[-1].lower()[:64],
            title=f"Gymnasium {env_id}",
            width=config.width,
            height=config.height,
            rate_hz=rate,
            actions=actions,
        )
        self._index = -1
        self._over = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Frame:
        self._env.reset(seed=seed, options=options)
        self._index, self._over = 0, False
        return Frame(pixels=self._picture(), index=0)

    def step(self, controls: Controls) -> Frame:
        if self._index < 0:
            raise WorldError("Cannot call step() before reset()")
        if self._over:
            self._env.reset()
        action = self._to_env(self.info.actions.action(controls))
        _, reward, terminated, truncated, _ = self._env.step(action)
        self._over = bool(terminated or truncated)
        self._index += 1
        return Frame(
            pixels=self._picture(),
            index=self._index,
            reward=float(reward),
            terminated=bool(terminated),
            truncated=bool(truncated),
        )

    def configure(self, **settings: Any) -> None:
        if settings:
            raise WorldError(f"Expected no settings (this is a Gymnasium environment), got {', '.join(settings)}")

    def save(self) -> bytes:
        raise WorldError("A Gymnasium environment has no portable state to save")

    def restore(self, state: bytes) -> None:
        raise WorldError("A Gymnasium environment has no portable state to restore")

    def close(self) -> None:
        if self._env is not None:
            self._env.close()
            self._env = None

    def _picture(self) -> np.ndarray:
        from PIL import Image

        pixels = np.asarray(self._env.render(), np.uint8)
        size = (self.config.width, self.config.height)
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def _make(env_id: str) -> Any:
    try:
        import gymnasium
    except ImportError as error:
        raise MissingExtraError("gymnasium", "gym") from error
    try:
        env = gymnasium.make(env_id, render_mode="rgb_array")
        env.reset()
        picture = env.render()
    except (gymnasium.error.Error, ImportError, TypeError, ValueError) as error:
        raise WorldError(f"Expected a Gymnasium environment with an RGB render, got {env_id!r}: {error}") from error
    if not isinstance(picture, np.ndarray) or picture.ndim != 3:
        raise WorldError(f"Expected {env_id!r} to render (height, width, 3) pixels, got {type(picture).__name__}")
    return env


def _meanings(env: Any) -> list[str] | None:
    read = getattr(env.unwrapped, "get_action_meanings", None)
    return list(read()) if read else None


def _translate(space: Any, env_id: str, meanings: list[str] | None) -> tuple[ActionMap, Callable[[np.ndarray], Any]]:
    """The action map of a space, and the way from an action vector to one of its members."""
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        names = meanings or [f"ACTION_{value}" for value in range(int(space.n))]
        sources = tuple(_button(name, index) for index, name in enumerate(names))
        # with nothing pressed the first member is taken, which is "do nothing" wherever there is such a thing
        return ActionMap(sources=sources), lambda vector: int(space.start) + int(np.argmax(vector))
    if isinstance(space, spaces.MultiBinary):
        sources = tuple(_button(f"ACTION_{index}", index) for index in range(int(np.prod(space.shape))))
        return ActionMap(sources=sources), lambda vector: (vector > 0.5).astype(np.int8).reshape(space.shape)
    if isinstance(space, spaces.Box) and np.isfinite(space.low).all() and np.isfinite(space.high).all():
        return _axes(int(np.prod(space.shape))), lambda vector: _scaled(space, vector)
    raise WorldError(f"Expected a Discrete, MultiBinary or bounded Box action space, got {space} - at {env_id}")


def _button(name: str, index: int) -> ActionSource:
    keys = tuple(key for word, key in _WORDS.items() if name.upper() == word)
    return ActionSource(name=name, keys=keys or _DIGITS[index : index + 1])


def _axes(count: int) -> ActionMap:
    pairs = (
        ("ArrowRight", "ArrowLeft", "+PadLX"),
        ("ArrowDown", "ArrowUp", "+PadLY"),
        ("KeyD", "KeyA", "+PadRX"),
        ("KeyS", "KeyW", "+PadRY"),
    )
    sources = []
    for index in range(count):
        more, less, pad = pairs[index] if index < len(pairs) else ("", "", "")
        sources.append(
            ActionSource(
                name=f"AXIS_{index}",
                kind="axis",
                keys=(more,) if more else (),
                keys_back=(less,) if less else (),
                pad=(pad,) if pad else (),
            )
        )
    return ActionMap(sources=tuple(sources))


def _scaled(space: Any, vector: np.ndarray) -> np.ndarray:
    middle, half = (space.high + space.low) / 2, (space.high - space.low) / 2
    return (middle + half * vector.reshape(space.shape)).astype(space.dtype)
