"""Measure how true a pack is to what it learnt from, on play that it has never seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.report import make_room, write_report
from inhabit.worldmodel.catalog import DEFAULT_PACK, find_pack, require_torch


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure, and on what."""

    pack: tyro.conf.Positional[str] = DEFAULT_PACK
    """A shipped pack's name or a pack's folder."""

    report: Path | None = None
    """Write all figures to this JSON file."""

    out: Path | None = None
    """Folder for plots and contact sheets."""

    steps: int = 0
    """Sampling steps a frame, 1, 2 or 4; 0 takes the pack's own choice."""

    seeds: str = "1000000:1000024"
    """Episodes to play anew and to dream of, FROM:TO without TO. Recordings count from 0: these are new to the pack."""

    recording: Path | None = None
    """Measure on this recording's held-out episodes instead of playing anew."""

    unseen: bool = False
    """The pack was trained on nothing of --recording: measure on all of it."""

    cache: Path | None = None
    """Where fresh play and judges are kept for the next time (some 300 MB); by default in the user's cache folder."""

    prompts: Path | None = None
    """Measure these prompts too, on a pack that was learnt from isle: a line each, the prompt, a tab, and what is to be
    found, such as time=night,object=tower,colour=red,count=2 (docs/quality.md)."""

    only: tuple[str, ...] = ()
    """Of a pack that was learnt from isle, measure only these: prompt, revisit, sound, physics, drift. Other figures of
    a --report that is there already stay in it."""

    modes: bool = False
    """Also compare the quality modes (turbo, balanced, fine); for an isle they always are."""

    device: str = "auto"
    """auto, cpu or cuda."""

    write: bool = False
    """Also write the figures into the pack's world.json, as its `quality`."""

    quick: bool = False
    """A small version, to see that everything runs; its figures are rough."""


def run(options: Options) -> None:
    """Measure, print the main figures, write what was asked for."""
    folder, seeds = find_pack(options.pack), parse_seeds(options.seeds)
    if options.report is not None:
        make_room(options.report)
    require_torch()
    from inhabit.worldmodel.evaluate.evaluation import EvalConfig, evaluate, write_quality
    from inhabit.worldmodel.train.display import Display

    config = EvalConfig(
        pack=folder,
        steps=options.steps,
        seeds=seeds,
        recording=options.recording,
        unseen=options.unseen,
        out=options.out,
        device=options.device,
        prompts=options.prompts,
        modes=options.modes,
        only=options.only,
    )
    if options.cache is not None:
        from dataclasses import replace

        config = replace(config, cache=options.cache)
    report = evaluate(config.quick() if options.quick else config, Display())
    if options.only and options.report is not None and options.report.is_file():
        import json

        known = json.loads(options.report.read_text())
        report = {**known, **report, "again": {**known.get("again", {}), **report["again"]}}
    if options.report is not None:
        write_report(options.report, report)
    if options.write:
        write_quality(folder, report)
    _print(report)


def parse_seeds(text: str) -> range:
    """Read "FROM:TO". Raises InhabitError for anything else."""
    try:
        first, last = (int(part) for part in text.split(":"))
    except ValueError as error:
        raise InhabitError(f"Expected seeds such as 1000000:1000024, got {text!r} - at --seeds") from error
    if not 0 <= first < last:
        raise InhabitError(f"Expected seeds from a smaller to a larger number, got {text!r} - at --seeds")
    return range(first, last)


