"""Run an experiment whose result others can check. There is one: take-cover, agents trained in a dream, tested in Doom.

`inhabit experiment take-cover --scale smoke` shows in minutes that everything runs; its figures mean nothing.
Stopped or broken off, the same command goes on with the stage that it was in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from inhabit.worldmodel.catalog import require_torch
from inhabit.worldmodel.experiments.config import Scale, take_cover


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to run, and how much of it."""

    name: tyro.conf.Positional[Literal["take-cover"]] = "take-cover"
    """The experiment."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("runs/take-cover")
    """Folder for recordings, the world, policies, report.json and plots.png."""

    scale: Scale = "cpu"
    """smoke (minutes), cpu (hours on two cores) or gpu (a larger world, and more of everything)."""

    report: Path | None = None
    """Also write the report to this JSON file."""

    episodes: int | None = None
    """Real episodes that the world is learnt from; by default the scale's."""

    players: tuple[str, ...] = ()
    """Who plays them: explorer, random, scripted; by default all three."""

    world: str = ""
    """A world of Take Cover to begin with, a pack's name or folder, in place of one that is learnt first."""

    world_minutes: float | None = None
    """Length of the world's first training; by default the scale's. To refine it takes as long in proportion."""

    rounds: int | None = None
    """How often the world is refined on what its policies see in the real game, 0 or more; by default the
    scale's."""

    imagined_steps: int | None = None
    """Steps that each policy learns from; by default the scale's."""

    seeds: int | None = None
    """Policies for each temperature; by default the scale's."""

    temperatures: tuple[float, ...] = ()
    """Temperatures to learn at; by default the scale's."""

    main_temperature: float | None = None
    """The one that the headline figures are of; by default the scale's."""

    gate: float | None = None
    """Share of the objects that the world's codec must not lose, 0 to 1; by default the scale's."""

    only_record: bool = False
    """End after the first stage, the real play that the world is learnt from."""

    workers: int = 0
    """Processes that play the real game; 0 means one for each core."""

    device: str = "auto"
    """auto, cpu or cuda."""


def run(options: Options) -> None:
    """Do what is not done yet, print the main figures, write the report and its picture."""
    require_torch()
    from inhabit.bridge.report import write_report
    from inhabit.worldmodel.experiments.plots import draw
    from inhabit.worldmodel.experiments.take_cover import TakeCover
    from inhabit.worldmodel.train.display import Display

    config = take_cover(options.scale, options.out, workers=options.workers or os.cpu_count() or 1)
    if options.world_minutes is not None:
        refine = config.refine_minutes * options.world_minutes / config.world_minutes
        config = replace(config, world_minutes=options.world_minutes, refine_minutes=refine)
    if options.imagined_steps is not None:
        config = replace(config, ppo=replace(config.ppo, steps=options.imagined_steps))
    if options.episodes is not None:
        config = replace(config, episodes=options.episodes)
    if options.seeds is not None:
        config = replace(config, seeds=options.seeds)
    told = {
        "players": options.players or None,
        "temperatures": options.temperatures or None,
        "main_temperature": options.main_temperature,
        "rounds": options.rounds,
        "gate": options.gate,
    }
    chosen = {name: value for name, value in told.items() if value is not None}
    config = replace(config, device=options.device, world=options.world, **chosen)
    experiment = TakeCover(config, make_dreams, Display())
    if options.only_record:
        experiment.record()
        return
    report = experiment.run()
    for path in (options.out / "report.json", options.report):
        if path is not None:
            write_report(path, report)
    picture = draw(report, options.out / "plots.png")
    print_report(report)
    print(f"{options.out / 'report.json'} and {picture}")


def make_dreams(pack: Path, count: int, *, temperature: float, horizon: int, steps: int, device: str) -> Any:
    """A batch of dreams as the experiment's policies learn in it."""
    from inhabit.bindings.vector_env import make_vector_env

    return make_vector_env(
        count, pack=pack, obs="latent", arrays="torch", autoreset_mode="SameStep",
        temperature=temperature, horizon=horizon, steps=steps, device=device,
    )  # fmt: skip


def print_report(report: Mapping[str, Any]) -> None:
    """The main figures as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "figure", "what it means", title="Take Cover, dreamt", title_justify="left")
    table.add_row("random", _tics(report["random"]), "the floor: real survival, tics, 95 %")
    for name, told in report["dream"].items():
        mark = ", the headline" if float(name) == report["main_temperature"] else ""
        said = f"learnt in the dream at temperature {name}{mark}; imagines {told['imagined_mean_tics']:.0f}"
        table.add_row(f"dream, T {name}", _tics(told), said)
    table.add_row("real", _tics(report["real"]), "learnt in Doom from as many steps")
    for name, meaning in (
        ("transfer_ratio", "share of that gain over chance; 1 is all of it"),
        ("exploitation_gap", "imagined minus real survival, tics"),
        ("rank_correlation", "of dreamt and real survival over checkpoints"),
        ("imagined_steps_per_s", f"batch of {report['config']['ppo']['envs']}"),
    ):
        table.add_row(name, _said(report[name]), meaning)
    endings = report["termination"]
    table.add_row("termination", f"{_said(endings['precision'])} / {_said(endings['recall'])}", "precision / recall")
    Console().print(table)


def _tics(told: Mapping[str, Any]) -> str:
    low, high = told["ci95"]
    return f"{told['mean_tics']:.0f} ({low:.0f} to {high:.0f})"


def _said(value: float | None) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"
