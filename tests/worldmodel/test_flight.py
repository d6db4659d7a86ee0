"""What is held in the view can leave the hand: it flies, lies where it fell, and is picked up."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from inhabit.bridge.controls import ActionMap
from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.memory.foresight import GHOST_PX
from inhabit.worldmodel.memory.loose import covered, sprite
from inhabit.worldmodel.memory.pose import after
from inhabit.worldmodel.memory.recall import Recall, RecallConfig
from inhabit.worldmodel.memory.vistas import Vistas, VistasConfig
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.flight import RADIUS, Flight, FlightConfig, Thing
from inhabit.worldmodel.omni.motion import Motion
from inhabit.worldmodel.pack import load_pack, save_pack
from inhabit.worldmodel.recordings import Meta
from inhabit.worldmodel.state import State
from inhabit.worldmodel.train.flight import (
    GRIP_PX,
    FlightTraining,
    Tracks,
    held_name,
    loss_of,
    measure_flight,
    new_flight,
    train_flight,
)
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.schedule import Budget

pytestmark = pytest.mark.usefixtures("one_thread")

FOCAL = 32.0
HELD = (10, 12, 8)
"""Column, row and width of the box in the hand, from the view's middle, in a view of 64x64."""


def flight_that_lets_go() -> Flight:
    """One that knows nothing but that things lie where they are, and that are in no hand."""
    flight = new_flight("ball", actions=2, focal=FOCAL, unit=2.0)
    flight.grip.copy_(torch.tensor([14.0, 16.0, 4.0]))
    return flight.requires_grad_(False)


def lying(place: list[float], flight: Flight) -> Thing:
    thing = flight.held(torch.zeros(1))
    return replace(thing, place=torch.tensor([place]), in_hand=torch.zeros(1), loose=torch.ones(1))


def test_what_lies_stays_where_it_is_however_the_eye_moves():
    flight = flight_that_lets_go()
    pose = torch.tensor([[3.0, 1.6, -2.0, 0.4, 0.1]])
    thing = lying([0.5, -0.8, 2.0], flight)

    def in_the_world(thing: Thing, pose: torch.Tensor) -> torch.Tensor:
        right, up, ahead = (2.0 * thing.place).unbind(1)
        return after(pose, torch.stack([right, up, ahead, right * 0, right * 0], 1))[:, :3]

    before = in_the_world(thing, pose)
    for travel in ([0.2, 0.0, 0.5, 0.3, 0.1], [-0.4, 0.1, 0.0, -1.5, 0.0], [0.0, -0.1, -0.7, 2.9, -0.2]):
        pose = after(pose, torch.tensor([travel]))
        thing = flight.step(thing, torch.zeros(1, 2, 2), torch.tensor([travel]), pose)
        torch.testing.assert_close(in_the_world(thing, pose), before, atol=1e-4, rtol=1e-4)
        assert thing.in_hand == 0


def test_a_thing_is_seen_where_it_is():
    flight = flight_that_lets_go()
    level = torch.zeros(1)
    x, y, radius, ahead = flight.seen_at(lying([0.0, 0.0, 2.0], flight), level)[0].tolist()
    assert (x, y, ahead) == (0, 0, 2)
    assert radius == pytest.approx(RADIUS * FOCAL / 2)
    assert flight.seen_at(lying([0.0, 0.0, 4.0], flight), level)[0, 2] == pytest.approx(radius / 2)
    assert flight.seen_at(lying([1.0, 1.0, 2.0], flight), level)[0, :2].tolist() == [FOCAL / 2, -FOCAL / 2]
    looked_up = flight.seen_at(lying([0.0, 0.0, 2.0], flight), torch.tensor([math.radians(45)]))
    assert looked_up[0, 1] == pytest.approx(FOCAL), "who looks up sees it lower"
    assert covered(flight.seen_at(lying([0.0, 0.0, -2.0], flight), level), (64, 64)).sum() == 0, "behind the eye"


def test_in_the_hand_it_moves_with_the_view():
    flight = flight_that_lets_go()
    thing = flight.held(torch.zeros(2))
    for pitch in (0.0, 0.3, -0.5):
        pose = torch.tensor([[0.0, 1.6, 0.0, 0.0, pitch]]).repeat(2, 1)
        thing = flight.step(thing, torch.zeros(2, 2, 2), torch.tensor([[0.1, 0, 0.3, 0.5, 0.1]]).repeat(2, 1), pose)
        shown = flight.shown_at(thing, pose[:, 4])
        torch.testing.assert_close(shown[:, :3], flight.grip.expand(2, 3))
        right, up = (flight.hand[:2] * FOCAL).tolist()
        torch.testing.assert_close(flight.seen_at(thing, pose[:, 4])[:, :2], torch.tensor([[right, -up]] * 2))
    assert (thing.loose == 0).all()


