"""Isle recordings: what is played is written with words, events, poses and boxes, and read back."""

from __future__ import annotations

import threading
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from inhabit.bridge.errors import WorldError  # noqa: E402
from inhabit.worldmodel.omni.block import DynamicsConfig  # noqa: E402
from inhabit.worldmodel.omni.dynamics import Dynamics  # noqa: E402
from inhabit.worldmodel.omni.text import TextConfig  # noqa: E402
from inhabit.worldmodel.recordings import Moment, ShardWriter, read_meta, read_shards, write_meta  # noqa: E402
from inhabit.worldmodel.train.footage import load_footage  # noqa: E402
from inhabit.worldmodel.train.forcing import Forcing, ForcingConfig  # noqa: E402
from inhabit.worldmodel.train.latents import gather_latents  # noqa: E402
from inhabit.worldmodel.worlds.isle import truth  # noqa: E402
from inhabit.worldmodel.worlds.isle.attributes import VALUES, Attributes, is_held_out  # noqa: E402
from inhabit.worldmodel.worlds.isle.captions import granted, parse  # noqa: E402
from inhabit.worldmodel.worlds.isle.players import IslePlayer, Sight  # noqa: E402
from inhabit.worldmodel.worlds.isle.record import (  # noqa: E402
    STAGES,
    describe,
    play,
    play_stages,
    played_as,
    record_seeds,
    script,
    stages,
)  # fmt: skip
from inhabit.worldmodel.worlds.record import RecordConfig  # noqa: E402


class Count:
    """Stands for the shared counter of several processes."""

    def __init__(self):
        self.value = 0
        self._lock = threading.Lock()

    def get_lock(self) -> threading.Lock:
        return self._lock


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    threads = torch.get_num_threads()
    folder = tmp_path_factory.mktemp("isle")
    config = RecordConfig(source="isle", frames=1100, folder=folder, workers=1, width=32, height=32)
    meta = write_meta(folder, describe(config))
    record_seeds(config, meta, "shard-0", range(14, 100), Count(), threading.Event())
    torch.set_num_threads(threads)
    return folder


def test_a_recording_holds_words_events_and_poses(folder):
    meta = read_meta(folder)
    assert meta.variables == truth.VARIABLES
    assert (meta.source, meta.world.rate_hz, meta.world.sound_rate_hz) == ("isle", 16.0, 16_000)
    (shard,) = read_shards(folder)
    assert 1100 <= len(shard) < 1110
    starts = np.flatnonzero(shard.first)
    assert set(starts) <= set(shard.text_frame.tolist())
    assert all(parse(text) for text in shard.text)
    assert not shard.actions[starts].any()
    assert shard.sound_end.tolist() == [1000 * (row + 1) for row in range(len(shard))]
    assert np.abs(np.diff(shard.variables[:, [0, 2]], axis=0)[~shard.first[1:]]).max() < 0.5
    happened = {name for row in range(len(shard)) for name in shard.happened(row)}
    assert "step" in happened
    assert len(shard.objects)
    ends = shard.terminated | shard.truncated
    assert np.flatnonzero(ends).tolist() == [*(starts[1:] - 1), len(shard) - 1]


def test_the_first_text_says_everything(folder):
    (shard,) = read_shards(folder)
    nothing: dict[str, Any] = {name: 0 for name in VALUES if name.endswith("_count")}
    empty = Attributes(**nothing, creatures=0)
    for start in np.flatnonzero(shard.first):
        text = shard.text[shard.text_frame.tolist().index(start)]
        seed = int(shard.seeds[start])
        if start and shard.seeds[start - 1] == seed:
            continue  # a later stage
        said, true = granted(empty, parse(text)), (script if played_as(seed) == "walk" else stages)(seed).attributes[0]
        same = [name for name in VALUES if not name.endswith("_colour") or true.count(name[:-7])]
        assert [getattr(said, name) for name in same] == [getattr(true, name) for name in same]


