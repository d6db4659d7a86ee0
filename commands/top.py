"""Watch a sidecar in the terminal: latencies now and over five minutes, frames, sessions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro

from inhabit.bridge.look import look
from inhabit.bridge.messages import Figures
from inhabit.bridge.transport import ZmqClient

if TYPE_CHECKING:
    from rich.console import Group

MEASURES = {
    "response": "input to frame", "step": "world", "first_response": "first frame",
}  # fmt: skip
SPANS = {"now": "10s", "5min": "5min"}
PERCENTS = ("p50", "p95", "p99")
COUNTS = (
    "sessions_now", "places", "places_free", "queue", "rooms", "sessions", "resumed", "frames_sent", "frames_skipped",
    "dropped_messages", "set_backs", "failures", "refused", "restarts",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    endpoint: tyro.conf.Positional[str]
    """Where the sidecar listens, such as tcp://127.0.0.1:5555."""

    every_s: float = 1.0
    """How often to look, s."""

    once: bool = False
    """Look once and print."""


def run(options: Options) -> None:
    """Show figures until Ctrl-C."""
    from rich.console import Console
    from rich.live import Live

    transport = ZmqClient(options.endpoint, ("ctl",))
    try:
        told = look(transport)
        if options.once:
            Console().print(table(told))
            return
        with Live(table(told), auto_refresh=False) as live:
            while True:
                time.sleep(options.every_s)
                live.update(table(look(transport)), refresh=True)
    finally:
        transport.close()


def table(told: Figures) -> Group:
    """What is shown, for rich."""
    from rich.console import Group
    from rich.table import Table

    figures = told.figures
    heads = [f"{percent} {span}" for span in SPANS.values() for percent in PERCENTS]
    times = Table("ms, in the sidecar", *heads)
    for name, title in MEASURES.items():
        keys = [f"{name}_ms_{percent}_{span}" for span in SPANS for percent in PERCENTS]
        times.add_row(title, *[f"{figures[key]:.1f}" if key in figures else "-" for key in keys])
    counts = "  ".join(f"{name.replace('_', ' ')} [bold]{figures.get(name, 0):g}[/]" for name in COUNTS)
    sessions = Table("session", "client", "world", "mode", "state", "epoch", "made", "sent", "late", "age s")
    for line in told.sessions:
        sessions.add_row(
            line.session, line.client.replace("[", "\\["), line.room or line.world, line.mode,
            line.state if line.connected else "away", str(line.epoch), str(line.made), str(line.sent), str(line.late),
            f"{line.age_s:.0f}",
        )  # fmt: skip
    return Group(f"up {figures.get('uptime_s', 0):.0f} s", times, counts, sessions)
