"""The batched environment against Gymnasium's own SyncVectorEnv over single ones: the same, in all autoreset modes."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.error import ClosedEnvironmentError, Error, InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import inhabit.bindings.env

ROUNDING = 1e-3
"""Batches of different sizes may round differently; latents have unit variance."""


def make(pack, count=3, **arguments) -> Any:
    return gymnasium.make_vec("inhabit/World-v0", num_envs=count, pack=pack, **arguments)


def single(pack, **arguments) -> Any:
    return gymnasium.make("inhabit/World-v0", pack=pack, **arguments)


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("horizon", [None, 3])
def test_it_does_what_single_environments_do(env_pack, mode, horizon):
    """Rewards, endings, resets, terminal observations: none may be one step off, none may be another's."""
    arguments = {"obs": "latent", "horizon": horizon}
    batched = make(env_pack, autoreset_mode=mode, **arguments)
    separate: Any = SyncVectorEnv([lambda: single(env_pack, **arguments)] * 3, autoreset_mode=mode)
    assert batched.single_observation_space == separate.single_observation_space
    assert batched.action_space == separate.action_space
    one, _ = batched.reset(seed=[4, 9, 2])
    other, _ = separate.reset(seed=[4, 9, 2])
    np.testing.assert_allclose(one, other, atol=ROUNDING)
    rng, endings = np.random.default_rng(0), 0
    for _ in range(25):
        actions = rng.integers(0, 4, 3)
        one, reward, terminated, truncated, info = batched.step(actions)
        other, other_reward, other_terminated, other_truncated, other_info = separate.step(actions)
        np.testing.assert_allclose(one, other, atol=ROUNDING)
        np.testing.assert_allclose(reward, other_reward, atol=ROUNDING)
        np.testing.assert_array_equal(terminated, other_terminated)
        np.testing.assert_array_equal(truncated, other_truncated)
        np.testing.assert_array_equal(info["tick"], other_info["tick"])
        ended = terminated | truncated
        endings += ended.sum()
        assert ("final_obs" in info) == ("final_obs" in other_info) == (mode == AutoresetMode.SAME_STEP and ended.any())
        if "final_obs" in info:
            np.testing.assert_array_equal(info["_final_obs"], other_info["_final_obs"])
            for row in np.flatnonzero(ended):
                np.testing.assert_allclose(info["final_obs"][row], other_info["final_obs"][row], atol=ROUNDING)
                assert info["final_info"]["tick"][row] == other_info["final_info"]["tick"][row]
                assert np.abs(info["final_obs"][row] - one[row]).max() > ROUNDING  # not the new episode's first
        if mode == AutoresetMode.DISABLED and ended.any():
            one, _ = batched.reset(options={"reset_mask": ended})
            other, _ = separate.reset(options={"reset_mask": ended})
            np.testing.assert_allclose(one, other, atol=ROUNDING)
    assert endings > 5


def test_the_reset_step_of_next_step_mode_earns_nothing(env_pack):
    envs = make(env_pack, horizon=1)
    envs.reset(seed=1)
    _, rewards, *_ = envs.step([3, 3, 3])
    assert (rewards != 0).all()
    _, rewards, terminated, truncated, info = envs.step([3, 3, 3])
    assert (rewards == 0).all()
    assert not (terminated | truncated).any()
    assert (info["tick"] == 0).all()


def test_the_mode_is_told_where_libraries_look_for_it(env_pack):
    for mode in AutoresetMode:
        envs = make(env_pack, autoreset_mode=mode.value)
        assert envs.metadata["autoreset_mode"] is envs.autoreset_mode is mode


def futures(envs, seeds, steps=8):
    first, _ = envs.reset(seed=seeds)
    return np.stack([first, *(envs.step(np.full(envs.num_envs, 1 + t % 3))[0] for t in range(steps))])


def test_a_future_does_not_depend_on_who_else_is_in_the_batch(env_pack):
    """Bit for bit at one batch size, whatever the neighbours are and however often they end."""
    envs = make(env_pack, 4, obs="latent")
    alone = futures(envs, [7, 1, 2, 3])
    others = futures(envs, [7, 50, 60, 70])
    np.testing.assert_array_equal(alone[:, 0], others[:, 0])
    assert not np.array_equal(alone[:, 1], others[:, 1])
    wider = futures(make(env_pack, 9, obs="latent"), [7, *range(100, 108)])
    np.testing.assert_allclose(wider[:, 0], alone[:, 0], atol=ROUNDING)


def test_equal_seeds_give_equal_bits_and_one_seed_counts_on(env_pack):
    one, other = make(env_pack, obs="latent"), make(env_pack, obs="latent")
    np.testing.assert_array_equal(futures(one, 5), futures(other, [5, 6, 7]))


