"""Measure how true a pack is: real play, judges, dreams of it, a long dream, and a report. One linear script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.report import machine, tidy
from inhabit.worldmodel.catalog import WORLD_JSON
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.evaluate import drift, fidelity, plots, reality
from inhabit.worldmodel.evaluate.dreamers import EngineDreamer
from inhabit.worldmodel.evaluate.endings import measure_endings, measure_rewards, read_heads
from inhabit.worldmodel.evaluate.glimpses import THINGS
from inhabit.worldmodel.evaluate.isle_measures import MEASURES, IsleMeasuresConfig, measure_isle
from inhabit.worldmodel.evaluate.judges import Judges, JudgesConfig, train_judges
from inhabit.worldmodel.evaluate.modes import ModesConfig, measure_modes
from inhabit.worldmodel.evaluate.prompt_file import Wanted, read_prompts
from inhabit.worldmodel.evaluate.reality import FIRST_SEED, Reality
from inhabit.worldmodel.evaluate.stages import Stages
from inhabit.worldmodel.neural_world import choose_device
from inhabit.worldmodel.pack import Pack, load_pack
from inhabit.worldmodel.train.autoencoder import encode_all
from inhabit.worldmodel.train.display import Display

EPISODE_FRAMES = 300
"""How long an episode may be, for the progress bar alone."""

NOT_IN_PACK = ("again", "curve", "seconds", "pack", "sheets")
"""Parts of a report that are not written into world.json."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalConfig:
    """One evaluation."""

    pack: Path
    """Folder of the pack."""

    steps: int = 0
    """Sampling steps, 1, 2 or 4; 0 takes the pack's own choice."""

    seeds: range = range(FIRST_SEED, FIRST_SEED + 24)
    """Episodes that are played anew and dreamt of."""

    judge_seeds: int = 32
    """Further episodes, which the judges learn from."""

    recording: Path | None = None
    """Real play to measure on instead of playing anew."""

    unseen: bool = False
    """Whether the pack was trained on nothing of `recording`; else only its held-out episodes are measured on."""

    cache: Path = field(default_factory=reality.cache_folder)
    """Where fresh play and the judges trained on it are kept."""

    out: Path | None = None
    """Folder for plots and sheets."""

    device: str = "auto"
    """auto, cpu or cuda."""

    test_frames: int = 8_000
    """Held-out frames that are taken from a recording."""

    judge_frames: int = 10_000
    """Frames for the judges that are taken from a recording."""

    walked_episodes: int = 16
    """Episodes in which rewards and endings are read."""

    walked_frames: int = 400
    """Frames of each of them, at most."""

    modes: bool = False
    """Whether the quality modes are compared too; for an isle they always are."""

    prompts: Path | None = None
    """A file of prompts to measure, for a pack that was learnt from isle."""

    only: tuple[str, ...] = ()
    """Which of isle_measures.MEASURES are measured, and nothing else, of a pack that was learnt from isle."""

    judges: JudgesConfig = field(default_factory=JudgesConfig)
    fidelity: fidelity.FidelityConfig = field(default_factory=fidelity.FidelityConfig)
    drift: drift.DriftConfig = field(default_factory=drift.DriftConfig)
    isle: IsleMeasuresConfig = field(default_factory=IsleMeasuresConfig)
    mode: ModesConfig = field(default_factory=ModesConfig)

    def for_isle(self) -> EvalConfig:
        """The same with fewer episodes and dreams of what is measured of any pack: much else is measured of an isle."""
        few = self.fidelity
        fewer = replace(
            few,
            windows=min(few.windows, 64),
            far_windows=min(few.far_windows, 16),
            shuffled=min(few.shuffled, 20),
            codec_frames=min(few.codec_frames, 200),
            action_triples=min(few.action_triples, 500),
        )
        return replace(self, seeds=self.seeds[:12], judge_seeds=min(self.judge_seeds, 16), fidelity=fewer)

    def quick(self) -> EvalConfig:
        """The same, small: to see that everything runs. Its figures are rough."""
        return replace(
            self,
            seeds=self.seeds[:4],
            judge_seeds=8,
            test_frames=1_500,
            judge_frames=2_500,
            walked_episodes=4,
            walked_frames=120,
            judges=replace(self.judges, detector_steps=40, glimpses=320, glimpse_steps=60, inverse_dynamics_steps=60),
            fidelity=replace(
                self.fidelity, windows=12, far_windows=6, shuffled=12, codec_frames=64, action_triples=200
            ),
            drift=replace(self.drift, frames=200, sessions=2, windows=4, every=10, real_triples=100),
            isle=self.isle.quick(),
            mode=replace(self.mode, windows=8, timed_frames=12, timed_s=2.0),
        )


