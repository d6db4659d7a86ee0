"""The atlas: a level that is always the same is shown from its own pictures, and its walls stop who walks."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from inhabit.bridge.controls import ActionMap
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.memory import foresight
from inhabit.worldmodel.memory.album import overlap
from inhabit.worldmodel.memory.atlas import STRIDE, Atlas, AtlasConfig
from inhabit.worldmodel.memory.foresight import ANEW_FRAMES, STEPPING, STIRRING_RAD
from inhabit.worldmodel.memory.pose import after
from inhabit.worldmodel.memory.recall import ALIGN_RAD, ALIGN_UNITS, Recall, RecallConfig, aligned, fetch
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.motion import Motion
from inhabit.worldmodel.pack import load_pack, save_pack
from inhabit.worldmodel.recordings import Meta
from inhabit.worldmodel.train.atlas import (
    LESSON_OVERLAP,
    SAME_MOMENT_FRAMES,
    choose_atlas,
    lesson_pictures,
    nearest_pictures,
    shown_first,
)
from inhabit.worldmodel.train.config import LearnConfig
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.presets import fitted

UNIT = torch.tensor(100.0)
HERE = torch.tensor([1000.3, 0.0, -517.7, 1.2, 0.0])


@pytest.fixture
def footage() -> Footage:
    """Two walks along the same corridor, looking ahead and then back."""
    pose = np.zeros((80, 5), np.float32)
    pose[:, 2] = np.tile(np.arange(40) * 10.0, 2)
    pose[40:, 3] = np.pi
    info = WorldInfo(name="x", title="x", width=32, height=32, rate_hz=10.0, actions=ActionMap(sources=()))
    zeros = np.zeros(80, np.float32)
    return Footage(
        meta=Meta(world=info, source="x"),
        frames=np.zeros((80, 32, 32, 3), np.uint8),
        actions=np.zeros((80, 1), np.float32),
        rewards=zeros,
        terminated=zeros.astype(bool),
        first=np.arange(80) % 40 == 0,
        seeds=np.zeros(80, np.int64),
        boxes=np.zeros((0, 6), np.int32),
        names=(),
        pose=pose,
    )


def test_pictures_are_spread_over_all_that_was_seen(footage):
    latents = torch.randn(80, 4, 2, 2)
    atlas, rows = choose_atlas(footage, latents, 8, 100.0)
    poses = torch.from_numpy(footage.pose)
    covered = overlap(atlas.pose.float()[None], poses[:, None], 100.0).amax(1)
    drawn = torch.from_numpy(np.random.default_rng(0).choice(80, 8))
    assert covered.min() > 0.5 > overlap(poses[drawn][None], poses[:, None], 100.0).amax(1).min()
    torch.testing.assert_close(atlas.latents[0].float() / 255 * (atlas.most - atlas.least) + atlas.least,
                               latents[rows[0]], atol=0.02, rtol=0.02)  # fmt: skip


def test_frames_are_learnt_from_pictures_of_other_moments(footage):
    _, rows = choose_atlas(footage, torch.randn(80, 4, 2, 2), 40, 100.0)
    nearest = nearest_pictures(footage, rows, 100.0)
    lessons = lesson_pictures(footage, rows, 100.0)
    row, poses = np.arange(80), torch.from_numpy(footage.pose)
    for pictures in (nearest, lessons[lessons >= 0]):
        assert np.isin(pictures, rows).all()
    found = np.flatnonzero(lessons >= 0)
    assert len(found) > 0.8 * len(row)
    assert (abs(nearest - row) >= SAME_MOMENT_FRAMES).all()
    shown = overlap(poses[lessons[found]], poses[found], 100.0)
    assert shown.min() >= LESSON_OVERLAP
    assert shown.mean() < overlap(poses[nearest[found]], poses[found], 100.0).mean()


def test_where_pictures_show_nothing_what_was_there_moves():
    carried, recalled = torch.zeros(3, 2, 4, 4), torch.ones(3, 3, 4, 4)
    recalled[:, -1, :, :1] = 0.2
    shown = shown_first(recalled, carried, batch=2)
    assert (shown[..., :1] == 0).all()
    assert (shown[..., 1:] == 1).all()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"vistas": 10}, "both"),
        ({"memory_share": 0.0}, "--memory-share 0; leave it out"),
        ({"atlas": -1}, "--atlas of at least 0, got -1"),
        ({"worded": True}, "recording without words .* choose --vistas"),
        ({"preset": "nano"}, "preset nano"),
        ({"blind": True}, "X, Y, Z, YAW and PITCH"),
    ],
)
def test_an_atlas_that_cannot_be_is_refused(footage, asked, says, tmp_path):
    asked = dict(asked)
    changes = {"pose": None} if asked.pop("blind", False) else {}
    if asked.pop("worded", False):
        changes = {"texts": ("", "snow"), "text_of": np.ones(80, np.int64)}
    config = LearnConfig(recording=tmp_path, out=tmp_path / "pack", **{"atlas": 10, **asked})
    with pytest.raises(InhabitError, match=says):
        fitted(config, replace(footage, **changes), None, on_gpu=False)


def test_walls_stop_who_walks():
    atlas = Atlas(AtlasConfig(pictures=1, trodden=2, latent_channels=2, grid=(2, 2)))
    atlas.trodden.copy_(torch.stack([HERE[:3], HERE[:3] + torch.tensor([10.0, 0, 0])]))
    near = HERE + torch.tensor([0, 0, 0.5 * STRIDE * 100, 0, 0])
    far = HERE + torch.tensor([0, 0, 50.0, 0.3, 0])
    stays, stopped = atlas.within(torch.stack([near, far]), UNIT)
    torch.testing.assert_close(stays, near)
    assert float((stopped - HERE)[:3].norm()) == pytest.approx(STRIDE * 100, rel=1e-3)
    assert stopped[3] == far[3], "who is stopped may turn"


def test_a_picture_tells_where_it_was_taken():
    latents, poses = torch.randn(5, 2, 3, 3), torch.randn(5, 5)
    atlas = Atlas(AtlasConfig(pictures=5, trodden=1, latent_channels=2, grid=(3, 3))).learn(
        latents, poses, torch.zeros(1, 3)
    )
    torch.testing.assert_close(atlas.located(latents[[3, 1]] + 0.1), poses[[3, 1]])


@pytest.fixture
def level_pack(small_pack):
    """The small pack with a network that keeps, and an atlas of eight directions."""
    torch.manual_seed(3)
    motion = replace(small_pack.file.dynamics.motion, travels=True)
    recall = RecallConfig(latent_channels=8, width=8, blocks=1)
    config = replace(small_pack.file.dynamics, keeps=True, motion=motion, recall=recall)
    sizes = AtlasConfig(pictures=8, trodden=1, latent_channels=8, grid=(4, 4))
    poses = HERE.repeat(8, 1)
    poses[:, 3] = torch.arange(8) * (torch.pi / 4)
    atlas = Atlas(sizes).learn(torch.randn(8, 8, 4, 4), poses, HERE[None, :3])
    file = msgspec.structs.replace(small_pack.file, dynamics=config, atlas=sizes)
    starts = replace(small_pack.starts, pose=HERE.repeat(len(small_pack.starts), 1))
    networks = {"dynamics": Dynamics(config), "motion": Motion(motion), "recall": Recall(recall)}
    networks["recall"].unit.fill_(100.0)
    networks["motion"].travel_scale.zero_()
    return replace(small_pack, file=file, starts=starts, atlas=atlas, **networks)


def test_poses_of_a_large_level_are_stored_exactly(level_pack, tmp_path):
    save_pack(level_pack, tmp_path / "pack")
    loaded = load_pack(tmp_path / "pack")
    assert loaded.atlas is not None
    assert torch.equal(loaded.atlas.pose, level_pack.atlas.pose)
    assert torch.equal(loaded.atlas.trodden, level_pack.atlas.trodden)


def test_each_view_is_the_nearest_picture_as_it_looks_from_there(level_pack):
    engine, starts = Engine.of(level_pack), level_pack.starts
    begun = engine.begin(starts.latents[:2], starts.actions[:2], torch.arange(2), pose=starts.pose[:2])
    turned = replace(begun, pose=level_pack.atlas.pose[[2, 5]].float())
    after, _ = engine.step(turned, torch.zeros(2, 3))
    pictures = level_pack.atlas.pixels(torch.tensor([2, 5]), engine._foresight.seen)
    wanted = engine.look(pictures)
    known = after.recalled[:, -1:]
    assert known.min() > 0.9, "all of it is in the picture"
    torch.testing.assert_close(after.recalled[:, :-1], wanted, atol=0.15, rtol=0.15)
    assert torch.equal(after.recalled[:, :-1], after.carried)


def test_sessions_of_a_level_do_not_depend_on_their_neighbours(level_pack):
    level_pack.motion.travel_scale.fill_(30.0)
    engine, starts = Engine.of(level_pack), level_pack.starts
    keys, poses = torch.arange(3), level_pack.atlas.pose[[1, 4, 6]].float()
    together = engine.begin(starts.latents[:3], starts.actions[:3], keys, pose=poses)
    alone = engine.begin(starts.latents[1:2], starts.actions[1:2], keys[1:2], pose=poses[1:2])
    for _ in range(3):
        together, _ = engine.step(together, torch.ones(3, 3))
        alone, _ = engine.step(alone, torch.ones(1, 3))
    torch.testing.assert_close(together.latents[1], alone.latents[0], atol=1e-3, rtol=1e-3)
    assert (together.pose[:, :3] - HERE[:3]).norm(dim=1).max() <= STRIDE * 100 * 1.001


def test_views_of_another_size_have_no_atlas(level_pack):
    engine, starts = Engine.of(level_pack), level_pack.starts
    small = engine.begin(starts.latents[:1, :, :, :2], starts.actions[:1], torch.arange(1))
    after, _ = engine.step(small, torch.zeros(1, 3))
    assert after.latents.shape[-2:] == (2, 4)


def test_who_begins_from_a_picture_is_where_it_was_taken(level_pack):
    engine, atlas = Engine.of(level_pack), level_pack.atlas
    latents = atlas.latents[6].float() / 255 * (atlas.most - atlas.least) + atlas.least
    state = engine.begin(latents[None, None], torch.zeros(1, 1, 3), torch.arange(1))
    torch.testing.assert_close(state.pose[0], atlas.pose[6].float())


def test_who_is_a_little_off_is_set_right_by_what_he_sees():
    recall = Recall(RecallConfig(latent_channels=8, width=8, blocks=1))
    recall.unit.fill_(100.0)
    torch.manual_seed(0)
    picture = F.interpolate(torch.rand(1, 3, 16, 16) * 2 - 1, size=(64, 64), mode="bicubic")
    nearness = 4 * torch.rand(1, 1, 4, 4)
    seen = HERE[None]
    truth = after(seen, torch.tensor([[ALIGN_UNITS * 50, 0, -ALIGN_UNITS * 50, ALIGN_RAD, 0]]))
    where, _ = recall.find(nearness, seen, truth, (64, 64))
    view = fetch(picture, where)
    torch.testing.assert_close(aligned(recall, nearness, picture, seen, view, seen), truth, atol=1e-3, rtol=0)
    torch.testing.assert_close(aligned(recall, nearness, picture, seen, view, truth), truth, atol=1e-3, rtol=0)
    assert torch.equal(aligned(recall, nearness, picture, seen, picture, seen), seen)


def test_who_stands_still_stays_where_he_is(level_pack, monkeypatch):
    engine, starts = Engine.of(level_pack), level_pack.starts
    motion = engine._foresight._motion
    assert motion is not None
    state = engine.begin(starts.latents[:2], starts.actions[:2], torch.arange(2), pose=starts.pose[:2])
    little = torch.zeros(2, 5)
    little[0, 2], little[0, 3] = 0.5 * STEPPING * 100, 0.5 * STIRRING_RAD
    little[1, 3] = 4 * STIRRING_RAD
    monkeypatch.setattr(motion, "forward", lambda latents, *_: (torch.zeros(2, 2, *latents.shape[-2:]), little))
    asked = []

    def looks(*told):
        asked.append(len(told[-1]))
        return told[-1]

    monkeypatch.setattr(foresight, "aligned", looks)
    after = state
    for _ in range(2 * ANEW_FRAMES):
        after, _ = engine.step(after, torch.zeros(2, 3))
    assert torch.equal(after.pose[0], state.pose[0])
    assert float(after.pose[1, 3] - state.pose[1, 3]) == pytest.approx(8 * ANEW_FRAMES * STIRRING_RAD, rel=1e-3)
    assert asked == [1, 1], "in every second frame who moves is set right, and nobody else"


def test_what_was_held_out_of_learning_is_nowhere_in_it(footage):
    footage = replace(footage, seeds=np.repeat([7, 31], 40))  # see recordings
    assert footage.held_out.sum() == 40
    footage.pose[footage.held_out, 0] = 50.0
    atlas, rows = choose_atlas(footage, torch.randn(80, 4, 2, 2), 40, 100.0)
    assert not footage.held_out[rows].any()
    assert not atlas.trodden[:, 0].any()
    assert (nearest_pictures(footage, rows[:1], 100.0)[abs(np.arange(80) - rows[0]) < SAME_MOMENT_FRAMES] == -1).any()
