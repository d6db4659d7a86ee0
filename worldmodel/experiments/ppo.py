"""Proximal policy optimisation on batched tensors (Schulman et al., arXiv 1707.06347), dreamt or real.

Episodes that were cut are not over: what was to come still counts, by the value of the frame that they were cut at.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from inhabit.worldmodel.experiments.config import PPOConfig
from inhabit.worldmodel.experiments.policy import Policy, Sight

KEEP_EVERY_S = 45.0


class Envs(Protocol):
    """A vector environment with latents as observations, tensors, and autoreset_mode SAME_STEP."""

    num_envs: int

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Tensor, dict[str, Any]]: ...
    def step(self, actions: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, dict[str, Any]]: ...
    def close(self) -> None: ...


@dataclass(kw_only=True)
class Learning:
    """How a training went."""

    steps: int = 0
    env_s: float = 0.0
    """Time in the environments."""
    all_s: float = 0.0
    returns: list[float] = field(default_factory=list)
    """Mean return of the episodes that ended during each update; NaN where none did."""
    lengths: list[float] = field(default_factory=list)
    entropies: list[float] = field(default_factory=list)
    checks: list[dict[str, float]] = field(default_factory=list)
    """What each check on the way told."""


class Kept(Protocol):
    """Where a training is kept while it goes on."""

    def keep(self, policy: Policy, optimiser: torch.optim.Optimizer, learning: Learning) -> None: ...
    def resume(self, policy: Policy, optimiser: torch.optim.Optimizer) -> Learning | None: ...


@dataclass(kw_only=True)
class Batch:
    """What was lived through between two updates. Shapes begin with (length, envs)."""

    seen: Tensor
    actions: Tensor
    chances: Tensor
    """log probability of each action."""
    values: Tensor
    gains: Tensor
    """Advantage of each action, generalised (arXiv 1506.02438)."""


def train(
    envs: Envs,
    policy: Policy,
    config: PPOConfig,
    *,
    seed: int,
    on_update: Callable[[Learning], None] = lambda learning: None,
    checks: int = 0,
    on_check: Callable[[int], dict[str, float]] = lambda index: {},
    kept: Kept | None = None,
) -> Learning:
    """Train a policy for config.steps steps. `on_update` is called after each update.

    Args:
        checks: how often `on_check` is called on the way, evenly spread, the last time at the end.
        kept: where the training is kept, and goes on from; its environments then begin anew.
    """
    torch.manual_seed(seed)
    optimiser = torch.optim.Adam(policy.parameters(), config.rate, eps=1e-5)
    learning = kept.resume(policy, optimiser) if kept else None
    learning = learning or Learning()
    before_s, began = learning.all_s, time.monotonic()
    kept_s, checked_s = began, 0.0
    walker = Walker(envs, seed + learning.steps)
    while True:
        while len(learning.checks) < checks and learning.steps * checks >= config.steps * (len(learning.checks) + 1):
            if kept:  # what is checked must be what is kept: a check that is broken off begins again
                kept.keep(policy, optimiser, learning)
            check_began = time.monotonic()
            learning.checks.append(on_check(len(learning.checks)))
            checked_s += time.monotonic() - check_began
            if kept:
                kept.keep(policy, optimiser, learning)
        if learning.steps >= config.steps:
            break
        for group in optimiser.param_groups:
            group["lr"] = config.rate * (1 - learning.steps / config.steps)
        batch = walker.walk(policy, config, learning)
        learning.entropies.append(_update(policy, optimiser, batch, config))
        now = time.monotonic()
        learning.all_s = before_s + now - began - checked_s
        on_update(learning)
        if kept and (now - kept_s > KEEP_EVERY_S or learning.steps >= config.steps):
            kept.keep(policy, optimiser, learning)
            kept_s = now
    return learning


class Walker:
    """Walks through the environments and remembers where each is."""

    def __init__(self, envs: Envs, seed: int):
        self.envs = envs
        first, _ = envs.reset(seed=seed)
        self.sight = Sight(first)
        self.earned = torch.zeros(envs.num_envs, device=first.device)
        self.lived = torch.zeros_like(self.earned)

    @torch.no_grad()
    def walk(self, policy: Policy, config: PPOConfig, learning: Learning) -> Batch:
        """config.length steps of each environment."""
        rows, alive, ended_returns, ended_lengths = [], [], [], []
        for _ in range(config.length):
            seen = self.sight.seen
            chances, values = policy(seen)
            actions = chances.sample()
            began = time.monotonic()
            latents, rewards, terminated, truncated, info = self.envs.step(actions)
            learning.env_s += time.monotonic() - began
            over = terminated | truncated
            self.earned, self.lived = self.earned + rewards, self.lived + 1
            ended_returns += self.earned[over].tolist()
            ended_lengths += self.lived[over].tolist()
            rewards = config.reward_scale * rewards + self._to_come(policy, truncated & ~terminated, info, config)
            rows.append((seen, actions, chances.log_prob(actions), values, rewards))
            alive.append((~over).float())
            self.sight.add(latents)
            if bool(over.any()):
                ended = torch.where(over)[0]
                self.sight.begin(ended, latents[ended])
                self.earned, self.lived = self.earned * ~over, self.lived * ~over
        learning.steps += config.length * self.envs.num_envs
        nothing = [float("nan")]
        learning.returns.append(float(torch.tensor(ended_returns or nothing).mean()))
        learning.lengths.append(float(torch.tensor(ended_lengths or nothing).mean()))
        seen, actions, log_chances, values, rewards = (torch.stack(column) for column in zip(*rows, strict=True))
        following = policy(self.sight.seen)[1]
        gains = advantages(rewards, values, torch.stack(alive), following, gamma=config.gamma, lam=config.lam)
        return Batch(seen=seen, actions=actions, chances=log_chances, values=values, gains=gains)

    def _to_come(self, policy: Policy, cut: Tensor, info: dict[str, Any], config: PPOConfig) -> Tensor:
        """What episodes that were cut would still have earned, in the policy's eyes. Shape (n,)."""
        more = torch.zeros_like(self.earned)
        rows = torch.where(cut)[0]
        if len(rows):
            last = torch.stack([info["final_obs"][row] for row in rows.tolist()])
            more[rows] = config.gamma * policy(self.sight.after(rows, last))[1]
        return more


