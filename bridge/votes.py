"""A crowd at one set of controls: what most of those do who do anything in a window of time, is done in the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from types import MappingProxyType

from inhabit.bridge.controls import IDLE, Controls


@dataclass(slots=True)
class Ballot:
    """What one member did within the window."""

    names: set[str] = field(default_factory=set)
    axes: dict[str, float] = field(default_factory=dict)
    dx: float = 0.0
    dy: float = 0.0
    scroll: float = 0.0
    action: tuple[float, ...] | None = None


class VoteBox:
    """Counts controls. Buttons need more than half of the voters, sticks and travel are their mean.

    Who does nothing within a window is no voter, so that a sleeping crowd does not outvote those who play.
    """

    def __init__(self, window_ns: int):
        self._window_ns = window_ns
        self._ends_ns: int | None = None
        self._ballots: dict[Hashable, Ballot] = {}
        self._outcome = IDLE
        self.voters = 0
        """Members whose vote made what is done now."""

    def cast(self, member: Hashable, controls: Controls) -> None:
        """Take what a member does at one tick."""
        if not is_active(controls):
            return
        ballot = self._ballots.setdefault(member, Ballot())
        ballot.names |= controls.held | controls.pressed
        ballot.axes = dict(controls.axes)
        ballot.dx += controls.mouse_dx
        ballot.dy += controls.mouse_dy
        ballot.scroll += controls.scroll
        ballot.action = controls.action

    def decide(self, now_ns: int) -> Controls:
        """What the world is told at this tick."""
        if self._ends_ns is None:
            self._ends_ns = now_ns + self._window_ns
        if now_ns < self._ends_ns:
            # Events belong to one tick; what is held stays held until the next count.
            self._outcome = Controls(held=self._outcome.held, axes=self._outcome.axes, action=self._outcome.action)
            return self._outcome
        self._ends_ns = now_ns + self._window_ns
        self._outcome = self._count(self._outcome.held)
        self.voters = len(self._ballots)
        self._ballots = {}
        return self._outcome

    def _count(self, held_before: frozenset[str]) -> Controls:
        ballots = list(self._ballots.values())
        if not ballots:
            return IDLE
        tally = Counter(name for ballot in ballots for name in ballot.names)
        held = frozenset(name for name, count in tally.items() if 2 * count > len(ballots))
        axes = {name for ballot in ballots for name in ballot.axes}
        return Controls(
            held=held,
            pressed=held - held_before,
            axes=MappingProxyType({name: _mean([b.axes.get(name, 0.0) for b in ballots]) for name in axes}),
            mouse_dx=_mean([ballot.dx for ballot in ballots]),
            mouse_dy=_mean([ballot.dy for ballot in ballots]),
            scroll=_mean([ballot.scroll for ballot in ballots]),
            action=_mean_action(ballots),
        )


def is_active(controls: Controls) -> bool:
    """Does somebody touch anything?"""
    return bool(
        controls.held or controls.pressed or controls.mouse_dx or controls.mouse_dy or controls.scroll
        or any(controls.axes.values()) or (controls.action is not None and any(controls.action))
    )  # fmt: skip


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _mean_action(ballots: list[Ballot]) -> tuple[float, ...] | None:
    """Agents vote with the world's own action: its mean, so that a button is on when more than half press it."""
    actions = [ballot.action for ballot in ballots if ballot.action is not None]
    if not actions or 2 * len(actions) <= len(ballots):
        return None
    return tuple(_mean([action[i] for action in actions]) for i in range(len(actions[0])))
