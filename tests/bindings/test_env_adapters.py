"""Other libraries on our environments, each run for real."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.error import Error, InvalidAction, ResetNeeded

import inhabit.bindings.env  # registers the ids
from inhabit.bindings.env import WorldEnv


def make_vec(pack, count=4, **arguments) -> Any:
    return gymnasium.make_vec("inhabit/World-v0", num_envs=count, pack=pack, **arguments)


@pytest.fixture
def sb3_envs(env_pack):
    from inhabit.bindings.rl.sb3 import SB3VecEnv

    return SB3VecEnv(make_vec(env_pack, horizon=5, obs="latent", autoreset_mode="SameStep"))


def test_stable_baselines3_gets_terminal_observations_and_time_limits(sb3_envs, env_pack):
    plain = make_vec(env_pack, horizon=5, obs="latent", autoreset_mode="SameStep")
    sb3_envs.seed(3)
    one, other = sb3_envs.reset(), plain.reset(seed=3)[0]
    np.testing.assert_array_equal(one, other)
    limits = 0
    for _ in range(12):
        actions = np.array([1, 2, 3, 0])
        one, rewards, dones, infos = sb3_envs.step(actions)
        other, other_rewards, terminated, truncated, info = plain.step(actions)
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(rewards, other_rewards)
        np.testing.assert_array_equal(dones, terminated | truncated)
        for row in range(4):
            assert ("terminal_observation" in infos[row]) == bool(dones[row])
            if dones[row]:
                np.testing.assert_array_equal(infos[row]["terminal_observation"], info["final_obs"][row])
                assert infos[row]["TimeLimit.truncated"] == (truncated[row] and not terminated[row])
                limits += infos[row]["TimeLimit.truncated"]
    assert limits


@pytest.mark.slow
def test_stable_baselines3_learns_in_a_dream(sb3_envs):
    from stable_baselines3 import PPO
    from stable_baselines3.common.vec_env import VecMonitor

    model = PPO("MlpPolicy", VecMonitor(sb3_envs), n_steps=32, batch_size=32, n_epochs=2, seed=1, device="cpu")
    before = [p.clone() for p in model.policy.parameters()]
    model.learn(256)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))
    assert len(model.ep_info_buffer or ()) > 5
    action, _ = model.predict(sb3_envs.reset())
    assert action.shape == (4,)


def test_stable_baselines3_is_told_what_does_not_fit(env_pack):
    from inhabit.bindings.rl.sb3 import SB3VecEnv

    with pytest.raises(Error, match="SameStep"):
        SB3VecEnv(make_vec(env_pack))
    with pytest.raises(Error, match="arrays='numpy'"):
        SB3VecEnv(make_vec(env_pack, arrays="torch", autoreset_mode="SameStep"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # TorchRL's own
@pytest.mark.parametrize("arrays", ["numpy", "torch"])
@pytest.mark.parametrize("mode", ["SameStep", "Disabled"])
def test_torchrl_rolls_out_with_terminal_observations(env_pack, arrays, mode):
    from torchrl.envs.utils import check_env_specs

    from inhabit.bindings.rl.torchrl import torchrl_env

    env = torchrl_env(make_vec(env_pack, horizon=5, obs="latent", arrays=arrays, autoreset_mode=mode))
    check_env_specs(env)
    env.set_seed(1)
    rollout = env.rollout(12, break_when_any_done=False)
    now, following = rollout["observation"][:, 1:], rollout["next", "observation"][:, :-1]
    ended = rollout["next", "done"][:, :-1, 0]
    same = torch.isclose(now, following).flatten(2).all(-1)
    assert ended.any()
    torch.testing.assert_close(same, ~ended)  # an episode's last observation is not the next one's first


def test_torchrl_is_told_what_does_not_fit(env_pack):
    from inhabit.bindings.rl.torchrl import torchrl_env

    with pytest.raises(Error, match="'SameStep' or 'Disabled' for TorchRL"):
        torchrl_env(make_vec(env_pack))


@pytest.mark.filterwarnings("ignore")  # PettingZoo's own
def test_pettingzoo_agents_share_one_world():
    from pettingzoo.test import parallel_api_test, parallel_seed_test

    from inhabit.bindings.rl.pettingzoo import SharedWorldEnv

    def make():
        env = WorldEnv(world="toy", actions="multibinary", horizon=40)
        return SharedWorldEnv(env, {"driver": ("LEFT", "RIGHT"), "gunner": ("FIRE",)})

    parallel_api_test(make(), num_cycles=100)
    parallel_seed_test(make)
    env = make()
    first, _ = env.reset(seed=1)
    observation, rewards, *_ = env.step({"driver": 2, "gunner": 1})
    assert rewards == {"driver": 1.0, "gunner": 1.0}
    alone = WorldEnv(world="toy", actions="multibinary")
    alone.reset(seed=1)
    np.testing.assert_array_equal(observation["driver"], alone.step(np.array([0, 1, 1], np.int8))[0])
    assert observation["driver"] is not observation["gunner"]
    assert env.state().shape == first["driver"].shape
    with pytest.raises(InvalidAction, match="'gunner' to act in"):
        env.step({"gunner": 2})
    with pytest.raises(ResetNeeded):
        make().step({})
    for hands, told in (({"a": ("JUMP",)}, "none of LEFT"), ({"a": ("FIRE",), "b": ("FIRE",)}, "twice")):
        with pytest.raises(Error, match=told):
            SharedWorldEnv(WorldEnv(world="toy", actions="multibinary"), hands)
    with pytest.raises(Error, match="multibinary"):
        SharedWorldEnv(WorldEnv(world="toy"))


@pytest.mark.slow
def test_the_same_stack_stands_on_the_dream_and_on_the_game():
    pytest.importorskip("vizdoom")
    from inhabit.bindings.rl.paired import paired

    dream, real = paired(
        "doom-center",
        obs="latent",
        temperature=1.1,
        wrappers=[lambda env: gymnasium.wrappers.FrameStackObservation(env, 3)],
    )
    assert dream.observation_space == real.observation_space
    assert dream.action_space == real.action_space
    spreads = []
    for env in (dream, real):
        observation, _ = env.reset(seed=3)
        assert observation.shape[0] == 3
        for _ in range(4):
            observation, *_ = env.step(1)
        spreads.append(observation.std())
        env.close()
    assert 0.5 < spreads[0] / spreads[1] < 2  # both speak the codec's language, of about unit variance


def test_a_pair_of_other_spaces_is_refused(env_pack):
    pytest.importorskip("vizdoom")
    from inhabit.bindings.rl.paired import paired

    with pytest.raises(Error, match="a game that can be played here"):
        paired(env_pack)
    with pytest.raises(Error, match=r"Expected a game with the action_space Discrete\(4\), got Discrete\(3\)"):
        paired(env_pack, source="doom:take_cover")


assert inhabit.bindings.env
