"""The C client, called through inhabit.h itself, against a real sidecar: what it does when all is well."""

from __future__ import annotations

import time

import numpy as np

from inhabit.bridge.client import RemoteWorld
from inhabit.bridge.controls import BUTTONS, PAD_AXES, Controls

LOCKSTEP = 1


def test_lockstep_gives_the_frames_that_python_gets(open_c, toy_endpoint):
    client = open_c(toy_endpoint, mode=LOCKSTEP)
    world = client.ready()
    assert (world.width, world.height, world.bytes) == (64, 48, 64 * 48 * 3)
    with RemoteWorld(toy_endpoint) as reference:
        assert np.array_equal(client.reset(7), reference.reset(seed=7).pixels)
        for held in (set(), {"ArrowRight"}, {"ArrowRight", "Space"}, {"ArrowLeft"}, set()):
            for name in ("ArrowRight", "ArrowLeft", "Space"):
                assert client.call("button", name.encode(), int(name in held)) == 0
            frame = reference.step(Controls(held=frozenset(held)))
            assert np.array_equal(client.step(), frame.pixels)
            assert (client.frame.index, client.frame.reward) == (frame.index, frame.reward)
            assert client.frame.stride == 64 * 3


def test_lockstep_tap_and_mouse_and_pad_reach_the_world_once(open_c, toy_endpoint):
    client = open_c(toy_endpoint, mode=LOCKSTEP)
    client.ready()
    client.reset()
    client.call("button", b"Space", 1)
    client.call("button", b"Space", 0)
    client.step()
    assert client.frame.reward == 1, "a tap between two steps counts"
    still = client.step()
    assert client.frame.reward == 0, "and counts once"
    client.call("mouse", 30.0, 0.0, 0.0)
    moved = client.step()
    assert not np.array_equal(moved, still)
    assert np.array_equal(client.step(), moved)
    client.call("axis", b"PadLX", -1.0)
    assert np.array_equal(client.step(), still)
    client.call("release")
    assert np.array_equal(client.step(), still)
    action = client.ffi.new("float[3]", [0, 1, 0])
    assert client.call("act", action, 3) == 0
    assert np.array_equal(client.step(), moved)
    assert client.call("act", client.ffi.NULL, 0) == 0
    assert np.array_equal(client.step(), moved)


def test_free_running_world_moves_by_itself_and_shows_a_key(open_c, toy_endpoint):
    client = open_c(toy_endpoint, has_seed=1, seed=7)
    client.ready()
    first, begun = client.poll(), client.frame.index
    assert client.call("button", b"ArrowRight", 1) == 0
    latencies = []
    while not (latencies and client.frame.index > begun + 10):
        moved = client.poll()
        if client.frame.latency_ms >= 0:
            latencies.append(client.frame.latency_ms)
    assert len(latencies) == 1, "one key, one latency"
    assert 0 < latencies[0] < 1000
    assert square_x(moved) > square_x(first)
    status = client.status()
    assert status.state == client.lib.INHABIT_RUNNING
    assert status.frames >= 2
    assert status.made > 0


def test_poll_without_waiting_hands_out_each_frame_once(open_c, toy_endpoint):
    client = open_c(toy_endpoint)
    client.ready()
    indices, calls, deadline = [], 0, time.monotonic() + 5
    while len(indices) < 10 and time.monotonic() < deadline:
        result = client.call("poll", *client.room(), 0)
        assert result in (0, 1), client.error()
        calls += 1
        if result:
            indices.append(client.frame.index)
        time.sleep(0.002)
    assert len(indices) == 10
    assert indices == sorted(set(indices))
    assert calls > 10


def test_sound_comes_with_the_frames(open_c, toy_endpoint):
    client = open_c(toy_endpoint, mode=LOCKSTEP)
    world = client.ready()
    assert (world.sound_rate_hz, world.sound_channels) == (16000, 2)
    with RemoteWorld(toy_endpoint) as reference:
        expected = [reference.reset(seed=7).sound, *(reference.step(Controls()).sound for _ in range(3))]
    client.reset(7)
    for _ in range(3):
        client.step()
    samples = np.zeros((4000, 2), np.int16)
    count = client.call("sound", client.ffi.from_buffer("int16_t[]", samples), 4000)
    assert np.array_equal(samples[:count], np.concatenate(expected))
    assert np.abs(samples).max() > 100
    assert client.call("sound", client.ffi.from_buffer("int16_t[]", samples), 4000) == 0


