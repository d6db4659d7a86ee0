"""The ring: keys and values of the last frames, in a buffer that never grows. Keys are stored unrotated.

Slots are chosen by frame number, and positions are read as ages, so a session may run for ever and sessions of one
batch may be at different frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inhabit.worldmodel.omni.transformer import Past, TransformerConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Ring:
    """The committed past of a batch of sessions."""

    keys_values: Tensor
    """(time layers, 2, b, n, heads, slots, head_width)."""

    frame: Tensor
    """(b, slots) int64: which frame lies in each slot, -1 for none."""

    @classmethod
    def empty(cls, config: TransformerConfig, batch: int, tokens: int, device: torch.device) -> Ring:
        shape = (config.time_layers, 2, batch, tokens, config.heads, config.context, config.head_width)
        return cls(
            keys_values=torch.zeros(shape, device=device),
            frame=torch.full((batch, config.context), -1, dtype=torch.int64, device=device),
        )

    def past(self, newest: Tensor) -> list[Past]:
        """What the frame `newest` (b,) may look back at, one entry for each time layer."""
        age = torch.where(self.frame >= 0, newest[:, None] - self.frame, -1)
        return [Past(keys=layer[0], values=layer[1], age=age) for layer in self.keys_values]

    def commit(self, frame: Tensor, made: list[Tensor]) -> Ring:
        """Return a ring that also holds one more frame.

        Args:
            frame: (b,) its number in each session.
            made: for each time layer its keys and values, (2, b, n, heads, head_width).
        """
        slot = frame % self.frame.shape[1]
        session = torch.arange(len(frame), device=frame.device)
        keys_values, frames = self.keys_values.clone(), self.frame.clone()
        # the indexed dimensions (session, slot) come first in the value that is assigned
        keys_values[:, :, session, :, :, slot] = torch.stack(made).permute(2, 0, 1, 3, 4, 5).to(keys_values.dtype)
        frames[session, slot] = frame
        return Ring(keys_values=keys_values, frame=frames)
