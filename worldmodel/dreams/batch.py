"""A batch of sessions that begin and end one by one: the in-process ground under the vector environment.

Tensors in, tensors out, all on the world's device; nothing here waits for the device or copies frames to the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from inhabit.bridge.errors import WorldError
from inhabit.worldmodel.dreams.dreams import Dreams
from inhabit.worldmodel.state import State

Doubt = Literal["none", "draws", "residual"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stepped:
    """What a step brought to every session."""

    reward: Any
    """(n,) float32."""
    terminated: Any
    """(n,) bool."""
    ending_chance: Any
    """(n,) float32."""
    uncertainty: Any | None
    """(n,) float32; None when it is not measured."""


class DreamBatch:
    """`count` sessions of one world, each in its row.

    Args:
        dreams: the world.
        count: sessions.
        doubt: how uncertainty is measured: "none", "draws" (DRAWS further draws of each frame) or "residual".
        draws: further draws of each frame.
    """

    on_device = True

    latent_shape: tuple[int, ...]

    def __init__(self, dreams: Dreams, count: int, *, doubt: Doubt = "none", draws: int = 2):
        if doubt not in ("none", "draws", "residual"):
            raise WorldError(f"Expected uncertainty to be one of none, draws, residual, got {doubt!r}")
        if doubt == "draws" and draws < 1:
            raise WorldError(f"Expected at least 1 further draw, got {draws}")
        self.dreams, self.count = dreams, count
        self.info, self.latent_shape = dreams.info, dreams.latent_shape
        self.device = dreams.device
        self._doubt: Doubt = doubt
        self._draws = draws
        self._state: State | None = None
        self._shared = False
        """Whether somebody else may hold this very state: then a step leaves it as it is, and copies."""

    def begin(
        self,
        rows: np.ndarray,
        seeds: Sequence[int],
        *,
        starts: Sequence[int | None] | None = None,
        prompts: Sequence[str | None] | None = None,
    ) -> list[str]:
        """Begin new sessions in some rows; the others stay as they are. The first time, all rows must begin.

        Returns what each of them is told.
        """
        chosen = self.dreams.choose(seeds, starts=starts, prompts=prompts)
        self._put(rows, self.dreams.begin_chosen(chosen, places=rows.tolist()))
        return [one.prompt for one in chosen]

    def step(self, actions: Any) -> Stepped:
        """Advance all rows. Shape (n, a) float32, an array or a tensor."""
        before = self._living()
        told = torch.as_tensor(actions, dtype=torch.float32, device=self.device)
        donate = not self._shared and self._doubt != "draws"  # further draws begin from the state before, too
        after, outcome = self.dreams.step(before, told, donate=donate)
        doubt = None
        if self._doubt == "draws":
            doubt = self.dreams.uncertainty(before, told, after, draws=self._draws)
        elif self._doubt == "residual":
            doubt = self.dreams.residual(after, self.dreams.show(after))
        self._state, self._shared = after, False
        return Stepped(
            reward=_own(outcome.reward.float().nan_to_num()),
            terminated=_own(outcome.terminated),
            ending_chance=_own(outcome.ending_chance.float()),
            uncertainty=None if doubt is None else _own(doubt),
        )

    def frames(self, rows: np.ndarray | None = None) -> Tensor:
        """Shape (n, h, w, 3) uint8, of all rows or of some."""
        return _own(self.dreams.show(self._of(rows)))

    def latents(self, rows: np.ndarray | None = None) -> Tensor:
        """Shape (n, c, h', w') float32."""
        latents = self._living().latents
        return _own(latents if rows is None else latents[torch.as_tensor(rows, device=self.device)])

    def sound(self, rows: np.ndarray | None = None) -> Tensor:
        """Shape (n, samples, channels) int16."""
        return _own(self.dreams.hear(self._of(rows)))

    def array(self, values: np.ndarray) -> Tensor:
        """A tensor of these values on the world's device."""
        return torch.as_tensor(values, device=self.device)

    def keep(self, rows: np.ndarray) -> State:
        """The state of some rows: a value, good for as long as you like."""
        return self._of(rows)

    def put(self, rows: np.ndarray, kept: State, *, seeds: Sequence[int] | None = None) -> None:
        """Let some rows go on from a kept state; with `seeds` into futures of their own."""
        if len(kept) != len(rows):
            raise WorldError(f"Expected a state of {len(rows)} sessions, got one of {len(kept)}")
        self._put(rows, kept if seeds is None else self.dreams.reseed(kept, seeds))

    def fork(self, kept: State, seeds: Sequence[int] | None) -> DreamBatch:
        """Another batch that goes on from a kept state, in the same world."""
        other = DreamBatch(self.dreams, len(kept), doubt=self._doubt, draws=self._draws)
        other._state, other._shared = kept if seeds is None else self.dreams.reseed(kept, seeds), True
        return other

    def close(self) -> None:
        self._state = None

    def _living(self) -> State:
        if self._state is None:
            raise WorldError("Cannot step a batch before begin()")
        return self._state

    def _of(self, rows: np.ndarray | None) -> State:
        state = self._living()
        if rows is None:
            return state
        return state.select(torch.as_tensor(rows, dtype=torch.int64, device=self.device))

    def _put(self, rows: np.ndarray, fresh: State) -> None:
        """Fresh states into their rows."""
        if len(rows) == self.count and np.array_equal(rows, np.arange(self.count)):
            self._state, self._shared = fresh, True
            return
        where = torch.as_tensor(rows, dtype=torch.int64, device=self.device)
        self._state, self._shared = self._living().put(where, fresh, donate=not self._shared), False


def _own(tensor: Tensor) -> Tensor:
    """The caller's own tensor, one that autograd may use: what it does to it must not change the world."""
    return tensor.clone()
