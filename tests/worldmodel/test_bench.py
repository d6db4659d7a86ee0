"""`inhabit bench`: rates, where a frame's time goes, growth, and play through a real sidecar process."""

from __future__ import annotations

import json

import pytest
import torch

from inhabit.bridge.errors import InhabitError
from inhabit.commands.__main__ import main
from inhabit.worldmodel.evaluate import bench, speed
from inhabit.worldmodel.evaluate.client_speed import ClientConfig, measure_client

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def subject(small_pack):
    return speed.from_pack(small_pack, CPU)


def test_the_report_has_rates_parts_growth_and_threads(pack_folder, tmp_path, capsys):
    path = tmp_path / "bench.json"
    main(["bench", str(pack_folder), "--quick", "--no-client", "--device", "cpu", "--report", str(path)])
    report = json.loads(path.read_text())
    for steps in (1, 2, 4):
        engine = report["engine"][f"k{steps}"]
        assert engine["fps"] > 0
        assert engine["ms_p50"] <= engine["ms_p99"]
    assert set(report["engine"]["k2"]["ms"]) == {"motion", "denoise", "commit", "decode"}
    assert report["growth"]["frame_time_ratio"] > 0
    assert report["growth"]["frames"] == 60
    assert report["growth"]["rss_mb"] is not None
    assert str(report["threads"]["used"]) in report["threads"]
    assert report["pack"]["untrained"] is False
    assert report["machine"]["threads"] == report["threads"]["used"]
    assert "client" not in report
    assert "engine, 2 steps" in capsys.readouterr().out
    assert set(bench.real_time(report)) == {"k1", "k2", "k4"}


def test_a_frames_time_is_split_into_its_parts(subject, monkeypatch):
    """By a clock that moves only when the network works: 10 ms for a pass that commits, 7 ms for a plain one."""
    clock = [0.0]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: clock[0])

    def work(network, arguments, prediction):
        clock[0] += 0.010 if arguments[0].noised.shape[1] == 2 else 0.007

    hook = subject.engine.dynamics.register_forward_hook(work)
    config = speed.SpeedConfig(timed_frames=6)
    assert speed.split(subject, 1, config) == pytest.approx({"motion": 0.0, "denoise": 10.0, "decode": 0.0})
    assert speed.split(subject, 2, config) == pytest.approx(
        {"motion": 0.0, "denoise": 14.0, "commit": 3.0, "decode": 0.0}
    )
    assert speed.split(subject, 4, config) == pytest.approx(
        {"motion": 0.0, "denoise": 28.0, "commit": 3.0, "decode": 0.0}
    )
    hook.remove()
    assert not subject.engine.dynamics._forward_hooks


def test_an_untrained_engine_is_padded_to_its_cells_and_says_what_it_is():
    subject = speed.untrained("nano", width=80, height=48, device=CPU)
    assert subject.said == {"name": "nano", "size_px": [80, 48], "made_px": [96, 64], "untrained": True}
    state = subject.frame(subject.begin(), 0, 1)
    assert subject.engine.show(state).shape == (1, 64, 96, 3)
    with pytest.raises(InhabitError, match="Expected a preset"):
        speed.untrained("enormous", width=80, height=48, device=CPU)


def test_a_rate_is_frames_over_time():
    assert speed.summary([10.0, 10.0, 20.0]) == pytest.approx({"fps": 75.0, "ms_p50": 10.0, "ms_p99": 19.8})


def test_a_measurement_ends_in_time(subject):
    times = speed.time_frames(subject, subject.begin(), 1, frames=10_000, seconds=0.05)
    assert 2 <= len(times) < 10_000


def test_play_through_a_real_sidecar_is_timed():
    figures = measure_client(["toy"], ClientConfig(seconds=2.0, frames=10))
    client = figures["client"]
    assert 5 < client["fps"] <= 1.2 * client["rate_hz"]
    assert client["inputs"] > 3
    points = client["input_to_frame_ms"]
    assert 0 < points["p50"] <= points["p95"] <= points["p99"]
    assert figures["bridge"]["overhead_ms"]["p50"] > 0


def test_a_sidecar_that_cannot_start_is_one_line():
    with pytest.raises(InhabitError, match="no-such-pack"):
        measure_client(["no-such-pack"], ClientConfig(load_s=20.0))