def advantages(
    rewards: Tensor, values: Tensor, alive: Tensor, following: Tensor, *, gamma: float, lam: float
) -> Tensor:
    """Generalised advantage estimation. Shapes: three of (t, n), (n,) -> (t, n).

    Args:
        alive: 0 where an episode ended with that step, else 1.
        following: value of the state after the last step.
    """
    gains, gain = [], torch.zeros_like(following)
    for t in reversed(range(len(rewards))):
        gain = rewards[t] + gamma * following * alive[t] - values[t] + gamma * lam * alive[t] * gain
        following = values[t]
        gains.append(gain)
    return torch.stack(gains[::-1])


def _update(policy: Policy, optimiser: torch.optim.Optimizer, batch: Batch, config: PPOConfig) -> float:
    """Learn from a batch; the mean entropy of the policy on it."""
    seen, actions, old, gains = (x.flatten(0, 1) for x in (batch.seen, batch.actions, batch.chances, batch.gains))
    targets = gains + batch.values.flatten()
    entropies = []
    for _ in range(config.epochs):
        for part in torch.randperm(len(seen), device=seen.device).chunk(config.parts):
            chances, values = policy(seen[part])
            ratio = (chances.log_prob(actions[part]) - old[part]).exp()
            gain = (gains[part] - gains[part].mean()) / (gains[part].std() + 1e-8)
            better = torch.minimum(ratio * gain, ratio.clamp(1 - config.clip, 1 + config.clip) * gain).mean()
            entropy = chances.entropy().mean()
            wrong = (values - targets[part]).square().mean()
            loss = config.value_weight * wrong - better - config.entropy * entropy
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(policy.parameters(), config.most_gradient)
            optimiser.step()
            entropies.append(float(entropy.detach()))
    return sum(entropies) / len(entropies)


@torch.no_grad()
def whole_episodes(envs: Envs, policy: Policy, *, seed: int, options: dict[str, Any] | None = None) -> list[float]:
    """The return of each environment's first episode, from its beginning to its end."""
    first, _ = envs.reset(seed=seed, options=options)
    sight = Sight(first)
    earned = torch.zeros(envs.num_envs, device=first.device)
    going = torch.ones(envs.num_envs, dtype=torch.bool, device=first.device)
    while bool(going.any()):
        chances, _ = policy(sight.seen)
        latents, rewards, terminated, truncated, _ = envs.step(chances.sample())
        earned += rewards * going
        going &= ~(terminated | truncated)
        sight.add(latents)
    return earned.tolist()