def _print(report: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    title = f"{report['pack']['name']}, {report['steps']} steps a frame" if "pack" in report else None
    table = Table("measure", "figure", "what it means", title=title, title_justify="left")
    for row in _rows(report) if "pack" in report else _isle_rows(report):
        table.add_row(*row)
    Console().print(table)
    if "seeds" in report and not report["seeds"]["held_out"]:
        Console(stderr=True).print("no episode of this recording is held out: the pack may have been trained on them")


def _rows(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    actions = report["actions"]
    rows = [("codec PSNR", f"{_said(report['codec']['psnr_db'], 1)} dB", "pictures through the codec alone")]
    rows += [
        (f"skill, {h} frames", _said(value), "1 perfect, 0 a still picture") for h, value in report["skill"].items()
    ]
    rows.append(
        ("action fidelity", _said(report["action_fidelity"]), f"buttons read: {_said(actions['dreamt'])} dreamt, "
         f"{_said(actions['real'])} real, 0.5 chance")
    )  # fmt: skip
    if "objects" in report:
        objects = report["objects"]
        rows += [
            (f"objects, {h} frames", f"{_said(value)} / {_said(objects['precision'][h])}",
             f"recall / precision; {_said(objects['ceiling'])} through the codec")
            for h, value in objects["recall"].items()
        ]  # fmt: skip
    rows += _isle_rows(report)
    for name, mode in report.get("modes", {}).items():
        skill = ", ".join(f"{_said(value)} after {h}" for h, value in mode["skill"].items())
        rows.append((name, f"{_said(mode['fps'], 1)} fps", f"K = {mode['steps']}; skill {skill} frames"))
    if "long_run" not in report:
        return rows
    long_run = report["long_run"]
    rows.append(
        ("drift", _said(report["drift"]), f"in {long_run['frames']} frames, 0 is none; then "
         f"{_said(long_run['windows'][-1]['distance'])} from real play (its halves: {_said(long_run['floor'])} apart)")
    )  # fmt: skip
    for kind in ("termination", "reward"):
        figures = report[kind]
        rows.append((kind, f"{_said(figures['precision'])} / {_said(figures['recall'])}",
                     f"precision / recall of {figures['events']} events, one step ahead"))  # fmt: skip
    return rows


def _isle_rows(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What is measured of an isle alone."""
    rows = []
    prompt = report.get("prompt", {})
    for name in ("start", "switch", "held_out", "rest_kept"):
        if name in prompt:
            rows.append((f"prompt.{name}", _ranged(prompt, name), f"no prompt {_said(prompt['no_prompt'].get(name))}, "
                         f"the simulator itself {_said(prompt['simulator'].get(name))}"))  # fmt: skip
    if prompt:
        rows.append(("prompt.frames_to_show", _ranged(prompt, "frames_to_show", 0), "frames until new words show"))
    if "file" in prompt:
        own = prompt["file"]
        rows.append(("your prompts", _ranged(own, "accuracy"), f"no prompt {_said(own['no_prompt'])}, the simulator "
                     f"itself {_said(own['simulator'])}; {len(own['lines'])} prompts"))  # fmt: skip
    for away, figures in report.get("revisit", {}).items():
        gain, codec = _said(figures["gain_db"], 1), _said(figures["codec_psnr_db"], 1)
        meaning = f"{gain} dB by memory; {codec} is the codec's"
        rows.append((f"revisit after {away}", f"{_ranged(figures, 'psnr_db', 1)} dB", meaning))
    if "sound" in report:
        sound = report["sound"]
        meaning = f"events, {_said(sound['offset_frames'], 0)} frames off; the codec's {_said(sound['codec']['f1'])}"
        rows.append(("sound.f1", _ranged(sound, "f1"), meaning))
        rows.append(("sound.level_db", f"{_ranged(sound, 'level_db', 1)} dB", "louder or softer than it should be"))
    if "physics" in report:
        physics = report["physics"]
        meaning = f"a ball that stays {_said(physics['copy'], 1)}, the codec's {_said(physics['codec'], 1)}"
        rows.append(("physics.path_error", f"{_ranged(physics, 'path_error', 1)} px", meaning))
    drift = report["drift"] if isinstance(report.get("drift"), Mapping) else {}
    for name in (name for name in drift.get("psnr_like", {}) if name != "ci95"):
        other, obeys = _said(drift["elsewhere"][name], 1), _said(drift["obedience"][name])
        meaning = f"{other} is another island; obedience {obeys}"
        rows.append((f"drift.psnr_like at {name}", f"{_ranged(drift['psnr_like'], name, 1)} dB", meaning))
    return rows


def _ranged(figures: Mapping[str, Any], name: str, digits: int = 2) -> str:
    low, high = figures["ci95"][name]
    return f"{_said(figures[name], digits)} ({_said(low, digits)} to {_said(high, digits)})"


def _said(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
