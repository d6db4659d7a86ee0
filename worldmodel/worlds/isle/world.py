"""One isle as a World: first person, with words, sound and truth. A batch of one of the same simulator."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from inhabit.bridge.controls import ActionMap, ActionSource, Controls
from inhabit.bridge.errors import WorldError
from inhabit.bridge.frames import NO_SOUND, Frame
from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.recordings import Box
from inhabit.worldmodel.worlds.isle import motion, truth
from inhabit.worldmodel.worlds.isle.attributes import Attributes, sample
from inhabit.worldmodel.worlds.isle.captions import granted, parse
from inhabit.worldmodel.worlds.isle.render import Picture, render
from inhabit.worldmodel.worlds.isle.scene import AVATARS, RATE_HZ, State, create, with_attributes
from inhabit.worldmodel.worlds.isle.sound import SOUND_RATE_HZ, sound

LICENCE = "Rendered by Inhabit's own simulator isle (Apache-2.0)"
PROMPTS = (
    "a red tower and two green trees in the fog at dusk",
    "night",
    "a thunderstorm on lava, in neon",
    "three purple houses on the dunes at sunrise",
    "it is snowing, drawn like a sketch",
    "no creatures, two white pillars in the rain",
)
ACTIONS = ActionMap(
    sources=(
        ActionSource(name="MOVE_X", kind="axis", keys=("KeyD",), keys_back=("KeyA",), pad=("+PadLX",)),
        ActionSource(
            name="MOVE_Y", kind="axis", keys=("KeyW", "ArrowUp"), keys_back=("KeyS", "ArrowDown"), pad=("-PadLY",)
        ),
        ActionSource(
            name="LOOK_X",
            kind="axis",
            keys=("ArrowRight", "KeyE"),
            keys_back=("ArrowLeft", "KeyQ"),
            pad=("+PadRX",),
            mouse="+x",
        ),
        ActionSource(
            name="LOOK_Y", kind="axis", keys=("PageUp",), keys_back=("PageDown",), pad=("-PadRY",), mouse="-y"
        ),
        ActionSource(name="JUMP", keys=("Space", "PadA")),
        ActionSource(name="THROW", keys=("Mouse0", "KeyF", "Enter", "PadX"), pad=("+PadRT",)),
    )
)
assert ACTIONS.names == motion.ACTIONS


@dataclass(frozen=True, kw_only=True, slots=True)
class IsleConfig:
    """How one isle is made."""

    width: int = 128
    """Frame width, pixels."""

    height: int = 128
    """Frame height, pixels."""

    sound: bool = True
    """Whether sound is made."""

    avatars: int = 1
    """Other people on the island, 0 to 2."""

    prompt: str = ""
    """What each episode begins with, where reset() is given no prompt."""

    device: str = "cpu"
    """Where it is computed: "cpu" or "cuda"."""

    def __post_init__(self):
        for name in ("width", "height"):
            if not 8 <= getattr(self, name) <= 4096:
                raise WorldError(f"Expected a {name} from 8 to 4096 pixels, got {getattr(self, name)}")
        if not 0 <= self.avatars <= len(AVATARS):
            raise WorldError(f"Expected 0 to {len(AVATARS)} avatars, got {self.avatars}")


class Saved(msgspec.Struct, frozen=True):
    """What save() gives."""

    format: int
    tensors: bytes
    """The State, as safetensors."""


class IsleWorld:
    """A seeded island that one walks on, and that listens to words."""

    def __init__(self, config: IsleConfig = IsleConfig()):
        if config.prompt:
            _understood(config.prompt)
        self.config = config
        self.info = info(config)
        self._state: State | None = None
        self._picture: Picture | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Frame:
        """Begin a new episode. Options: prompt (str), attributes (Attributes, whole), avatars (int)."""
        options = dict(options or {})
        prompt = options.pop("prompt", None) or self.config.prompt
        attributes, avatars = options.pop("attributes", None), options.pop("avatars", self.config.avatars)
        if options:
            raise WorldError(f"Expected the options prompt, attributes and avatars, got {', '.join(sorted(options))}")
        if avatars not in range(len(AVATARS) + 1):
            raise WorldError(f"Expected 0 to {len(AVATARS)} avatars, got {avatars!r}")
        if seed is None:
            seed = int(np.random.default_rng().integers(2**31))
        if attributes is None:
            attributes = sample(np.random.default_rng(seed), plain=True)
        elif not isinstance(attributes, Attributes):
            raise WorldError(f"Expected attributes to be Attributes, got {type(attributes).__name__}")
        if prompt:
            attributes = granted(attributes, _understood(prompt))
        self._state = create([seed], [attributes], avatars=avatars, device=self.config.device)
        return self._frame()

    def step(self, controls: Controls) -> Frame:
        action = self.info.actions.action(controls)
        self._state = motion.step(self._now("step"), torch.from_numpy(action)[None])
        return self._frame()

    def configure(self, **settings: Any) -> str | None:
        unknown = sorted(set(settings) - {"prompt"})
        if unknown:
            raise WorldError(f'Expected prompt="words", got {", ".join(f"{n}={settings[n]!r}" for n in unknown)}')
        if not settings:
            return None
        state = self._now("configure")
        wish = _understood(settings["prompt"])
        self._state = with_attributes(state, [granted(self.attributes(), wish)])
        return f"unknown: {', '.join(wish.unknown)}" if wish.unknown else None

    def save(self) -> bytes:
        state = self._now("save")
        tensors = {field.name: getattr(state, field.name).cpu().contiguous() for field in dataclasses.fields(State)}
        return msgspec.msgpack.encode(Saved(1, safetensors.torch.save(tensors)))

    def restore(self, state: bytes) -> None:
        wrong = f"Expected a state that save() of this world gave, got {len(state)} bytes"
        try:
            saved = msgspec.msgpack.decode(state, type=Saved)
            tensors = safetensors.torch.load(saved.tensors)
        except (msgspec.DecodeError, UnicodeDecodeError, SafetensorError, ValueError) as error:
            raise WorldError(wrong) from error
        like = create([0], [Attributes()])
        for field in dataclasses.fields(State):
            there, right = tensors.get(field.name), getattr(like, field.name)
            if saved.format != 1 or there is None or there.shape != right.shape or there.dtype != right.dtype:
                raise WorldError(f"{wrong}, which does not fit at {field.name!r}; it may come from another version")
        self._state = State(
            **{field.name: tensors[field.name].to(self.config.device) for field in dataclasses.fields(State)}
        )
        self._picture = None

    def close(self) -> None:
        self._state = self._picture = None

    def attributes(self) -> Attributes:
        """What the words now ask for."""
        return truth.attributes(self._now("attributes"))[0]

    def objects(self) -> list[Box]:
        """The things in view, with their boxes in pixels."""
        return truth.boxes(self._now("objects"), self.picture().labels)[0]

    def variables(self) -> tuple[float, ...]:
        """truth.VARIABLES now: where the eye is (m) and its yaw and pitch (degrees)."""
        return tuple(truth.poses(self._now("variables"))[0].tolist())

    def events(self) -> tuple[str, ...]:
        """What happened in this frame, such as "step" or "bounce"."""
        return truth.events(self._now("events"))[0]

    def picture(self) -> Picture:
        """Pixels, depth and labels of this frame, each with a batch of one."""
        if self._picture is None:
            self._picture = render(self._now("picture"), self.config.width, self.config.height)
        return self._picture

    def _now(self, what: str) -> State:
        if self._state is None:
            raise WorldError(f"Cannot call {what}() before reset()")
        return self._state

    def _frame(self) -> Frame:
        state = self._now("frame")
        self._picture = None
        return Frame(
            pixels=self.picture().pixels[0].cpu().numpy(),
            index=int(state.frame[0]),
            sound=sound(state)[0].cpu().numpy() if self.config.sound else NO_SOUND,
        )


def info(config: IsleConfig) -> WorldInfo:
    """What a client must know of an isle."""
    return WorldInfo(
        name="isle",
        title="A small island that listens to words",
        width=config.width,
        height=config.height,
        rate_hz=RATE_HZ,
        actions=ACTIONS,
        sound_rate_hz=SOUND_RATE_HZ if config.sound else 0,
        sound_channels=2 if config.sound else 0,
        prompts=PROMPTS,
        licence=LICENCE,
    )


def _understood(prompt: Any):
    """Read a prompt. Raises WorldError, with the words that were not known, when it says nothing."""
    if not isinstance(prompt, str):
        raise WorldError(f"Expected a prompt in words, got {prompt!r}")
    wish = parse(prompt)
    if not wish:
        said = f"the words {', '.join(wish.unknown)}" if wish.unknown else repr(prompt[:80])
        raise WorldError(f"Expected a prompt such as {PROMPTS[0]!r} or 'make it night', got {said}")
    return wish
