"""Temperature: how far from the most likely next frame a dream may stray.

An agent that learns in a dream finds what is wrong with it. In World Models (Ha and Schmidhuber 2018, section 4) a
temperature above 1 made the dream harder to exploit than the game, and what was learnt in it carried over best.
Here each frame is made from noise N(0, 1); temperature T makes it from N(0, T^2), and rolls dice of chances p^(1/T)
where a world has dice. At 0 it is deterministic but for its endings.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from inhabit.bridge.errors import WorldError
from inhabit.worldmodel.omni.block import CONTEXT_LEVEL, K_MAX, Block, Prediction
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.text import Tokens
from inhabit.worldmodel.omni.transformer import Past

HOTTEST = 3.0


class Tempered(nn.Module):
    """Dynamics whose fresh noise is scaled. It goes where Dynamics goes, into an Engine.

    Args:
        dynamics: the network.
        temperature: 0 to HOTTEST, 1 is what the network learnt. Raises WorldError outside of it.
    """

    def __init__(self, dynamics: Dynamics, temperature: float):
        super().__init__()
        if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 <= temperature <= HOTTEST:
            raise WorldError(f"Expected a temperature from 0 to {HOTTEST:g}, got {temperature!r}")
        self.dynamics = dynamics
        self.config = dynamics.config
        self.temperature = float(temperature)
        self._fresh: tuple[Tensor, Tensor | None] | None = None

    def forward(self, block: Block, past: list[Past] | None = None, *, newest: int | None = None) -> Prediction:
        return self.dynamics(self._scaled(block), past, newest=newest)

    def read(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        return self.dynamics.read(tokens)

    def expected_reward(self, logits: Tensor) -> Tensor:
        return self.dynamics.expected_reward(logits)

    def _scaled(self, block: Block) -> Block:
        """The last frame of a pass is the one being made: at level 0 it is all noise, later a part of it still is."""
        block = replace(block, heat=torch.full(block.level.shape, self.temperature, device=block.level.device))
        noise, heard = block.noised[:, -1], None if block.sound is None else block.sound[:, -1, 0]
        if block.noised.shape[1] > 1:  # the first pass of a frame, which also commits the one before
            self._fresh = (noise, heard)
        if self._fresh is None or len(self._fresh[0]) != len(noise):
            return block
        level = block.level[:, -1]
        being_made = level < CONTEXT_LEVEL  # what a session begins with is finished, and keeps its noise
        more = (self.temperature - 1) * (1 - level.float() / K_MAX) * being_made
        noised = block.noised.clone()
        noised[:, -1] += more[:, None, None, None] * self._fresh[0]
        sound = block.sound
        if sound is not None and self._fresh[1] is not None:
            sound = sound.clone()
            sound[:, -1, 0] += more[:, None] * self._fresh[1]
        return replace(block, noised=noised, sound=sound)
