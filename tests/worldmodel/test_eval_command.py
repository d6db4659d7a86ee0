"""`inhabit eval` and `inhabit worlds` from end to end, on a tiny pack and a tiny recording."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from inhabit.commands.__main__ import main
from inhabit.commands.eval import parse_seeds
from inhabit.worldmodel.catalog import read_header
from inhabit.worldmodel.evaluate import evaluation, reality
from inhabit.worldmodel.evaluate.drift import DriftConfig
from inhabit.worldmodel.evaluate.fidelity import FidelityConfig
from inhabit.worldmodel.evaluate.judges import JudgesConfig
from inhabit.worldmodel.pack import load_pack
from inhabit.worldmodel.recordings import Box, Meta, Moment, RecordingError, ShardWriter, write_meta
from inhabit.worldmodel.train.display import Display

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTH = 26


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Let --quick be quicker still."""
    config = evaluation.EvalConfig

    def smallest(self):
        return evaluation.replace(
            self,
            walked_episodes=2,
            walked_frames=12,
            judges=JudgesConfig(detector_steps=2, inverse_dynamics_steps=2),
            fidelity=FidelityConfig(windows=3, far_windows=2, shuffled=3, codec_frames=8, action_triples=9),
            drift=DriftConfig(frames=24, sessions=2, windows=3, every=4, real_triples=8),
        )

    monkeypatch.setattr(config, "quick", smallest)


def write_recording(folder: Path, info, *, seeds=(30, 31, 32, 33, 62, 63), objects: bool = True) -> Path:
    """Random frames with a box in each; seeds 31 and 63 are held out."""
    rng = np.random.default_rng(0)
    writer = ShardWriter(write_meta(folder, Meta(world=info, source="test")))
    for seed in seeds:
        for frame in range(LENGTH):
            writer.add(
                Moment(
                    pixels=rng.integers(0, 255, (info.height, info.width, 3), np.uint8),
                    action=np.eye(4, dtype=np.float32)[rng.integers(4), :3],
                    reward=float(frame == 9),
                    terminated=frame == LENGTH - 1,
                    first=frame == 0,
                    seed=seed,
                    objects=[Box(name="Square", x=8, y=8, width=16, height=16)] if objects else [],
                )
            )
    writer.write(folder / "shard-00000000-00-0000.h5")
    return folder


def run_eval(pack_folder: Path, recording: Path, tmp_path: Path, *more: str) -> dict:
    report = tmp_path / "report.json"
    arguments = ["eval", str(pack_folder), "--quick", "--recording", str(recording), "--report", str(report), *more]
    main([*arguments, "--device", "cpu"])
    return json.loads(report.read_text())


def test_everything_is_measured_drawn_and_written(small_pack, pack_folder, tmp_path, capsys):
    recording = write_recording(tmp_path / "recording", small_pack.file.info)
    pictures = tmp_path / "pictures"
    report = run_eval(pack_folder, recording, tmp_path, "--out", str(pictures), "--write")
    assert set(report) >= {
        "codec", "skill", "psnr_db", "action_fidelity", "objects", "drift", "termination", "reward", "seeds",
        "machine", "pack", "steps",
    }  # fmt: skip
    assert set(report["codec"]) >= {"psnr_db", "object_recall", "object_precision"}
    assert set(report["skill"]) == {"1", "4"}  # episodes of 26 frames leave no room for more
    assert set(report["objects"]) >= {"recall", "precision", "ceiling"}
    assert {"precision", "recall"} <= set(report["termination"])
    assert report["seeds"]["test"] == "2 from 31 to 63"
    assert report["seeds"]["held_out"] is True
    assert report["steps"] == 2
    assert sorted(path.name for path in pictures.iterdir()) == [
        "dreams.png", "drift.png", "horizon.png", "long-dream.png",
    ]  # fmt: skip
    quality = read_header(pack_folder).quality
    assert quality["skill"] == report["skill"]
    assert "windows" not in quality["long_run"]
    load_pack(pack_folder)
    assert "action fidelity" in capsys.readouterr().out
    main(["worlds", str(pack_folder)])
    assert "action accuracy" in " ".join(capsys.readouterr().out.split())


