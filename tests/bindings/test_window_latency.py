"""The input log with fake clocks: each input once, at the first frame that answers it."""

import numpy as np
import pytest

from inhabit.bindings.window.latency import InputLog, describe
from inhabit.bridge.controls import IDLE, Controls
from inhabit.bridge.frames import Frame, Stamps

MS = 1_000_000
PIXELS = np.zeros((8, 8, 3), np.uint8)


def frame(index: int, answers: int, stamps: Stamps | None = None) -> Frame:
    return Frame(pixels=PIXELS, index=index, answers=answers, stamps=stamps or Stamps())


def press(*names: str) -> Controls:
    return Controls(held=frozenset(names), pressed=frozenset(names))


def test_an_input_is_counted_once_at_the_first_frame_that_answers_it():
    log = InputLog()
    log.sent(1, IDLE, press("KeyW"), 100 * MS)
    assert log.answered(frame(7, answers=0), 110 * MS) == 0
    assert log.answered(frame(8, answers=1), 140 * MS) == 1
    assert log.answered(frame(9, answers=1), 170 * MS) == 0
    assert log.count == 1
    assert log.percentiles_ms(50) == (40.0,)
    assert [(row.text, row.frame, row.latency_ms) for row in log.rows] == [("KeyW down", 8, 40.0)]


def test_inputs_that_one_frame_answers_together_keep_their_own_times():
    log = InputLog()
    log.sent(1, IDLE, press("KeyW"), 100 * MS)
    log.sent(2, press("KeyW"), IDLE, 112 * MS)
    log.sent(3, IDLE, press("KeyA"), 150 * MS)
    assert log.answered(frame(4, answers=2), 150 * MS) == 2
    assert [row.latency_ms for row in log.rows] == [50.0, 38.0, None]


def test_the_clients_own_stamps_time_the_newest_input_even_on_another_clock():
    log = InputLog()
    log.sent(1, IDLE, press("KeyW"), 100 * MS)
    log.sent(2, IDLE, press("KeyA"), 110 * MS)
    stamps = Stamps(client_input_ns=9_000 * MS, client_arrived_ns=9_030 * MS)
    log.answered(frame(4, 2, stamps), now_ns=900 * MS)
    assert [row.latency_ms for row in log.rows] == [40.0, 30.0]


def test_percentiles_are_of_the_last_two_hundred_and_a_reports_of_all():
    log = InputLog()
    for sequence in range(1, 301):
        latency_ms = 1000 if sequence <= 100 else 10
        log.sent(sequence, IDLE, press("KeyW"), 0)
        log.answered(frame(sequence, sequence), latency_ms * MS)
    assert log.percentiles_ms(50, 95) == (10.0, 10.0)
    assert log.percentiles_ms(99, last=None) == (1000.0,)


def test_only_the_last_eight_are_listed_and_motion_shares_a_row():
    log = InputLog()
    for sequence in range(1, 11):
        log.sent(sequence, IDLE, press("KeyW"), 0)
    assert [row.sequence for row in log.rows] == list(range(3, 11))
    log.sent(11, IDLE, Controls(mouse_dx=5), 0)
    log.sent(12, IDLE, Controls(mouse_dx=7), 0)
    assert [(row.sequence, row.text) for row in log.rows][-2:] == [(10, "KeyW down"), (12, "mouse +7 +0")]


def test_inputs_of_a_lost_sidecar_are_never_answered():
    log = InputLog()
    log.sent(5, IDLE, press("KeyW"), 0)
    log.forget_pending()
    assert log.answered(frame(0, answers=9), 50 * MS) == 0
    assert log.percentiles_ms(50) is None


def test_shown_holds_what_is_held_and_a_tap_for_one_frame():
    log = InputLog()
    log.sent(1, IDLE, Controls(held=frozenset({"KeyW"}), pressed=frozenset({"KeyW", "Space"})), 0)
    log.answered(frame(1, 1), MS)
    assert (log.shown.held, log.shown.pressed) == ({"KeyW"}, {"KeyW", "Space"})
    log.answered(frame(2, 1), 2 * MS)
    assert (log.shown.held, log.shown.pressed) == ({"KeyW"}, frozenset())


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (IDLE, press("ArrowLeft", "Space"), "ArrowLeft down, Space down"),
        (press("ArrowLeft"), IDLE, "ArrowLeft up"),
        (IDLE, Controls(pressed=frozenset({"Space"})), "Space tap"),
        (IDLE, Controls(axes={"PadLX": 0.5}), "PadLX +0.50"),
        (Controls(axes={"PadLX": 0.5}), IDLE, "PadLX +0.00"),
        (IDLE, Controls(mouse_dx=4, mouse_dy=-2), "mouse +4 -2"),
        (IDLE, Controls(scroll=-1), "wheel -1"),
    ],
)
def test_events_are_told_in_words(before, after, words):
    assert describe(before, after) == words
