"""Report: what a client saw of a world's speed, as data for tables and for the next run to compare with."""

from __future__ import annotations

from typing import Any

from inhabit.bindings.window.pane import Pane
from inhabit.bridge.report import machine


def make_report(pane: Pane) -> dict[str, Any]:
    """Gather the figures of one world.

    Units: `client.fps` frames that reached the window a second of real time, from the first to the last;
    `input_to_frame_ms` from sending an input to the arrival of the first frame that shows it, each input once, null
    when nothing was pressed; `first_frame_s` from opening the window to the first frame.
    """
    points = pane.log.percentiles_ms(50, 95, 99, last=None)
    latency_ms = None if points is None else dict(zip(("p50", "p95", "p99"), (round(point, 3) for point in points)))
    info = pane.info
    return {
        "world": pane.connection.name,
        "rate_hz": info.rate_hz if info else None,
        "size_px": [info.width, info.height] if info else None,
        "steps": pane.steps or None,
        "client": {"fps": round(pane.mean_fps, 3)},
        "input_to_frame_ms": latency_ms,
        "inputs": pane.log.count,
        "frames": pane.frames,
        "dropped": pane.dropped,
        "first_frame_s": round(pane.first_frame_s, 3) if pane.frames else None,
        "machine": machine(),
    }
