"""The places of a sidecar: seats with worlds, the rooms among them, and the line of those who wait for one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import RLock

from inhabit.bridge.fields import Limits
from inhabit.bridge.messages import Hello, Listed, Queued, RoomLine
from inhabit.bridge.pacing import NS_PER_MS, Clock
from inhabit.bridge.people import Moderate, keep
from inhabit.bridge.room import Room, RoomOptions
from inhabit.bridge.seat import MakeWorld, Seat
from inhabit.bridge.snapshots import Snapshots

WAITING_MAX = 256
"""Longest line; who comes after is told that the sidecar is busy."""

WAITING_LEASE_NS = 3_000 * NS_PER_MS
LASTED_KEPT = 20
ROOMS_LISTED = 256


@dataclass(slots=True)
class Waiter:
    """Somebody in the line."""

    hello: Hello
    user: str
    heard_ns: int
    told_ns: int = 0


class Places:
    """Seats, rooms and the line. All under the sidecar's lock.

    Args:
        worlds: name to what makes such a world. The first is what a client gets that names none.
        max_sessions: worlds that may live at the same time.
        open_seat: gives a new seat its thread.
    """

    def __init__(
        self,
        worlds: Mapping[str, MakeWorld],
        *,
        max_sessions: int,
        limits: Limits,
        lock: RLock,
        clock: Clock,
        open_seat: Callable[[Seat], None],
        rooms: RoomOptions,
        moderate: Moderate = keep,
        snapshots: Snapshots,
        snapshot_every_s: float = 5.0,
        traces: Path | None = None,
    ):
        if max_sessions < 1:
            raise ValueError(f"Expected at least 1 session, got {max_sessions}")
        self.worlds = dict(worlds)
        self.seats: list[Seat] = []
        self.rooms: dict[str, Room] = {}
        self.line: dict[Hashable, Waiter] = {}
        self.max_sessions = max_sessions
        self._limits, self._lock, self._clock, self._open_seat = limits, lock, clock, open_seat
        self._room_options, self._moderate = rooms, moderate
        self._traces = traces
        self.snapshots, self._snapshot_every_s = snapshots, snapshot_every_s
        self._lasted_ns: deque[int] = deque(maxlen=LASTED_KEPT)

    @property
    def default(self) -> str:
        return next(iter(self.worlds))

    @property
    def free(self) -> int:
        """Places that somebody could take now."""
        return sum(seat.session is None for seat in self.seats) + self.max_sessions - len(self.seats)

    def take(self, name: str, now_ns: int) -> Seat | None:
        """A free seat with this world: one that has it already if possible. None when there is none."""
        hang_ns = self._limits.hang_ms * NS_PER_MS
        free = [seat for seat in self.seats if seat.session is None and not seat.hangs(hang_ns, now_ns)]
        for seat in free:
            if seat.name == name:
                return seat
        if len(self.seats) < self.max_sessions:
            return self.open(name)
        if free:
            free[0].refit(name, self.worlds[name])
            return free[0]
        return None

    def open(self, name: str) -> Seat:
        """One more seat."""
        seat = Seat(
            self.worlds[name], lock=self._lock, clock=self._clock, name=name, snapshots=self.snapshots,
            snapshot_every_s=self._snapshot_every_s, traces=self._traces,
        )  # fmt: skip
        self.seats.append(seat)
        self._open_seat(seat)
        return seat

    def open_room(self, seat: Seat, name: str, now_ns: int, *, permanent: bool = False) -> Room:
        """Give a seat to a new room."""
        room = Room(name, self._room_options, now_ns=now_ns, permanent=permanent, moderate=self._moderate)
        room.world = seat.name
        kept = self.snapshots.get(f"room-{name}")
        room.revival = kept if kept is not None and kept[0].world == seat.name else None
        self.rooms[name] = room
        seat.sit(room)
        return room

    def leave(self, sitter: object, lasted_ns: int) -> None:
        """Free the seat of a session that is over."""
        for seat in self.seats:
            if seat.session is sitter:
                seat.sit(None)
                self._lasted_ns.append(lasted_ns)

    def sweep(self, now_ns: int) -> None:
        """Close rooms that were left, and forget who waited and went away."""
        for seat in self.seats:
            room = seat.session
            if isinstance(room, Room) and room.abandoned(now_ns):
                del self.rooms[room.name]
                self.snapshots.drop(f"room-{room.name}")
                seat.sit(None)
        for route, waiter in list(self.line.items()):
            if now_ns - waiter.heard_ns > WAITING_LEASE_NS:
                del self.line[route]

    def told(self, now_ns: int) -> list[tuple[Hashable, Queued]]:
        """What those in the line shall hear now."""
        messages = []
        for position, (route, waiter) in enumerate(self.line.items(), start=1):
            if now_ns - waiter.told_ns >= self._limits.beat_ms * NS_PER_MS:
                waiter.told_ns = now_ns
                messages.append((route, Queued(position=position, retry_after_ms=self.retry_after_ms(position))))
        return messages

    def retry_after_ms(self, position: int) -> int:
        """About how long it takes until so many places are free, by how long sessions lasted; 0 when none ended yet."""
        if not self._lasted_ns:
            return 0
        mean_ns = sum(self._lasted_ns) / len(self._lasted_ns)
        return min(86_400_000, max(1, round(mean_ns * position / self.max_sessions / NS_PER_MS)))

    def listed(self) -> Listed:
        """What can be played here."""
        rooms = tuple(
            RoomLine(name=r.name, world=r.world or "?", members=len(r.members), members_max=r.options.members_max)
            for r in list(self.rooms.values())[:ROOMS_LISTED]
        )
        return Listed(
            worlds=tuple(self.worlds), rooms=rooms, places=self.max_sessions, free=self.free, queue=len(self.line)
        )
