"""The engine: a learnt world as a functional, batched step(state, action). Everything else is a thin shell over it.

A step makes frame t from noise in K passes. The first pass also commits frame t-1 to the ring (fused: one walk through
the weights for both), so a step costs K passes, not K + 1, and the context always holds finished frames.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from inhabit.bridge.errors import WorldError
from inhabit.worldmodel.memory.ring import Ring
from inhabit.worldmodel.omni.autoencoder import LATENT_BOUND, Autoencoder, to_pixels
from inhabit.worldmodel.omni.dynamics import CONTEXT_LEVEL, K_MAX, Block, Dynamics, Prediction
from inhabit.worldmodel.omni.transformer import Past
from inhabit.worldmodel.response import noise

STEPS = (1, 2, 4)
"""Sampling steps that can be chosen."""

ENDING_WEIGHT = 10.0
"""How much more a frame that ends an episode weighs in training; taken back when endings are drawn."""

# one number for each independent draw of a frame's noise
_FRESH, _COMMITTED, _ENDING = 0, 1, 2


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Everything that a batch of sessions is. Tensors only: keep it, copy it, index it, fork it."""

    ring: Ring
    latents: Tensor
    """(b, c, h, w) the newest frame, finished but not yet committed."""
    before: Tensor
    """(b, c, h, w) the frame before it."""
    action: Tensor
    """(b, a) what led to the newest frame."""
    frame: Tensor
    """(b,) int64 number of the newest frame."""
    key: Tensor
    """(b,) int64 where each session's noise comes from."""

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, sessions: Tensor) -> State:
        """The named sessions as a batch of their own; naming one several times forks it."""
        ring = Ring(keys_values=self.ring.keys_values[:, :, sessions], frame=self.ring.frame[sessions])
        rest = {f.name: getattr(self, f.name)[sessions] for f in fields(self) if f.name != "ring"}
        return State(ring=ring, **rest)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a step brought."""

    reward: Tensor
    """(b,) float32, expected."""
    terminated: Tensor
    """(b,) bool, drawn from the ending chance with the session's own noise."""
    ending_chance: Tensor
    """(b,) float32."""


