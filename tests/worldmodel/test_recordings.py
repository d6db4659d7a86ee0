"""The recording format: what goes in comes out, a damaged shard is named, a foreign folder is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inhabit.bridge.controls import ActionMap, ActionSource
from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.recordings import Box, Recorder, RecordingError, read_meta, read_shards

INFO = WorldInfo(
    name="mine",
    width=32,
    height=32,
    rate_hz=10.0,
    sound_rate_hz=1000,
    sound_channels=2,
    actions=ActionMap(sources=(ActionSource(name="LEFT", keys=("ArrowLeft",)), ActionSource(name="GO"))),
)


def frame(value: int) -> np.ndarray:
    return np.random.default_rng(value).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def record(folder: Path, frames: int = 12) -> None:
    with Recorder(folder, INFO, source="my game", licence="CC0-1.0") as recorder:
        for index in range(frames):
            recorder.add(
                frame(index),
                action=(index % 2, 0.5),
                reward=float(index),
                terminated=index == 6,
                sound=np.full((100 if index else 0, 2), index, np.int16),
                objects=[Box(name="Demon", x=3, y=4, width=5, height=6)] if index % 3 == 0 else (),
                text="rain" if index == 4 else None,
            )


def test_what_goes_in_comes_out(tmp_path):
    record(tmp_path / "r")
    (shard,) = read_shards(tmp_path / "r")
    assert len(shard) == 12
    assert all(np.array_equal(shard.frames[i], frame(i)) for i in range(12))
    assert shard.actions[3].tolist() == [1.0, 0.5]
    assert np.flatnonzero(shard.first).tolist() == [0, 7]
    assert np.flatnonzero(shard.terminated).tolist() == [6]
    assert shard.boxes(3) == [Box(name="Demon", x=3, y=4, width=5, height=6)]
    assert shard.boxes(4) == []
    assert (shard.text, shard.text_frame.tolist()) == (("rain",), [4])
    assert shard.sound_end.tolist() == [100 * i for i in range(12)]
    assert shard.sound[150].tolist() == [2, 2]
    assert [(s.start, s.stop) for s in shard.episodes()] == [(0, 7), (7, 12)]


def test_a_second_session_extends_the_recording(tmp_path):
    record(tmp_path / "r")
    record(tmp_path / "r")
    assert sum(len(shard) for shard in read_shards(tmp_path / "r")) == 24


def test_a_damaged_shard_is_named_and_skipped(tmp_path):
    record(tmp_path / "r")
    record(tmp_path / "r")
    victim = tmp_path / "r" / "shard-00000.h5"
    victim.write_bytes(victim.read_bytes()[:1000])
    with pytest.warns(UserWarning, match=r"damaged shard.*shard-00000\.h5"):
        assert sum(len(shard) for shard in read_shards(tmp_path / "r")) == 12


def test_only_damaged_shards_is_an_error(tmp_path):
    record(tmp_path / "r")
    (tmp_path / "r" / "shard-00000.h5").write_bytes(b"")
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(RecordingError, match="1 damaged"):
        list(read_shards(tmp_path / "r"))


def test_another_world_does_not_mix_into_a_recording(tmp_path):
    record(tmp_path / "r")
    with pytest.raises(RecordingError, match="choose another folder"):
        Recorder(tmp_path / "r", INFO, source="another game")


@pytest.mark.parametrize(
    ("pixels", "action", "words"),
    [
        (np.zeros((16, 32, 3), np.uint8), (0, 0), r"\(32, 32, 3\)"),
        (np.zeros((32, 32, 3), np.float32), (0, 0), "float32"),
        (np.zeros((32, 32, 3), np.uint8), (0,), "2 numbers"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(tmp_path, pixels, action, words):
    recorder = Recorder(tmp_path / "r", INFO, source="my game")
    with pytest.raises(RecordingError, match=words):
        recorder.add(pixels, action=action)


def test_a_folder_without_a_recording_says_how_to_make_one(tmp_path):
    with pytest.raises(RecordingError, match="inhabit record"):
        read_meta(tmp_path)


def test_a_broken_meta_names_the_file(tmp_path):
    record(tmp_path / "r")
    (tmp_path / "r" / "meta.json").write_text("{")
    with pytest.raises(RecordingError, match=r"meta\.json"):
        read_meta(tmp_path / "r")


def test_reading_some_seeds_keeps_rows_together(tmp_path):
    from inhabit.worldmodel.recordings import Meta, Moment, ShardWriter, write_meta

    meta = write_meta(tmp_path / "r", Meta(world=INFO, source="s", variables=("HEALTH",)))
    writer = ShardWriter(meta)
    for seed in (5, 6, 7):
        for index in range(3):
            writer.add(
                Moment(
                    pixels=frame(10 * seed + index),
                    action=np.array([seed, index], np.float32),
                    first=index == 0,
                    seed=seed,
                    sound=np.full((4, 2), 10 * seed + index, np.int16),
                    objects=[Box(name=f"thing-{seed}", x=index, y=1, width=2, height=2)],
                    variables=(float(seed),),
                    text=f"seed {seed}" if index == 1 else None,
                )
            )
    writer.write(tmp_path / "r" / "shard-0.h5")
    (shard,) = read_shards(tmp_path / "r", seeds=range(6, 7))
    assert shard.actions.tolist() == [[6, 0], [6, 1], [6, 2]]
    assert shard.boxes(2) == [Box(name="thing-6", x=2, y=1, width=2, height=2)]
    assert shard.sound[:, 0].tolist() == [60] * 4 + [61] * 4 + [62] * 4
    assert (shard.text, shard.text_frame.tolist()) == (("seed 6",), [1])
    assert np.array_equal(shard.frames[1], frame(61))
