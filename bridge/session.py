"""The server's side of one session: which message is allowed when, credits, epochs and the answers to requests.

Sans-I/O: no socket, clock or thread. The caller brings messages and times in, and takes tasks and messages out:
  receive()                       a message arrived
  next_task(), done(), refuse()   what the world shall do now, and what came of it
  outgoing(), frame()             what shall be sent, in order; the newest frame, if there is credit for it
order.py is the table of what is allowed when. Requests are judged when their turn comes, not when they arrive, so that
a client may send RESET and PAUSE in one breath.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from inhabit.bridge import messages as wire
from inhabit.bridge.caller import Caller
from inhabit.bridge.codec import Packet, Part, decode_from_server, encode
from inhabit.bridge.controls import IDLE, Controls
from inhabit.bridge.fields import Limits, WireControls
from inhabit.bridge.inputs import NOTHING_ANSWERED, Answered, InputLatch, from_wire
from inhabit.bridge.messages import REQUESTS, Message, clip_text
from inhabit.bridge.order import NOT_IN_MODE, SERVER_TABLE
from inhabit.bridge.outbox import Drawn, FrameSlot, sound_kept_bytes
from inhabit.bridge.pacing import NS_PER_MS, Schedule
from inhabit.bridge.requests import Requests, Waiting, request_of
from inhabit.bridge.snapshots import Snapshot, hash_of
from inhabit.bridge.world import WorldInfo

ANSWER_BYTES = 32 * 1024 * 1024
"""Largest answer that a snapshot keeps, for a client that asks again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One thing for the world to do."""

    message: Message | None
    """The request, or None for a tick of the world's own clock."""

    payload: tuple[Part, ...] = ()
    controls: Controls = IDLE
    answered: Answered = NOTHING_ANSWERED
    sampled_ns: int = 0