def test_a_thing_fits_into_one_row():
    thing = replace(flight_that_lets_go().held(torch.zeros(3)), speed=torch.randn(3, 3), memory=torch.randn(3, 32))
    rows = thing.packed()
    assert rows.shape == (3, flight_that_lets_go().width)
    for name in ("place", "speed", "in_hand", "loose", "memory"):
        assert torch.equal(getattr(Thing.unpacked(rows), name), getattr(thing, name)), name


def test_a_picture_of_it_is_moved_and_scaled():
    picture = torch.full((2, 3, 64, 64), -1.0)
    down, across = torch.meshgrid(*[torch.arange(64) - 31.5] * 2, indexing="ij")
    disc = torch.hypot(across - 14, down - 16) < 8
    picture[:, :, disc & (across < 14)] = 0.5
    picture[:, :, disc & (across >= 14)] = 1.0
    kept, seen = torch.tensor([14.0, 16.0, 8.0]), torch.tensor([[-10.0, -4.0, 16.0, 1.0], [20.0, 5.0, 2.0, 1.0]])
    alpha, shown = covered(seen, (64, 64)), sprite(picture, kept, seen)
    assert alpha[0].sum() == pytest.approx(math.pi * 16**2, rel=0.02)
    assert alpha[1].sum() == pytest.approx(math.pi * 2**2, rel=0.1)
    large = alpha[0] > 0
    assert (shown[0, :, large & (across < -12)] > 0.4).all(), "nothing of what was around it"
    assert (shown[0, :, large & (across > -8)] > 0.9).all()
    small = (alpha[1] > 0.5)[None]
    assert float(shown[1][small.expand(3, -1, -1)].min()) > 0.4, "far away it is no darker"


def test_what_is_out_of_the_view_looks_like_what_is_opposite():
    picture = torch.full((1, 3, 64, 64), -1.0)
    picture[..., 40:] = 1.0
    seen = torch.tensor([[0.0, 0.0, 10.0, 1.0]])
    shown = sprite(picture, torch.tensor([30.0, 0.0, 20.0]), seen)
    assert (shown[0, :, covered(seen, (64, 64))[0] > 0] > 0.9).all()


@pytest.fixture(scope="module")
def footage() -> Footage:
    """Twelve walks of 60 frames: pressing the second button throws a ball straight ahead, and after 20 frames it is
    back in the hand. A cross is always in the middle, a house in the distance."""
    rng = np.random.default_rng(0)
    boxes, actions, poses = [], [], []
    for _ in range(12):
        since, yaw = None, 0.0
        for frame in range(60):
            row = len(poses)
            turn, throw = 0.05 * rng.normal(), since is None and frame > 3 and rng.random() < 0.15
            since = 0 if throw else None if since is None or since == 20 else since + 1
            yaw += turn
            poses.append([0.0, 1.0, 0.0, yaw, 0.0])
            actions.append([turn, float(throw)])
            boxes += [[row, 1, 30, 30, 4, 4], [row, 2, 3 * frame % 50, 10, 8, 8]]
            if since is None:
                boxes.append([row, 0, 32 + HELD[0], 32 + HELD[1], HELD[2], HELD[2]])
                aim = yaw
            elif abs(yaw - aim) < 0.6:
                depth = 1.0 + 0.5 * (since + 1)
                x, radius = FOCAL * math.tan(aim - yaw), FOCAL * 0.2 / depth
                box = [32 + x - radius, 32 - radius, 2 * radius, 2 * radius]
                boxes.append([row, 0, *np.round(box).astype(int)])
    n = len(poses)
    info = WorldInfo(name="x", title="x", width=64, height=64, rate_hz=15.0, actions=ActionMap(sources=()))
    return Footage(
        meta=Meta(world=info, source="x"),
        frames=np.zeros((n, 64, 64, 3), np.uint8),
        actions=np.array(actions, np.float32),
        rewards=np.zeros(n, np.float32),
        terminated=np.zeros(n, bool),
        first=np.arange(n) % 60 == 0,
        seeds=np.arange(n) // 60,
        boxes=np.array(boxes, np.int32),
        names=("ball", "cross", "house"),
        pose=np.array(poses, np.float32),
    )


def test_what_is_held_is_what_leaves_its_place_at_times(footage):
    assert held_name(footage) == "ball"
    boxes = footage.boxes
    in_hand = (boxes[:, 2] == 32 + HELD[0]) & (boxes[:, 3] == 32 + HELD[1])
    fixed = boxes[(boxes[:, 1] != 0) | in_hand]
    assert held_name(replace(footage, boxes=fixed)) is None, "a ball that never leaves the hand, a cross, a house"


