"""InputLog: which frame first showed each input, and how long that took. No window, no clock of its own."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from inhabit.bridge.controls import IDLE, Controls
from inhabit.bridge.frames import Frame

RECENT = 200
"""Answered inputs that the overlay's percentiles are made of."""

KEPT = 100_000
"""Answered inputs that a report's percentiles are made of: about an hour of busy play."""

PENDING = 4096
"""Sent inputs that may wait for their frame; older ones are given up as never answered."""


@dataclass(slots=True)
class InputEvent:
    """One input that was sent, and its answer once there is one."""

    sequence: int
    text: str
    """What the person did, such as "ArrowLeft down"."""

    controls: Controls
    sent_ns: int
    """Window's clock, ns."""

    analog: bool = False
    """Only a mouse or a stick moved: neighbours of this kind share one row."""

    frame: int | None = None
    """Index of the first frame that answers it."""

    latency_ms: float | None = None


class InputLog:
    """Everything that was sent, matched with the frames that came back."""

    def __init__(self, rows: int = 8):
        self._rows: deque[InputEvent] = deque(maxlen=rows)
        self._pending: deque[InputEvent] = deque(maxlen=PENDING)
        self._latencies_ms: deque[float] = deque(maxlen=KEPT)
        self._shown = IDLE

    def sent(self, sequence: int, before: Controls, controls: Controls, now_ns: int) -> None:
        """Note one input as it leaves. `before` is the one sent before it, which tells what changed."""
        text = describe(before, controls)
        analog = before.held == controls.held and not controls.pressed
        event = InputEvent(sequence, text, controls, now_ns, analog)
        self._pending.append(event)
        if self._rows and analog and self._rows[-1].analog:
            self._rows.pop()  # a moving mouse would push every key out of the list
        self._rows.append(event)

    def answered(self, frame: Frame, now_ns: int) -> int:
        """Match a frame with every waiting input that it shows and return how many there were.

        The frame's own stamps time its newest input; older ones differ from that by the window's clock alone, so the
        client's clock and the window's may be two different ones.
        """
        shown = []
        while self._pending and self._pending[0].sequence <= frame.answers:
            shown.append(self._pending.popleft())
        if not shown:
            self._shown = Controls(held=self._shown.held, axes=self._shown.axes)
            return 0
        newest, stamps = shown[-1], frame.stamps
        own_ns = now_ns - newest.sent_ns
        exact = newest.sequence == frame.answers and stamps.client_input_ns and stamps.client_arrived_ns
        latency_ns = stamps.client_arrived_ns - stamps.client_input_ns if exact else own_ns
        for event in shown:
            event.frame = frame.index
            event.latency_ms = (latency_ns + newest.sent_ns - event.sent_ns) / 1e6
            self._latencies_ms.append(event.latency_ms)
        pressed = frozenset[str]().union(*(event.controls.pressed for event in shown))
        self._shown = replace(newest.controls, pressed=pressed)
        return len(shown)

    def forget_pending(self) -> None:
        """Give up on inputs that can no longer be answered: the sidecar they went to is gone."""
        self._pending.clear()
        self._shown = IDLE

    @property
    def rows(self) -> tuple[InputEvent, ...]:
        """The last few inputs, oldest first."""
        return tuple(self._rows)

    @property
    def shown(self) -> Controls:
        """What the newest frame shows of the inputs: what is held, and taps in the first frame that answers them."""
        return self._shown

    @property
    def count(self) -> int:
        """How many answered inputs the percentiles are made of."""
        return len(self._latencies_ms)

    def percentiles_ms(self, *points: float, last: int | None = RECENT) -> tuple[float, ...] | None:
        """Input-to-frame latency, ms, at each point (0 to 100); None before the first answer. `last=None` takes all."""
        if not self._latencies_ms:
            return None
        values = np.fromiter(self._latencies_ms, float)
        return tuple(float(p) for p in np.percentile(values if last is None else values[-last:], points))


def describe(before: Controls, after: Controls) -> str:
    """Say in a few words what a person did between two snapshots."""
    tapped = (after.pressed - after.held) | (after.pressed & after.held & before.held)
    words = [f"{name} down" for name in sorted(after.held - before.held)]
    words += [f"{name} tap" for name in sorted(tapped)]
    words += [f"{name} up" for name in sorted(before.held - after.held - tapped)]
    words += [
        f"{name} {after.axes.get(name, 0.0):+.2f}"
        for name in sorted(set(before.axes) | set(after.axes))
        if before.axes.get(name, 0.0) != after.axes.get(name, 0.0)
    ]
    if after.mouse_dx or after.mouse_dy:
        words.append(f"mouse {after.mouse_dx:+.0f} {after.mouse_dy:+.0f}")
    if after.scroll:
        words.append(f"wheel {after.scroll:+.0f}")
    return ", ".join(words) or "same as before"
