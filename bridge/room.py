"""A room: one world, many people. Who steers, whose prompt is next, what is said, what a late joiner sees.

To its seat a room is what a session is: it gives tasks and takes outcomes. To its people each member is a session of
its own: nobody's absence, slowness or nonsense reaches the others. Sans-I/O: no socket, clock or thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from inhabit.bridge import messages as wire
from inhabit.bridge.controls import IDLE, Controls
from inhabit.bridge.driving import NOBODY, DriverToken
from inhabit.bridge.member import Member
from inhabit.bridge.messages import clip_text
from inhabit.bridge.order import SERVER_TABLE, SessionState
from inhabit.bridge.outbox import Drawn
from inhabit.bridge.pacing import NS_PER_MS, NS_PER_S, Schedule
from inhabit.bridge.people import Moderate, clean, colour_of, keep, unique
from inhabit.bridge.room_messages import Person, Wish
from inhabit.bridge.room_rules import RoomRules
from inhabit.bridge.session import Task
from inhabit.bridge.snapshots import Snapshot
from inhabit.bridge.votes import VoteBox, is_active
from inhabit.bridge.world import WorldInfo

ROSTER_EVERY_NS = 50 * NS_PER_MS
PROMPTS_SHOWN = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class RoomOptions:
    """How people share a world."""

    steering: Literal["driver", "vote"] = "driver"
    """One drives and hands the token on, or most of those who press something decide."""

    vote_window_s: float = 0.2
    """How long votes are gathered before they count."""

    members_max: int = 64

    drive_idle_s: float = 10.0
    """A driver who does nothing for this long loses the token, if somebody waits for it."""

    turn_s: float = 60.0
    """The longest turn while somebody waits for the token; 0 for no bound."""

    prompt_cooldown_s: float = 1.0
    """Between two prompts in the room, so that each can be seen."""

    prompt_each_s: float = 5.0
    """Between two prompts of one member."""

    history: int = 100
    """Events that a late joiner is told."""

    linger_s: float = 30.0
    """An empty room is kept this long."""

    seed: int | None = None
    """Of the first episode."""


class Room:
    """One shared world and its members."""

    def __init__(
        self,
        name: str,
        options: RoomOptions,
        *,
        now_ns: int,
        permanent: bool = False,
        moderate: Moderate = keep,
    ):
        self.name, self.options, self.permanent = name, options, permanent
        self.state: SessionState = "loading"
        self.reason = ""
        self.world = ""
        """Which of the sidecar's worlds it is."""

        self.revival: tuple[Snapshot, bytes] | None = None
        """What the world shall be restored from before anything else."""

        self.changed_world = True
        self.epoch = 0
        self.members: dict[int, Member] = {}
        self.token = DriverToken(idle_s=options.drive_idle_s, turn_s=options.turn_s)
        self.info: WorldInfo | None = None
        self._votes = VoteBox(round(options.vote_window_s * NS_PER_S))
        self.rules = RoomRules(self, moderate)
        self.on_event: Callable[[wire.Event], None] = lambda event: None
        """Hears of everything that EVENT tells the members."""

        self._history: deque[tuple[wire.Event, int]] = deque(maxlen=options.history)
        self._schedule: Schedule | None = None
        self._doing: Task | None = None
        self._owner: Member | None = None
        self._steering: tuple[int, ...] = ()
        self._drawn: Drawn | None = None
        self._index = self._joined = self._events = 0
        self._roster_ns = 0
        self._roster_changed = False
        self._empty_ns: int | None = now_ns

    @property
    def late(self) -> int:
        return self._schedule.late if self._schedule else 0

    @property
    def full(self) -> bool:
        return len(self.members) >= self.options.members_max

    @property
    def index(self) -> int:
        """Of the newest frame."""
        return self._index

    # -------------------------------------------------------------------------------------------------- come and go

    def join(self, hello: wire.Hello, now_ns: int, **session: object) -> Member:
        """Let somebody in."""
        self._joined += 1
        name = unique(clean(hello.name, 32) or f"player {self._joined}", [m.name for m in self.members.values()])
        member = Member(self, self._joined, name, colour_of(self._joined), hello, now_ns=now_ns, **session)
        self.members[member.number] = member
        self._empty_ns = None
        if member.plays and self.options.steering == "driver" and self.token.driver == NOBODY:
            self.token.ask(member.number, now_ns)
        if self.info is not None:
            member.enter(self.info, self.state, self.epoch, self._index)
            if self._drawn is not None:
                member.show(self._drawn, self.info, steered=False)
        self.tell("join", member, "", now_ns)
        self.changed()
        return member

    def leave(self, member: Member, now_ns: int) -> None:
        """Somebody is gone for good."""
        if self.members.pop(member.number, None) is None:
            return
        self._release(member, now_ns)
        self.tell("leave", member, member.reason, now_ns)
        self.changed()
        if not self.members:
            self._empty_ns = now_ns

    def abandoned(self, now_ns: int) -> bool:
        """Has it been empty for too long?"""
        empty_ns = self._empty_ns
        return not self.permanent and empty_ns is not None and now_ns - empty_ns > self.options.linger_s * NS_PER_S

    def greet(self, member: Member, now_ns: int) -> None:
        """Tell a member, old or new, how things stand and what was said before."""
        member.tell(self._roster(member))
        for event, told_ns in self._history:
            age_ms = min(86_400_000, max(0, (now_ns - told_ns) // NS_PER_MS))
            member.tell(wire.replace(event, age_ms=age_ms))

    def changed(self) -> None:
        """The roster must be told anew."""
        self._roster_changed = True

    # ------------------------------------------------------------------------------------------------ the world's side

    def world_ready(self, info: WorldInfo, now_ns: int) -> None:
        if self.state == "loading":
            self.info, self._schedule = info, Schedule(info.rate_hz, now_ns)
            self.state = "ready"
            for member in self.members.values():
                member.enter(info, "ready", self.epoch, self._index)
                self.greet(member, now_ns)

    @property
    def wants_turn(self) -> bool:
        return self._doing is None and any(member.wants_turn for member in self.members.values())

    @property
    def due_ns(self) -> int | None:
        awake = self.state == "running" and bool(self.members) and self._schedule is not None
        return self._schedule.due_ns if awake and self._schedule else None

    def next_task(self, now_ns: int) -> Task | None:
        if self._doing is not None or self.state in ("loading", "failed", "closed"):
            return None
        self._owner = None
        if self.state == "ready":  # the first episode begins by itself
            reset = wire.Reset(request=1, seed=self.options.seed)
            self._doing = Task(message=reset, sampled_ns=now_ns)
            return self._doing
        for member in self._in_turn():
            task = member.next_request(now_ns)
            if task is not None:
                self._owner, self._doing = member, task
                return task
        if self.due_ns is not None and self._schedule is not None and self._schedule.take(now_ns):
            self._doing = Task(message=None, controls=self._steered(now_ns), sampled_ns=now_ns)
        return self._doing

    def done(
        self, task: Task, now_ns: int, *, drawn: Drawn | None = None, state: bytes | None = None, note: str = ""
    ) -> None:
        if self._doing is not task or self.state in ("failed", "closed"):
            return
        self._doing = None
        message, owner, self._owner = task.message, self._owner, None
        if isinstance(message, wire.Reset | wire.Restore):
            self._begin_epoch(now_ns)
        if message is not None:
            self.go(SERVER_TABLE[self.state][type(message)])
        if drawn is not None:
            self._show(task, drawn, now_ns)
        if owner is not None:
            owner.done(task, now_ns, drawn=drawn, state=state, note=note)
            if not isinstance(message, wire.Save):
                kind = type(message).__name__.lower()
                self.tell(kind, owner, message.text if isinstance(message, wire.Prompt) else note, now_ns)

    def refuse(self, task: Task, text: str) -> None:
        if self._doing is not task:
            return
        self._doing = None
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.refuse(task, text)
        else:
            self.fail(text)

    def fail(self, text: str, incident: str = "") -> None:
        if self.state != "closed":
            self._doing, self._owner = None, None
            self.state, self.reason = "failed", clip_text(text)
            for member in self.members.values():
                member.fail(text, incident)

    def revive(self, snapshot: Snapshot, now_ns: int) -> None:
        """The world is where a sidecar before this one had saved it."""
        self.epoch = max(self.epoch, snapshot.epoch)
        self._begin_epoch(now_ns)
        self._index = snapshot.index
        self.go("paused" if snapshot.paused else "running")
        self.tell("notice", None, f"restored as it was at frame {snapshot.index}", now_ns)

    def go_above(self, epoch: int, now_ns: int) -> None:
        """Somebody comes back who has seen this epoch in a sidecar before this one."""
        if epoch >= self.epoch:
            self.epoch = epoch
            if self.state in ("running", "paused"):
                self._begin_epoch(now_ns)

    def set_back(self, index: int, reason: str, now_ns: int) -> None:
        """The world broke, and goes on from where it was saved last."""
        self._doing, self._owner = None, None
        self._begin_epoch(now_ns)
        self._index, self._drawn = index, None
        for member in self.members.values():
            member.set_back(index, reason, now_ns)
        self.tell("notice", None, reason, now_ns)

    def snapshot(self) -> Snapshot | None:
        """What is kept of the room beside its world."""
        if self.state not in ("running", "paused") or self._doing is not None:
            return None
        paused = self.state == "paused"
        return Snapshot(name=f"room-{self.name}", world=self.world, epoch=self.epoch, index=self._index, paused=paused)

    def close(self, reason: str) -> None:
        self.state, self.reason = "closed", clip_text(reason)
        for member in list(self.members.values()):
            member.close(reason)

    def beat(self, tick: int, busy_ms: int, now_ns: int) -> None:
        """Let time pass: the token moves on, the roster is told, members hear of progress."""
        before, driver = self.token.driver, self.members.get(self.token.driver)
        why = self.token.tick(now_ns)
        if driver is not None and not driver.present(now_ns):
            self._release(driver, now_ns)
        self.tell_driver(before, why, now_ns)
        if self._roster_changed and now_ns - self._roster_ns >= ROSTER_EVERY_NS:
            self._roster_changed, self._roster_ns = False, now_ns
            for member in self.members.values():
                member.tell(self._roster(member))
        for member in self.members.values():
            member.beat(tick, busy_ms, now_ns)

    # ---------------------------------------------------------------------------------------------------------- inside

    def _in_turn(self) -> Iterable[Member]:
        """Members who ask for something, first come first."""
        asking = [(head.received_ns, number) for number, m in self.members.items() if (head := m.head()) is not None]
        return [self.members[number] for _, number in sorted(asking)]

    def _steered(self, now_ns: int) -> Controls:
        """What the world is told at this tick, out of everybody's hands."""
        hands = {number: m.sample(now_ns) for number, m in self.members.items() if m.plays}
        if self.options.steering == "vote":
            for number, controls in hands.items():
                self._votes.cast(number, controls)
            self._steering = tuple(hands)
            return self._votes.decide(now_ns)
        before = self.token.driver
        for number, controls in hands.items():
            if is_active(controls):
                if self.token.driver == NOBODY:  # a free wheel is taken by whoever touches it
                    self.token.ask(number, now_ns)
                self.token.active(number, now_ns)
        self.tell_driver(before, "", now_ns)
        self._steering = (self.token.driver,)
        return hands.get(self.token.driver, IDLE)

    def _show(self, task: Task, drawn: Drawn, now_ns: int) -> None:
        assert self.info is not None
        driver = self.token.driver if self.options.steering == "driver" else NOBODY
        header = wire.replace(drawn.header, epoch=self.epoch, sampled_ns=task.sampled_ns, done_ns=now_ns, driver=driver)
        self._index = header.index
        self._drawn = drawn._replace(header=header)
        ticked = task.message is None
        for number, member in self.members.items():
            member.show(self._drawn, self.info, steered=ticked and number in self._steering)

    def _begin_epoch(self, now_ns: int) -> None:
        self.epoch += 1
        self.restart_clock(now_ns)
        for member in self.members.values():
            member.begin_epoch(self.epoch)

    def restart_clock(self, now_ns: int) -> None:
        """Count ticks from now."""
        if self._schedule is not None:
            self._schedule.restart(now_ns)

    def go(self, state: SessionState) -> None:
        """Be in this state from now on, with all members."""
        self.state = state
        for member in self.members.values():
            member.follow(state)

    def _release(self, member: Member, now_ns: int) -> None:
        before = self.token.driver
        self.token.release(member.number, now_ns)
        self.tell_driver(before, "the driver is gone", now_ns)

    def tell_driver(self, before: int, why: str, now_ns: int) -> None:
        """Tell all who drives, if it was somebody else before."""
        if self.token.driver != before:
            self.tell("drive", self.members.get(self.token.driver), why, now_ns)
            self.changed()

    def tell(self, kind: str, member: Member | None, text: str, now_ns: int) -> None:
        """Tell all, and those who come later, what happened."""
        self._events += 1
        event = wire.Event(
            number=self._events, kind=kind, member=member.number if member else 0, name=member.name if member else "",
            text=clip_text(text), epoch=self.epoch, frame=self._index + 1,
        )  # fmt: skip
        self._history.append((event, now_ns))
        self.on_event(event)
        for listener in self.members.values():
            listener.tell(event)

    def name_of(self, number: int) -> str:
        """What a member is called; \"\" for one who is gone."""
        member = self.members.get(number)
        return member.name if member else ""

    def _roster(self, reader: Member) -> wire.Roster:
        people = tuple(
            Person(
                member=m.number, name=m.name, role=m.role, colour=m.colour, muted=m.muted,
                connected=m.routes.ctl is not None,
            )
            for m in self.members.values()
        )  # fmt: skip
        waiting = [(m, head.packet.message) for m in self._in_turn() if (head := m.head()) is not None]
        wishes = [Wish(member=m.number, text=p.text) for m, p in waiting if isinstance(p, wire.Prompt)]
        return wire.Roster(
            room=self.name, you=reader.number, steering=self.options.steering, driver=self.token.driver,
            waiting=tuple(self.token.waiting), people=people, prompts=tuple(wishes[:PROMPTS_SHOWN]),
        )  # fmt: skip
