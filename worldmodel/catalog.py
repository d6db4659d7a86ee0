"""From a name to a world: "toy", "isle", "doom:SCENARIO" (the real game), a shipped pack or a pack's folder.

No torch is imported with this file.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import msgspec

from inhabit.bridge.errors import InhabitError, MissingExtraError
from inhabit.bridge.world import World, WorldInfo

PACKS = Path(__file__).parent / "packs"
DEFAULT_PACK = "doom-center"
WORLD_JSON = "world.json"
RECORDING_JSON = "meta.json"
PACK_FORMAT = 1

GAMES = {"doom": "doom:defend_the_center", "gym": "gym:CartPole-v1"}
"""Kinds of real games, each with one of them."""


class PackError(InhabitError):
    """A pack is missing, damaged, or made by a newer version."""


class PackHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The part of world.json that can be read without torch."""

    format: Annotated[int, msgspec.Meta(ge=1)]
    info: WorldInfo
    source: str = ""
    """What it was learnt from, such as "doom:defend_the_center"."""
    steps: int = 2
    training: dict[str, Any] = {}
    quality: dict[str, Any] = {}


def shipped_packs() -> tuple[str, ...]:
    """Names of the packs that come with the library."""
    return tuple(sorted(path.parent.name for path in PACKS.glob(f"*/{WORLD_JSON}")))


def find_pack(spec: str) -> Path:
    """The folder of a pack given by name or path. Raises PackError when there is none."""
    for folder in (PACKS / spec, Path(spec)):
        if (folder / WORLD_JSON).is_file():
            return folder
    raise PackError(_no_pack(spec))


def read_header(folder: Path) -> PackHeader:
    """Read what a pack says of itself. Raises PackError for a damaged world.json or a newer format."""
    path = folder / WORLD_JSON
    if not path.is_file():
        raise PackError(f"Expected a pack (a folder with a {WORLD_JSON}), got {folder}")
    try:
        header = msgspec.json.decode(path.read_bytes(), type=PackHeader)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PackError(f"Expected a valid {WORLD_JSON}, got: {error} - at {path}") from error
    if header.format > PACK_FORMAT:
        raise PackError(f"Expected pack format up to {PACK_FORMAT}, got {header.format} - at {path}; update inhabit")
    return header


def open_world(spec: str, *, device: str = "auto", steps: int | None = None) -> World:
    """Open a world in this process.

    Args:
        spec: "toy" (no model), "isle" or "isle:PROMPT" (our simulator), "doom:SCENARIO" (the real game), the name of a
            shipped pack, or a pack's folder. After a pack's name or isle's, "@WIDTHxHEIGHT" asks for frames of another
            size.
        device: where a pack runs: "auto", "cpu" or "cuda".
        steps: sampling steps of a pack, 1, 2 or 4; None takes the pack's own choice.
    """
    if spec == "toy":
        from inhabit.bridge.toy import ToyWorld

        return ToyWorld(words=True, sound_rate_hz=16_000)
    kind, _, name = spec.partition(":")
    plain, size = with_size(kind)
    if plain == "isle":
        require_torch()
        from inhabit.worldmodel.worlds.isle.world import IsleConfig, IsleWorld

        width, height = size or (128, 128)
        return IsleWorld(IsleConfig(prompt=name.strip(), width=width, height=height))
    if kind == "doom" and name:
        from inhabit.worldmodel.worlds.doom import DoomWorld

        return DoomWorld(name)
    if kind == "gym" and name:
        from inhabit.worldmodel.worlds.gym import GymWorld

        return GymWorld(name)
    spec, size = with_size(spec)
    folder = find_pack(spec)
    require_torch()
    from inhabit.worldmodel.neural_world import NeuralWorld

    world = NeuralWorld.open(folder, device=device, size=size)
    world.tune()
    if steps is not None:
        world.configure(steps=steps)
    return world


def open_like(spec: str, pack: str) -> World:
    """Open a real game, "doom:SCENARIO" or "gym:ENV_ID", at the size and rate of a pack's world."""
    from inhabit.worldmodel.dreams.real import open_source

    return open_source(spec, read_header(find_pack(with_size(pack)[0])).info)


def is_real(spec: str) -> bool:
    """Whether a name means a game or a simulator itself, not a dream of one."""
    kind = spec.partition(":")[0]
    return with_size(kind)[0] == "isle" or (kind in ("doom", "gym") and ":" in spec)


def check_spec(spec: str) -> None:
    """Raise InhabitError for what open_world() could not open, as far as that is known without opening it."""
    kind, _, name = spec.partition(":")
    if spec == "toy":
        return
    if kind == "doom" and name:
        _require("doom", "vizdoom", "h5py")
        from inhabit.worldmodel.worlds.doom import scenario_file

        scenario_file(name)
    elif kind == "gym" and name:
        _require("gym", "gymnasium")
    else:
        if with_size(kind)[0] != "isle":
            find_pack(with_size(spec)[0])
        require_torch()


def world_name(spec: str) -> str:
    """What a world calls itself, as in a keys file, without opening it. Raises PackError."""
    kind, _, name = spec.partition(":")
    if spec == "toy" or with_size(kind)[0] == "isle":
        return with_size(kind)[0]
    if kind == "doom" and name:
        return f"doom-{name.replace('_', '-')}"
    if kind == "gym" and name:
        return name.split("/")[-1].lower()[:64]
    return read_header(find_pack(with_size(spec)[0])).info.name


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Ask for the nearest of what is known, as in " - did you mean 'doom-center'?"; "" when nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" - did you mean {near[0]!r}?" if near else ""


def _no_pack(spec: str) -> str:
    """Why a name is no pack, and the way out."""
    kind, colon, name = spec.partition(":")
    if kind in GAMES and not name:
        return (
            f"Expected {'what follows the colon' if colon else 'a pack'}, such as {GAMES[kind]} "
            f"(the real game), got {spec!r} - `inhabit worlds` lists what there is"
        )
    folder = Path(spec)
    if spec and (folder / RECORDING_JSON).is_file():
        return (
            f"Expected a pack, got a recording - at {folder}; learn a world from it first: "
            f"`inhabit train {folder} -o packs/{folder.name}`"
        )
    if folder.suffix == ".trace" and folder.is_file():
        return f"Expected a pack, got a trace - at {folder}; `inhabit replay {folder}` plays it back"
    shipped = shipped_packs()
    got = f"{spec!r}, a folder without one" if spec and folder.is_dir() else repr(spec)
    near = did_you_mean(with_size(spec)[0], (*shipped, "toy", "isle")) or " -"
    return (
        f"Expected a pack ({', '.join(shipped) or 'none are shipped'}) or a folder with a {WORLD_JSON}, got {got}"
        f"{near} `inhabit worlds` lists what there is"
    )


def with_size(spec: str) -> tuple[str, tuple[int, int] | None]:
    """Split "NAME@WIDTHxHEIGHT"; without such an ending the size is None."""
    name, at, size = spec.rpartition("@")
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
    return (name, (int(match[1]), int(match[2]))) if at and match else (spec, None)


def require_torch() -> None:
    """Raise MissingExtraError, with the line that installs it, when torch is not there."""
    _require("model", "torch", "safetensors")


def _require(extra: str, *modules: str) -> None:
    import importlib.util

    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(module, extra)
