"""TorchRL: a batch of dreams as its EnvBase, tensors all the way.

env = torchrl_env(gymnasium.make_vec("inhabit/doom-center-v0", num_envs=16, autoreset_mode="SameStep"))
rollout = env.rollout(100, break_when_any_done=False)
"""

from __future__ import annotations

from typing import Any

from gymnasium.error import DependencyNotInstalled, Error
from gymnasium.vector import AutoresetMode

from inhabit.bindings.vector_env import DreamVectorEnv


def torchrl_env(envs: DreamVectorEnv, **arguments: Any) -> Any:
    """TorchRL's environment over a batch with autoreset_mode "SameStep" or "Disabled".

    Args:
        envs: with NumPy arrays, or with tensors on the device that TorchRL shall use.
        arguments: what torchrl.envs.GymWrapper takes.

    Raises:
        gymnasium.error.Error: for NEXT_STEP, which TorchRL does not take.
        gymnasium.error.DependencyNotInstalled: without TorchRL.
    """
    if envs.autoreset_mode == AutoresetMode.NEXT_STEP:
        raise Error("Expected autoreset_mode='SameStep' or 'Disabled' for TorchRL, got 'NextStep'")
    try:
        from torchrl.envs import GymWrapper
    except ImportError as error:
        raise DependencyNotInstalled('torchrl is not installed, run `pip install "inhabit[rl]"`') from error
    return GymWrapper(envs, **arguments)