def test_some_seeds_keep_their_events(folder):
    (whole,) = read_shards(folder)
    (part,) = read_shards(folder, seeds=range(15, 16))
    offset = int(np.flatnonzero(whole.seeds == 15)[0])
    assert len(part) == int((whole.seeds == 15).sum())
    assert [part.happened(row) for row in range(len(part))] == [
        whole.happened(offset + row) for row in range(len(part))
    ]


def test_older_recordings_without_events_are_read(folder, tmp_path):
    import h5py

    meta = write_meta(tmp_path, read_meta(folder))
    writer = ShardWriter(meta)
    writer.add(Moment(pixels=np.zeros((32, 32, 3), np.uint8), action=np.zeros(6, np.float32), events=("step",)))
    writer.write(tmp_path / "shard-0.h5")
    (shard,) = read_shards(tmp_path)
    assert shard.happened(0) == ["step"]
    with h5py.File(tmp_path / "shard-0.h5", "r+") as file:
        del file["events"], file["event_names"]
    (shard,) = read_shards(tmp_path)
    assert shard.happened(0) == []


def test_words_change_in_most_episodes_and_are_never_held_out():
    scripts = [script(seed) for seed in range(60)]
    assert np.mean([len(one.texts) > 1 for one in scripts]) > 0.8
    assert not any(is_held_out(attributes) for one in scripts for attributes in one.attributes)
    gaps = [gap for one in scripts for gap in np.diff(one.frames)]
    assert min(gaps) >= 8
    assert max(gaps) <= 40
    changes = [sum(a != b for a, b in zip(before.values(), after.values(), strict=True))
               for one in scripts for before, after in pairwise(map(asdict, one.attributes))]  # fmt: skip
    assert 0.15 < np.mean(np.array(changes) > 4) < 0.45  # another island altogether
    assert all(256 <= one.length <= 512 for one in scripts)


