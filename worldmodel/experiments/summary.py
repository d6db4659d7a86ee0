"""What the Take Cover experiment comes to: the report of what its stages told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from inhabit.bridge.report import machine, tidy
from inhabit.worldmodel.experiments.config import TakeCoverConfig
from inhabit.worldmodel.experiments.measures import mean_with_interval, over_seeds, rank_correlation, transfer_ratio

Told = dict[str, Any]
"""What a stage told."""


@dataclass(frozen=True, kw_only=True)
class Stages:
    """What all stages told."""

    random: Told
    rounds: Sequence[Sequence[Told]]
    """For each round the policies that learnt in the world before it was refined, one for each seed."""
    last: dict[float, list[Told]]
    """Those of the world as it then was, by temperature."""
    real: Sequence[Told]
    """Those that learnt in the game."""
    endings: Told
    rates: Told


def summarise(config: TakeCoverConfig, stages: Stages) -> dict[str, Any]:
    """The report."""
    random, ceiling = mean_with_interval(stages.random["tics"]), over_seeds([run["tics"] for run in stages.real])
    dream = {f"{t:g}": _of_temperature(runs, random, ceiling) for t, runs in stages.last.items()}
    main = dream[f"{config.main_temperature:g}"]
    dreamers = [run for runs in stages.last.values() for run in runs]
    checks = [check for run in dreamers for check in run["checkpoints"]]
    return {
        "experiment": "take-cover", "machine": machine(config.device), "config": plain(config),
        "random": random, "dream": dream, "real": ceiling,
        "rounds": [_of_temperature(runs, random, ceiling) for runs in stages.rounds],
        "main_temperature": config.main_temperature,
        "transfer_ratio": main["transfer_ratio"], "exploitation_gap": main["exploitation_gap"],
        "rank_correlation": rank_correlation([check["dream"] for check in checks], [check["real"] for check in checks]),
        "imagined_steps_per_s": stages.rates[f"batch_{config.ppo.envs}"], "rates": stages.rates,
        "steps_per_s_while_learning": float(np.median([run["steps_per_s"] for run in dreamers])),
        "real_steps_per_s_while_learning": float(np.median([run["steps_per_s"] for run in stages.real])),
        "termination": stages.endings["termination"], "reward": stages.endings["reward"],
        "checkpoints": checks,
        "curves": {f"{t:g}": [run["returns"] for run in runs] for t, runs in stages.last.items()},
        "real_curves": [run["returns"] for run in stages.real],
    }  # fmt: skip


def plain(config: TakeCoverConfig) -> dict[str, Any]:
    """The settings, as a report holds them."""
    return tidy({**asdict(config), "out": str(config.out.name)})


def _of_temperature(runs: Sequence[Told], random: dict[str, Any], ceiling: dict[str, Any]) -> dict[str, Any]:
    told = over_seeds([run["tics"] for run in runs])
    imagined = float(np.mean([np.mean(run["imagined"]) for run in runs]))
    ratio = transfer_ratio(told["mean_tics"], random["mean_tics"], ceiling["mean_tics"])
    return {
        **told,
        "imagined_mean_tics": imagined,
        "exploitation_gap": imagined - told["mean_tics"],
        "transfer_ratio": ratio,
    }