def test_tensors_are_the_callers_own_and_learn(env_pack):
    envs = make(env_pack, obs="latent", arrays="torch", autoreset_mode="SameStep")
    observation, _ = envs.reset(seed=1)
    assert isinstance(observation, torch.Tensor)
    kept = observation.clone()
    state = envs.clone_state(include_rng=True)
    weight = torch.ones(8, requires_grad=True)
    (observation.mean((2, 3)) @ weight).sum().backward()  # inference tensors would refuse
    assert weight.grad is not None
    observation.zero_()  # must not reach the world
    after, rewards, terminated, truncated, _ = envs.step(torch.tensor([1, 2, 3]))
    assert {rewards.dtype, terminated.dtype, truncated.dtype} == {torch.float32, torch.bool}
    torch.testing.assert_close(envs.restore_state(state), kept)
    again, *_ = envs.step(np.array([1, 2, 3]))
    torch.testing.assert_close(after, again, rtol=0, atol=0)
    np.testing.assert_array_equal(np.from_dlpack(after), after.numpy())


def test_numpy_and_torch_hold_the_same(env_pack):
    arrays = make(env_pack), make(env_pack, arrays="torch")
    one, other = (envs.reset(seed=3)[0] for envs in arrays)
    np.testing.assert_array_equal(one, other.numpy())
    assert one.dtype == np.uint8
    assert arrays[0].observation_space.contains(one)


def test_every_row_can_begin_where_it_is_told(env_pack):
    envs = make(env_pack, obs="latent")
    one, _ = envs.reset(seed=1, options={"start": [2, 0, 2]})
    np.testing.assert_array_equal(one[0], one[2])
    assert not np.array_equal(one[0], one[1])
    same, _ = envs.reset(seed=9, options={"start": 0})
    np.testing.assert_array_equal(same[0], one[1])


def test_a_masked_reset_leaves_the_others_alone(env_pack):
    envs = make(env_pack, obs="latent", autoreset_mode="Disabled", horizon=50)
    envs.reset(seed=1)
    before, _, _, _, info = envs.step([1, 1, 1])
    after, info = envs.reset(seed=[None, 4, None], options={"reset_mask": np.array([False, True, False])})
    np.testing.assert_array_equal(before[[0, 2]], after[[0, 2]])
    assert not np.array_equal(before[1], after[1])
    np.testing.assert_array_equal(info["tick"], [1, 0, 1])


def test_doubt_costs_reward_or_ends_episodes(env_pack):
    for uncertainty in (2, "residual"):
        plain, told = make(env_pack), make(env_pack, uncertainty=uncertainty, uncertainty_penalty=0.5)
        for envs in (plain, told):
            envs.reset(seed=1)
        actions = np.array([1, 2, 3])
        _, rewards, _, _, _ = plain.step(actions)
        _, less, _, _, info = told.step(actions)
        assert (info["uncertainty"] > 0).all()
        np.testing.assert_allclose(less, rewards - 0.5 * info["uncertainty"], atol=1e-5)
    limited = make(env_pack, uncertainty=2, uncertainty_limit=1e-9)
    limited.reset(seed=1)
    _, _, _, truncated, _ = limited.step([0, 0, 0])
    assert truncated.all()


def test_doubt_is_what_the_single_environment_tells(env_pack):
    envs, alone = make(env_pack, uncertainty=2), single(env_pack, uncertainty=2)
    envs.reset(seed=[6, 7, 8])
    alone.reset(seed=7)
    assert envs.step([1, 2, 3])[4]["uncertainty"][1] == pytest.approx(alone.step(2)[4]["uncertainty"], rel=1e-3)


def test_max_episode_steps_of_a_spec_truncates(env_pack):
    envs = make(env_pack, max_episode_steps=2)
    envs.reset(seed=3)
    for _ in range(8):
        _, _, _, truncated, info = envs.step([0, 0, 0])
        np.testing.assert_array_equal(truncated, info["tick"] == 2)


def test_episodes_can_be_counted_by_gymnasiums_wrapper(env_pack):
    for mode in ("NextStep", "SameStep"):
        envs: Any = gymnasium.wrappers.vector.RecordEpisodeStatistics(make(env_pack, horizon=4, autoreset_mode=mode))
        envs.reset(seed=1)
        lengths = []
        for _ in range(30):
            *_, info = envs.step(envs.action_space.sample())
            if "episode" in info:
                lengths += info["episode"]["l"][info["_episode"]].tolist()
        assert lengths
        assert max(lengths) == 4


def test_rendering_gives_one_picture_each(env_pack):
    envs = make(env_pack, render_mode="rgb_array")
    observation, _ = envs.reset(seed=1)
    pictures = envs.render()
    assert len(pictures) == 3
    np.testing.assert_array_equal(np.stack(pictures), observation)


def test_dicts_are_batched(env_pack):
    envs = make(env_pack, obs="dict")
    observation, _ = envs.reset(seed=1)
    assert observation["frame"].shape == (3, 64, 64, 3)
    assert envs.observation_space.contains(observation)


@pytest.mark.parametrize(
    "actions",
    [[1, 2], [1, 2, 4], [1, -1, 0], [1.0, 2.0, 0.0], "abc", None, np.ones((3, 1), int), torch.tensor([0.5, 1, 2])],
)
def test_only_batches_of_actions_are_taken(env_pack, actions):
    envs = make(env_pack)
    envs.reset(seed=1)
    with pytest.raises(InvalidAction):
        envs.step(actions)


