"""One world as a Gymnasium environment: the contract, seeds, options, observations, and what a mistake is told."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, DependencyNotInstalled, Error, InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env

import inhabit.bindings.env
from inhabit.bindings.env import Timing, WorldEnv
from inhabit.bridge.server import Server
from inhabit.bridge.toy import ToyWorld

FIRE, NOTHING = 3, 0


def make(**arguments) -> Any:
    return gymnasium.make("inhabit/World-v0", **arguments).unwrapped


def play(env, actions, seed=3):
    """Observations, rewards and flags of an episode."""
    first, _ = env.reset(seed=seed)
    seen = [(first, 0.0, False, False)]
    for action in actions:
        observation, reward, terminated, truncated, _ = env.step(action)
        seen.append((observation, reward, terminated, truncated))
        if terminated or truncated:
            break
    return seen


def assert_same(one, other):
    assert len(one) == len(other)
    for (a, *rest), (b, *others) in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert rest == others


@pytest.mark.parametrize("arguments", [{}, {"obs": "dict"}, {"obs": "latent"}, {"uncertainty": 1}, {"horizon": 9}])
def test_check_env_has_nothing_to_say(env_pack, arguments, dummy_display):
    env = gymnasium.make("inhabit/World-v0", pack=env_pack, **arguments)
    check_env(env.unwrapped)  # warnings are errors here
    env.close()


@pytest.mark.parametrize("obs", ["rgb", "dict"])
def test_check_env_has_nothing_to_say_of_a_world_with_sound_and_words(obs, dummy_display):
    env = gymnasium.make("inhabit/World-v0", world="toy", obs=obs)
    check_env(env.unwrapped)
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize("world", ["doom:take_cover", "isle"])
def test_check_env_has_nothing_to_say_of_real_games(world, dummy_display):
    if world.startswith("doom"):
        pytest.importorskip("vizdoom")
    env = gymnasium.make("inhabit/World-v0", world=world)
    check_env(env.unwrapped)
    env.close()


def test_the_shipped_pack_has_an_id(dummy_display):
    env: Any = gymnasium.make("inhabit/doom-center-v0")
    assert env.spec is not None
    assert env.spec.nondeterministic is False
    observation, info = env.reset(seed=1)
    assert observation.shape == (96, 128, 3)
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    assert type(reward) is float
    assert type(terminated) is type(truncated) is bool
    assert info["tick"] == 1
    assert info["timing"].latency_ms > 0
    env.close()


def test_a_seed_decides_the_whole_episode_and_others_begin_elsewhere(env_pack):
    env, other = make(pack=env_pack), make(pack=env_pack)
    actions = [1, 2, 3, 0, 1]
    assert_same(play(env, actions), play(other, actions))
    firsts = [env.reset(seed=seed)[0].tobytes() for seed in range(20)]
    assert len(set(firsts)) == 4  # the pack has four starts, and a first frame shows nothing else


def test_without_a_seed_episodes_follow_from_the_last_seed(env_pack):
    env = make(pack=env_pack)
    env.reset(seed=5)
    following = [env.reset()[0].tobytes() for _ in range(6)]
    assert len(set(following)) > 1
    env.reset(seed=5)
    assert [env.reset()[0].tobytes() for _ in range(6)] == following


def test_a_start_can_be_named(env_pack):
    env = make(pack=env_pack)
    one, _ = env.reset(seed=1, options={"start": 2})
    other, _ = env.reset(seed=2, options={"start": np.int64(2)})
    third, _ = env.reset(seed=2, options={"start": 3})
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one, third)


def test_the_sidecar_gives_what_the_process_gives(env_pack):
    from inhabit.worldmodel.neural_world import NeuralWorld

    actions = [1, 2, 3, 0, 1, 3]
    with Server(lambda: NeuralWorld.open(env_pack, device="cpu")) as server:
        for arguments in ({}, {"obs": "latent"}, {"uncertainty": 2}):
            near, far = make(pack=env_pack, **arguments), make(endpoint=server.endpoint, **arguments)
            assert near.observation_space == far.observation_space
            assert_same(play(near, actions), play(far, actions))
            for env in (near, far):
                env.reset(seed=8)
            (*_, near_info), (*_, far_info) = near.step(1), far.step(1)
            assert near_info == far_info
            near.close()
            far.close()


def test_importing_and_connecting_needs_no_torch(env_pack):
    """The sidecar's own point: a trainer without torch."""
    program = """
import sys
sys.modules["torch"] = None
import gymnasium, inhabit.bindings.env, inhabit.bindings.vector_env
env = gymnasium.make("inhabit/World-v0", endpoint=sys.argv[1], obs="latent")
print(env.reset(seed=1)[0].shape, env.step(1)[1])
env.close()
"""
    from inhabit.worldmodel.neural_world import NeuralWorld

    with Server(lambda: NeuralWorld.open(env_pack, device="cpu")) as server:
        command = [sys.executable, "-c", program, server.endpoint]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(8, 4, 4) ")


