"""Sessions of one model in one batch: who goes with whom, and that nobody feels it."""

from __future__ import annotations

from threading import Event, Thread

import pytest

torch = pytest.importorskip("torch")

from inhabit.bridge.controls import Controls  # noqa: E402
from inhabit.bridge.errors import WorldError  # noqa: E402
from inhabit.worldmodel.neural_world import NeuralWorld  # noqa: E402
from inhabit.worldmodel.together import Together  # noqa: E402

PATIENCE_S = 20.0


class Gated:
    """An engine whose first step waits, so that others gather meanwhile."""

    def __init__(self, engine, *, breaks_at=lambda state: False):
        self.device, self._engine, self._breaks_at = engine.device, engine, breaks_at
        self.begun, self.gate, self.sizes = Event(), Event(), []

    def step(self, state, action, *, steps):
        self.sizes.append(len(state))
        self.begun.set()
        assert self.gate.wait(PATIENCE_S)
        if self._breaks_at(state):
            raise RuntimeError("out of memory")
        return self._engine.step(state, action, steps=steps)


class Call(Thread):
    """One session's step in a thread of its own, as a seat has it."""

    def __init__(self, rider, state, steps=2):
        super().__init__(daemon=True)
        self.rider, self.state, self.steps, self.made, self.error = rider, state, steps, None, None
        self.start()

    def run(self):
        try:
            self.made = self.rider.step(self.state, torch.zeros(1, 3), steps=self.steps)
        except (RuntimeError, WorldError, ZeroDivisionError) as error:
            self.error = error


def begun(engine, key, frames=3):
    state = engine.begin(torch.randn(1, 5, 8, 4, 4, generator=torch.Generator().manual_seed(key)), torch.zeros(1, 5, 3),
                         torch.tensor([key]))  # fmt: skip
    for _ in range(frames):
        state, _ = engine.step(state, torch.zeros(1, 3))
    return state


def play(gated, states, *, steps=None, most=8):
    """One goes first, the others wait behind it. Returns all calls, over."""
    together = Together(gated, most=most)
    first = Call(together.rider(), states[0])
    assert gated.begun.wait(PATIENCE_S)
    calls = [first]
    for index, state in enumerate(states[1:]):
        calls.append(Call(together.rider(), state, steps[index] if steps else 2))
        while len(together._waiting) < index + 1:
            pass
    gated.gate.set()
    for call in calls:
        call.join(PATIENCE_S)
        assert not call.is_alive()
    return calls


def test_those_who_wait_go_in_one_batch_and_feel_nothing_of_it(engine):
    states = [begun(engine, key) for key in range(4)]
    gated = Gated(engine)
    calls = play(gated, states)
    assert gated.sizes == [1, 3]
    for call, state in zip(calls, states, strict=True):
        alone, outcome = engine.step(state, torch.zeros(1, 3))
        assert call.made is not None
        after, brought = call.made
        assert int(after.frame) == int(alone.frame)
        torch.testing.assert_close(after.latents, alone.latents, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(brought.reward, outcome.reward, atol=1e-3, rtol=1e-3)
        assert all(mine.shape == its.shape for mine, its in zip(after.tensors().values(), alone.tensors().values()))


def test_who_takes_other_steps_goes_in_another_batch(engine):
    gated = Gated(engine)
    calls = play(gated, [begun(engine, key) for key in range(5)], steps=[1, 2, 1, 2])
    assert sorted(gated.sizes) == [1, 2, 2]
    assert all(call.made for call in calls)


def test_oldest_goes_first_where_not_all_find_room(engine):
    gated = Gated(engine)
    play(gated, [begun(engine, key) for key in range(6)], most=2)
    assert gated.sizes == [1, 2, 2, 1]


def test_one_that_breaks_breaks_alone(engine):
    gated = Gated(engine, breaks_at=lambda state: bool((state.key == 2).any()))
    calls = play(gated, [begun(engine, key) for key in range(4)])
    assert gated.sizes == [1, 3, 1, 1, 1], "a batch that cannot be made is made one by one"
    assert [call.error is None for call in calls] == [True, True, False, True]


def test_nobody_waits_for_ever_when_a_batch_breaks_badly(engine):
    """Whatever else is raised reaches the one who stepped; the others get an error that a world may have."""

    class Worse(Gated):
        def step(self, state, action, *, steps):
            made = super().step(state, action, steps=steps)
            if len(state) > 1:
                raise ZeroDivisionError
            return made

    calls = play(Worse(engine), [begun(engine, key) for key in range(3)])
    assert [type(call.error) for call in calls] == [type(None), ZeroDivisionError, WorldError]


def test_a_world_that_steps_alone_is_equal_to_the_last_bit(small_pack, engine):
    by_itself, first = NeuralWorld(small_pack, engine), NeuralWorld(small_pack, engine)
    one = first.another()
    one.step_alone(True)
    others = [first.another() for _ in range(2)]
    for seed, world in ((1, by_itself), (1, one), (2, others[0]), (3, others[1])):
        world.reset(seed=seed)
    over = Event()

    def keep_busy(world):
        while not over.is_set():
            world.step(Controls())

    threads = [Thread(target=keep_busy, args=(world,), daemon=True) for world in others]
    for thread in threads:
        thread.start()
    for _ in range(8):
        assert (one.step(Controls()).pixels == by_itself.step(Controls()).pixels).all()
    over.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert one.save() == by_itself.save()
