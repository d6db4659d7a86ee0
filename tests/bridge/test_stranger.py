"""A client written from docs/protocol.md alone, with pyzmq and the reference msgpack package, against a real process.

It must share no code with inhabit: that is what it tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import msgpack
import pytest
import zmq

HELLO, INPUT, STEP, CREDIT, RESET = 0x01, 0x02, 0x03, 0x04, 0x06
SAVE, RESTORE, PROMPT, PING, BYE = 0x09, 0x0A, 0x0B, 0x0C, 0x7F
WELCOME, STATE, STEPPED, FRAME, ACK, PONG, ERROR = 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47
PATIENCE_S = 30


class Stranger:
    """Two DEALERs and a dictionary."""

    def __init__(self, endpoint):
        self.context = zmq.Context()
        self.sockets = {}
        for channel in ("ctl", "vid"):
            dealer = self.context.socket(zmq.DEALER)
            dealer.setsockopt(zmq.LINGER, 0)
            dealer.setsockopt(zmq.SNDTIMEO, PATIENCE_S * 1000)
            dealer.setsockopt(zmq.IMMEDIATE, 1)
            dealer.connect(endpoint)
            self.sockets[channel] = dealer

    def say(self, kind, header, *payload, channel="ctl", version=1):
        self.sockets[channel].send_multipart([bytes((version, kind)) + bytes(msgpack.packb(header) or b""), *payload])

    def hear(self, *kinds, channel="ctl"):
        """The next message of one of these kinds; others are passed over, but for errors."""
        deadline = time.monotonic() + PATIENCE_S
        while self.sockets[channel].poll(max(0, deadline - time.monotonic()) * 1000):
            first, *payload = self.sockets[channel].recv_multipart()
            assert first[0] == 1
            kind, header = first[1], msgpack.unpackb(first[2:])
            if kind in kinds:
                return kind, header, payload
            assert kind != ERROR, header
        raise AssertionError(f"waited for {kinds} in vain")

    def join(self, mode):
        self.say(HELLO, {"client": "stranger", "mode": mode})
        _, welcome, _ = self.hear(WELCOME)
        if mode == "free":
            attach = {"client": "stranger", "channel": "vid"}
            self.say(HELLO, attach | {name: welcome[name] for name in ("session", "secret")}, channel="vid")
        return welcome

    def close(self):
        self.context.destroy(linger=0)


@pytest.fixture(scope="module")
def endpoint():
    command = [sys.executable, "-m", "inhabit.commands", "serve", "toy", "--parent", "pipe"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["event"] == "listening"
        assert told["pid"] == process.pid
        yield told["endpoint"]
        process.terminate()
        assert process.wait(PATIENCE_S) == 0


@pytest.fixture
def stranger(endpoint):
    stranger = Stranger(endpoint)
    yield stranger
    stranger.say(BYE, {})
    stranger.close()


@pytest.fixture
def second(endpoint):
    second = Stranger(endpoint)
    yield second
    second.close()


def test_plays_100_frames_free_running(stranger):
    welcome = stranger.join("free")
    world = welcome["world"]
    assert [source["name"] for source in world["actions"]["sources"]] == ["LEFT", "RIGHT", "FIRE"]
    stranger.say(RESET, {"request": 1, "seed": 7})
    _, ack, _ = stranger.hear(ACK)
    numbers, indices, epoch = [], [], ack["epoch"]
    seq = echoed = heard = 0
    while len(numbers) < 100:
        stranger.say(CREDIT, [(numbers[-1] if numbers else 0) + 1])
        seq += 1
        sent_ns = time.monotonic_ns()
        stranger.say(INPUT, [seq, epoch, sent_ns, [["ArrowRight"]]])
        _, header, (pixels, sound) = stranger.hear(FRAME, channel="vid")
        numbers.append(header[1])
        indices.append(header[2])
        assert header[9:12] == ["rgb8", world["width"], world["height"]]
        assert len(pixels) == world["width"] * world["height"] * 3
        assert len(sound) == header[12] * header[13] * 2
        heard += header[12]
        assert echoed <= header[3] <= seq
        if header[3] == seq:
            assert header[4] == sent_ns
        assert header[5] <= header[6] <= header[7] <= header[8]
        echoed = header[3]
    assert numbers == list(range(1, 101))
    assert indices == sorted(set(indices))
    assert echoed > 90
    assert heard == pytest.approx((indices[-1] - indices[0]) * world["sound_rate_hz"] / world["rate_hz"], abs=1100)
    row = pixels[(world["height"] // 2) * world["width"] * 3 :][: world["width"] * 3]
    assert max(row[-3:]) > 24, "the square is at the right wall"


def test_plays_10_frames_in_lockstep_each_exactly_once(stranger):
    stranger.join("lockstep")
    stranger.say(RESET, {"request": 1, "seed": 7})
    _, first, _ = stranger.hear(STEPPED)
    assert first["frame"][2] == 0
    answers = []
    for index in range(1, 11):
        step = {"request": index + 1, "controls": [[], [], {}, 0, 0, 0, [0, 1, 0]]}
        stranger.say(STEP, step)
        while (answer := stranger.hear(STEPPED)[1:])[0]["request"] <= index:
            assert answer == answers[-1], "a repeated request has the same answer"
        answers.append(answer)
        header, (pixels, sound) = answer
        assert (header["request"], header["frame"][2]) == (index + 1, index)
        assert (len(pixels), len(sound)) == (64 * 48 * 3, header["frame"][12] * 2 * 2)


def test_says_a_prompt_in_mid_stream_and_hears_from_which_frame_it_counts(stranger):
    stranger.join("lockstep")
    stranger.say(RESET, {"request": 1, "seed": 7})
    stranger.hear(STEPPED)
    stranger.say(PROMPT, {"request": 2, "text": "red on shiny white"})
    _, ack, _ = stranger.hear(ACK)
    assert (ack["request"], ack["frame"], ack["note"]) == (2, 1, "unknown: shiny")
    stranger.say(STEP, {"request": 3})
    _, answer, (pixels, _) = stranger.hear(STEPPED)
    assert answer["frame"][2] == 1, "the episode goes on"
    assert tuple(pixels[:3]) != (24, 24, 24)
    stranger.say(PROMPT, {"request": 4, "text": "shiny"})
    _, error, _ = stranger.hear(ERROR)
    assert (error["code"], error["request"]) == ("refused", 4)
    assert "Expected a colour" in error["message"]


def test_saves_and_restores(stranger):
    stranger.join("lockstep")
    stranger.say(RESET, {"request": 1})
    stranger.hear(STEPPED)
    stranger.say(SAVE, {"request": 2})
    _, _, (state,) = stranger.hear(ACK)
    stranger.say(STEP, {"request": 3})
    _, _, before = stranger.hear(STEPPED)
    stranger.say(RESTORE, {"request": 4}, state)
    _, ack, _ = stranger.hear(ACK)
    assert ack["epoch"] == 2
    stranger.say(STEP, {"request": 5})
    _, after, pixels = stranger.hear(STEPPED)
    assert after["frame"][:3] == [2, 0, 1]
    assert pixels == before


def test_other_wire_version_is_told_both(stranger):
    stranger.say(HELLO, {"client": "from the future"}, version=9)
    _, error, _ = stranger.hear(ERROR)
    assert error["code"] == "version"
    assert "Expected wire version 1, got 9" in error["message"]
    assert error["versions"] == [1, 1]


def test_wrong_order_is_told(stranger):
    stranger.say(PING, {})
    _, error, _ = stranger.hear(ERROR)
    assert error["code"] == "no_session"
    stranger.join("lockstep")
    stranger.say(STEP, {"request": 1})
    _, error, _ = stranger.hear(ERROR)
    assert (error["code"], error["message"], error["request"]) == (
        "wrong_state", "Cannot STEP while ready: send RESET first", 1,
    )  # fmt: skip


def test_stolen_identity_without_its_secret_is_refused(stranger, second):
    welcome = stranger.join("free")
    second.say(HELLO, {"client": "thief", "session": welcome["session"], "secret": bytes(16)})
    _, error, _ = second.hear(ERROR)
    assert error["code"] == "closed"


def test_garbage_harms_nobody(stranger, second, endpoint):
    stranger.join("lockstep")
    stranger.say(RESET, {"request": 1})
    stranger.hear(STEPPED)
    garbage = [
        [b""], [b"\x01"], [b"\x00" * 70_000], [b"x"] * 500, [b"\x01\x01" + b"\x91" * 60_000 + b"\xc0"],
        [b"\x01\x01\x81\xa6client\xa2\xff\xfe"], [b"\x01\x0c\xdf\xff\xff\xff\xff"], [b"\x01\xee\x80"],
    ]  # fmt: skip
    for parts in garbage * 20:
        second.sockets["ctl"].send_multipart(parts)
    with second.context.socket(zmq.STREAM) as raw:  # not even ZeroMQ
        raw.setsockopt(zmq.LINGER, 0)
        raw.connect(endpoint)
        identity = raw.recv_multipart()[0]
        raw.send_multipart([identity, b"GET / HTTP/1.1\r\n\r\n" * 100])
        for index in range(1, 6):
            stranger.say(STEP, {"request": index + 1})
            assert stranger.hear(STEPPED)[1]["frame"][2] == index
    _, error, _ = second.hear(ERROR)
    assert error["code"] == "bad_message"


def test_session_member_that_talks_garbage_is_shown_the_door(stranger):
    stranger.join("lockstep")
    for _ in range(40):
        stranger.sockets["ctl"].send(b"\x01\xee\x80")
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        first = stranger.sockets["ctl"].recv()
        if first[1] == BYE:
            assert msgpack.unpackb(first[2:])["reason"] == "32 bad messages"
            return
    raise AssertionError("no BYE")
