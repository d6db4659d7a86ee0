"""The sidecar over real sockets."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from inhabit.bridge.client import LiveWorld, RemoteWorld
from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import LocalProtocolError, WorldError
from inhabit.bridge.frames import Frame
from inhabit.bridge.server import Server
from inhabit.bridge.toy import ToyWorld
from inhabit.bridge.transport import BindError
from inhabit.bridge.world import check_world

PATIENCE_S = 30.0


def poll_until(live, happened, patience_s=PATIENCE_S):
    """Poll until something has happened; the last frame."""
    deadline, frame = time.monotonic() + patience_s, None
    while not happened():
        assert time.monotonic() < deadline, f"{live.state}: {live.reason}"
        frame = live.poll(0.02) or frame
    return frame


def test_remote_world_in_a_second_process_keeps_the_contract(served):
    with RemoteWorld(served.endpoint) as world:
        check_world(world)


def test_live_world_plays_and_measures(served):
    with LiveWorld(served.endpoint) as live:
        assert live.info.name == "toy"
        poll_until(live, lambda: live.state == "running")
        for _ in range(10):
            seq = live.send(Controls(held=frozenset({"ArrowLeft"})))
            deadline = time.monotonic() + PATIENCE_S
            while (frame := live.poll(0.02)) is None or frame.answers < seq:
                assert time.monotonic() < deadline
        stats = live.stats()
    assert stats["frames"] >= 10
    assert 0 < stats["input_to_frame_ms_p50"] < 5000
    assert live.state == "closed"


def test_loading_is_shown_and_may_take_its_time():
    ready = threading.Event()

    def make_world():
        assert ready.wait(PATIENCE_S)
        return ToyWorld()

    with Server(make_world) as server, LiveWorld(server.endpoint) as live:
        poll_until(live, lambda: live.state == "loading")
        ready.set()
        poll_until(live, lambda: live.state == "running")


def test_first_world_that_cannot_be_made_ends_the_server_with_its_reason():
    def make_world():
        raise WorldError("Expected a pack")

    server = Server(make_world)
    with pytest.raises(WorldError, match="Expected a pack"):
        server.serve_forever()


def test_world_that_hangs_is_noticed_and_others_live_on():
    release = threading.Event()

    class HangingWorld(ToyWorld):
        def step(self, controls: Controls) -> Frame:
            if controls.held:
                release.wait(PATIENCE_S)
            return super().step(controls)

    with (
        Server(HangingWorld) as server,
        LiveWorld(server.endpoint) as sound,
        LiveWorld(server.endpoint) as hanging,
    ):
        poll_until(sound, lambda: sound.state == "running")
        poll_until(hanging, lambda: hanging.state == "running")
        hanging.send(Controls(held=frozenset({"Space"})))
        began = time.monotonic()
        while hanging.state != "lost":
            assert time.monotonic() - began < PATIENCE_S
            hanging.poll(0.01)
            sound.poll(0.01)
        assert "hangs" in hanging.reason
        assert sound.state == "running"
        hanging.reconnect()
        poll_until(hanging, lambda: hanging.state == "running")
        release.set()


def test_steps_over_a_hung_world_raise_in_time():
    release = threading.Event()

    class HangingWorld(ToyWorld):
        def step(self, controls: Controls) -> Frame:
            release.wait(PATIENCE_S)
            return super().step(controls)

    with Server(HangingWorld) as server, RemoteWorld(server.endpoint) as world:
        world.reset()
        with pytest.raises(WorldError, match="hangs"):
            world.step(Controls())
        release.set()


def test_port_in_use_is_one_clear_line(served):
    with pytest.raises(BindError, match=r"the port is in use - stop the other program, or take port 0"):
        Server(ToyWorld, bind=served.endpoint).start()


@pytest.mark.parametrize("bind", ["tcp://0.0.0.0:0", "tcp://*:0", "tcp://192.168.1.2:5555", "tcp://example.com:80"])
def test_only_this_machine_may_be_listened_to(bind):
    with pytest.raises(BindError, match="Expected a loopback address"):
        Server(ToyWorld, bind=bind).start()


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "udp://127.0.0.1:1"])
def test_address_that_is_none(bind):
    with pytest.raises(BindError, match="Expected an address such as"):
        Server(ToyWorld, bind=bind).start()


def test_order_of_start_and_stop():
    server = Server(ToyWorld)
    with pytest.raises(LocalProtocolError, match="before start"):
        _ = server.endpoint
    server.start()
    with pytest.raises(LocalProtocolError, match="twice"):
        server.start()
    server.stop()
    server.stop()


def test_stopped_server_says_goodbye():
    with Server(ToyWorld) as server, LiveWorld(server.endpoint) as live:
        poll_until(live, lambda: live.state == "running")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        poll_until(live, lambda: live.state == "lost")
        stopping.join(PATIENCE_S)
        assert live.reason == "The sidecar ended the session: the sidecar stops"


def test_place_of_an_agent_that_died_is_free_again():
    with Server(ToyWorld, max_sessions=1) as server:
        dying = RemoteWorld(server.endpoint)
        dying.reset()
        dying._line._transport.close()  # no BYE: as if it had been killed
        deadline = time.monotonic() + PATIENCE_S
        with LiveWorld(server.endpoint) as live:
            while live.state != "running":
                assert time.monotonic() < deadline
                live.poll(0.1)
                if live.state == "failed":
                    assert live.reason.startswith("All 1 places are taken")
                    live.reconnect()


def test_nobody_there():
    with pytest.raises(WorldError, match=r"within 0.3 s"):
        RemoteWorld("tcp://127.0.0.1:9", timeout_s=0.3)


def test_serve_refuses_what_it_cannot_do_in_one_line():
    for arguments in (["--bind", "tcp://0.0.0.0:1"], ["--steps", "3"]):
        ran = subprocess.run(
            [sys.executable, "-m", "inhabit.commands", "serve", "toy", *arguments],
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert ran.returncode == 2
        assert ran.stderr.splitlines()[-1].startswith("inhabit: Expected")
        assert "Traceback" not in ran.stderr
