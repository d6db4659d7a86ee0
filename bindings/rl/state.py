"""States of a session as a file-like value: changing what noise a kept neural world goes on with. No torch here."""

from __future__ import annotations

import hashlib

import numpy as np
from gymnasium.error import DependencyNotInstalled, Error

KEY, LATENTS, PROMPT = "key", "latents", "prompt"


def read_latents(saved: bytes) -> np.ndarray | None:
    """The newest frame's latents in what World.save() of a neural world gave, (c, h, w) float32; None in any other."""
    tensors = _tensors(saved)
    return None if tensors is None or LATENTS not in tensors else tensors[LATENTS][0].astype(np.float32)


def read_key(saved: bytes) -> int | None:
    """Where its noise comes from; None where it is not a neural world's."""
    tensors = _tensors(saved)
    return None if tensors is None or KEY not in tensors else int(tensors[KEY][0])


def read_prompt(saved: bytes) -> str:
    """What a neural world is told, empty where it is not one that listens."""
    tensors = _tensors(saved)
    return "" if tensors is None or PROMPT not in tensors else bytes(tensors[PROMPT].tolist()).decode()


def with_key(saved: bytes, key: int) -> bytes:
    """The same state with another source of noise; a world that is not neural has none and stays as it is."""
    tensors = _tensors(saved)
    if tensors is None or KEY not in tensors:
        return saved
    from safetensors.numpy import save

    return save({**tensors, KEY: np.array([key], np.int64)})


def mixed(value: int, salt: int) -> int:
    """A number below 2**62 that depends on both, as the neural world mixes its seeds."""
    digest = hashlib.blake2b(f"{value}/{salt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 2


def _tensors(saved: bytes) -> dict[str, np.ndarray] | None:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load
    except ImportError as error:
        raise DependencyNotInstalled('safetensors is not installed, run `pip install "inhabit[gym]"`') from error
    try:
        return load(saved)
    except (SafetensorError, ValueError, KeyError) as error:
        if "not supported" in str(error):
            raise Error(f"Expected a state in whole or single precision, got: {error}") from error
        return None
