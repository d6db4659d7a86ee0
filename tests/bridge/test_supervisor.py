"""Real processes that die, hang and crash on purpose."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from inhabit.bridge.client import LiveWorld
from inhabit.bridge.errors import WorldError
from inhabit.bridge.supervisor import Patience, Supervisor

PATIENCE_S = 60.0
TOY = ["serve", "toy"]
QUICK = Patience(hang_s=3.0, grace_s=0.5, first_delay_s=0.05, longest_delay_s=0.1)
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs signals")


def poll_until(supervisor, happened):
    """Poll until something has happened; the states seen, and the last status."""
    deadline, states = time.monotonic() + PATIENCE_S, []
    while True:
        status = supervisor.poll()
        if not states or states[-1] != status.state:
            states.append(status.state)
        if happened(status):
            return states, status
        assert time.monotonic() < deadline, (states, status)
        time.sleep(0.01)


def running(status):
    return status.state == "running"


def alive(status) -> int:
    """The process that the status tells of."""
    assert status.pid is not None
    return status.pid


def program(source):
    """What runs instead of `inhabit`."""
    return (sys.executable, "-c", source)


def test_starts_plays_and_stops():
    supervisor = Supervisor(TOY)
    assert supervisor.poll().state == "stopped"
    with supervisor:
        states, status = poll_until(supervisor, running)
        assert states[0] == "starting"
        with LiveWorld(supervisor.endpoint) as live:
            assert live.info.name == "toy"
    assert supervisor.poll().state == "stopped"
    assert not psutil.pid_exists(alive(status))
    supervisor.stop()


@POSIX
def test_killed_sidecar_comes_back_and_the_client_with_it():
    with Supervisor(TOY, patience=QUICK) as supervisor:
        _, first = poll_until(supervisor, running)
        with LiveWorld(supervisor.endpoint) as live:
            assert live.info
            os.kill(alive(first), signal.SIGKILL)
            _, status = poll_until(supervisor, lambda status: status.state == "waiting")
            assert "killed by signal 9 (SIGKILL)" in status.reason
            _, second = poll_until(supervisor, running)
            assert second.pid != first.pid
            assert second.restarts == 1
            deadline = time.monotonic() + PATIENCE_S
            while live.state != "lost":
                assert time.monotonic() < deadline
                live.poll(0.02)
            before = live.epoch
            live.reconnect(supervisor.endpoint)
            while live.state != "running":
                assert time.monotonic() < deadline, live.reason
                live.poll(0.02)
            assert live.epoch > before


BUSY_HANG = """
import sys
from inhabit.bridge.toy import ToyWorld
from inhabit.worldmodel import catalog
from inhabit.commands.__main__ import main

class HangingWorld(ToyWorld):
    def step(self, controls):
        while True:
            pass

import inhabit.commands.serve as serve
serve.open_world = lambda spec: HangingWorld()
main(sys.argv[1:])
"""


def test_busy_hang_is_seen_ended_and_mended():
    with Supervisor(TOY, patience=QUICK, program=program(BUSY_HANG)) as supervisor:
        _, first = poll_until(supervisor, running)
        with LiveWorld(supervisor.endpoint) as live:  # it hangs as soon as somebody plays
            assert live.info
            _, status = poll_until(supervisor, lambda status: status.state == "ending")
            assert "it hangs: no progress for 3" in status.reason
        _, second = poll_until(supervisor, running)
        assert second.pid != first.pid
        assert not psutil.pid_exists(alive(first))


@POSIX
def test_frozen_process_is_seen_and_killed():
    with Supervisor(TOY, patience=QUICK) as supervisor:
        _, first = poll_until(supervisor, running)
        os.kill(alive(first), signal.SIGSTOP)  # not even SIGTERM reaches it now
        states, _ = poll_until(supervisor, lambda status: status.restarts == 1)
        assert "ending" in states
        poll_until(supervisor, running)


def test_crash_loop_is_given_up_with_the_last_words():
    crash = program("import sys; print('loading'); sys.exit('no device: the driver is too old')")
    with Supervisor(TOY, patience=QUICK, program=crash) as supervisor:
        _, status = poll_until(supervisor, lambda status: status.state == "failed")
        assert status.restarts == 4
        assert "Given up after 5 ends within 60 s. The sidecar exited with code 1" in status.reason
        assert "no device: the driver is too old" in status.reason
        assert sorted(status.log) == ["loading", "no device: the driver is too old"]
        supervisor.start()
        assert supervisor.poll().state in ("starting", "waiting"), "a person may try again"


def test_mistake_of_the_user_is_not_tried_again():
    with Supervisor(["serve", "no-such-world"], patience=QUICK) as supervisor:
        _, status = poll_until(supervisor, lambda status: status.state == "failed")
        assert status.restarts == 0
        assert status.reason.startswith("inhabit: Expected a pack")


def test_process_that_never_listens_is_ended():
    sleeper = program("import time; time.sleep(600)")
    patience = Patience(listen_s=0.3, grace_s=0.3, first_delay_s=0.01, longest_delay_s=0.01, deaths=2)
    with Supervisor(TOY, patience=patience, program=sleeper) as supervisor:
        _, status = poll_until(supervisor, lambda status: status.state == "failed")
        assert "it did not listen within 0.3 s" in status.reason


PARENT = """
import sys, time
from inhabit.bridge.supervisor import Supervisor
supervisor = Supervisor(["serve", "toy"])
supervisor.start()
while supervisor.poll().state != "running":
    time.sleep(0.02)
print(supervisor.poll().pid, flush=True)
time.sleep(600)
"""


def test_sidecar_dies_with_its_parent():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
    deadline = time.monotonic() + PATIENCE_S
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_supervision_needs_no_torch():
    code = "import sys, inhabit.bridge.supervisor, inhabit.bridge.client; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=PATIENCE_S).returncode == 0


def test_scripts_may_wait_for_the_endpoint():
    with Supervisor(TOY) as supervisor:
        assert supervisor.wait_until_listening().startswith("tcp://127.0.0.1:")
    crash = program("import sys; sys.exit('no device')")
    hopeless = Patience(deaths=1)
    with (
        Supervisor(TOY, patience=hopeless, program=crash) as supervisor,
        pytest.raises(WorldError, match="no device"),
    ):
        supervisor.wait_until_listening()