def evaluate(config: EvalConfig, display: Display) -> dict[str, Any]:
    """Measure, draw, and return the report; docs/performance.md says what each figure means.

    Raises InhabitError when there is no real play to measure on, or it is of another world.
    """
    wanted = None if config.prompts is None else read_prompts(config.prompts)
    pack = load_pack(config.pack)
    isle = is_isle(pack)
    if wanted and not (isle and pack.dynamics.config.text):
        raise InhabitError(
            f"Expected a pack that learnt isle with words, got {pack.file.info.name!r} of {pack.file.source!r} - at "
            f"--prompts; its prompts cannot be judged"
        )
    if isle:
        config = config.for_isle()
    steps = config.steps or pack.file.steps
    if steps not in pack.file.info.steps:
        raise InhabitError(f"Expected steps to be one of {pack.file.info.steps}, got {steps} - at --steps")
    device = choose_device(config.device)
    engine = Engine.of(pack, device)
    clock = Stages(display)
    if config.only:
        return _only(config, engine, pack, steps, clock)
    with clock.stage("real play"):
        real = _reality(config, pack, clock)
        real = reality.counted_by(real, THINGS) if isle else real
        display.say(f"{len(real.test)} real frames to measure on, {len(real.judges)} for the judges")
    with clock.stage("judges"):
        keep = None if config.recording else config.cache / f"judges-{_slug(pack, real)}"
        judges = train_judges(real.judges, config.judges, device, keep=keep, isle=isle)
    report: dict[str, Any] = {
        "pack": {"name": pack.file.info.name, "source": pack.file.source, "parameters": _parameters(pack)},
        "steps": steps,
        "seeds": real.seeds,
    }
    report |= _measure(config, engine, real, judges, steps, clock, isle=isle)
    if isle or config.modes:
        with clock.stage("quality modes"):
            detector = judges.detector
            latents = encode_all(engine.autoencoder, real.test, engine.device)
            report["modes"] = measure_modes(engine, pack.starts, real.test, latents, detector, config.mode)
    if isle:
        report |= _measure_isle(config, engine, pack, steps, clock, wanted)
    report["machine"] = machine(str(device))
    report["seconds"] = clock.seconds
    return tidy(report)


def _measure_isle(
    config: EvalConfig, engine: Engine, pack: Pack, steps: int, clock: Stages, wanted: list[Wanted] | None
) -> dict[str, Any]:
    info = pack.file.info
    return measure_isle(
        EngineDreamer(engine, steps=steps),
        config.isle,
        clock,
        size=(info.width, info.height),
        device=engine.device,
        cache=config.cache,
        listens=engine.listens,
        wanted=wanted,
        out=config.out,
    )


def _only(config: EvalConfig, engine: Engine, pack: Pack, steps: int, clock: Stages) -> dict[str, Any]:
    """Some of what is measured of an isle, and on which machine each of them was."""
    unknown = [name for name in config.only if name not in MEASURES]
    if unknown or not is_isle(pack):
        got = f"{unknown[0]!r}" if unknown else f"a pack of {pack.file.source!r}"
        raise InhabitError(f"Expected {', '.join(MEASURES)}, of a pack that learnt isle, got {got} - at --only")
    config = replace(config, isle=replace(config.isle, only=config.only))
    report = _measure_isle(config, engine, pack, steps, clock, None)
    where = machine(str(engine.device))
    return tidy({**report, "again": dict.fromkeys(config.only, where)})


def is_isle(pack: Pack) -> bool:
    """Whether a pack was learnt from the simulator isle."""
    return pack.file.source.partition(":")[0] == "isle"


