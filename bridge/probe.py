"""What the bridge costs: measured at the client, against a sidecar on this machine.

Both processes then read the same monotonic clock, so that the sidecar's stamps may be compared with the client's.
Across machines only `input_to_frame_ms` and what measure_lockstep() gives mean anything.
"""

from __future__ import annotations

from dataclasses import dataclass

from inhabit.bridge.client import LiveWorld, RemoteWorld
from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import WorldError
from inhabit.bridge.frames import Frame
from inhabit.bridge.pacing import NS_PER_MS, NS_PER_S, Recent, monotonic_ns
from inhabit.bridge.world import WorldInfo

WARM_UP_FRAMES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Median and 99th percentile of one measure, milliseconds."""

    p50: float
    p99: float


def measure_live(endpoint: str, *, frames: int = 300, timeout_s: float = 60.0) -> dict[str, Measured | float]:
    """Play for so many frames on the world's own clock. Raises WorldError when they do not come in time.

    Returns:
        bridge_ms: from the frame made in the sidecar to the frame arrived here.
        input_to_frame_ms: from controls sent to the first frame that shows them, waiting for the tick included.
        world_ms: from controls read to the frame made.
        client_fps: frames a second that arrived. made, skipped: frames that the world made, and that never were sent.
    """
    bridge, latency, world = Recent(frames), Recent(frames), Recent(frames)
    with LiveWorld(endpoint, client="probe", timeout_s=timeout_s) as live:
        info, answered, first = live.info, 0, None
        deadline_ns = monotonic_ns() + round(timeout_s * NS_PER_S)
        for count in range(WARM_UP_FRAMES + frames):
            seq = live.send(_controls(info, count))
            last = _next_frame(live, deadline_ns)
            if count < WARM_UP_FRAMES:
                first = last
                continue
            stamps = last.stamps
            bridge.add((stamps.client_arrived_ns - stamps.server_done_ns) / NS_PER_MS)
            world.add((stamps.server_done_ns - stamps.server_sampled_ns) / NS_PER_MS)
            if answered < last.answers <= seq:
                answered = last.answers
                latency.add((stamps.client_arrived_ns - stamps.client_input_ns) / NS_PER_MS)
        assert first is not None
        span_s = (last.stamps.client_arrived_ns - first.stamps.client_arrived_ns) / NS_PER_S
    made = last.index - first.index
    return {
        "bridge_ms": _measured(bridge), "input_to_frame_ms": _measured(latency), "world_ms": _measured(world),
        "client_fps": frames / span_s, "made": made, "skipped": made - frames,
    }  # fmt: skip


def measure_lockstep(endpoint: str, *, frames: int = 300, timeout_s: float = 60.0) -> dict[str, Measured | float]:
    """Take so many steps as fast as they go.

    Returns:
        step_ms: one call of step(), here. bridge_ms: the same less the world's own step.
        steps_per_s: of one client alone.
    """
    whole, bridge = Recent(frames), Recent(frames)
    with RemoteWorld(endpoint, client="probe", timeout_s=timeout_s) as remote:
        remote.reset(seed=0)
        begun_ns = 0
        for count in range(WARM_UP_FRAMES + frames):
            before_ns = monotonic_ns()
            stamps = remote.step(_controls(remote.info, count)).stamps
            step_ns = monotonic_ns() - before_ns
            if count == WARM_UP_FRAMES:
                begun_ns = before_ns
            if count >= WARM_UP_FRAMES:
                whole.add(step_ns / NS_PER_MS)
                bridge.add((step_ns - (stamps.server_done_ns - stamps.server_sampled_ns)) / NS_PER_MS)
        span_s = (monotonic_ns() - begun_ns) / NS_PER_S
    return {"step_ms": _measured(whole), "bridge_ms": _measured(bridge), "steps_per_s": frames / span_s}


def _controls(info: WorldInfo, count: int) -> Controls:
    """One action after the other, so that frames differ."""
    size = info.actions.size
    return Controls(action=tuple(float(index == count % size) for index in range(size)))


def _next_frame(live: LiveWorld, deadline_ns: int) -> Frame:
    while monotonic_ns() < deadline_ns:
        frame = live.poll(0.1)
        if frame is not None:
            return frame
        if live.state in ("failed", "lost"):
            raise WorldError(live.reason)
    raise WorldError(f"Expected frames in time, got too few: the sidecar is {live.state}")


def _measured(recent: Recent) -> Measured:
    return Measured(p50=recent.percentile(50), p99=recent.percentile(99))
