"""Motion: pixels are fetched from where the flow says, and the network learns from pictures alone what moves them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inhabit.bridge.controls import ActionMap, ActionSource
from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.omni.motion import (
    Motion,
    MotionConfig,
    behind,
    beside,
    carry,
    held_still,
    places,
    uncovered,
    warp,
)
from inhabit.worldmodel.recordings import Recorder
from inhabit.worldmodel.train.footage import load_footage
from inhabit.worldmodel.train.motion import carry_all, recent_actions, train_motion
from inhabit.worldmodel.train.schedule import Budget

CELL = 16
SIDE = 64


def flow_of(right: float, down: float) -> torch.Tensor:
    """A flow of so many pixels everywhere."""
    return torch.tensor([right, down]).reshape(1, 2, 1, 1).expand(1, 2, 4, 4) / CELL


def test_a_flow_fetches_pixels_from_where_it_points():
    picture = torch.rand(1, 3, SIDE, SIDE)
    moved, inside = warp(picture, flow_of(5, -3), CELL)
    torch.testing.assert_close(moved[..., 3:, :-5], picture[..., :-3, 5:], atol=1e-4, rtol=1e-4)
    assert bool(inside[0, 0, 3:, :-5].all())
    assert not inside[0, 0, :3].any()
    assert not inside[0, 0, :, -5:].any()


def test_without_flow_everything_stays_to_the_last_bit():
    picture = torch.rand(2, 3, SIDE, SIDE)
    moved, inside = warp(picture, flow_of(0, 0).expand(2, -1, -1, -1), CELL)
    torch.testing.assert_close(moved, picture, atol=1e-5, rtol=1e-5)
    assert bool(inside.all())


def test_an_untrained_network_moves_nothing(small_pack):
    network = Motion(small_pack.file.dynamics.motion)
    pixels = torch.rand(2, 3, SIDE, SIDE) * 2 - 1
    z = small_pack.autoencoder.encode(pixels)
    carried, _ = carry(network, small_pack.autoencoder, pixels, z, torch.zeros_like(z), torch.rand(2, 4, 3))
    torch.testing.assert_close(carried, z, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def sliding(tmp_path_factory):
    """Play of a world whose one button slides a fixed picture 6 pixels to the left."""
    folder = tmp_path_factory.mktemp("sliding") / "recording"
    button = ActionMap(sources=(ActionSource(name="SLIDE", keys=("Space",)),))
    info = WorldInfo(name="sliding", width=SIDE, height=SIDE, rate_hz=10.0, actions=button)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (SIDE // 4, 256, 3))
    picture = np.repeat(np.repeat(coarse, 4, 0), 4, 1).astype(np.uint8)
    with Recorder(folder, info, source="test") as recorder:
        for _ in range(6):
            at = int(rng.integers(0, 256))
            for step in range(30):
                pressed = float(rng.random() < 0.5) if step else 0.0
                at += 6 * int(pressed)
                recorder.add(picture[:, at : at + SIDE], action=(pressed,), first=step == 0)
    return load_footage(folder)


def test_the_network_learns_from_pictures_which_action_moves_them(sliding, steps_clock):
    torch.manual_seed(0)
    z = torch.zeros(len(sliding), 4, 4, 4).half()
    config = MotionConfig(latent_channels=4, actions=1, width=16, blocks=1)
    network = train_motion(Motion(config), sliding, z, Budget(seconds=500, clock=steps_clock), torch.device("cpu"))
    pressed = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])[..., None]
    flow, travel = network(z[:2].float(), z[:2].float(), pressed)
    assert travel.shape == (2, 0)
    flow = flow * CELL
    assert abs(float(flow[0].mean())) < 0.5
    assert float(flow[1, 0].mean()) == pytest.approx(6, abs=0.8)
    assert abs(float(flow[1, 1].mean())) < 0.5


def test_recent_actions_end_with_the_frames_own_and_know_nothing_of_the_episode_before(sliding):
    recent = recent_actions(sliding, 4)[..., 0].numpy()
    assert np.array_equal(recent[:, -1], sliding.actions[:, 0])
    second = np.flatnonzero(sliding.first)[1]
    assert not recent[second, :-1].any()
    assert np.array_equal(recent[second + 2, -2:], sliding.actions[second + 1 : second + 3, 0])
    assert not recent[second + 2, 0].any()


def test_every_frame_is_carried_from_the_one_before_and_an_episodes_first_from_nothing(sliding, small_pack):
    torch.manual_seed(0)
    config = MotionConfig(latent_channels=8, actions=1, width=8, blocks=1)
    network = Motion(config)
    torch.nn.init.normal_(network.out.weight, std=0.1)
    z = torch.randn(len(sliding), 8, 4, 4).half()
    carried = carry_all(network, small_pack.autoencoder, sliding, z, torch.device("cpu"), batch=7)
    assert carried.shape == z.shape
    assert not carried[sliding.first].any()
    row, seen = 17, z[16][None].float()
    shown = ((small_pack.autoencoder.decode(seen) + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1
    told = recent_actions(sliding, 4)[row][None]
    with torch.inference_mode():
        expected, _ = carry(network, small_pack.autoencoder, shown, seen, z[15][None].float(), told)
    torch.testing.assert_close(carried[row].float(), expected[0], atol=0.02, rtol=0.02)


def test_what_stays_in_the_view_leaves_no_trail():
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, 0] = 0.5  # everything comes from four pixels further right
    flow[:, :, 3:5, 3:5] = 0.0  # but for a thing in one's hand
    pixels = torch.zeros(1, 1, 64, 64)
    pixels[..., 24:40, 24:40] = 1.0
    where = places(flow, (64, 64), 8.0)

    def shown(where: torch.Tensor) -> torch.Tensor:
        now = pixels
        for _ in range(6):
            now = torch.nn.functional.grid_sample(now, where, padding_mode="border", align_corners=False)
        return now[0, 0, 32]

    trail, clean = shown(where)[:20], shown(uncovered(where))[:20]
    assert trail.max() > 0.5
    assert clean.max() < 0.1
    assert shown(uncovered(where))[30:34].min() > 0.9, "the thing itself stays"


def test_where_all_moves_alike_or_by_parallax_nothing_was_hidden():
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, 0] = torch.linspace(0.3, 0.9, 8)[:, None]
    where = places(flow, (64, 64), 8.0)
    assert torch.equal(uncovered(where), where)


def turning_with_a_ball(pixels: float = 4.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Places in a view that turns to the right, and where something is held, low on its right."""
    flow = torch.zeros(1, 2, 16, 16)
    flow[:, 0] = pixels / 4
    flow[:, :, 10:, 10:] = 0.0
    held = torch.zeros(1, 64, 64, dtype=torch.bool)
    held[:, 40:, 40:] = True
    return places(flow, (64, 64), 4.0), held