def test_tracks_tell_where_it_was_seen_and_when_it_was_held(footage):
    tracks = Tracks.of(footage, "ball", frames=16)
    assert tracks.grip.tolist() == [HELD[0] + 4, HELD[1] + 4, 4]
    thrown = footage.actions[:, 1] > 0
    there = np.array([HELD[0], HELD[1], HELD[0] + HELD[2], HELD[1] + HELD[2]])
    near = np.abs(tracks.edges.numpy() - there).max(1) <= GRIP_PX
    assert (tracks.held.numpy() == near & tracks.seen.numpy()).all()
    assert not tracks.held.numpy()[thrown].any()
    assert tracks.held[torch.from_numpy(tracks.begins)].all()
    assert not tracks.travel[torch.from_numpy(footage.first)].any()
    episode = np.cumsum(footage.first)
    assert (episode[tracks.begins] == episode[tracks.begins + 16]).all()
    assert set(tracks.begins[tracks.thrown()]) & set(np.flatnonzero(thrown) - 1)


def test_where_it_flies_is_learnt(footage):
    training = FlightTraining(batch=24, frames=10, least_frames=4)
    tracks = Tracks.of(footage, "ball", frames=training.frames)
    torch.manual_seed(0)
    flight = new_flight("ball", actions=2, focal=FOCAL, unit=1.0)
    rows = tracks.begins[tracks.thrown()]
    before = loss_of(flight, tracks, rows, 10, torch.device("cpu")).item()
    steps = iter(range(100_000))
    budget = Budget(seconds=700.0, clock=lambda: float(next(steps)))
    flight = train_flight(flight, tracks, budget, torch.device("cpu"), training)
    assert float(loss_of(flight, tracks, rows, 10, torch.device("cpu"))) < 0.5 * before
    assert measure_flight(flight, tracks, frames=10)["held_known"] > 0.9


class Tosses(Flight):
    """Lets go when the first button is pressed; then it lies before the eye, to the left of the middle."""

    def step(self, thing: Thing, actions: torch.Tensor, travel: torch.Tensor, pose: torch.Tensor) -> Thing:
        lets_go = actions[:, -1, 0] > 0.5
        gone = torch.maximum(thing.loose, lets_go.float())
        place = torch.where(gone[:, None] > 0, torch.tensor([-0.2, 0.0, 0.6]), thing.place)
        return replace(thing, place=place, in_hand=1 - gone, loose=gone)


@pytest.fixture
def tossing_pack(small_pack):
    """The small pack with vistas, a memory, and a thing that can be tossed."""
    torch.manual_seed(3)
    motion = replace(small_pack.file.dynamics.motion, travels=True)
    recall = RecallConfig(latent_channels=8, width=8, blocks=1)
    config = replace(small_pack.file.dynamics, keeps=True, motion=motion, recall=recall)
    latents = small_pack.starts.latents.float().flatten(0, 1)
    sizes = VistasConfig(pictures=len(latents), latent_channels=latents.shape[1], grid=tuple(latents.shape[-2:]))
    flight = Tosses(FlightConfig(name="ball", actions=config.actions, focal=FOCAL / 2))

    side = small_pack.file.info.width
    flight.grip.copy_(torch.tensor([side / 4, side / 4, side / 8]))
    file = msgspec.structs.replace(small_pack.file, dynamics=config, vistas=sizes, flight=flight.config)
    starts = replace(small_pack.starts, pose=torch.zeros(len(small_pack.starts), 5))
    networks = {"dynamics": Dynamics(config), "motion": Motion(motion), "recall": Recall(recall)}
    networks["motion"].travel_scale.zero_()
    vistas = Vistas(sizes).learn(latents, small_pack.autoencoder)
    return replace(small_pack, file=file, starts=starts, vistas=vistas, flight=flight, **networks)


def begun(pack) -> tuple[Engine, State]:
    engine, starts = Engine.of(pack), pack.starts
    return engine, engine.begin(starts.latents[:2], starts.actions[:2], torch.arange(2), pose=starts.pose[:2])


def test_a_pack_keeps_its_flight(tossing_pack, tmp_path):
    save_pack(tossing_pack, tmp_path / "pack")
    loaded = load_pack(tmp_path / "pack")
    assert loaded.flight is not None
    assert loaded.flight.config == tossing_pack.flight.config
    torch.testing.assert_close(loaded.flight.grip, tossing_pack.flight.grip)