def write_quality(folder: Path, report: Mapping[str, Any]) -> None:
    """Put a report's figures into the `quality` of a pack's world.json; the rest of the file stays as it is."""
    path = folder / WORLD_JSON
    file = msgspec.json.decode(path.read_bytes())
    kept = {name: value for name, value in report.items() if name not in NOT_IN_PACK}
    if "long_run" in kept:
        kept["long_run"] = {name: value for name, value in kept["long_run"].items() if name != "windows"}
    file["quality"] = kept
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n")
    partial.replace(path)


def _reality(config: EvalConfig, pack: Pack, clock: Stages) -> Reality:
    info = pack.file.info
    if config.recording is not None:
        return reality.read_recording(
            config.recording,
            info,
            unseen=config.unseen,
            test_frames=config.test_frames,
            judge_frames=config.judge_frames,
        )
    guess = EPISODE_FRAMES * max(len(config.seeds), config.judge_seeds)  # nobody knows how long they will be
    return reality.record_fresh(
        pack.file.source,
        info,
        config.seeds,
        judge_seeds=config.judge_seeds,
        cache=config.cache,
        on_progress=lambda frames: clock.show(min(frames, guess), guess, "frames"),
    )


def _measure(
    config: EvalConfig,
    engine: Engine,
    real: Reality,
    judges: Judges,
    steps: int,
    clock: Stages,
    *,
    isle: bool,
) -> dict[str, Any]:
    footage, detector = real.test, judges.detector
    report: dict[str, Any] = {}
    with clock.stage("codec"):
        report["codec"], ceilings = fidelity.measure_codec(engine, footage, detector, config.fidelity.codec_frames)
        latents = encode_all(engine.autoencoder, footage, engine.device)
    with clock.stage("dreams"):
        dreams = fidelity.dream_windows(engine, footage, latents, config.fidelity, steps=steps)
        report |= fidelity.measure_pictures(dreams, footage)
        report["dreams"] = {"near": len(dreams.near.rows), "far": len(dreams.far.rows)}
        if detector is not None:
            report["objects"] = {**fidelity.measure_objects(dreams.near, footage, detector), **ceilings}
            if isle:
                at = max(report["objects"]["recall"])
                kinds = fidelity.measure_kinds(dreams.near, footage, detector, at)
                report["objects"] |= {"kinds": kinds, "kinds_after_frames": at}
    with clock.stage("actions"):
        actions = fidelity.measure_actions(engine, dreams, footage, judges.inverse_dynamics, config.fidelity)
        report |= {"action_fidelity": actions.pop("ratio"), "actions": actions}
    if isle:  # it gives no rewards, nothing ends, and its long dream is held against the simulator's
        if config.out is not None:
            plots.draw_horizon(tidy(report), config.out / "horizon.png")
            plots.draw_dreams(dreams.far, footage, config.out / "dreams.png")
        return report
    with clock.stage("rewards and endings"):
        readings = read_heads(
            engine, footage, latents, steps=steps, episodes=config.walked_episodes, most_frames=config.walked_frames
        )
        report["termination"], report["reward"] = measure_endings(readings, footage), measure_rewards(readings, footage)
    with clock.stage("long dream"):
        long_dream = drift.dream_on(
            engine,
            footage,
            latents,
            config.drift,
            steps=steps,
            on_frame=lambda frame: clock.show(frame, config.drift.frames, "frames"),
        )
        figures = drift.measure_drift(long_dream, footage, judges, config.drift)
        report |= {"drift": figures.pop("drift"), "long_run": figures}
    report = tidy(report)
    if config.out is not None:
        with clock.stage("pictures"):
            plots.draw_horizon(report, config.out / "horizon.png")
            plots.draw_drift(report, config.out / "drift.png")
            plots.draw_dreams(dreams.far, footage, config.out / "dreams.png")
            plots.draw_strip(long_dream, config.out / "long-dream.png")
    return report


def _slug(pack: Pack, real: Reality) -> str:
    """Names the play that judges were trained on."""
    info = pack.file.info
    source = pack.file.source.replace(":", "-").replace("/", "-")
    return f"{source}-{info.width}x{info.height}-{real.seeds['judges'].replace(':', '-')}"


def _parameters(pack: Pack) -> dict[str, int]:
    networks: dict[str, torch.nn.Module] = {"autoencoder": pack.autoencoder, "dynamics": pack.dynamics}
    return {name: int(np.sum([p.numel() for p in network.parameters()])) for name, network in networks.items()}
