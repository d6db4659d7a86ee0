"""Say what will run here and how fast, what is missing, and the line that mends it. Downloads and starts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from inhabit.bridge.report import make_room, tidy, write_report
from inhabit.worldmodel.catalog import shipped_packs
from inhabit.worldmodel.evaluate.doctor import EXTRAS, diagnose

MARKS = {"good": "[green]yes[/]", "missing": "[yellow]no[/]", "broken": "[red]broken[/]"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to look at."""

    packs: tyro.conf.Positional[tuple[str, ...]] = ()
    """Packs to run for a moment: names or folders. All shipped ones when none is given."""

    seconds: float = 1.5
    """How long each pack runs at each number of sampling steps, s."""

    report: Path | None = None
    """Write everything to this JSON file."""


def run(options: Options) -> None:
    """Look, tell, and write the report if one was asked for."""
    if options.report is not None:
        make_room(options.report)
    said = tidy(diagnose(options.packs, seconds=options.seconds))
    if options.report is not None:
        write_report(options.report, said)
    _print(said)


def missing_extras(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """The optional parts that are not here, by the name that pip knows; "dev" has all others in it."""
    names = [check["name"].partition(":")[0] for check in checks if check["health"] == "missing"]
    return [name for name in names if name in EXTRAS and name != "dev"]


def _print(said: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("what", "here", "found", box=None, pad_edge=False)
    for check in said["checks"]:
        table.add_row(check["name"], MARKS[check["health"]], check["said"])
    console.print(table)
    fixes = [check for check in said["checks"] if check["fix"]]
    if fixes:
        console.print("\n[bold]What would mend it[/]")
    for check in fixes:
        console.print(f"  {check['name'].partition(':')[0]}: ", end="")
        console.print(check["fix"], markup=False, highlight=False, soft_wrap=True)
    if missing := missing_extras(said["checks"]):
        line = f'pip install "inhabit[{",".join(missing)}]"'
        console.print("  all of these extras at once: ", end="")
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print()
    _print_packs(console, said["packs"])


def _print_packs(console: Any, packs: list[Mapping[str, Any]]) -> None:
    from rich.table import Table

    if not packs:
        missing = "no pack is shipped" if not shipped_packs() else "no pack was looked at"
        console.print(f"{missing}; `inhabit train` makes one, `inhabit doctor FOLDER` says how it runs here")
        return
    counts = sorted({steps for pack in packs for steps in pack["fps"]}, key=int)
    table = Table("world", "wants", *(f"{steps} steps" for steps in counts), "verdict", box=None, pad_edge=False)
    for pack in packs:
        rates = [f"{pack['fps'][steps]:.0f} fps" if steps in pack["fps"] else "-" for steps in counts]
        table.add_row(pack["name"], f"{pack['rate_hz']:g} fps", *rates, pack["said"])
    console.print(table)
