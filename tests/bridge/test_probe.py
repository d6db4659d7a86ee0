"""The measurement measures: figures are there and hang together. How good they are is not a test."""

from __future__ import annotations

from inhabit.bridge.probe import Measured, measure_live, measure_lockstep


def test_live_figures_hang_together(served):
    report = measure_live(served.endpoint, frames=20)
    bridge, latency = report["bridge_ms"], report["input_to_frame_ms"]
    assert isinstance(bridge, Measured)
    assert isinstance(latency, Measured)
    assert 0 < bridge.p50 <= bridge.p99
    assert bridge.p50 < latency.p99
    assert report["client_fps"]


def test_lockstep_figures_hang_together(served):
    report = measure_lockstep(served.endpoint, frames=20)
    step, bridge = report["step_ms"], report["bridge_ms"]
    assert isinstance(step, Measured)
    assert isinstance(bridge, Measured)
    assert 0 < bridge.p50 < step.p50
