"""The ring: keys and values of the last frames, in a buffer that never grows. Keys are rotated by their frame's number.

Slots are chosen by frame number, and attention sees only differences of numbers, so a session may run for ever and
sessions of one batch may be at different frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inhabit.worldmodel.omni.transformer import Past, TransformerConfig, rotate, time_angles


@dataclass(frozen=True, kw_only=True, slots=True)
class Ring:
    """The committed past of a batch of sessions."""

    rotated_keys_values: Tensor
    """(time layers, 2, b, n, heads, slots, head_width)."""

    frame: Tensor
    """(b, slots) int64: which frame lies in each slot, -1 for none."""

    @classmethod
    def empty(cls, config: TransformerConfig, batch: int, tokens: int, device: torch.device) -> Ring:
        shape = (config.time_layers, 2, batch, tokens, config.heads, config.context, config.head_width)
        return cls(
            rotated_keys_values=torch.zeros(shape, device=device),
            frame=torch.full((batch, config.context), -1, dtype=torch.int64, device=device),
        )

    def past(self, newest: Tensor) -> list[Past]:
        """What the frame `newest` (b,) may look back at, one entry for each time layer."""
        return [
            Past(keys=layer[0], values=layer[1], frame=self.frame, newest=newest) for layer in self.rotated_keys_values
        ]

    def commit(self, frame: Tensor, made: list[Tensor], *, donate: bool = False) -> Ring:
        """Return a ring that also holds further frames, no more of them than it has slots.

        Args:
            frame: (b, t) their numbers in each session.
            made: for each time layer their unrotated keys and values, (2, b, n, heads, t, head_width).
            donate: write into this ring's own buffers, which the new one takes over; this one is spent.
        """
        slot = frame % self.frame.shape[1]
        session = torch.arange(len(frame), device=frame.device)[:, None].expand_as(frame)
        into = self if donate else self.copy()
        held, frames = into.rotated_keys_values, into.frame
        new = torch.stack(made).permute(2, 5, 0, 1, 3, 4, 6).to(held.dtype)  # (b, t, layers, 2, n, heads, head_width)
        keys = rotate(new[:, :, :, 0], time_angles(frame, new.shape[-1])[:, :, None, None, None])
        # the indexed dimensions (session, slot) come first in the value that is assigned
        held[:, :, session, :, :, slot] = torch.stack([keys, new[:, :, :, 1]], 3)
        frames[session, slot] = frame
        return into

    def copy(self) -> Ring:
        """A ring with buffers of its own."""
        return Ring(rotated_keys_values=self.rotated_keys_values.clone(), frame=self.frame.clone())

    def select(self, sessions: Tensor) -> Ring:
        """Some sessions' ring."""
        return Ring(rotated_keys_values=self.rotated_keys_values[:, :, sessions], frame=self.frame[sessions])

    @staticmethod
    def join(parts: Sequence[Ring]) -> Ring:
        """The rings of several batches as one."""
        return Ring(
            rotated_keys_values=torch.cat([part.rotated_keys_values for part in parts], 2),
            frame=torch.cat([part.frame for part in parts]),
        )

    def put(self, sessions: Tensor, fresh: Ring, *, donate: bool = False) -> Ring:
        """Return a ring in which some sessions, (k,) int64, are those of `fresh`; `donate` as in commit()."""
        into = self if donate else self.copy()
        held, frames = into.rotated_keys_values, into.frame
        held[:, :, sessions], frames[sessions] = fresh.rotated_keys_values, fresh.frame
        return into

    def holds(self, frame: Tensor) -> Tensor:
        """Which sessions hold this frame. Shapes: (b,) -> (b,) bool."""
        return (self.frame == frame[:, None]).any(1)

    def later(self, frames: Tensor) -> Ring:
        """The same past under other numbers, so many frames later in each session. Shape: (b,)."""
        angles = time_angles(frames, self.rotated_keys_values.shape[-1])[:, None, None, None]  # over n, heads, slots
        keys, values = self.rotated_keys_values.unbind(1)
        return Ring(
            rotated_keys_values=torch.stack([rotate(keys, angles), values], 1),
            frame=torch.where(self.frame >= 0, self.frame + frames[:, None], -1),
        )
