#!/usr/bin/env python
"""How many steps a second environments imagine: one session, a batch, and a batch behind a sidecar. Prints JSON.

    scripts/envs_rate.py                    an untrained `nano` world of 64x64 pixels: weights do not change speed
    scripts/envs_rate.py doom-center        a pack

What is compared is measured in turns, step by step, so that what else runs on the machine slows all of them alike.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

LIFE_FRAMES = 66
"""How long a random player lives in Take Cover: an untrained world begins so often anew."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    pack: tyro.conf.Positional[str] = ""
    """A pack's name or folder; an untrained nano world when empty."""

    envs: int = 64
    """Sessions of the batch."""

    rounds: int = 40
    """Steps of each."""

    obs: str = "latent"
    """rgb or latent."""

    steps: int = 1
    """Sampling steps a frame."""

    threads: int = 0
    """CPU threads of each process; 0 leaves it to torch."""

    device: str = "auto"

    report: Path | None = None
    """Also write the figures to this JSON file."""


def main(options: Options) -> None:
    """Measure and print."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `inhabit` does; read when torch is loaded
    import torch

    from inhabit.bindings.vector_env import make_vector_env
    from inhabit.bridge.report import machine, tidy, write_report

    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        pack = options.pack or str(untrained(Path(folder) / "nano"))
        command = [
            sys.executable,
            "-m",
            "inhabit.commands",
            "envs",
            pack,
            "--parent",
            "pipe",
            "--device",
            options.device,
        ]
        command += ["--threads", str(options.threads)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, text=True, **pipes) as sidecar:
            assert sidecar.stdout is not None
            endpoint = json.loads(sidecar.stdout.readline())["endpoint"]
            how: dict[str, Any] = {"obs": options.obs, "steps": options.steps, "horizon": 100}
            envs = {
                "one": make_vector_env(1, pack=pack, device=options.device, **how),
                "batch": make_vector_env(options.envs, pack=pack, device=options.device, **how),
                "sidecar": make_vector_env(options.envs, endpoint=endpoint, **how),
            }
            times_s = measure(envs, options.rounds)
            for one in envs.values():
                one.close()
            sidecar.kill()
    median_s = {name: float(np.median(times)) for name, times in times_s.items()}
    ratios = np.array(times_s["sidecar"]) / np.array(times_s["batch"])
    told = {
        "machine": machine(options.device), "obs": options.obs, "steps": options.steps, "envs": options.envs,
        "one_steps_per_s": 1 / median_s["one"],
        "batch_steps_per_s": options.envs / median_s["batch"],
        "batch_over_one": options.envs * median_s["one"] / median_s["batch"],
        "sidecar_steps_per_s": options.envs / median_s["sidecar"],
        "sidecar_adds": float(np.median(ratios)) - 1,
        "undisturbed": undisturbed(times_s, options.envs),
        "batch_ms": [1000 * float(np.percentile(times_s["batch"], q)) for q in (50, 99)],
    }  # fmt: skip
    print(json.dumps(tidy(told), indent=2))
    if options.report:
        write_report(options.report, told)


def undisturbed(times_s: dict[str, list[float]], envs: int) -> dict[str, float]:
    """The same from each one's fastest tenth of steps: what others on the machine did is mostly not in it."""
    fast_s = {name: float(np.percentile(times, 10)) for name, times in times_s.items()}
    return {
        "one_steps_per_s": 1 / fast_s["one"],
        "batch_steps_per_s": envs / fast_s["batch"],
        "batch_over_one": envs * fast_s["one"] / fast_s["batch"],
        "sidecar_adds": fast_s["sidecar"] / fast_s["batch"] - 1,
    }


def measure(envs: dict[str, Any], rounds: int) -> dict[str, list[float]]:
    """Seconds of each step, the environments taking turns."""
    times: dict[str, list[float]] = {name: [] for name in envs}
    for one in envs.values():
        one.reset(seed=1)
    for index in range(rounds + 3):
        for name, one in envs.items():
            actions = np.zeros(one.num_envs, np.int64)
            began = time.perf_counter()
            one.step(actions)
            if index >= 3:
                times[name].append(time.perf_counter() - began)
    return times


def untrained(folder: Path) -> Path:
    """A nano world of two actions at 64x64 pixels, as the Take Cover experiment has it."""
    import torch

    from inhabit.bridge.controls import ActionMap, ActionSource
    from inhabit.bridge.world import WorldInfo
    from inhabit.worldmodel.engine import ENDING_WEIGHT
    from inhabit.worldmodel.omni.autoencoder import Autoencoder
    from inhabit.worldmodel.omni.dynamics import Dynamics
    from inhabit.worldmodel.pack import Pack, Starts, WorldFile, save_pack
    from inhabit.worldmodel.train.presets import preset_for

    preset = preset_for("nano", width=64, height=64, actions=2)
    sources = (ActionSource(name="MOVE_LEFT"), ActionSource(name="MOVE_RIGHT"))
    info = WorldInfo(
        name="nano", width=64, height=64, rate_hz=8.75, steps=(1, 2, 4), actions=ActionMap(sources=sources)
    )
    rows, columns = preset.dynamics.grid
    latents = torch.randn(16, 8, preset.autoencoder.latent_channels, rows, columns).half()
    starts = Starts(latents=latents, actions=torch.zeros(16, 8, 2))
    file = WorldFile(info=info, source="untrained", autoencoder=preset.autoencoder, dynamics=preset.dynamics)
    networks = {"autoencoder": Autoencoder(preset.autoencoder), "dynamics": Dynamics(preset.dynamics)}
    chance = 1 / LIFE_FRAMES
    torch.nn.init.constant_(networks["dynamics"].ending_head[-1].bias, math.log(ENDING_WEIGHT * chance / (1 - chance)))  # type: ignore[union-attr]
    save_pack(Pack(file=file, starts=starts, **networks), folder)  # type: ignore[arg-type]
    return folder


if __name__ == "__main__":
    main(tyro.cli(Options))
