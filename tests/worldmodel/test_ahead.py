"""Ahead: who walks straight on comes to places, and what one walks up to stays until one is there."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import pytest
import torch

from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.memory.ahead import AFTER, APPEARS, ASIDE_RAD, NEAR, STANDS_OUT, WALKS, Ahead
from inhabit.worldmodel.memory.recall import Recall, RecallConfig
from inhabit.worldmodel.memory.vistas import Vistas, VistasConfig
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.motion import Motion
from inhabit.worldmodel.state import State

SIDE, UNIT = 32, torch.tensor(2.0)


@pytest.fixture
def vistas() -> Vistas:
    """Two places: one of them is brighter."""
    vistas = Vistas(VistasConfig(pictures=2, latent_channels=2, grid=(4, 4)))
    vistas.looks[0], vistas.looks[1] = 60, 200
    return vistas


def picture(level: float, b: int = 1) -> torch.Tensor:
    return torch.full((b, SIDE, SIDE, 3), round((level + 1) * 127.5), dtype=torch.uint8)


def steps(forward: float, turn: float = 0.0, b: int = 1) -> torch.Tensor:
    return torch.tensor([[0.0, 0.0, forward * float(UNIT), turn, 0.0]]).expand(b, -1)


def opens(latents: torch.Tensor, whose: torch.Tensor) -> torch.Tensor:
    return picture(0.5, len(latents))


def begun(vistas: Vistas) -> Ahead:
    return Ahead.begin(picture(-0.5), torch.zeros(1), vistas)


def walk(ahead: Ahead, vistas: Vistas, units: float, turn: float = 0.0) -> tuple[Ahead, torch.Tensor]:
    comes = torch.zeros(1, dtype=torch.bool)
    for _ in range(round(units / 0.1)):
        ahead, comes = ahead.go_on(steps(0.1, turn), UNIT, vistas, torch.ones(1), opens, None)
    return ahead, comes


def test_a_place_comes_to_sight_after_some_seconds_of_walking(vistas):
    ahead, comes = walk(begun(vistas), vistas, AFTER - 0.2)
    assert not comes.any()
    assert not ahead.shows.any()
    ahead, comes = walk(ahead, vistas, 0.4)
    assert comes.all()
    assert torch.equal(ahead.picture, picture(0.5))
    after, comes = ahead.go_on(steps(0.5 * WALKS), UNIT, vistas, torch.ones(1), opens, None)
    assert not comes.any(), "who does not walk comes nowhere"
    assert after.left < ahead.left
    ahead, comes = walk(ahead, vistas, APPEARS * AFTER)
    assert not comes.any(), "it is there"
    _, comes = walk(walk(ahead, vistas, AFTER)[0], vistas, 0.2, turn=ASIDE_RAD)
    assert not comes.any(), "who turns goes elsewhere"


def test_it_is_half_as_large_at_first_and_grows_to_what_one_stands_before(vistas):
    ahead, _ = walk(begun(vistas), vistas, AFTER + 0.1)
    marked = picture(0.5)
    marked[:, SIDE // 2 - 4 : SIDE // 2 + 4, SIDE // 2 - 4 : SIDE // 2 + 4] = 255
    widths = []
    for left in (AFTER, AFTER / 2, 0.0):
        ahead = replace(ahead, picture=marked, left=torch.tensor([left]))
        view, changed, far = torch.full((1, 3, SIDE, SIDE), 0.5), torch.zeros(1), torch.zeros(1, SIDE, SIDE)
        for _ in range(60):
            view, changed = ahead.seen(view, far, torch.zeros(1), torch.tensor(16.0), ahead.shows)
        widths.append(float(((view[0, 0, SIDE // 2] - 0.5).clamp(min=0) / 0.5).sum()))
        assert not left or not changed[:, 0].any(), "its edges are not seen"
    assert widths == pytest.approx([4, 16 / 3, 8], abs=0.7)


def test_what_is_near_and_what_one_walks_up_to_stays(vistas):
    ahead, comes = walk(begun(vistas), vistas, AFTER + 0.1)
    view, near = torch.full((1, 3, SIDE, SIDE), -0.5), torch.zeros(1, SIDE, SIDE)
    near[:, :, :10] = 2 * NEAR
    view[:, :, :, -8:] += 4 * STANDS_OUT  # beside it, and few enough that all else is usual
    after, changed = ahead.seen(view, near, torch.zeros(1), torch.tensor(16.0), comes)
    assert (after[:, :, 12:20, 12:18] > -0.5).all()
    assert torch.equal(after[..., :10], view[..., :10])
    assert torch.equal(after[..., -8:], view[..., -8:])
    assert torch.equal(changed, (after != view).any(1)) or (changed <= (after != view).any(1)).all()


def test_it_is_where_one_looked_when_it_was_chosen(vistas):
    ahead, comes = walk(begun(vistas), vistas, AFTER + 0.1)
    ahead = replace(ahead, turned=torch.tensor([math.atan(0.25)]))
    view = torch.full((1, 3, SIDE, SIDE), -0.5)
    _, changed = ahead.seen(view, torch.zeros(1, SIDE, SIDE), torch.zeros(1), torch.tensor(16.0), comes)
    columns = changed[0].any(0).nonzero()[:, 0]
    assert columns.float().mean() == pytest.approx(SIDE / 2 - 0.5 - 4, abs=1), "what one turns from goes to the left"
    _, changed = begun(vistas).seen(view, torch.zeros(1, SIDE, SIDE), torch.zeros(1), torch.tensor(16.0), ~comes)
    assert not changed.any()


@pytest.fixture
def walking_pack(small_pack):
    """The small pack with vistas and a memory, in which one always walks."""
    torch.manual_seed(3)
    motion = replace(small_pack.file.dynamics.motion, travels=True)
    recall = RecallConfig(latent_channels=8, width=8, blocks=1)
    config = replace(small_pack.file.dynamics, keeps=True, motion=motion, recall=recall)
    latents = small_pack.starts.latents.float().flatten(0, 1)
    sizes = VistasConfig(pictures=len(latents), latent_channels=latents.shape[1], grid=tuple(latents.shape[-2:]))
    file = msgspec.structs.replace(small_pack.file, dynamics=config, vistas=sizes)
    networks = {"dynamics": Dynamics(config), "motion": Motion(motion), "recall": Recall(recall)}
    vistas = Vistas(sizes).learn(latents, small_pack.autoencoder)
    return replace(small_pack, file=file, vistas=vistas, **networks)


def test_sessions_walk_by_themselves_and_old_ones_go_on(walking_pack, monkeypatch):
    engine, starts = Engine.of(walking_pack), walking_pack.starts
    motion = engine._foresight._motion
    assert motion is not None

    def walks(latents, before, actions):
        flow, goes = torch.zeros(len(latents), 2, *latents.shape[-2:]), torch.zeros(len(latents), 5)
        goes[:, 2] = actions[:, -1, 0]
        return flow, goes

    monkeypatch.setattr(motion, "forward", walks)
    state = engine.begin(starts.latents[:2], starts.actions[:2], torch.arange(2))
    assert state.ahead.usual.shape == engine.outline(2, *state.latents.shape[-2:]).ahead.usual.shape
    told = torch.zeros(2, 3)
    told[0, 0] = 1.0  # one of the two
    both, alone = state, state.select(torch.tensor([0]))
    for _ in range(round(AFTER) + 1):
        both, _ = engine.step(both, told, steps=1)
        alone, _ = engine.step(alone, told[:1], steps=1)
    assert both.ahead.shows.tolist() == [True, False]
    assert (both.ahead.picture[0].int() - alone.ahead.picture[0].int()).abs().max() <= 1
    torch.testing.assert_close(both.latents[0], alone.latents[0], atol=1e-3, rtol=1e-3)
    old = {name: value for name, value in both.tensors().items() if not name.startswith("ahead.")}
    older, _ = engine.step(State.from_tensors(old), told, steps=1)
    assert older.ahead.usual.shape == both.ahead.usual.shape
    joined = State.join([both, alone])
    assert joined.ahead.shows.tolist() == [True, False, True]
    assert joined.put(torch.tensor([1]), alone).ahead.shows.tolist() == [True, True, True]
