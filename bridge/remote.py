"""RemoteWorld: a world in a sidecar, one frame for each step, for agents and scripts. What it says is link.py's."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from inhabit.bridge.beginnings import split_picture
from inhabit.bridge.codec import Packet, encode
from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import LocalProtocolError, RemoteProtocolError, WorldError
from inhabit.bridge.fields import WireControls
from inhabit.bridge.frames import Frame
from inhabit.bridge.inbox import read_frame
from inhabit.bridge.inputs import to_wire
from inhabit.bridge.line import Connect, Line
from inhabit.bridge.messages import (
    Ack,
    Error,
    Message,
    Reset,
    Restore,
    Save,
    Set,
    Step,
    Stepped,
)  # fmt: skip
from inhabit.bridge.pacing import NS_PER_S, Clock, monotonic_ns
from inhabit.bridge.transport import ZmqClient
from inhabit.bridge.world import WorldInfo


def checked_controls(controls: Controls) -> WireControls:
    """Write controls for the wire. Raises LocalProtocolError for a name or a number that it does not take."""
    try:
        said = to_wire(controls)
    except (ValueError, TypeError) as error:
        raise LocalProtocolError(f"Cannot send controls: {error}") from error
    encode(Step(request=1, controls=said))
    return said


class RemoteWorld:
    """A World in a sidecar, in lock-step: it moves only when told to, and every call returns or raises in time.

    Args:
        endpoint: where the sidecar listens, such as "tcp://127.0.0.1:5555".
        client: our name in the sidecar's log.
        timeout_s: longest wait of the constructor and of each call, seconds.

    Raises:
        WorldError: the sidecar does not answer, is full, hangs, or its world said no.
        RemoteProtocolError: what answers does not speak this protocol.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        client: str = "inhabit",
        timeout_s: float = 30.0,
        connect: Connect = ZmqClient,
        clock: Clock = monotonic_ns,
    ):
        self._timeout_s = timeout_s
        self._line = Line(endpoint, mode="lockstep", client=client, timeout_s=timeout_s, connect=connect, clock=clock)
        self._begun = self._closed = False
        try:
            self._wait_until(lambda: self._line.link.info is not None, "WELCOME")
        except BaseException:
            self.close()
            raise
        assert self._line.link.info is not None
        self.info: WorldInfo = self._line.link.info

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Frame:
        plain, part = split_picture(options or {})
        answer = self._ask(Reset, *([part] if part else []), seed=seed, options=plain, t_ns=self._line.clock())
        self._begun = True
        return self._frame(answer)

    def step(self, controls: Controls) -> Frame:
        if not self._begun:
            raise WorldError("Cannot call step() before reset()")
        said = checked_controls(controls)
        return self._frame(self._ask(Step, t_ns=self._line.clock(), controls=said))

    def configure(self, **settings: Any) -> str | None:
        answer = self._ask(Set, settings=settings).message
        return answer.note or None if isinstance(answer, Ack) else None

    def save(self) -> bytes:
        answer = self._ask(Save)
        if not answer.payload:
            raise RemoteProtocolError("Expected the state as a part after ACK, got none")
        return bytes(answer.payload[0])

    def restore(self, state: bytes) -> None:
        self._ask(Restore, state)
        self._begun = True

    def close(self) -> None:
        """Give the place back. Calling it twice is fine."""
        if not self._closed:
            self._closed = True
            self._line.close()

    def _ask(self, kind: type[Message], *payload: bytes, **fields: object) -> Packet:
        """Send a request and wait for its answer. Raises WorldError when the world says no."""
        if self._closed:
            raise LocalProtocolError("Cannot use a RemoteWorld after close(): open a new one")
        link = self._line.link
        request = link.request(kind, *payload, **fields)
        self._wait_until(lambda: link.has_answer(request), f"the answer to {kind.__name__.upper()}")
        answer = link.take_answer(request)
        if isinstance(answer.message, Error):
            raise WorldError(answer.message.message)
        return answer

    def _wait_until(self, happened: Callable[[], bool], what: str) -> None:
        begun_ns = self._line.clock()
        while True:
            now_ns = self._line.pump()
            if happened():
                return
            if self._line.link.over:
                raise WorldError(self._line.link.reason)
            left_s = self._timeout_s - (now_ns - begun_ns) / NS_PER_S
            if left_s <= 0:
                state = self._line.link.state
                raise WorldError(f"Expected {what} within {self._timeout_s:g} s, got none: the sidecar is {state}")
            self._line.wait(left_s)

    def _frame(self, answer: Packet) -> Frame:
        message = answer.message
        if not isinstance(message, Stepped):
            raise RemoteProtocolError(f"Expected STEPPED, got {type(message).__name__}")
        return read_frame(message.frame, answer.payload, epoch_before=0, now_ns=self._line.clock())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
