"""Many sessions of one world as one Gymnasium VectorEnv, made in one batch.

    envs = gymnasium.make_vec("inhabit/doom-center-v0", num_envs=64, obs="latent", arrays="torch", horizon=100)

Sub-environment i begins and goes on as WorldEnv with the same seed does: who else is in the batch changes nothing (at
one batch size, device and version bit for bit; across batch sizes up to rounding). No torch is imported with this file.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from gymnasium.error import ClosedEnvironmentError, Error, ResetNeeded
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from inhabit.bindings.env import SEEDS
from inhabit.bindings.rl.batch import Batch, open_batch
from inhabit.bindings.rl.checks import (
    check_names,
    check_numbers,
    checked_mask,
    checked_mode,
    checked_options,
    checked_seeds,
    checked_uncertainty,
    each,
)
from inhabit.bindings.rl.errors import in_gymnasium_terms
from inhabit.bindings.rl.spaces import ActionKind, Actions, ObservationKind, Observations, fitted_sound, plain_text

Arrays = Literal["numpy", "torch"]
OPTIONS = ("start", "prompt", "reset_mask")


class DreamVectorEnv(VectorEnv[Any, Any, Any]):
    """A batch of sessions. make_vector_env() opens one, and so does gymnasium.make_vec.

    Args:
        batch: the sessions.
        obs, actions, horizon: as in WorldEnv.
        arrays: "numpy", or "torch": observations, rewards, terminations and truncations are then tensors on the
            world's device, in memory of your own.
        autoreset_mode: NEXT_STEP (Gymnasium's default), SAME_STEP (info["final_obs"], info["final_info"]) or DISABLED
            (reset(options={"reset_mask": ...}) begins those that ended).
        uncertainty_penalty: so much of info["uncertainty"] is taken off each reward.
        uncertainty_limit: an episode is truncated where info["uncertainty"] exceeds it.
    """

    def __init__(
        self,
        batch: Batch,
        *,
        obs: ObservationKind = "rgb",
        actions: ActionKind = "auto",
        arrays: Arrays = "numpy",
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        horizon: int | None = None,
        uncertainty_penalty: float = 0.0,
        uncertainty_limit: float | None = None,
        render_mode: str | None = None,
    ):
        check_numbers(horizon=horizon, uncertainty=0, render_mode=render_mode)
        if arrays not in ("numpy", "torch"):
            raise Error(f"Expected arrays to be 'numpy' or 'torch', got {arrays!r}")
        if render_mode == "human":
            raise Error("Expected render_mode None or 'rgb_array' for a batch, got 'human': gymnasium.make shows one")
        self.autoreset_mode = checked_mode(autoreset_mode)
        """Also in the metadata: TorchRL reads the attribute, Gymnasium the metadata."""
        info = batch.info
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": info.rate_hz,
            "autoreset_mode": self.autoreset_mode,
        }
        self.render_mode = render_mode
        self.world_info = info
        self.num_envs = batch.count
        self._batch = batch
        self._actions = Actions(info.actions, actions)
        self._observations = Observations(info, obs, batch.latent_shape)
        self.single_action_space, self.single_observation_space = self._actions.space, self._observations.space
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._arguments = {
            "obs": obs, "actions": actions, "arrays": arrays, "autoreset_mode": self.autoreset_mode,
            "horizon": horizon, "uncertainty_penalty": uncertainty_penalty, "uncertainty_limit": uncertainty_limit,
            "render_mode": render_mode,
        }  # fmt: skip
        self.on_device = arrays == "torch"
        """Whether observations are tensors on the world's device."""
        self._horizon, self._penalty, self._limit = horizon, uncertainty_penalty, uncertainty_limit
        self._rows = np.arange(self.num_envs)
        self._generators: list[np.random.Generator | None] = [None] * self.num_envs
        self._elapsed = np.zeros(self.num_envs, np.int64)
        self._over = np.ones(self.num_envs, bool)
        self._texts = [""] * self.num_envs
        self._begun = False

    @property
    def action_meanings(self) -> tuple[str, ...]:
        """What each action does."""
        return self._actions.meanings

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin episodes in all sub-environments, or in those of options["reset_mask"].

        Args:
            seed: of sub-environment 0, the others count on; or one for each; None goes on from the seeds before.
            options: "start" and "prompt" as in WorldEnv, one for all or a list; "reset_mask", (num_envs,) np.bool_.
        """
        self._check_open()
        given = checked_options(options, OPTIONS)
        mask = checked_mask(given.pop("reset_mask", None), self.num_envs)
        if not self._begun and not mask.all():
            raise ResetNeeded("Cannot reset some environments before a first reset() of all")
        began_ns = time.perf_counter_ns()
        for row, single in zip(self._rows, checked_seeds(seed, self.num_envs), strict=True):
            if mask[row] and (single is not None or self._generators[row] is None):
                self._generators[row] = seeding.np_random(single)[0]
        self._begin(self._rows[mask], given)
        self._begun = True
        return self._observe(), self._info(mask, began_ns)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Advance all sub-environments one frame. Raises InvalidAction, ResetNeeded, ClosedEnvironmentError."""
        self._check_open()
        if not self._begun:
            raise ResetNeeded("Cannot call step() before reset()")
        if self.autoreset_mode == AutoresetMode.DISABLED and self._over.any():
            ended = ", ".join(map(str, np.flatnonzero(self._over)))
            raise ResetNeeded(f'Cannot step ended environments ({ended}): reset(options={{"reset_mask": ...}}) first')
        vectors = self._actions.vectors(actions, self.num_envs)
        began_ns = time.perf_counter_ns()
        with in_gymnasium_terms():
            stepped = self._batch.step(vectors)
        resting = self._over.copy()  # NEXT_STEP: they ended in the step before; this one begins them anew
        self._elapsed += 1
        doubt = None if stepped.uncertainty is None else _host(stepped.uncertainty)
        terminated = _host(stepped.terminated).astype(bool)
        truncated = np.zeros(self.num_envs, bool)
        if self._horizon is not None:
            truncated |= self._elapsed >= self._horizon
        if self._limit is not None and doubt is not None:
            truncated |= doubt > self._limit
        rewards = _host(stepped.reward).astype(np.float32)
        if self._penalty and doubt is not None:
            rewards = rewards - np.float32(self._penalty) * doubt
        extras = {"ending_chance": _host(stepped.ending_chance)}
        if doubt is not None:
            extras["uncertainty"] = doubt
        if resting.any():
            rewards[resting], terminated[resting], truncated[resting] = 0, False, False
            self._begin(self._rows[resting], {})
        self._over = terminated | truncated
        info = self._info(~resting, began_ns, extras)
        observation = self._observe()
        if self.autoreset_mode == AutoresetMode.SAME_STEP and self._over.any():
            info = self._finish(observation, info, began_ns)
            observation = self._observe()
        native = self._batch.array if self.on_device else _same
        return observation, native(rewards), native(terminated), native(truncated), info

    def clone_state(self, ids: Sequence[int] | None = None, *, include_rng: bool = False) -> VectorState:
        """Keep where some sub-environments are (all by default). See WorldEnv.clone_state for `include_rng`."""
        rows = self._checked_ids(ids)
        with in_gymnasium_terms():
            kept = self._batch.keep(rows)
        rngs = tuple(self._generator(row).bit_generator.state for row in rows) if include_rng else None
        return VectorState(kept, self._elapsed[rows].copy(), self._over[rows].copy(), self._texts_of(rows), rngs)

    def restore_state(self, state: VectorState, ids: Sequence[int] | None = None) -> Any:
        """Let some sub-environments go on from a kept state of as many. Returns the observations of all."""
        rows = self._checked_ids(ids)
        if len(rows) != len(state.elapsed):
            raise Error(f"Expected a state of {len(rows)} environments, got one of {len(state.elapsed)} - at ids")
        for index, row in enumerate(rows):
            if state.rngs is not None:
                self._generator(row).bit_generator.state = state.rngs[index]
            self._texts[row] = state.texts[index]
        with in_gymnasium_terms():
            self._batch.put(rows, state.kept, seeds=None if state.rngs is not None else self._draw(rows))
        self._elapsed[rows], self._over[rows] = state.elapsed, state.over
        return self._observe()

    def fork(self, ids: Sequence[int], n: int, *, include_rng: bool = False) -> DreamVectorEnv:
        """Another environment of len(ids) * n, in which n go on from each of these: [a, a, ..., b, b, ...].

        Each has a future of its own, unless `include_rng`: then all n live through what this one will. The world is
        shared, its weights are not copied; this environment stays as it is.
        """
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise Error(f"Expected to fork each environment at least once, got n={n!r}")
        rows = np.repeat(self._checked_ids(ids), n)
        seeds = None if include_rng else self._draw(rows)
        with in_gymnasium_terms():
            batch = self._batch.fork(self._batch.keep(rows), seeds)
        other = DreamVectorEnv(batch, **self._arguments)
        other._begun = True
        other._elapsed, other._over = self._elapsed[rows].copy(), self._over[rows].copy()
        other._texts = list(self._texts_of(rows))
        for index, row in enumerate(rows):
            generator, other_generator = self._generator(row), np.random.default_rng()
            other_generator.bit_generator.state = generator.bit_generator.state
            seed = None if seeds is None else seeds[index]
            other._generators[index] = other_generator if include_rng else seeding.np_random(seed)[0]
        return other

    def render(self) -> tuple[np.ndarray, ...] | None:
        """The newest frames, (height, width, 3) uint8 each, for render_mode="rgb_array"."""
        self._check_open()
        if self.render_mode is None:
            return None
        if not self._begun:
            raise ResetNeeded("Cannot call render() before reset()")
        return tuple(_host(self._batch.frames()))

    def close_extras(self, **kwargs: Any) -> None:
        self._batch.close()

    def _begin(self, rows: np.ndarray, options: dict[str, Any]) -> None:
        starts = each(options.get("start"), self.num_envs, "start")
        prompts = each(options.get("prompt"), self.num_envs, "prompt")
        with in_gymnasium_terms():
            said = self._batch.begin(
                rows, self._draw(rows), starts=[starts[row] for row in rows], prompts=[prompts[row] for row in rows]
            )
        for row, text in zip(rows, said, strict=True):
            self._texts[row] = text
        self._elapsed[rows], self._over[rows] = 0, False

    def _finish(self, observation: Any, info: dict[str, Any], began_ns: int) -> dict[str, Any]:
        """SAME_STEP: keep what ended, begin it anew. Returns the info of the new beginnings, with the old in it."""
        ended = self._over.copy()
        final = np.full(self.num_envs, None, object)
        for row in np.flatnonzero(ended):
            final[row] = _of_row(observation, row)
        final_info = {
            name: np.where(ended, value, np.zeros_like(value)) if not name.startswith("_") else value & ended
            for name, value in info.items()
        }
        going_on = ~ended
        self._begin(self._rows[ended], {})
        kept = {name: value for name, value in info.items() if name.lstrip("_") in ("ending_chance", "uncertainty")}
        for name, value in kept.items():
            kept[name] = value & going_on if name.startswith("_") else np.where(going_on, value, 0)
        everyone = np.ones(self.num_envs, bool)
        return {
            **kept,
            **self._info(everyone, began_ns),
            "final_obs": final,
            "_final_obs": ended,
            "final_info": final_info,
            "_final_info": ended.copy(),
        }

    def _observe(self) -> Any:
        kind, native = self._observations.kind, _same if self.on_device else _host
        if kind == "latent":
            return native(self._batch.latents())
        if kind == "rgb":
            return native(self._batch.frames())
        observation: dict[str, Any] = {"frame": native(self._batch.frames())}
        if self._observations.samples:
            samples, channels = self._observations.samples, self._observations.channels
            heard = np.stack([fitted_sound(one, samples, channels) for one in _host(self._batch.sound())])
            observation["sound"] = self._batch.array(heard) if self.on_device else heard
        if self._observations.listens:
            observation["text"] = tuple(plain_text(text) for text in self._texts)
        return observation

    def _info(self, mask: np.ndarray, began_ns: int, extras: dict[str, np.ndarray] | None = None) -> dict[str, Any]:
        """Gymnasium's form: for each name an array over all, and under _name for whom it holds."""
        everyone = np.ones(self.num_envs, bool)
        latency_ms = np.full(self.num_envs, (time.perf_counter_ns() - began_ns) / 1e6)
        info: dict[str, Any] = {"tick": self._elapsed.copy(), "_tick": everyone, "latency_ms": latency_ms}
        info["_latency_ms"] = everyone.copy()
        for name, values in (extras or {}).items():
            info[name], info[f"_{name}"] = np.where(mask, values, 0).astype(values.dtype), mask.copy()
        return info

    def _draw(self, rows: np.ndarray) -> list[int]:
        """A fresh number from each row's own generator, as WorldEnv draws it."""
        return [int(self._generator(row).integers(SEEDS)) for row in rows]

    def _generator(self, row: int) -> np.random.Generator:
        generator = self._generators[row]
        if generator is None:
            generator = self._generators[row] = seeding.np_random()[0]
        return generator

    def _texts_of(self, rows: np.ndarray) -> tuple[str, ...]:
        return tuple(self._texts[row] for row in rows)

    def _checked_ids(self, ids: Sequence[int] | None) -> np.ndarray:
        self._check_open()
        if not self._begun:
            raise ResetNeeded("Cannot keep or restore a state before reset()")
        rows = self._rows if ids is None else np.asarray(ids)
        fits = rows.ndim == 1 and len(rows) and np.issubdtype(rows.dtype, np.integer)
        if not fits or rows.min() < 0 or rows.max() >= self.num_envs:
            raise Error(f"Expected ids from 0 to {self.num_envs - 1}, got {ids!r}")
        return rows

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedEnvironmentError("Cannot use an environment after close(): make a new one")


class VectorState:
    """What clone_state() of a batch keeps."""

    __slots__ = ("elapsed", "kept", "over", "rngs", "texts")

    def __init__(
        self,
        kept: Any,
        elapsed: np.ndarray,
        over: np.ndarray,
        texts: tuple[str, ...],
        rngs: tuple[Any, ...] | None,
    ):
        self.kept, self.elapsed, self.over, self.texts, self.rngs = kept, elapsed, over, texts, rngs

    def __len__(self) -> int:
        return len(self.elapsed)


def make_vector_env(
    num_envs: int = 1,
    *,
    pack: str | Path | None = None,
    endpoint: str | None = None,
    steps: int | None = None,
    temperature: float = 1.0,
    device: str = "auto",
    uncertainty: int | Literal["none", "draws", "residual"] = 0,
    max_episode_steps: int | None = None,
    horizon: int | None = None,
    connect_s: float = 60.0,
    **arguments: Any,
) -> DreamVectorEnv:
    """Open a batch of a pack's sessions, in this process or behind `inhabit envs`.

    Args:
        num_envs: sessions.
        pack, endpoint, steps, temperature, device: as in WorldEnv.
        uncertainty: a number of further draws, or "residual" (what the codec cannot say of a frame; cheaper).
        connect_s: longest wait for a sidecar and for each of its answers, seconds.
        max_episode_steps: another word for horizon: Gymnasium says it when a spec has one.
        arguments: what DreamVectorEnv takes.

    Raises:
        gymnasium.error.Error: an argument or a pack that does not fit.
    """
    if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
        raise Error(f"Expected num_envs of at least 1, got {num_envs!r}")
    if max_episode_steps is not None and horizon is not None and horizon != max_episode_steps:
        raise Error(f"Expected horizon or max_episode_steps, got both: {horizon} and {max_episode_steps}")
    check_names(set(arguments) - KNOWN, (*OWN, *sorted(KNOWN)))
    doubt, draws = checked_uncertainty(uncertainty)
    for name in ("uncertainty_penalty", "uncertainty_limit"):
        if arguments.get(name) and doubt == "none":
            raise Error(f'Expected uncertainty="residual" or a number of draws beside {name}, got {uncertainty!r}')
    with in_gymnasium_terms():
        batch = open_batch(
            num_envs, pack=pack, endpoint=endpoint, steps=steps, temperature=temperature, device=device,
            doubt=doubt, draws=draws, connect_s=connect_s,
        )  # fmt: skip
    if arguments.get("arrays") == "torch" and not batch.on_device:
        batch.close()
        raise Error("Expected arrays='numpy' with endpoint=: tensors do not travel; leave endpoint out for torch")
    return DreamVectorEnv(batch, horizon=max_episode_steps if horizon is None else horizon, **arguments)


OWN = (
    "pack", "endpoint", "steps", "temperature", "device", "uncertainty", "max_episode_steps", "horizon", "connect_s",
)  # fmt: skip
KNOWN = frozenset(
    ("obs", "actions", "arrays", "autoreset_mode", "uncertainty_penalty", "uncertainty_limit", "render_mode")
)


def _host(array: Any) -> np.ndarray:
    """An array on the host; without a copy where it is there already."""
    return array if isinstance(array, np.ndarray) else np.asarray(array.cpu())


def _same(array: Any) -> Any:
    return array


def _of_row(observation: Any, row: Any) -> Any:
    """One sub-environment's observation."""
    if isinstance(observation, dict):
        return {name: _of_row(part, row) for name, part in observation.items()}
    return observation[row]
