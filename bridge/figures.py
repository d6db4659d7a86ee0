"""What a sidecar measures of itself while it serves: latencies now and over five minutes, frames, faults."""

from __future__ import annotations

import numpy as np

from inhabit.bridge.pacing import NS_PER_MS, NS_PER_S

NOW_NS, LONG_NS = 10 * NS_PER_S, 300 * NS_PER_S
KEPT = 32_768
PERCENTS = (50, 95, 99)


class Window:
    """The newest values of one measure, in memory of a fixed size."""

    def __init__(self) -> None:
        self._at_ns = np.full(KEPT, -LONG_NS - 1, np.int64)
        self._values = np.zeros(KEPT, np.float32)
        self._added = 0

    def add(self, value: float, now_ns: int) -> None:
        place = self._added % KEPT
        self._at_ns[place], self._values[place] = now_ns, value
        self._added += 1

    def percentiles(self, now_ns: int, within_ns: int) -> dict[str, float]:
        """p50, p95, p99; nothing when nothing was measured."""
        used = min(self._added, KEPT)
        values = self._values[:used][now_ns - self._at_ns[:used] <= within_ns]
        if not len(values):
            return {}
        return {f"p{percent}": float(found) for percent, found in zip(PERCENTS, np.percentile(values, PERCENTS))}


class Measures:
    """The measures of one sidecar."""

    def __init__(self, now_ns: int):
        self.begun_ns = now_ns
        self.counts: dict[str, int] = dict.fromkeys(
            ("sessions", "resumed", "frames_sent", "frames_skipped", "set_backs", "failures", "refused"), 0
        )
        self.first_response = Window()
        """From HELLO to a session's first frame, ms; in free mode."""

        self.response = Window()
        """From the arrival of an INPUT to the sending of the first frame that shows it, ms."""

        self.step = Window()
        """From the reading of the controls to the frame, ms: the world's own time."""

    def count(self, name: str, more: int = 1) -> None:
        self.counts[name] += more

    def table(self, now_ns: int) -> dict[str, float]:
        """All of it, by name. `_now` is the last 10 s, `_5min` the last five minutes."""
        told: dict[str, float] = {"uptime_s": (now_ns - self.begun_ns) / NS_PER_S, **self.counts}
        for name, window in (
            ("first_response", self.first_response), ("response", self.response), ("step", self.step),
        ):  # fmt: skip
            for span, within_ns in (("now", NOW_NS), ("5min", LONG_NS)):
                for percent, value in window.percentiles(now_ns, within_ns).items():
                    told[f"{name}_ms_{percent}_{span}"] = value
        return told


def ms(duration_ns: int) -> float:
    return duration_ns / NS_PER_MS
