"""The C client against bad calls, dead sidecars and sidecars that lie: an error code and a sentence, never a crash."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from contextlib import contextmanager
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq

from inhabit.bridge.supervisor import Supervisor

LOCKSTEP, RGBA8, BOTTOM_UP = 1, 1, 2
HELLO, STEP, CREDIT, RESET, PROMPT, ATTACHED = 0x01, 0x03, 0x04, 0x06, 0x0B, 0x12
WELCOME, STATE, STEPPED, FRAME, ACK, PONG, ERROR, RING, BYE = 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x4E, 0x7F
WIDTH, HEIGHT = 16, 8
WORLD = {
    "name": "lies", "title": "ü" * 10, "width": WIDTH, "height": HEIGHT, "rate_hz": 30, "prompts": ["a"],
    "actions": {"sources": [{"name": "GO", "kind": "axis", "keys": ["KeyW"]}]}, "sound_rate_hz": 8000,
    "sound_channels": 1,
}  # fmt: skip
WELCOMED = {"session": bytes(16), "secret": bytes(16), "boot": bytes(16), "mode": "free", "epoch": 0, "world": WORLD}


def message(kind: int, header: Any, *payload: bytes, version: int = 1) -> list[bytes]:
    return [bytes((version, kind)) + bytes(msgpack.packb(header) or b""), *payload]


def frame_header(**changes) -> list:
    fields = {
        "epoch": 1, "number": 1, "index": 0, "input_seq": 0, "input_t_ns": 0, "received_ns": 0, "sampled_ns": 5,
        "done_ns": 9, "sent_ns": 9, "format": "rgb8", "width": WIDTH, "height": HEIGHT, "sound_samples": 0,
        "sound_channels": 0, "reward": 0.5, "terminated": False, "truncated": True, "skipped": 3,
    }  # fmt: skip
    return list({**fields, **changes}.values())


PIXELS = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


class Liar:
    """A ROUTER that answers as a test tells it to."""

    def __init__(self, answer):
        self.context = zmq.Context()
        self.router = self.context.socket(zmq.ROUTER)
        self.router.setsockopt(zmq.LINGER, 0)
        self.endpoint = f"tcp://127.0.0.1:{self.router.bind_to_random_port('tcp://127.0.0.1')}"
        self.heard: list[tuple[int, Any]] = []
        self.answer, self.over = answer, False
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while not self.over:
            if not self.router.poll(20):
                continue
            route, first, *_ = self.router.recv_multipart()
            header = msgpack.unpackb(first[2:], strict_map_key=False)
            self.heard.append((first[1], header))
            for parts in self.answer(first[1], header) or ():
                self.router.send_multipart([route, *parts])

    def close(self):
        self.over = True
        self.thread.join()
        self.context.destroy(linger=0)


@contextmanager
def lying(answer):
    liar = Liar(answer)
    try:
        yield liar
    finally:
        liar.close()


class Honest:
    """What a good sidecar says; `changes` are made to its frames."""

    def __init__(self, **changes):
        self.changes, self.free, self.video = changes, True, False

    def __call__(self, kind: int, header):
        pixels = PIXELS.tobytes()
        if kind == HELLO and header.get("channel") != "vid":
            self.free, self.video = header["mode"] == "free", False
            yield message(WELCOME, {**WELCOMED, "mode": header["mode"]})
            yield message(STATE, {"state": "ready"})
        elif kind == HELLO:
            self.video = True
            yield message(STATE, {"state": "running", "video": True, "epoch": 1})
            yield message(FRAME, frame_header(**self.changes), pixels)
        elif kind == RESET and self.free:
            yield message(ACK, {"request": header["request"], "epoch": 1})
        elif kind in (RESET, STEP):
            yield message(STATE, {"state": "running", "epoch": 1})
            frame = frame_header(**{"number": 0, **self.changes})
            yield message(STEPPED, {"request": header["request"], "frame": frame}, pixels)
        else:
            yield message(STATE, {"state": "running", "epoch": 1, "video": self.video})


# ---------------------------------------------------------------------------------------------------------- bad calls


def test_closed_and_made_up_handles_are_told(open_c, toy_endpoint, c_module):
    client = open_c(toy_endpoint, mode=LOCKSTEP)
    client.ready()
    assert client.call("close") == 0
    closed = client.lib.INHABIT_ERROR_CLOSED
    calls = {
        "close": (), "step": client.room(), "poll": (*client.room(), 0), "button": (b"KeyW", 1), "wait": (10,),
        "prompt": (b"red",), "get_status": (client.struct("inhabit_status"),), "sound": (client.ffi.NULL, 0),
        "describe_world": (client.struct("inhabit_world"),), "release": (),
    }  # fmt: skip
    for name, arguments in calls.items():
        assert client.call(name, *arguments) == closed, name
        assert client.error() == f"There is no client {client.handle}: it was closed, or inhabit_open() never gave it"
    again = open_c(toy_endpoint)
    assert again.handle != client.handle, "an old handle is never taken for a new client"
    for handle in (0, 1, 77, 0xFFFFFFFF):
        assert c_module.lib.inhabit_close(handle) == closed
    assert again.call("wait", 5000) == 0


def test_small_buffer_is_told_and_costs_no_frame(open_c, toy_endpoint):
    client = open_c(toy_endpoint, mode=LOCKSTEP)
    client.ready()
    client.reset()
    pixels, _, frame = client.room()
    small = client.lib.INHABIT_ERROR_BUFFER
    client.call("button", b"Space", 1)
    for buffer, size in ((pixels, 9215), (pixels, 0), (client.ffi.NULL, 9216)):
        assert client.call("step", buffer, size, frame) == small
        assert "Expected a buffer of 9216 bytes (64 x 48)" in client.error()
        assert frame.bytes == 9216
    client.step()
    assert (client.frame.index, client.frame.reward) == (1, 1)

    live = open_c(toy_endpoint)
    live.ready()
    assert live.call("poll", live.room()[0], 100, live.frame, 1000) == small
    assert live.frame.bytes == 9216
    live.poll()


def test_wrong_arguments_are_told(open_c, toy_endpoint, c_module):
    client = open_c(toy_endpoint)
    client.ready()
    null, lib = client.ffi.NULL, client.lib
    wrong = lib.INHABIT_ERROR_ARGUMENT
    nan = float("nan")
    said = {}
    for name, arguments in {
        "button": (b"keyw", 1), "axis": (b"PadLX", 1.5), "mouse": (nan, 0.0, 0.0), "prompt": (b"x" * 513,),
        "set": (b"", 1.0),
        "act": (client.ffi.new("float[2]"), 2), "get_answer": (99, client.struct("inhabit_answer")), "sound": (null, 5),
        "get_status": (null,), "describe_world": (client.ffi.new("inhabit_world *"),), "describe_action": (-1, null),
    }.items():  # fmt: skip
        assert client.call(name, *arguments) == wrong, name
        said[name] = client.error()
    assert (
        said["button"]
        == 'Expected a W3C key code such as KeyW, Mouse0 to Mouse4 or a Pad button such as PadA, got "keyw"'
    )
    assert said["axis"] == "Expected PadLX from -1 to 1, got 1.5"
    assert said["act"] == "Expected as many numbers as the world has actions (3), got 2"
    assert "struct_size" in said["describe_world"]
    assert client.call("button", null, 1) == wrong
    assert client.call("axis", b"PadLT", -0.5) == wrong
    assert client.call("prompt", b"\xff\xfe") == wrong
    assert client.call("set", b"steps", nan) == wrong
    assert client.call("step", *client.room()) == lib.INHABIT_ERROR_ORDER
    assert "inhabit_poll" in client.error()
    assert client.call("poll", *client.room(), 2000) == 1, "nothing was harmed"


@pytest.mark.parametrize(
    ("endpoint", "options", "text"),
    [
        ("nonsense", {}, "Expected an address such as tcp://127.0.0.1:5555"),
        ("", {}, "Expected an address such as tcp://127.0.0.1:5555, got none"),
        ("tcp://127.0.0.1:5" + "5" * 300, {}, "more than 255 bytes"),
        ("tcp://127.0.0.1:1", {"mode": 7}, "Expected mode 0 (free) or 1 (lock-step), got 7"),
        ("tcp://127.0.0.1:1", {"flags": 64}, "Expected flags out of 1"),
        ("tcp://127.0.0.1:1", {"has_seed": 1, "seed": -4}, "Expected a seed of 0 or more, got -4"),
        ("tcp://127.0.0.1:1", {"timeout_ms": -1}, "Expected timeout_ms"),
        ("tcp://127.0.0.1:1", {"struct_size": 3}, "struct_size of"),
    ],
)
def test_wrong_opening_is_told(open_c, endpoint, options, text):
    client = open_c(endpoint, **options)
    assert (client.opened, client.handle) == (client.lib.INHABIT_ERROR_ARGUMENT, 0)
    assert text in client.error()


def test_65th_client_is_told(open_c):
    clients = [open_c("ipc:///tmp/inhabit-nobody") for _ in range(64)]
    assert all(client.opened == 0 for client in clients)
    one_more = open_c("ipc:///tmp/inhabit-nobody")
    assert one_more.opened == one_more.lib.INHABIT_ERROR_SYSTEM
    assert one_more.error() == "Expected at most 64 open clients, got one more: close one"


def test_second_thread_is_told_and_harms_nothing(open_c, toy_endpoint):
    client = open_c(toy_endpoint, mode=LOCKSTEP)
    client.ready()
    client.reset()
    nobody = open_c("tcp://127.0.0.1:9")
    waiting = threading.Thread(target=lambda: nobody.call("wait", 700))
    waiting.start()
    time.sleep(0.2)
    assert nobody.call("release") == client.lib.INHABIT_ERROR_THREAD
    assert nobody.error() == "Another thread is using this client right now: call it from one thread at a time"
    assert nobody.call("close") == client.lib.INHABIT_ERROR_THREAD
    client.step()
    waiting.join()
    assert nobody.call("release") == 0, "one after the other is fine"

    results: list[int] = []
    hammers = [threading.Thread(target=hammer, args=(client, results)) for _ in range(4)]
    for each in hammers:
        each.start()
    for each in hammers:
        each.join()
    assert set(results) <= {0, client.lib.INHABIT_ERROR_THREAD}
    assert results.count(0) > 0
    client.step()


def hammer(client, results: list[int]) -> None:
    buffer = client.ffi.new("uint8_t[]", client.buffer.size)
    for _ in range(50):
        results.append(client.call("step", buffer, client.buffer.size, client.ffi.NULL))


# ------------------------------------------------------------------------------------------------------ bad sidecars


def test_nobody_there(open_c):
    client = open_c("tcp://127.0.0.1:9", timeout_ms=300)
    assert client.call("wait", 50) == client.lib.INHABIT_ERROR_TIMEOUT
    assert "it is connecting" in client.error()
    assert client.call("wait", 2000) == client.lib.INHABIT_ERROR_LOST
    assert "Nothing answers at tcp://127.0.0.1:9 within 0.3 s: start it with `inhabit serve`" in client.error()
    assert client.status().state == client.lib.INHABIT_LOST
    assert client.call("poll", *client.room(), 0) == client.lib.INHABIT_ERROR_LOST


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_sidecar_that_dies_is_noticed(open_c, how):
    with Supervisor(["serve", "toy"]) as sidecar:
        endpoint = sidecar.wait_until_listening()
        live, agent = open_c(endpoint), open_c(endpoint, mode=LOCKSTEP)
        for client in (live, agent):
            client.ready()
        agent.reset()
        live.poll()
        pid = sidecar.poll().pid
        assert pid is not None
        os.kill(pid, how)
        try:
            for client in (live, agent):
                results, begun = [0], time.monotonic()
                while results[-1] >= 0 and time.monotonic() - begun < 6:
                    results.append(
                        client.call("poll", *client.room(), 20)
                        if client is live
                        else client.call("step", *client.room())
                    )
                assert results[-1] == client.lib.INHABIT_ERROR_LOST, client.error()
                # on a busy machine the world may have stood still for a while before: then that is said first
                assert re.search("The sidecar (is gone: nothing heard from|hangs: )", client.error()), client.error()
                assert client.call("close") == 0
        finally:
            if how == signal.SIGSTOP:
                os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("reply", "error", "text"),
    [
        (message(STATE, {"state": "ready"}, version=3), "VERSION", "Expected wire version 1, got 3"),
        (message(ERROR, {"code": "version", "versions": [2, 4]}, version=4), "VERSION", "the sidecar 2 to 4"),
        (message(ERROR, {"code": "busy", "message": "every place is taken"}), "FULL", "every place is taken"),
        (message(ERROR, {"code": "not_allowed", "message": "not with this key"}), "REFUSED", "not with this key"),
        (message(WELCOME, {**WELCOMED, "session": b"short"}), "PROTOCOL", "Expected WELCOME as in docs/protocol.md"),
        (message(WELCOME, {**WELCOMED, "world": {**WORLD, "width": 100000}}), "PROTOCOL", "Expected WELCOME"),
        (message(WELCOME, {"epoch": 1}), "PROTOCOL", "Expected WELCOME"),
        (message(STATE, {"state": "dreaming"}), "PROTOCOL", "Expected STATE"),
        (message(STATE, {"state": "failed", "reason": "no memory"}), "FAILED", "no memory"),
        ([*message(STATE, {"state": "ready"}), b""], None, ""),
        (message(FRAME, frame_header(), bytes(WIDTH * HEIGHT * 3)), "PROTOCOL", "before WELCOME"),
        (message(BYE, {"reason": "closing time"}), "LOST", "closing time"),
        ([b"\x01"], "PROTOCOL", "Expected a first part of 3 to 65536 bytes"),
        ([b"\x01\x42" + b"\x81" * 70_000], "PROTOCOL", "Expected a first part of 3 to 65536 bytes"),
        ([b"\x01\x42" + b"\x91" * 60_000 + b"\xc0"], "PROTOCOL", "Expected STATE"),
        ([b"\x01\x42\xdf\xff\xff\xff\xff"], "PROTOCOL", "Expected STATE"),
        ([b"\x01\x42\x81\xa5state\xdb\xff\xff\xff\xff"], "PROTOCOL", "Expected STATE"),
        ([b"x"] * 100, None, ""),
        (message(0x6E, {"from": "the future"}), None, ""),
    ],
)  # fmt: skip
def test_lies_at_the_door(open_c, reply, error, text):
    with lying(lambda kind, header: [reply]) as liar:
        client = open_c(liar.endpoint)
        result = client.call("wait", 300 if error is None else 3000)
        assert result == getattr(client.lib, f"INHABIT_ERROR_{error or 'TIMEOUT'}"), client.error()
        assert text in client.error()


@pytest.mark.parametrize(
    ("changes", "payload", "text"),
    [
        ({"width": WIDTH * 2}, None, "Expected a frame with parts of"),
        ({"width": 8192, "height": 8192}, None, "Expected a frame with parts of"),
        ({"width": HEIGHT, "height": WIDTH}, None, "Expected frames of 16x8, got 8x16"),
        ({}, [b""], "Expected a frame with parts of"),
        ({}, [], "Expected a frame with parts of"),
        ({"sound_samples": 9, "sound_channels": 1}, None, "Expected a frame with parts of"),
        ({"sound_samples": 1_000_001, "sound_channels": 1}, None, "Expected FRAME"),
        ({"format": "jpeg"}, None, "Expected FRAME"),
        ({"reward": float("nan")}, None, "Expected FRAME"),
        ({"index": -1}, None, "Expected FRAME"),
        ({"terminated": 1}, None, "Expected FRAME"),
    ],
)  # fmt: skip
def test_lies_in_a_frame(open_c, changes, payload, text):
    honest = Honest()

    def answer(kind, header):
        for parts in honest(kind, header):
            lie = parts[0][1] == FRAME
            yield (
                message(FRAME, frame_header(**changes), *(parts[1:] if payload is None else payload)) if lie else parts
            )

    with lying(answer) as liar:
        client = open_c(liar.endpoint)
        client.ready()
        assert client.call("poll", *client.room(), 3000) == client.lib.INHABIT_ERROR_PROTOCOL
        assert text in client.error()
        assert liar.endpoint in client.error()


@pytest.mark.parametrize("flags", [0, RGBA8, BOTTOM_UP, RGBA8 | BOTTOM_UP])
@pytest.mark.parametrize("mode", [0, LOCKSTEP])
def test_pixels_and_header_arrive_as_they_are(open_c, flags, mode):
    with lying(Honest()) as liar:
        client = open_c(liar.endpoint, flags=flags, mode=mode)
        world = client.ready()
        assert client.text(world.title) == "ü" * 10
        picture = client.reset() if mode else client.poll()
        told = picture[::-1] if flags & BOTTOM_UP else picture
        assert np.array_equal(told[..., :3], PIXELS)
        if flags & RGBA8:
            assert (told[..., 3] == 255).all()
        frame = client.frame
        assert (frame.reward, frame.terminated, frame.truncated, frame.skipped) == (0.5, 0, 1, 3)
        assert frame.world_ms == pytest.approx(4e-6)
        assert (frame.width, frame.height, frame.stride * frame.height) == (WIDTH, HEIGHT, frame.bytes)


def test_world_may_not_change_its_size(open_c):
    honest = Honest()

    def answer(kind, header):
        yield from honest(kind, header)
        if kind == RESET:
            yield message(WELCOME, {**WELCOMED, "world": {**WORLD, "width": 8192, "height": 8192}})

    with lying(answer) as liar:
        client = open_c(liar.endpoint)
        client.ready()
        result = 0
        while result >= 0:
            result = client.call("poll", *client.room(), 1000)
        assert result == client.lib.INHABIT_ERROR_PROTOCOL
        assert "another size" in client.error()


def test_slow_step_is_waited_for_again_and_done_once(open_c):
    steps: list[int] = []
    honest = Honest()

    def answer(kind, header):
        if kind == STEP and len(steps) < 2:
            steps.append(header["request"])
            return
        yield from honest(kind, header)

    with lying(answer) as liar:
        client = open_c(liar.endpoint, mode=LOCKSTEP, timeout_ms=400)
        client.ready()
        client.reset()
        assert client.call("step", *client.room()) == client.lib.INHABIT_ERROR_TIMEOUT
        assert "call again to go on waiting" in client.error()
        results = []
        while not results or results[-1] == client.lib.INHABIT_ERROR_TIMEOUT:
            results.append(client.call("step", *client.room()))
        assert results[-1] == 0
        requests = [header["request"] for kind, header in liar.heard if kind == STEP]
        assert len(requests) == 3
        assert set(requests) == {requests[0]}, "asked again under the same number"


def test_too_many_requests_are_told(open_c):
    honest = Honest()
    with lying(lambda kind, header: [] if kind == PROMPT else honest(kind, header)) as liar:
        client = open_c(liar.endpoint, mode=LOCKSTEP)
        client.ready()
        numbers = [client.call("prompt", b"x") for _ in range(17)]
        assert numbers[:16] == list(range(1, 17))
        assert numbers[16] == client.lib.INHABIT_ERROR_FULL
        assert "at most 16 requests" in client.error()


@pytest.mark.slow
def test_mutated_replies_never_crash(open_c):
    """Every message of a good sidecar, with bytes changed, cut, doubled or put in: 600 of them, in seeded order."""
    dice, honest = random.Random(5), Honest()
    lies = 0

    def mutate(data: bytes) -> bytes:
        told = bytearray(data)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(told)) if told else 0
            match dice.randrange(4):
                case 0 if told:
                    told[at] = dice.randrange(256)
                case 1:
                    del told[at : at + dice.randint(1, 9)]
                case 2:
                    told[at:at] = dice.randbytes(dice.randint(1, 9))
                case _:
                    told += told[at : at + 20]
        return bytes(told)

    def answer(kind, header):
        nonlocal lies
        for parts in honest(kind, header):
            if dice.random() < 0.25:
                lies += 1
                where = dice.randrange(len(parts))
                prefix = 2 if where == 0 and dice.random() < 0.9 else 0
                parts[where] = parts[where][:prefix] + mutate(parts[where][prefix:])
                if dice.random() < 0.05:
                    parts += [b"more"] * dice.randint(1, 5)
            yield parts

    results: dict[int, int] = {}
    with lying(answer) as liar:
        while lies < 600:
            client = open_c(liar.endpoint, mode=dice.randrange(2), flags=dice.randrange(4), timeout_ms=30)
            client.buffer = np.zeros(WIDTH * HEIGHT * 4, np.uint8)
            for _ in range(8):
                if client.said.mode == LOCKSTEP:
                    result = client.call("reset", 1, *client.room())
                else:
                    client.call("button", b"KeyW", 1)
                    result = client.call("poll", *client.room(), 5)
                client.call("describe_world", client.struct("inhabit_world"))
                client.call("describe_action", 0, client.struct("inhabit_action"))
                results[result] = results.get(result, 0) + 1
                if result not in (0, 1, client.lib.INHABIT_ERROR_TIMEOUT):
                    break
            client.call("close")
    assert set(results) <= set(range(-13, 2))
    assert results.get(client.lib.INHABIT_ERROR_PROTOCOL, 0) > 50
    assert results.get(1, 0) > 0  # how many, a busy machine decides


# ------------------------------------------------------------------------------------------------ lies in shared memory


@pytest.fixture
def ring():
    from inhabit.bridge.ring import FrameRing, can_share

    if not can_share():
        pytest.skip("needs /dev/shm")
    ring = FrameRing(WIDTH * HEIGHT * 3)
    yield ring
    ring.close()


class Sharing(Honest):
    """Offers a ring as soon as `vid` is there, and its frames lie in it."""

    def __init__(self, offer: dict, **changes):
        super().__init__()
        self.upto, self.attached = 0, False
        self.offer, self.frame = offer, {"driver": 0, "slot": 1, "generation": 2, **changes}

    def __call__(self, kind: int, header):
        for parts in super().__call__(kind, header):
            yield parts if parts[0][1] != FRAME else message(RING, self.offer)
        if kind == CREDIT:
            self.upto = header[0]
        if kind == ATTACHED:
            self.attached = header["ok"]
        if kind in (CREDIT, ATTACHED) and self.attached:
            yield message(FRAME, frame_header(number=self.upto, **self.frame))


def offer_of(ring, **changes) -> dict:
    return {"name": ring.name, "slots": ring.slots, "slot_bytes": ring.slot_bytes, **changes}


def test_frame_in_the_ring_is_shown(open_c, ring):
    assert ring.write(0, PIXELS.tobytes()) == (1, 2)
    with lying(Sharing(offer_of(ring))) as liar:
        client = open_c(liar.endpoint)
        client.ready()
        assert np.array_equal(client.poll(), PIXELS)
        assert [header["ok"] for kind, header in liar.heard if kind == ATTACHED] == [True]


@pytest.mark.parametrize(
    "changes",
    [{"generation": 4}, {"generation": 1}, {"slot": 3}, {"slot": 64}, {"slot": 5, "generation": 0}],
)
def test_frame_that_the_ring_has_not_is_no_frame_and_the_wire_is_asked_for(open_c, ring, changes):
    ring.write(0, PIXELS.tobytes())
    with lying(Sharing(offer_of(ring), **changes)) as liar:
        client = open_c(liar.endpoint)
        client.ready()
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline and (ATTACHED, {"ok": False}) not in liar.heard:
            assert client.call("poll", *client.room(), 50) == 0
        assert (ATTACHED, {"ok": False}) in liar.heard


@pytest.mark.parametrize(
    "changes",
    [{"name": "../../etc/passwd"}, {"name": "inhabit-nothing"}, {"name": ""}, {"slots": 3}, {"slot_bytes": 8192}],
)
def test_ring_that_is_none_is_refused(open_c, ring, changes):
    with lying(Sharing(offer_of(ring, **changes))) as liar:
        client = open_c(liar.endpoint)
        client.ready()
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline and (ATTACHED, {"ok": False}) not in liar.heard:
            assert client.call("poll", *client.room(), 20) == 0
        assert (ATTACHED, {"ok": False}) in liar.heard


def test_ring_that_shrinks_kills_nobody(open_c, ring):
    ring.write(0, PIXELS.tobytes())
    with lying(Sharing(offer_of(ring))) as liar:
        client = open_c(liar.endpoint)
        client.ready()
        client.poll()
        os.truncate(f"/dev/shm/{ring.name}", 4096)
        assert client.call("poll", *client.room(), 100) == 0
