"""Memory: poses add up, the album keeps the whole circle for ever, and an old picture is turned to where one looks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from inhabit.bridge.controls import ActionMap, ActionSource, Controls
from inhabit.bridge.errors import WorldError
from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.memory import pose as poses
from inhabit.worldmodel.memory.album import LEAST_OVERLAP, OLD_FRAMES, PLACES, RENEWED_FRAMES, Album, look_up, overlap
from inhabit.worldmodel.memory.recall import Recall, RecallConfig, turned
from inhabit.worldmodel.neural_world import NeuralWorld
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.motion import Motion
from inhabit.worldmodel.pack import load_pack, save_pack
from inhabit.worldmodel.recordings import Recorder
from inhabit.worldmodel.state import State
from inhabit.worldmodel.train.footage import load_footage, pose_of
from inhabit.worldmodel.train.memory import pictures_for, recall_all, train_recall, usual_length
from inhabit.worldmodel.train.motion import MotionTraining, travels_of
from inhabit.worldmodel.train.schedule import Budget

CPU = torch.device("cpu")
UNIT = torch.tensor(1.0)


@pytest.fixture(scope="module")
def remembering_pack(small_pack):
    """The small pack with an album."""
    torch.manual_seed(3)
    motion = replace(small_pack.file.dynamics.motion, travels=True)
    recall = RecallConfig(latent_channels=8, width=8, blocks=1)
    dynamics = replace(small_pack.file.dynamics, motion=motion, recall=recall)
    networks = Dynamics(dynamics), Motion(motion), Recall(recall)
    for network in networks:
        for weight in network.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.1 if weight.ndim == 2 else 0.02)
    networks[1].travel_scale.fill_(0.01)
    file = type(small_pack.file)(
        info=small_pack.file.info, source="test", autoencoder=small_pack.file.autoencoder, dynamics=dynamics
    )
    starts = replace(small_pack.starts, pose=torch.zeros(len(small_pack.starts), 5))
    return replace(small_pack, file=file, starts=starts, dynamics=networks[0], motion=networks[1], recall=networks[2])


def some_poses(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 5, generator=generator) * torch.tensor([5.0, 1.0, 5.0, 1.0, 0.3])


def test_a_travel_leads_from_one_pose_to_the_other():
    here, there = some_poses(20), some_poses(40)[20:]
    reached = poses.after(here, poses.between(here, there))
    torch.testing.assert_close(reached, there, atol=1e-4, rtol=1e-4)


def test_walking_forward_goes_where_one_looks():
    east = torch.tensor([0.0, 0.0, 0.0, math.pi / 2, 0.0])
    reached = poses.after(east, torch.tensor([0.0, 0.0, 2.0, 0.0, 0.0]))
    torch.testing.assert_close(reached[:3], torch.tensor([2.0, 0.0, 0.0]), atol=1e-5, rtol=0)
    right = poses.after(east, torch.tensor([1.0, 0.0, 0.0, 0.0, 0.0]))
    torch.testing.assert_close(right[:3], torch.tensor([0.0, 0.0, -1.0]), atol=1e-5, rtol=0)


def test_vizdooms_angle_turns_the_other_way_and_its_x_is_ahead():
    names = ("HEALTH", "POSITION_X", "POSITION_Y", "ANGLE")
    pose = pose_of(names, np.array([[100.0, 3.0, 4.0, 90.0]]))
    assert pose is not None
    np.testing.assert_allclose(pose[0], [-4, 0, 3, -math.pi / 2, 0], atol=1e-6)
    assert pose_of(("HEALTH",), np.zeros((1, 1))) is None


def walk(turns: list[float]) -> Album:
    """An album of a session that looks at each of these yaws, one a frame."""
    album = Album.empty(1, PLACES, (4, 4, 3), CPU)
    for frame, yaw in enumerate(turns):
        pose = torch.tensor([[0.0, 0.0, 0.0, yaw, 0.0]])
        number = torch.tensor([frame])
        album = album.put(torch.full((1, 4, 4, 3), frame % 256, dtype=torch.uint8), pose, number, UNIT)
    return album


def test_who_looks_around_for_long_has_still_the_whole_circle():
    frames = 4000
    yaws = [float(poses.wrapped(torch.tensor(0.11 * frame))) for frame in range(frames)]
    album = walk(yaws)
    assert album.frame.shape == (1, PLACES)
    for yaw in np.linspace(-3, 3, 12):
        view = torch.tensor([[0.0, 0.0, 0.0, yaw, 0.0]])
        place, helps = look_up(album.pose, album.frame, view, torch.tensor([frames + OLD_FRAMES]), UNIT)
        assert bool(helps[0])
        assert float(overlap(album.pose[0, place[0]], view[0], UNIT)) > 0.6


def test_what_was_just_seen_and_what_shows_nothing_of_the_view_is_not_looked_up():
    album = walk([0.0])
    ahead, behind = (torch.tensor([[0.0, 0.0, 0.0, yaw, 0.0]]) for yaw in (0.0, math.pi))
    assert not look_up(album.pose, album.frame, ahead, torch.tensor([OLD_FRAMES]), UNIT)[1]
    assert look_up(album.pose, album.frame, ahead, torch.tensor([1 + OLD_FRAMES]), UNIT)[1]
    assert look_up(album.pose, album.frame, ahead, torch.tensor([OLD_FRAMES]), UNIT, young=0.5)[1]
    assert not look_up(album.pose, album.frame, behind, torch.tensor([1000]), UNIT)[1]
    far = torch.tensor([[0.0, 0.0, 2 / LEAST_OVERLAP, 0.0, 0.0]])
    assert not look_up(album.pose, album.frame, far, torch.tensor([1000]), UNIT)[1]


def test_the_same_view_is_kept_once_and_renewed_when_it_is_old():
    album = walk([0.0] * (RENEWED_FRAMES + 9))
    assert (album.frame >= 0).sum() == 1
    assert int(album.frame.max()) == RENEWED_FRAMES
    assert int(album.pixels[album.frame >= 0].max()) == RENEWED_FRAMES
    assert int(walk([0.0] * RENEWED_FRAMES).frame.max()) == 0


def begin(pack, keys=(5,), frames=5) -> tuple[Engine, State]:
    engine = Engine.of(pack)
    torch.manual_seed(1)
    latents = torch.randn(1, frames, 8, 4, 4).expand(len(keys), -1, -1, -1, -1)
    return engine, engine.begin(latents, torch.zeros(len(keys), frames, 3), torch.tensor(keys))


def test_a_session_remembers_and_the_others_change_nothing_of_it(remembering_pack):
    engine, state = begin(remembering_pack, keys=(5, 6, 7))
    alone = state.select(torch.tensor([1]))
    size = state.album.pixels.shape
    for frame in range(30):
        action = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, float(frame % 2)]])
        state, _ = engine.step(state, action)
        alone, _ = engine.step(alone, action[1:2])
    assert state.album.pixels.shape == size
    assert (state.album.frame[1] >= 0).any()
    assert torch.equal(state.album.frame[1], alone.album.frame[0])
    torch.testing.assert_close(state.latents[1:2], alone.latents, atol=1e-4, rtol=1e-3)
    assert bool(state.recalled[:, -1].any())
    joined = State.join([state.select(torch.tensor([0])), state.select(torch.tensor([1, 2]))])
    for name, value in state.tensors().items():
        assert torch.equal(value, joined.tensors()[name]), name


def test_what_is_recalled_changes_the_dream(remembering_pack):
    engine, state = begin(remembering_pack)
    for _ in range(30):
        state, _ = engine.step(state, torch.zeros(1, 3))
    forgetful = replace(state, album=replace(state.album, frame=torch.full_like(state.album.frame, -1)))
    with_album, _ = engine.step(state, torch.zeros(1, 3))
    without, _ = engine.step(forgetful, torch.zeros(1, 3))
    assert not without.recalled.any()
    assert float((with_album.latents - without.latents).abs().max()) > 1e-3


def test_a_session_with_an_album_is_saved_whole(remembering_pack, tmp_path):
    save_pack(remembering_pack, tmp_path / "pack")
    pack = load_pack(tmp_path / "pack")
    assert pack.recall is not None
    world, other = (NeuralWorld(pack, Engine.of(pack)) for _ in range(2))
    world.reset(seed=1)
    for _ in range(20):
        world.step(Controls())
    kept = world.save()
    ahead = [world.step(Controls()).pixels for _ in range(4)]
    other.reset(seed=2)
    other.restore(kept)
    assert all(np.array_equal(other.step(Controls()).pixels, pixels) for pixels in ahead)


def test_a_state_without_an_album_is_refused_by_a_world_with_one(remembering_pack, small_pack):
    plain, world = (NeuralWorld(pack, Engine.of(pack)) for pack in (small_pack, remembering_pack))
    plain.reset(seed=1)
    world.reset(seed=1)
    with pytest.raises(WorldError, match="Expected a state of small"):
        world.restore(plain.save())


SIDE, AROUND = 64, 256


@pytest.fixture(scope="module")
def turning(turning_recording):
    return load_footage(turning_recording)


@pytest.fixture(scope="module")
def turning_recording(tmp_path_factory):
    """Play of a world in which one turns within a round wall, 256 pixels around."""
    folder = tmp_path_factory.mktemp("turning") / "recording"
    button = ActionMap(sources=(ActionSource(name="TURN", kind="axis", keys=("KeyD",), keys_back=("KeyA",)),))
    info = WorldInfo(name="turning", width=SIDE, height=SIDE, rate_hz=10.0, actions=button)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (SIDE // 8, AROUND // 8, 3))
    wall = np.repeat(np.repeat(coarse, 8, 0), 8, 1).astype(np.uint8)
    across, down = np.meshgrid((np.arange(SIDE) + 0.5) / (SIDE / 2) - 1, (np.arange(SIDE) + 0.5) / (SIDE / 2) - 1)
    column, row = np.arctan(across) * AROUND / (2 * math.pi), down / np.hypot(1, across)  # 90 degrees wide
    row = ((row + 1) * SIDE / 2).astype(int)
    with Recorder(folder, info, source="test", variables=("YAW",)) as recorder:
        for _ in range(5):
            at = int(rng.integers(0, AROUND))
            for step in range(120):
                turn = int(np.sign(np.sin(step / 9))) * 4 if step else 0
                at = (at + turn) % AROUND
                yaw = (at * 360 / AROUND + 180) % 360 - 180
                view = wall[row, np.floor(column + at).astype(int) % AROUND]
                recorder.add(view, action=(turn / 4,), first=step == 0, variables=(yaw,))
    return folder


def test_recordings_with_an_angle_have_poses_and_travels(turning):
    assert turning.pose is not None
    travels = travels_of(turning)
    assert travels is not None
    pressed = turning.actions[~turning.first, 0]
    np.testing.assert_allclose(travels[~turning.first, 3], pressed * 4 * 2 * math.pi / AROUND, atol=1e-4)
    assert usual_length(turning) == 1.0  # nobody walks


def test_a_picture_is_looked_up_within_its_episode_and_is_old(turning):
    pictures = pictures_for(turning, 1.0)
    rows = np.flatnonzero(pictures >= 0)
    assert len(rows) > 100
    assert (rows - pictures[rows] > OLD_FRAMES).all()
    episode = np.cumsum(turning.first)
    assert np.array_equal(episode[rows], episode[pictures[rows]])


def test_recall_learns_from_pictures_how_wide_the_view_is(turning, small_pack, steps_clock):
    """It begins with a view of 62 degrees; the camera's has 90."""
    torch.manual_seed(0)
    pictures = pictures_for(turning, 1.0)
    z = torch.zeros(len(turning), 8, 4, 4).half()
    network = Recall(RecallConfig(latent_channels=8, width=16, blocks=1))
    with torch.no_grad():
        network.zoom.fill_(0.5)
    network = train_recall(
        network, turning, z, pictures, Budget(seconds=500, clock=steps_clock), CPU, MotionTraining(batch=12)
    )
    assert abs(float(network.zoom)) < 0.2
    recalled = recall_all(network, small_pack.autoencoder, turning, z, z, pictures, CPU, batch=64)
    assert recalled.shape == (len(turning), 9, 4, 4)
    helped = torch.from_numpy(pictures >= 0)
    assert not recalled[~helped].any()
    known = recalled[helped][:, -1].float()
    assert 0.3 < float(known.mean()) < 1