def test_sound_that_nobody_takes_is_half_a_second_of_the_newest(open_c, toy_endpoint):
    client = open_c(toy_endpoint, mode=LOCKSTEP)
    client.ready()
    client.reset(7)
    for _ in range(40):
        client.step()
    samples = np.zeros((16000, 2), np.int16)
    count = client.call("sound", client.ffi.from_buffer("int16_t[]", samples), 16000)
    assert count == 8001
    with RemoteWorld(toy_endpoint) as reference:
        expected = [reference.reset(seed=7).sound, *(reference.step(Controls()).sound for _ in range(40))]
    assert np.array_equal(samples[:count], np.concatenate(expected)[-8001:])


def test_prompt_changes_the_world_in_mid_stream(open_c, toy_endpoint):
    client = open_c(toy_endpoint)
    client.ready()
    client.poll()
    answer = client.answer(client.call("prompt", b"red on shiny white"))
    assert (answer.refused, client.text(answer.text)) == (0, "unknown: shiny")
    while client.frame.index < answer.frame:
        client.poll()
    assert client.pixels()[0, 0].tolist() == [0xF4] * 3
    refused = client.answer(client.call("prompt", b"shiny"))
    assert refused.refused
    assert "Expected a colour" in client.text(refused.text)
    assert client.status().state == client.lib.INHABIT_RUNNING, "a refusal ends nothing"


def test_world_tells_its_actions_and_prompts(open_c, toy_endpoint):
    client = open_c(toy_endpoint, mode=LOCKSTEP)
    world = client.ready()
    assert client.text(world.name) == "toy"
    assert client.text(world.title) == "A square that the arrows move"
    actions = []
    for index in range(world.actions):
        action = client.struct("inhabit_action")
        assert client.call("describe_action", index, action) == 0
        actions.append((client.text(action.name), client.text(action.keys), action.analog))
    assert actions == [("LEFT", "ArrowLeft KeyA", 0), ("RIGHT", "ArrowRight KeyD", 0), ("FIRE", "Space Mouse0 PadA", 0)]
    text = client.ffi.new("char[64]")
    examples = []
    for index in range(world.prompts):
        assert client.call("prompt_example", index, text, 64) > 0
        examples.append(client.text(text))
    assert examples == ["red", "blue on white", "yellow on purple"]
    assert client.call("prompt_example", 1, text, 13) == client.lib.INHABIT_ERROR_BUFFER
    assert client.call("prompt_example", 3, text, 64) == client.lib.INHABIT_ERROR_ARGUMENT
    assert client.call("describe_action", 3, client.struct("inhabit_action")) == client.lib.INHABIT_ERROR_ARGUMENT


def test_pause_reset_and_settings(open_c, toy_endpoint):
    client = open_c(toy_endpoint)
    client.ready()
    client.poll()
    assert not client.answer(client.call("pause", 1)).refused
    while client.status().state != client.lib.INHABIT_PAUSED:
        time.sleep(0.005)
    assert not client.answer(client.call("pause", 0)).refused
    epoch = client.frame.epoch
    assert client.call("reset", 3, client.ffi.NULL, 0, client.ffi.NULL) > 0
    while client.frame.epoch == epoch:
        client.poll()
    assert client.frame.epoch == epoch + 1
    assert not client.answer(client.call("set", b"steps", 4.0)).refused
    wrong = client.answer(client.call("set", b"steps", 3.0))
    assert wrong.refused
    assert "Expected steps to be one of (1, 2, 4), got steps=3" in client.text(wrong.text)


def test_every_name_of_the_wire_is_known(open_c, toy_endpoint):
    client = open_c(toy_endpoint, mode=LOCKSTEP)
    client.ready()
    client.reset()
    for name in sorted(BUTTONS):
        assert client.call("button", name.encode(), 1) == 0, name
        client.step()  # the sidecar takes it too
        assert client.call("button", name.encode(), 0) == 0
    for name in PAD_AXES:
        assert client.call("axis", name.encode(), 0.5) == 0, name
    client.step()


def test_many_clients_at_once_do_not_disturb_each_other(open_c, toy_endpoint):
    clients = [open_c(toy_endpoint, mode=LOCKSTEP) for _ in range(3)]
    for seed, client in enumerate(clients):
        client.ready()
        client.reset(seed)
    clients[1].call("button", b"ArrowRight", 1)
    pictures = [client.step() for client in clients]
    assert square_x(pictures[1]) == square_x(pictures[0]) + 2
    assert square_x(pictures[2]) == square_x(pictures[0])
    assert len({client.handle for client in clients}) == 3


def square_x(picture: np.ndarray) -> int:
    """Left edge of what is not ground in the middle row."""
    row = picture[24].astype(int)
    return int(np.flatnonzero(np.abs(row - [24, 24, 24]).sum(-1) > 10)[0])
