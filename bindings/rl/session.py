"""Open one session of a world for an environment: a pack here, any other world here, or a sidecar. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from gymnasium.error import Error

from inhabit.bindings.rl import in_process
from inhabit.bindings.rl.registration import find_wanted
from inhabit.bridge.client import RemoteWorld
from inhabit.bridge.world import World


class Codec(Protocol):
    """Makes latents of real frames."""

    latent_shape: tuple[int, ...]

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Shapes: (n, h, w, 3) uint8 -> (n, c, h', w') float32."""
        ...


def open_session(
    *,
    pack: str | Path | None,
    world: str | World | None,
    endpoint: str | None,
    steps: int | None,
    temperature: float,
    device: str,
    connect_s: float,
) -> World:
    """One session, here or in a sidecar. Raises InhabitError, or Error for arguments that do not go along."""
    if pack is not None and world is not None:
        raise Error(f"Expected a pack or a world, got both: pack={str(pack)!r} and world={world!r}")
    if endpoint is not None:
        return _connect(endpoint, pack, steps=steps, temperature=temperature, connect_s=connect_s)
    if pack is not None:
        find_wanted(pack)
        module = in_process.dreams("dreams")
        return module.open_world(pack, module.DreamConfig(steps=steps, temperature=temperature, device=device))
    if temperature != 1:
        raise Error(f"Expected temperature=1 for a world that is not a pack, got {temperature!r}")
    if isinstance(world, str):
        opened = in_process.catalog().open_world(world, device=device)
    elif world is not None:
        opened = world
    else:
        raise Error('Expected pack="NAME or FOLDER", world="doom:SCENARIO" or endpoint="tcp://...", got none of them')
    if steps is not None:
        opened.configure(steps=steps)
    return opened


def open_codec(pack: str | Path | None) -> Codec | None:
    """What makes latents of real frames; None when nobody asks. Raises InhabitError for a pack that is not there."""
    if pack is None:
        return None
    folder = find_wanted(pack)
    in_process.catalog().require_torch()
    return in_process.real().Codec(folder)


def _connect(
    endpoint: str, pack: str | Path | None, *, steps: int | None, temperature: float, connect_s: float
) -> World:
    if temperature != 1:
        raise Error(
            f"Expected temperature=1 with a plain sidecar, got {temperature!r}: leave endpoint out, "
            f"or use make_vec with `inhabit envs`, which takes a temperature"
        )
    world = RemoteWorld(endpoint, client="inhabit-gymnasium", timeout_s=connect_s)
    if pack is not None and Path(pack).name != world.info.name:
        name = world.info.name
        world.close()
        raise Error(f"Expected a sidecar that serves {Path(pack).name!r}, got one of {name!r} - at {endpoint}")
    if steps is not None:
        world.configure(steps=steps)
    return world
