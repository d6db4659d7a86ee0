"""Shared memory: taken where it can be, given up where it fails, and never left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inhabit.bridge import ring as module
from inhabit.bridge.client import LiveWorld
from inhabit.bridge.ring import FrameRing, RingReader, can_share, sweep_rings
from inhabit.bridge.server import Server
from inhabit.bridge.toy import ToyWorld

pytestmark = pytest.mark.skipif(not can_share(), reason="needs /dev/shm")
PATIENCE_S = 20.0


def rings():
    return sorted(path.name for path in Path("/dev/shm").glob("inhabit-*"))


def until_frames(live, count):
    deadline, newest = time.monotonic() + PATIENCE_S, None
    while live.stats()["frames"] < count:
        newest = live.poll(0.02) or newest
        assert time.monotonic() < deadline, live.reason
    assert newest is not None
    return newest


@pytest.fixture
def ring():
    ring = FrameRing(5000)
    yield ring
    ring.close()


def test_frames_travel_and_the_name_is_gone_once_the_client_has_it():
    before = rings()
    with (
        Server(ToyWorld) as server,
        LiveWorld(server.endpoint) as live,
        LiveWorld(server.endpoint, share=False) as other,
    ):
        one, two = until_frames(live, 20), until_frames(other, 20)
        assert live._line._ring is not None
        assert other._line._ring is None
        assert one.pixels.shape == two.pixels.shape
        assert (one.pixels[0, 0] == two.pixels[0, 0]).all()
        assert rings() == before, "nothing is left even if both are killed now"
    assert rings() == before


def test_reader_gets_the_frame_or_nothing(ring):
    reader = RingReader(ring.name)
    slot, generation = ring.write(1, b"a" * 5000)
    assert reader.read(slot, generation, 5000) == b"a" * 5000
    for number in range(2, 6):
        ring.write(number, b"b" * 5000)
    assert reader.read(slot, generation, 5000) is None, "the slot has another frame by now"
    assert reader.read(99, 2, 5000) is None
    assert reader.read(1, 2, 10**9) is None
    reader.close()


def test_half_written_slot_of_a_writer_that_died_is_skipped(ring):
    reader = RingReader(ring.name)
    slot, generation = ring.write(1, b"a" * 5000)
    at = module.PAGE + (slot - 1) * ring.slot_bytes
    module.SLOT_HEAD.pack_into(ring._memory, at, generation + 1, 5000)
    assert reader.read(slot, generation, 5000) is None
    reader.close()


def test_client_that_cannot_reach_it_gets_frames_over_the_wire(monkeypatch):
    def nowhere(self, name):
        raise OSError("another machine")

    monkeypatch.setattr(RingReader, "__init__", nowhere)
    with Server(ToyWorld) as server, LiveWorld(server.endpoint) as live:
        until_frames(live, 20)
        assert live._line._ring is None


def test_reading_that_fails_falls_back_to_the_wire(monkeypatch):
    monkeypatch.setattr(RingReader, "read", lambda self, slot, generation, size: None)
    with Server(ToyWorld) as server, LiveWorld(server.endpoint) as live:
        until_frames(live, 10)
        assert live._line._ring is None


def test_too_little_room_is_no_trouble(monkeypatch):
    monkeypatch.setattr(module, "FREE_SHARE", 10**9)
    with Server(ToyWorld) as server, LiveWorld(server.endpoint) as live:
        until_frames(live, 10)


@pytest.mark.parametrize("name", ["", "../etc/passwd", "/etc/passwd", "inhabit-1-nothing", "psm_other"])
def test_other_names_are_not_opened(name):
    with pytest.raises((OSError, ValueError)):
        RingReader(name)


def test_reader_that_exits_leaves_the_ring_to_the_writer(ring):
    code = f"from inhabit.bridge.ring import RingReader; RingReader({ring.name!r})"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=PATIENCE_S).returncode == 0
    RingReader(ring.name).close()


def test_what_a_killed_sidecar_left_is_swept():
    code = (
        "import os, signal; from inhabit.bridge.ring import FrameRing; "
        "FrameRing(1000); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False, timeout=PATIENCE_S)
    dead = [name for name in rings() if not Path(f"/proc/{name.split('-')[1]}").exists()]
    assert dead
    assert sweep_rings() >= len(dead)
    assert not set(dead) & set(rings())


def test_only_its_owner_can_open_it(ring):
    assert os.stat(f"/dev/shm/{ring.name}").st_mode & 0o777 == 0o600
