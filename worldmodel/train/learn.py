"""Learn a world from a recording: detector, codec, gate, latents, dynamics, pack. One linear script."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from inhabit.bridge.errors import InhabitError
from inhabit.worldmodel.engine import STEPS, Engine
from inhabit.worldmodel.evaluate import rollout as rollouts
from inhabit.worldmodel.evaluate.detector import Detector, measure, train_detector
from inhabit.worldmodel.evaluate.sheets import contact_sheet
from inhabit.worldmodel.neural_world import choose_device
from inhabit.worldmodel.omni.autoencoder import Autoencoder
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.pack import Pack, Starts, WorldFile, save_pack
from inhabit.worldmodel.train.autoencoder import encode_all, reconstruct, standardise, train_autoencoder
from inhabit.worldmodel.train.display import Display
from inhabit.worldmodel.train.dynamics import DynamicsTrainer, gather_latents
from inhabit.worldmodel.train.footage import Footage, load_footage
from inhabit.worldmodel.train.presets import Preset, preset_for
from inhabit.worldmodel.train.run import Run
from inhabit.worldmodel.train.schedule import Budget

CHECK_EVERY_SAVES = 4
STARTS = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnConfig:
    """One training session."""

    recording: Path
    """Folder that `inhabit record` made."""

    out: Path
    """Folder of the pack."""

    name: str = ""
    """The world's name; the pack folder's name when empty."""

    preset: str = "tiny"
    """Size: nano, tiny, tiny-fine, small."""

    minutes: float = 30.0
    """Length of this session; a later one goes on where it ended."""

    device: str = "auto"
    """auto, cpu or cuda."""

    codec_share: float = 0.2
    """Share of the session that the codec gets when it has not passed its gate yet."""

    gate: float = 0.9
    """Object recall in the codec's reconstructions before dynamics is trained; only where objects were recorded."""

    final: bool = True
    """Let the learning rate fall at the end. False keeps it up, for a run that goes on in a later session."""


def learn(config: LearnConfig, display: Display) -> Path:
    """Train for `config.minutes`, write the pack, and return its folder."""
    total = Budget(seconds=config.minutes * 60)
    device = choose_device(config.device)
    display.begin(f"reading {config.recording}")
    footage = load_footage(config.recording)
    info = footage.meta.world
    preset = preset_for(
        config.preset, width=info.width, height=info.height, actions=info.actions.size, on_gpu=device.type == "cuda"
    )
    run = Run(config.out, preset=config.preset, recording=footage.meta.source)
    run.progress.machine = f"{platform.machine()}, {torch.get_num_threads()} threads, {device.type}"
    display.say(f"{len(footage)} frames, objects: {', '.join(footage.names) or 'none recorded'}, on {device}")

    detector = _detector(run, footage, total, device, display)
    autoencoder = Autoencoder(preset.autoencoder)
    resumed = run.resume("autoencoder", autoencoder)
    if not (resumed and run.progress.codec_passed):
        autoencoder = _codec(run, footage, preset, autoencoder, detector, config, total, device, display)
    autoencoder = autoencoder.to(device).eval().requires_grad_(False)
    latents = _latents(run, autoencoder, footage, device, display)
    dynamics = _dynamics(run, footage, preset, autoencoder, latents, detector, config, total, device, display)
    display.end()
    save_pack(_pack(run, footage, preset, autoencoder, dynamics, latents, config), config.out)
    return config.out


def _detector(run: Run, footage: Footage, total: Budget, device: torch.device, display: Display) -> Detector | None:
    if not len(footage.boxes):
        return None
    detector = run.resume_detector()
    if detector is None:
        seconds = min(120.0, 0.08 * total.seconds)
        display.begin(f"object detector, {seconds:.0f} s")
        detector = train_detector(footage, Budget(seconds=seconds), device)
        run.keep_detector(detector)
        score = measure(detector, footage, _sample(footage, 800))
        display.say(f"detector on real held-out frames: recall {score.recall:.3f}, precision {score.precision:.3f}")
    return detector.to(device)


