"""World packs: a folder with world.json and safetensors. Written beside and renamed; no pickle, ever."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.catalog import PACK_FORMAT, WORLD_JSON, PackError, read_header
from inhabit.worldmodel.omni.autoencoder import Autoencoder, AutoencoderConfig
from inhabit.worldmodel.omni.dynamics import Dynamics, DynamicsConfig

STORED = torch.float16
"""Weights are averages of many steps: half precision keeps what matters of them, and a pack small."""


class WorldFile(msgspec.Struct, frozen=True, kw_only=True):
    """world.json, whole."""

    format: Annotated[int, msgspec.Meta(ge=1)] = PACK_FORMAT
    info: WorldInfo
    source: str = ""
    autoencoder: AutoencoderConfig
    dynamics: DynamicsConfig
    steps: int = 2
    """Sampling steps that the pack is played with unless told otherwise."""
    training: dict[str, Any] = {}
    """What was trained, on what, for how long."""
    quality: dict[str, Any] = {}
    """What the evaluation measured."""


@dataclass(frozen=True, kw_only=True)
class Starts:
    """Real moments in which sessions begin."""

    latents: Tensor
    """(n, t, c, h, w) float16."""

    actions: Tensor
    """(n, t, a) float32."""

    def __len__(self) -> int:
        return len(self.latents)


@dataclass(frozen=True, kw_only=True)
class Pack:
    """A learnt world in memory."""

    file: WorldFile
    autoencoder: Autoencoder
    dynamics: Dynamics
    starts: Starts


def load_pack(folder: Path) -> Pack:
    """Read a pack. Raises PackError that names what is missing or damaged."""
    read_header(folder)  # a missing or foreign world.json gets its own message
    path = folder / WORLD_JSON
    try:
        file = msgspec.json.decode(path.read_bytes(), type=WorldFile)
    except msgspec.DecodeError as error:
        raise PackError(f"Expected a valid {WORLD_JSON}, got: {error} - at {path}") from error
    autoencoder, dynamics = Autoencoder(file.autoencoder), Dynamics(file.dynamics)
    fill(autoencoder, folder / "autoencoder.safetensors")
    fill(dynamics, folder / "dynamics.safetensors")
    starts = read_tensors(folder / "starts.safetensors")
    if set(starts) != {"latents", "actions"} or len(starts["latents"]) == 0:
        raise PackError(f"Expected latents and actions, got {sorted(starts)} - at {folder / 'starts.safetensors'}")
    return Pack(file=file, autoencoder=autoencoder, dynamics=dynamics, starts=Starts(**starts))


def save_pack(pack: Pack, folder: Path) -> None:
    """Write a pack whole, or not at all: a reader sees the old one or the new one."""
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write_tensors(half(pack.autoencoder), partial / "autoencoder.safetensors")
    write_tensors(half(pack.dynamics), partial / "dynamics.safetensors")
    write_tensors(
        {"latents": pack.starts.latents.half(), "actions": pack.starts.actions.float()}, partial / "starts.safetensors"
    )
    text = msgspec.json.format(msgspec.json.encode(pack.file), indent=2)
    (partial / WORLD_JSON).write_bytes(text + b"\n")
    replaced = folder.with_name(f"{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(replaced)
    partial.rename(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def half(network: nn.Module) -> dict[str, Tensor]:
    """A network's tensors as they are stored."""
    return {
        name: value.to(STORED) if value.is_floating_point() else value for name, value in network.state_dict().items()
    }


def write_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write safetensors beside and rename."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_bytes(save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}))
    partial.replace(path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read safetensors. Raises PackError for a missing or damaged file."""
    if not path.is_file():
        raise PackError(f"Expected the file {path.name}, it is missing - at {path}; train or download the pack again")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise PackError(f"Expected safetensors, got a damaged file ({error}) - at {path}") from error


def fill(network: nn.Module, path: Path) -> None:
    """Load weights into a network. Raises PackError when they are another network's."""
    tensors = read_tensors(path)
    wanted = network.state_dict()
    for name, value in wanted.items():
        if name not in tensors or tensors[name].shape != value.shape:
            got = tuple(tensors[name].shape) if name in tensors else "nothing"
            raise PackError(f"Expected {name} of shape {tuple(value.shape)}, got {got} - at {path}")
        if not torch.isfinite(tensors[name]).all():
            raise PackError(f"Expected finite weights, got NaN or infinity in {name} - at {path}")
    network.load_state_dict({name: tensors[name].to(value.dtype) for name, value in wanted.items()})