def test_a_world_without_recorded_objects_has_no_object_figures(small_pack, pack_folder, tmp_path):
    recording = write_recording(tmp_path / "recording", small_pack.file.info, objects=False)
    report = run_eval(pack_folder, recording, tmp_path, "--steps", "1")
    assert "objects" not in report
    assert set(report["codec"]) == {"psnr_db"}
    assert report["steps"] == 1


def test_play_that_may_have_been_trained_on_is_called_so(small_pack, tmp_path):
    folder = write_recording(tmp_path / "recording", small_pack.file.info, seeds=(0, 1, 2, 3))
    sizes = {"test_frames": 1000, "judge_frames": 1000}
    real = reality.read_recording(folder, small_pack.file.info, unseen=False, **sizes)
    assert real.seeds["held_out"] is False
    assert real.test.held_out.all()
    assert not set(real.test.seeds) & set(real.judges.seeds)
    assert 0 < real.judges.held_out.sum() < len(real.judges)
    assert reality.read_recording(folder, small_pack.file.info, unseen=True, **sizes).seeds["held_out"] is True


def test_a_missing_game_is_one_line(pack_folder, tmp_path, monkeypatch, capsys):
    path = pack_folder / "world.json"
    path.write_text(path.read_text().replace('"source": "test"', '"source": "doom:basic"'))
    monkeypatch.setitem(sys.modules, "vizdoom", None)
    with pytest.raises(SystemExit) as exit_:
        main(["eval", str(pack_folder), "--cache", str(tmp_path / "cache"), "--device", "cpu"])
    assert exit_.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert 'pip install "inhabit[doom]"' in last
    assert "--recording" in last
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_source_that_cannot_be_played_says_what_to_do(pack_folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["eval", str(pack_folder), "--cache", str(tmp_path / "cache"), "--device", "cpu"])
    assert "give real play with --recording" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["7", "9:3", "a:b", "-4:2", "1:2:3"])
def test_seeds_that_are_no_range_are_refused(text):
    with pytest.raises(Exception, match="Expected seeds"):
        parse_seeds(text)
    assert parse_seeds("5:9") == range(5, 9)


def test_judges_of_the_same_play_are_kept(small_pack, tmp_path):
    from inhabit.worldmodel.evaluate.judges import train_judges

    folder = write_recording(tmp_path / "recording", small_pack.file.info)
    real = reality.read_recording(folder, small_pack.file.info, unseen=True, test_frames=1000, judge_frames=1000)
    config = JudgesConfig(detector_steps=2, inverse_dynamics_steps=2)
    one, other = (train_judges(real.judges, config, torch.device("cpu"), keep=tmp_path / "kept") for _ in range(2))
    triples = np.random.default_rng(0).integers(0, 255, (4, 3, 64, 64, 3), np.uint8)
    assert np.array_equal(one.look(triples).features, other.look(triples).features)
    assert one.detector is not None
    assert other.detector is not None
    assert one.detector.threshold == pytest.approx(other.detector.threshold)


def test_a_display_is_not_left_open_by_a_failing_stage():
    from inhabit.worldmodel.evaluate.stages import Stages

    stages = Stages(Display())
    with pytest.raises(ValueError, match="no"), stages.stage("measuring"):
        raise ValueError("no")
    assert stages.seconds == {}


def test_exactly_the_named_episodes_are_played(tmp_path):
    pytest.importorskip("gymnasium")
    pytest.importorskip("pygame")
    from inhabit.worldmodel.train.footage import load_footage
    from inhabit.worldmodel.worlds.record import RecordConfig, record_seeds

    config = RecordConfig(source="gym:CartPole-v1", folder=tmp_path, workers=2, width=64, height=48)
    played = record_seeds(config, range(1_000_000, 1_000_003))
    footage = load_footage(tmp_path)
    assert len(footage) == played
    assert sorted(set(footage.seeds)) == [1_000_000, 1_000_001, 1_000_002]
    assert footage.first.sum() == 3
    assert footage.terminated.sum() == 3  # to the end, each of them
    with pytest.raises(RecordingError, match="Expected a range with seeds"):
        record_seeds(config, range(5, 5))