class Session(Caller):
    """One client and its place in one world."""

    def __init__(self, hello: wire.Hello, *, identity: bytes, secret: bytes, boot: bytes, limits: Limits, now_ns: int):
        super().__init__(hello, identity=identity, secret=secret, boot=boot, limits=limits, now_ns=now_ns)
        self.measured_seq = 0
        """The newest INPUT whose first frame was measured."""

        self.world = ""
        """Which of the sidecar's worlds it is in."""

        self.revival: tuple[Snapshot, bytes] | None = None
        """What the world shall be restored from before anything else."""

        self.changed_world = False
        """SET, PROMPT or RESTORE touched the world: the next session must not inherit it."""

        self._epoch_seen = hello.epoch
        self._schedule: Schedule | None = None
        self._latch = InputLatch(limits.input_timeout_ms * NS_PER_MS)
        self._slot = FrameSlot(limits.credit_max)
        self._requests = Requests(1 if self.mode == "lockstep" else limits.requests_max)
        self._doing: Task | None = None
        self._index = 0

    # ---------------------------------------------------------------------------------------------------- messages in

    def receive(self, packet: Packet, now_ns: int) -> None:
        """Take one message of the client."""
        self._heard_ns = now_ns
        message, kind = packet.message, type(packet.message)
        if kind in NOT_IN_MODE[self.mode]:
            self._error("wrong_mode", f"Expected no {kind.__name__.upper()} in mode {self.mode}", request_of(message))
        elif self.role == "viewer" and kind in (wire.Input, *REQUESTS):
            if kind is not wire.Input:  # a viewer's hands are of no use, and not worth an error each
                self._error(
                    "not_allowed", f"Expected a player, got {kind.__name__.upper()} of a viewer", request_of(message)
                )
        elif kind in REQUESTS and self.state not in ("failed", "closed"):
            self._receive_request(packet, now_ns)
        elif kind not in SERVER_TABLE[self.state]:
            self._error("wrong_state", f"Cannot {kind.__name__.upper()} while {self.state}", request_of(message))
        else:
            self._receive_note(message, now_ns)

    def _receive_note(self, message: Message, now_ns: int) -> None:
        match message:
            case wire.Hello():
                self._greet()
            case wire.Input():
                self._receive_input(message, now_ns)
            case wire.Credit():
                self._slot.grant(message.upto)
            case wire.List():
                self.wants_list = True
            case wire.Key():
                self.wants_key = True
            case wire.Attached(ok=ok):
                self.ring_attached = ok and self.ring_offered
            case wire.Look():
                self._error("wrong_mode", "Expected LOOK on a connection without a session")
            case wire.Chat():
                self._chat(message, now_ns)
            case wire.Ping():
                self._say(wire.Pong(t_ns=message.t_ns, server_ns=now_ns))
            case wire.Bye():
                self._go("closed")

    def _chat(self, message: wire.Chat, now_ns: int) -> None:
        self._error("wrong_mode", "Expected CHAT in a room, this is a world of your own")

    def _receive_input(self, message: wire.Input, now_ns: int) -> None:
        if self._fits(message.controls):
            self._latch.receive(message, self.epoch, now_ns)

    def _receive_request(self, packet: Packet, now_ns: int) -> None:
        message = packet.message
        if isinstance(message, wire.Step) and not self._fits(message.controls, message.request):
            return
        if isinstance(message, wire.Restore) and len(packet.payload[0]) > self._limits.state_bytes:
            text = f"Expected a state of at most {self._limits.state_bytes} bytes, got {len(packet.payload[0])}"
            self._error("refused", text, message.request)
            return
        reply = self._requests.take(packet, now_ns)
        if reply is not None:
            self._outbox.append(reply)

    def _fits(self, controls: WireControls, request: int = 0) -> bool:
        """An action vector must have the world's own length."""
        if self._info is None or controls.action is None or len(controls.action) == self._info.actions.size:
            return True
        names = ", ".join(self._info.actions.names)
        text = f"Expected an action of {self._info.actions.size} numbers ({names}), got {len(controls.action)}"
        self._error("refused", clip_text(text), request)
        return False

    # ----------------------------------------------------------------------------------------------- the world's side

    def world_ready(self, info: WorldInfo, now_ns: int) -> None:
        """The world is there."""
        if self.state == "loading":
            self._info, self._schedule = info, Schedule(info.rate_hz, now_ns)
            if self.revival is None:  # else revive() follows, which has more to say
                self.state = "ready"
                self._greet()

    def revive(self, snapshot: Snapshot, now_ns: int) -> None:
        """The world is where the snapshot was: go on from there, in an epoch above all that the client has seen."""
        self.epoch = max(snapshot.epoch, self._epoch_seen)
        self._begin_epoch(now_ns)
        self._index, self._resumed, self.changed_world = snapshot.index, "snapshot", True
        self._slot.resume(snapshot.sent)
        self._requests.restore(snapshot.request, decode_from_server(snapshot.answer) if snapshot.answer else None)
        self.state = "paused" if snapshot.paused else "running"
        self.reason = f"restored as it was at frame {snapshot.index}"
        self._greet()

    def set_back(self, index: int, reason: str, now_ns: int) -> None:
        """The world broke, and goes on from where it was saved last, in a new epoch."""
        if self.state in ("failed", "closed"):
            return
        self._doing = None
        self._begin_epoch(now_ns)
        self._index, self.reason = index, clip_text(reason)
        self._say_state()

    def snapshot(self) -> Snapshot | None:
        """What is kept of this session beside its world; None when there is nothing worth keeping."""
        if self.state not in ("running", "paused") or self._doing is not None:
            return None
        request, answer = self._requests.answered
        keeps = answer is not None and sum(map(len, answer.payload)) <= ANSWER_BYTES
        parts = tuple(bytes(part) for part in encode(answer.message, *answer.payload)) if answer and keeps else ()
        return Snapshot(
            name=self.identity.hex(), secret_hash=hash_of(self._secret), user=self.user, world=self.world,
            mode=self.mode, role=self.role, client=self.client, epoch=self.epoch, index=self._index,
            paused=self.state == "paused", sent=self._slot.sent, request=request, answer=parts,
        )  # fmt: skip

    def next_task(self, now_ns: int) -> Task | None:
        """What the world shall do now; done(), refuse() or fail() must follow. None: nothing before `due_ns`."""
        if self._doing is not None or self.state == "loading" or self.parting:
            return None
        while (waiting := self._requests.next()) is not None:
            self._doing = self._judge(waiting, now_ns)
            if self._doing is not None:
                return self._doing
        if self.due_ns is not None and self._schedule is not None and self._schedule.take(now_ns):
            controls = self._latch.sample(now_ns)
            self._doing = Task(message=None, controls=controls, answered=self._latch.answered, sampled_ns=now_ns)
        return self._doing

    @property
    def wants_turn(self) -> bool:
        """Does a request wait for the world?"""
        return self._requests.waiting and self._doing is None

    @property
    def due_ns(self) -> int | None:
        """When the next tick of the world's own clock is due, None when it stands still."""
        # While its connection is broken, a world of one's own waits.
        present = self.routes.ctl is not None
        ticking = self.mode == "free" and self.state == "running" and self._schedule is not None and present
        return self._schedule.due_ns if ticking and self._schedule else None

    def _judge(self, waiting: Waiting, now_ns: int) -> Task | None:
        """Answer a request that needs no world or is not allowed; make a task of any other."""
        message = waiting.packet.message
        request = request_of(message)
        if type(message) not in SERVER_TABLE[self.state]:
            way_out = ": send RESET first" if self.state == "ready" else ""
            text = f"Cannot {type(message).__name__.upper()} while {self.state}{way_out}"
            self._answer(wire.Error(code="wrong_state", message=text, request=request))
            return None
        if isinstance(message, wire.Pause | wire.Resume):
            self._restart_clock(now_ns)
            self._go(SERVER_TABLE[self.state][type(message)])
            self._answer(wire.Ack(request=request, epoch=self.epoch, frame=self._index))
            return None
        if isinstance(message, wire.Drive | wire.Moderate):
            text = f"Expected {type(message).__name__.upper()} in a room, this is a world of your own"
            self._answer(wire.Error(code="wrong_mode", message=text, request=request))
            return None
        self.changed_world |= isinstance(message, wire.Set | wire.Prompt | wire.Restore)
        controls, answered = IDLE, self._latch.answered
        if isinstance(message, wire.Step | wire.Reset) and self.mode == "lockstep":
            answered = Answered(request, message.t_ns, waiting.received_ns)
        if isinstance(message, wire.Step):
            controls = from_wire(message.controls)
        payload = waiting.packet.payload
        return Task(message=message, payload=payload, controls=controls, answered=answered, sampled_ns=now_ns)

    def done(
        self, task: Task, now_ns: int, *, drawn: Drawn | None = None, state: bytes | None = None, note: str = ""
    ) -> None:
        """The world did it. `drawn` after STEP, RESET and ticks, `state` after SAVE, `note` what it remarks."""
        if not self._expects(task):
            return
        if state is not None and len(state) > self._limits.state_bytes:
            self.refuse(task, f"Expected a state of at most {self._limits.state_bytes} bytes, got {len(state)}")
            return
        message = task.message
        if isinstance(message, wire.Reset | wire.Restore):
            self._begin_epoch(now_ns)
        stepped = None if drawn is None else self._publish(task, drawn, now_ns)
        self._doing = None
        if message is None:
            return
        # The state moves before the answer goes out: who has the answer may rely on it.
        self._go(SERVER_TABLE[self.state][type(message)])
        if stepped is not None:
            self._answer(*stepped)
            return
        shown = self._index if isinstance(message, wire.Reset | wire.Save) else self._index + 1
        if isinstance(message, wire.Restore):
            shown = 0  # only the world knows where that state was
        ack = wire.Ack(request=request_of(message), epoch=self.epoch, frame=shown, note=clip_text(note))
        self._answer(ack, *(() if state is None else (state,)))

    def refuse(self, task: Task, text: str) -> None:
        """The world said no. A request is answered so; a tick that cannot go on ends this session's world."""
        if not self._expects(task):
            return
        if task.message is None:
            self.fail(text)
            return
        self._doing = None
        self._answer(wire.Error(code="refused", message=clip_text(text), request=request_of(task.message)))

    def fail(self, text: str, incident: str = "") -> None:
        """The world is broken. Nothing but BYE is left to the client."""
        if self.state == "closed":
            return
        self._doing = None
        self.reason = clip_text(text)
        for request in self._requests.drain() or [0]:
            self._say(wire.Error(code="world_failed", message=self.reason, request=request, incident=incident))
        self._go("failed")

    def _expects(self, task: Task) -> bool:
        """Does somebody still wait for the outcome of this task?"""
        return self._doing is task and self.state not in ("failed", "closed")

    def _publish(self, task: Task, drawn: Drawn, now_ns: int) -> tuple[wire.Stepped, *tuple[bytes, ...]] | None:
        """Hand a frame to the client: as the answer itself in lock-step, else into the slot."""
        assert self._info is not None
        answered = task.answered
        header = msgspec.structs.replace(
            drawn.header, epoch=self.epoch, input_seq=answered.seq, input_t_ns=answered.t_ns,
            received_ns=answered.received_ns, sampled_ns=task.sampled_ns, done_ns=now_ns,
        )  # fmt: skip
        self._made += 1
        self._index = header.index
        if self.mode == "lockstep":
            return (wire.Stepped(request=request_of(task.message), frame=header), *drawn.payload)
        self._slot.put(drawn._replace(header=header), sound_kept_bytes(self._info))
        return None

    def _begin_epoch(self, now_ns: int) -> None:
        self.epoch += 1
        self._slot.clear()
        self._restart_clock(now_ns)

    def _restart_clock(self, now_ns: int) -> None:
        self._latch.clear()
        if self._schedule is not None:
            self._schedule.restart(now_ns)

    # --------------------------------------------------------------------------------------------------- messages out

    def frame(self, now_ns: int) -> Packet | None:
        """The newest frame, if `vid` is attached and there is credit."""
        return self._slot.take(now_ns) if self.routes.vid is not None and self.state != "closed" else None

    def line(self, now_ns: int) -> wire.SessionLine:
        """This session in the sidecar's figures."""
        return wire.SessionLine(
            session=self.identity.hex()[:8], client=self.client, world=self.world, mode=self.mode, state=self.state,
            epoch=self.epoch, made=self._made, sent=self._slot.sent, late=self.late,
            age_s=(now_ns - self.begun_ns) / 1e9, connected=self.routes.ctl is not None,
        )  # fmt: skip

    def _welcome_more(self) -> dict[str, Any]:
        return {"request": self._requests.answered[0], "frames": self._slot.sent}

    @property
    def late(self) -> int:
        """Ticks left out because the world was too slow."""
        return self._schedule.late if self._schedule else 0

    def _answer(self, message: Message, *payload: Part) -> None:
        self._outbox.append(self._requests.answer(Packet(message, payload)))
