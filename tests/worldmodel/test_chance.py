"""Dice: what nothing foretells comes as often as it really does, and whole, not as a mean of all that may come."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from inhabit.bridge.toy import ToyWorld
from inhabit.worldmodel.dreams.temperature import Tempered
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.omni.block import Block, ChanceConfig
from inhabit.worldmodel.omni.chance import Chance, _as_in_play, roll
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.pack import fill, write_tensors
from inhabit.worldmodel.recordings import Meta
from inhabit.worldmodel.response import noise
from inhabit.worldmodel.train.dynamics import DynamicsTrainer, DynamicsTraining
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.latents import Latents, object_cells
from inhabit.worldmodel.train.rehearsal import Rehearsal, RehearsalConfig
from inhabit.worldmodel.train.sights import drawn_names, faces_of, sort_sights

HEADS = 0.3


@pytest.fixture(scope="module")
def config(small_pack):
    return replace(small_pack.file.dynamics, chance=ChanceConfig(faces=4), normed=True)


@pytest.fixture(scope="module")
def lucky(small_pack, config):
    """A world with dice that matter, though nothing was learnt."""
    torch.manual_seed(0)
    network = Dynamics(config)
    for weight in network.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.1 if weight.ndim == 2 else 0.02)
    network.chance.sights.normal_()
    return Engine(small_pack.autoencoder, network, motion=small_pack.motion)


def begin(engine, keys):
    torch.manual_seed(1)
    latents = torch.randn(1, 5, 8, 4, 4).expand(len(keys), -1, -1, -1, -1)
    return engine.begin(latents, torch.zeros(len(keys), 5, 3), torch.tensor(keys))


def rolls(chances, heat=None):
    """How often each face comes up in 4,000 rolls."""
    logits = torch.tensor(chances).clamp(min=1e-9).log().expand(1, 1, 4000, len(chances))
    dice = noise.uniforms(torch.tensor([3]), torch.tensor([7]), 5, (1, 4000)).float()
    shown = roll(logits, dice, None if heat is None else torch.full((1, 1), heat))
    return np.bincount(shown.flatten().numpy(), minlength=len(chances)) / 4000


def test_faces_come_up_as_often_as_their_chances_say():
    np.testing.assert_allclose(rolls([0.6, 0.3, 0.0, 0.1]), [0.6, 0.3, 0.0, 0.1], atol=0.03)
    assert rolls([0.6, 0.3, 0.0, 0.1], heat=3.0)[0] < 0.55
    assert roll(torch.tensor([[[[0.3, 0.5, 0.2]]]]).log(), None).item() == 1


def test_what_probably_is_there_is_there():
    """A doubt of a tenth, renewed in every frame, would end a monster in ten frames."""
    none, *some = rolls([0.1, 0.6, 0.0, 0.3])
    assert none < 0.01
    np.testing.assert_allclose(some, [0.667, 0.0, 0.333], atol=0.03)


def test_dice_are_a_function_of_session_and_frame(lucky):
    """The same key has the same luck, another one has other luck, and neighbours do not matter."""
    action = torch.zeros(3, 3)
    state = begin(lucky, [5, 5, 6])
    alone = begin(lucky, [6])
    for _ in range(4):
        state, _ = lucky.step(state, action)
        alone, _ = lucky.step(alone, action[:1])
    torch.testing.assert_close(state.latents[0], state.latents[1], atol=1e-5, rtol=1e-4)
    assert float((state.latents[0] - state.latents[2]).abs().max()) > 1e-2
    torch.testing.assert_close(state.latents[2], alone.latents[0], atol=1e-5, rtol=1e-4)


def test_all_passes_of_a_frame_see_the_same_dice(lucky, monkeypatch):
    seen = []
    forward = Chance.forward

    def spy(self, *given):
        sight, draw = forward(self, *given)
        seen.append(draw.shown[:, -1:])
        return sight, draw

    monkeypatch.setattr(Chance, "forward", spy)
    state = begin(lucky, [5])
    seen.clear()
    lucky.step(state, torch.zeros(1, 3), steps=4)
    assert len(seen) == 4
    assert all(torch.equal(seen[0], later) for later in seen[1:])


def test_a_rehearsal_meets_the_objects_that_really_came(config, lucky, monkeypatch):
    (data, _), starts = coin_world(config, frames=200, seed=0), torch.arange(0, 100, 10)
    assert data.faces is not None
    rehearsal = Rehearsal(data, starts, RehearsalConfig(sessions=4, context=2), frames=8)
    told = []
    step = lucky.step

    def spy(state, action, **given):
        told.append(given["shown"])
        return step(state, action, **given)

    monkeypatch.setattr(lucky, "step", spy)
    rehearsal.play(lucky)
    rows = rehearsal._plays[0].rows
    assert len(told) == 6
    for index, shown in enumerate(told, start=2):
        assert torch.equal(shown, data.faces[rows[:, index]].flatten(1).long())


def test_dice_are_rolled_as_they_are_learnt(lucky):
    """What is rolled diagonal by diagonal had the chances that training computes for all tokens at once."""
    torch.manual_seed(3)
    network = lucky.dynamics.chance
    features, dice = torch.randn(2, 1, 12, 32), torch.rand(2, 1, 12)
    told = dict.fromkeys(("noised", "previous", "actions", "level", "step"), torch.zeros(2, 1))
    sight, rolled = network(features, Block(**told, dice=dice), 3, 4)
    again, known = network(features, Block(**told, shown=rolled.shown), 3, 4)
    torch.testing.assert_close(rolled.logits, known.logits)
    assert torch.equal(sight, again)
    assert len(rolled.shown.unique()) > 1
    left = rolled.shown.unflatten(2, (3, 4)).clone()
    left[:, :, 1, 1] = (left[:, :, 1, 1] + 1) % 4
    changed = network(features, Block(**told, shown=left.flatten(2)), 3, 4)[1].logits
    differs = (changed != known.logits).any(-1).unflatten(2, (3, 4))[0, 0]
    assert differs.nonzero().tolist() == [[1, 2], [2, 1]]


def test_training_shows_of_a_foretold_object_some_sort_that_it_might_be():
    likely, rare = torch.tensor([0.1, 0.5, 0.38, 0.02]).log(), torch.tensor([0.95, 0.02, 0.02, 0.01]).log()
    logits = torch.stack([likely, likely, likely, rare])[None, None]
    shown, rolled = torch.tensor([[[1, 1, 3, 1]]]), torch.tensor([[[2, 0, 2, 2]]])
    # as it might be; never away; and what nobody foretold as it is
    assert _as_in_play(shown, rolled, logits).tolist() == [[[2, 1, 3, 1]]]


def test_at_temperature_nothing_the_likeliest_face_comes_up(lucky):
    torch.manual_seed(2)
    block = Block(
        noised=torch.randn(1, 1, 8, 4, 4),
        previous=torch.randn(1, 1, 8, 4, 4),
        carried=torch.randn(1, 1, 8, 4, 4),
        actions=torch.zeros(1, 1, 3),
        level=torch.zeros(1, 1, dtype=torch.int64),
        step=torch.zeros(1, 1, dtype=torch.int64),
        dice=torch.ones(1, 1, 4),  # the last face, were it not for the temperature
    )
    draw = Tempered(lucky.dynamics, 0.0)(block).draw
    assert torch.equal(draw.shown, draw.logits.argmax(-1))
    assert (lucky.dynamics(block).draw.shown == 3).all()


def test_a_network_that_gets_dice_keeps_what_it_knew(config, tmp_path):
    plain = Dynamics(replace(config, chance=None))
    write_tensors(dict(plain.state_dict()), tmp_path / "plain.safetensors")
    grown = Dynamics(config)
    fill(grown, tmp_path / "plain.safetensors", share=0.7)
    mine, theirs = grown.state_dict(), plain.state_dict()
    assert all(torch.equal(mine[name], value) for name, value in theirs.items())


def test_objects_that_look_alike_show_the_same_face():
    z = torch.zeros(40, 8, 8, 8)
    care = torch.zeros(40, 8, 8)
    z[:20, :, 0:2, 0:2], care[:20, 0:2, 0:2] = 2.0, 1  # one sort at the first token's corner
    z[10:30, :, 5, 5], care[10:30, 5, 5] = -2.0, 1  # another in the last token's middle
    z[:, :, 0, 7] = 9.0  # and what is no object at all
    sights = sort_sights(z.half(), care.half(), 3, 4)
    faces = faces_of(z.half(), care.half(), sights)
    assert faces.shape == (40, 2, 2)
    one, other = int(faces[0, 0, 0]), int(faces[10, 1, 1])
    assert {one, other} == {1, 2}
    assert (faces[:20, 0, 0] == one).all()
    assert (faces[10:30, 1, 1] == other).all()
    assert int((faces > 0).sum()) == 40
    torch.testing.assert_close(sights[one, :-1, :2, :2], torch.full((8, 2, 2), 2.0), atol=1e-2, rtol=0)
    assert float(sights[one, -1].sum()) == pytest.approx(4)
    assert not sights[0].any()
    assert not faces_of(z, torch.zeros_like(care), sights).any()
    assert not sort_sights(z, torch.zeros_like(care), 3, 4).any()


def test_what_is_always_there_is_not_drawn():
    """Ten frames: a wall lamp in all of them, a fireball in four, and something that was never seen."""
    boxes = [(row, 0, 0, 0, 4, 4) for row in range(10)] + [(row, 1, 8, 8, 4, 4) for row in range(4)]
    footage = Footage(
        meta=Meta(world=ToyWorld().info, source="test"),
        frames=np.zeros((10, 16, 16, 3), np.uint8),
        actions=np.zeros((10, 1), np.float32),
        rewards=np.zeros(10, np.float32),
        terminated=np.zeros(10, bool),
        first=np.arange(10) == 0,
        seeds=np.zeros(10, np.int64),
        boxes=np.array(boxes, np.int32),
        names=("Lamp", "Fireball", "Ghost"),
    )
    assert drawn_names(footage) == [1]
    cells = object_cells(footage, (4, 4), drawn_names(footage))
    assert cells.sum() == 4
    assert cells[:4, 2, 2].all()
    assert object_cells(footage, (4, 4)).sum() == 14


def coin_world(config, *, frames: int, seed: int) -> tuple[Latents, torch.Tensor | None]:
    """In each frame one token's place is +2 with a chance of HEADS and else -1: nothing foretells which."""
    random = torch.Generator().manual_seed(seed)
    z, care = torch.full((frames, 8, 4, 4), -1.0), torch.zeros(frames, 4, 4)
    heads = torch.rand(frames, generator=random) < HEADS
    z[heads, :, :2, :2], care[heads, :2, :2] = 2.0, 1.0
    sights = sort_sights(z, care, config.chance.faces, config.patch) if config.chance else None
    data = Latents(
        z=z.half(),
        actions=torch.zeros(frames, 3),
        rewards=torch.zeros(frames),
        ended=torch.zeros(frames),
        first=torch.arange(frames) == 0,
        care=care,
        faces=None if sights is None else faces_of(z, care, sights),
        carried=torch.cat([z[:1], z[:-1]]).half(),
        recent=torch.zeros(frames, 4, 3),
    )
    return data, sights


