"""From a name to a world: "toy", "doom:SCENARIO" (the real game), a shipped pack or a pack's folder."""

from __future__ import annotations

from pathlib import Path

from inhabit.bridge.errors import WorldError
from inhabit.bridge.world import World

PACKS = Path(__file__).parent / "packs"
DEFAULT_PACK = "doom-center"


def shipped_packs() -> tuple[str, ...]:
    """Names of the packs that come with the library."""
    return tuple(sorted(path.parent.name for path in PACKS.glob("*/world.json")))


def find_pack(spec: str) -> Path:
    """The folder of a pack given by name or path. Raises WorldError when there is none."""
    for folder in (PACKS / spec, Path(spec)):
        if (folder / "world.json").is_file():
            return folder
    known = ", ".join(shipped_packs()) or "none are shipped"
    raise WorldError(f"Expected a pack ({known}) or a folder with a world.json, got {spec!r}")


def open_world(spec: str) -> World:
    """Open a world in this process.

    Args:
        spec: "toy" (no model), "doom:SCENARIO" (the real game), the name of a shipped pack, or a pack's folder.
    """
    if spec == "toy":
        from inhabit.bridge.toy import ToyWorld

        return ToyWorld()
    if spec.startswith("doom:"):
        from inhabit.worldmodel.worlds.doom import DoomWorld

        return DoomWorld(spec.removeprefix("doom:"))
    folder = find_pack(spec)
    from inhabit.worldmodel.engine import NeuralWorld

    return NeuralWorld.open(folder)
