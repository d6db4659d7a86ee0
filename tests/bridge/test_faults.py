"""What goes wrong with real processes, sockets and models, and what becomes of it; docs/reliability.md has the list."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgpack
import numpy as np
import psutil
import pytest
import zmq

from inhabit.bridge.client import LiveWorld, RemoteWorld
from inhabit.bridge.controls import IDLE, Controls
from inhabit.bridge.errors import WorldError
from inhabit.bridge.server import Server
from inhabit.bridge.supervisor import Patience, Supervisor
from inhabit.bridge.toy import ToyWorld

PATIENCE_S = 30.0
QUICK = Patience(hang_s=2.0, grace_s=0.2, first_delay_s=0.02, longest_delay_s=0.02, deaths=1000)
PLAYER = Path(__file__).with_name("player.py")
RIGHT = Controls(held=frozenset({"ArrowRight"}))

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="needs signals")]


def until(live, happened, supervisor=None, patience_s=PATIENCE_S):
    """Poll until something has happened. Returns the seconds that took."""
    begun = time.monotonic()
    while not happened():
        if supervisor is not None:
            supervisor.poll()
        live.poll(0.01)
        assert time.monotonic() - begun < patience_s, (live.state, live.reason)
    return time.monotonic() - begun


def running(live):
    return lambda: live.state == "running" and live.stats()["frames"] > 0


def fps(live, seconds):
    before, end = live.stats()["frames"], time.monotonic() + seconds
    while time.monotonic() < end:
        live.poll(0.02)
    return (live.stats()["frames"] - before) / seconds


def alive(supervisor) -> int:
    pid = supervisor.poll().pid
    assert pid is not None
    return pid


def test_1_killed_sidecar_is_noticed_at_once_and_the_session_goes_on_whole(faulty):
    dice = random.Random(1)
    with (
        Supervisor(["serve", "stripes", "--snapshot-every-s", "0.1"], patience=QUICK, program=faulty) as supervisor,
        LiveWorld(supervisor.wait_until_listening()) as live,
    ):
        until(live, running(live), supervisor)
        for _ in range(3):
            epoch, end = live.epoch, time.monotonic() + dice.uniform(0.4, 1.0)
            while time.monotonic() < end:
                supervisor.poll()
                check_whole(live.poll(0.02), epoch)
            os.kill(alive(supervisor), signal.SIGKILL)
            assert until(live, lambda: live.state == "connecting") <= 0.5
            until(live, lambda before=epoch: live.state == "running" and live.epoch > before, supervisor)
            assert live.resumed == "snapshot"
            assert "restored as it was at frame" in live.reason


def check_whole(frame, epoch):
    if frame is not None:
        assert (frame.pixels == frame.index % 251).all(), "torn"
        assert frame.epoch >= epoch


def test_2_hung_world_is_seen_ended_and_the_session_restored(faulty):
    with (
        Supervisor(["serve", "hangs", "--snapshot-every-s", "0.1"], patience=QUICK, program=faulty) as supervisor,
        LiveWorld(supervisor.wait_until_listening()) as live,
    ):
        until(live, running(live), supervisor)
        fps(live, 0.5)
        before = live.epoch
        live.send(Controls(pressed=frozenset({"Space"}), held=frozenset({"Space"})))
        until(live, lambda: live.state != "running")
        took = until(live, lambda: "hangs" in supervisor.poll().reason, supervisor)
        assert took <= 3.0
        live.send(IDLE)
        if live.state == "lost":
            live.reconnect(supervisor.wait_until_listening())
        until(live, lambda: live.state == "running" and live.epoch > before, supervisor)
        assert live.resumed == "snapshot"


def test_3_dead_client_releases_its_keys_and_its_place():
    with Server(ToyWorld, max_sessions=1) as server:
        command = [sys.executable, str(PLAYER), server.endpoint, "--hold", "ArrowRight"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as player:
            assert player.stdout is not None
            while b"running" not in player.stdout.readline():
                pass
            with LiveWorld(server.endpoint) as live:
                until(live, lambda: "number 1 in line" in live.reason)
                player.kill()
                assert until(live, running(live)) <= 2.5, "its place within 2 s, and a first frame"


def test_3_frozen_client_keeps_no_key_pressed():
    seen = []

    class Watching(ToyWorld):
        def step(self, controls):
            seen.append((time.monotonic(), bool(controls.held)))
            return super().step(controls)

    with Server(Watching) as server:
        command = [sys.executable, str(PLAYER), server.endpoint, "--hold", "ArrowRight"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as player:
            assert player.stdout is not None
            while b"running" not in player.stdout.readline():
                pass
            time.sleep(0.3)
            os.kill(player.pid, signal.SIGSTOP)
            frozen = time.monotonic()
            time.sleep(0.8)
            player.kill()
    held = [at for at, down in seen if down]
    assert held[-1] > frozen - 0.1, "it was held"
    assert held[-1] - frozen <= 0.30, "250 ms and one tick"


def test_4_partition_heals_into_the_same_session_and_plays_nothing_stale(proxied):
    heard = []

    class Watching(ToyWorld):
        def step(self, controls):
            heard.append((time.monotonic(), controls))
            return super().step(controls)

    with Server(Watching) as server:
        proxy = proxied(server.endpoint)
        with LiveWorld(proxy.endpoint) as live:
            until(live, running(live))
            identity = live._line.link._identity
            proxy.stalled = True
            begun = time.monotonic()
            while time.monotonic() - begun < 1.2:
                live.send(Controls(pressed=frozenset({"Space"}), mouse_dx=1000.0))
                live.poll(0.05)
            proxy.cut()
            proxy.stalled = False
            healed = time.monotonic()
            until(live, running(live))
            live.send(RIGHT)
            until(live, lambda: any(at > healed and "ArrowRight" in c.held for at, c in heard))
            assert live._line.link._identity == identity
            late = [c for at, c in heard if at > healed and (c.mouse_dx > 1000 or "Space" in c.held)]
            assert late == [], "what was done in the dark stays there"


def test_4_cut_in_lockstep_repeats_no_step(proxied):
    near = ToyWorld()
    near.reset(seed=3)
    with Server(ToyWorld) as server:
        proxy = proxied(server.endpoint)
        with RemoteWorld(proxy.endpoint) as far:
            far.reset(seed=3)
            for index in range(1, 41):
                if index % 10 == 0:
                    proxy.cut()
                one, other = near.step(RIGHT), far.step(RIGHT)
                assert other.index == index
                assert np.array_equal(one.pixels, other.pixels)


def test_5_narrow_link_ages_its_own_frames_only(proxied):
    with Server(lambda: ToyWorld(width=160, height=120), max_sessions=4) as server:
        proxy = proxied(server.endpoint)
        with LiveWorld(proxy.endpoint) as narrow, LiveWorld(server.endpoint) as wide:
            until(wide, running(wide))
            until(narrow, running(narrow))
            alone = fps(wide, 1.0)
            proxy.bytes_per_s = 125_000  # 1 Mb/s: half a second for a frame of 57,600 bytes
            time.sleep(0.2)
            ages, end, before = [], time.monotonic() + 5.0, wide.stats()["frames"]
            seq = 0
            while time.monotonic() < end:
                seq = narrow.send(Controls(mouse_dx=1.0))
                sent = time.monotonic()
                frame = narrow.poll(0.0)
                wide.poll(0.01)
                if frame is not None and frame.stamps.client_input_ns:
                    arrived = frame.stamps.client_arrived_ns
                    ages.append((arrived - frame.stamps.client_input_ns) / 1e9)
            assert seq > 0
            assert sent > 0
            assert len(ages) >= 4
            assert sorted(ages)[len(ages) // 2] < 2.5, "a frame on its way and one that waits, never more"
            assert (wide.stats()["frames"] - before) / 5.0 > 0.85 * alone


def test_6_flood_of_input_is_cut_down_and_slows_nobody_else():
    with Server(ToyWorld) as server, LiveWorld(server.endpoint) as live:
        until(live, running(live))
        alone = fps(live, 1.5)
        code = FLOOD.format(endpoint=server.endpoint)
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as flood:
            assert flood.stdout is not None
            assert flood.stdout.readline() == b"flooding\n"
            beside = fps(live, 2.0)
            flood.kill()
        assert beside > 0.9 * alone


FLOOD = """
import time, msgpack, zmq
context = zmq.Context()
dealer = context.socket(zmq.DEALER)
dealer.connect("{endpoint}")
dealer.send(bytes([1, 1]) + msgpack.packb({{"client": "flood"}}))
time.sleep(0.5)
print("flooding", flush=True)
seq = 0
while True:
    for _ in range(100):
        seq += 1
        dealer.send(bytes([1, 2]) + msgpack.packb([seq, 1, 0, []]))
    time.sleep(0.01)
