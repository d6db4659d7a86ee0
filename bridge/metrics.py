"""The sidecar's figures for Prometheus, over HTTP on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from inhabit.bridge.errors import InhabitError, MissingExtraError
from inhabit.bridge.messages import Figures
from inhabit.bridge.transport import check_loopback

COUNTERS = frozenset(
    ("sessions", "resumed", "frames_sent", "frames_skipped", "set_backs", "failures", "refused", "restarts")
)


def serve_metrics(address: str, figures: Callable[[], Figures]) -> int:
    """Answer scrapes in a thread of its own, at HOST:PORT (port 0 takes a free one). Returns the port.

    Raises MissingExtraError, and InhabitError for an address that is not of this machine or in use.
    """
    check_loopback(f"tcp://{address}")
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as error:
        raise MissingExtraError("prometheus-client", "metrics") from error
    registry = CollectorRegistry()
    registry.register(_Collector(figures))  # type: ignore[arg-type]
    host, _, port = address.rpartition(":")
    try:
        server, _ = start_http_server(int(port), addr=host, registry=registry)
    except OSError as error:
        raise InhabitError(f"Cannot serve metrics at {address}: {error.strerror or error}") from error
    return server.server_port


LABELS = ("session", "world")


class _Collector:
    """What prometheus_client asks at each scrape."""

    def __init__(self, figures: Callable[[], Figures]):
        self._figures = figures

    def collect(self) -> Iterator[object]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        told = self._figures()
        for name, value in told.figures.items():
            kind = CounterMetricFamily if name in COUNTERS else GaugeMetricFamily
            yield kind(f"inhabit_{name}", f"{name} of this sidecar", value=value)
        depth = GaugeMetricFamily(
            "inhabit_session_age_seconds", "how deep in a session is", labels=["session", "world"]
        )
        for line in told.sessions:
            depth.add_metric([line.session, line.world], line.age_s)
        yield depth
