"""Islands to measure on: where each begins, and what goes on from there, be it a dream or the simulator itself.

A dreamer is the engine's few methods that a measure needs. The engine is one; the simulator is another, and with it in
the dream's place each measure gives the figure that a perfect dream would get.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.memory.album import Album
from inhabit.worldmodel.train.autoencoder import reconstruct
from inhabit.worldmodel.train.schedule import Threads
from inhabit.worldmodel.worlds.isle import motion, truth
from inhabit.worldmodel.worlds.isle.attributes import Attributes
from inhabit.worldmodel.worlds.isle.captions import granted, parse
from inhabit.worldmodel.worlds.isle.record import complete
from inhabit.worldmodel.worlds.isle.render import Picture, render
from inhabit.worldmodel.worlds.isle.scene import State, create, with_attributes
from inhabit.worldmodel.worlds.isle.sound import SAMPLES, sound

CONTEXT_FRAMES = 12
"""Frames of the simulator that a dream begins with."""

Size = tuple[int, int]
"""Width and height, pixels."""


@dataclass(frozen=True, kw_only=True)
class Opening:
    """Real moments of b islands that dreams go on from."""

    frames: np.ndarray
    """(b, t, h, w, 3) uint8."""
    actions: np.ndarray
    """(b, t, 6) float32, what led to each frame."""
    sound: np.ndarray
    """(b, t, 1000, 2) int16."""
    pose: np.ndarray
    """(b, 5) float32 of the first frame, as memory.pose has it."""
    state: State
    """The islands at the last frame."""
    texts: tuple[str, ...]
    """What held."""
    size: Size

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True, kw_only=True)
class Film:
    """What was seen and heard after an opening."""

    frame: np.ndarray
    """(m,) int: frames that were looked at, counted from 0 after the opening."""
    pixels: np.ndarray
    """(b, m, h, w, 3) uint8."""
    sound: np.ndarray
    """(b, n, samples, channels) int16; no samples unless it was asked for."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What the simulator shows after an opening, and what is true of it."""

    film: Film
    labels: np.ndarray
    """(b, m, h, w) uint8, see render.Picture."""
    events: list[list[tuple[str, ...]]]
    """For each frame, of each island what happened."""
    state: State
    """At the end."""


class Dreamer(Protocol):
    """What a measure needs of a world that goes on from an opening."""

    sounds: bool

    def begin(self, opening: Opening, prompts: Sequence[str]) -> Any: ...

    def say(self, state: Any, prompts: Sequence[str]) -> Any: ...

    def step(self, state: Any, actions: Tensor) -> Any: ...

    def forget(self, state: Any, sessions: Tensor) -> Any:
        """Take away what these sessions (b,) bool remember of places."""
        ...

    def show(self, state: Any) -> np.ndarray:
        """(b, h, w, 3) uint8."""
        ...

    def hear(self, state: Any) -> np.ndarray:
        """(b, samples, channels) int16."""
        ...

    def coded(self, pixels: np.ndarray) -> np.ndarray:
        """Pictures through the codec alone. Shapes: (n, h, w, 3) uint8 -> the same."""
        ...

    def coded_sound(self, samples: np.ndarray) -> np.ndarray:
        """Sound through the codec alone. Shapes: (b, t, samples, channels) int16 -> the same."""
        ...


