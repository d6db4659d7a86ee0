"""The canvas: what only moves stays as sharp as it was painted, and what is painted is shown."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
import torch

from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.memory.canvas import Canvas
from inhabit.worldmodel.omni.autoencoder import to_float, to_pixels
from inhabit.worldmodel.omni.block import ALIKE, MOVES_LITTLE, SURE
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.motion import places, warp


@pytest.fixture
def keeping_pack(small_pack):
    """The small pack with a network that keeps what it need not paint."""
    config = replace(small_pack.file.dynamics, keeps=True)
    file = msgspec.structs.replace(small_pack.file, dynamics=config)
    return replace(small_pack, file=file, dynamics=Dynamics(config))


SIZE = (32, 48)
CELL = 8


def noise() -> torch.Tensor:
    """The finest of patterns, which any mixing of neighbours wears off."""
    return torch.randint(0, 256, (1, *SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def flow(columns: float) -> torch.Tensor:
    """Everything comes from so many pixels further right."""
    still = torch.zeros(1, 2, 4, 6)
    still[:, 0] = columns / CELL
    return still


def walk(frames: int, columns: float) -> torch.Tensor:
    """The picture after so many frames, each moved from the canvas and shown."""
    shown = noise()
    canvas = Canvas.of(shown)
    kept = torch.ones(1, 4, 6, dtype=torch.bool)
    for _ in range(frames):
        canvas, moved = canvas.move(places(flow(columns), SIZE, CELL), to_float(shown))
        shown = to_pixels(moved)
        canvas = canvas.painted(kept, shown)
    return shown


def test_parts_of_a_pixel_add_up_and_wear_nothing_off():
    after = walk(8, 0.5)
    exact = noise()[:, :, 4:]
    assert (after[:, 4:-4, :-8].int() - exact[:, 4:-4, :-4].int()).abs().float().mean() < 1
    pixels = to_float(noise())
    for _ in range(8):  # what it would be if each frame were moved from the last one
        pixels, _ = warp(pixels, flow(0.5), CELL)
    assert (to_pixels(pixels)[:, 4:-4, :-8].int() - exact[:, 4:-4, :-4].int()).abs().float().mean() > 30


def test_what_was_painted_is_moved_from_where_it_was_painted():
    canvas = Canvas.of(noise())
    newest = torch.zeros(1, *SIZE, 3, dtype=torch.uint8)
    kept = torch.ones(1, 4, 6, dtype=torch.bool)
    kept[:, :, :2] = False
    canvas = canvas.painted(kept, newest)
    _, moved = canvas.move(places(flow(0.0), SIZE, CELL), to_float(newest))
    shown = to_pixels(moved)
    assert not shown[:, :, :16].any()
    assert torch.equal(shown[:, :, 16:], noise()[:, :, 16:])


def test_a_picture_of_which_little_is_left_gives_way_to_the_newest():
    canvas = Canvas.of(noise())
    newest = torch.zeros(1, *SIZE, 3, dtype=torch.uint8)
    kept = torch.zeros(1, 4, 6, dtype=torch.bool)
    kept[:, :, :2] = True
    canvas = canvas.painted(kept, newest)
    assert not canvas.picture.any()
    assert canvas.used.all()


def test_a_session_keeps_its_canvas_whatever_its_neighbours_do(keeping_pack):
    engine = Engine.of(keeping_pack)
    starts = keeping_pack.starts
    state = engine.begin(starts.latents[:1].repeat(2, 1, 1, 1, 1), starts.actions[:1].repeat(2, 1, 1), torch.arange(2))
    for _ in range(3):
        state, _ = engine.step(state, torch.zeros(2, starts.actions.shape[-1]), steps=1)
    alone = state.select(torch.tensor([1]))
    both, _ = engine.step(state, torch.zeros(2, starts.actions.shape[-1]), steps=1)
    one, _ = engine.step(alone, torch.zeros(1, starts.actions.shape[-1]), steps=1)
    torch.testing.assert_close(both.select(torch.tensor([1])).canvas.place, one.canvas.place, atol=1e-5, rtol=1e-5)
    again = type(state).from_tensors({name: value.clone() for name, value in state.tensors().items()})
    assert torch.equal(again.canvas.used, state.canvas.used)
    assert again.canvas.picture.shape == state.pixels.shape


@pytest.mark.parametrize(("columns", "sure"), [(0.0, True), (0.0, False), (3.0, True)])
def test_who_stands_still_sees_what_is_painted_nearly_alike_stay(keeping_pack, monkeypatch, columns, sure):
    engine = Engine.of(keeping_pack)
    starts = keeping_pack.starts
    state = engine.begin(starts.latents[:1], starts.actions[:1], torch.arange(1))
    half = state.latents.shape[-1] // 2
    limit = ALIKE if sure else MOVES_LITTLE
    change = torch.full_like(state.latents, 0.5 * limit)
    change[..., half:] = 1.5 * limit
    dynamics, motion = engine.dynamics.forward, engine._foresight._motion
    assert motion is not None

    def paints_all(block, *args, **more):
        told = dynamics(block, *args, **more)
        kept = torch.zeros_like(told.painting.painted)
        pays = torch.full_like(kept[:, :, 0], SURE + 1 if sure else SURE - 1)
        return replace(told, painting=replace(told.painting, painted=kept + change[:, None], kept=kept, pays=pays))

    def moves(latents, *_):
        flow = latents.new_zeros(1, 2, *latents.shape[-2:])
        flow[:, 0] = columns / engine.autoencoder.config.factor
        return flow, latents.new_zeros(1, 5)

    monkeypatch.setattr(engine.dynamics, "forward", paints_all)
    monkeypatch.setattr(motion, "forward", moves)
    monkeypatch.setattr(engine._foresight, "painted", lambda *_: {"canvas": state.canvas})
    for steps in (1, 2):
        after, _ = engine.step(state, torch.zeros(1, starts.actions.shape[-1]), steps=steps)
        near, far = after.latents[..., :half].abs().max(), after.latents[..., half:].abs().max()
        assert (float(near) == 0.0) == (columns == 0.0)
        assert float(far) > limit, "what changes is painted"
