"""Time without waiting."""

from __future__ import annotations

import math

import pytest

from inhabit.bridge.pacing import Recent, Schedule

S = 1_000_000_000


def test_ticks_come_at_absolute_deadlines_and_do_not_drift():
    schedule = Schedule(60, 0)
    now, ticks = 0, 0
    while now <= 100 * S:
        ticks += schedule.take(now)
        now = max(now + 1000, schedule.due_ns)
    assert ticks == 6001
    assert schedule.late == 0


def test_missed_ticks_are_left_out_and_counted():
    schedule = Schedule(10, 0)
    assert schedule.take(0)
    assert schedule.take(S + 1)
    assert schedule.late == 9
    assert not schedule.take(S + 2), "no catching up"
    assert schedule.due_ns == S + S // 10


def test_first_frame_after_a_restart_lasts_one_period():
    schedule = Schedule(10, 0)
    schedule.restart(S)
    assert not schedule.take(S)
    assert schedule.take(S + S // 10)


def test_rate_must_be_positive():
    with pytest.raises(ValueError, match="above 0 Hz, got 0"):
        Schedule(0, 0)


def test_percentiles_of_the_newest_values():
    recent = Recent(100)
    assert math.isnan(recent.percentile(50))
    for value in range(1000):
        recent.add(value)
    assert recent.percentile(50) == pytest.approx(949.5)
