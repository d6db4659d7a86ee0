"""Input: every tap exactly once, no travel lost, nothing old."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhabit.bridge.controls import IDLE, Controls
from inhabit.bridge.fields import WireControls
from inhabit.bridge.inputs import InputDraft, InputLatch, from_wire, to_wire
from inhabit.bridge.messages import Input

MS = 1_000_000
TIMEOUT_NS = 250 * MS


def said(seq, *, epoch=1, **controls):
    return Input(seq=seq, epoch=epoch, t_ns=seq, controls=WireControls(**controls))


@pytest.fixture
def latch():
    return InputLatch(TIMEOUT_NS)


def test_newest_state_wins_and_travel_is_summed(latch):
    latch.receive(said(1, held=("KeyA",), mouse_dx=2, scroll=1, axes={"PadLX": 0.5}), 1, 0)
    latch.receive(said(2, held=("KeyB",), mouse_dx=3, mouse_dy=-1, axes={"PadLX": 0.25}), 1, 1)
    controls = latch.sample(2)
    assert controls.held == {"KeyB"}
    assert dict(controls.axes) == {"PadLX": 0.25}
    assert (controls.mouse_dx, controls.mouse_dy, controls.scroll) == (5, -1, 1)
    assert latch.answered == (2, 2, 1)


def test_tap_between_two_ticks_is_seen_exactly_once(latch):
    latch.receive(said(1, pressed=("Space",)), 1, 0)
    latch.receive(said(2), 1, 1)
    assert latch.sample(2).pressed == {"Space"}
    assert latch.sample(3).pressed == frozenset()


def test_client_that_only_reports_states_does_not_lose_taps(latch):
    latch.receive(said(1, held=("Space",)), 1, 0)
    latch.receive(said(2), 1, 1)
    assert latch.sample(2).pressed == {"Space"}


def test_old_sequence_and_old_epoch_are_dropped(latch):
    assert latch.receive(said(5, mouse_dx=1, epoch=2), 2, 0)
    assert not latch.receive(said(4, mouse_dx=10, epoch=2), 2, 0)
    assert not latch.receive(said(6, mouse_dx=100, epoch=1), 2, 0)
    assert latch.sample(1).mouse_dx == 1


def test_repetition_renews_the_time_out_and_counts_nothing_twice(latch):
    latch.receive(said(1, held=("KeyW",), pressed=("KeyW",), mouse_dx=4), 1, 0)
    latch.sample(1)
    latch.receive(said(1, held=("KeyW",), pressed=("KeyW",), mouse_dx=4), 1, 200 * MS)
    controls = latch.sample(400 * MS)
    assert controls.held == {"KeyW"}
    assert (controls.pressed, controls.mouse_dx) == (frozenset(), 0)


def test_everything_is_released_after_the_time_out(latch):
    latch.receive(said(1, held=("KeyW",), pressed=("KeyE",), axes={"PadLT": 1.0}, mouse_dx=3), 1, 0)
    assert latch.sample(TIMEOUT_NS + 1) == IDLE
    latch.receive(said(2, held=("KeyW",)), 1, TIMEOUT_NS + 2)
    controls = latch.sample(TIMEOUT_NS + 3)
    assert controls.held == {"KeyW"}
    assert controls.pressed == frozenset(), "it went on being held: that is no new press"


def test_what_is_held_through_a_reset_is_not_pressed_again(latch):
    latch.receive(said(1, held=("Space",)), 1, 0)
    latch.clear()
    assert latch.sample(1) == IDLE
    latch.receive(said(2, held=("Space",), epoch=2), 2, 2)
    assert latch.sample(3).pressed == frozenset()


@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(-50, 50), st.booleans()))))
def test_sums_and_taps_are_conserved_whatever_the_order(events):
    latch, seq = InputLatch(TIMEOUT_NS), 0
    sent_dx = sent_taps = seen_dx = 0
    seen: list[str] = []
    names = [f"Key{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    for now, event in enumerate([*events, None]):
        if event is None:
            controls = latch.sample(now)
            seen_dx += controls.mouse_dx
            seen += controls.pressed
            continue
        dx, tap = event
        seq += 1
        name = names[sent_taps % len(names)]
        tap = tap and sent_taps < len(names)
        message = said(seq, mouse_dx=dx, pressed=(name,) if tap else ())
        sent_taps += tap
        sent_dx += dx
        latch.receive(message, 1, now)
        latch.receive(message, 1, now)
    assert seen_dx == sent_dx
    assert len(seen) == len(set(seen)) == sent_taps


@given(st.lists(st.tuples(st.integers(-50, 50), st.booleans(), st.booleans())))
def test_draft_and_latch_together_lose_nothing_over_a_line_that_refuses(snapshots):
    draft, latch = InputDraft(), InputLatch(TIMEOUT_NS)
    seen_dx, taps, seen_taps = 0.0, 0, 0
    for now, (dx, tap, line_takes_it) in enumerate([*snapshots, (0, False, True)]):
        draft.add(Controls(mouse_dx=dx, pressed=frozenset({"KeyT"}) if tap else frozenset()), now)
        taps += tap
        message = draft.due(1, now, TIMEOUT_NS)
        assert message is not None
        if line_takes_it:
            draft.sent(message)
            latch.receive(message, 1, now)
            controls = latch.sample(now)
            seen_dx += controls.mouse_dx
            seen_taps += len(controls.pressed)
    assert seen_dx == sum(dx for dx, _, _ in snapshots)
    assert bool(seen_taps) == bool(taps)
    assert seen_taps <= taps


def test_draft_drops_events_that_waited_too_long_but_not_what_is_held():
    draft = InputDraft()
    draft.add(Controls(held=frozenset({"KeyW"}), pressed=frozenset({"KeyW"}), mouse_dx=9), 0)
    message = draft.due(1, TIMEOUT_NS + 1, TIMEOUT_NS)
    assert message is not None
    assert message.controls == WireControls(held=("KeyW",))


def test_draft_says_what_is_held_under_a_new_number_in_a_new_epoch():
    draft = InputDraft()
    draft.add(Controls(held=frozenset({"KeyW"}), pressed=frozenset({"KeyW"})), 0)
    first = draft.due(1, 0, TIMEOUT_NS)
    assert first is not None
    draft.sent(first)
    assert draft.due(1, 1, TIMEOUT_NS) is None
    assert draft.repeat(1) is first
    again = draft.repeat(2)
    assert again is not None
    assert (again.seq, again.epoch, again.controls) == (2, 2, WireControls(held=("KeyW",)))


def test_controls_survive_the_wire():
    controls = Controls(
        held=frozenset({"KeyW", "Mouse0"}), pressed=frozenset({"PadA"}), axes={"PadLX": -1.0}, mouse_dx=0.5,
        mouse_dy=-2.0, scroll=1.0, action=(0.0, 1.0),
    )  # fmt: skip
    assert from_wire(to_wire(controls)) == controls
