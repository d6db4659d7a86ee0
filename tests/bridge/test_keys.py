"""Keys: real CURVE handshakes over real sockets, and the command that makes them."""

from __future__ import annotations

import os
import stat
import time

import pytest

from inhabit.bridge.client import LiveWorld
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.keys import KeyFileError, KeyStore, make_pair, read_key
from inhabit.bridge.messages import replace
from inhabit.bridge.quotas import Bucket, Meter, Quota
from inhabit.bridge.server import Server
from inhabit.bridge.toy import ToyWorld
from inhabit.bridge.transport import BindError, ZmqClient
from inhabit.commands.__main__ import main

PATIENCE_S = 20.0
S = 1_000_000_000


@pytest.fixture
def store(tmp_path):
    return KeyStore(tmp_path / "keys")


def until(live, *states):
    deadline = time.monotonic() + PATIENCE_S
    while live.state not in states:
        live.poll(0.02)
        assert time.monotonic() < deadline, (live.state, live.reason)
    return live


def live_with(endpoint, key, **options):
    return LiveWorld(endpoint, connect=lambda address: ZmqClient(address, key=key), **options)


def test_holder_of_a_key_plays_and_is_what_the_list_says(store):
    ann = read_key(store.add("ann", "admin"))
    eve = read_key(store.add("eve", "viewer"))
    with (
        Server(ToyWorld, bind="tcp://0.0.0.0:0", keys=store) as server,
        live_with(server.endpoint.replace("0.0.0.0", "127.0.0.1"), ann, room="den", role="admin") as one,
        live_with(server.endpoint.replace("0.0.0.0", "127.0.0.1"), eve, room="den", role="admin") as other,
    ):
        until(one, "running")
        until(other, "running")
        assert (one.room.role, other.room.role) == ("admin", "viewer")


def test_strangers_wrong_server_keys_and_no_keys_are_told_so(store):
    ann = read_key(store.add("ann", "player"))
    stranger, other_server = make_pair(), make_pair()
    bad = [
        replace(ann, public=stranger.public, secret=stranger.secret),
        replace(ann, server=other_server.public),
        None,
    ]
    with Server(ToyWorld, keys=store) as server:
        for key in bad:
            with live_with(server.endpoint, key, timeout_s=2.0) as live:
                until(live, "failed", "lost")
                if key is None or key.server == ann.server:
                    assert "refuses our key, or wants one" in live.reason
        with live_with(server.endpoint, ann) as live:
            until(live, "running")


def test_removed_key_opens_nothing_any_more(store):
    ann = read_key(store.add("ann", "player"))
    with Server(ToyWorld, keys=store) as server:
        with live_with(server.endpoint, ann) as live:
            until(live, "running")
        store.remove("ann")
        with live_with(server.endpoint, ann, timeout_s=5.0) as live:
            until(live, "failed")


def test_session_belongs_to_the_key_that_began_it(store):
    ann, eve = read_key(store.add("ann", "player")), read_key(store.add("eve", "player"))
    with Server(ToyWorld, keys=store) as server, live_with(server.endpoint, ann) as live:
        until(live, "running")
        link = live._line.link
        with live_with(server.endpoint, eve) as thief:
            thief._line.link._identity, thief._line.link._secret = link._identity, link._secret
            until(thief, "lost")
            assert "Expected a living session and its secret" in thief.reason
        before = live.stats()["frames"]
        until_frames = time.monotonic() + PATIENCE_S
        while live.stats()["frames"] < before + 5:
            live.poll(0.02)
            assert time.monotonic() < until_frames


def test_sessions_of_one_key_are_counted(store):
    ann = read_key(store.add("ann", "player"))
    with Server(ToyWorld, keys=store, max_sessions=8) as server:
        lives = [live_with(server.endpoint, ann) for _ in range(5)]
        for live in lives[:4]:
            until(live, "running")
        until(lives[4], "failed")
        assert lives[4].reason == "Expected at most 4 sessions with this key"
        for live in lives:
            live.close()


def test_no_keys_no_other_machine():
    with pytest.raises(BindError, match="make some with `inhabit keys new NAME`"):
        Server(ToyWorld, bind="tcp://0.0.0.0:0").start()


def test_no_list_no_start(store):
    with pytest.raises(KeyFileError, match="make some with"):
        Server(ToyWorld, bind="tcp://0.0.0.0:0", keys=store).start()


@pytest.mark.skipif(os.name != "posix", reason="needs file modes")
def test_key_files_are_for_their_owner_only(store):
    path = store.add("ann", "player")
    for file in (path, store.folder / "server.json", store.folder / "people.json"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_key(path)


def test_names_that_are_paths_are_refused(store):
    for name in ("../ann", "", "a" * 33, "a b"):
        with pytest.raises(KeyFileError, match="Expected a name"):
            store.add(name, "player")


def test_damaged_key_is_one_line(store, tmp_path):
    path = tmp_path / "bad.key"
    path.write_text('{"name": 1}')
    path.chmod(0o600)
    with pytest.raises(InhabitError, match="Expected a file that `inhabit keys` made"):
        read_key(path)


def test_command_makes_lists_and_removes(tmp_path, capsys):
    folder = ["--folder", str(tmp_path)]
    main(["keys", "new", "ann", "--role", "admin", *folder])
    assert read_key(tmp_path / "ann.key").name == "ann"
    main(["keys", "list", *folder])
    assert "admin" in capsys.readouterr().out
    main(["keys", "remove", "ann", *folder])
    assert not (tmp_path / "ann.key").exists()
    with pytest.raises(SystemExit):
        main(["keys", "remove", "ann", *folder])
    assert "Expected the name of somebody with a key" in capsys.readouterr().err


def test_bucket_lets_its_rate_through_and_no_more():
    bucket = Bucket(100, 50, 0)
    passed = sum(bucket.take(1, tick * S // 10_000) for tick in range(20_000))  # 10 kHz for 2 s
    assert passed == pytest.approx(250, abs=2)


def test_flood_of_input_leaves_other_messages_alone():
    meter = Meter(Quota(inputs_per_s=100, messages_per_s=0, bytes_per_s=0), 0)
    refused = [meter.refuse([b"\x01\x02\x94"], 0) for _ in range(200)]
    assert refused.count("INPUT") == 150
    assert meter.refuse([b"\x01\x0c\x80"], 0) == ""
    assert meter.may_complain(0)
    assert not meter.may_complain(S // 2)
