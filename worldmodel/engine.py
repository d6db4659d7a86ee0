"""The engine: a learnt world as a functional, batched step(state, action). Everything else is a thin shell over it.

A step makes frame t from noise in K passes. The first pass also commits frame t-1 to the ring (fused: one walk through
the weights for both), so a step costs K passes, not K + 1, and the context always holds finished frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.bridge.errors import WorldError
from inhabit.worldmodel.memory.ring import Ring
from inhabit.worldmodel.omni.autoencoder import LATENT_BOUND, Autoencoder, to_pixels
from inhabit.worldmodel.omni.dynamics import CONTEXT_LEVEL, K_MAX, Block, Dynamics, Prediction
from inhabit.worldmodel.omni.sound import SEEN, SoundCodec
from inhabit.worldmodel.omni.text import tokenise
from inhabit.worldmodel.omni.transformer import Past, Words
from inhabit.worldmodel.response import noise

STEPS = (1, 2, 4)
"""Sampling steps that can be chosen."""

ENDING_WEIGHT = 10.0
"""How much more a frame that ends an episode weighs in training; taken back when endings are drawn."""

# one number for each independent draw of a frame's noise
_FRESH, _COMMITTED, _ENDING, _FRESH_SOUND, _COMMITTED_SOUND = 0, 1, 2, 3, 4


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
    words: Tensor
    """(b, space layers, 2, heads, tokens, head_width) each prompt, read; nothing in a wordless world."""
    said: Tensor
    """(b, tokens) bool: which of those tokens hold a word."""
    sound: Tensor
    """(b, SEEN, latent) sound latents of the newest frames, the newest last; none in a silent world."""
    strength: Tensor
    """(b,) float32: how much further than by itself the picture follows its prompt, 0 as it is."""

    def __len__(self) -> int:
        return len(self.frame)

    def select(self, sessions: Tensor) -> State:
        """The named sessions as a batch of their own; naming one several times forks it."""
        ring = Ring(keys_values=self.ring.keys_values[:, :, sessions], frame=self.ring.frame[sessions])
        rest = {f.name: getattr(self, f.name)[sessions] for f in fields(self) if f.name != "ring"}
        return State(ring=ring, **rest)

    @staticmethod
    def join(parts: Sequence[State]) -> State:
        """Several batches as one; their sessions go on as they would have alone."""
        ring = Ring(
            keys_values=torch.cat([part.ring.keys_values for part in parts], 2),
            frame=torch.cat([part.ring.frame for part in parts]),
        )
        rest = {f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(State) if f.name != "ring"}
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

    def __init__(
        self,
        autoencoder: Autoencoder,
        dynamics: Dynamics,
        device: torch.device | str = "cpu",
        *,
        sound: SoundCodec | None = None,
    ):
        self.device = torch.device(device)
        self.sound = sound.to(self.device).eval().requires_grad_(False) if sound else None
        self.autoencoder = autoencoder.to(self.device).eval().requires_grad_(False)
        self.dynamics = dynamics.to(self.device).eval().requires_grad_(False)
        edge = torch.stack([-LATENT_BOUND - self.autoencoder.mean, LATENT_BOUND - self.autoencoder.mean])
        self._least, self._most = edge / self.autoencoder.std

    @property
    def listens(self) -> bool:
        """Whether the world was learnt with words."""
        return self.dynamics.config.text is not None

    @torch.inference_mode()
    def begin(
        self,
        latents: Tensor,
        actions: Tensor,
        key: Tensor,
        *,
        sound: Tensor | None = None,
        prompts: Sequence[str] | None = None,
        strength: float = 0.0,
    ) -> State:
        """Start sessions from real moments.

        Args:
            latents: (b, t, c, h, w) standardised latents of t frames that follow each other.
            actions: (b, t, a) what led to each of them.
            key: (b,) int64, one for each session.
            sound: (b, t, latent) what was heard, for a world with sound; silence by default.
            prompts: what each of them is told from the beginning; nothing by default.
            strength: how much further than by itself the picture follows its prompt, 0 to 2 are learnt.
        """
        latents, actions, key = (x.to(self.device) for x in (latents.float(), actions.float(), key))
        b, t = latents.shape[:2]
        config = self.dynamics.config
        tokens = config.other_tokens + latents.shape[-1] * latents.shape[-2] // config.patch**2
        heard = self._heard(sound, b, t)
        ring = Ring.empty(config.transformer, b, tokens, self.device)
        zeros = torch.zeros_like(latents[:, :1])
        words, said = self._read([""] * b if prompts is None else prompts)
        strengths = torch.full((b,), strength, device=self.device)
        block = Block(
            noised=self._context(latents, key, t),
            previous=torch.cat([zeros, latents[:, :-1]], 1),
            actions=actions,
            level=self._grid(b, t, CONTEXT_LEVEL),
            step=self._grid(b, t, _log2(K_MAX)),
            sound=self._sound_context(heard, key),
            **self._told(words, said, strengths, t),
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
            words=words,
            said=said,
            strength=strengths,
            sound=F.pad(heard, (0, 0, max(0, SEEN - t), 0))[:, -SEEN:],
        )

    @torch.inference_mode()
    def say(self, state: State, prompts: Sequence[str], *, strength: float | None = None) -> State:
        """Give every session a prompt, in mid-stream; the world goes on from where it is.

        Raises WorldError in a world that was learnt without words.
        """
        if not self.listens:
            raise WorldError("Expected no prompt: this world was learnt without words")
        words, said = self._read(prompts)
        strengths = state.strength if strength is None else torch.full_like(state.strength, strength)
        return replace(state, words=words, said=said, strength=strengths)

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
                sound=self._sound_input(state, prediction.sound, now, tau),
                **self._told(state.words, state.said, state.strength, 1),
            )
            prediction = self._predict(block, ring.past(now))
        heard = state.sound if prediction.sound is None else torch.cat([state.sound[:, 1:], prediction.sound], 1)
        after = replace(
            state,
            ring=ring,
            latents=prediction.clean[:, -1],
            before=state.latents,
            action=action,
            frame=now,
            sound=heard,
        )
        return after, self._outcome(after, prediction)

    @torch.inference_mode()
    def show(self, state: State) -> Tensor:
        """Decode the newest frames. Shape (b, h, w, 3) uint8, on the engine's device."""
        return to_pixels(self.autoencoder.decode(state.latents))

    @torch.inference_mode()
    def hear(self, state: State) -> Tensor:
        """The newest frames' sound. Shape (b, samples, channels) int16, on the engine's device; none when silent."""
        if self.sound is None:
            return torch.zeros(len(state), 0, 2, dtype=torch.int16, device=self.device)
        samples = self.sound.decode_newest(state.sound)
        return (samples * 32767).round().clamp(-32768, 32767).to(torch.int16)

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
            sound=self._sound_pair(state, now),
            **self._told(state.words, state.said, state.strength, 2),
        )
        prediction = self._predict(block, state.ring.past(now))
        ring = state.ring.commit(state.frame, [layer[:, :, :, :, 0] for layer in prediction.made])
        heard = prediction.sound
        return ring, replace(prediction, clean=prediction.clean[:, 1:], sound=heard if heard is None else heard[:, 1:])

    def _predict(self, block: Block, past: list[Past]) -> Prediction:
        """Predict within what the codec can say: outside it nothing is learnt, and an error could only grow."""
        prediction = self.dynamics(block, past)
        return replace(prediction, clean=prediction.clean.clamp(self._least, self._most))

    def _heard(self, sound: Tensor | None, b: int, t: int) -> Tensor:
        """What sessions begin with. Shape (b, t, latent), silence unless there is something better."""
        config = self.dynamics.config.sound
        if config is None:
            return torch.zeros(b, t, 0, device=self.device)
        return torch.zeros(b, t, config.latent, device=self.device) if sound is None else sound.to(self.device).float()

    def _sound_context(self, heard: Tensor, key: Tensor) -> Tensor | None:
        """Finished sound as it enters the context. Shapes: (b, t, latent) -> (b, t, 2, latent)."""
        if not heard.shape[-1]:
            return None
        shape, frames = heard.shape[2:], range(heard.shape[1])
        fresh = torch.stack(
            [noise.normal(key, torch.full_like(key, t), _COMMITTED_SOUND, tuple(shape)) for t in frames], 1
        )
        old = _mix(heard, fresh, 1 - CONTEXT_LEVEL / K_MAX)
        return torch.stack([old, F.pad(heard[:, :-1], (0, 0, 1, 0))], 2)

    def _sound_pair(self, state: State, now: Tensor) -> Tensor | None:
        """The newest frame's sound as context, and noise for the next one's. Shape (b, 2, 2, latent)."""
        if not state.sound.shape[-1]:
            return None
        shape = tuple(state.sound.shape[2:])
        kept = noise.normal(state.key, state.frame, _COMMITTED_SOUND, shape)
        old = _mix(state.sound[:, -1], kept, 1 - CONTEXT_LEVEL / K_MAX)
        fresh = noise.normal(state.key, now, _FRESH_SOUND, shape)
        return torch.stack([torch.stack([old, fresh], 1), state.sound[:, -2:]], 2)

    def _sound_input(self, state: State, clean: Tensor | None, now: Tensor, tau: float) -> Tensor | None:
        """The next frame's sound part of the way. Shape (b, 1, 2, latent)."""
        if clean is None:
            return None
        fresh = noise.normal(state.key, now, _FRESH_SOUND, tuple(state.sound.shape[2:]))
        return torch.stack([_mix(clean[:, 0], fresh, 1 - tau), state.sound[:, -1]], 1)[:, None]

    def _read(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Shapes: b prompts -> (b, space layers, 2, heads, tokens, head_width), (b, tokens)."""
        config = self.dynamics.config
        if config.text is None:
            nothing = torch.zeros(len(prompts), 0, device=self.device)
            return nothing, nothing.bool()
        tokens = tokenise(prompts, config.text).to(self.device)
        return self.dynamics.read(tokens).permute(2, 0, 1, 3, 4, 5), tokens.filled

    def _told(self, words: Tensor, said: Tensor, strength: Tensor, frames: int) -> dict[str, Any]:
        """What a block of so many frames is told; nothing in a world without words."""
        if not self.listens:
            return {}
        b = len(words)
        of_frame = torch.arange(b, device=self.device)[:, None].expand(b, frames)
        held = Words(keys_values=words.permute(1, 2, 0, 3, 4, 5), filled=said, of_frame=of_frame)
        return {"words": held, "strength": strength[:, None].expand(b, frames)}

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