def test_stages_are_one_walk_under_other_words():
    seeds = [0, 1]
    assert all(played_as(seed) == "stages" for seed in seeds)
    for _, beat in zip(range(40), play_stages(seeds, width=32, height=32)):
        poses = np.asarray(truth.poses(beat.state)).reshape(len(beat.rows) // STAGES, STAGES, -1)
        assert np.ptp(poses, axis=1).max() == 0
        if beat.texts[0]:
            texts = beat.texts
    assert texts == [text for seed in seeds for text in stages(seed).texts]
    assert beat.picture is not None
    pictures = beat.picture.pixels.numpy().astype(int).reshape(len(seeds), STAGES, -1)
    assert np.abs(np.diff(pictures, axis=1)).mean((0, 2)).min() > 4  # every stage looks otherwise
    assert not any(is_held_out(attributes) for seed in range(30) for attributes in stages(seed).attributes)


def test_a_glimpse_is_one_moment_of_a_walk_under_other_words():
    seeds = list(range(24, 28))
    assert all(played_as(seed) == "glimpses" for seed in seeds)
    (beat,) = play_stages(seeds, width=32, height=32, glimpse=12)
    later = next(beat for n, beat in enumerate(play_stages(seeds, width=32, height=32)) if n == 12)
    assert np.array_equal(truth.poses(beat.state), truth.poses(later.state))
    assert list(beat.texts) == [text for seed in seeds for text in stages(seed).texts]


def test_worlds_are_measured_on_walks():
    assert {played_as(seed) for seed in range(192)} == {"walk", "stages", "glimpses"}
    assert {played_as(seed) for seed in range(1_000_000, 1_000_192)} == {"walk"}


def test_stages_are_found_again_and_words_can_be_said_at_any_frame(folder, tmp_path):
    footage = load_footage(folder)
    following = footage.next_stage
    assert following is not None
    (rows,) = np.nonzero(following >= 0)
    assert 0.3 < len(rows) / len(footage) <= 0.75
    assert footage.pose is not None
    assert footage.text_of is not None
    assert np.allclose(footage.pose[rows], footage.pose[following[rows]], atol=1e-3)
    assert (footage.text_of[rows] != footage.text_of[following[rows]]).all()
    data = gather_latents(footage, torch.zeros(len(footage), 4, 4, 4), torch.device("cpu"))
    walk = torch.arange(20)[None] + 5
    now = torch.zeros(1, 20, dtype=torch.bool)
    now[0, [3, 7, 8, 9, 12]] = True
    spoken, told = data.speak(walk, now)
    length = int(following[0])
    assert told[0].nonzero()[:, 0].tolist() == [3, 7, 8, 9, 12]
    # after the last stage comes the first
    assert ((spoken - walk)[0] // length).tolist() == [0] * 3 + [1] * 4 + [2] + [3] + [0] * 3 + [1] * 8


def test_a_past_may_obey_late(folder):
    footage = load_footage(folder)
    assert footage.next_stage is not None
    text = TextConfig(tokens=8, buckets=64, width=16, layers=1, heads=2)
    stage = torch.zeros(len(footage))
    for row in np.flatnonzero(footage.first).tolist():
        again = row > 0 and footage.seeds[row] == footage.seeds[row - 1]
        stage[row:] = stage[row - 1] + 1 if again else 0
    z = stage[:, None, None, None].expand(-1, 4, 4, 4).clone()  # what a frame shows is the number of its stage
    data = gather_latents(footage, z, torch.device("cpu"), carried=z, text=text)
    config = ForcingConfig(told_share=0.1)
    dynamics = Dynamics(DynamicsConfig(latent_channels=4, grid=(4, 4), text=text, actions=footage.actions.shape[1]))
    starts = torch.from_numpy(footage.windows(24, held_out=False))
    forcing = Forcing(dynamics, data, starts[footage.next_stage[starts] >= 0], config, batch=64, window=24)
    past = forcing.real_past(forcing.draw_rows())
    shown, wanted = past.video[:, :, 0, 0, 0], z[past.rows][:, :, 0, 0, 0]
    assert past.carried is not None
    assert torch.allclose(past.carried[:, 1:, 0, 0, 0], shown[:, 1:-1], atol=1e-3)
    between = (shown[:, 1:] - wanted).abs() > 1e-3
    assert 0.1 < float(between.float().mean()) < 0.5
    assert between.any(1).float().mean() < 1, "some windows obey at once"
    late = between[:, :-1]
    assert past.told[:, 1:][late].all(), "a frame whose past does not show its words is one in which they take effect"
    run = torch.nn.functional.conv1d(between.float()[:, None], torch.ones(1, 1, 4))[:, 0]
    assert run.max() == 4


def test_a_source_with_a_prompt_begins_with_it():
    assert all(script(seed, "night in the rain").attributes[0].time == "night" for seed in range(5))
    with pytest.raises(WorldError, match="held-out"):
        script(0, "a green house")


def test_an_episode_does_not_depend_on_its_company():
    alone, together = play([4], width=16, height=16), play([4, 9], width=16, height=16)
    for _, one, other in zip(range(40), alone, together):
        assert np.allclose(one.actions[0], other.actions[0], atol=1e-3)
        assert np.allclose(truth.poses(one.state)[0], truth.poses(other.state)[0], atol=1e-2)


def test_a_fifth_of_all_play_is_random():
    sight = Sight(x=0, z=0, yaw=0, pitch=0, landmarks=((5.0, 9.0),), ball=(3.0, 3.0), ball_held=True)
    players = [IslePlayer(seed) for seed in range(12)]
    for player in players:
        actions = np.stack([player.action(sight) for _ in range(400)])
        assert actions.shape == (400, 6)
        assert np.abs(actions).max() <= 1
    assert np.mean([player.random_share for player in players]) >= 0.2