def test_other_action_spaces_are_batched(env_pack):
    for kind in ("multibinary", "box"):
        envs = make(env_pack, actions=kind)
        envs.reset(seed=1)
        envs.step(envs.action_space.sample())
        with pytest.raises(InvalidAction):
            envs.step(np.full((3, 3), 7, envs.action_space.dtype))


def test_out_of_order_calls_are_told(env_pack):
    envs = make(env_pack, autoreset_mode="Disabled", horizon=1)
    for call in (lambda: envs.step([0, 0, 0]), envs.clone_state, lambda: envs.fork([0], 2)):
        with pytest.raises(ResetNeeded):
            call()
    envs.reset(seed=1)
    envs.step([0, 0, 0])
    with pytest.raises(ResetNeeded, match="reset_mask"):
        envs.step([0, 0, 0])
    envs.close()
    with pytest.raises(ClosedEnvironmentError):
        envs.step([0, 0, 0])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"arrays": "jax"}, "'numpy' or 'torch'"),
        ({"autoreset_mode": "later"}, "NextStep"),
        ({"render_mode": "human"}, "rgb_array"),
        ({"horizon": 0}, "at least 1"),
        ({"uncertainty": -1}, "further draws"),
        ({"uncertainty_limit": 0.1}, "beside uncertainty_limit"),
        ({"temperatur": 1}, "got 'temperatur' - did you mean 'temperature'"),
        ({"temperature": -1}, "temperature from 0"),
        ({"count": 0}, "num_envs of at least 1"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(env_pack, arguments, told):
    with pytest.raises(Error, match=told):
        make(env_pack, **arguments)


def test_a_wrong_seed_mask_or_id_is_named(env_pack):
    envs = make(env_pack)
    with pytest.raises(Error, match="for each of 3"):
        envs.reset(seed=[1, 2])
    envs.reset(seed=1)
    for mask in ([True, False, False], np.array([True]), np.array([1, 0, 0]), np.zeros(3, bool)):
        with pytest.raises(Error, match="reset_mask"):
            envs.reset(options={"reset_mask": mask})
    for ids in ([3], [-1], [], [0.5]):
        with pytest.raises(Error, match="ids from 0 to 2"):
            envs.fork(ids, 2)
    with pytest.raises(Error, match="n=0"):
        envs.fork([0], 0)
    with pytest.raises(Error, match="a state of 3 environments, got one of 1"):
        envs.restore_state(envs.clone_state([0]))


def test_forks_begin_alike_and_go_their_own_ways(env_pack):
    envs = make(env_pack, obs="latent")
    envs.reset(seed=9)
    here, _, terminated, *_ = envs.step([1, 2, 3])
    assert not terminated.any()
    forks = envs.fork([2, 0], 3)
    assert forks.num_envs == 6
    np.testing.assert_array_equal(forks.clone_state().elapsed, [1] * 6)
    first, *_ = forks.step(np.ones(6, int))
    assert len({row.tobytes() for row in first}) == 6
    same = envs.fork([2, 2], 1, include_rng=True)
    one, *_ = same.step([1, 1])
    np.testing.assert_array_equal(one[0], one[1])
    unchanged, *_ = envs.step([0, 0, 1])
    np.testing.assert_allclose(unchanged[2], one[0], atol=ROUNDING)  # the fork lived what this one does
    assert not np.array_equal(here, unchanged)


def test_states_move_between_rows(env_pack):
    envs = make(env_pack, obs="latent", horizon=20)
    envs.reset(seed=9)
    now, _, terminated, *_ = envs.step([1, 2, 3])
    assert not terminated.any()
    envs.restore_state(envs.clone_state([2, 2]), [0, 1])
    moved = envs.restore_state(envs.clone_state())
    np.testing.assert_array_equal(moved, now[[2, 2, 2]])
    after, *_ = envs.step([1, 1, 1])
    assert len({row.tobytes() for row in after}) == 3


@pytest.mark.slow
def test_the_shipped_pack_does_what_single_environments_do():
    """The real network, not a random one: pictures within a grey level for a second."""
    count, name = 3, "inhabit/doom-center-v0"
    batched: Any = gymnasium.make_vec(name, num_envs=count)
    separate: Any = SyncVectorEnv([lambda: gymnasium.make(name)] * count)
    one, other = (envs.reset(seed=11)[0].astype(int) for envs in (batched, separate))
    assert np.abs(one - other).max() <= 1
    for t in range(17):
        actions = np.array([1, 2, 3])[(np.arange(count) + t // 4) % 3]
        (one, reward, terminated, *_), (other, other_reward, other_terminated, *_) = (
            envs.step(actions) for envs in (batched, separate)
        )
        assert np.abs(one.astype(int) - other.astype(int)).mean() < 0.5
        np.testing.assert_allclose(reward, other_reward, atol=0.02)
        np.testing.assert_array_equal(terminated, other_terminated)


assert inhabit.bindings.env  # it registers the ids
