"""Worlds as Gymnasium environments. Importing this registers them:

    import gymnasium, inhabit.bindings.env
    env = gymnasium.make("inhabit/doom-center-v0")                          # a pack that ships, in this process
    env = gymnasium.make("inhabit/World-v0", pack="packs/mine")             # a pack of your own
    env = gymnasium.make("inhabit/doom-center-v0", endpoint="tcp://...")    # the same in a sidecar: no torch here
    env = gymnasium.make("inhabit/World-v0", world="doom:take_cover")       # the real game, same spaces
    envs = gymnasium.make_vec("inhabit/doom-center-v0", num_envs=64)        # batched: see vector_env.py

docs/rl.md tells what each argument means. No torch is imported with this file.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ClosedEnvironmentError, Error, ResetNeeded

from inhabit.bindings.rl.checks import check_names, check_numbers, checked_options
from inhabit.bindings.rl.errors import in_gymnasium_terms
from inhabit.bindings.rl.in_process import FIRST_DRAW, mixed, saved
from inhabit.bindings.rl.registration import register_worlds
from inhabit.bindings.rl.session import open_codec, open_session
from inhabit.bindings.rl.spaces import ActionKind, Actions, ObservationKind, Observations
from inhabit.bindings.rl.viewer import Viewer
from inhabit.bridge.controls import Controls
from inhabit.bridge.frames import Frame
from inhabit.bridge.world import World

SEEDS = 2**62
RESET_OPTIONS = ("start", "prompt")
ARGUMENTS = (
    "pack", "world", "endpoint", "obs", "actions", "render_mode", "horizon", "steps", "temperature", "uncertainty",
    "device", "connect_s", "codec",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """How long a frame took. Timings are always equal: a measurement is no part of what a seed decides."""

    latency_ms: float = field(compare=False)
    """From handing over the action to having the frame."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvState:
    """What clone_state() keeps. A value: it can be pickled, and restored as often as you like."""

    world: bytes
    frame: Frame
    tick: int
    elapsed: int
    over: bool
    text: str
    rng: dict[str, Any] | None
    """State of the environment's np_random; None when it was not asked for."""


