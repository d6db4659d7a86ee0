"""Sessions of one model, stepped in one batch when several are due at the same time.

A thread that wants a step while the model is busy waits, and goes with all who wait when it is free again: nobody is
held back for a batch to fill, but for a few milliseconds when somebody who has just been served is about to return.
One batch is under way at a time: two that share an interpreter and a memory bus were no faster than one after another.
The engine's noise belongs to each session, so that neighbours change nothing but the rounding of the last bits; who
must not have even that, such as an agent or a trace, is stepped alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition
from weakref import WeakSet

import torch
from torch import Tensor

from inhabit.bridge.errors import WorldError
from inhabit.worldmodel.engine import Engine, Outcome
from inhabit.worldmodel.state import State

log = logging.getLogger(__name__)

MOST = 8
"""Sessions of one batch."""

GATHER_SHARE = 0.2
"""Of a step's time: so long somebody who has just been served is waited for."""

GATHER_S = 0.015
"""The same, at most."""


@dataclass(slots=True, eq=False)
class _Ride:
    """One session's step, wanted, under way or made."""

    rider: Rider
    state: State
    action: Tensor
    steps: int
    made: tuple[State, Outcome] | None = None
    error: Exception | None = None

    @property
    def over(self) -> bool:
        return self.made is not None or self.error is not None

    @property
    def kind(self) -> tuple[object, ...]:
        """What is equal among those who may go in one batch."""
        return (self.steps, tuple(self.state.latents.shape[1:]), tuple(self.state.words.shape[1:]))


class Rider:
    """One session's way to the model. Not for two threads at the same time."""

    def __init__(self, together: Together):
        self.alone = False
        """Step without others: equal to the last bit, whoever else is there."""

        self.served_s = float("-inf")
        self.riding = False
        self._together = together

    def another(self) -> Rider:
        """One more session of the same model."""
        return self._together.rider()

    def step(self, state: State, action: Tensor, *, steps: int) -> tuple[State, Outcome]:
        """As Engine.step, of one session. Shapes: a state of b = 1, action (1, a)."""
        if self.alone:
            return self._together.engine.step(state, action, steps=steps)
        return self._together.step(self, state, action, steps)


class Together:
    """One model and the sessions that step it.

    Args:
        most: sessions of one batch.
    """

    def __init__(self, engine: Engine, *, most: int = MOST, clock: Callable[[], float] = time.perf_counter):
        self.engine = engine
        self.batches = 0
        """Made so far, those of one session included."""

        self._most, self._clock = most, clock
        self._news = Condition()
        self._riders: WeakSet[Rider] = WeakSet()
        self._waiting: list[_Ride] = []
        self._busy = False
        self._step_s = 0.0

    def rider(self) -> Rider:
        """One more session."""
        rider = Rider(self)
        with self._news:
            self._riders.add(rider)
        return rider

    def step(self, rider: Rider, state: State, action: Tensor, steps: int) -> tuple[State, Outcome]:
        """Advance one session, with those who wait at the same time. Raises what the engine raises."""
        ride = _Ride(rider, state, action, steps)
        with self._news:
            rider.riding = True
            self._waiting.append(ride)
            self._news.notify_all()
            while not ride.over and not self._may_lead(ride):
                self._news.wait()
            batch = [] if ride.over else self._gather(ride)
        if batch:
            self._carry(batch)
        if ride.error is not None:
            raise ride.error
        assert ride.made is not None
        return ride.made

    def _may_lead(self, ride: _Ride) -> bool:
        """The one that has waited longest takes the others along."""
        return not self._busy and bool(self._waiting) and self._waiting[0] is ride

    def _gather(self, ride: _Ride) -> list[_Ride]:
        """Take those along who are here or about to come."""
        self._busy = True
        window_s = min(GATHER_S, GATHER_SHARE * self._step_s)
        end_s = self._clock() + window_s
        while True:
            now_s = self._clock()
            alike = [other for other in self._waiting if other.kind == ride.kind]
            coming = any(not rider.riding and now_s - rider.served_s < window_s for rider in self._riders)
            if now_s >= end_s or not coming or len(alike) >= self._most:
                break
            self._news.wait(end_s - now_s)
        batch = alike[: self._most]
        self._waiting = [other for other in self._waiting if other not in batch]
        return batch

    def _carry(self, batch: list[_Ride]) -> None:
        """Step a batch; whatever happens, everybody in it is told."""
        begun_s = self._clock()
        try:
            self._step_all(batch)
        finally:
            now_s = self._clock()
            with self._news:
                for ride in batch:
                    if not ride.over:
                        ride.error = WorldError("Expected a step, the batch that this session went with broke")
                    ride.rider.riding, ride.rider.served_s = False, now_s
                self._step_s = now_s - begun_s
                self._busy = False
                self.batches += 1
                self._news.notify_all()

    def _step_all(self, batch: list[_Ride]) -> None:
        if len(batch) > 1:
            try:
                self._step_joined(batch)
                return
            except RuntimeError as error:  # too large for the memory, perhaps, or one who spoils it for all
                log.warning("a batch of %d is stepped one by one: %s", len(batch), error)
        for ride in batch:
            try:
                ride.made = self.engine.step(ride.state, ride.action, steps=ride.steps)
            except (RuntimeError, WorldError) as error:
                ride.error = error

    @torch.inference_mode()
    def _step_joined(self, batch: list[_Ride]) -> None:
        state = State.join([ride.state for ride in batch])
        after, outcome = self.engine.step(state, torch.cat([ride.action for ride in batch]), steps=batch[0].steps)
        for row, ride in enumerate(batch):
            mine = torch.tensor([row], device=self.engine.device)
            ride.made = (
                after.select(mine),
                Outcome(
                    reward=outcome.reward[mine],
                    terminated=outcome.terminated[mine],
                    ending_chance=outcome.ending_chance[mine],
                ),
            )
