"""The sidecar's threads: one owns the sockets, one each owns a world. What they do is in sidecar.py and seat.py."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from threading import Event, Thread, current_thread
from types import TracebackType
from typing import Self

import msgspec

from inhabit.bridge.errors import LocalProtocolError
from inhabit.bridge.fields import Limits
from inhabit.bridge.keys import LOCAL, Grant, KeyStore
from inhabit.bridge.messages import Figures
from inhabit.bridge.pacing import NS_PER_S, Clock, monotonic_ns
from inhabit.bridge.people import Moderate, keep
from inhabit.bridge.ring import sweep_rings
from inhabit.bridge.room import RoomOptions
from inhabit.bridge.seat import MakeWorld, Seat
from inhabit.bridge.sidecar import Sidecar
from inhabit.bridge.snapshots import Snapshots
from inhabit.bridge.transport import ServerTransport, ZmqServer

log = logging.getLogger(__name__)

IDLE_S = 0.1
"""A thread with nothing to do still goes round this often: that is the progress which the beat tells of."""

MESSAGES_A_ROUND = 256
"""Messages read before answers go out: nobody who floods can keep the others waiting."""

FAREWELL_S = 0.2
"""Between BYE and the end of the sockets: when a connection ends, a client's ZeroMQ drops what was not read."""

STOP_S = 2.0
"""How long stop() waits for each thread. One that hangs inside its world is left behind; it ends with the process."""


class DeviceLostError(RuntimeError):
    """The process must end: whoever looks after it starts another one."""


class Server:
    """Serve worlds to clients, each session its own world.

    Args:
        make_world: makes one world; called in the thread that then owns it, the first time right after start().
        bind: loopback address; port 0 takes a free one, see `endpoint`.
        max_sessions: worlds that may live at the same time.
        hang_after_s: clients take the sidecar for hung after this long without progress; above the slowest step.
        rooms: how people share a world.
        lobby: name of a room that all who name no other go to; "" gives each a world of their own.
        name: what clients call the world that make_world makes.
        worlds: further ones that clients may choose, by name.
        snapshots: folder in which sessions survive this process; None keeps those only that lost their connection.
        snapshot_every_s: how often a session is written there.
        traces: folder for a trace of every session, see trace.py; None writes none.
        restarts: sidecars before this one, for the figures.
        keys: who may connect, and as what; without them only this machine can.
        moderate: looks at every chat line and prompt of a room, see people.py.
    """

    def __init__(
        self,
        make_world: MakeWorld,
        *,
        bind: str = "tcp://127.0.0.1:0",
        max_sessions: int = 4,
        hang_after_s: float = 2.0,
        limits: Limits | None = None,
        clock: Clock = monotonic_ns,
        rooms: RoomOptions | None = None,
        lobby: str = "",
        moderate: Moderate = keep,
        name: str = "world",
        worlds: Mapping[str, MakeWorld] | None = None,
        keys: KeyStore | None = None,
        snapshots: Path | None = None,
        snapshot_every_s: float = 5.0,
        traces: Path | None = None,
        restarts: int = 0,
    ):
        limits = msgspec.structs.replace(limits or Limits(), hang_ms=round(hang_after_s * 1000))
        self._bind, self._clock, self._keys = bind, clock, keys
        self._sidecar = Sidecar(
            make_world, max_sessions=max_sessions, limits=limits, clock=clock, open_seat=self._open_seat, rooms=rooms,
            lobby=lobby, moderate=moderate, name=name, worlds=worlds,
            snapshots=Snapshots(snapshots), snapshot_every_s=snapshot_every_s, traces=traces,
            restarts=restarts, wake=self._wake,
            authorise=(lambda user: LOCAL) if keys is None else partial(_authorise, keys),
        )  # fmt: skip
        self._transport: ServerTransport | None = None
        self._threads: list[Thread] = []
        self._stopping = Event()

    @property
    def endpoint(self) -> str:
        """Where clients connect. Raises LocalProtocolError before start()."""
        if self._transport is None:
            raise LocalProtocolError("Cannot read endpoint before start()")
        return self._transport.endpoint

    def start(self) -> Self:
        """Listen, and begin to make the first world. Returns at once. Raises BindError."""
        if self._transport is not None:
            raise LocalProtocolError("Cannot start() a server twice")
        self._transport = ZmqServer(self._bind, self._keys)
        sweep_rings()
        self._sidecar.prepare()
        self._spawn("inhabit-wire", self._run_wire)
        return self

    def figures(self) -> Figures:
        """How it is doing. From any thread."""
        return self._sidecar.figures_told(self._clock())

    def serve_forever(self) -> None:
        """Serve until stop(). Raises what kept the very first world from being made."""
        if self._transport is None:
            self.start()
        first = self._sidecar.seats[0]
        failure = None
        try:
            # Short waits: on Windows a longer one would not let Ctrl-C through.
            while failure is None and not self._stopping.wait(IDLE_S):
                failure = first.hopeless
                if any(seat.fatal for seat in self._sidecar.seats):
                    raise DeviceLostError("The device refuses all further work, only a new process has a new one")
        finally:
            self.stop()
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """Say goodbye to everybody, close the worlds and the sockets. Calling it twice is fine."""
        self._stopping.set()
        for seat in self._sidecar.seats:
            seat.news.set()
        if self._transport is not None:
            self._transport.wake()
        for thread in self._threads:
            if thread is not current_thread():
                thread.join(STOP_S)

    def __enter__(self) -> Self:
        return self.start() if self._transport is None else self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wake(self) -> None:
        if self._transport is not None:
            self._transport.wake()

    def _open_seat(self, seat: Seat) -> None:
        self._spawn("inhabit-world", self._run_world, seat)

    def _spawn(self, name: str, target: Callable[..., None], *args: object) -> None:
        thread = Thread(target=target, args=args, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run_world(self, seat: Seat) -> None:
        """Turn after turn; between two, wait for a request or for the next tick's deadline."""
        assert self._transport is not None
        while not self._stopping.is_set():
            seat.news.clear()
            if seat.turn():
                self._transport.wake()
                continue
            due_ns = seat.due_ns()
            wait_s = IDLE_S if due_ns is None else min(IDLE_S, (due_ns - self._clock()) / NS_PER_S)
            if wait_s > 0:
                seat.news.wait(wait_s)
        seat.end_trace("the sidecar stops")
        seat.close()

    def _run_wire(self) -> None:
        """Messages in, messages out, a round at least every IDLE_S."""
        transport = self._transport
        assert transport is not None
        while not self._stopping.is_set():
            transport.wait(IDLE_S)
            try:
                self._round(transport)
            except Exception:  # the top of this thread: one message of one client must not end the sidecar
                log.exception("a round of the wire failed")
        self._sidecar.close("the sidecar stops")
        if self._round(transport):
            time.sleep(FAREWELL_S)
        transport.close()

    def _round(self, transport: ServerTransport) -> int:
        """Hear what has come, say what is due. Returns how many messages went out."""
        for _ in range(MESSAGES_A_ROUND):
            arrival = transport.receive()
            if arrival is None:
                break
            self._sidecar.receive(arrival.route, arrival.parts, self._clock(), arrival.user)
        self._sidecar.wake_worlds()
        messages = self._sidecar.outgoing(self._clock())
        for outgoing in messages:
            if transport.send(outgoing.route, outgoing.parts) == "gone":
                self._sidecar.gone(outgoing.route, self._clock())
        return len(messages)


def _authorise(keys: KeyStore, user: str) -> Grant | None:
    known = keys.grant(user)
    return None if known is None else known[1]
