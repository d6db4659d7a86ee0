"""The engine: streaming equals training, sessions ignore each other, nothing grows, a state is a value."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from inhabit.bridge.errors import WorldError
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.omni.block import CONTEXT_LEVEL, K_MAX, Block, earlier_frames
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.response import noise
from inhabit.worldmodel.state import State


def begin(engine, keys, start=slice(0, 1), frames=5) -> State:
    torch.manual_seed(1)
    latents = torch.randn(8, frames, 8, 4, 4)[start].expand(len(keys), -1, -1, -1, -1)
    return engine.begin(latents, torch.zeros(len(keys), frames, 3), torch.tensor(keys))


def run(engine, state, frames, steps=2, action=(1.0, 0.0, 0.0)):
    for _ in range(frames):
        state, outcome = engine.step(state, torch.tensor(action).expand(len(state), -1), steps=steps)
    return state, outcome


def test_streaming_with_a_cache_equals_one_pass_over_the_whole_window(engine, small_pack):
    """What training computes in parallel is what the fused commit and the ring compute one frame at a time."""
    torch.manual_seed(2)
    frames = 5  # within the context, so that both see the same past
    clean = torch.randn(1, frames, 8, 4, 4)
    actions = torch.randn(1, frames, 3).clamp(-1, 1)
    noised, previous, carried = (torch.randn_like(clean) for _ in range(3))
    level = torch.tensor([[CONTEXT_LEVEL] * (frames - 1) + [0]])
    step = torch.tensor([[3] * (frames - 1) + [1]])
    block = Block(noised=noised, previous=previous, carried=carried, actions=actions, level=level, step=step)
    with torch.inference_mode():
        whole = engine.dynamics(block)
        head = block.select(slice(None), slice(frames - 2))
        state = engine.begin(clean, actions, torch.tensor([0]))
        ring = state.ring.__class__.empty(small_pack.file.dynamics.transformer, 1, 9, engine.device)
        made = engine.dynamics(head).made
        for frame in range(frames - 2):
            ring = ring.commit(torch.tensor([[frame]]), [layer[:, :, :, :, frame : frame + 1] for layer in made])
        tail = block.select(slice(None), slice(frames - 2, None))
        streamed = engine.dynamics(tail, ring.past(torch.tensor([frames - 1])))
    torch.testing.assert_close(streamed.clean[:, -1], whole.clean[:, -1], atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(streamed.ending_logit[:, -1], whole.ending_logit[:, -1], atol=2e-5, rtol=1e-4)


def test_the_ring_never_grows_and_holds_the_newest_frames(engine):
    state = begin(engine, [5])
    shape = state.ring.rotated_keys_values.shape
    state, _ = run(engine, state, 20)
    assert state.ring.rotated_keys_values.shape == shape
    newest = int(state.frame)  # not yet committed
    assert sorted(state.ring.frame[0].tolist()) == list(range(newest - 6, newest))


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_every_number_of_steps_runs_and_can_change_on_the_way(engine, steps):
    state = begin(engine, [1])
    state, _ = run(engine, state, 2, steps=steps)
    state, outcome = run(engine, state, 2, steps=2)
    assert torch.isfinite(state.latents).all()
    assert 0 <= float(outcome.ending_chance) <= 1
    assert engine.show(state).shape == (1, 64, 64, 3)


def test_a_wrong_number_of_steps_is_refused_by_name(engine):
    with pytest.raises(WorldError, match="got 3"):
        engine.step(begin(engine, [1]), torch.zeros(1, 3), steps=3)


def test_noise_depends_on_the_session_alone():
    keys = torch.tensor([7, 8, 9])
    batch = noise.normal(keys, torch.tensor([3, 3, 5]), 0, (8, 4, 4))
    alone = noise.normal(keys[1:2], torch.tensor([3]), 0, (8, 4, 4))
    assert torch.equal(batch[1:2], alone)
    assert not torch.equal(batch[0], batch[1])
    assert not torch.equal(alone, noise.normal(keys[1:2], torch.tensor([4]), 0, (8, 4, 4)))
    assert not torch.equal(alone, noise.normal(keys[1:2], torch.tensor([3]), 1, (8, 4, 4)))


def test_noise_is_standard_normal():
    drawn = noise.normal(torch.arange(64), torch.arange(64), 0, (1024,))
    assert abs(float(drawn.mean())) < 0.02
    assert abs(float(drawn.std()) - 1) < 0.02
    assert abs(float((drawn.abs() < 1).float().mean()) - 0.6827) < 0.01
    neighbours = (drawn[:, 1:] * drawn[:, :-1]).mean()
    assert abs(float(neighbours)) < 0.02


def test_a_sessions_future_does_not_depend_on_its_neighbours(engine):
    """At one batch size the bits agree whoever the neighbours are; across batch sizes only rounding differs."""
    mine, stranger, other = 41, 42, 77
    together, _ = run(engine, begin(engine, [mine, stranger]), 12)
    elsewhere, _ = run(engine, begin(engine, [mine, other]), 12)
    alone, _ = run(engine, begin(engine, [mine]), 12)
    assert torch.equal(together.latents[0], elsewhere.latents[0])
    torch.testing.assert_close(together.latents[0], alone.latents[0], atol=1e-3, rtol=1e-3)
    assert not torch.equal(together.latents[0], together.latents[1])


def test_sessions_of_one_batch_may_be_at_different_frames(engine):
    """A session that joins late continues as it would have on its own."""
    early, _ = run(engine, begin(engine, [3]), 9)
    late = begin(engine, [4])
    joined = State.join([early, late])
    joined, _ = run(engine, joined, 4)
    alone, _ = run(engine, late, 4)
    torch.testing.assert_close(joined.latents[1], alone.latents[0], atol=1e-3, rtol=1e-3)


def test_step_leaves_the_given_state_alone(engine):
    state = begin(engine, [1])
    kept = state.ring.rotated_keys_values.clone(), state.latents.clone()
    run(engine, state, 1)
    assert torch.equal(kept[0], state.ring.rotated_keys_values)
    assert torch.equal(kept[1], state.latents)


def test_a_fork_goes_its_own_way_and_the_original_goes_on(engine):
    state, _ = run(engine, begin(engine, [1]), 3)
    forks = state.select(torch.tensor([0, 0]))
    left, _ = engine.step(forks, torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]))
    assert not torch.equal(left.latents[0], left.latents[1])
    straight, _ = engine.step(state.select(torch.tensor([0, 0])), torch.tensor([[1.0, 0, 0], [1.0, 0, 0]]))
    assert torch.equal(straight.latents[0], left.latents[0])
    assert torch.equal(straight.latents[0], straight.latents[1])


def test_the_level_grid_holds_every_schedule():
    for steps in (1, 2, 4):
        assert K_MAX % steps == 0


def test_a_state_that_is_given_away_steps_to_the_same_bits_and_is_used_up(engine):
    kept, given = begin(engine, [1, 2]), begin(engine, [1, 2])
    for _ in range(9):  # more than the ring holds
        kept, _ = engine.step(kept, torch.zeros(2, 3))
        before = given
        given, _ = engine.step(given, torch.zeros(2, 3), donate=True)
    for name, value in kept.tensors().items():
        assert torch.equal(value, given.tensors()[name]), name
    with pytest.raises(WorldError, match="used up"):
        engine.step(before, torch.zeros(2, 3))


def test_sessions_put_into_a_batch_go_on_as_alone_and_the_batch_stays_as_it_was(engine):
    batch, _ = run(engine, begin(engine, [1, 2, 3]), 4)
    fresh = begin(engine, [8])
    kept = {name: value.clone() for name, value in batch.tensors().items()}
    mixed = batch.put(torch.tensor([1]), fresh)
    assert all(torch.equal(value, batch.tensors()[name]) for name, value in kept.items())
    both = State.join([batch.select(torch.tensor([0])), fresh, batch.select(torch.tensor([2]))])
    spent = batch.put(torch.tensor([1]), fresh, donate=True)
    for name, value in both.tensors().items():
        assert torch.equal(value, mixed.tensors()[name]), name
        assert torch.equal(value, spent.tensors()[name]), name


def test_only_differences_of_frame_numbers_count(engine):
    """A session of years is what a young one is."""
    young, _ = run(engine, begin(engine, [3]), 4)
    years = torch.tensor([2**33])
    old = replace(young, ring=young.ring.later(years), frame=young.frame)
    assert old.ring.frame.max() > 2**33
    past, later = young.ring.past(young.frame + 1), old.ring.past(young.frame + 1 + years)
    block = Block(
        noised=young.latents[:, None], previous=young.before[:, None], carried=young.carried[:, None],
        actions=torch.zeros(1, 1, 3), level=torch.tensor([[4]]), step=torch.tensor([[1]]),
    )  # fmt: skip
    with torch.inference_mode():
        here, there = engine.dynamics(block, past), engine.dynamics(block, later)
    torch.testing.assert_close(here.clean, there.clean, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("whole", [True, False])
def test_an_outline_has_the_shapes_and_types_of_what_begins(small_pack, whole):
    pack = small_pack if whole else replace(small_pack, motion=None, dynamics=Dynamics(without_motion(small_pack)))
    engine = Engine.of(pack)
    begun, outline = begin(engine, [1, 2]).tensors(), engine.outline(2, 4, 4).tensors()
    assert {name: (value.shape, value.dtype) for name, value in begun.items()} == {
        name: (value.shape, value.dtype) for name, value in outline.items()
    }


def test_a_world_that_does_not_look_at_its_frames_shows_them_when_asked(small_pack):
    engine = Engine.of(replace(small_pack, motion=None, dynamics=Dynamics(without_motion(small_pack))))
    decoded: list[int] = []
    hook = engine.autoencoder.decoder.register_forward_hook(lambda *_: decoded.append(1))
    state, _ = run(engine, begin(engine, [1]), 3)
    assert not decoded
    assert engine.show(state).shape == (1, 64, 64, 3)
    assert len(decoded) == 1
    hook.remove()


def test_convolutions_see_earlier_frames_in_play_as_in_training(small_pack):
    config = replace(without_motion(small_pack), earlier=2)
    torch.manual_seed(7)
    engine = Engine.of(replace(small_pack, motion=None, dynamics=Dynamics(config)))
    shown = []
    hook = engine.dynamics.register_forward_pre_hook(lambda _, arguments: shown.append(arguments[0]))
    torch.manual_seed(1)
    lived = list(torch.randn(4, 1, 8, 4, 4))
    state = engine.begin(torch.stack(lived, 1), torch.zeros(1, 4, 3), torch.tensor([3]))
    for _ in range(3):
        state, _ = engine.step(state, torch.zeros(1, 3), steps=2)
        lived.append(state.latents)
    hook.remove()
    previous = torch.stack([torch.zeros_like(lived[0]), *lived[:-1]], 1)
    looked_back = earlier_frames(previous, 2)
    assert looked_back is not None
    assert torch.equal(looked_back[0, 4], torch.cat([lived[2][0], lived[1][0]]))
    begun, *made = shown
    assert torch.equal(begun.earlier, looked_back[:, :4])
    for index, (first, second) in enumerate(zip(made[::2], made[1::2], strict=True), start=4):
        assert torch.equal(first.earlier, looked_back[:, index - 1 : index + 1])
        assert torch.equal(second.earlier, looked_back[:, index : index + 1])


def without_motion(pack):
    return replace(pack.file.dynamics, motion=None)
