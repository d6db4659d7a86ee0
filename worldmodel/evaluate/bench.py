"""Measure how fast a pack, or an untrained engine of a preset's size, runs here. One linear script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inhabit.bridge.report import machine, rss_mb, tidy
from inhabit.worldmodel.evaluate import speed
from inhabit.worldmodel.evaluate.client_speed import ClientConfig, measure_client
from inhabit.worldmodel.evaluate.stages import Stages
from inhabit.worldmodel.neural_world import choose_device
from inhabit.worldmodel.pack import load_pack
from inhabit.worldmodel.train.display import Display


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchConfig:
    """One benchmark."""

    pack: Path | None
    """Folder of the pack; None measures an untrained engine of `preset`."""

    preset: str = "large"
    """Size of the untrained engine."""

    size_px: tuple[int, int] = (1920, 1080)
    """Frame size of the untrained engine, width and height."""

    device: str = "auto"
    """auto, cpu or cuda."""

    through_sidecar: bool = True
    """Whether a sidecar is started and played; only packs can be."""

    speed: speed.SpeedConfig = field(default_factory=speed.SpeedConfig)
    client: ClientConfig = field(default_factory=ClientConfig)

    def quick(self) -> BenchConfig:
        """The same, small: to see that everything runs."""
        small = replace(self.speed, frames=min(60, self.speed.frames), timed_frames=8, timed_s=2.0)
        return replace(self, speed=small, client=replace(self.client, seconds=3.0, frames=20))


def bench(config: BenchConfig, display: Display) -> dict[str, Any]:
    """Measure and return the report. Raises InhabitError for a pack or a preset that is not there."""
    stages = Stages(display)
    device = choose_device(config.device)
    if config.pack is None:
        width, height = config.size_px
        subject = speed.untrained(config.preset, width=width, height=height, device=device)
    else:
        subject = speed.from_pack(load_pack(config.pack), device)
    report: dict[str, Any] = {"pack": {**subject.said, "parameters": speed.parameters(subject.engine)}}
    with stages.stage("threads"):
        report["threads"] = speed.compare_threads(subject, config.speed)
    with stages.stage("engine"):
        report["engine"] = speed.measure_engine(subject, config.speed)
    with stages.stage("growth"):
        report["growth"] = speed.measure_growth(
            subject, config.speed, on_frame=lambda frame: stages.show(frame, config.speed.frames, "frames")
        )
        report["memory_mb"] = rss_mb()
    if config.through_sidecar and config.pack is not None:
        with stages.stage("client"):
            report |= measure_client([str(config.pack)], config.client)
    return tidy({**report, "machine": machine(str(device)), "seconds": stages.seconds})


def real_time(report: Mapping[str, Any]) -> dict[str, bool]:
    """At which numbers of steps the engine keeps the pack's own rate."""
    rate = report["pack"].get("rate_hz")
    return {name: figures["fps"] >= rate for name, figures in report["engine"].items()} if rate else {}
