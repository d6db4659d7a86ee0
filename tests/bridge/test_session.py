"""One session, message by message."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from inhabit.bridge import messages as wire
from inhabit.bridge.caller import BAD_MESSAGES_MAX
from inhabit.bridge.codec import Packet
from inhabit.bridge.fields import Limits, Mode, WireControls
from inhabit.bridge.messages import REQUESTS, Message
from inhabit.bridge.order import NOT_IN_MODE, SERVER_TABLE
from inhabit.bridge.outbox import draw
from inhabit.bridge.session import Session
from inhabit.bridge.toy import ToyWorld

MS = 1_000_000
STATES = ("loading", "ready", "running", "paused", "failed", "closed")
SAID: dict[type[Message], Message] = {
    wire.Hello: wire.Hello(client="test"),
    wire.Input: wire.Input(seq=1, epoch=0, t_ns=0, controls=WireControls()),
    wire.Step: wire.Step(request=50),
    wire.Credit: wire.Credit(upto=1),
    wire.Set: wire.Set(request=50, settings={}),
    wire.Reset: wire.Reset(request=50),
    wire.Pause: wire.Pause(request=50),
    wire.Resume: wire.Resume(request=50),
    wire.Save: wire.Save(request=50),
    wire.Restore: wire.Restore(request=50),
    wire.Prompt: wire.Prompt(request=50, text="snow"),
    wire.Ping: wire.Ping(t_ns=1),
    wire.Bye: wire.Bye(),
}


class Played:
    """A session with a toy world, played by hand."""

    def __init__(self, mode: Mode = "free", **limits):
        self.now = 0
        self.world = ToyWorld()
        hello = wire.Hello(client="test", mode=mode)
        self.session = Session(
            hello, identity=bytes(16), secret=bytes(16), boot=bytes(16), limits=Limits(**limits), now_ns=0
        )
        self.session.attach(hello, "ctl", 0)

    def to(self, state):
        """Bring the session into a state."""
        if state == "loading":
            return self
        self.session.world_ready(self.world.info, self.now)
        if state in ("running", "paused", "failed"):
            self.say(wire.Reset(request=1))
        if state == "paused":
            self.say(wire.Pause(request=2))
        if state == "failed":
            self.session.fail("it broke", "abcd")
        if state == "closed":
            self.session.close("over")
        assert self.session.state == state
        self.session.outgoing()
        return self

    def say(self, message, *payload):
        """Say something and let the world do what follows; what the session answers."""
        self.session.receive(Packet(message, payload), self.now)
        self.work()
        return self.heard()

    def heard(self) -> list[Any]:
        """What the session says on `ctl`."""
        return [packet.message for packet in self.session.outgoing()]

    def watch(self):
        """Attach `vid`."""
        hello = wire.Hello(client="test", channel="vid", session=bytes(16), secret=bytes(16))
        self.session.attach(hello, "vid", self.now)

    def frame(self) -> Any:
        """The header of the frame that the session sends now."""
        packet = self.session.frame(self.now)
        return packet.message if packet else None

    def work(self):
        while (task := self.session.next_task(self.now)) is not None:
            match task.message:
                case None | wire.Step():
                    self.session.done(task, self.now, drawn=draw(self.world.info, self.world.step(task.controls)))
                case wire.Reset():
                    self.session.done(task, self.now, drawn=draw(self.world.info, self.world.reset(seed=1)))
                case wire.Save():
                    self.session.done(task, self.now, state=b"state")
                case _:
                    self.session.done(task, self.now)


@pytest.mark.parametrize(("state", "kind"), list(itertools.product(STATES, SAID)))
def test_transition_table_in_mode_free(state, kind):
    played = Played().to(state)
    payload = (b"state",) if kind is wire.Restore else ()
    replies = played.say(SAID[kind], *payload)
    errors = [reply.code for reply in replies if isinstance(reply, wire.Error)]
    if kind in NOT_IN_MODE["free"]:
        assert errors == ["wrong_mode"]
        assert played.session.state == state
    elif kind in SERVER_TABLE[state]:
        assert errors == []
        assert played.session.state == SERVER_TABLE[state][kind]
    elif state == "loading":
        assert errors == [], "it waits for the world"
        assert played.session.state == "loading"
    else:
        assert errors == ["wrong_state"]
        assert played.session.state == state


@pytest.mark.parametrize("kind", [wire.Input, wire.Credit, wire.Pause, wire.Resume])
def test_lockstep_has_no_use_for_what_concerns_a_running_clock(kind):
    played = Played("lockstep").to("running")
    (error,) = played.say(SAID[kind])
    assert (error.code, error.message) == ("wrong_mode", f"Expected no {kind.__name__.upper()} in mode lockstep")


def test_requests_are_judged_in_their_order():
    played = Played().to("ready")
    for message in (wire.Reset(request=1), wire.Pause(request=2), wire.Save(request=3)):
        played.session.receive(Packet(message), 0)
    played.work()
    assert played.session.state == "paused"
    packets = played.session.outgoing()
    answers = [(packet.message.request, packet.payload) for packet in packets if isinstance(packet.message, wire.Ack)]
    assert answers == [(1, ()), (2, ()), (3, (b"state",))]


def test_repeated_step_is_done_once_and_answered_again():
    played = Played("lockstep").to("running")
    step = wire.Step(request=2, controls=WireControls(held=("ArrowRight",)))
    (first,) = played.say(step)
    (again,) = played.say(step)
    assert first == again
    assert first.frame.index == 1
    (stale,) = played.say(wire.Step(request=1))
    assert (stale.code, stale.request) == ("stale", 1)


def test_pending_step_is_neither_done_twice_nor_overtaken():
    played = Played("lockstep").to("running")
    played.session.receive(Packet(wire.Step(request=2)), 0)
    task = played.session.next_task(0)
    assert task is not None
    played.session.receive(Packet(wire.Step(request=2)), 0)
    assert played.heard() == []
    played.session.receive(Packet(wire.Step(request=3)), 0)
    (error,) = played.heard()
    assert (error.code, error.request) == ("pending", 3)
    played.session.done(task, 0, drawn=draw(played.world.info, played.world.step(task.controls)))
    (answer,) = played.heard()
    assert answer.request == 2
    assert played.session.next_task(0) is None


def test_lockstep_does_not_tick():
    played = Played("lockstep").to("running")
    assert played.session.next_task(10_000 * MS) is None
    assert played.session.due_ns is None


def test_free_session_ticks_at_the_worlds_rate_without_input():
    played = Played().to("running")
    ticks = 0
    for played.now in range(0, 1000 * MS, MS):
        task = played.session.next_task(played.now)
        if task:
            ticks += 1
            played.session.done(task, played.now, drawn=draw(played.world.info, played.world.step(task.controls)))
    assert ticks in (29, 30)


def test_no_frame_without_credit_and_none_without_video():
    played = Played().to("running")
    played.watch()
    assert played.frame() is None
    played.say(wire.Credit(upto=1))
    played.now = 5
    header = played.frame()
    assert (header.number, header.index, header.sent_ns) == (1, 0, 5)
    assert played.frame() is None


def test_credit_is_absolute_bounded_and_never_goes_down():
    played = Played(credit_max=2).to("running")
    played.watch()
    for upto in (1_000_000, 0, 1):
        played.say(wire.Credit(upto=upto))
    numbers = []
    for played.now in range(0, 500 * MS, 40 * MS):
        played.work()
        header = played.frame()
        numbers += [header.number] if header else []
    assert numbers == [1, 2]


def test_newest_frame_replaces_the_waiting_one_and_tells_of_it():
    played = Played().to("running")
    played.watch()
    played.say(wire.Input(seq=3, epoch=1, t_ns=99, controls=WireControls(pressed=("Space",))))
    for played.now in range(0, 200 * MS, 34 * MS):
        played.work()
    played.say(wire.Credit(upto=1))
    header = played.frame()
    assert header.index == header.skipped == 5
    assert header.reward == 1.0, "the shot was in a frame that was never sent"
    assert (header.input_seq, header.input_t_ns) == (3, 99)


def test_frames_of_an_episode_that_is_over_are_not_sent():
    played = Played().to("running")
    played.watch()
    played.say(wire.Reset(request=2))
    played.say(wire.Credit(upto=2))
    header = played.frame()
    assert (header.epoch, header.skipped) == (2, 0)
    assert played.frame() is None


def test_beat_needs_progress_or_a_reason_for_none():
    played = Played().to("running")
    session = played.session
    session.beat(1, 0, 0)
    assert len(session.outgoing()) == 1
    session.beat(2, 0, 499 * MS)
    assert session.outgoing() == [], "not due"
    session.beat(2, 0, 500 * MS)
    assert len(session.outgoing()) == 1
    session.beat(2, 0, 5000 * MS)
    assert session.outgoing() == [], "a world that hangs has no beat"
    session.beat(2, 4500, 5000 * MS)
    (state,) = played.heard()
    assert (state.state, state.busy_ms) == ("loading", 4500)


def test_outcome_of_a_task_that_nobody_waits_for_is_dropped():
    played = Played("lockstep").to("running")
    played.session.receive(Packet(wire.Step(request=2)), 0)
    task = played.session.next_task(0)
    assert task is not None
    played.session.close("bye")
    played.session.outgoing()
    played.session.done(task, 0, drawn=draw(played.world.info, played.world.step(task.controls)))
    played.session.refuse(task, "no")
    assert played.session.outgoing() == []


def test_failure_answers_everything_that_waits():
    played = Played().to("running")
    for request in (2, 3):
        played.session.receive(Packet(wire.Save(request=request)), 0)
    assert played.session.next_task(0) is not None
    played.session.fail("it broke", "abcd")
    *errors, state = played.heard()
    assert [(error.code, error.request, error.incident) for error in errors] == [
        ("world_failed", 2, "abcd"), ("world_failed", 3, "abcd"),
    ]  # fmt: skip
    assert state.state == "failed"


def test_too_many_bad_messages_end_the_session():
    played = Played().to("running")
    for _ in range(BAD_MESSAGES_MAX):
        played.session.bad_message("bad_message", "nonsense")
    assert played.session.state == "closed"


def test_secret_opens_only_its_own_living_session():
    played = Played().to("running")
    assert played.session.owns(bytes(16))
    assert not played.session.owns(b"x" * 16)
    played.session.close("over")
    assert not played.session.owns(bytes(16))


def test_every_request_is_somewhere_in_the_table():
    for kind in REQUESTS:
        assert any(kind in row for row in SERVER_TABLE.values()), kind