def test_reward_comes_with_the_very_action_that_pays():
    env = make(world="toy")
    env.reset(seed=1)
    paid = [env.step(action)[1] for action in (NOTHING, FIRE, NOTHING, NOTHING, FIRE, FIRE, 1, FIRE)]
    assert paid == [0, 1, 0, 0, 1, 1, 0, 1]


def test_the_horizon_truncates_and_says_so(env_pack):
    env = make(world="toy", horizon=4)
    seen = play(env, [NOTHING] * 9)
    assert [flags for *_, flags in seen] == [False, False, False, False, True]
    assert not any(terminated for _, _, terminated, _ in seen)
    with pytest.raises(ResetNeeded, match="the episode is over"):
        env.step(NOTHING)
    env.reset()
    env.step(NOTHING)


def test_sound_and_words_are_in_the_dict():
    env = make(world="toy", obs="dict")
    observation, _ = env.reset(seed=1, options={"prompt": "blue"})
    assert set(observation) == {"frame", "sound", "text"}
    assert observation["sound"].shape == (534, 2)
    assert observation["text"] == "blue"
    remark = env.say("red on wood")
    assert remark is not None
    assert "wood" in remark
    observation, *_ = env.step(NOTHING)
    assert observation["text"] == "red on wood"
    env.close()


def test_more_draws_of_a_frame_tell_how_sure_it_is(env_pack):
    plain, asked = make(pack=env_pack), make(pack=env_pack, uncertainty=3)
    actions = [1, 0, 2, 2]
    assert_same(play(plain, actions), play(asked, actions))  # asking changes nothing
    asked.reset(seed=3)
    told = asked.step(1)[4]["uncertainty"]
    assert told > 0
    certain = make(pack=env_pack, uncertainty=3, temperature=0.0)
    certain.reset(seed=3)
    assert certain.step(1)[4]["uncertainty"] < 0.2 * told


def test_temperature_zero_leaves_nothing_to_the_noise(env_pack):
    def second_frames(temperature):
        env = make(pack=env_pack, temperature=temperature, obs="latent")
        firsts = []
        for seed in (1, 2, 3):
            env.reset(seed=seed, options={"start": 0})
            firsts.append(env.step(1)[0])
        return np.stack(firsts).std(0).mean()

    assert second_frames(0.0) < 0.3 * second_frames(1.0) < 0.3 * second_frames(2.0)


def test_rendering_shows_what_is_observed(env_pack, dummy_display):
    env = make(pack=env_pack, render_mode="rgb_array")
    observation, _ = env.reset(seed=1)
    np.testing.assert_array_equal(env.render(), observation)
    shown = make(world="toy", render_mode="human")
    shown.reset(seed=1)
    shown.step(1)
    assert shown.render() is None
    shown.close()


@pytest.mark.parametrize(
    ("actions", "good", "bad"),
    [
        ("discrete", 3, [4, -1, 1.0, "1", None, [1], np.float32(1)]),
        ("multibinary", np.array([1, 0, 1], np.int8), [np.array([2, 0, 0]), np.array([1, 0]), 1]),
        ("box", np.array([1, -1, 0], np.float32), [np.array([2, 0, 0], np.float32), np.array([0.0, 0, 0]), 0]),
    ],
)
def test_only_actions_of_the_space_are_taken(actions, good, bad):
    env = make(world="toy", actions=actions)
    env.reset(seed=1)
    env.step(good)
    for action in bad:
        with pytest.raises(InvalidAction, match="Expected an action in"):
            env.step(action)


