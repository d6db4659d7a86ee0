"""A connection that takes no place and only asks whether a sidecar makes progress."""

from __future__ import annotations

from inhabit.bridge.codec import WireError, decode_from_server, encode
from inhabit.bridge.messages import Bye, Error, Hello, Ping, State
from inhabit.bridge.pacing import NS_PER_MS, NS_PER_S
from inhabit.bridge.transport import ClientTransport

SAY_EVERY_NS = 500 * NS_PER_MS

ABSENCE_NS = 500 * NS_PER_MS
"""At most so much of the time between two polls counts as silence: while nobody polled, nobody listened."""


class Monitor:
    """Listens for the progress beat. Poll style, one thread."""

    def __init__(self, transport: ClientTransport, now_ns: int):
        self.heard = False
        """Has there been a beat at all?"""

        self.busy_s = 0.0
        """For how long a world has been made, reset or restored; 0 when none is."""

        self._transport = transport
        self._silent_ns, self._polled_ns, self._said_ns = 0, now_ns, now_ns - NS_PER_S
        self._known = False

    @property
    def silent_s(self) -> float:
        """For how long there has been no beat."""
        return self._silent_ns / NS_PER_S

    def poll(self, now_ns: int) -> None:
        """Hear what has come, say what is due."""
        self._silent_ns += min(now_ns - self._polled_ns, ABSENCE_NS)
        self._polled_ns = now_ns
        while (arrived := self._transport.receive()) is not None:
            try:
                message = decode_from_server(arrived[1]).message
            except WireError:
                continue  # no sidecar of this version: it stays silent for us
            if isinstance(message, State):
                self.heard = self._known = True
                self._silent_ns, self.busy_s = 0, message.busy_ms / 1000
            elif isinstance(message, Error):
                self._known = False
        if now_ns - self._said_ns >= SAY_EVERY_NS:
            said = Ping(t_ns=now_ns) if self._known else Hello(client="monitor", mode="monitor")
            if self._transport.send("ctl", encode(said)) == "sent":
                self._said_ns = now_ns

    def close(self) -> None:
        self._transport.send("ctl", encode(Bye(reason="the monitor closes")))
        self._transport.close()
