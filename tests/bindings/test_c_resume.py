"""The C client over shared memory, and when its connection breaks: the picture goes on."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from inhabit.bridge.ring import can_share

LOCKSTEP, NO_SHARED_MEMORY = 1, 4
shared_memory = pytest.mark.skipif(not can_share(), reason="needs /dev/shm")


class Cable:
    """A TCP connection to the sidecar that can be cut; those who come again are let through."""

    def __init__(self, endpoint: str):
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        self.there = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.ends: list[socket.socket] = []
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(self.there)
            except OSError:
                return
            self.ends += [near, far]
            for source, target in ((near, far), (far, near)):
                self.threads.append(threading.Thread(target=self.carry, args=(source, target)))
                self.threads[-1].start()

    @staticmethod
    def carry(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, target):
                end.close()

    def cut(self) -> None:
        ends, self.ends = self.ends, []
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                end.close()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()
        for thread in self.threads:
            thread.join(5)


@pytest.fixture
def cable(toy_endpoint):
    cable = Cable(toy_endpoint)
    yield cable
    cable.close()


def test_free_running_goes_on_after_the_connection_broke(open_c, cable):
    client = open_c(cable.endpoint, flags=NO_SHARED_MEMORY)
    client.ready()
    client.call("button", b"ArrowRight", 1)
    before = 0
    while client.frame.index < 5:
        client.poll()
        before = client.frame.index
    cable.cut()
    deadline = time.monotonic() + 6
    while client.frame.index < before + 20 and time.monotonic() < deadline:
        assert client.call("poll", *client.room(), 50) >= 0, client.error()
    assert client.frame.index >= before + 20
    assert client.frame.epoch == 1, "the same episode"
    square = np.flatnonzero((client.pixels()[24] != 0x18).any(-1))
    assert square[0] > 28 + 2 * before, "the key is still held"


def test_lockstep_goes_on_after_the_connection_broke(open_c, cable):
    client = open_c(cable.endpoint, mode=LOCKSTEP)
    client.ready()
    client.reset()
    for index in range(1, 31):
        if index % 10 == 5:
            cable.cut()
        client.step()
        assert client.frame.index == index, "each step is done once"


def mapped_rings() -> int:
    return Path("/proc/self/maps").read_text().count("/dev/shm/inhabit-")


@shared_memory
def test_frames_come_through_shared_memory_and_are_the_same(open_c, toy_endpoint):
    before = mapped_rings()
    ring, wire = (
        open_c(toy_endpoint, has_seed=1, seed=7),
        open_c(toy_endpoint, has_seed=1, seed=7, flags=NO_SHARED_MEMORY),
    )
    for client in (ring, wire):
        client.ready()
        while client.frame.index < 10:
            client.poll()
    assert mapped_rings() == before + 1
    assert np.array_equal(ring.pixels(), wire.pixels())
    ring.call("button", b"ArrowRight", 1)
    deadline = time.monotonic() + 5
    while np.array_equal(ring.poll(), wire.pixels()):
        assert time.monotonic() < deadline, "the key is not seen"
    ring.call("close")
    assert mapped_rings() == before
    assert ring.lib.inhabit_has(b"shared_memory") == 1


@shared_memory
def test_shared_memory_is_taken_up_again_after_the_connection_broke(open_c, cable):
    client = open_c(cable.endpoint)
    client.ready()
    while client.frame.index < 5:
        client.poll()
    cable.cut()
    begun, deadline = client.frame.index, time.monotonic() + 6
    while client.frame.index < begun + 30 and time.monotonic() < deadline:
        assert client.call("poll", *client.room(), 50) >= 0, client.error()
    assert client.frame.index >= begun + 30
    assert mapped_rings() == 1
