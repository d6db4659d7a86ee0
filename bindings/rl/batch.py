"""What stands behind a vector environment: a batch of sessions, in this process or in a sidecar. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from gymnasium.error import Error

from inhabit.bindings.rl import in_process
from inhabit.bindings.rl.batch_client import RemoteBatch
from inhabit.bindings.rl.registration import find_wanted
from inhabit.bridge.world import WorldInfo

Doubt = Literal["none", "draws", "residual"]


class Stepped(Protocol):
    """What a step brought; arrays or tensors of (n,)."""

    @property
    def reward(self) -> Any: ...
    @property
    def terminated(self) -> Any: ...
    @property
    def ending_chance(self) -> Any: ...
    @property
    def uncertainty(self) -> Any | None: ...


class Batch(Protocol):
    """`count` sessions of one world. See DreamBatch in worldmodel/dreams, which keeps this contract with tensors."""

    info: WorldInfo
    latent_shape: tuple[int, ...]
    count: int
    on_device: bool
    """Whether arrays are tensors of this process."""

    def begin(
        self,
        rows: np.ndarray,
        seeds: Sequence[int],
        *,
        starts: Sequence[int | None] | None = None,
        prompts: Sequence[str | None] | None = None,
    ) -> Sequence[str]:
        """Returns what each of them is told."""
        ...

    def step(self, actions: np.ndarray) -> Stepped: ...
    def frames(self, rows: np.ndarray | None = None) -> Any: ...
    def latents(self, rows: np.ndarray | None = None) -> Any: ...
    def sound(self, rows: np.ndarray | None = None) -> Any: ...
    def array(self, values: np.ndarray) -> Any: ...
    def keep(self, rows: np.ndarray) -> Any: ...
    def put(self, rows: np.ndarray, kept: Any, *, seeds: Sequence[int] | None = None) -> None: ...
    def fork(self, kept: Any, seeds: Sequence[int] | None) -> Batch: ...
    def close(self) -> None: ...


def open_batch(
    count: int,
    *,
    pack: str | Path | None,
    endpoint: str | None,
    steps: int | None,
    temperature: float,
    device: str,
    doubt: Doubt,
    draws: int,
    connect_s: float,
) -> Batch:
    """Raises InhabitError for a pack or sidecar that is not there, Error for arguments that do not go along."""
    if endpoint is not None:
        how = {"steps": steps, "temperature": temperature, "doubt": doubt, "draws": draws}
        batch = RemoteBatch.open(endpoint, count, timeout_s=connect_s, **how)
        if pack is not None and Path(pack).name != batch.info.name:
            batch.close()
            raise Error(f"Expected a sidecar of {Path(pack).name!r}, got one of {batch.info.name!r} - at {endpoint}")
        return batch
    if pack is None:
        raise Error('Expected pack="NAME or FOLDER" or endpoint="tcp://...": only packs can be dreamt in a batch')
    find_wanted(pack)
    module = in_process.dreams("dreams")
    dreams = module.open_dreams(pack, module.DreamConfig(steps=steps, temperature=temperature, device=device))
    return in_process.dreams("batch").DreamBatch(dreams, count, doubt=doubt, draws=draws)