"""


def test_7_a_thousand_half_open_sockets_and_garbage_slow_nobody():
    with Server(ToyWorld) as server, LiveWorld(server.endpoint) as live:
        until(live, running(live))
        alone = fps(live, 1.5)
        port = int(server.endpoint.rpartition(":")[2])
        with contextlib.ExitStack() as stack:
            for number in range(1000):
                half = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                live.poll()
                if number % 3 == 0:
                    with contextlib.suppress(OSError):
                        half.sendall(os.urandom(64))
            assert fps(live, 2.0) > 0.9 * alone


def test_8_other_version_is_refused_with_both_named(served):
    context = zmq.Context()
    dealer = context.socket(zmq.DEALER)
    dealer.connect(served.endpoint)
    dealer.send(bytes([2, 1]) + (msgpack.packb({"client": "later"}) or b""))
    assert dealer.poll(5000)
    first = dealer.recv()
    context.destroy(linger=0)
    told = msgpack.unpackb(first[2:])
    assert (told["code"], told["versions"]) == ("version", [1, 1])


def test_9_session_cannot_be_taken_over_by_the_name_of_its_connection(served):
    """The thief uses the routing id of the victim; what it gets is not the victim's session."""
    context = zmq.Context()
    victim, thief = context.socket(zmq.DEALER), context.socket(zmq.DEALER)
    for dealer in (victim, thief):
        dealer.setsockopt(zmq.ROUTING_ID, b"same")
        dealer.connect(served.endpoint)
    victim.send(bytes([1, 1]) + (msgpack.packb({"client": "victim"}) or b""))
    assert victim.poll(5000)
    thief.send(bytes([1, 6]) + (msgpack.packb({"request": 1}) or b""))
    assert not thief.poll(1000), "nothing is said to a second peer of that name"
    context.destroy(linger=0)


