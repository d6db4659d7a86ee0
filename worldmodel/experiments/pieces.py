"""What a stage has done while it is not done yet: a stage that is broken off at any second loses less than two minutes.

Each stage has a folder of such pieces; it is emptied when the stage has told what it told.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from inhabit.bridge.report import read_report, write_report
from inhabit.worldmodel.experiments.policy import Policy
from inhabit.worldmodel.experiments.ppo import Learning
from inhabit.worldmodel.pack import read_tensors, write_tensors
from inhabit.worldmodel.train.display import Display

NOTE_EVERY_S = 20.0
_POLICY, _OPTIMISER = "policy.", "optimiser."


class TrainingFile:
    """A policy's training as it stands, in one file that is written whole or not at all."""

    def __init__(self, path: Path):
        self.path = path

    def keep(self, policy: Policy, optimiser: torch.optim.Optimizer, learning: Learning) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {_POLICY + name: value for name, value in policy.state_dict().items()}
        for index, held in optimiser.state_dict()["state"].items():
            tensors |= {f"{_OPTIMISER}{index}.{name}": torch.as_tensor(value) for name, value in held.items()}
        tensors["learning"] = torch.tensor(list(json.dumps(asdict(learning)).encode()), dtype=torch.uint8)
        tensors["random"] = torch.get_rng_state()
        write_tensors(tensors, self.path)

    def resume(self, policy: Policy, optimiser: torch.optim.Optimizer) -> Learning | None:
        """Put everything back as it was kept; None where nothing was."""
        if not self.path.is_file():
            return None
        tensors = read_tensors(self.path)
        weights = {name.removeprefix(_POLICY): value for name, value in tensors.items() if name.startswith(_POLICY)}
        policy.load_state_dict(weights)
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith(_OPTIMISER):
                index, _, what = name.removeprefix(_OPTIMISER).partition(".")
                state.setdefault(int(index), {})[what] = value
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        torch.set_rng_state(tensors["random"])
        return Learning(**json.loads(bytes(tensors["learning"].tolist())))


class Clock(Display):
    """A display that also notes how long something has run, over all the times that it was begun.

    Args:
        display: what shows it.
        path: the note.
    """

    def __init__(self, display: Display, path: Path):
        self._display, self._path = display, path
        self._before_s = float(read_report(path)["seconds"]) if path.is_file() else 0.0
        self._began_s = self._noted_s = time.monotonic()

    @property
    def seconds(self) -> float:
        return self._before_s + time.monotonic() - self._began_s

    def say(self, text: str) -> None:
        self._display.say(text)

    def begin(self, stage: str) -> None:
        self._display.begin(stage)

    def show(self, share: float, elapsed_s: float, done: int, unit: str, figures: Mapping[str, float]) -> None:
        self._display.show(share, elapsed_s, done, unit, figures)
        if time.monotonic() - self._noted_s >= NOTE_EVERY_S:
            self.note()

    def end(self) -> None:
        self._display.end()

    def note(self) -> None:
        self._noted_s = time.monotonic()
        told: dict[str, Any] = {"seconds": self.seconds}
        write_report(self._path, told)