def test_what_leaves_the_hand_is_drawn_where_it_is_and_the_picture_of_it_is_kept(tossing_pack):
    engine, state = begun(tossing_pack)
    nothing = torch.zeros(2, state.actions.shape[-1])
    toss = nothing.clone()
    toss[0, 0] = 1.0  # one of the two sessions
    state, _ = engine.step(state, nothing)
    assert not Thing.unpacked(state.flight).loose.any()
    in_hand = state.pixels.clone()
    state, _ = engine.step(state, toss)
    outline = engine.outline(2, *state.latents.shape[-2:]).tensors()
    assert {name: value.shape for name, value in state.tensors().items()} == {
        name: value.shape for name, value in outline.items()
    }
    thing = Thing.unpacked(state.flight)
    assert thing.loose.tolist() == [1, 0]
    seen = tossing_pack.flight.shown_at(thing, state.pose[:, 4])
    drawn = covered(seen, (state.pixels.shape[1], state.pixels.shape[2])) > 0
    assert drawn[0].any()
    assert torch.equal(state.held[0], drawn[0])
    assert torch.equal(state.hand.picture[0], in_hand[0])
    for _ in range(3):
        state, _ = engine.step(state, nothing)
    assert torch.equal(state.hand.picture[0], in_hand[0]), "what it looks like is not what is seen where it was held"
    anchored = engine.anchor(state)
    assert torch.equal(anchored.flight, state.flight)
    assert torch.equal(anchored.hand.picture[0], in_hand[0])
    assert torch.equal(anchored.held[0], state.held[0])
    assert not (anchored.canvas.used[0] & anchored.held[0]).any(), "it does not become a part of the world"
    engine.step(anchored, nothing)


def test_what_was_behind_the_hand_is_guessed_once(tossing_pack):
    engine, state = begun(tossing_pack)
    history = engine._foresight.history
    toss = torch.zeros(2, history, state.actions.shape[-1])
    toss[0, -1, 0] = 1.0  # one of the two sessions
    hint = engine._foresight.hint(state, toss, state.frame + 1, torch.ones(2, 2), lambda latents, _: latents)
    assert hint.flight is not None
    assert Thing.unpacked(hint.flight).loose.tolist() == [1, 0]
    size = (state.pixels.shape[1], state.pixels.shape[2])
    was = covered(torch.tensor([[*tossing_pack.flight.grip.tolist(), 1.0]]), size)[0] > 0
    assert hint.canvas.used[0][was].all(), "what fills its place lies there from now on"
    assert not torch.equal(hint.canvas.picture[0][was], state.pixels[0][was]), "and it is not the thing itself"
    assert torch.equal(hint.canvas.picture[1], state.canvas.picture[1])


def test_sessions_do_not_depend_on_what_others_toss(tossing_pack):
    engine, state = begun(tossing_pack)
    nothing = torch.zeros(2, state.actions.shape[-1])
    toss = nothing.clone()
    toss[0, 0] = 1.0
    one, other = state, state
    for frame in range(4):
        one, _ = engine.step(one, toss if frame == 1 else nothing)
        other, _ = engine.step(other, nothing)
    assert torch.equal(one.pixels[1], other.pixels[1])
    assert not torch.equal(one.pixels[0], other.pixels[0])


def test_pictures_with_something_in_the_air_are_not_remembered(tossing_pack):
    engine, state = begun(tossing_pack)
    tosses = torch.zeros(2, state.actions.shape[-1])
    tosses[:, 0] = 1.0
    before = state.album.frame.max()
    tossed = state
    for _ in range(20):
        tossed, _ = engine.step(tossed, tosses)
        state, _ = engine.step(state, torch.zeros_like(tosses))
    seen = tossing_pack.flight.shown_at(Thing.unpacked(tossed.flight), tossed.pose[:, 4])
    assert (seen[:, 2] > GHOST_PX).all()
    assert tossed.album.frame.max() == before
    assert state.album.frame.max() >= before


def test_a_state_from_before_there_was_flight_is_read(tossing_pack):
    _, state = begun(tossing_pack)
    named = state.tensors()
    del named["flight"]
    assert State.from_tensors(named).flight.shape == (2, 0)


@pytest.mark.slow
def test_the_islands_ball_flies_about_as_it_does_in_the_simulator():
    from inhabit.worldmodel.evaluate.ball import BallConfig, measure_ball
    from inhabit.worldmodel.evaluate.dreamers import EngineDreamer

    pack = load_pack(Path("worldmodel/packs/isle-tiny"))
    figures, _ = measure_ball(EngineDreamer(Engine.of(pack), steps=1), BallConfig(throws=6), size=(128, 128))
    assert figures["path_error"] < 0.5 * figures["copy"], figures
