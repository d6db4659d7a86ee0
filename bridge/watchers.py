"""Connections that only want to know whether the sidecar lives: supervisors. They take no place."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from inhabit.bridge.messages import Bye, Error, Hello, Message, Ping, Pong, State
from inhabit.bridge.pacing import NS_PER_MS
from inhabit.bridge.seat import Seat

WATCHERS_MAX = 4
WATCHER_LEASE_NS = 3_000 * NS_PER_MS


@dataclass(slots=True)
class Watcher:
    """One of them."""

    heard_ns: int
    due_ns: int
    turns: tuple[int, ...] = ()


class Watchers:
    """All of them, by their routes. Under the sidecar's lock."""

    def __init__(self, beat_ms: int):
        self._beat_ns = beat_ms * NS_PER_MS
        self._known: dict[Hashable, Watcher] = {}

    def __contains__(self, route: Hashable) -> bool:
        return route in self._known

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._known)

    def add(self, route: Hashable, now_ns: int) -> Error | None:
        """One more, or why not."""
        if route not in self._known and len(self._known) >= WATCHERS_MAX:
            return Error(code="busy", message=f"There are {WATCHERS_MAX} monitors already")
        self._known[route] = Watcher(heard_ns=now_ns, due_ns=now_ns)
        return None

    def remove(self, route: Hashable) -> None:
        self._known.pop(route, None)

    def clear(self) -> None:
        self._known.clear()

    def receive(self, message: Message, route: Hashable, now_ns: int) -> Message | None:
        """Take what one says. Returns the answer."""
        self._known[route].heard_ns = now_ns
        if isinstance(message, Ping):
            return Pong(t_ns=message.t_ns, server_ns=now_ns)
        if isinstance(message, Bye):
            del self._known[route]
        elif not isinstance(message, Hello):
            return Error(code="wrong_mode", message="Expected only PING, LIST and BYE in mode monitor")
        return None

    def beats(self, seats: Sequence[Seat], now_ns: int) -> list[tuple[Hashable, State]]:
        """What is due to be told to whom. Who is silent for too long is forgotten."""
        for route in [route for route, one in self._known.items() if now_ns - one.heard_ns > WATCHER_LEASE_NS]:
            del self._known[route]
        due = [(route, one) for route, one in self._known.items() if now_ns >= one.due_ns]
        told = [(route, self._beat(one, seats, now_ns)) for route, one in due]
        return [(route, state) for route, state in told if state is not None]

    def _beat(self, watcher: Watcher, seats: Sequence[Seat], now_ns: int) -> State | None:
        """A beat is heard only if every world's thread has moved, or is at something that may take long."""
        turns = tuple(seat.turns for seat in seats)
        busy = [seat.busy_ms(now_ns) for seat in seats]
        before = watcher.turns + (-1,) * (len(turns) - len(watcher.turns))
        if not all(now != then or long for now, then, long in zip(turns, before, busy, strict=True)):
            return None
        watcher.turns, watcher.due_ns = turns, now_ns + self._beat_ns
        return State(state="loading" if any(busy) else "running", tick=sum(turns), busy_ms=max(busy, default=0))
