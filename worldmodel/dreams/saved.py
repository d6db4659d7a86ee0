"""What World.save() of a neural world gave, read without torch: a client of a sidecar may look into it too."""

from __future__ import annotations

import numpy as np

from inhabit.bridge.errors import MissingExtraError

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


def _tensors(saved: bytes) -> dict[str, np.ndarray] | None:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load
    except ImportError as error:
        raise MissingExtraError("safetensors", "gym") from error
    try:
        return load(saved)
    except (SafetensorError, ValueError, KeyError):
        return None
