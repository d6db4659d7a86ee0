"""List the worlds that can be opened: the packs that are shipped, and the games that are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.report import tidy, write_report
from inhabit.worldmodel.catalog import PackHeader, find_pack, read_header, shipped_packs


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to list."""

    packs: tyro.conf.Positional[tuple[str, ...]] = ()
    """Packs to tell of: names or folders. All shipped ones when none is given."""

    report: Path | None = None
    """Write the list to this JSON file."""


def run(options: Options) -> None:
    """List packs, then everything else that open_world() takes."""
    packs = [describe(find_pack(spec)) for spec in options.packs or shipped_packs()]
    others = games()
    if options.report is not None:
        write_report(options.report, {"packs": packs, "games": others})
    _print(packs, others)


def describe(folder: Path) -> dict[str, Any]:
    """What a pack says of itself, and how much it weighs. Raises PackError for a damaged one."""
    header = read_header(folder)
    weight = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    return tidy(
        {
            "name": header.info.name,
            "title": header.info.title,
            "size_px": [header.info.width, header.info.height],
            "rate_hz": header.info.rate_hz,
            "steps": header.info.steps,
            "plays_with": header.steps,
            "source": header.source,
            "megabytes": weight / 1e6,
            "quality": _quality(header),
            "licence": header.info.licence,
        }
    )


def games() -> list[dict[str, str]]:
    """What else can be opened, each with what it is or the line that installs it."""
    found = [{"name": "toy", "said": "a square that the arrows move; needs no model"}]
    isle = "our simulator, an island that listens to words; isle@160x96:PROMPT for another size, and to begin as said"
    torch = importlib.util.find_spec("torch") is not None
    found.append({"name": "isle", "said": isle if torch else f'{isle}: pip install "inhabit[model]"'})
    if importlib.util.find_spec("vizdoom") is None:
        found.append({"name": "doom:SCENARIO", "said": 'the real Doom: pip install "inhabit[doom]"'})
    else:
        found += _doom_scenarios()
    gym = importlib.util.find_spec("gymnasium") is not None
    said = "any Gymnasium environment with an RGB render, such as gym:CartPole-v1"
    found.append({"name": "gym:ENV_ID", "said": said if gym else f'{said}: pip install "inhabit[gym]"'})
    return found


def _doom_scenarios() -> list[dict[str, str]]:
    from inhabit.worldmodel.worlds.doom import scenarios

    try:
        return [{"name": f"doom:{name}", "said": "the real Doom"} for name in scenarios()]
    except InhabitError as error:  # it is installed but does not load
        return [{"name": "doom:SCENARIO", "said": str(error)}]


def _quality(header: PackHeader) -> dict[str, Any]:
    """The few figures that say most; absent where the pack was not measured."""
    measured: Mapping[str, Any] = header.quality
    objects, actions = measured.get("objects", {}), measured.get("actions", {})
    figures = {
        "skill_16": measured.get("skill", {}).get("16"),
        "object_recall_4": objects.get("recall", {}).get("4"),
        "action_fidelity": measured.get("action_fidelity"),
        "action_accuracy": actions.get("dreamt"),
        "drift": measured.get("drift"),
    }
    if isinstance(figures["drift"], Mapping):  # an isle's: in decibels, at a first and at a last frame
        figures["drift"] = None
    return {name: value for name, value in figures.items() if value is not None}


def _print(packs: list[dict[str, Any]], others: list[dict[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("world", "size", "rate", "steps", "MB", "learnt from", "quality", title="packs", title_justify="left")
    for pack in packs:
        width, height = pack["size_px"]
        steps = " ".join(f"[bold]{k}[/]" if k == pack["plays_with"] else str(k) for k in pack["steps"])
        table.add_row(
            pack["name"], f"{width}x{height}", f"{pack['rate_hz']:g}", steps, f"{pack['megabytes']:.1f}",
            pack["source"], _said(pack["quality"]),
        )  # fmt: skip
    if packs:
        console.print(table)
    else:
        console.print("no pack is shipped; `inhabit train RECORDING -o FOLDER` makes one")
    table = Table("world", "what", title="games, without a model", title_justify="left")
    for game in others:
        table.add_row(game["name"], game["said"].replace("[", "\\["))
    console.print(table)
    if strange := [pack["name"] for pack in packs if not pack["quality"]]:
        names = ", ".join(strange)
        console.print(
            f"Not measured: {names}. `inhabit eval PACK --write` measures a pack and keeps the figures in it."
        )
    console.print("Open one with `inhabit play WORLD` or inhabit.worldmodel.catalog.open_world(WORLD).")


def _said(quality: Mapping[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in quality.items()) or "not measured"
