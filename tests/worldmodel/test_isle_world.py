"""Isle as a World: the contract, the player's body, the ball, words in mid-episode, sound and truth."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from inhabit.bridge.controls import Controls  # noqa: E402
from inhabit.bridge.errors import WorldError  # noqa: E402
from inhabit.bridge.world import check_world  # noqa: E402
from inhabit.worldmodel.catalog import open_world  # noqa: E402
from inhabit.worldmodel.worlds.isle import motion, truth  # noqa: E402
from inhabit.worldmodel.worlds.isle.attributes import (  # noqa: E402
    COLOURS,
    GROUNDS,
    LANDMARKS,
    STYLES,
    TIMES,
    WEATHERS,
    Attributes,
    sample,
)
from inhabit.worldmodel.worlds.isle.render import render  # noqa: E402
from inhabit.worldmodel.worlds.isle.scene import (  # noqa: E402
    BALL,
    CREATURES,
    EVENTS,
    RADIUS_M,
    REACH_M,
    State,
    create,
    pick,
    replaced,
    with_attributes,
)
from inhabit.worldmodel.worlds.isle.sound import sound  # noqa: E402
from inhabit.worldmodel.worlds.isle.world import IsleConfig, IsleWorld  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

IDLE = (0.0,) * 6
AHEAD = (0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
THROW = (0.0, 0.0, 0.0, 0.0, 0.0, 1.0)


def walk(state: State, action: tuple[float, ...], frames: int) -> State:
    for _ in range(frames):
        state = motion.step(state, torch.tensor([action] * len(state)))
    return state


def alone(**named: Any) -> State:
    """An island with nobody and nothing on it but what is named."""
    nothing: dict[str, Any] = {f"{kind}_count": 0 for kind in LANDMARKS} | {"creatures": 0}
    return create([5], [Attributes(**(nothing | named))], avatars=0)


def facing(state: State, slot: int, away_m: float) -> State:
    """Put the player that far from a thing, looking at it from the middle's side."""
    at = state.place[:, slot]
    toward = at / at.norm(dim=1, keepdim=True)
    look = torch.stack([torch.atan2(at[:, 0], at[:, 2]), torch.zeros(len(state))], 1)
    return replaced(state, player=at - toward * away_m, look=look)


def test_it_keeps_the_contract_of_a_world():
    check_world(open_world("isle"), frames=6)


def test_a_prompt_in_its_name_begins_every_episode():
    world = open_world("isle:night in neon, three red towers")
    assert isinstance(world, IsleWorld)
    world.reset(seed=1)
    attributes = world.attributes()
    assert (attributes.time, attributes.style, attributes.tower_count, attributes.tower_colour) == (
        "night",
        "neon",
        3,
        "red",
    )


@pytest.mark.parametrize(("width", "height"), [(64, 112), (112, 64), (33, 47)])
def test_any_size_is_drawn(width, height):
    world = IsleWorld(IsleConfig(width=width, height=height))
    assert world.reset(seed=1).pixels.shape == (height, width, 3)


def test_an_island_is_the_same_in_any_batch():
    rng = np.random.default_rng(2)
    attributes = [sample(rng) for _ in range(4)]
    batch = create([3, 4, 5, 6], attributes)
    single = create([5], attributes[2:3])
    action = (0.3, 1.0, 0.5, 0.1, 1.0, 1.0)
    batch, single = walk(batch, action, 12), walk(single, action, 12)
    for field in dataclasses.fields(State):
        torch.testing.assert_close(getattr(batch, field.name)[2:3], getattr(single, field.name), atol=1e-4, rtol=1e-4)
    one, other = render(batch, 48, 48).pixels[2].int(), render(single, 48, 48).pixels[0].int()
    assert ((one - other).abs() > 2).float().mean() < 0.01


def _seen(**named: Any):
    attributes = Attributes(**named)
    state = create([5], [attributes])
    return render(replaced(state, lightning=torch.tensor([99])), 64, 64).pixels[0].float()


@pytest.mark.parametrize(
    ("name", "values"), [("time", TIMES), ("weather", WEATHERS), ("ground", GROUNDS), ("style", STYLES)]
)
def test_every_value_of_the_scene_looks_different(name, values):
    pictures = [_seen(**{name: value}) for value in values]
    for i, one in enumerate(pictures):
        for other in pictures[i + 1 :]:
            assert (one - other).abs().mean() > 6


