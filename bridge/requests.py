"""Requests and their answers: each request is carried out once, however often it arrives."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from inhabit.bridge.codec import Packet
from inhabit.bridge.messages import Error, Message


class Waiting(NamedTuple):
    """A request that has arrived."""

    packet: Packet
    received_ns: int


def request_of(message: Message | None) -> int:
    """The message's request id, 0 when it has none."""
    return getattr(message, "request", 0)


class Requests:
    """The requests of one session, in the order of their ids, and the newest answer."""

    def __init__(self, waiting_max: int):
        self._waiting_max = waiting_max
        self._queue: deque[Waiting] = deque()
        self._doing = 0
        self._newest = self._restored = 0
        self._answer: Packet | None = None

    @property
    def answered(self) -> tuple[int, Packet | None]:
        """The newest request that was answered, and its answer."""
        return (request_of(self._answer.message), self._answer) if self._answer is not None else (self._restored, None)

    def restore(self, newest: int, answer: Packet | None) -> None:
        """Go on where a session before this one was."""
        self._newest = self._restored = newest
        self._answer = answer

    @property
    def waiting(self) -> bool:
        return bool(self._queue)

    def take(self, packet: Packet, now_ns: int) -> Packet | None:
        """Take a request in. Returns what to say at once: the answer again, or an ERROR; None when it must wait."""
        request = request_of(packet.message)
        if self._answer is not None and request == request_of(self._answer.message):
            return self._answer
        if request <= self._newest:
            if request == self._doing or any(request_of(waiting.packet.message) == request for waiting in self._queue):
                return None
            text = f"Expected a request above {self._newest}, got {request}, which was answered before"
            return Packet(Error(code="stale", message=text, request=request))
        if len(self._queue) + bool(self._doing) >= self._waiting_max:
            text = f"Expected at most {self._waiting_max} requests without an answer, got request {request} on top"
            return Packet(Error(code="pending", message=text, request=request))
        self._newest = request
        self._queue.append(Waiting(packet, now_ns))
        return None

    def peek(self) -> Waiting | None:
        """The request that next() would give."""
        return None if self._doing or not self._queue else self._queue[0]

    def next(self) -> Waiting | None:
        """The oldest request that waits; it is being done until answer() is called."""
        if self._doing or not self._queue:
            return None
        waiting = self._queue.popleft()
        self._doing = request_of(waiting.packet.message)
        return waiting

    def answer(self, packet: Packet) -> Packet:
        """Keep the answer of the request that is being done, for a client that asks again."""
        self._answer = packet
        self._doing = 0
        return packet

    def drain(self) -> list[int]:
        """Give up: the ids of all requests without an answer, which wait no more."""
        ids = [self._doing] if self._doing else []
        ids += [request_of(waiting.packet.message) for waiting in self._queue]
        self._queue.clear()
        self._doing = 0
        return ids