class EngineDreamer:
    """A learnt world."""

    def __init__(self, engine: Engine, *, steps: int = 2, seed: int = 0):
        self.engine, self.steps, self.seed = engine, steps, seed
        self.sounds = engine.sound is not None
        self._threads = Threads(engine.device)

    @torch.inference_mode()
    def begin(self, opening: Opening, prompts: Sequence[str]) -> Any:
        engine = self.engine
        pixels = torch.from_numpy(opening.frames)
        latents = torch.stack([engine.look(one) for one in pixels])
        heard = None
        if engine.sound is not None:
            heard = engine.sound.encode(self._samples(opening.sound))
        return engine.begin(
            latents,
            torch.from_numpy(opening.actions),
            torch.arange(len(opening)) + self.seed * 1_000_003,
            sound=heard,
            prompts=list(prompts) if engine.listens else None,
            held=list(opening.texts) if engine.listens else None,
            pose=torch.from_numpy(opening.pose),
        )

    def say(self, state: Any, prompts: Sequence[str]) -> Any:
        return self.engine.say(state, prompts) if self.engine.listens else state

    def step(self, state: Any, actions: Tensor) -> Any:
        self._threads.begin_step()
        state, _ = self.engine.step(state, actions, steps=self.steps)
        self._threads.end_step()
        return state

    def forget(self, state: Any, sessions: Tensor) -> Any:
        gone = sessions.to(state.frame.device)[:, None]
        frame = torch.where(gone, torch.full_like(state.album.frame, -1), state.album.frame)
        return replace(state, album=Album(pixels=state.album.pixels, pose=state.album.pose, frame=frame))

    def show(self, state: Any) -> np.ndarray:
        return self.engine.show(state).cpu().numpy()

    def hear(self, state: Any) -> np.ndarray:
        return self.engine.hear(state).cpu().numpy()

    @torch.inference_mode()
    def coded(self, pixels: np.ndarray) -> np.ndarray:
        return reconstruct(self.engine.autoencoder, pixels, self.engine.device)

    @torch.inference_mode()
    def coded_sound(self, samples: np.ndarray) -> np.ndarray:
        codec = self.engine.sound
        if codec is None:
            return np.zeros_like(samples)
        back = codec.decode(codec.encode(self._samples(samples))).clamp(-1, 1)
        return (back * 32767).round().to(torch.int16).reshape(samples.shape).cpu().numpy()

    def _samples(self, sound: np.ndarray) -> Tensor:
        """Shapes: (b, t, samples, channels) int16 -> (b, t * samples, channels) float on the engine's device."""
        return torch.from_numpy(sound).flatten(1, 2).float().to(self.engine.device) / 32768


class SimulatorDreamer:
    """The simulator in a dream's place: what a measure gives for a perfect dream."""

    sounds = True

    def __init__(self, size: Size):
        self.size = size

    def begin(self, opening: Opening, prompts: Sequence[str]) -> State:
        return self.say(opening.state, prompts)

    def say(self, state: State, prompts: Sequence[str]) -> State:
        return with_attributes(
            state, [granted(now, parse(text)) for now, text in zip(truth.attributes(state), prompts)]
        )

    def step(self, state: State, actions: Tensor) -> State:
        return motion.step(state, actions)

    def forget(self, state: State, sessions: Tensor) -> State:
        return state

    def show(self, state: State) -> np.ndarray:
        return render(state, *self.size).pixels.cpu().numpy()

    def hear(self, state: State) -> np.ndarray:
        return sound(state).cpu().numpy()

    def coded(self, pixels: np.ndarray) -> np.ndarray:
        return pixels

    def coded_sound(self, samples: np.ndarray) -> np.ndarray:
        return samples


@torch.inference_mode()
def open_islands(
    seeds: Sequence[int],
    attributes: Sequence[Attributes],
    *,
    size: Size,
    avatars: int = 1,
    script: np.ndarray | None = None,
    texts: Sequence[str] | None = None,
) -> Opening:
    """Play the first moments of some islands.

    Args:
        avatars: other people on each.
        script: (t, b, 6) actions; the first leads to the second frame. By default nobody moves for CONTEXT_FRAMES.
        texts: what held; by default all that is true, in words.
    """
    b = len(seeds)
    script = np.zeros((CONTEXT_FRAMES - 1, b, len(motion.ACTIONS)), np.float32) if script is None else script
    said = texts or [complete(one, np.random.default_rng([seed, 5])) for one, seed in zip(attributes, seeds)]
    state = create(seeds, attributes, avatars=avatars)
    pose = pose_now(state)
    frames, sounds = [render(state, *size).pixels.numpy()], [sound(state).numpy()]
    for action in script:
        state = motion.step(state, torch.from_numpy(action))
        frames.append(render(state, *size).pixels.numpy())
        sounds.append(sound(state).numpy())
    nothing = np.zeros((1, b, script.shape[-1]), np.float32)
    return Opening(
        frames=np.stack(frames, 1),
        actions=np.concatenate([nothing, script]).swapaxes(0, 1).copy(),
        sound=np.stack(sounds, 1),
        pose=pose,
        state=state,
        texts=tuple(said),
        size=size,
    )


