"""The game that a pack was learnt from, seen as the pack sees it: its size, its rate, and if wanted its latents."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from inhabit.bridge.errors import WorldError
from inhabit.bridge.world import World, WorldInfo
from inhabit.worldmodel.catalog import read_header

REALS = ("doom:SCENARIO", "gym:ENV_ID")


def open_real(folder: Path, source: str = "") -> World:
    """Open the real game of a pack, or another `source` as that pack would see it. Raises WorldError, PackError."""
    header = read_header(folder)
    return open_source(source or header.source, header.info)


def open_source(source: str, info: WorldInfo) -> World:
    """Open a game at a world's size and rate. Raises WorldError for one that cannot be played so."""
    kind, _, name = source.partition(":")
    if kind == "doom" and name:
        from inhabit.worldmodel.worlds.doom import DoomConfig, DoomWorld, tics_of

        tics = tics_of(info.rate_hz)
        heard = bool(info.sound_rate_hz)
        return DoomWorld(name, DoomConfig(width=info.width, height=info.height, tics=tics, sound=heard, labels=False))
    if kind == "gym" and name:
        from inhabit.worldmodel.worlds.gym import GymConfig, GymWorld

        return GymWorld(name, GymConfig(width=info.width, height=info.height))
    raise WorldError(f"Expected a game that can be played here ({', '.join(REALS)}), got {source!r}")


class Codec:
    """Real frames in a pack's own language, on the CPU."""

    def __init__(self, folder: Path):
        from inhabit.worldmodel.pack import load_pack

        pack = load_pack(folder)
        self.latent_shape: tuple[int, ...] = tuple(pack.starts.latents.shape[2:])
        self._network = pack.autoencoder.eval().requires_grad_(False)

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Shapes: (n, h, w, 3) uint8 -> (n, c, h', w') float32."""
        import torch

        from inhabit.worldmodel.omni.autoencoder import to_float

        with torch.inference_mode():
            return self._network.encode(to_float(torch.from_numpy(np.ascontiguousarray(frames)))).numpy()