def test_what_is_done_out_of_order_is_told_in_gymnasiums_terms(env_pack):
    env = make(pack=env_pack)
    with pytest.raises(ResetNeeded):
        env.step(0)
    with pytest.raises(ResetNeeded):
        env.clone_state()
    env.close()
    env.close()
    for call in (env.reset, lambda: env.step(0), env.clone_state):
        with pytest.raises(ClosedEnvironmentError, match="make a new one"):
            call()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"pack": "nowhere"}, "Expected a pack"),
        ({}, "got none of them"),
        ({"pack": "doom-center", "world": "toy"}, "got both"),
        ({"world": "toy", "obs": "depth"}, "rgb, dict, latent"),
        ({"world": "toy", "obs": "latent"}, "Expected a neural world"),
        ({"world": "toy", "actions": "keys"}, "auto, discrete, multibinary, box"),
        ({"world": "toy", "unknown": 1}, "Expected arguments among pack, world, .*, got 'unknown'"),
        ({"world": "toy", "temprature": 1}, "got 'temprature' - did you mean 'temperature'"),
        ({"world": "toy", "horizon": 0}, "at least 1 frame"),
        ({"world": "toy", "temperature": 1.5}, "Expected temperature=1"),
        ({"world": "toy", "uncertainty": -1}, "further draws"),
        ({"world": "toy", "render_mode": "ansi"}, "render_mode"),
        ({"world": "toy", "steps": 3}, "Expected steps"),
        ({"endpoint": "tcp://127.0.0.1:1", "temperature": 2}, "plain sidecar"),
        ({"pack": "doom-center", "temperature": 9}, "temperature from 0 to 3"),
        ({"pack": "doom-center", "device": "tpu"}, "auto, cpu or cuda"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*render_mode.*")
def test_an_argument_that_does_not_fit_is_named(arguments, told):
    with pytest.raises(Error, match=told):
        make(**arguments)


def test_an_unknown_option_is_named(env_pack):
    env = make(pack=env_pack)
    with pytest.raises(Error, match="Expected reset options among start, prompt, got 'level'"):
        env.reset(options={"level": 3})
    with pytest.raises(Error, match="a start from 0 to 3, got 4"):
        env.reset(options={"start": 4})
    with pytest.raises(Error, match="without words"):
        env.reset(options={"prompt": "snow"})
    env.reset()
    with pytest.raises(Error, match="a world that listens to words, such as pack='isle-tiny', got 'small'"):
        env.say("snow")


def test_a_pack_that_is_to_come_is_told_how_to_get():
    from inhabit.worldmodel.catalog import shipped_packs

    if "doom-take-cover" in shipped_packs():
        pytest.skip("it ships")
    with pytest.raises(Error, match="inhabit experiment take-cover"):
        gymnasium.make("inhabit/doom-take-cover-v0")


def test_a_pack_in_the_place_of_the_named_one_may_be_given(env_pack):
    env = gymnasium.make("inhabit/doom-take-cover-v0", pack=env_pack)
    assert env.reset(seed=1)[0].shape == (64, 64, 3)
    env.close()


def test_a_pack_without_reward_heads_is_refused(env_pack, tmp_path):
    from shutil import copytree

    from safetensors.torch import load_file, save_file

    folder = copytree(env_pack, tmp_path / "headless")
    weights = load_file(folder / "dynamics.safetensors")
    kept = {name: value for name, value in weights.items() if not name.startswith("reward_head")}
    save_file(kept, folder / "dynamics.safetensors")
    with pytest.raises(Error, match="Expected a pack with reward and ending heads"):
        make(pack=folder)


def test_a_dead_sidecar_is_an_error_with_a_way_out(env_pack):
    with pytest.raises(Error, match="start it with `inhabit serve`"):
        WorldEnv(endpoint="tcp://127.0.0.1:9", connect_s=0.3)
    server = Server(ToyWorld).start()
    env = WorldEnv(endpoint=server.endpoint, connect_s=2.0)
    env.reset(seed=1)
    server.stop()
    with pytest.raises(Error, match=r"the sidecar|gone|closed|stops"):
        env.step(1)
    env.close()


def test_a_sidecar_of_another_world_is_refused():
    with Server(ToyWorld) as server, pytest.raises(Error, match="serves 'doom-center', got one of 'toy'"):
        gymnasium.make("inhabit/doom-center-v0", endpoint=server.endpoint)


def test_a_missing_extra_is_told_with_its_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "vizdoom", None)
    with pytest.raises(DependencyNotInstalled, match=r"inhabit\[doom\]"):
        make(world="doom:take_cover")


def test_a_kept_state_leads_into_new_futures_and_with_its_rng_into_the_same(env_pack):
    env = make(pack=env_pack, obs="latent")
    env.reset(seed=4)
    env.step(1)
    with_rng = pickle.loads(pickle.dumps(env.clone_state(include_rng=True)))
    without = env.clone_state()

    def future():
        seen = []
        for action in (1, 2, 3):
            observation, _, terminated, *_ = env.step(action)
            seen.append(observation)
            if terminated:
                env.reset()
        return np.stack(seen)

    ahead = future()
    for _ in range(2):
        env.restore_state(with_rng)
        np.testing.assert_array_equal(future(), ahead)
    others = []
    for _ in range(3):
        np.testing.assert_array_equal(env.restore_state(without), env.restore_state(with_rng))
        env.restore_state(without)
        others.append(future())
    env.restore_state(without)
    others.append(future())
    assert not np.array_equal(others[-1], others[-2]) or not np.array_equal(others[-1], ahead)


def test_a_real_game_cannot_be_kept():
    pytest.importorskip("vizdoom")
    env = make(world="doom:take_cover")
    env.reset(seed=1)
    with pytest.raises(Error, match="cannot be saved"):
        env.clone_state()
    env.close()


def test_timings_are_equal_whatever_they_measured():
    assert Timing(latency_ms=1.0) == Timing(latency_ms=2.0)


def test_registering_again_changes_nothing():
    inhabit.bindings.env.register_worlds()
    assert "inhabit/doom-center-v0" in gymnasium.registry