def pose_now(state: State) -> np.ndarray:
    """(b, 5) float32 as memory.pose has it: lengths in metres, angles in radians."""
    pose = truth.poses(state).copy()
    pose[:, 3:] *= math.pi / 180
    return pose


def dream(
    dreamer: Dreamer,
    opening: Opening,
    script: np.ndarray,
    *,
    prompts: Sequence[str] | None = None,
    said: Mapping[int, Sequence[str]] | None = None,
    look: Sequence[int] | None = None,
    listen: bool = False,
    forgetful: np.ndarray | None = None,
    on_frame: Callable[[int], None] = lambda frame: None,
) -> Film:
    """Go on from an opening under scripted actions.

    Args:
        script: (n, b, 6) float32 actions.
        prompts: what holds from the beginning; by default what held.
        said: what is said before the step that leads to a frame, by its number.
        look: frames to look at; all by default.
        listen: whether to keep the sound.
        forgetful: (b,) bool: sessions whose memory of places is emptied at each step.
        on_frame: called with the number of finished frames.
    """
    looked = range(len(script)) if look is None else sorted(set(look))
    wanted, said = set(looked), said or {}
    state = dreamer.begin(opening, opening.texts if prompts is None else prompts)
    pixels, sounds = [], []
    for frame, action in enumerate(script):
        if frame in said:
            state = dreamer.say(state, said[frame])
        if forgetful is not None:
            state = dreamer.forget(state, torch.from_numpy(forgetful))
        state = dreamer.step(state, torch.from_numpy(action))
        if frame in wanted:
            pixels.append(dreamer.show(state))
        if listen:
            sounds.append(dreamer.hear(state))
        on_frame(frame + 1)
    silence = np.zeros((len(opening), len(script), 0, 2), np.int16)
    return Film(
        frame=np.array(list(looked)), pixels=np.stack(pixels, 1), sound=np.stack(sounds, 1) if listen else silence
    )


@torch.inference_mode()
def what_happens(
    opening: Opening,
    script: np.ndarray,
    *,
    wanted: Mapping[int, Sequence[Attributes]] | None = None,
    look: Sequence[int] | None = None,
) -> Truth:
    """What the simulator shows under the same actions.

    Args:
        wanted: attributes that are asked for before the step that leads to a frame, by its number.
        look: frames to look at; all by default.
    """
    looked = range(len(script)) if look is None else sorted(set(look))
    seen, wanted, state = set(looked), wanted or {}, opening.state
    pictures: list[Picture] = []
    sounds, events = [], []
    for frame, action in enumerate(script):
        if frame in wanted:
            state = with_attributes(state, wanted[frame])
        state = motion.step(state, torch.from_numpy(action))
        if frame in seen:
            pictures.append(render(state, *opening.size))
        sounds.append(sound(state).numpy())
        events.append(truth.events(state))
    film = Film(
        frame=np.array(list(looked)),
        pixels=np.stack([one.pixels.numpy() for one in pictures], 1),
        sound=np.stack(sounds, 1),
    )
    labels = np.stack([one.labels.numpy() for one in pictures], 1)
    return Truth(film=film, labels=labels, events=events, state=state)


def fits(engine: Engine) -> bool:
    """Whether the engine's sound has the simulator's samples a frame, or none at all."""
    return engine.sound is None or engine.sound.config.samples == SAMPLES
