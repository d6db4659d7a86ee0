"""Input on its way: the server's latch between messages and ticks, the client's draft between snapshots and messages.

The rule of both: what is held is a state (the newest wins), what happened is an event (presses are kept, travel is
summed) until it has been handed on exactly once. Old input is dropped, never played again.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import NamedTuple

from inhabit.bridge.controls import IDLE, Controls
from inhabit.bridge.fields import TRAVEL_MAX, WireControls
from inhabit.bridge.messages import Input


def to_wire(controls: Controls) -> WireControls:
    """Write a snapshot for the wire. Raises ValueError for a name that is not a standard one."""
    return WireControls(
        held=tuple(sorted(controls.held)),
        pressed=tuple(sorted(controls.pressed)),
        axes={name: float(value) for name, value in controls.axes.items()},
        mouse_dx=float(controls.mouse_dx),
        mouse_dy=float(controls.mouse_dy),
        scroll=float(controls.scroll),
        action=None if controls.action is None else tuple(float(value) for value in controls.action),
    )


def from_wire(wire: WireControls) -> Controls:
    """Read a snapshot from the wire."""
    return Controls(
        held=frozenset(wire.held),
        pressed=frozenset(wire.pressed),
        axes=MappingProxyType(dict(wire.axes)),
        mouse_dx=wire.mouse_dx,
        mouse_dy=wire.mouse_dy,
        scroll=wire.scroll,
        action=wire.action,
    )


def _bounded(travel: float) -> float:
    """A sum may pass the bound that each summand keeps."""
    return max(-TRAVEL_MAX, min(TRAVEL_MAX, travel))


class Answered(NamedTuple):
    """Which input a sample shows, for the echo in the frame."""

    seq: int = 0
    t_ns: int = 0
    received_ns: int = 0


NOTHING_ANSWERED = Answered()


class InputLatch:
    """The server's end: gathers INPUT between two ticks, gives each tick what it must see."""

    def __init__(self, timeout_ns: int):
        self._timeout_ns = timeout_ns
        self._held: frozenset[str] = frozenset()
        self._newest = IDLE
        self._heard_ns: int | None = None
        self.answered = NOTHING_ANSWERED
        self._forget_events()

    def receive(self, message: Input, epoch: int, now_ns: int) -> bool:
        """Take one INPUT. Returns False if it was dropped as old; the same seq again only renews the time-out."""
        if message.epoch < epoch or message.seq < self.answered.seq:
            return False
        if message.seq == self.answered.seq:
            self._heard_ns = now_ns
            return True
        self._drop_if_stale(now_ns)
        controls = from_wire(message.controls)
        # A client that reports only states is served too: newly held counts as pressed.
        self._pressed |= controls.pressed | (controls.held - self._held)
        self._dx += controls.mouse_dx
        self._dy += controls.mouse_dy
        self._scroll += controls.scroll
        self._held, self._newest = controls.held, controls
        self._heard_ns = now_ns
        self.answered = Answered(message.seq, message.t_ns, now_ns)
        return True

    def sample(self, now_ns: int) -> Controls:
        """Give one tick its controls and begin anew. Everything is released after the time-out."""
        if self._heard_ns is None or now_ns - self._heard_ns > self._timeout_ns:
            self._forget_events()
            return IDLE
        sampled = Controls(
            held=self._held, pressed=self._pressed, axes=self._newest.axes, mouse_dx=self._dx, mouse_dy=self._dy,
            scroll=self._scroll, action=self._newest.action,
        )  # fmt: skip
        self._forget_events()
        return sampled

    def clear(self) -> None:
        """Forget what happened before a reset or a pause. What is held stays known: it is not pressed again."""
        self._forget_events()
        self._newest = IDLE
        self._heard_ns = None

    def _drop_if_stale(self, now_ns: int) -> None:
        if self._heard_ns is not None and now_ns - self._heard_ns > self._timeout_ns:
            self._forget_events()

    def _forget_events(self) -> None:
        self._pressed: frozenset[str] = frozenset()
        self._dx = self._dy = self._scroll = 0.0


class InputDraft:
    """The client's end: merges snapshots until the transport takes them, repeats the last one while nothing happens."""

    def __init__(self) -> None:
        self.seq = 0
        self._t_ns = 0
        self._state = IDLE
        self._last: Input | None = None
        self._dirty = False
        self._forget_events()

    def add(self, controls: Controls, now_ns: int) -> int:
        """Merge one snapshot and return its sequence number."""
        self.seq += 1
        self._t_ns = now_ns
        self._state = controls
        self._pressed |= controls.pressed
        self._dx += controls.mouse_dx
        self._dy += controls.mouse_dy
        self._scroll += controls.scroll
        self._dirty = True
        return self.seq

    def due(self, epoch: int, now_ns: int, timeout_ns: int) -> Input | None:
        """The INPUT that has not been sent yet, or None. Events that waited longer than the time-out are dropped."""
        if not self._dirty:
            return None
        if now_ns - self._t_ns > timeout_ns:
            self._forget_events()
        merged = Controls(
            held=self._state.held, pressed=self._pressed, axes=self._state.axes, mouse_dx=_bounded(self._dx),
            mouse_dy=_bounded(self._dy), scroll=_bounded(self._scroll), action=self._state.action,
        )  # fmt: skip
        return Input(seq=self.seq, epoch=epoch, t_ns=self._t_ns, controls=to_wire(merged))

    def sent(self, message: Input) -> None:
        """The transport took it: its events are no longer ours."""
        self._last = message
        self._dirty = False
        self._forget_events()

    def behind(self, epoch: int) -> bool:
        """Was the last INPUT said in an epoch that is over?"""
        return self._last is not None and self._last.epoch != epoch

    def repeat(self, epoch: int) -> Input | None:
        """The last INPUT again, same number: renews the server's time-out and counts nothing twice."""
        return self._renewed(epoch) if self.behind(epoch) else self._last

    def _renewed(self, epoch: int) -> Input:
        """In a new epoch the server knows nothing of what is held: say it under a new number."""
        self.seq += 1
        state = Controls(held=self._state.held, axes=self._state.axes, action=self._state.action)
        self._last = Input(seq=self.seq, epoch=epoch, t_ns=self._t_ns, controls=to_wire(state))
        return self._last

    def _forget_events(self) -> None:
        self._pressed: frozenset[str] = frozenset()
        self._dx = self._dy = self._scroll = 0.0
