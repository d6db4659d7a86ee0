"""A transport without a network: both ends in one process and one thread, in a fixed order. For tests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence

from inhabit.bridge.codec import Part
from inhabit.bridge.fields import Channel
from inhabit.bridge.transport import Arrival, ConnectionNews, Sent


class Loopback:
    """Both ends.

    Args:
        on_wait: called when an end waits, with the time-out in seconds. It lets the other end do its work.
    """

    def __init__(self, on_wait: Callable[[float], None] = lambda timeout_s: None):
        self.server = LoopbackServer()
        self._on_wait = on_wait
        self._connected = 0

    def connect(self) -> LoopbackClient:
        """A new client with its own connections."""
        self._connected += 1
        return LoopbackClient(self.server, self._connected, self._on_wait)


class LoopbackServer:
    def __init__(self) -> None:
        self.endpoint = "loopback"
        self.arrivals: deque[Arrival] = deque()
        self.peers: dict[Hashable, deque[list[Part]]] = {}

    def receive(self) -> Arrival | None:
        return self.arrivals.popleft() if self.arrivals else None

    def wait(self, timeout_s: float) -> None:
        """There is nobody to wait for: the other end runs in this very thread."""

    def wake(self) -> None: ...

    def send(self, route: Hashable, parts: Sequence[Part]) -> Sent:
        if route not in self.peers:
            return "gone"
        self.peers[route].append(list(parts))
        return "sent"

    def close(self) -> None:
        self.peers.clear()


class LoopbackClient:
    def __init__(self, server: LoopbackServer, number: int, on_wait: Callable[[float], None]):
        self.endpoint = server.endpoint
        self._server = server
        self._on_wait = on_wait
        self._number = number
        self._connections = 0
        self._routes: dict[Channel, tuple[int, Channel, int]] = {}
        self.connect()

    def connect(self) -> None:
        """Break the connections, if there are any, and make new ones: the server sees new routes."""
        self.close()
        self._connections += 1
        for channel in ("ctl", "vid"):
            route = (self._number, channel, self._connections)
            self._routes[channel] = route
            self._server.peers[route] = deque()

    def receive(self) -> tuple[Channel, list[Part]] | None:
        for channel, route in self._routes.items():
            inbox = self._server.peers.get(route)
            if inbox:
                return channel, inbox.popleft()
        return None

    def news(self) -> list[ConnectionNews]:
        return []

    def wait(self, timeout_s: float) -> None:
        if not any(self._server.peers.get(route) for route in self._routes.values()):
            self._on_wait(timeout_s)

    def send(self, channel: Channel, parts: Sequence[Part]) -> Sent:
        if self._routes[channel] not in self._server.peers:
            return "gone"
        self._server.arrivals.append(Arrival(self._routes[channel], list(parts)))
        return "sent"

    def close(self) -> None:
        for route in self._routes.values():
            self._server.peers.pop(route, None)