class WorldEnv(gymnasium.Env[Any, Any]):
    """One session of a world.

    Args:
        pack: name of a pack that ships, or a pack's folder; it is opened in this process.
        world: instead of a pack any other world: a spec such as "doom:take_cover" (the real game) or "toy", or a World.
        endpoint: where a sidecar listens (`inhabit serve PACK`); then nothing is opened here.
        obs: "rgb", "dict" or "latent", see spaces.Observations.
        actions: "auto", "discrete", "multibinary" or "box", see spaces.Actions.
        render_mode: None, "rgb_array" or "human".
        horizon: frames after which an episode is truncated; None never.
        steps: sampling steps a frame, 1, 2 or 4; None takes the pack's own choice.
        temperature: 0 to 3, how far the dream strays; 1 is what was learnt.
        uncertainty: further draws of each frame whose spread is told in info["uncertainty"]; each costs a frame.
        device: where a pack runs: "auto", "cpu" or "cuda".
        connect_s: longest wait for a sidecar, for its world and for each of its answers, seconds.
        codec: a pack whose codec makes latents of the frames of a world that has none, for obs="latent".

    Raises:
        gymnasium.error.Error: no such pack or sidecar, or an argument that does not fit; the message tells which.
        gymnasium.error.DependencyNotInstalled: what the world needs is not installed.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array", "human"], "render_fps": 20}  # noqa: RUF012

    def __init__(
        self,
        *,
        pack: str | Path | None = None,
        world: str | World | None = None,
        endpoint: str | None = None,
        obs: ObservationKind = "rgb",
        actions: ActionKind = "auto",
        render_mode: str | None = None,
        horizon: int | None = None,
        steps: int | None = None,
        temperature: float = 1.0,
        uncertainty: int = 0,
        device: str = "auto",
        connect_s: float = 30.0,
        codec: str | Path | None = None,
        **unknown: Any,
    ):
        self._closed = True  # until there is something to close
        check_names(unknown, ARGUMENTS)
        check_numbers(horizon=horizon, uncertainty=uncertainty, render_mode=render_mode)
        with in_gymnasium_terms():
            self._world = open_session(
                pack=pack, world=world, endpoint=endpoint, steps=steps, temperature=temperature, device=device,
                connect_s=connect_s,
            )  # fmt: skip
            self._codec = open_codec(codec)
        self._closed = False
        info = self._world.info
        self.metadata = {**self.metadata, "render_fps": info.rate_hz}
        self.render_mode = render_mode
        self.world_info = info
        self._actions = Actions(info.actions, actions)
        self._observations = Observations(info, obs, self._latent_shape() if obs == "latent" else None)
        self.action_space = self._actions.space
        self.observation_space = self._observations.space
        self._horizon, self._draws = horizon, uncertainty
        self._viewer: Viewer | None = None
        self._frame: Frame | None = None
        self._saved: bytes | None = None
        self._tick = self._elapsed = 0
        self._over = True
        self._text = ""

    @property
    def action_meanings(self) -> tuple[str, ...]:
        """What each action does, such as ("NOTHING", "MOVE_LEFT", "MOVE_RIGHT")."""
        return self._actions.meanings

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode at a moment of the recording that the world learnt from.

        Args:
            seed: chooses the moment and all that is random afterwards; None goes on from the seed before.
            options: {"start": number of the moment, "prompt": text for a world that listens}.
        """
        self._check_open()
        super().reset(seed=seed)
        options = checked_options(options, RESET_OPTIONS)
        began_ns = time.perf_counter_ns()
        with in_gymnasium_terms():
            self._frame = self._world.reset(seed=int(self.np_random.integers(SEEDS)), options=options or None)
        self._saved = None
        self._tick = self._elapsed = 0
        self._over = False
        self._text = self._told(options)
        self._show()
        return self._observe(), self._info(began_ns)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Advance one frame. Raises InvalidAction, ResetNeeded, ClosedEnvironmentError, or Error for a lost sidecar."""
        self._check_open()
        if self._frame is None or self._over:
            why = "reset()" if self._frame is None else "reset(): the episode is over"
            raise ResetNeeded(f"Cannot call step() before {why}")
        vector = self._actions.vector(action)
        controls = Controls(action=tuple(float(value) for value in vector))
        began_ns = time.perf_counter_ns()
        with in_gymnasium_terms():
            frame, doubt = self._advance(controls)
        self._frame = frame
        self._tick, self._elapsed = self._tick + 1, self._elapsed + 1
        truncated = frame.truncated or (self._horizon is not None and self._elapsed >= self._horizon)
        self._over = frame.terminated or truncated
        info = self._info(began_ns)
        if doubt is not None:
            info["uncertainty"] = doubt
        self._show()
        return self._observe(), float(frame.reward), bool(frame.terminated), bool(truncated), info

    def say(self, prompt: str) -> str | None:
        """Tell a world that listens what it shall be, without a reset. Returns what it remarks: unknown words.

        Raises Error for a world without words: one whose `world_info.prompts` are empty.
        """
        self._check_begun("say()")
        if not self._observations.listens:
            raise Error(
                f"Expected a world that listens to words, such as pack='isle-tiny', got {self.world_info.name!r}, "
                f"which does not: leave say() out"
            )
        with in_gymnasium_terms():
            remark = self._world.configure(prompt=prompt)
        self._text, self._saved = prompt, None
        return remark

    def clone_state(self, *, include_rng: bool = False) -> EnvState:
        """Keep where the episode is. With `include_rng` what follows after restore_state() is what would have followed
        here; without it, as in ALE, every restore leads into a future of its own, which is what planners want.
        """
        self._check_begun("clone_state()")
        assert self._frame is not None
        return EnvState(
            world=self._save(),
            frame=self._frame,
            tick=self._tick,
            elapsed=self._elapsed,
            over=self._over,
            text=self._text,
            rng=self.np_random.bit_generator.state if include_rng else None,  # type: ignore[arg-type]
        )

    def restore_state(self, state: EnvState) -> Any:
        """Go on from a kept state, of this environment or of another of the same world. Returns its observation."""
        self._check_open()
        world = state.world
        if state.rng is None:
            world = saved().with_key(world, mixed(int(self.np_random.integers(SEEDS)), 0))
        else:
            self.np_random.bit_generator.state = state.rng
        with in_gymnasium_terms():
            self._world.restore(world)
        self._frame, self._saved = state.frame, world
        self._tick, self._elapsed, self._over, self._text = state.tick, state.elapsed, state.over, state.text
        return self._observe()

    def render(self) -> Any:
        """The newest frame for "rgb_array", (height, width, 3) uint8; for "human" it is shown already."""
        if self.render_mode is None:
            gymnasium.logger.warn(
                'render() needs a render mode: gymnasium.make(..., render_mode="rgb_array") or "human"'
            )
            return None
        self._check_begun("render()")
        assert self._frame is not None
        return np.array(self._frame.pixels) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Free the world. Calling it twice is fine."""
        if not self._closed:
            self._closed = True
            if self._viewer is not None:
                self._viewer.close()
            self._world.close()

    def _advance(self, controls: Controls) -> tuple[Frame, float | None]:
        """One frame, and how far further draws of it lie apart; the world then goes on from the first."""
        self._saved, before = None, self._save() if self._draws else b""
        frame = self._world.step(controls)
        if not self._draws:
            return frame, None
        key, drawn = saved().read_key(before), [saved().read_latents(self._save())]
        if key is None or drawn[0] is None:
            raise Error("Expected a neural world for uncertainty, got one without latents: leave it at 0")
        for draw in range(1, self._draws + 1):
            self._world.restore(saved().with_key(before, mixed(key, FIRST_DRAW + draw)))
            self._world.step(controls)
            drawn.append(saved().read_latents(self._world.save()))
        self._world.restore(self._save())
        return frame, float(np.stack([latents for latents in drawn if latents is not None]).std(0).mean())

    def _save(self) -> bytes:
        """The world's state now; asked for once a frame."""
        if self._saved is None:
            with in_gymnasium_terms():
                self._saved = self._world.save()
        return self._saved

    def _observe(self) -> Any:
        assert self._frame is not None
        latents = None
        if self._observations.kind == "latent":
            frames = self._frame.pixels[None]
            latents = self._codec.encode(frames)[0] if self._codec else saved().read_latents(self._save())
        return self._observations.of_frame(self._frame, self._text, latents)

    def _latent_shape(self) -> tuple[int, ...] | None:
        """Told by a first frame: a sidecar says nothing of its latents before."""
        if self._codec is not None:
            return self._codec.latent_shape
        with in_gymnasium_terms():
            self._world.reset(seed=0)
            latents = saved().read_latents(self._world.save())
        return None if latents is None else latents.shape

    def _told(self, options: dict[str, Any]) -> str:
        if "prompt" in options:
            return str(options["prompt"])
        if self._observations.kind == "dict" and self._observations.listens:
            return saved().read_prompt(self._save())
        return ""

    def _info(self, began_ns: int) -> dict[str, Any]:
        return {"tick": self._tick, "timing": Timing(latency_ms=(time.perf_counter_ns() - began_ns) / 1e6)}

    def _show(self) -> None:
        if self.render_mode != "human":
            return
        if self._viewer is None:
            self._viewer = Viewer(self.world_info)
        assert self._frame is not None
        self._viewer.show(self._frame.pixels)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedEnvironmentError("Cannot use an environment after close(): make a new one")

    def _check_begun(self, what: str) -> None:
        self._check_open()
        if self._frame is None:
            raise ResetNeeded(f"Cannot call {what} before reset()")


register_worlds()