def test_what_stands_still_while_the_stars_move_is_held():
    where, ball = turning_with_a_ball()
    nothing, stars = torch.zeros_like(ball), torch.tensor([4.0])
    held = held_still(where, stars, nothing)
    assert (held == ball).float().mean() > 0.95
    assert held[:, 44:, 44:].all(), "also where it is in the corner"
    assert torch.equal(held_still(where, torch.zeros(1), ball), ball), "who does not turn sees no difference"
    sways, _ = turning_with_a_ball(2.0)  # by half of what the stars do
    assert not held_still(sways, stars, nothing)[:, :30].any()
    assert held_still(sways, stars, ball)[:, 40:, 40:].all(), "what was held may sway"
    near, _ = turning_with_a_ball(9.0)  # what is near moves farther than the stars do
    assert (held_still(near, stars, nothing) == ball).float().mean() > 0.95


def test_behind_what_is_held_the_world_moves_as_around_it():
    where, ball = turning_with_a_ball()
    world = behind(where, held_still(where, torch.tensor([4.0]), ball))
    here = places(torch.zeros(1, 2, 16, 16), (64, 64), 4.0)
    shift = (world - here)[..., 0] * 32
    assert (shift - 4).abs().max() < 0.6
    assert torch.equal(behind(where, torch.zeros_like(ball)), where)


def test_what_was_never_seen_behind_it_comes_from_its_left_or_right():
    where, ball = turning_with_a_ball()
    rows = torch.linspace(-1, 1, 64).view(1, 1, 64, 1).expand(1, 1, 64, 64).clone()
    rows[..., 40:, 40:] = 5.0  # the ball
    source = beside(behind(where, ball), ball)
    world = torch.nn.functional.grid_sample(rows, source, mode="nearest", padding_mode="border", align_corners=False)
    assert (world - rows[..., :1]).abs().max() < 0.05, "every row shows the land of that row"
