"""Moving parts between processes. Only this file knows ZeroMQ; nothing here knows what a message means.

ZeroMQ keeps nothing for us: no queue of ours is deep (credit bounds frames), nothing is sent to a peer that is not
there (IMMEDIATE, ROUTER_MANDATORY), and its heartbeats tell of the network only. A hung sidecar still answers them.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Literal, NamedTuple, Protocol

import zmq

from inhabit.bridge.codec import Part
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.fields import MAX_STATE_BYTES, Channel

Sent = Literal["sent", "full", "gone"]
"""What became of a message: taken, the peer does not read (try again later), or there is no such peer."""

ZERO_COPY_BYTES = 64 * 1024
"""From this size on, libzmq takes a part without copying it. The part must never change afterwards: we give bytes."""

SERVER_PART_BYTES = MAX_STATE_BYTES + 1024
CLIENT_PART_BYTES = 8192 * 8192 * 3 + 1024
SEND_QUEUE_MESSAGES = 64
"""Bounds what a client that reads nothing can cost: so many frames at the worst. What does not fit is said again."""

RECEIVE_QUEUE_MESSAGES = 256
SOCKET_BUFFER_BYTES = 256 * 1024
LINGER_MS = 200


class BindError(InhabitError):
    """The server cannot listen there."""


class Arrival(NamedTuple):
    """A message and the connection that it came on."""

    route: Hashable
    parts: list[Part]


class ServerTransport(Protocol):
    """The listening end. One thread owns it; only wake() may be called from others."""

    endpoint: str

    def receive(self) -> Arrival | None:
        """The next message, None when there is none now."""
        ...

    def wait(self, timeout_s: float) -> None:
        """Return when a message is there, when wake() was called, or after the time-out."""
        ...

    def wake(self) -> None: ...

    def send(self, route: Hashable, parts: Sequence[Part]) -> Sent: ...

    def close(self) -> None: ...


class ClientTransport(Protocol):
    """The calling end: one connection for each channel. One thread owns it."""

    endpoint: str

    def receive(self) -> tuple[Channel, list[Part]] | None: ...

    def wait(self, timeout_s: float) -> None: ...

    def send(self, channel: Channel, parts: Sequence[Part]) -> Sent: ...

    def close(self) -> None: ...


# ------------------------------------------------------------------------------------------------------------- ZeroMQ


class ZmqServer:
    """A ROUTER socket. Raises BindError when the address is not loopback or is in use."""

    def __init__(self, bind: str):
        check_loopback(bind)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        _configure(self._socket, bind)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.MAXMSGSIZE, SERVER_PART_BYTES)
        try:
            self._socket.bind(bind)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise BindError(_why_not_bound(bind, error)) from error
        self.endpoint: str = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        # A ZeroMQ socket belongs to one thread; this pair of plain sockets is how others knock.
        self._knock, self._door = socket.socketpair()
        self._knock.setblocking(False)
        self._door.setblocking(False)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._door, zmq.POLLIN)

    def receive(self) -> Arrival | None:
        parts = _receive(self._socket)
        if not parts:
            return None
        return Arrival(bytes(parts[0]), parts[1:])

    def wait(self, timeout_s: float) -> None:
        self._poller.poll(max(0, round(timeout_s * 1000)))
        with contextlib.suppress(BlockingIOError):
            self._door.recv(4096)

    def wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):  # full: it is awake already; closed: nobody is there
            self._knock.send(b"!")

    def send(self, route: Hashable, parts: Sequence[Part]) -> Sent:
        return _send(self._socket, [route, *parts])  # type: ignore[list-item]

    def close(self) -> None:
        self._knock.close()
        self._door.close()
        self._context.destroy(linger=LINGER_MS)


class ZmqClient:
    """Two DEALER sockets, so that a command never waits behind a picture. Raises InhabitError for a bad address."""

    def __init__(self, endpoint: str, channels: Sequence[Channel] = ("ctl", "vid")):
        self.endpoint = endpoint
        self._context = zmq.Context()
        self._sockets: dict[Channel, zmq.Socket] = {}
        self._poller = zmq.Poller()
        for channel in channels:
            self._sockets[channel] = self._connect(endpoint)
            self._poller.register(self._sockets[channel], zmq.POLLIN)

    def _connect(self, endpoint: str) -> zmq.Socket:
        dealer = self._context.socket(zmq.DEALER)
        _configure(dealer, endpoint)
        dealer.setsockopt(zmq.IMMEDIATE, 1)  # else input queues up while the sidecar is away, and all of it arrives
        dealer.setsockopt(zmq.MAXMSGSIZE, CLIENT_PART_BYTES)
        dealer.setsockopt(zmq.RECONNECT_IVL, 50)
        dealer.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
        dealer.setsockopt(zmq.CONNECT_TIMEOUT, 3000)
        try:
            dealer.connect(endpoint)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise InhabitError(
                f"Expected an address such as tcp://127.0.0.1:5555, got {endpoint!r}: {error}"
            ) from error
        return dealer

    def receive(self) -> tuple[Channel, list[Part]] | None:
        for channel, dealer in self._sockets.items():
            parts = _receive(dealer)
            if parts:
                return channel, parts
        return None

    def wait(self, timeout_s: float) -> None:
        self._poller.poll(max(0, round(timeout_s * 1000)))

    def send(self, channel: Channel, parts: Sequence[Part]) -> Sent:
        return _send(self._sockets[channel], parts)

    def close(self) -> None:
        self._context.destroy(linger=LINGER_MS)


def check_loopback(bind: str) -> None:
    """Raise BindError unless only this machine can reach the address."""
    if bind.startswith("ipc://"):
        return
    host, _, port = bind.removeprefix("tcp://").rpartition(":")
    host = host.strip("[]")
    if not bind.startswith("tcp://") or not host or not (port.isdecimal() and int(port) < 65536):
        raise BindError(f"Expected an address such as tcp://127.0.0.1:0, got {bind!r} - at bind")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise BindError(
            f"Expected a loopback address such as tcp://127.0.0.1:0, got {bind!r} - at bind: there are no keys yet, "
            "so anyone who reaches it could play; from another machine use a tunnel (ssh -L 5555:127.0.0.1:5555 HOST)"
        )


def _configure(zmq_socket: zmq.Socket, endpoint: str) -> None:
    for option, value in (
        (zmq.LINGER, LINGER_MS), (zmq.SNDHWM, SEND_QUEUE_MESSAGES), (zmq.RCVHWM, RECEIVE_QUEUE_MESSAGES),
        (zmq.SNDBUF, SOCKET_BUFFER_BYTES), (zmq.RCVBUF, SOCKET_BUFFER_BYTES), (zmq.TCP_KEEPALIVE, 1),
        (zmq.HEARTBEAT_IVL, 500), (zmq.HEARTBEAT_TIMEOUT, 1500), (zmq.HEARTBEAT_TTL, 2000), (zmq.HANDSHAKE_IVL, 3000),
        (zmq.IPV6, int("[" in endpoint)),
    ):  # fmt: skip
        zmq_socket.setsockopt(option, value)


def _receive(zmq_socket: zmq.Socket) -> list[Part]:
    try:
        frames = zmq_socket.recv_multipart(zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return []
    return [frame.buffer for frame in frames]


def _send(zmq_socket: zmq.Socket, parts: Sequence[Part]) -> Sent:
    zero_copy = any(len(part) >= ZERO_COPY_BYTES for part in parts)
    try:
        zmq_socket.send_multipart(parts, zmq.NOBLOCK, copy=not zero_copy)
    except zmq.Again:
        return "full"
    except zmq.ZMQError as error:
        if error.errno == errno.EHOSTUNREACH:
            return "gone"
        raise
    return "sent"


def _why_not_bound(bind: str, error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Cannot listen on {bind}: the port is in use - stop the other program, or take port 0 for a free one"
    return f"Cannot listen on {bind}: {error}"


# ----------------------------------------------------------------------------------------------------------- Loopback


class Loopback:
    """Both ends in one process and one thread, in a fixed order: for tests.

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