@pytest.mark.slow
@pytest.mark.parametrize("dice", [True, False])
def test_a_coin_falls_as_it_should_only_with_dice(small_pack, config, dice):
    config = config if dice else replace(config, chance=None)
    torch.manual_seed(0)
    training = DynamicsTraining(batch=8, window=10, warmup=20, average=0.97, rehearsal=RehearsalConfig(share=0.0))
    (data, sights), starts = coin_world(config, frames=2000, seed=0), np.arange(1990)
    network = Dynamics(config)
    if sights is not None:
        network.chance.sights.copy_(sights)
    trainer = DynamicsTrainer(network, data, starts, torch.device("cpu"), training, crew=1)
    for _ in range(150):
        figures = trainer.take_step(0.0)
    assert ("foretell" in figures) == dice
    learnt = trainer.average.network
    assert isinstance(learnt, Dynamics)
    engine = Engine(small_pack.autoencoder, learnt, motion=small_pack.motion)
    past = coin_world(config, frames=320, seed=1)[0].z.float().unflatten(0, (64, 5))
    state = engine.begin(past, torch.zeros(64, 5, 3), torch.arange(64))
    state, _ = engine.step(state, torch.zeros(64, 3), steps=1)
    coin = state.latents[:, :, :2, :2].mean((1, 2, 3))
    share = float((coin > 0.5).float().mean())
    if dice:
        assert share == pytest.approx(HEADS, abs=0.15)
        assert float(torch.minimum((coin - 2).abs(), (coin + 1).abs()).mean()) < 0.4  # one or the other, not between
        assert figures["foretell"] == pytest.approx(0.61, abs=0.3)  # nats that a coin of such chances tells
    else:
        assert share < 0.05 or share > 0.95  # the same, always
