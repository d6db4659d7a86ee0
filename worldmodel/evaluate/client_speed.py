"""What a player gets: a sidecar process is started, played over the wire, and timed at the client.

Buttons are pressed at random times, not in step with frames: a person does not know when the next tick is due.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from inhabit.bridge.client import LiveWorld
from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.pacing import NS_PER_MS, NS_PER_S, monotonic_ns
from inhabit.bridge.probe import measure_live, measure_lockstep
from inhabit.bridge.supervisor import Patience, Supervisor

POLL_S = 0.004
"""How long the client waits for a frame at a time; presses are late by this much at most."""

HANG_S = 60.0
"""The slowest frame that is still waited for."""

PRESS_S = (0.06, 0.25)
"""Shortest and longest time between two changes of the keys."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientConfig:
    """How long is played."""

    seconds: float = 30.0
    """Time of play in which inputs are timed."""

    frames: int = 200
    """Frames of each of the two measurements of the bridge."""

    load_s: float = 300.0
    """Longest wait for the sidecar to load its world."""


@contextmanager
def sidecar(arguments: Sequence[str], *, load_s: float) -> Iterator[str]:
    """Run `inhabit serve ARGUMENTS` as a process of its own and give its endpoint. Raises InhabitError if it cannot."""
    patience = Patience(hang_s=HANG_S, load_s=load_s, listen_s=load_s)
    with Supervisor(["serve", *arguments, "--hang-after-s", str(HANG_S)], patience=patience) as supervisor:
        yield supervisor.wait_until_listening()


def measure_client(arguments: Sequence[str], config: ClientConfig) -> dict[str, Any]:
    """Start a sidecar, play it, and return `client` and `bridge` figures.

    `client.fps`: frames a second that arrived while playing freely; `client.input_to_frame_ms`: from sending an input
    to the arrival of the first frame that shows it; `bridge.overhead_ms`: from a frame made in the sidecar to its
    arrival here; `bridge.lockstep_ms`: a step's round trip without the world's own time.
    """
    with sidecar(arguments, load_s=config.load_s) as endpoint:
        client = play(endpoint, config)
        timeout_s = config.load_s + 4 * config.frames / max(0.1, client["fps"])
        live = measure_live(endpoint, frames=config.frames, timeout_s=timeout_s)
        lockstep = measure_lockstep(endpoint, frames=config.frames, timeout_s=timeout_s)
    bridge = {"overhead_ms": _points(live["bridge_ms"]), "lockstep_ms": _points(lockstep["bridge_ms"])}
    return {"client": client, "bridge": bridge}


def play(endpoint: str, config: ClientConfig, *, seed: int = 0) -> dict[str, Any]:
    """Press random keys for a while. Raises InhabitError when the world does not come or fails."""
    rng = random.Random(seed)
    waiting: list[tuple[int, int]] = []
    latencies: list[float] = []
    arrivals: list[int] = []
    with LiveWorld(endpoint, client="bench", timeout_s=config.load_s) as live:
        sources = live.info.actions.sources
        keys = [key for source in sources for key in (*source.keys[:1], *source.keys_back[:1])]
        _await_frame(live, config.load_s)
        end_ns = monotonic_ns() + round(config.seconds * NS_PER_S)
        due_ns, held = 0, frozenset[str]()
        while (now_ns := monotonic_ns()) < end_ns:
            if now_ns >= due_ns:
                held = _other_keys(keys, held, rng)
                waiting.append((live.send(Controls(held=held)), now_ns))
                due_ns = now_ns + round(rng.uniform(*PRESS_S) * NS_PER_S)
            frame = live.poll(POLL_S)
            if frame is not None:
                arrived_ns = frame.stamps.client_arrived_ns
                arrivals.append(arrived_ns)
                shown = [sent_ns for seq, sent_ns in waiting if seq <= frame.answers]
                waiting = waiting[len(shown) :]
                latencies += [(arrived_ns - sent_ns) / NS_PER_MS for sent_ns in shown]
            elif live.state in ("failed", "lost"):
                raise InhabitError(f"The sidecar was lost while it was played: {live.reason}")
        rate_hz, late = live.info.rate_hz, live.stats()["late"]
    return _client_figures(arrivals, latencies, rate_hz, late)


def _client_figures(arrivals: Sequence[int], latencies: Sequence[float], rate_hz: float, late: float) -> dict[str, Any]:
    if len(arrivals) < 3 or not latencies:
        raise InhabitError(f"Expected frames that answer inputs, got {len(arrivals)} frames; play longer")
    span_s = (arrivals[-1] - arrivals[0]) / NS_PER_S
    points = dict(zip(("p50", "p95", "p99"), np.percentile(latencies, (50, 95, 99)).tolist(), strict=True))
    return {
        "fps": (len(arrivals) - 1) / span_s,
        "rate_hz": rate_hz,
        "frames": len(arrivals),
        "ticks_left_out": late,
        "inputs": len(latencies),
        "input_to_frame_ms": points,
        "frame_interval_ms": dict(
            zip(("p50", "p99"), np.percentile(np.diff(arrivals) / NS_PER_MS, (50, 99)).tolist(), strict=True)
        ),
    }


def _other_keys(keys: Sequence[str], held: frozenset[str], rng: random.Random) -> frozenset[str]:
    """Another single key, or none: always a change, so that every input can be seen."""
    choices = [frozenset[str](), *(frozenset({key}) for key in keys)]
    return rng.choice([choice for choice in choices if choice != held])


def _await_frame(live: LiveWorld, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while live.poll(0.1) is None:
        if live.state in ("failed", "lost") or time.monotonic() > deadline:
            raise InhabitError(f"Expected a first frame within {timeout_s:g} s, it is {live.state}: {live.reason}")


def _points(measured: Any) -> dict[str, float]:
    return {"p50": measured.p50, "p99": measured.p99}
