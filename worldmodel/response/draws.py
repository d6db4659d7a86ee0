"""What a frame draws from its session's noise: one number stands for each independent draw."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.omni.block import CONTEXT_LEVEL, K_MAX, DynamicsConfig
from inhabit.worldmodel.response import noise
from inhabit.worldmodel.state import State

_FRESH, _COMMITTED, _ENDING, _FRESH_SOUND, _COMMITTED_SOUND, _DICE, _VISTAS, _FOLEY = range(8)


class Draws:
    """The noise that a world's frames begin from, and that is mixed into what is past."""

    def __init__(self, config: DynamicsConfig):
        self._config = config

    def fresh(self, state: State, now: Tensor) -> Tensor:
        """What the next frame is made from. Shape (b, c, h, w)."""
        return noise.normal(state.key, now, _FRESH, tuple(state.latents.shape[1:]))

    def committed(self, state: State) -> Tensor:
        """The newest frame as it enters the context. Shape (b, c, h, w)."""
        drawn = noise.normal(state.key, state.frame, _COMMITTED, tuple(state.latents.shape[1:]))
        return _as_context(state.latents, drawn)

    def context(self, latents: Tensor, key: Tensor) -> Tensor:
        """A session's first frames as they enter the context. Shapes: (b, t, c, h, w), (b,) -> (b, t, c, h, w)."""
        return _as_context(latents, _drawn(key, _COMMITTED, tuple(latents.shape[1:])))

    def dice(self, state: State, now: Tensor) -> Tensor | None:
        """Rolls for a pass of two frames, of which only the second is made. Shape (b, 2, n)."""
        if self._config.chance is None:
            return None
        places = state.latents.shape[-1] * state.latents.shape[-2] // self._config.patch**2
        rolls = noise.uniforms(state.key, now, _DICE, (places,)).float()
        return torch.stack([rolls, rolls], 1)

    def vistas(self, state: State, now: Tensor) -> Tensor:
        """Which pictures go on at the next frame's sides. Shape (b, 2), in (0, 1]."""
        return noise.uniforms(state.key, now, _VISTAS, (2,)).float()

    def ending(self, state: State) -> Tensor:
        """What the newest frame's ending chance is held against. Shape (b,), in (0, 1]."""
        return noise.uniform(state.key, state.frame, _ENDING)

    def sound_context(self, heard: Tensor, key: Tensor) -> Tensor | None:
        """Finished sound as it enters the context. Shapes: (b, t, latent) -> (b, t, 2, latent)."""
        if not heard.shape[-1]:
            return None
        old = _as_context(heard, _drawn(key, _COMMITTED_SOUND, tuple(heard.shape[1:])))
        return torch.stack([old, F.pad(heard[:, :-1], (0, 0, 1, 0))], 2)

    def sound_pair(self, state: State, now: Tensor) -> Tensor | None:
        """The newest frame's sound as context, and noise for the next one's. Shape (b, 2, 2, latent)."""
        if not state.sound.shape[-1]:
            return None
        drawn = noise.normal(state.key, state.frame, _COMMITTED_SOUND, tuple(state.sound.shape[2:]))
        old = _as_context(state.sound[:, -1], drawn)
        return torch.stack([torch.stack([old, self._fresh_sound(state, now)], 1), state.sound[:, -2:]], 2)

    def sound_input(self, state: State, clean: Tensor | None, now: Tensor, tau: float) -> Tensor | None:
        """The next frame's sound part of the way. Shape (b, 1, 2, latent)."""
        if clean is None:
            return None
        partly = torch.lerp(self._fresh_sound(state, now), clean[:, 0], tau)
        return torch.stack([partly, state.sound[:, -1]], 1)[:, None]

    def foley(self, state: State, now: Tensor) -> Tensor:
        """What foley makes the next frame's sound from. Shape (b, latent)."""
        return noise.normal(state.key, now, _FOLEY, tuple(state.sound.shape[2:]))

    def _fresh_sound(self, state: State, now: Tensor) -> Tensor:
        return noise.normal(state.key, now, _FRESH_SOUND, tuple(state.sound.shape[2:]))


def _drawn(key: Tensor, draw: int, shape: tuple[int, ...]) -> Tensor:
    """Each session's noise of its first frames. Shapes: (b,) -> (b, *shape), whose first number counts frames."""
    number = torch.arange(shape[0], device=key.device).repeat(len(key))
    return noise.normal(key.repeat_interleave(shape[0]), number, draw, shape[1:]).unflatten(0, (-1, shape[0]))


def _as_context(clean: Tensor, drawn: Tensor) -> Tensor:
    share = CONTEXT_LEVEL / K_MAX
    return clean * share + drawn * (1 - share)
