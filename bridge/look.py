"""Asking a sidecar how it is doing, from outside: one connection that takes no place."""

from __future__ import annotations

import time

from inhabit.bridge.codec import WireError, decode_from_server, encode
from inhabit.bridge.errors import WorldError
from inhabit.bridge.messages import Error, Figures, Look
from inhabit.bridge.transport import ClientTransport

POLL_S = 0.05


def look(transport: ClientTransport, timeout_s: float = 3.0) -> Figures:
    """Ask once. Raises WorldError when nothing answers or the answer is no."""
    deadline, asked = time.monotonic() + timeout_s, False
    while time.monotonic() < deadline:
        asked = asked or transport.send("ctl", encode(Look())) == "sent"
        transport.wait(POLL_S)
        if any(news.what == "refused" for news in transport.news()):
            raise WorldError(f"The sidecar at {transport.endpoint} refuses our key, or wants one: set INHABIT_KEY")
        while (arrived := transport.receive()) is not None:
            try:
                message = decode_from_server(arrived[1]).message
            except WireError as error:
                raise WorldError(f"{error} - from {transport.endpoint}") from error
            if isinstance(message, Figures):
                return message
            if isinstance(message, Error):
                raise WorldError(message.message)
    raise WorldError(
        f"Expected an answer from {transport.endpoint} within {timeout_s:g} s: is that a sidecar's endpoint?"
    )
