"""A world's actions and frames as Gymnasium spaces, and the way between the two."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from gymnasium import Space, spaces
from gymnasium.error import Error, InvalidAction

from inhabit.bridge.controls import ActionMap
from inhabit.bridge.frames import Frame
from inhabit.bridge.world import WorldInfo

ActionKind = Literal["auto", "discrete", "multibinary", "box"]
ObservationKind = Literal["rgb", "dict", "latent"]

LATENT_LIMIT = 100.0
"""Latents have unit variance and are bounded by the codec; none comes near this."""

TEXT_LENGTH = 512
TEXT_CHARACTERS = frozenset(string.printable)


class Actions:
    """Translates Gymnasium actions into a world's action vectors.

    Args:
        actions: the world's.
        kind: "discrete": nothing, or one button at a time (the default for buttons). "multibinary": any buttons
            together. "box": everything from -1 to 1, a button is down above 0.5 (the default where there are axes).
    """

    def __init__(self, actions: ActionMap, kind: ActionKind = "auto"):
        self.names = actions.names
        buttons = all(source.kind == "button" for source in actions.sources)
        if kind == "auto":
            kind = "discrete" if buttons else "box"
        if kind not in ("discrete", "multibinary", "box"):
            raise Error(f"Expected actions to be one of auto, discrete, multibinary, box, got {kind!r}")
        if kind != "box" and not buttons:
            raise Error(f"Expected actions='box' for a world with axes ({', '.join(self.names)}), got {kind!r}")
        self.kind = kind
        size = actions.size
        self._table = np.vstack([np.zeros(size), np.eye(size)]).astype(np.float32)
        self._is_button = np.array([source.kind == "button" for source in actions.sources])
        self.space: Space[Any]
        if kind == "discrete":
            self.space = spaces.Discrete(size + 1)
        elif kind == "multibinary":
            self.space = spaces.MultiBinary(size)
        else:
            self.space = spaces.Box(-1.0, 1.0, (size,), np.float32)

    @property
    def meanings(self) -> tuple[str, ...]:
        """What each number of a Discrete space, or each place of another one, means."""
        return ("NOTHING", *self.names) if self.kind == "discrete" else self.names

    def vector(self, action: Any) -> np.ndarray:
        """One action as the world takes it. Shape (size,) float32. Raises InvalidAction."""
        action = to_numpy(action)
        if isinstance(action, np.ndarray) and action.ndim == 0 and self.kind == "discrete":
            action = action[()]
        is_array = isinstance(action, np.ndarray)
        if is_array == (self.kind == "discrete") or not self.space.contains(action):
            raise InvalidAction(f"Expected an action in {self.space} ({self._said}), got {_shown(action)}")
        if self.kind == "discrete":
            return self._table[int(action)]
        return self._pressed(np.asarray(action, np.float32))

    def vectors(self, actions: Any, count: int) -> np.ndarray:
        """A batch of actions, an array or a tensor. Shape (count, size) float32. Raises InvalidAction."""
        given = np.asarray(to_numpy(actions))
        shape = (count, *(self.space.shape or ()))
        wanted = np.floating if self.kind == "box" else np.integer
        if given.shape != shape or not np.issubdtype(given.dtype, wanted):
            kind = "floats" if self.kind == "box" else "integers"
            raise InvalidAction(f"Expected {kind} of shape {shape} ({self._said}), got {given.dtype} {given.shape}")
        low, high = (-1, 1) if self.kind == "box" else (0, len(self.names) if self.kind == "discrete" else 1)
        wrong = np.flatnonzero(~((given >= low) & (given <= high)).reshape(count, -1).all(1))
        if len(wrong):
            raise InvalidAction(
                f"Expected actions from {low} to {high} ({self._said}), got {_shown(given[wrong[0]])} "
                f"- at environment {wrong[0]}"
            )
        return self._table[given] if self.kind == "discrete" else self._pressed(given.astype(np.float32))

    @property
    def _said(self) -> str:
        return ", ".join(f"{i} {name}" for i, name in enumerate(self.meanings))

    def _pressed(self, vector: np.ndarray) -> np.ndarray:
        return np.where(self._is_button, (vector > 0.5).astype(np.float32), vector)


class Observations:
    """Makes observations of frames.

    Args:
        info: the world's.
        kind: "rgb": (height, width, 3) uint8. "latent": what the world itself computes with, (c, h, w) float32 of
            about unit variance. "dict": "frame", and where the world has them "sound" ((samples, channels) int16)
            and "text" (what it was told).
        latent_shape: for "latent".
    """

    def __init__(self, info: WorldInfo, kind: ObservationKind, latent_shape: tuple[int, ...] | None = None):
        if kind not in ("rgb", "dict", "latent"):
            raise Error(f"Expected obs to be one of rgb, dict, latent, got {kind!r}")
        self.kind = kind
        self.samples = math.ceil(info.sound_rate_hz / info.rate_hz)
        self.channels = info.sound_channels
        self.listens = bool(info.prompts)
        frame = spaces.Box(0, 255, (info.height, info.width, 3), np.uint8)
        self.space: Space[Any] = frame
        if kind == "latent":
            if latent_shape is None:
                raise Error("Expected a neural world for obs='latent', got one without latents: use obs='rgb'")
            self.space = spaces.Box(-LATENT_LIMIT, LATENT_LIMIT, latent_shape, np.float32)
        elif kind == "dict":
            parts: dict[str, Space[Any]] = {"frame": frame}
            if self.samples:
                parts["sound"] = spaces.Box(-32768, 32767, (self.samples, self.channels), np.int16)
            if self.listens:
                parts["text"] = spaces.Text(TEXT_LENGTH, min_length=0, charset=TEXT_CHARACTERS)
            self.space = spaces.Dict(parts)

    def of_frame(self, frame: Frame, text: str, latent: np.ndarray | None) -> Any:
        """The observation of one frame; everything in it is the caller's own."""
        if self.kind == "latent":
            return np.array(latent, np.float32)
        pixels = np.array(frame.pixels)
        if self.kind == "rgb":
            return pixels
        observation: dict[str, Any] = {"frame": pixels}
        if self.samples:
            observation["sound"] = fitted_sound(frame.sound, self.samples, self.channels)
        if self.listens:
            observation["text"] = plain_text(text)
        return observation


def fitted_sound(sound: np.ndarray, samples: int, channels: int) -> np.ndarray:
    """Sound as long as the space says, silence at its end where a frame has a sample less. (samples, channels)."""
    fitted = np.zeros((samples, channels), np.int16)
    length = min(samples, len(sound))
    fitted[:length] = sound[:length]
    return fitted


def plain_text(text: str) -> str:
    """Text as the space takes it: printable ASCII, at most TEXT_LENGTH characters; others become "?"."""
    return "".join(letter if letter in TEXT_CHARACTERS else "?" for letter in text)[:TEXT_LENGTH]


def to_numpy(value: Any) -> Any:
    """Tensors of any library as arrays, on the host; everything else as it is."""
    if isinstance(value, np.ndarray | np.generic | int | float | Mapping) or not hasattr(value, "__dlpack__"):
        return value
    host = value.detach() if hasattr(value, "detach") else value
    return np.from_dlpack(host.cpu() if hasattr(host, "cpu") else host)


def _shown(action: Any) -> str:
    if isinstance(action, np.ndarray | np.generic):
        return f"{np.array2string(np.asarray(action), threshold=8)} ({action.dtype}, shape {action.shape})"
    return f"{action!r} ({type(action).__name__})"[:120]
