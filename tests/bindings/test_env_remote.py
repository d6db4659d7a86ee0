"""Batches in a sidecar: the same as in this process, and every way in which that can go wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest
from gymnasium.error import Error

from inhabit.bindings.vector_env import make_vector_env
from inhabit.bridge.batches import Answer, Call, read_answer, read_call, write
from inhabit.bridge.errors import RemoteProtocolError
from inhabit.bridge.server import Server
from inhabit.bridge.toy import ToyWorld
from inhabit.bridge.transport import ZmqServer


@pytest.fixture
def endpoint(env_pack):
    from inhabit.worldmodel.dreams.batch_server import BatchServer

    transport = ZmqServer("tcp://127.0.0.1:0")
    server = BatchServer(env_pack, transport, device="cpu")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield transport.endpoint
    server.stop()
    thread.join(5)


@pytest.mark.parametrize("mode", ["NextStep", "SameStep", "Disabled"])
@pytest.mark.parametrize("obs", ["rgb", "latent", "dict"])
def test_a_sidecar_gives_what_the_process_gives(env_pack, endpoint, mode, obs):
    how: dict[str, Any] = {"obs": obs, "autoreset_mode": mode, "horizon": 5, "temperature": 1.3, "uncertainty": 1}
    near, far = make_vector_env(3, pack=env_pack, **how), make_vector_env(3, endpoint=endpoint, **how)
    assert near.observation_space == far.observation_space
    seen = [envs.reset(seed=2)[0] for envs in (near, far)]
    rng = np.random.default_rng(1)
    for _ in range(14):
        assert_equal(*seen)
        actions = rng.integers(0, 4, 3)
        (one, *flags, info), (other, *other_flags, other_info) = near.step(actions), far.step(actions)
        for a, b in zip(flags, other_flags, strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(info["uncertainty"], other_info["uncertainty"])
        for row in np.flatnonzero(info.get("_final_obs", [])):
            assert_equal(info["final_obs"][row], other_info["final_obs"][row])
        seen = [one, other]
        ended = flags[1] | flags[2]
        if mode == "Disabled" and ended.any():
            seen = [envs.reset(options={"reset_mask": ended})[0] for envs in (near, far)]
    near.close()
    far.close()


def assert_equal(one, other):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    else:
        np.testing.assert_array_equal(one, other)


def test_states_are_kept_and_forked_over_there(endpoint):
    envs = make_vector_env(3, endpoint=endpoint, obs="latent")
    envs.reset(seed=9)
    here, _, terminated, *_ = envs.step([1, 2, 3])
    assert not terminated.any()
    kept = envs.clone_state(include_rng=True)
    forks = envs.fork([2, 0], 2)
    ahead, *_ = envs.step([1, 1, 1])
    np.testing.assert_array_equal(envs.restore_state(kept), here)
    np.testing.assert_array_equal(envs.step([1, 1, 1])[0], ahead)
    children, *_ = forks.step([1, 1, 1, 1])
    assert len({row.tobytes() for row in children}) == 4
    envs.close()
    np.testing.assert_array_equal(forks.step([0] * 4)[0].shape, (4, 8, 4, 4))  # it outlives its parent
    forks.close()


def test_what_the_sidecar_refuses_is_told_and_nothing_breaks(endpoint):
    envs = make_vector_env(2, endpoint=endpoint)
    with pytest.raises(Error, match="a start from 0 to 3, got 9"):
        envs.reset(seed=1, options={"start": 9})
    envs.reset(seed=1)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"temperature": 7}, "temperature from 0 to 3"),
        ({"steps": 3}, "steps to be one of"),
        ({"arrays": "torch"}, "tensors do not travel"),
        ({"pack": "doom-center"}, "Expected a sidecar of 'doom-center', got one of 'small'"),
    ]
    for how, told in refused:
        with pytest.raises(Error, match=told):
            make_vector_env(2, endpoint=endpoint, **how)
    with pytest.raises(Error, match="1 to 4096 sessions"):
        make_vector_env(5000, endpoint=endpoint)
    envs.step([0, 1])
    envs.close()


def test_another_kind_of_sidecar_or_none_is_told():
    with Server(ToyWorld) as server, pytest.raises(Error, match="inhabit envs"):
        make_vector_env(2, endpoint=server.endpoint, connect_s=5)
    with pytest.raises(Error, match=r"Nothing answers at tcp://127\.0\.0\.1:9"):
        make_vector_env(2, endpoint="tcp://127.0.0.1:9", connect_s=0.4)


@pytest.mark.parametrize("parts", [[], [b""], [b"\x01\x62\x80"], [b"\x01\x61\xc1"], [b"\x02\x61\x80"], [b"x", b"y"]])
def test_what_is_no_call_is_refused(parts):
    with pytest.raises(RemoteProtocolError):
        read_call(parts)


def test_arrays_travel_whole_and_only_whole():
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([True]), "c": np.zeros((0, 2), np.int16)}
    answer, told = read_answer(write(Answer(number=3, values={"x": 1}), arrays))
    assert (answer.number, answer.values) == (3, {"x": 1})
    for name, array in arrays.items():
        np.testing.assert_array_equal(told[name], array)
        assert told[name].dtype == array.dtype
    parts = write(Call(number=1, name="step"), {"actions": np.zeros(4, np.float32)})
    for broken in (parts[:1], [*parts, b""], [parts[0], bytes(parts[1])[:-1]]):
        with pytest.raises(RemoteProtocolError):
            read_call(broken)
    objects = write(Call(number=1, name="step"), {"a": np.array([1], np.complex64)})
    with pytest.raises(RemoteProtocolError):
        read_call(objects)


@pytest.mark.slow
def test_a_sidecar_that_dies_is_an_error_and_a_client_needs_no_torch(env_pack):
    program = """
import sys
sys.modules["torch"] = None
from inhabit.bindings.vector_env import make_vector_env
envs = make_vector_env(4, endpoint=sys.argv[1], obs="latent")
print(envs.reset(seed=1)[0].shape, envs.step([0, 1, 2, 3])[1].shape)
envs.close()
"""
    command = [sys.executable, "-m", "inhabit.commands", "envs", str(env_pack), "--threads", "1", "--parent", "pipe"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as sidecar:
        assert sidecar.stdout is not None
        endpoint = json.loads(sidecar.stdout.readline())["endpoint"]
        client = [sys.executable, "-c", program, endpoint]
        done = subprocess.run(client, capture_output=True, text=True, timeout=60)
        assert done.stdout == "(4, 8, 4, 4) (4,)\n", done.stderr
        envs = make_vector_env(2, endpoint=endpoint)
        envs.reset(seed=1)
        sidecar.kill()
        sidecar.wait()
        began = time.monotonic()
        with pytest.raises(Error, match="Nothing answers"):
            envs.step([0, 1])
        assert time.monotonic() - began < 20
        envs.close()
