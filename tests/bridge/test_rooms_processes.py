"""A room in a real sidecar, its people in processes of their own: some are killed, frozen and slow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inhabit.bridge.client import LiveWorld
from inhabit.bridge.supervisor import Supervisor

PATIENCE_S = 30.0
PLAYER = Path(__file__).with_name("player.py")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="needs signals")]


class Player:
    """One process."""

    def __init__(self, endpoint, name, *options):
        command = [sys.executable, str(PLAYER), endpoint, "--room", "den", "--name", name, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def wait_running(self):
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if json.loads(line)["state"] == "running":
                return self
        raise AssertionError("it ended")

    def close(self):
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def until(live, happened):
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        live.poll(0.02)
        assert time.monotonic() < deadline, (live.state, live.reason, live.room.people)


def frames_within(live, seconds):
    before, end = live.stats()["frames"], time.monotonic() + seconds
    while time.monotonic() < end:
        live.poll(0.02)
    return live.stats()["frames"] - before


def test_one_who_dies_freezes_or_dawdles_changes_nothing_for_the_others():
    with Supervisor(["serve", "toy"]) as supervisor:
        endpoint = supervisor.wait_until_listening()
        driver = Player(endpoint, "Ann", "--hold", "ArrowRight", "--prompt", "blue").wait_running()
        frozen = Player(endpoint, "Ben").wait_running()
        slow = Player(endpoint, "Cid", "--slow-s", "0.4").wait_running()
        try:
            with LiveWorld(endpoint, room="den", name="Dot") as live:
                until(live, lambda: len(live.room.people) == 4)
                assert [person.name for person in live.room.people if person.member == live.room.driver] == ["Ann"]
                prompts = [(event.name, event.text) for event in live.room.events if event.kind == "prompt"]
                assert prompts == [("Ann", "blue")], "a late joiner is told what was said"
                quiet = frames_within(live, 1.5)
                assert quiet > 25, "30 frames a second, with a slow one beside us"
                os.kill(frozen.process.pid, signal.SIGSTOP)
                os.kill(driver.process.pid, signal.SIGKILL)
                killed_s = time.monotonic()
                until(live, lambda: live.room.driver == 0)
                assert time.monotonic() - killed_s <= 2.5, "the wheel is free"
                assert frames_within(live, 1.5) >= 0.85 * quiet
                live.drive("ask")
                until(live, lambda: live.room.driving)
                until(live, lambda: len(live.room.people) == 2)
                assert [person.name for person in live.room.people] == ["Cid", "Dot"]
        finally:
            os.kill(frozen.process.pid, signal.SIGCONT)
            for player in (driver, frozen, slow):
                player.close()
