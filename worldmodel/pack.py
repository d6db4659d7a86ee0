"""World packs: a folder with world.json and safetensors. Written beside and renamed; no pickle, ever."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.catalog import PACK_FORMAT, WORLD_JSON, PackError, read_header
from inhabit.worldmodel.memory.atlas import Atlas, AtlasConfig
from inhabit.worldmodel.memory.props import Props, PropsConfig
from inhabit.worldmodel.memory.recall import Recall
from inhabit.worldmodel.memory.vistas import Vistas, VistasConfig
from inhabit.worldmodel.omni.air import Air, AirConfig
from inhabit.worldmodel.omni.autoencoder import Autoencoder, AutoencoderConfig
from inhabit.worldmodel.omni.block import DynamicsConfig
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.edit import Edit, EditConfig
from inhabit.worldmodel.omni.flight import Flight, FlightConfig
from inhabit.worldmodel.omni.foley import Foley, FoleyConfig
from inhabit.worldmodel.omni.motion import Motion
from inhabit.worldmodel.omni.sound import SoundCodec

PARTS = ("motion", "recall", "sound", "foley", "edit", "vistas", "atlas", "flight", "air", "props")
"""What not every world has."""

STORED = torch.float16
"""Weights are averages of many steps: half precision keeps what matters of them, and a pack small."""


class WorldFile(msgspec.Struct, frozen=True, kw_only=True):
    """world.json, whole."""

    format: Annotated[int, msgspec.Meta(ge=1)] = PACK_FORMAT
    info: WorldInfo
    source: str = ""
    autoencoder: AutoencoderConfig
    dynamics: DynamicsConfig
    edit: EditConfig | None = None
    """What carries words out on a picture; None for a world that does not listen, or paints what they say by itself."""
    foley: FoleyConfig | None = None
    """What makes the sound; None for a silent world, or one whose dynamics guesses it."""
    vistas: VistasConfig | None = None
    """What comes into view at the sides; None for a world that paints it."""
    atlas: AtlasConfig | None = None
    """Pictures of all that there is, with their poses; None for a world that is not always the same place."""
    flight: FlightConfig | None = None
    """Where goes what is held in the view; None for a world in which it stays there."""
    air: AirConfig | None = None
    """What falls before the world, such as rain; None where it is a part of the picture."""
    props: PropsConfig | None = None
    """Things that come when words ask for them; None where the edit has to paint them."""
    vocabulary: tuple[str, ...] = ()
    """Words that it was told while it learnt."""
    start_prompts: tuple[str, ...] = ()
    """What held in each of its starts."""
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

    sound: Tensor | None = None
    """(n, t, latent) float16 sound latents; None in a silent world."""

    pose: Tensor | None = None
    """(n, 5) of the first frame of each, see memory.pose; None in a world without recall."""

    prompts: tuple[str, ...] = ()
    """What held in each of them; empty in a world without words."""

    def __len__(self) -> int:
        return len(self.latents)


@dataclass(frozen=True, kw_only=True)
class Pack:
    """A learnt world in memory."""

    file: WorldFile
    autoencoder: Autoencoder
    dynamics: Dynamics
    starts: Starts
    motion: Motion | None = None
    recall: Recall | None = None
    sound: SoundCodec | None = None
    foley: Foley | None = None
    edit: Edit | None = None
    vistas: Vistas | None = None
    atlas: Atlas | None = None
    flight: Flight | None = None
    air: Air | None = None
    props: Props | None = None

    @property
    def parts(self) -> dict[str, nn.Module | None]:
        """What not every world has, by the name of its file."""
        return {name: getattr(self, name) for name in PARTS}

    @cached_property
    def weights_hash(self) -> str:
        """Tells packs apart that have the same name: eight digits that depend on what the dynamics learnt."""
        digest = hashlib.blake2b(digest_size=4)
        for value in half(self.dynamics).values():
            digest.update(value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def read_file(folder: Path) -> WorldFile:
    """What a pack is made of, without its weights. Raises PackError for a missing or damaged world.json."""
    read_header(folder)  # a missing or foreign world.json gets its own message
    path = folder / WORLD_JSON
    try:
        return msgspec.json.decode(path.read_bytes(), type=WorldFile)
    except msgspec.DecodeError as error:
        raise PackError(f"Expected a valid {WORLD_JSON}, got: {error} - at {path}") from error


def load_pack(folder: Path) -> Pack:
    """Read a pack. Raises PackError that names what is missing or damaged."""
    file = read_file(folder)
    autoencoder, dynamics = Autoencoder(file.autoencoder), Dynamics(file.dynamics)
    fill(autoencoder, folder / "autoencoder.safetensors")
    fill(dynamics, folder / "dynamics.safetensors")
    parts = {
        "motion": file.dynamics.motion and Motion(file.dynamics.motion),
        "recall": file.dynamics.recall and Recall(file.dynamics.recall),
        "sound": file.dynamics.sound and SoundCodec(file.dynamics.sound),
        "foley": file.foley and Foley(file.foley),
        "edit": file.edit and Edit(file.edit),
        "vistas": file.vistas and Vistas(file.vistas),
        "atlas": file.atlas and Atlas(file.atlas),
        "flight": file.flight and Flight(file.flight),
        "air": file.air and Air(file.air),
        "props": file.props and Props(file.props),
    }
    for name, network in parts.items():
        if network is not None:
            fill(network, folder / f"{name}.safetensors")
    starts = _load_starts(file, folder)
    return Pack(file=file, autoencoder=autoencoder, dynamics=dynamics, starts=starts, **parts)


def _load_starts(file: WorldFile, folder: Path) -> Starts:
    path = folder / "starts.safetensors"
    starts = read_tensors(path)
    wanted = {"latents", "actions"} | ({"sound"} if file.dynamics.sound else set())
    wanted |= {"pose"} if file.dynamics.recall else set()
    if set(starts) != wanted or len(starts["latents"]) == 0:
        raise PackError(f"Expected {', '.join(sorted(wanted))}, got {sorted(starts)} - at {path}")
    if file.start_prompts and len(file.start_prompts) != len(starts["latents"]):
        got = f"{len(file.start_prompts)} for {len(starts['latents'])} starts"
        raise PackError(f"Expected a start prompt for each start, got {got} - at {folder / WORLD_JSON}")
    return Starts(prompts=file.start_prompts, **starts)


def save_pack(pack: Pack, folder: Path) -> None:
    """Write a pack whole, or not at all: a reader sees the old one or the new one."""
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write_tensors(half(pack.autoencoder), partial / "autoencoder.safetensors")
    write_tensors(half(pack.dynamics), partial / "dynamics.safetensors")
    starts = {"latents": pack.starts.latents.half(), "actions": pack.starts.actions.float()}
    if pack.starts.sound is not None:
        starts["sound"] = pack.starts.sound.half()
    if pack.starts.pose is not None:
        starts["pose"] = pack.starts.pose.float()
    write_tensors(starts, partial / "starts.safetensors")
    for name, network in pack.parts.items():
        if network is not None:
            write_tensors(half(network), partial / f"{name}.safetensors")
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
        name: value.to(STORED) if value.dtype == torch.float32 else value
        for name, value in network.state_dict().items()
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


def fill(network: nn.Module, path: Path, *, share: float = 1.0) -> None:
    """Load weights into a network. Raises PackError when they are another network's.

    Args:
        share: of the network's weights that must be there; the others stay as they are.
    """
    tensors = read_tensors(path)
    wanted = network.state_dict()
    fits = {name for name, value in wanted.items() if name in tensors and tensors[name].shape == value.shape}
    if sum(wanted[name].numel() for name in fits) >= share * sum(value.numel() for value in wanted.values()):
        wanted = {name: value for name, value in wanted.items() if name in fits}
    for name, value in wanted.items():
        if name not in fits:
            got = tuple(tensors[name].shape) if name in tensors else "nothing"
            raise PackError(f"Expected {name} of shape {tuple(value.shape)}, got {got} - at {path}")
        if not torch.isfinite(tensors[name]).all():
            raise PackError(f"Expected finite weights, got NaN or infinity in {name} - at {path}")
    network.load_state_dict({name: tensors[name].to(value.dtype) for name, value in wanted.items()}, strict=False)