def _codec(
    run: Run,
    footage: Footage,
    preset: Preset,
    autoencoder: Autoencoder,
    detector: Detector | None,
    config: LearnConfig,
    total: Budget,
    device: torch.device,
    display: Display,
) -> Autoencoder:
    """Train the codec until it shows the objects, for at most three shares of the session."""
    for share in range(3):
        budget = Budget(seconds=config.codec_share * total.seconds)
        display.begin(f"codec ({budget.seconds / 60:.1f} min)")

        def on_step(step: int, figures: dict, budget: Budget = budget) -> None:
            display.show(budget.share, budget.elapsed_s, step * preset.autoencoder_training.batch, "frames", figures)

        def on_save(network: Autoencoder) -> None:
            run.keep("autoencoder", network)

        autoencoder = train_autoencoder(
            autoencoder,
            footage,
            budget,
            device,
            preset.autoencoder_training,
            seed=share,
            on_step=on_step,
            on_save=on_save,
        )
        run.progress.codec_minutes += budget.elapsed_s / 60
        figures = check_codec(autoencoder, footage, detector, device, run.folder / "sheets" / "codec.png")
        run.progress.codec = figures
        run.progress.codec_passed = figures.get("object_recall", 1.0) >= config.gate
        run.save()
        display.say("codec: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
        if run.progress.codec_passed:
            return autoencoder
    raise InhabitError(
        f"Expected object recall {config.gate} in the codec's reconstructions, got "
        f"{figures['object_recall']:.3f} - at {run.folder}; run the same command again to go on, "
        f"or accept it with --gate {figures['object_recall']:.2f}"
    )


def check_codec(
    autoencoder: Autoencoder, footage: Footage, detector: Detector | None, device: torch.device, sheet: Path
) -> dict[str, float]:
    """PSNR on held-out frames, and how many of the objects that the detector finds in them survive."""
    rows = _sample(footage, 800)
    shown = reconstruct(autoencoder, footage.frames[rows], device)
    error = np.mean([(a.astype(np.float32) - b) ** 2 for a, b in zip(shown, footage.frames[rows], strict=True)])
    figures = {"psnr_db": rollouts.psnr_db(float(error))}
    if detector is not None:
        real, coded = measure(detector, footage, rows), measure(detector, footage, rows, pixels=shown)
        figures |= {"object_recall": coded.recall, "object_precision": coded.precision, "ceiling": real.recall}
    pick = np.linspace(0, len(rows) - 1, 14).astype(int)
    pairs = [[list(footage.frames[rows[part]]), list(shown[part])] for part in (pick[:7], pick[7:])]
    contact_sheet([row for pair in pairs for row in pair], sheet)
    return figures


def _latents(run: Run, autoencoder: Autoencoder, footage: Footage, device: torch.device, display: Display) -> Tensor:
    latents = run.resume_latents(len(footage))
    if latents is None:
        if float(autoencoder.std.min()) == 1.0:
            standardise(autoencoder, footage, device)
        display.begin("encoding")
        started = time.monotonic()

        def on_step(done: int) -> None:
            display.show(done / len(footage), time.monotonic() - started, done, "frames", {})

        latents = encode_all(autoencoder, footage, device, on_step=on_step)
        run.keep_latents(latents, len(footage))
    return latents


def _dynamics(
    run: Run,
    footage: Footage,
    preset: Preset,
    autoencoder: Autoencoder,
    latents: Tensor,
    detector: Detector | None,
    config: LearnConfig,
    total: Budget,
    device: torch.device,
    display: Display,
) -> Dynamics:
    network = Dynamics(preset.dynamics)
    resumed = run.resume("dynamics-network", network) or run.resume("dynamics-average", network)
    training = preset.dynamics_training
    training = replace(
        training,
        bootstrap_from=0.0 if resumed else training.bootstrap_from,
        decay_from=training.decay_from if config.final else 1.0,
    )
    starts = footage.training_windows(training.window)
    if not len(starts):
        raise InhabitError(
            f"Expected episodes of at least {training.window} frames, got none - at {config.recording}; "
            f"record longer play"
        )
    trainer = DynamicsTrainer(
        network, gather_latents(footage, latents, device), starts, device, training, seed=run.progress.dynamics_steps
    )
    if resumed:
        run.resume("dynamics-average", trainer.average.network)
    budget = Budget(seconds=total.left_s)
    before = (run.progress.dynamics_steps, run.progress.dynamics_minutes, run.progress.dynamics_frames)
    frames = training.batch * training.window
    saves = 0
    display.begin(f"dynamics ({budget.seconds / 60:.0f} min)")

    def on_save(average: Dynamics) -> None:
        nonlocal saves
        run.progress.dynamics_steps = before[0] + trainer.step
        run.progress.dynamics_minutes = before[1] + budget.elapsed_s / 60
        run.progress.dynamics_frames = before[2] + trainer.step * frames
        run.keep("dynamics-average", average)
        run.keep("dynamics-network", trainer.network)
        run.save()
        if saves % CHECK_EVERY_SAVES == 0 or budget.left_s == 0:
            figures = check_dynamics(
                autoencoder,
                average,
                footage,
                latents,
                detector,
                device,
                run.folder / "sheets" / f"dream-{run.progress.dynamics_steps:07d}.png",
            )
            display.say("dream: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
            save_pack(_pack(run, footage, preset, autoencoder, average, latents, config), config.out)
        saves += 1

    def on_step(step: int, figures: Mapping[str, float]) -> None:
        display.show(budget.share, budget.elapsed_s, (step + 1) * frames, "frames", figures)

    return trainer.train(budget, on_save=on_save, on_step=on_step)


def check_dynamics(
    autoencoder: Autoencoder,
    dynamics: Dynamics,
    footage: Footage,
    latents: Tensor,
    detector: Detector | None,
    device: torch.device,
    sheet: Path,
) -> dict[str, float]:
    """A quick look: skill and object recall of 16-frame dreams from held-out moments, and a sheet to look at."""
    starts = rollouts.windows_for(footage, 16, 32)
    if not len(starts):
        return {}
    engine = Engine(autoencoder, dynamics, device)
    dreams = rollouts.roll_out(engine, footage, latents, starts, 16)
    figures = {f"skill_{h}": rollouts.skill(dreams, footage, h)[0] for h in (1, 4, 16)}
    shuffled = rollouts.roll_out(engine, footage, latents, starts, 4, shuffle_actions=True)
    figures["skill_4_wrong_actions"] = rollouts.skill(shuffled, footage, 4)[0]
    if detector is not None:
        for h in (4, 16):
            score = measure(detector, footage, dreams.rows[:, h - 1], pixels=dreams.dreamt[:, h - 1])
            figures |= {f"recall_{h}": score.recall, f"precision_{h}": score.precision}
    rows = [
        row
        for session in range(0, len(starts), 6)
        for row in rollouts.side_by_side(dreams, footage, session, (1, 2, 4, 6, 8, 12, 16))
    ]
    contact_sheet(rows, sheet)
    return figures


def _pack(
    run: Run,
    footage: Footage,
    preset: Preset,
    autoencoder: Autoencoder,
    dynamics: Dynamics,
    latents: Tensor,
    config: LearnConfig,
) -> Pack:
    info = footage.meta.world
    name = config.name or config.out.name
    info = msgspec.structs.replace(
        info, name=name, title=_title(footage.meta.source), steps=STEPS, sound_rate_hz=0, sound_channels=0
    )
    file = WorldFile(
        info=info,
        source=footage.meta.source,
        autoencoder=preset.autoencoder,
        dynamics=preset.dynamics,
        training=msgspec.to_builtins(run.progress),
    )
    return Pack(file=file, autoencoder=autoencoder, dynamics=dynamics, starts=choose_starts(footage, latents))


def _title(source: str) -> str:
    kind, _, name = source.partition(":")
    return f"Neural {kind.capitalize()}: {name.replace('_', ' ')}" if name else f"Neural {source}"


def choose_starts(footage: Footage, latents: Tensor) -> Starts:
    """Real moments spread over the recording; where objects were recorded, each has one in view at its end."""
    length = rollouts.CONTEXT_FRAMES
    rows = footage.windows(length, held_out=False)
    if len(footage.boxes):
        busy = np.unique(footage.boxes[:, 0])
        rows = rows[np.isin(rows + length - 1, busy)]
    chosen = rows[np.linspace(0, len(rows) - 1, min(STARTS, len(rows))).astype(int)]
    window = chosen[:, None] + np.arange(length)
    return Starts(latents=latents[torch.from_numpy(window)], actions=torch.from_numpy(footage.actions[window]))


def _sample(footage: Footage, count: int) -> np.ndarray:
    """Held-out rows, evenly spread; a recording too short to hold any out is measured on itself."""
    rows = np.flatnonzero(footage.held_out)
    rows = rows if len(rows) else np.arange(len(footage))
    return rows[:: max(1, len(rows) // count)]
