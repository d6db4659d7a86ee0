"""One client in a room: a session whose world is shared. What it asks for is judged by the room."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from inhabit.bridge import messages as wire
from inhabit.bridge.codec import Packet
from inhabit.bridge.controls import Controls
from inhabit.bridge.messages import Message
from inhabit.bridge.order import SessionState
from inhabit.bridge.outbox import Drawn, sound_kept_bytes
from inhabit.bridge.requests import Waiting, request_of
from inhabit.bridge.session import Session, Task
from inhabit.bridge.world import WorldInfo

if TYPE_CHECKING:
    from inhabit.bridge.room import Room

ABSENT_NS = 2_000_000_000
"""Who was not heard for this long does not drive."""


class Member(Session):
    """One place in a room."""

    def __init__(self, room: Room, number: int, name: str, colour: int, hello: wire.Hello, **session: Any):
        super().__init__(hello, **session)
        self.number, self.name, self.colour = number, name, colour
        self.muted = False
        self.holds_prompt = False
        """The prompt at the head of its requests waits for the room's cooldown."""

        self.prompt_due_ns = 0
        self.entered = bool(hello.room)
        """A client that asked for no room enters with its first RESET, which is answered and not carried out."""

        self.room = room

    @property
    def due_ns(self) -> int | None:
        """The room has the clock, a member has none."""
        return None

    @property
    def late(self) -> int:
        return self.room.late

    @property
    def wants_turn(self) -> bool:
        return self._requests.waiting and self._doing is None and not self.holds_prompt

    @property
    def plays(self) -> bool:
        return self.role != "viewer" and self.state != "closed"

    def present(self, now_ns: int) -> bool:
        """Is there somebody at the other end?"""
        return self.routes.ctl is not None and now_ns - self._heard_ns <= ABSENT_NS

    def attach(self, hello: wire.Hello, route: Hashable, now_ns: int) -> None:
        super().attach(hello, route, now_ns)
        if hello.channel == "ctl":
            self.room.greet(self, now_ns)

    def detach(self, route: Hashable, now_ns: int) -> None:
        super().detach(route, now_ns)
        self.room.changed()

    # ------------------------------------------------------------------------------------------------- the room's side

    def enter(self, info: WorldInfo, state: SessionState, epoch: int, index: int) -> None:
        """The room's world is there."""
        self._info, self.epoch, self._index = info, epoch, index
        self.state = state
        if self.routes.ctl is not None:
            self._greet()

    def follow(self, state: SessionState) -> None:
        """The room's world does something else now."""
        if self.state not in ("closed", "failed", state):
            self._go(state)

    def begin_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self._slot.clear()
        self._latch.clear()

    def sample(self, now_ns: int) -> Controls:
        """What its hands do at this tick."""
        return self._latch.sample(now_ns)

    def show(self, drawn: Drawn, info: WorldInfo, *, steered: bool) -> None:
        """Take a frame. It answers this member's input only if that had a part in it."""
        header = drawn.header
        if steered:
            seq, t_ns, received_ns = self._latch.answered
            header = wire.replace(header, input_seq=seq, input_t_ns=t_ns, received_ns=received_ns)
        self._made += 1
        self._index = header.index
        self._slot.put(drawn._replace(header=header), sound_kept_bytes(info))

    def head(self) -> Waiting | None:
        """The request whose turn it is."""
        return self._requests.peek()

    def next_request(self, now_ns: int) -> Task | None:
        """What the world shall do for this member now."""
        while self._doing is None and (head := self._requests.peek()) is not None:
            self.holds_prompt = not self.room.rules.may_prompt(self, head, now_ns)
            if self.holds_prompt:
                return None
            waiting = self._requests.next()
            assert waiting is not None
            self._doing = self._judge(waiting, now_ns)
        return self._doing

    def tell(self, message: Message) -> None:
        """Say something of the room, if the client understands it."""
        known = self._info is not None and self.routes.ctl is not None
        if "rooms" in self.takes and known and self.state != "closed":
            self._say(message)

    def complain(self, code: str, text: str, request: int = 0) -> None:
        self._error(code, text, request)

    # --------------------------------------------------------------------------------------------- as the session does

    def _judge(self, waiting: Waiting, now_ns: int) -> Task | None:
        message = waiting.packet.message
        answer = self.room.rules.judge(self, message, now_ns)
        if isinstance(answer, Task | None):
            return answer
        if isinstance(answer, wire.Ack | wire.Error):
            self._answer(answer)
            return None
        judged = Waiting(Packet(answer, waiting.packet.payload), waiting.received_ns)
        return super()._judge(judged, now_ns)

    def _chat(self, message: wire.Chat, now_ns: int) -> None:
        self.room.rules.chat(self, message.text, now_ns)

    def _begin_epoch(self, now_ns: int) -> None:
        """The room does it for all."""

    def _publish(self, task: Task, drawn: Drawn, now_ns: int) -> None:
        """The room shows it to all."""

    def _welcome_more(self) -> dict[str, Any]:
        return {**super()._welcome_more(), "room": self.room.name, "member": self.number}

    def ack(self, message: Message, note: str = "") -> wire.Ack:
        """The answer to a request that needs no world."""
        return wire.Ack(request=request_of(message), epoch=self.epoch, frame=self._index, note=note)
