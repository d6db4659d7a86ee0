"""Measure how fast a pack runs here: the engine, a session of thousands of frames, and play through a sidecar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.report import make_room, write_report
from inhabit.commands.record import parse_size
from inhabit.worldmodel.catalog import DEFAULT_PACK, find_pack, require_torch


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure, and for how long."""

    pack: tyro.conf.Positional[str] = DEFAULT_PACK
    """A shipped pack's name or a pack's folder."""

    report: Path | None = None
    """Write all figures to this JSON file."""

    frames: int = 10_000
    """Frames of the long session whose growth is measured."""

    preset: str = ""
    """Measure an untrained engine of this size instead of a pack: nano, tiny, tiny-fine, small, large."""

    size: str = "1920x1080"
    """Frame size of the untrained engine, WIDTHxHEIGHT in pixels."""

    client: bool = True
    """Also start a sidecar and play it, with random key presses."""

    device: str = "auto"
    """auto, cpu or cuda."""

    quick: bool = False
    """A small version, to see that everything runs; its figures are rough."""


def run(options: Options) -> None:
    """Measure, print the main figures, write what was asked for."""
    if options.frames < 1:
        raise InhabitError(f"Expected at least 1 frame, got {options.frames} - at --frames")
    folder = None if options.preset else find_pack(options.pack)
    size = parse_size(options.size)
    if options.report is not None:
        make_room(options.report)
    require_torch()
    from inhabit.worldmodel.evaluate.bench import BenchConfig, bench
    from inhabit.worldmodel.evaluate.speed import SpeedConfig
    from inhabit.worldmodel.train.display import Display

    config = BenchConfig(
        pack=folder,
        size_px=size,
        device=options.device,
        through_sidecar=options.client,
        speed=SpeedConfig(frames=options.frames),
    )
    if options.preset:
        config = replace(config, preset=options.preset)
    report = bench(config.quick() if options.quick else config, Display())
    if options.report is not None:
        write_report(options.report, report)
    _print(report)


def _print(report: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    pack = report["pack"]
    what = f"untrained, preset {pack['name']}" if pack["untrained"] else pack["name"]
    width, height = pack["size_px"]
    table = Table("measure", "figure", title=f"{what}, {width}x{height}, {report['machine']['device']}")
    for name, figures in report["engine"].items():
        parts = ", ".join(f"{part} {ms:.1f}" for part, ms in figures["ms"].items())
        table.add_row(f"engine, {name[1:]} steps", f"{figures['fps']:.3g} frames/s  ({parts} ms)")
    for count, figures in report["threads"].items():
        if count != "used":
            table.add_row(f"{count} CPU threads, 2 steps", f"{figures['fps']:.3g} frames/s")
    growth = report["growth"]
    grown = "" if growth["rss_mb"] is None else f", {growth['rss_mb']:+.1f} MB"
    table.add_row(f"frame {growth['frames']}", f"{growth['frame_time_ratio']:.3f} times as long as an early one{grown}")
    for row in _client_rows(report):
        table.add_row(*row)
    Console().print(table)


def _client_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    if "client" not in report:
        return []
    client, bridge = report["client"], report["bridge"]
    points = client["input_to_frame_ms"]
    return [
        ("played through a sidecar", f"{client['fps']:.1f} of {client['rate_hz']:g} frames/s"),
        ("input to frame", f"p50 {points['p50']:.0f}, p95 {points['p95']:.0f}, p99 {points['p99']:.0f} ms"),
        ("of which the bridge", f"p50 {bridge['overhead_ms']['p50']:.2f}, p99 {bridge['overhead_ms']['p99']:.2f} ms"),
    ]