def look(network: Recall, seen: list[float], now: list[float], near: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the middle row of a view lies in a picture, columns and rows of it, and what of that is in the picture."""
    there, here = (torch.tensor(pose)[None] for pose in (seen, now))
    with torch.no_grad():
        where, inside = network.find(torch.full((1, 1, 4, 4), near), there, here, (SIDE, SIDE))
    return where[0, SIDE // 2], inside[0, 0, SIDE // 2]


def test_who_turns_right_finds_the_middle_of_the_view_to_the_right_in_the_old_picture():
    network = Recall(RecallConfig(latent_channels=8, width=8, blocks=1))
    where, inside = look(network, [0.0] * 5, [0.0, 0.0, 0.0, math.radians(20), 0.0])
    assert float(where[SIDE // 2, 0]) == pytest.approx(math.tan(math.radians(20)), abs=0.03)
    assert not bool(inside[-1])  # what is now at the right edge was not seen
    assert bool(inside[0])


def test_who_looks_up_finds_the_middle_of_the_view_above_in_the_old_picture():
    network = Recall(RecallConfig(latent_channels=8, width=8, blocks=1))
    where, _ = look(network, [0.0] * 5, [0.0, 0.0, 0.0, 0.0, math.radians(20)])
    assert float(where[SIDE // 2, 1]) == pytest.approx(-math.tan(math.radians(20)), abs=0.03)


def test_a_smaller_view_is_the_middle_of_the_usual_one():
    """Half as wide and as high: who turns by a little finds the same pixels as in the middle of the whole."""
    there, here = torch.zeros(1, 5), torch.tensor([[0.3, 0.1, 0.2, 0.2, 0.1]])
    network = Recall(RecallConfig(latent_channels=8, grid=(4, 4), width=8, blocks=1))
    with torch.no_grad():
        whole, _ = network.find(torch.full((1, 1, 4, 4), 0.4), there, here, (SIDE, SIDE))
        half, _ = network.find(torch.full((1, 1, 2, 2), 0.4), there, here, (SIDE // 2, SIDE // 2))
    quarter = slice(SIDE // 4, SIDE - SIDE // 4)
    torch.testing.assert_close(half / 2, whole[:, quarter, quarter])


def test_who_steps_aside_finds_near_things_moved_and_far_ones_in_their_place():
    network = Recall(RecallConfig(latent_channels=8, width=8, blocks=1))
    stepped = [1.0, 0.0, 0.0, 0.0, 0.0]  # one unit to the east, looking north
    near, _ = look(network, [0.0] * 5, stepped, near=0.5)  # two units off
    far, _ = look(network, [0.0] * 5, stepped, near=0.0)
    assert float(near[SIDE // 2, 0]) == pytest.approx(0.5, abs=0.03)
    assert abs(float(far[SIDE // 2, 0])) < 0.03


def test_nothing_is_shown_of_what_was_behind(small_pack):
    network = Recall(RecallConfig(latent_channels=8, width=8, blocks=1))
    pixels, view = torch.rand(2, 3, SIDE, SIDE), torch.randn(2, 8, 4, 4)
    now = torch.tensor([[0.0, 0.0, 0.0, math.pi, 0.0], [0.0, 0.0, 0.0, math.pi / 4, 0.0]])
    shown = turned(network, small_pack.autoencoder, pixels, torch.zeros(2, 5), view, now)
    assert not shown[0].any()
    assert bool(shown[1, -1, :, :2].any())
    assert not shown[1, :, :, 3:].any()


@pytest.mark.slow
def test_a_level_is_learnt_with_its_atlas(turning_recording, tmp_path):
    """Whoever turns away and goes on turning sees where one began again, though no album has seen it for a while."""
    from inhabit.worldmodel.train.config import LearnConfig
    from inhabit.worldmodel.train.display import Display
    from inhabit.worldmodel.train.learn import learn

    config = LearnConfig(
        recording=turning_recording,
        out=tmp_path / "level",
        minutes=1.5,
        codec_share=0.4,
        motion_share=0.15,
        memory_share=0.15,
        sound_share=0,
        keep="all",
        atlas=60,
        device="cpu",
    )
    learn(config, Display())
    pack = load_pack(tmp_path / "level")
    assert pack.atlas is not None
    assert pack.atlas.config.pictures == 60
    world = NeuralWorld(pack, Engine.of(pack))
    begun = world.reset(seed=0).pixels.astype(float)
    seen = [world.step(Controls(action=(1.0,))).pixels.astype(float) for _ in range(2 * AROUND // 4)]
    off = [abs(frame - begun).mean() for frame in seen]
    again = AROUND // 4
    assert min(off[again - 8 : again + 8]) < 0.6 * np.median(off)
