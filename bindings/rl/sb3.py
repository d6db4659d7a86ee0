"""Stable-Baselines3: a batch of dreams as its VecEnv.

    envs = SB3VecEnv(gymnasium.make_vec("inhabit/doom-center-v0", num_envs=16, autoreset_mode="SameStep"))
    PPO("CnnPolicy", envs).learn(100_000)

Stable-Baselines3 has vectors of its own (NumPy only) and takes none of Gymnasium's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled, Error
from gymnasium.vector import AutoresetMode

from inhabit.bindings.vector_env import DreamVectorEnv

try:
    from stable_baselines3.common.vec_env import VecEnv
except ImportError as _error:
    raise DependencyNotInstalled('stable-baselines3 is not installed, run `pip install "inhabit[rl]"`') from _error


class SB3VecEnv(VecEnv):
    """Stable-Baselines3's view of a DreamVectorEnv with autoreset_mode "SameStep" and NumPy arrays.

    Raises:
        gymnasium.error.Error: another autoreset mode, or tensors.
    """

    def __init__(self, envs: DreamVectorEnv):
        if envs.autoreset_mode != AutoresetMode.SAME_STEP:
            raise Error(f"Expected autoreset_mode='SameStep' for Stable-Baselines3, got {envs.autoreset_mode.value!r}")
        if envs.on_device:
            raise Error("Expected arrays='numpy' for Stable-Baselines3, got 'torch'")
        self.envs = envs
        self.render_mode = envs.render_mode
        self._actions: Any = None
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> Any:
        seeds = [None if seed is None else int(seed) for seed in self._seeds]
        options = _merged(self._options)
        observation, info = self.envs.reset(seed=seeds, options=options)
        self.reset_infos = _of_each(info, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[Any, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observation, rewards, terminated, truncated, info = self.envs.step(self._actions)
        final, ended = info.pop("final_obs", None), info.pop("_final_obs", np.zeros(self.num_envs, bool))
        final_info = info.pop("final_info", {})
        info.pop("_final_info", None)
        infos = _of_each(info, self.num_envs)
        last = _of_each(final_info, self.num_envs)
        for row in np.flatnonzero(ended):
            infos[row] = {
                **last[row],
                "terminal_observation": final[row],
                "TimeLimit.truncated": bool(truncated[row] and not terminated[row]),
            }
        return observation, rewards, terminated | truncated, infos

    def close(self) -> None:
        self.envs.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        return self.envs.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """What all share: sub-environments are rows of one batch and have no attributes of their own."""
        return [getattr(self.envs, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        if len(list(self._get_indices(indices))) != self.num_envs:
            raise Error(f"Expected to set {attr_name!r} for all environments, they are rows of one batch")
        setattr(self.envs, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        raise Error(f"Expected no call of single environments, got {method_name!r}: they are rows of one batch")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]


def _of_each(info: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Gymnasium's info of arrays as one dict for each."""
    named = [name for name in info if not name.startswith("_")]
    everyone = np.ones(count, bool)
    masks = {name: info.get(f"_{name}", everyone) for name in named}
    return [{name: info[name][row] for name in named if masks[name][row]} for row in range(count)]


def _merged(options: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One dict of options for each environment as lists."""
    names = {name for one in options for name in one}
    return {name: [one.get(name) for one in options] for name in names}