class Engine:
    """A learnt world on a device."""

    def __init__(self, autoencoder: Autoencoder, dynamics: Dynamics, device: torch.device | str = "cpu"):
        self.device = torch.device(device)
        self.autoencoder = autoencoder.to(self.device).eval().requires_grad_(False)
        self.dynamics = dynamics.to(self.device).eval().requires_grad_(False)
        edge = torch.stack([-LATENT_BOUND - self.autoencoder.mean, LATENT_BOUND - self.autoencoder.mean])
        self._least, self._most = edge / self.autoencoder.std

    @torch.inference_mode()
    def begin(self, latents: Tensor, actions: Tensor, key: Tensor) -> State:
        """Start sessions from real moments.

        Args:
            latents: (b, t, c, h, w) standardised latents of t frames that follow each other.
            actions: (b, t, a) what led to each of them.
            key: (b,) int64, one for each session.
        """
        latents, actions, key = (x.to(self.device) for x in (latents.float(), actions.float(), key))
        b, t = latents.shape[:2]
        config = self.dynamics.config
        tokens = 3 + config.registers + latents.shape[-1] * latents.shape[-2] // config.patch**2
        ring = Ring.empty(config.transformer, b, tokens, self.device)
        zeros = torch.zeros_like(latents[:, :1])
        block = Block(
            noised=self._context(latents, key, t),
            previous=torch.cat([zeros, latents[:, :-1]], 1),
            actions=actions,
            level=self._grid(b, t, CONTEXT_LEVEL),
            step=self._grid(b, t, _log2(K_MAX)),
        )
        made = self.dynamics(block).made
        for frame in range(max(0, t - 1 - config.transformer.context), t - 1):
            number = torch.full((b,), frame, device=self.device)
            ring = ring.commit(number, [layer[:, :, :, :, frame] for layer in made])
        before = latents[:, -2] if t > 1 else torch.zeros_like(latents[:, -1])
        return State(
            ring=ring,
            latents=latents[:, -1],
            before=before,
            action=actions[:, -1],
            frame=torch.full((b,), t - 1, device=self.device),
            key=key,
        )

    @torch.inference_mode()
    def step(self, state: State, action: Tensor, *, steps: int = 2) -> tuple[State, Outcome]:
        """Advance every session by one frame; the given state stays as it was.

        Args:
            action: (b, a) what each session does.
            steps: sampling steps, one of STEPS.
        """
        if steps not in STEPS:
            raise WorldError(f"Expected steps to be one of {STEPS}, got {steps!r}")
        action = action.to(self.device, torch.float32)
        now = state.frame + 1
        shape = tuple(state.latents.shape[1:])
        fresh = noise.normal(state.key, now, _FRESH, shape)
        ring, prediction = self._first_pass(state, action, fresh, steps)
        for index in range(1, steps):
            tau = index / steps
            block = Block(
                noised=(prediction.clean * tau + fresh[:, None] * (1 - tau)),
                previous=state.latents[:, None],
                actions=action[:, None],
                level=self._grid(len(state), 1, index * K_MAX // steps),
                step=self._grid(len(state), 1, _log2(steps)),
            )
            prediction = self._predict(block, ring.past(now))
        after = State(
            ring=ring, latents=prediction.clean[:, -1], before=state.latents, action=action, frame=now, key=state.key
        )
        return after, self._outcome(after, prediction)

    @torch.inference_mode()
    def show(self, state: State) -> Tensor:
        """Decode the newest frames. Shape (b, h, w, 3) uint8, on the engine's device."""
        return to_pixels(self.autoencoder.decode(state.latents))

    def _first_pass(self, state: State, action: Tensor, fresh: Tensor, steps: int) -> tuple[Ring, Prediction]:
        """Commit the newest frame and take the first denoising step of the next one, in one pass of two frames."""
        b, now = len(state), state.frame + 1
        old = _mix(
            state.latents,
            noise.normal(state.key, state.frame, _COMMITTED, tuple(fresh.shape[1:])),
            1 - CONTEXT_LEVEL / K_MAX,
        )
        level = torch.tensor([CONTEXT_LEVEL, 0], device=self.device).expand(b, 2)
        step = torch.tensor([_log2(K_MAX), _log2(steps)], device=self.device).expand(b, 2)
        block = Block(
            noised=torch.stack([old, fresh], 1),
            previous=torch.stack([state.before, state.latents], 1),
            actions=torch.stack([state.action, action], 1),
            level=level,
            step=step,
        )
        prediction = self._predict(block, state.ring.past(now))
        ring = state.ring.commit(state.frame, [layer[:, :, :, :, 0] for layer in prediction.made])
        return ring, replace(prediction, clean=prediction.clean[:, 1:])

    def _predict(self, block: Block, past: list[Past]) -> Prediction:
        """Predict within what the codec can say: outside it nothing is learnt, and an error could only grow."""
        prediction = self.dynamics(block, past)
        return replace(prediction, clean=prediction.clean.clamp(self._least, self._most))

    def _outcome(self, state: State, prediction: Prediction) -> Outcome:
        logit = prediction.ending_logit[:, -1] - torch.log(torch.tensor(ENDING_WEIGHT, device=self.device))
        chance = logit.sigmoid()
        drawn = noise.uniform(state.key, state.frame, _ENDING) < chance
        reward = self.dynamics.expected_reward(prediction.reward_logits[:, -1])
        return Outcome(reward=reward, terminated=drawn, ending_chance=chance)

    def _context(self, latents: Tensor, key: Tensor, frames: int) -> Tensor:
        shape = tuple(latents.shape[2:])
        drawn = [noise.normal(key, torch.full_like(key, t), _COMMITTED, shape) for t in range(frames)]
        return _mix(latents, torch.stack(drawn, 1), 1 - CONTEXT_LEVEL / K_MAX)

    def _grid(self, b: int, t: int, value: int) -> Tensor:
        return torch.full((b, t), value, dtype=torch.int64, device=self.device)


def _mix(clean: Tensor, fresh: Tensor, share: float) -> Tensor:
    return clean * (1 - share) + fresh * share


def _log2(steps: int) -> int:
    return steps.bit_length() - 1
