"""What a person sees while a world is learnt: the stage, the rate, the losses, and what is left."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 30.0


class Display:
    """A progress bar on a terminal, a line every half minute anywhere else."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._stage = ""
        self._line_due = 0.0
        self._means: dict[str, float] = {}

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False)

    def begin(self, stage: str) -> None:
        """Begin a stage; the one before it ends."""
        self.end()
        self._stage, self._means = stage, {}
        self._line_due = time.monotonic() + LINE_EVERY_S
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                console=self.console,
            )
            self._bar.start()
            self._task = self._bar.add_task(stage, total=1.0, figures="")
        else:
            self.say(stage)

    def show(self, share: float, elapsed_s: float, done: int, unit: str, figures: Mapping[str, float]) -> None:
        """Show how far the stage is (`share`, 0 to 1): `done` units in `elapsed_s`, and smoothed figures."""
        for name, value in figures.items():
            self._means[name] = 0.98 * self._means.get(name, value) + 0.02 * value
        rate = done / max(elapsed_s, 1e-6)
        text = "  ".join([f"{rate:.0f} {unit}/s", *(f"{name} {value:.4g}" for name, value in self._means.items())])
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=share, figures=text)
        elif time.monotonic() >= self._line_due:
            self._line_due = time.monotonic() + LINE_EVERY_S
            left_min = elapsed_s * (1 - share) / max(share, 1e-6) / 60
            self.say(f"{self._stage}: {share:4.0%}  {text}  {left_min:.0f} min left")

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
