"""A trace of a session with everything in it, played back; the figures beside it."""

from __future__ import annotations

import json
import os
import time
import urllib.request

import pytest

from inhabit.bridge import trace as module
from inhabit.bridge.client import LiveWorld, RemoteWorld
from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.look import look
from inhabit.bridge.metrics import serve_metrics
from inhabit.bridge.server import Server
from inhabit.bridge.toy import ToyWorld
from inhabit.bridge.trace import TraceError, read_trace
from inhabit.bridge.transport import ZmqClient
from inhabit.commands.__main__ import main

PATIENCE_S = 20.0


def toy():
    return ToyWorld(words=True, sound_rate_hz=16_000)


def played(folder):
    """The trace of a person who did this and that, in a room."""
    with Server(toy, name="toy", traces=folder) as server, LiveWorld(server.endpoint, room="den", name="Ann") as live:
        deadline = time.monotonic() + PATIENCE_S
        done = set()
        while live.stats()["frames"] < 60:
            frame = live.poll(0.02)
            live.send(Controls(held=frozenset({"ArrowLeft" if live.stats()["frames"] % 7 else "Space"})))
            if frame is not None and frame.index == 20 and "prompt" not in done:
                done.add("prompt")
                live.prompt("blue on white")
                live.configure(steps=4)
                live.chat("hello")
            if frame is not None and frame.index > 40 and "reset" not in done:
                done.add("reset")
                live.reset()
            assert time.monotonic() < deadline, live.reason
    (path,) = sorted(folder.glob("*.trace"))
    return path


def test_replay_is_the_same_to_the_last_bit(tmp_path, capsys):
    path = played(tmp_path / "traces")
    kinds = {record.kind for record in read_trace(path)}
    assert kinds >= {"begin", "reset", "step", "frame", "prompt", "set", "event", "end"}
    report = tmp_path / "report.json"
    main(["replay", str(path), "--report", str(report)])
    assert "frames the same" in capsys.readouterr().out
    found = json.loads(report.read_text())
    assert found["frames"] >= 60
    assert (found["differ"], found["resets"], found["prompts"]) == (0, 2, 1)


def test_replay_of_what_was_changed_names_the_first_frame(tmp_path, capsys):
    path = played(tmp_path / "traces")
    data = path.read_bytes()
    assert b"Space" in data
    path.write_bytes(data.replace(b"Space", b"Enter"))  # somebody says that nobody fired
    with pytest.raises(SystemExit) as exit_:
        main(["replay", str(path)])
    assert exit_.value.code == 1
    assert "the first that differs is frame" in capsys.readouterr().out


def test_files_are_bounded_and_each_plays_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(module, "FILE_BYTES", 4000)
    path_folder = tmp_path / "traces"
    with Server(toy, name="toy", traces=path_folder) as server, RemoteWorld(server.endpoint) as far:
        far.reset(seed=5)
        for index in range(80):
            far.step(Controls(held=frozenset({"ArrowRight"} if index % 2 else ())))
    paths = sorted(path_folder.glob("*.trace"), key=lambda path: int(path.suffixes[-2][1:]))
    assert len(paths) >= 2
    for path in paths:
        assert path.stat().st_size < 6000
        main(["replay", str(path)])
    assert capsys.readouterr().out.count("frames the same") == len(paths)


def test_cut_off_trace_plays_up_to_there_and_a_strange_file_is_one_line(tmp_path, capsys):
    path = played(tmp_path / "traces")
    path.write_bytes(path.read_bytes()[:-5])
    main(["replay", str(path)])
    assert "frames the same" in capsys.readouterr().out
    strange = tmp_path / "x.trace"
    strange.write_bytes(os.urandom(200))
    with pytest.raises(TraceError, match="Expected a trace"):
        list(read_trace(strange))


def test_figures_over_the_wire_and_for_prometheus(capsys):
    with Server(toy, name="toy") as server, LiveWorld(server.endpoint) as live:
        deadline = time.monotonic() + PATIENCE_S
        while live.stats()["frames"] < 40:
            live.send(Controls(mouse_dx=1.0))
            live.poll(0.02)
            assert time.monotonic() < deadline
        transport = ZmqClient(server.endpoint, ("ctl",))
        told = look(transport)
        transport.close()
        assert told.figures["frames_sent"] >= 40
        assert 0 < told.figures["response_ms_p50_now"] <= told.figures["response_ms_p99_5min"]
        assert told.figures["first_response_ms_p50_now"] > 0
        assert [line.client for line in told.sessions] == ["inhabit"]
        main(["top", server.endpoint, "--once"])
        assert "input to" in capsys.readouterr().out
        pytest.importorskip("prometheus_client")
        port = serve_metrics("127.0.0.1:0", server.figures)
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
        assert "inhabit_response_ms_p99_5min" in page
        assert "inhabit_frames_sent_total" in page


def test_metrics_are_for_this_machine_only():
    with pytest.raises(InhabitError, match="Expected a loopback address"):
        serve_metrics("0.0.0.0:9100", lambda: None)  # type: ignore[arg-type,return-value]
