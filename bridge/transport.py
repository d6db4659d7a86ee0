"""Moving parts between processes. Only this file knows ZeroMQ; nothing here knows what a message means.

ZeroMQ keeps nothing for us: no queue of ours is deep (credit bounds frames), nothing is sent to a peer that is not
there (IMMEDIATE, ROUTER_MANDATORY), and its heartbeats tell of the network only. A hung sidecar still answers them.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import socket
from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple, Protocol

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from inhabit.bridge.codec import Part
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.fields import MAX_STATE_BYTES, Channel
from inhabit.bridge.keys import ClientKey, KeyStore, key_from_environment

log = logging.getLogger(__name__)

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
BACKLOG = 1024
"""Connections that may wait to be accepted: a crowd of half-open ones must not keep a player out."""

ZAP_DOMAIN = "inhabit"

EVENTS_UP = zmq.EVENT_HANDSHAKE_SUCCEEDED
EVENTS_DOWN = zmq.EVENT_DISCONNECTED
EVENTS_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL


class BindError(InhabitError):
    """The server cannot listen there."""


class Arrival(NamedTuple):
    """A message and the connection that it came on."""

    route: Hashable
    parts: list[Part]
    user: str = ""
    """The public key that opened the connection; "" where keys are not asked for."""


class ConnectionNews(NamedTuple):
    """Something happened to a connection of a client."""

    channel: Channel
    what: Literal["up", "down", "refused"]
    """refused: the sidecar does not know our key, or wants one."""


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

    def news(self) -> list[ConnectionNews]:
        """What happened to the connections since the last call."""
        ...

    def wait(self, timeout_s: float) -> None: ...

    def send(self, channel: Channel, parts: Sequence[Part]) -> Sent: ...

    def close(self) -> None: ...


# ------------------------------------------------------------------------------------------------------------- ZeroMQ


class ZmqServer:
    """A ROUTER socket. With keys only those on their list get in, from anywhere; without, only this machine does.

    Raises BindError when the address is not loopback and there are no keys, or when it is in use.
    """

    def __init__(self, bind: str, keys: KeyStore | None = None):
        check_address(bind)
        if keys is None:
            check_loopback(bind)
        pair = None if keys is None else keys.server()  # raises before there is anything to close
        self._context = zmq.Context()
        self._guard = None if keys is None else _guard(self._context, keys)
        self._socket = self._context.socket(zmq.ROUTER)
        _configure(self._socket, bind)
        if pair is not None:
            self._socket.setsockopt(zmq.CURVE_SERVER, 1)
            self._socket.setsockopt_string(zmq.CURVE_SECRETKEY, pair.secret)
            self._socket.setsockopt_string(zmq.ZAP_DOMAIN, ZAP_DOMAIN)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.BACKLOG, BACKLOG)
        self._socket.setsockopt(zmq.MAXMSGSIZE, SERVER_PART_BYTES)
        try:
            self._socket.bind(bind)
        except zmq.ZMQError as error:
            self._end_guard()
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
        frames = _receive(self._socket)
        if not frames:
            return None
        # Asked of each message: a name of a connection may be used again by another peer.
        user = str(frames[0].get("User-Id")) if self._guard is not None else ""
        return Arrival(frames[0].bytes, [frame.buffer for frame in frames[1:]], user)

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
        self._socket.close(linger=LINGER_MS)
        self._end_guard()
        self._context.destroy(linger=LINGER_MS)

    def _end_guard(self) -> None:
        if self._guard is not None:
            self._guard.stop()


class ZmqClient:
    """Two DEALER sockets, so that a command never waits behind a picture. Raises InhabitError for a bad address.

    Args:
        key: for a sidecar that wants one; the one that the environment variable INHABIT_KEY names if none is given.
    """

    def __init__(self, endpoint: str, channels: Sequence[Channel] = ("ctl", "vid"), *, key: ClientKey | None = None):
        self.endpoint = endpoint
        self._key = key or key_from_environment()
        self._context = zmq.Context()
        self._sockets: dict[Channel, zmq.Socket] = {}
        self._watched: dict[Channel, zmq.Socket] = {}
        self._poller = zmq.Poller()
        for channel in channels:
            self._sockets[channel] = self._connect(endpoint, channel)
            self._poller.register(self._sockets[channel], zmq.POLLIN)

    def _connect(self, endpoint: str, channel: Channel) -> zmq.Socket:
        dealer = self._context.socket(zmq.DEALER)
        _configure(dealer, endpoint)
        dealer.setsockopt(zmq.IMMEDIATE, 1)  # else input queues up while the sidecar is away, and all of it arrives
        dealer.setsockopt(zmq.MAXMSGSIZE, CLIENT_PART_BYTES)
        dealer.setsockopt(zmq.RECONNECT_IVL, 50)
        dealer.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
        dealer.setsockopt(zmq.CONNECT_TIMEOUT, 3000)
        if self._key is not None:
            dealer.setsockopt_string(zmq.CURVE_SERVERKEY, self._key.server)
            dealer.setsockopt_string(zmq.CURVE_PUBLICKEY, self._key.public)
            dealer.setsockopt_string(zmq.CURVE_SECRETKEY, self._key.secret)
        self._watched[channel] = dealer.get_monitor_socket(EVENTS_UP | EVENTS_DOWN | EVENTS_REFUSED)
        self._poller.register(self._watched[channel], zmq.POLLIN)
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
            frames = _receive(dealer)
            if frames:
                return channel, [frame.buffer for frame in frames]
        return None

    def news(self) -> list[ConnectionNews]:
        found = []
        for channel, watched in self._watched.items():
            while watched.poll(0):
                event = recv_monitor_message(watched)["event"]
                if event & EVENTS_UP:
                    found.append(ConnectionNews(channel, "up"))
                elif event & EVENTS_REFUSED:
                    found.append(ConnectionNews(channel, "refused"))
                else:
                    found.append(ConnectionNews(channel, "down"))
        return found

    def wait(self, timeout_s: float) -> None:
        self._poller.poll(max(0, round(timeout_s * 1000)))

    def send(self, channel: Channel, parts: Sequence[Part]) -> Sent:
        return _send(self._sockets[channel], parts)

    def close(self) -> None:
        for dealer in self._sockets.values():
            dealer.disable_monitor()
        self._context.destroy(linger=LINGER_MS)


def check_address(bind: str) -> str:
    """The host of an address to listen on. Raises BindError for what is none."""
    if bind.startswith("ipc://"):
        return ""
    host, _, port = bind.removeprefix("tcp://").rpartition(":")
    host = host.strip("[]")
    if not bind.startswith("tcp://") or not host or not (port.isdecimal() and int(port) < 65536):
        raise BindError(f"Expected an address such as tcp://127.0.0.1:0, got {bind!r} - at bind")
    return host


def check_loopback(bind: str) -> None:
    """Raise BindError unless only this machine can reach the address."""
    host = check_address(bind)
    if not host:
        return
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise BindError(
            f"Expected a loopback address such as tcp://127.0.0.1:0, got {bind!r} - at bind: without keys anyone who "
            "reaches it could play; make some with `inhabit keys new NAME` and `serve --keys`, or use a tunnel "
            "(ssh -L 5555:127.0.0.1:5555 HOST)"
        )


def _configure(zmq_socket: zmq.Socket, endpoint: str) -> None:
    for option, value in (
        (zmq.LINGER, LINGER_MS), (zmq.SNDHWM, SEND_QUEUE_MESSAGES), (zmq.RCVHWM, RECEIVE_QUEUE_MESSAGES),
        (zmq.SNDBUF, SOCKET_BUFFER_BYTES), (zmq.RCVBUF, SOCKET_BUFFER_BYTES), (zmq.TCP_KEEPALIVE, 1),
        (zmq.HEARTBEAT_IVL, 500), (zmq.HEARTBEAT_TIMEOUT, 1500), (zmq.HEARTBEAT_TTL, 2000), (zmq.HANDSHAKE_IVL, 3000),
        (zmq.IPV6, int("[" in endpoint)),
    ):  # fmt: skip
        zmq_socket.setsockopt(option, value)


def curve_pair() -> tuple[str, str]:
    """A new public and secret key, Z85."""
    public, secret = zmq.curve_keypair()
    return public.decode(), secret.decode()


def _guard(context: zmq.Context, keys: KeyStore) -> ThreadAuthenticator:
    """Ask for a key that is on the list, at every handshake. Source: RFC 27/ZAP."""
    guard = ThreadAuthenticator(context)
    guard.start()
    guard.configure_curve_callback(ZAP_DOMAIN, credentials_provider=_Doorman(keys))
    return guard


class _Doorman:
    """What pyzmq's authenticator asks."""

    def __init__(self, keys: KeyStore):
        self._keys = keys

    def callback(self, domain: str, key: bytes) -> bool:
        try:
            return self._keys.grant(key.decode()) is not None
        except InhabitError:
            log.exception("the list of keys cannot be read, nobody gets in")
            return False


def _receive(zmq_socket: zmq.Socket) -> list[zmq.Frame]:
    try:
        return zmq_socket.recv_multipart(zmq.NOBLOCK, copy=False)  # type: ignore[return-value]
    except zmq.Again:
        return []


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
