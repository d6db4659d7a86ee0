"""PettingZoo: several agents in one shared world, each with some of its controls.

    env = SharedWorldEnv(WorldEnv(pack="doom-center", actions="multibinary"),
                         {"driver": ("TURN_LEFT", "TURN_RIGHT"), "gunner": ("ATTACK",)})

All see the same frame and earn the same reward. An agent presses one of its buttons at a time, or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import DependencyNotInstalled, Error, InvalidAction, ResetNeeded

from inhabit.bindings.env import RESET_OPTIONS, WorldEnv

try:
    from pettingzoo import ParallelEnv
except ImportError as _error:
    raise DependencyNotInstalled('pettingzoo is not installed, run `pip install "inhabit[rl]"`') from _error


class SharedWorldEnv(ParallelEnv[str, Any, Any]):
    """One session, many hands.

    Args:
        env: a world of buttons, made with actions="multibinary".
        hands: which agent has which of the world's actions; by default agent_0 the first, agent_1 the second, ...

    Raises:
        gymnasium.error.Error: an action that the world does not have, or that two agents would have.
    """

    def __init__(self, env: WorldEnv, hands: Mapping[str, Sequence[str]] | None = None):
        if not isinstance(env.action_space, spaces.MultiBinary):
            raise Error(f"Expected an environment made with actions='multibinary', got {env.action_space}")
        names = env.action_meanings
        hands = hands or {f"agent_{index}": (name,) for index, name in enumerate(names)}
        given = [name for mine in hands.values() for name in mine]
        for name in given:
            if name not in names or given.count(name) > 1:
                why = "twice" if name in names else f"which is none of {', '.join(names)}"
                raise Error(f"Expected each action with one agent, got {name!r} {why}")
        self.env = env
        self.render_mode = env.render_mode
        self.metadata = {"name": env.world_info.name, "is_parallelizable": True, **env.metadata}
        self.possible_agents = list(hands)
        self.agents: list[str] = []
        self._places = {agent: [names.index(name) for name in mine] for agent, mine in hands.items()}
        self._spaces = {agent: spaces.Discrete(len(mine) + 1) for agent, mine in hands.items()}
        self._observation: Any = None

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        return self.env.observation_space

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        return self._spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        # PettingZoo's own conformance test passes options that mean nothing: here, those are left out
        known = {name: value for name, value in (options or {}).items() if name in RESET_OPTIONS}
        self._observation, info = self.env.reset(seed=seed, options=known)
        self.agents = list(self.possible_agents)
        return self._for_each(self._observation), self._for_each(info)

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """All agents at once; one that says nothing presses nothing."""
        if not self.agents:
            raise ResetNeeded("Cannot call step() before reset(), or after the episode is over")
        pressed = np.zeros(len(self.env.action_meanings), np.int8)
        for agent, action in actions.items():
            if agent not in self._spaces or not self._spaces[agent].contains(action):
                space = self._spaces.get(agent, f"one of {', '.join(self.possible_agents)}")
                raise InvalidAction(f"Expected {agent!r} to act in {space}, got {action!r}")
            if action:
                pressed[self._places[agent][int(action) - 1]] = 1
        self._observation, reward, terminated, truncated, info = self.env.step(pressed)
        told = (
            self._for_each(self._observation),
            self._for_each(reward),
            self._for_each(terminated),
            self._for_each(truncated),
            self._for_each(info),
        )
        if terminated or truncated:
            self.agents = []
        return told

    def state(self) -> np.ndarray:
        """What all of them see."""
        return np.array(self._observation)

    def render(self) -> Any:
        return self.env.render()

    def close(self) -> None:
        self.env.close()

    def _for_each(self, value: Any) -> dict[str, Any]:
        """The same for every agent, in memory of its own."""
        copied = isinstance(value, np.ndarray | dict)
        return {agent: value.copy() if copied else value for agent in self.agents}