def test_every_landmark_is_seen_in_its_colour():
    for kind in LANDMARKS:
        means = []
        for colour in COLOURS:
            state = alone(**{f"{kind}_count": 1, f"{kind}_colour": colour})
            state = facing(state, LANDMARKS.index(kind) * 3, 7.0)
            picture = render(state, 64, 64)
            mine = picture.labels[0] == LANDMARKS.index(kind) * 3 + 1
            assert mine.sum() > 60
            means.append(picture.pixels[0][mine].float().mean(0))
        apart = torch.cdist(torch.stack(means), torch.stack(means)) + 1e3 * torch.eye(len(means))
        assert apart.min() > 12, kind


def test_words_in_mid_episode_leave_what_they_do_not_name_where_it_is():
    state = walk(create([5], [Attributes()]), IDLE, 2)
    before = state.place[:, : CREATURES.start].clone()
    new = Attributes(weather="rain", time="night", house_count=3, tower_colour="green")
    state = with_attributes(state, [new])
    half = walk(state, IDLE, motion.FADE_FRAMES // 2)
    assert 0.3 < float(half.time[0, TIMES.index("night")]) < 0.7
    after = walk(half, IDLE, motion.FADE_FRAMES)
    assert float(after.time[0, TIMES.index("night")]) == pytest.approx(1)
    assert torch.equal(after.place[:, : CREATURES.start], before)
    assert after.presence[0, 3:6].tolist() == [1, 1, 1]
    assert torch.equal(after.player, state.player)


def test_walls_and_water_stop_the_player():
    state = facing(alone(tower_count=1), 0, 5.0)
    state = walk(state, AHEAD, 40)
    apart = (state.player - state.place[:, 0])[:, [0, 2]].norm()
    assert apart > RADIUS_M["tower"]
    away = walk(alone(), AHEAD, 160)
    assert 28 < float(away.player[0, [0, 2]].norm()) <= REACH_M + 1e-3


def test_walking_is_about_four_metres_a_second():
    state = walk(alone(), AHEAD, 10)
    further = walk(state, AHEAD, 16)
    assert float((further.player - state.player).norm()) == pytest.approx(4.0, abs=0.1)


def test_looking_stays_within_bounds():
    state = walk(alone(), (0, 0, 1, 1, 0, 0), 40)
    assert float(state.look[0, 1]) == pytest.approx(math.radians(35), abs=1e-3)
    assert float(state.spin[0, 0]) == pytest.approx(math.radians(120), rel=0.01)


def test_a_jump_leaves_the_ground_and_lands():
    state, heights, seen = alone(), [], set()
    for frame in range(16):
        state = walk(state, (0, 0, 0, 0, float(frame == 0), 0), 1)
        heights.append(float(state.player[0, 1]))
        seen |= set(truth.events(state)[0])
    assert max(heights) > 0.6
    assert heights[-1] == 0
    assert {"jump", "land"} <= seen


def test_the_ball_is_thrown_falls_bounces_and_is_picked_up_again():
    state = walk(alone(), IDLE, 1)
    assert bool(state.ball_held)
    heights, seen = [], []
    for frame in range(60):
        state = walk(state, THROW if frame == 0 else IDLE, 1)
        heights.append(float(state.place[0, BALL, 1]))
        seen += truth.events(state)[0]
    assert not bool(state.ball_held)
    assert seen.count("throw") == 1
    assert seen.count("bounce") >= 2
    assert max(heights) > 1.7
    assert heights[-1] < 0.5
    for _ in range(120):
        way = state.place[0, BALL] - state.player[0]
        look = torch.tensor([[math.atan2(float(way[0]), float(way[2])), 0.0]])
        state = walk(replaced(state, look=look), AHEAD, 1)
        if "pickup" in truth.events(state)[0]:
            break
    assert bool(state.ball_held)


def test_a_landmark_throws_the_ball_back():
    state = walk(facing(alone(house_count=1), 3, 6.0), THROW, 1)
    away = [float((walk(state, IDLE, n).place[0, BALL] - state.place[0, 3]).norm()) for n in (8, 20)]
    assert min(away) > RADIUS_M["house"]


def test_sound_has_exactly_a_frame_and_joins_without_a_seam():
    state, heard = alone(weather="rain"), []
    for _ in range(10):
        state = walk(state, IDLE, 1)
        heard.append(sound(state))
    assert all(piece.shape == (1, 1000, 2) and piece.dtype == torch.int16 for piece in heard)
    wave = torch.cat(heard[2:], 1)[0, :, 0].float()
    jumps = wave.diff().abs()
    assert jumps[999::1000].mean() < 3 * jumps.mean() + 1


def test_steps_are_heard_only_when_walking():
    still, moving = alone(), alone()
    stood, walked = [], []
    for _ in range(32):
        still, moving = walk(still, IDLE, 1), walk(moving, AHEAD, 1)
        stood += truth.events(still)[0]
        walked += truth.events(moving)[0]
    assert "step" not in stood
    assert 3 <= walked.count("step") <= 6


@pytest.mark.parametrize(("side", "louder"), [(1.0, 1), (-1.0, 0)])
def test_a_sound_comes_from_where_its_thing_is(side, louder):
    from inhabit.worldmodel.worlds.isle.voices import ears

    state = replaced(alone(), look=torch.zeros(1, 2))
    near = ears(state, torch.tensor([[side * 3, 0.0, 0.0]]))[0]
    far = ears(state, torch.tensor([[side * 15, 0.0, 0.0]]))[0]
    assert near[louder] > 2 * near[1 - louder]
    assert near[louder] > 1.5 * far[louder]


def test_lightning_is_followed_by_thunder():
    state, seen = alone(weather="storm"), []
    for frame in range(400):
        state = walk(state, IDLE, 1)
        seen += [(frame, name) for name in truth.events(state)[0]]
    strikes = [frame for frame, name in seen if name == "lightning"]
    thunders = [frame for frame, name in seen if name == "thunder"]
    assert strikes
    assert thunders
    assert 3 <= thunders[0] - strikes[0] <= 24


def test_boxes_are_what_the_labels_show():
    rng = np.random.default_rng(4)
    state = walk(create([1, 2, 3], [sample(rng) for _ in range(3)]), (0.0, 0.5, 0.6, 0, 0, 0), 6)
    picture = render(state)
    for labels, names, boxes in zip(picture.labels, truth.names(state), truth.boxes(state, picture.labels)):
        left = list(boxes)
        for slot, name in enumerate(names):
            rows, columns = torch.nonzero(labels == slot + 1, as_tuple=True)
            if len(rows) < truth.MIN_PIXELS:
                continue
            box = left.pop(0)
            assert (box.name, box.x, box.y) == (name, int(columns.min()), int(rows.min()))
            assert (box.width, box.height) == (int(columns.max() - box.x + 1), int(rows.max() - box.y + 1))
        assert not left


def test_depth_grows_to_the_sky():
    picture = render(alone(), 32, 32)
    assert bool(picture.depth[0, 0].isinf().all())
    assert float(picture.depth[0, -1, 0]) == pytest.approx(1.7 / math.tan(math.radians(33)) / (31 / 32), rel=0.02)


def test_poses_and_events_have_names():
    state = alone()
    assert truth.poses(state).shape == (1, len(truth.VARIABLES))
    assert truth.events(pick(replaced(state, events=torch.ones(1, len(EVENTS)).bool()), [0])) == [EVENTS]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prompt": "glorp the frob"}, "glorp"),
        ({"prompt": 7}, "words, got 7"),
        ({"volume": 3}, "volume=3"),
    ],
)
def test_what_it_does_not_understand_is_said(settings, words):
    world = IsleWorld(IsleConfig(width=16, height=16))
    world.reset(seed=1)
    with pytest.raises(WorldError, match=words):
        world.configure(**settings)


def test_unknown_words_beside_known_ones_are_remarked():
    world = IsleWorld(IsleConfig(width=16, height=16))
    world.reset(seed=1)
    assert world.configure(prompt="a purple cow in the rain") == "unknown: cow, purple"
    assert world.attributes().weather == "rain"


def test_order_and_options_are_checked():
    world = IsleWorld(IsleConfig(width=16, height=16))
    with pytest.raises(WorldError, match="before reset"):
        world.configure(prompt="rain")
    with pytest.raises(WorldError, match="got moon"):
        world.reset(options={"moon": 1})
    with pytest.raises(WorldError, match="width"):
        IsleConfig(width=4)
    world.reset(seed=1)
    with pytest.raises(WorldError, match="save"):
        world.restore(b"no state")
    with pytest.raises(ValueError, match="6 numbers"):
        world.step(Controls(action=(1.0,)))
