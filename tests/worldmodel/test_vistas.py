"""Vistas: where a view turns to what nobody has seen, a picture goes on that begins as the view ends, and stays."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from inhabit.bridge.controls import ActionMap
from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.memory.canvas import Canvas
from inhabit.worldmodel.memory.vistas import NOTHING, TOO_FAR, Sides, Vistas, VistasConfig
from inhabit.worldmodel.omni.autoencoder import Autoencoder, AutoencoderConfig, to_float
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.motion import places
from inhabit.worldmodel.pack import load_pack, save_pack
from inhabit.worldmodel.recordings import Meta
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.vistas import choose_vistas

CELL = 8
ROWS, COLUMNS = 4, 8
SIZE = (ROWS * CELL, COLUMNS * CELL)


class Stripes(Autoencoder):
    """A codec whose latents are the colours of columns: pictures are known without any training."""

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return latents[:, :3].repeat_interleave(CELL, 2).repeat_interleave(CELL, 3)


@pytest.fixture
def codec() -> Stripes:
    return Stripes(AutoencoderConfig(latent_channels=8, widths=(8, 8), blocks=(1, 1)))


@pytest.fixture
def edges_alone(monkeypatch) -> None:
    """Only the last columns count: these pictures are of no place."""
    monkeypatch.setattr("inhabit.worldmodel.memory.vistas.PLACE", 0.0)


def shades(numbers: list[float]) -> torch.Tensor:
    """(8, rows, columns) latents of one grey for each column."""
    return torch.tensor(numbers)[None, None].expand(8, ROWS, -1)


RISING = [-0.8, -0.6, -0.4, -0.2, 0.0, 0.2, 0.4, 0.6]
FLAT = [0.9] * COLUMNS


@pytest.fixture
def vistas(codec) -> Vistas:
    pictures = torch.stack([shades(numbers) for numbers in (RISING, FLAT, [-0.9] * COLUMNS)])
    config = VistasConfig(pictures=3, latent_channels=8, grid=(ROWS, COLUMNS))
    return Vistas(config).learn(pictures, codec)


def turn(pixels: float) -> torch.Tensor:
    """Everything comes from so many pixels further right."""
    flow = torch.zeros(1, 2, ROWS, COLUMNS)
    flow[:, 0] = pixels / CELL
    return places(flow, SIZE, CELL)


def walk(vistas: Vistas, codec: Stripes, view: list[float], steps: int, pixels: float) -> tuple[torch.Tensor, Sides]:
    """The pixels of the last of some frames in which the view turns, (h, w) from -1 to 1, and its sides."""
    shown = codec.decode(shades(view)[None])
    canvas = Canvas.of(((shown + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1))
    sides, wanted, dice = vistas.begin(1, CELL, torch.device("cpu")), torch.ones(1, 2).bool(), torch.ones(1, 2)
    for _ in range(steps):
        coming = vistas.go_on(
            sides,
            shown,
            turn(pixels),
            wanted,
            dice,
            lambda latents, whose: to_bytes(codec.decode(latents)),
        )
        canvas, shown = canvas.renewed(coming.fresh, to_bytes(shown), coming.begun).move(turn(pixels), shown, coming)
        sides = coming.sides
    return shown[0, 0], sides


def to_bytes(pixels: torch.Tensor) -> torch.Tensor:
    return ((pixels + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)


@pytest.mark.usefixtures("edges_alone")
def test_a_picture_goes_on_where_the_view_ends(vistas, codec):
    view = [0.3, 0.3, 0.3, 0.3, 0.3, 0.3, -0.6, -0.4]
    shown, sides = walk(vistas, codec, view, steps=8, pixels=3.0)
    cells = shown.unfold(0, CELL, CELL).mean(-1).mean(0)[CELL // 2 :: CELL]
    assert cells[-3:].tolist() == pytest.approx([-0.2, 0.0, 0.2], abs=0.05), "the columns after -0.6 and -0.4"
    assert float(sides.taken[0, 1]) == pytest.approx(3 * CELL + 24, abs=0.1)
    assert float(sides.taken[0, 0]) == NOTHING


@pytest.mark.usefixtures("edges_alone")
def test_the_left_side_is_its_mirror(vistas, codec):
    view = [0.2, 0.4, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
    shown, sides = walk(vistas, codec, view, steps=8, pixels=-3.0)
    cells = shown.unfold(0, CELL, CELL).mean(-1).mean(0)[CELL // 2 :: CELL]
    assert cells[:3].tolist() == pytest.approx([-0.4, -0.2, 0.0], abs=0.05), "the columns before 0.2 and 0.4"
    assert float(sides.taken[0, 1]) == NOTHING


def test_what_has_come_into_view_is_not_worn_off_by_moving(vistas, codec):
    fine = torch.randint(0, 256, (1, 2, *SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    sides = Sides(pixels=fine, taken=torch.tensor([[NOTHING, 0.0]]), sunk=torch.zeros(1, 2))
    shown, dice, wanted = torch.zeros(1, 3, *SIZE), torch.ones(1, 2), torch.ones(1, 2).bool()
    canvas = Canvas.of(to_bytes(shown))
    for _ in range(16):
        coming = vistas.go_on(sides, shown, turn(0.5), wanted, dice, lambda latents, whose: latents)
        assert not coming.fresh.any()
        canvas, shown = canvas.move(turn(0.5), shown, coming)
        sides = coming.sides
    exact = to_float(fine[:, 1])[..., : 8 - 1]
    assert (shown[..., -8:-1] - exact).abs().mean() < 0.05


def test_a_side_that_leaves_the_view_is_forgotten(vistas, codec):
    shown = codec.decode(shades(FLAT)[None])
    sides = Sides(
        pixels=vistas.begin(1, CELL, torch.device("cpu")).pixels,
        taken=torch.tensor([[NOTHING, 40.0]]),
        sunk=torch.zeros(1, 2),
    )
    for pixels, taken in ((0.0, 40.0), (-2.0, NOTHING)):
        coming = vistas.go_on(
            sides,
            shown,
            turn(pixels),
            torch.tensor([[False, True]]),
            torch.ones(1, 2),
            lambda latents, whose: to_bytes(codec.decode(latents)),
        )
        assert float(coming.sides.taken[0, 1]) == taken
        assert not coming.there.any()


def test_a_picture_that_lies_too_high_gives_way_to_another(vistas, codec):
    shown, dice, wanted = codec.decode(shades(FLAT)[None]), torch.ones(1, 2), torch.ones(1, 2).bool()
    begun = vistas.begin(1, CELL, torch.device("cpu"))
    for rows, fresh in ((1.0, False), (TOO_FAR * SIZE[0] + 1, True)):
        sides = replace(begun, taken=torch.tensor([[NOTHING, 30.0]]), sunk=torch.full((1, 2), rows))
        coming = vistas.go_on(
            sides, shown, turn(3.0), wanted, dice, lambda latents, whose: to_bytes(codec.decode(latents))
        )
        assert bool(coming.fresh.any()) == fresh


@pytest.mark.parametrize("nod", [-1.0, 0.0, 1.0])
def test_who_nods_while_turning_sees_a_level_land(vistas, nod):
    """Every row of the land has a shade of its own, in the view and in the picture beside it."""
    height = torch.linspace(-0.5, 0.5, SIZE[0]).view(1, 1, -1, 1).expand(1, 3, *SIZE)
    sides = Sides(
        pixels=torch.stack([to_bytes(height)] * 2, 1), taken=torch.tensor([[NOTHING, 8.0]]), sunk=torch.zeros(1, 2)
    )
    flow = torch.zeros(1, 2, ROWS, COLUMNS)
    flow[:, 0], flow[:, 1] = 3 / CELL, nod / CELL
    where, shown, canvas = places(flow, SIZE, CELL), height, Canvas.of(to_bytes(height), sides.taken)
    for _ in range(6):
        coming = vistas.go_on(
            sides, shown, where, torch.ones(1, 2).bool(), torch.ones(1, 2), lambda latents, whose: latents
        )
        canvas, shown = canvas.move(where, shown, coming)
        sides = coming.sides
    middle = shown[0, 0, 8:-8]
    assert float(sides.sunk[0, 1]) == pytest.approx(6 * nod)
    assert (middle - middle[:, :1]).abs().max() < 0.02
    assert float(middle[0, 0] - height[0, 0, 8, 0]) == pytest.approx(6 * nod / (SIZE[0] - 1), abs=0.02)


def test_above_and_below_the_edge_goes_on(vistas, codec):
    shown = torch.rand(1, 3, *SIZE) * 2 - 1
    flow = torch.zeros(1, 2, ROWS, COLUMNS)
    flow[:, 1] = -4 / CELL  # looking up: everything comes from four rows further up
    where, sides = places(flow, SIZE, CELL), vistas.begin(1, CELL, torch.device("cpu"))
    coming = vistas.go_on(
        sides, shown, where, torch.ones(1, 2).bool(), torch.ones(1, 2), lambda latents, whose: latents
    )
    canvas, moved = Canvas.of(to_bytes(shown)).move(where, shown, coming)
    assert (moved[:, :, :4] - shown[:, :, :4].flip(2)).abs().max() < 0.1
    assert not canvas.used[:, :4].any()
    assert canvas.used[:, 5:].all()


def begun_with(vistas: Vistas, codec: Stripes, view: list[float], roll: float = 1.0) -> torch.Tensor:
    """The picture that goes on at the right of a view, (h, w) bytes."""
    shown = codec.decode(shades(view)[None])
    begun, dice = vistas.begin(1, CELL, torch.device("cpu")), torch.full((1, 2), roll)
    wanted = torch.ones(1, 2).bool()
    coming = vistas.go_on(begun, shown, turn(3.0), wanted, dice, lambda latents, whose: to_bytes(codec.decode(latents)))
    return coming.sides.pixels[0, 1, ..., 0]


def test_a_picture_of_another_place_does_not_go_on_though_its_edge_is_like_the_views(codec):
    bright, night = [0.6, 0.6, *[0.65] * 6], [0.6, 0.6, *[-0.9] * 6]
    vistas = Vistas(VistasConfig(pictures=2, latent_channels=8, grid=(ROWS, COLUMNS)))
    vistas.learn(torch.stack([shades(night), shades(bright)]), codec)
    view = [*[0.62] * 6, 0.6, 0.6]
    assert begun_with(vistas, codec, view)[0, -1] > 200


@pytest.mark.usefixtures("edges_alone")
def test_of_many_pictures_not_the_same_are_tried_every_time(codec):
    torch.manual_seed(0)
    pictures = torch.stack([shades([0.0] * 7 + [end]) for end in torch.rand(1000).tolist()])
    vistas = Vistas(VistasConfig(pictures=1000, latent_channels=8, grid=(ROWS, COLUMNS))).learn(pictures, codec)
    seen = {int(begun_with(vistas, codec, [0.0] * COLUMNS, roll)[0, -1]) for roll in (0.1, 0.3, 0.5, 0.7, 0.9)}
    assert len(seen) > 2


@pytest.mark.usefixtures("edges_alone")
def test_chance_chooses_among_those_that_fit_alike(codec):
    pictures = torch.stack([shades([0.1, 0.1, *[end] * 6]) for end in (-0.8, -0.5, 0.5, 0.8)])
    vistas = Vistas(VistasConfig(pictures=4, latent_channels=8, grid=(ROWS, COLUMNS))).learn(pictures, codec)
    shown = codec.decode(shades([0.1] * COLUMNS)[None])
    begun = vistas.begin(1, CELL, torch.device("cpu"))
    seen = set()
    for roll in (0.1, 0.3, 0.6, 0.9):
        dice = torch.full((1, 2), roll)
        coming = vistas.go_on(
            begun,
            shown,
            turn(3.0),
            torch.ones(1, 2).bool(),
            dice,
            lambda latents, whose: to_bytes(codec.decode(latents)),
        )
        seen.add(int(coming.sides.pixels[0, 1, 0, -1, 0]))
    assert len(seen) == 4


@pytest.fixture
def seeing_pack(small_pack):
    """The small pack with a network that keeps, and vistas."""
    config = replace(small_pack.file.dynamics, keeps=True)
    latents = small_pack.starts.latents.float().flatten(0, 1)
    sizes = VistasConfig(pictures=len(latents), latent_channels=latents.shape[1], grid=tuple(latents.shape[-2:]))
    file = msgspec.structs.replace(small_pack.file, dynamics=config, vistas=sizes)
    vistas = Vistas(sizes).learn(latents, small_pack.autoencoder)
    return replace(small_pack, file=file, dynamics=Dynamics(config), vistas=vistas)


def test_a_pack_keeps_its_pictures(seeing_pack, tmp_path):
    save_pack(seeing_pack, tmp_path / "pack")
    loaded = load_pack(tmp_path / "pack")
    assert loaded.vistas is not None
    assert torch.equal(loaded.vistas.latents, seeing_pack.vistas.latents)
    whole = seeing_pack.vistas.picture(torch.arange(3))
    torch.testing.assert_close(loaded.vistas.picture(torch.arange(3)), whole, atol=0.02, rtol=0.02)


def test_a_world_dreams_with_vistas_and_its_state_is_what_was_outlined(seeing_pack):
    engine = Engine.of(seeing_pack)
    starts = seeing_pack.starts
    state = engine.begin(starts.latents[:2], starts.actions[:2], torch.arange(2))
    rows, columns = state.latents.shape[-2:]
    for _ in range(3):
        state, _ = engine.step(state, torch.zeros(2, starts.actions.shape[-1]))
    outline = engine.outline(2, rows, columns).tensors()
    assert {name: value.shape for name, value in state.tensors().items()} == {
        name: value.shape for name, value in outline.items()
    }
    small = engine.begin(starts.latents[:1, :, :, :2], starts.actions[:1], torch.arange(1))
    assert not small.taken.numel(), "views of another height have none"
    engine.step(small, torch.zeros(1, starts.actions.shape[-1]))


@pytest.fixture
def footage() -> Footage:
    """Forty frames with a ball in hand, but for four in which it lies about; eight of the others are before a wall."""
    boxes = [[row, 0, 40, 20, 8, 8] for row in range(40) if not 20 <= row < 24]
    boxes += [[row, 0, 8 * (row - 20), 4, 6, 6] for row in range(20, 24)]
    boxes += [[row, 1, 0, 0, SIZE[1], SIZE[0]] for row in range(8)]
    info = WorldInfo(name="x", title="x", width=SIZE[1], height=SIZE[0], rate_hz=15.0, actions=ActionMap(sources=()))
    zeros = np.zeros(40, np.float32)
    return Footage(
        meta=Meta(world=info, source="x"),
        frames=np.zeros((40, *SIZE, 3), np.uint8),
        actions=np.zeros((40, 1), np.float32),
        rewards=zeros,
        terminated=zeros.astype(bool),
        first=np.arange(40) == 0,
        seeds=np.zeros(40, np.int64),
        boxes=np.array(sorted(boxes), np.int32),
        names=("ball", "wall"),
    )


def test_open_views_are_chosen_and_none_with_something_held(footage, codec):
    latents = torch.randn(40, 8, ROWS, COLUMNS)
    vistas = choose_vistas(footage, latents, codec, 4)
    assert vistas is not None
    torch.testing.assert_close(vistas.picture(torch.arange(4)), latents[20:24], atol=0.02, rtol=0.02)
    assert choose_vistas(footage, latents, codec, 5) is None


def test_a_soft_reset_forgets_what_went_on_at_the_sides(seeing_pack):
    engine = Engine.of(seeing_pack)
    starts = seeing_pack.starts
    state = engine.begin(starts.latents[:1], starts.actions[:1], torch.arange(1))
    state, _ = engine.step(state, torch.zeros(1, starts.actions.shape[-1]))
    turned = replace(state, taken=torch.tensor([[NOTHING, 20.0]]), canvas=replace(state.canvas, edge=torch.ones(1, 2)))
    anchored = engine.anchor(turned)
    assert (anchored.taken == NOTHING).all()
    assert not anchored.canvas.edge.any()
    engine.step(anchored, torch.zeros(1, starts.actions.shape[-1]))


def test_what_is_held_hides_the_land_and_does_not_become_it(codec, vistas):
    """Turning away and back, with something held low on the right, shows the same land, and nothing of what is held."""
    fine = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0)) - 0.5
    held = torch.zeros(1, *SIZE, dtype=torch.bool)
    held[:, SIZE[0] // 2 :, 40:56] = True
    shown = torch.where(held[:, None], 1.0, fine)
    canvas, sides = Canvas.of(to_bytes(shown), held=held), vistas.begin(1, CELL, torch.device("cpu"))
    wanted = torch.zeros(1, 2).bool()
    for pixels in (-2.0,) * 10 + (2.0,) * 10:  # first the land left of it goes behind it
        coming = vistas.go_on(sides, shown, turn(pixels), wanted, torch.ones(1, 2), lambda latents, whose: latents)
        canvas, world = canvas.move(turn(pixels), shown, coming, held)
        shown = torch.where(held[:, None], 1.0, world)
        cells = torch.ones(1, ROWS, COLUMNS, dtype=torch.bool)
        canvas, sides = canvas.painted(cells, to_bytes(shown), sides.taken, held), coming.sides
    left = (..., slice(SIZE[0] // 2, None), slice(22, 38))
    assert (shown[left] - fine[left]).abs().mean() < 0.02, "it went behind and came out again"
    assert not canvas.used[held].any(), "what was behind from the beginning nobody knows"
