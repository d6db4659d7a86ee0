"""What is kept of a session: whole, or not there."""

from __future__ import annotations

import os

import pytest

from inhabit.bridge import snapshots as module
from inhabit.bridge.snapshots import Snapshot, SnapshotError, Snapshots, hash_of, read_snapshot, write_snapshot

ONE = Snapshot(name="ab" * 16, secret_hash=hash_of(b"s" * 16), epoch=3, index=17, sent=9, request=4)


def test_reads_what_was_written(tmp_path):
    path = tmp_path / "one.snapshot"
    write_snapshot(path, ONE, b"state" * 1000)
    assert read_snapshot(path) == (ONE, b"state" * 1000)


@pytest.mark.parametrize("position", [0, 9, 41, 60, -1])
def test_one_flipped_bit_is_found_wherever_it_is(tmp_path, position):
    path = tmp_path / "one.snapshot"
    write_snapshot(path, ONE, b"state")
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(SnapshotError, match="Expected a whole snapshot"):
        read_snapshot(path)


def test_cut_off_file_is_thrown_away(tmp_path):
    kept = Snapshots(tmp_path)
    kept.put(ONE, b"state" * 100)
    path = tmp_path / f"{ONE.name}.snapshot"
    path.write_bytes(path.read_bytes()[:-7])
    assert Snapshots(tmp_path).get(ONE.name) is None
    assert not path.exists()


def test_another_process_finds_it_until_it_is_dropped(tmp_path):
    Snapshots(tmp_path).put(ONE, b"state")
    assert Snapshots(tmp_path).get(ONE.name) == (ONE, b"state")
    kept = Snapshots(tmp_path)
    kept.drop(ONE.name)
    assert kept.get(ONE.name) is None, "though its file waits for somebody who has time for a disk"
    kept.tidy()
    assert Snapshots(tmp_path).get(ONE.name) is None


def test_full_disk_keeps_the_old_one_and_the_one_in_memory(tmp_path, monkeypatch):
    kept = Snapshots(tmp_path)
    kept.put(ONE, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    kept.put(ONE, b"new")
    assert kept.get(ONE.name) == (ONE, b"new")
    monkeypatch.undo()
    assert Snapshots(tmp_path).get(ONE.name) == (ONE, b"old")
    assert list(tmp_path.glob("*.partial")) == []


def test_only_so_many_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "KEPT_MAX", 3)
    kept = Snapshots(tmp_path)
    for number in range(5):
        kept.put(Snapshot(name=f"n{number}"), b"")
    assert len(list(tmp_path.glob("*.snapshot"))) == 5, "the folder is swept at the next start"
    again = Snapshots(tmp_path)
    assert len(list(tmp_path.glob("*.snapshot"))) == 3
    assert again.get("n0") is None


def test_secret_is_not_in_the_file_and_opens_it(tmp_path):
    write_snapshot(tmp_path / "one.snapshot", ONE, b"")
    assert b"s" * 16 not in (tmp_path / "one.snapshot").read_bytes()
    assert ONE.opened_by(b"s" * 16, "")
    assert not ONE.opened_by(b"t" * 16, "")
    assert not ONE.opened_by(b"s" * 16, "somebody else's key")


def test_client_that_was_silent_finds_its_world_where_it_left_it(make_stage):
    from inhabit.bridge.toy import ToyWorld

    stage = make_stage(ToyWorld, max_sessions=1)
    live = stage.live()
    stage.run(500, live)
    frame = live.poll(0.2)
    stage.run(4000)  # nobody polls: the lease is over, the place is free
    assert stage.sidecar.places.free == 1
    other = stage.live()
    stage.run(300, other)
    other.close()
    stage.run(10)
    stage.run(50, live)
    assert live.reason == "The sidecar ended the session: no message for 3.0 s"
    live.reconnect()
    stage.run(500, live)
    assert live.state == "running"
    assert live.resumed == "snapshot"
    assert live.epoch == 2
    assert "restored as it was at frame" in live.reason
    again = next(found for _ in range(20) if (found := live.poll(0.2)) is not None)
    assert again.index > frame.index