@pytest.mark.parametrize("world", ["oom", "nan"])
def test_11_world_that_breaks_once_is_set_back_and_says_so(faulty, world):
    with (
        Supervisor(["serve", world, "--snapshot-every-s", "0.2"], patience=QUICK, program=faulty) as supervisor,
        LiveWorld(supervisor.wait_until_listening()) as live,
    ):
        until(live, running(live), supervisor)
        until(live, lambda: live.epoch == 2)
        assert "The world broke and was set back to frame" in live.reason
        until(live, lambda: (live.poll(0.1) or FIRST).index > 45)
        assert supervisor.poll().restarts == 0


FIRST = ToyWorld().reset()


def test_11_world_that_breaks_for_ever_fails_with_a_reason(faulty):
    with (
        Supervisor(["serve", "poisoned", "--snapshot-every-s", "0.2"], patience=QUICK, program=faulty) as supervisor,
        LiveWorld(supervisor.wait_until_listening()) as live,
    ):
        until(live, lambda: live.state == "failed", supervisor)
        assert "see incident" in live.reason
        with LiveWorld(supervisor.wait_until_listening()) as other:
            until(other, running(other), supervisor)


def test_11_lost_device_ends_the_process_and_the_session_goes_on_in_the_next(faulty, tmp_path, monkeypatch):
    monkeypatch.setenv("INHABIT_TEST_MARKER", str(tmp_path / "lost"))
    with (
        Supervisor(["serve", "lost", "--snapshot-every-s", "0.2"], patience=QUICK, program=faulty) as supervisor,
        LiveWorld(supervisor.wait_until_listening()) as live,
    ):
        until(live, running(live), supervisor)
        until(live, lambda: supervisor.poll().restarts == 1, supervisor)
        if live.state in ("failed", "lost"):
            live.reconnect(supervisor.wait_until_listening())
        until(live, lambda: (live.poll(0.1) or FIRST).index > 45, supervisor)


def test_11_slow_world_says_that_it_is_late(faulty):
    with (
        Supervisor(["serve", "slow"], patience=QUICK, program=faulty) as supervisor,
        LiveWorld(supervisor.wait_until_listening()) as live,
    ):
        until(live, running(live), supervisor)
        until(live, lambda: live.stats()["late"] > 20)
        assert live.state == "running"


def test_12_stopped_for_a_while_all_goes_on_once(served):
    with LiveWorld(served.endpoint) as live:
        until(live, running(live))
        time.sleep(1.5)  # this process slept with everything in it: nobody asked for frames
        assert 20 <= fps(live, 1.0) <= 40, "pacing begins anew, missed ticks are not caught up with"


def test_nothing_leaks_over_two_hundred_sessions(served):
    process = psutil.Process()
    for number in range(220):
        if number == 20:
            handles = process.num_fds()
        with RemoteWorld(served.endpoint) as far:
            far.reset()
    time.sleep(0.5)
    assert process.num_fds() <= handles + 8


def test_lost_lockstep_world_says_so():
    server = Server(ToyWorld).start()
    with RemoteWorld(server.endpoint, timeout_s=5.0) as far:
        far.reset()
        server.stop()
        with pytest.raises(WorldError):
            far.step(IDLE)
