"""The client's side of one session: what to say when, what the sidecar said, and when to call it lost.

Sans-I/O like session.py: no socket, clock or thread, so that it can be written again in another language line by line.
  receive()   a message arrived
  flush()     say what is due now; a message that the transport does not take stays due
Everything here may be said twice: HELLO, requests, INPUT and CREDIT are all safe to repeat.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from inhabit.bridge import messages as wire
from inhabit.bridge.codec import Packet, Part, encode
from inhabit.bridge.controls import Controls
from inhabit.bridge.entry import ANYWHERE, Place, Ticket
from inhabit.bridge.fields import Channel, Limits, Mode
from inhabit.bridge.frames import Frame
from inhabit.bridge.inbox import FrameInbox, read_frame
from inhabit.bridge.inputs import InputDraft
from inhabit.bridge.messages import FrameHeader, Message
from inhabit.bridge.order import CLIENT_TABLE, LinkPhase
from inhabit.bridge.pacing import NS_PER_MS, NS_PER_S
from inhabit.bridge.room_view import RoomView
from inhabit.bridge.world import WorldInfo

LinkState = Literal["connecting", "loading", "ready", "running", "paused", "failed", "lost", "closed"]
Send = Callable[[Channel, Packet], bool]
"""Hands a message to the transport; False when it did not take it."""

HELLO_EVERY_NS = 500 * NS_PER_MS
PING_EVERY_NS = 500 * NS_PER_MS
REQUEST_EVERY_NS = 1_000 * NS_PER_MS
ABSENCE_NS = 500 * NS_PER_MS
"""At most so much of the time between two flushes counts as silence: while the caller was away, nobody listened."""

RETURN_NS = 30 * NS_PER_S
"""A connection that broke is given up after this long."""

ANSWERS_KEPT = 16
NOTES_KEPT = 16


@dataclass(slots=True)
class Pending:
    """A request without an answer."""

    packet: Packet
    sent_ns: int | None = None


class Link:
    """One session as its client sees it."""

    def __init__(
        self,
        *,
        endpoint: str,
        mode: Mode,
        client: str,
        timeout_ns: int,
        now_ns: int,
        epoch: int = 0,
        place: Place = ANYWHERE,
        resume: Ticket | None = None,
    ):
        self.state: LinkState = "connecting"
        self.reason = ""
        """Why the state is what it is, or why the last request was refused."""

        self.info: WorldInfo | None = None
        self.limits = Limits()
        self.told: wire.State | None = None
        """The newest STATE."""

        self.round_trip_ns: int | None = None
        self.draft = InputDraft()
        self.room = RoomView()
        self.ring: wire.Ring | None = None
        """Shared memory that is offered; who takes it up sets None."""

        self._endpoint, self._client, self._timeout_ns = endpoint, client, timeout_ns
        self._mode: Mode = mode
        self._place = place
        self._epoch_before, self._epoch = epoch, 0
        self._phase: LinkPhase = "greeting"
        self._identity = self._secret = self._boot = b""
        if resume is not None:
            self._identity, self._secret, self._epoch = resume
        self.resumed = ""
        """"live" or "snapshot": how the session went on after its connection broke; "" when it did not break."""

        self._down_ns: int | None = None
        self._newest_answer = 0
        self._begun_ns = self._flushed_ns = now_ns
        self._silent_ns, self._heard_ns = 0, None
        self._hello_ns: dict[Channel, int | None] = {"ctl": None, "vid": None}
        self._ping_ns = self._input_ns = now_ns - NS_PER_S
        self._requests: dict[int, Pending] = {}
        self._newest_request = 0
        self._answers: dict[int, Packet] = {}
        self._notes: deque[Message] = deque(maxlen=NOTES_KEPT)
        self._inbox = FrameInbox(now_ns)

    # ----------------------------------------------------------------------------------------------------- the caller

    @property
    def epoch(self) -> int:
        """Grows with each reset, restore and reconnect."""
        return self._epoch_before + self._epoch

    @property
    def over(self) -> bool:
        """Nothing will come any more."""
        return self._phase == "over"

    @property
    def resume(self) -> Ticket | None:
        """What opens this session again; None when there is nothing to go back to."""
        return Ticket(self._identity, self._secret, self._epoch) if self._identity else None

    def request(self, kind: Callable[..., Message], *payload: Part, **fields: object) -> int:
        """Queue a request with these fields. Returns its id. Raises LocalProtocolError when it breaks a bound."""
        request = self._newest_request + 1
        packet = Packet(kind(request=request, **fields), payload)
        encode(packet.message, *payload)
        self._newest_request = request
        self._requests[request] = Pending(packet)
        return request

    def has_answer(self, request: int) -> bool:
        return request in self._answers

    def take_answer(self, request: int) -> Packet:
        """The answer to a request, once."""
        return self._answers.pop(request)

    def put(self, controls: Controls, now_ns: int) -> int:
        """Merge controls into what is said next. Returns their sequence number."""
        return self.draft.add(controls, now_ns)

    def miss_frame(self, number: int) -> None:
        """A frame came that cannot be shown: let another one come."""
        self._inbox.miss(number)

    def want_frame(self) -> None:
        """The caller is ready to draw: grant one frame beyond those that have arrived."""
        self._inbox.want()

    def take_frame(self) -> Frame | None:
        """The newest frame that arrived, once."""
        return self._inbox.take()

    def say(self, message: Message) -> None:
        """Queue a message that is no request and is said once, such as CHAT."""
        encode(message)
        self._notes.append(message)

    def close(self, send: Send) -> None:
        """Say BYE, which frees the place at once if anybody hears it, and be done."""
        if self.state != "closed":
            send("ctl", Packet(wire.Bye(reason="the client closes")))
            self._phase, self.state, self.reason = "over", "closed", "closed by this client"

    # ---------------------------------------------------------------------------------------------------- messages in

    def receive(self, packet: Packet, now_ns: int) -> None:
        """Take one message of the sidecar. One that is out of order ends the session: the peer is not what it says."""
        message = packet.message
        if type(message) not in CLIENT_TABLE[self._phase]:
            if not self.over:
                self.breach(f"Expected no {type(message).__name__} before WELCOME")
            return
        self._heard_ns = now_ns
        match message:
            case wire.Welcome():
                self._welcome(message)
            case wire.State():
                self._hear_state(message)
            case FrameHeader():
                self._take_in(message, packet.payload, now_ns)
            case wire.Ack() | wire.Stepped():
                self._saw_epoch(message.epoch if isinstance(message, wire.Ack) else message.frame.epoch)
                self._answered(message.request, packet)
            case wire.Error():
                self._hear_error(message, packet)
            case wire.Queued():
                self._silent_ns = 0
                self.state, self.reason = "loading", f"waiting for a place, number {message.position} in line"
                if message.retry_after_ms:
                    self.reason += f", about {message.retry_after_ms / 1000:.0f} s"
            case wire.Ring():
                self.ring = message
            case wire.Roster():
                self.room.take_roster(message)
            case wire.Event():
                self.room.take_event(message)
            case wire.Pong():
                self.round_trip_ns = max(0, now_ns - message.t_ns)
            case wire.Bye():
                self._end("lost", f"The sidecar ended the session: {message.reason or 'no reason given'}")

    def connection(self, channel: Channel, what: Literal["up", "down", "refused"], now_ns: int) -> None:
        """The transport tells what became of a connection, long before silence would."""
        if what == "refused" and self._phase == "greeting":
            text = f"The sidecar at {self._endpoint} refuses our key, or wants one: ask its owner to make one with"
            self._end("failed", f"{text} `inhabit keys new NAME`, and set INHABIT_KEY to that file")
        elif what == "down" and not self.over:
            self._hello_ns[channel] = None  # say who we are as soon as there is a connection again
            if channel == "ctl" and self._phase == "joined":
                self._down_ns = now_ns
                self.state, self.reason = "connecting", "The connection broke, trying again"

    def breach(self, text: str) -> None:
        """The peer breaks the protocol: end the session."""
        self._end("failed", f"{text} - from {self._endpoint}")

    def _welcome(self, message: wire.Welcome) -> None:
        try:
            message.world.actions.check("WELCOME")
        except ValueError as error:
            self.breach(str(error))
            return
        self.info, self.limits = message.world, message.limits
        if message.resumed:
            self.resumed = message.resumed
        if self._mode == "lockstep" and message.request < self._newest_answer:
            self._end("lost", "The sidecar died, and its world is back where it was some steps before: reset a new one")
            return
        if self._boot != message.boot or message.session != self._identity:
            # Another process, or another session: nothing is attached there, and frames are counted anew.
            self._hello_ns["vid"], self.told = None, None
            if message.session != self._identity:
                self._inbox.begin_anew()
        if message.resumed and (self._down_ns is not None or not self._boot or self._boot != message.boot):
            self._inbox.go_on(message.frames)
        self._down_ns = None
        self._boot = message.boot
        self._identity, self._secret = message.session, message.secret
        self.room.take_welcome(message)
        self._phase = "joined"
        self._saw_epoch(message.epoch)

    def _hear_state(self, message: wire.State) -> None:
        self._silent_ns = 0
        self.told = message
        self._saw_epoch(message.epoch)
        if message.state == "failed":
            self._end("failed", message.reason or self.reason or "The world failed")
            return
        if message.state != self.state:
            self.reason = ""
        # Until WELCOME the world is not ours to play, whatever state it is in.
        self.state = message.state if self._phase == "joined" else "loading"
        if message.reason and message.state != "loading":
            self.reason = message.reason
        if message.state == "loading" and message.busy_ms >= 1000:
            self.reason = f"loading for {message.busy_ms / 1000:.0f} s"

    def _hear_error(self, message: wire.Error, packet: Packet) -> None:
        text = message.message or message.code
        if message.code == "no_session":
            self._hello_ns = {"ctl": None, "vid": None}  # our connection was replaced by a new one: say who we are
        elif message.code == "closed":
            self._identity = self._secret = b""
            self._end("lost", f"The session is over: {message.message}; reconnect for a new one")
        elif message.code == "world_failed":
            self._answered(message.request, packet)
            self._end("failed", text)
        elif self._phase == "greeting":
            self._end("failed", text)
        else:
            self.reason = text
            self._answered(message.request, packet)

    def _answered(self, request: int, packet: Packet) -> None:
        if self._requests.pop(request, None) is None:
            return
        self._newest_answer = max(self._newest_answer, request)
        self._answers[request] = packet
        while len(self._answers) > ANSWERS_KEPT:
            del self._answers[next(iter(self._answers))]

    def _take_in(self, header: FrameHeader, payload: tuple[Part, ...], now_ns: int) -> None:
        if header.epoch < self._epoch:
            self._inbox.miss(header.number)  # made before the reset, and not what the caller waits for
            return
        assert self.info is not None
        if (header.width, header.height) != (self.info.width, self.info.height):
            self.breach(f"Expected frames of {self.info.width}x{self.info.height}, got {header.width}x{header.height}")
            return
        self._saw_epoch(header.epoch)
        frame = read_frame(header, payload, epoch_before=self._epoch_before, now_ns=now_ns)
        self._inbox.put(header.number, frame)

    def _saw_epoch(self, epoch: int) -> None:
        if epoch > self._epoch:
            self._epoch = epoch
            self._inbox.clear()

    # --------------------------------------------------------------------------------------------------- messages out

    def flush(self, send: Send, now_ns: int) -> None:
        """Say everything that is due. Call it after the messages that have arrived were received."""
        if self.over:
            return
        self._listen(now_ns)
        if self.over or not self._flush_hello(send, "ctl", now_ns):
            return
        if self._phase == "joined":
            if self._mode == "free":
                self._flush_live(send, now_ns)
            self._flush_requests(send, now_ns)
            while self._notes and send("ctl", Packet(self._notes[0])):
                self._notes.popleft()
        if now_ns - self._ping_ns >= PING_EVERY_NS and send("ctl", Packet(wire.Ping(t_ns=now_ns))):
            self._ping_ns = now_ns

    def _flush_live(self, send: Send, now_ns: int) -> None:
        if self.told is None or not self.told.video:
            self._flush_hello(send, "vid", now_ns)
        self._flush_input(send, now_ns)
        upto = self._inbox.due(now_ns, running=self.state == "running")
        if upto and send("ctl", Packet(wire.Credit(upto=upto))):
            self._inbox.granted(upto, now_ns)

    def _flush_hello(self, send: Send, channel: Channel, now_ns: int) -> bool:
        """Say HELLO until it is heard. False while this connection has not even taken it."""
        said_ns = self._hello_ns[channel]
        # The world is there, but its WELCOME is not: that was lost with a connection.
        unwelcome = self._phase == "greeting" and self.told is not None and self.told.state != "loading"
        unheard = self._heard_ns is None or unwelcome or channel == "vid"
        if said_ns is not None and not (unheard and now_ns - said_ns >= HELLO_EVERY_NS):
            return True
        hello = wire.Hello(
            client=self._client, mode=self._mode, channel=channel, session=self._identity, secret=self._secret,
            takes=self._place.takes, room=self._place.room, name=self._place.name, role=self._place.role,
            world=self._place.world, epoch=self._epoch if self._identity else 0,
        )  # fmt: skip
        if send(channel, Packet(hello)):
            self._hello_ns[channel] = now_ns
        return self._hello_ns[channel] is not None

    def _flush_requests(self, send: Send, now_ns: int) -> None:
        for pending in self._requests.values():
            if pending.sent_ns is None or now_ns - pending.sent_ns >= REQUEST_EVERY_NS:
                if not send("ctl", pending.packet):
                    return  # in order, or not at all
                pending.sent_ns = now_ns

    def _flush_input(self, send: Send, now_ns: int) -> None:
        if self.state != "running":
            return
        message = self.draft.due(self._epoch, now_ns, self.limits.input_timeout_ms * NS_PER_MS)
        if message is not None:
            if send("ctl", Packet(message)):
                self.draft.sent(message)
                self._input_ns = now_ns
        elif now_ns - self._input_ns >= self.limits.input_resend_ms * NS_PER_MS or self.draft.behind(self._epoch):
            message = self.draft.repeat(self._epoch)
            if message is not None and send("ctl", Packet(message)):
                self._input_ns = now_ns

    def _listen(self, now_ns: int) -> None:
        """Count the silence, and end the session when it is too long: a window must never just freeze."""
        self._silent_ns += min(now_ns - self._flushed_ns, ABSENCE_NS)
        self._flushed_ns = now_ns
        if self._heard_ns is None:
            if now_ns - self._begun_ns > self._timeout_ns:
                text = f"Nothing answers at {self._endpoint} within {self._timeout_ns / NS_PER_S:g} s"
                self._end("lost", f"{text}: start it with `inhabit serve`, or mend the address")
            return
        hang_ns = self.limits.hang_ms * NS_PER_MS
        if self._down_ns is not None:
            hang_ns = RETURN_NS  # it is known that nobody is there: wait for somebody to come back
        if self._silent_ns <= hang_ns:
            return
        silent_s = self._silent_ns / NS_PER_S
        if now_ns - self._heard_ns < hang_ns:
            self._end("lost", f"The sidecar hangs: it answers, but its world has not moved for {silent_s:.1f} s")
        else:
            self._end("lost", f"The sidecar is gone: nothing heard from {self._endpoint} for {silent_s:.1f} s")

    def _end(self, state: LinkState, reason: str) -> None:
        if not self.over:
            self._phase, self.state, self.reason = "over", state, reason
