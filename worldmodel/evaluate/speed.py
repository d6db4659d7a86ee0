"""How fast the engine makes frames, where the time goes, and whether that stays so. A frame is a step and a picture.

Every time is from asking for a frame to having its pixels in main memory, so whatever device works has finished.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from inhabit.bridge.report import rss_mb
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.omni.autoencoder import Autoencoder
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.motion import Motion
from inhabit.worldmodel.pack import Pack, Starts
from inhabit.worldmodel.state import State
from inhabit.worldmodel.train.presets import preset_for

WARM_UP_FRAMES = 3
YOUNG_FRAME = 100
"""Frame numbers around this one are what later frames are compared with."""

CONTEXT_FRAMES = 2
"""Made-up frames that a session of an untrained engine begins with."""

UNTRAINED_ACTIONS = 8
"""Numbers in an action of an untrained engine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedConfig:
    """How long is measured."""

    frames: int = 10_000
    """Frames after which growth is looked at."""

    timed_frames: int = 120
    """Frames of each setting, at most."""

    timed_s: float = 12.0
    """Time of each setting after which no further frame is begun."""

    threads: tuple[int, ...] = ()
    """Numbers of CPU threads to compare; empty compares one, two and all cores."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is measured: an engine and where a session of it begins."""

    engine: Engine
    starts: Starts
    said: dict[str, Any]
    """What it is, for the report."""

    def begin(self, session: int = 0) -> State:
        start = session % len(self.starts)
        latents, actions = self.starts.latents[start][None], self.starts.actions[start][None]
        pose = None if self.starts.pose is None else self.starts.pose[start][None]
        return self.engine.begin(latents, actions, torch.tensor([session]), pose=pose)

    def frame(self, state: State, index: int, steps: int) -> State:
        """Make one frame and bring it to main memory; a different button is held every few frames."""
        size = state.actions.shape[2]
        action = torch.zeros(1, size)
        action[0, index // 8 % size] = 1.0
        state, _ = self.engine.step(state, action, steps=steps, donate=True)
        self.engine.show(state).cpu()
        return state


def from_pack(pack: Pack, device: torch.device) -> Subject:
    info = pack.file.info
    said = {"name": info.name, "size_px": [info.width, info.height], "rate_hz": info.rate_hz, "untrained": False}
    return Subject(engine=Engine.of(pack, device), starts=pack.starts, said=said)


def untrained(name: str, *, width: int, height: int, device: torch.device) -> Subject:
    """An engine of a preset's size with random weights: its pictures are noise, its speed is that of a trained one.

    A size that the preset's cells do not divide is made a little larger, as it would be padded (1080 rows to 1088).
    Raises InhabitError for an unknown preset.
    """
    preset = preset_for(name, width=0, height=0, actions=UNTRAINED_ACTIONS)
    cell = preset.autoencoder.factor * preset.dynamics.patch
    made = [-(-side // cell) * cell for side in (width, height)]
    preset = preset_for(name, width=made[0], height=made[1], actions=UNTRAINED_ACTIONS)
    torch.manual_seed(0)
    motion = Motion(preset.dynamics.motion) if preset.dynamics.motion else None
    engine = Engine(Autoencoder(preset.autoencoder), Dynamics(preset.dynamics), device, motion=motion)
    shape = (1, CONTEXT_FRAMES, preset.dynamics.latent_channels, *preset.dynamics.grid)
    starts = Starts(latents=torch.randn(shape), actions=torch.zeros(1, CONTEXT_FRAMES, UNTRAINED_ACTIONS))
    said = {"name": name, "size_px": [width, height], "made_px": made, "untrained": True}
    return Subject(engine=engine, starts=starts, said=said)


def parameters(engine: Engine) -> int:
    """Weights in all."""
    networks = (engine.autoencoder, engine.dynamics, engine.motion, engine.sound)
    return sum(weight.numel() for network in networks if network for weight in network.parameters())


def compare_threads(subject: Subject, config: SpeedConfig, *, steps: int = 2) -> dict[str, Any]:
    """Frames a second with each number of CPU threads; the best stays set. On a GPU nothing is compared."""
    if subject.engine.device.type != "cpu":
        return {"used": torch.get_num_threads()}
    cores = os.cpu_count() or 1
    figures = {}
    for count in config.threads or sorted({1, min(2, cores), cores}):
        torch.set_num_threads(count)
        figures[count] = summary(time_frames(subject, subject.begin(), steps, config.timed_frames // 2, config.timed_s))
    best = max(figures, key=lambda count: figures[count]["fps"])
    torch.set_num_threads(best)
    return {"used": best, **{str(count): figure for count, figure in figures.items()}}


def measure_engine(subject: Subject, config: SpeedConfig) -> dict[str, Any]:
    """Frames a second at each number of sampling steps, one session, and where the time goes."""
    figures: dict[str, Any] = {}
    for steps in subject.engine.taught:
        times = time_frames(subject, subject.begin(), steps, config.timed_frames, config.timed_s)
        figures[f"k{steps}"] = {**summary(times), "ms": split(subject, steps, config)}
    return figures


def time_frames(subject: Subject, state: State, steps: int, frames: int, seconds: float) -> list[float]:
    """Milliseconds of each of up to `frames` frames within `seconds`, after a warm-up; at least two."""
    began = time.perf_counter()
    for index in range(WARM_UP_FRAMES):
        state = subject.frame(state, index, steps)
        if time.perf_counter() - began > seconds / 4:  # a frame so slow needs no more warming
            break
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < max(2, frames) and (len(times) < 2 or time.perf_counter() - began < seconds):
        started = time.perf_counter()
        state = subject.frame(state, WARM_UP_FRAMES + len(times), steps)
        times.append((time.perf_counter() - started) * 1e3)
    return times


def summary(times_ms: Sequence[float]) -> dict[str, float]:
    """Frames a second over the whole stretch, and the median and the 99th percentile of a frame, ms."""
    p50, p99 = np.percentile(times_ms, (50, 99))
    return {"fps": 1e3 * len(times_ms) / sum(times_ms), "ms_p50": float(p50), "ms_p99": float(p99)}


def split(subject: Subject, steps: int, config: SpeedConfig) -> dict[str, float]:
    """Where a frame's time goes, medians in ms: `motion`, `denoise`, `commit`, `decode`.

    `motion` is what carries the frame before to where it will be, and is missing where a world has none. The network's
    passes are timed one by one. The first pass of a step also commits the frame before it; with more than one step, a
    later pass shows what denoising alone takes, and what the step takes beyond all that, with the noise and the ring,
    is `commit`. With one step the two cannot be told apart: `denoise` then holds both.
    """
    engine = subject.engine
    passes, decodes = _Watch(engine, engine.dynamics), _Watch(engine, engine.autoencoder.decoder)
    carries = (engine.motion, engine.autoencoder.encoder) if engine.motion else ()
    moves = [_Watch(engine, part) for part in carries]
    try:
        step_ms, show_ms = _time_parts(subject, steps, config)
    finally:
        for watch in (passes, decodes, *moves):
            watch.remove()
    each = np.array(passes.times_ms[-len(step_ms) * steps :]).reshape(-1, steps)
    # a world without motion decodes when it is asked to show, any other in its step
    decode = float(np.median(decodes.times_ms[-len(step_ms) :])) if engine.motion else 0.0
    parts = {"decode": decode + float(np.median(show_ms))}
    if moves:
        parts["motion"] = sum(float(np.median(watch.times_ms[-len(step_ms) :])) for watch in moves)
    if steps == 1:
        return {**parts, "denoise": float(np.median(each))}
    plain, whole = float(np.median(each[:, 1:])), float(np.median(step_ms))
    commit = max(0.0, whole - steps * plain - decode - parts.get("motion", 0.0))
    return {**parts, "denoise": steps * plain, "commit": commit}


class _Watch:
    """The time that each call of a network takes, ms."""

    def __init__(self, engine: Engine, network: torch.nn.Module):
        self.times_ms: list[float] = []
        began = [0.0]

        def before(*_: Any) -> None:
            _finish(engine)
            began[0] = time.perf_counter()

        def after(*_: Any) -> None:
            _finish(engine)
            self.times_ms.append((time.perf_counter() - began[0]) * 1e3)

        self._hooks = [network.register_forward_pre_hook(before), network.register_forward_hook(after)]

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


def measure_growth(
    subject: Subject, config: SpeedConfig, *, on_frame: Callable[[int], None] = lambda frame: None
) -> dict[str, float | None]:
    """Whether a session that has run long is slower or larger than a young one. One sampling step: memory is the same.

    A session runs to frame `config.frames`. Then it and a young one, at frame YOUNG_FRAME, take turns for a hundred
    frames, so that whatever else the machine does slows both. `frame_time_ratio` is the ratio of their medians,
    `rss_mb` is what the process grew by from frame YOUNG_FRAME on.
    """
    turns = max(2, min(50, config.frames // 8))
    early = min(YOUNG_FRAME, max(0, config.frames - turns) // 2)
    old, young, then = subject.begin(), subject.begin(1), None
    for index in range(max(1, config.frames - turns)):
        old = subject.frame(old, index, 1)
        if index == early:
            then = rss_mb()
        on_frame(index + 1)
    now = rss_mb()
    for index in range(max(1, early - turns)):
        young = subject.frame(young, index, 1)
    times: dict[str, list[float]] = {"old": [], "young": []}
    for index in range(2 * turns):
        old = _timed(subject, old, index, times["old"])
        young = _timed(subject, young, index, times["young"])
    return {
        "frames": config.frames,
        "frame_time_ratio": float(np.median(times["old"]) / np.median(times["young"])),
        "rss_mb": None if then is None or now is None else now - then,
    }


def quick_rates(subject: Subject, *, seconds: float = 1.5) -> dict[int, float]:
    """Frames a second at each number of sampling steps, roughly and soon, with the number of threads that suits."""
    config = SpeedConfig(timed_frames=12, timed_s=seconds / 2)
    compare_threads(subject, config)
    taught = subject.engine.taught
    return {steps: summary(time_frames(subject, subject.begin(), steps, 200, seconds))["fps"] for steps in taught}


def _timed(subject: Subject, state: State, index: int, times: list[float]) -> State:
    started = time.perf_counter()
    state = subject.frame(state, index, 1)
    times.append((time.perf_counter() - started) * 1e3)
    return state


def _time_parts(subject: Subject, steps: int, config: SpeedConfig) -> tuple[list[float], list[float]]:
    """Milliseconds of each step, and of each picture of it."""
    engine, state = subject.engine, subject.begin()
    step_ms: list[float] = []
    decode_ms: list[float] = []
    began = time.perf_counter()
    while len(step_ms) < config.timed_frames // 2 and (
        len(step_ms) < 2 or time.perf_counter() - began < config.timed_s
    ):
        started = time.perf_counter()
        state, _ = engine.step(state, torch.zeros(1, state.actions.shape[2]), steps=steps, donate=True)
        _finish(engine)
        stepped = time.perf_counter()
        engine.show(state).cpu()
        step_ms.append((stepped - started) * 1e3)
        decode_ms.append((time.perf_counter() - stepped) * 1e3)
    return step_ms, decode_ms


def _finish(engine: Engine) -> None:
    if engine.device.type == "cuda":
        torch.cuda.synchronize(engine.device)
