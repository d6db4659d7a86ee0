"""What a world begins from and how it sets itself right: pictures, clips, other sizes, soft resets, saved sessions."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
import torch
from PIL import Image

from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import WorldError
from inhabit.bridge.world import check_world
from inhabit.worldmodel import neural_world, pictures
from inhabit.worldmodel.catalog import open_world, with_size
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.evaluate import speed
from inhabit.worldmodel.neural_world import NeuralWorld

RIGHT = Controls(held=frozenset({"ArrowRight"}))


@pytest.fixture
def world(small_pack):
    return NeuralWorld(small_pack, Engine.of(small_pack))


def gradient(width: int, height: int) -> np.ndarray:
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([across, down, np.full_like(across, 128)], -1).astype(np.uint8)


def file_of(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind)
    return data.getvalue()


def video_of(frames: list[np.ndarray], rate: int) -> bytes:
    data = io.BytesIO()
    with av.open(data, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=rate, options={"crf": "10"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for pixels in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode())
    return data.getvalue()


@pytest.mark.parametrize(("width", "height"), [(64, 64), (200, 64), (30, 90), (1, 1), (640, 480)])
@pytest.mark.parametrize("fit", pictures.FITS)
def test_any_picture_fits_without_being_stretched(width, height, fit):
    shown = pictures.picture(gradient(width, height), width=96, height=64, fit=fit)
    assert shown.shape == (64, 96, 3)
    assert shown.dtype == np.uint8


def test_a_wide_picture_is_cut_on_both_sides_or_padded_above_and_below():
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, :10], wide[:, 30:] = (255, 0, 0), (0, 0, 255)
    cut = pictures.picture(wide, width=20, height=20)
    assert not cut[:, 4:-4].any()  # the red and blue quarters are gone, but for the scaling's ringing
    padded = pictures.picture(wide, width=40, height=40, fit="pad")
    assert np.array_equal(padded[0], padded[20])
    assert padded[20, 2, 0] > 200


def test_files_of_every_kind_are_read_as_a_viewer_shows_them():
    pixels = gradient(40, 20)
    np.testing.assert_array_equal(pictures.picture(file_of(pixels), width=40, height=20), pixels)
    assert np.abs(pictures.picture(file_of(pixels, "JPEG"), width=40, height=20).astype(int) - pixels).mean() < 8
    clear = np.concatenate([pixels, np.zeros((20, 40, 1), np.uint8)], -1)
    assert not pictures.picture(file_of(clear), width=40, height=20).any()
    grey = pictures.picture(file_of(pixels[..., 0]), width=40, height=20)
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])
    turned, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    Image.fromarray(pixels).save(turned, "PNG", exif=exif)
    assert pictures.picture(turned.getvalue(), width=20, height=40).shape == (40, 20, 3)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"no picture at all", "Expected a picture such as PNG or JPEG, got 17 other bytes"),
        (b"", "Expected a picture of 1 to"),
        ("photo.png", "got str"),
        (np.zeros((4, 4), np.uint8), "Expected uint8 pixels"),
        (np.zeros((4, 4, 3)), "got float64"),
        (file_of(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))[:900], "damaged"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(value, says):
    with pytest.raises(WorldError, match=says):
        pictures.picture(value, width=64, height=64)


def test_a_huge_picture_is_refused_before_it_is_unpacked():
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    assert len(bomb.getvalue()) < pictures.MOST_BYTES
    with pytest.raises(WorldError, match="at most 40 megapixels"):
        pictures.picture(bomb.getvalue(), width=64, height=64)


def test_of_a_clip_the_last_moments_count_at_the_worlds_rate():
    levels = [np.full((32, 32, 3), 5 * index, np.uint8) for index in range(40)]
    shown = pictures.clip(video_of(levels, 20), width=64, height=64, frames=4, rate_hz=10.0)
    np.testing.assert_allclose(shown.mean((1, 2, 3)), [160, 170, 180, 190], atol=6)
    raw = pictures.clip(np.stack(levels), width=64, height=64, frames=3, rate_hz=10.0)
    np.testing.assert_allclose(raw.mean((1, 2, 3)), [185, 190, 195])


def test_a_picture_is_no_clip():
    with pytest.raises(WorldError, match="Expected a clip such as MP4 or WebM, got a picture"):
        pictures.clip(file_of(gradient(8, 8)), width=64, height=64, frames=4, rate_hz=10.0)


@pytest.mark.parametrize("value", [b"not a film", file_of(gradient(8, 8))[:30], np.zeros((0, 8, 8, 3), np.uint8)])
def test_what_is_no_clip_is_refused_in_one_line(value):
    with pytest.raises(WorldError, match="Expected"):
        pictures.clip(value, width=64, height=64, frames=4, rate_hz=10.0)


def test_a_world_begins_in_a_picture_and_goes_on(world):
    first = world.reset(seed=1, options={"image": file_of(gradient(100, 80))})
    again = world.reset(seed=1, options={"image": gradient(100, 80)})
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert not np.array_equal(first.pixels, world.reset(seed=1).pixels)
    world.reset(seed=1, options={"image": gradient(100, 80)})
    assert world.step(RIGHT).index == 1


def test_a_world_goes_on_after_a_clip(world):
    frames = np.stack([gradient(64, 64) // (1 + n) for n in range(30)])
    first = world.reset(seed=1, options={"clip": frames})
    assert first.index == 0
    shorter = world.reset(seed=1, options={"clip": frames[-neural_world.CLIP_FRAMES :]})
    np.testing.assert_array_equal(first.pixels, shorter.pixels)
    world.step(RIGHT)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"image": b"x", "start": 0}, "one thing to begin from, got image and start"),
        ({"fit": "pad"}, "an image or a clip with fit='pad'"),
        ({"image": np.zeros((4, 4, 3), np.uint8), "fit": "stretch"}, "got 'stretch'"),
        ({"picture": b"x"}, "got \\['picture'\\]"),
    ],
)
def test_what_cannot_be_begun_from_leaves_the_session_as_it_was(world, options, says):
    world.reset(seed=3)
    kept = world.save()
    with pytest.raises(WorldError, match=says):
        world.reset(seed=4, options=options)
    assert world.save() == kept


@pytest.mark.parametrize("size", [(64, 64), (128, 64), (64, 128), (192, 128)])
def test_one_pack_plays_square_wide_and_upright(small_pack, size):
    world = NeuralWorld(small_pack, Engine.of(small_pack), size=size)
    assert (world.info.width, world.info.height) == size
    check_world(world, frames=4)


@pytest.mark.parametrize("size", [(65, 64), (16, 64), (64, 8192)])
def test_a_size_between_cells_is_refused(small_pack, size):
    with pytest.raises(WorldError, match="Expected a size in multiples of 32 up to 4096"):
        NeuralWorld(small_pack, Engine.of(small_pack), size=size)


def test_a_size_stands_after_the_name(pack_folder):
    assert with_size("doom-center@160x96") == ("doom-center", (160, 96))
    assert with_size("my@home/pack") == ("my@home/pack", None)
    world = open_world(f"{pack_folder}@128x64", device="cpu")
    assert world.reset(seed=1).pixels.shape == (64, 128, 3)
    assert open_world("isle@96x64").reset(seed=1).pixels.shape == (64, 96, 3)


def test_a_soft_reset_forgets_the_ring_and_keeps_the_picture(world):
    world.reset(seed=1)
    for _ in range(20):
        before = world.step(RIGHT)
    number = int(world._state.frame)
    world.configure(anchor=True)
    assert world._state.ring.frame[world._state.ring.frame >= 0].tolist() == [number - 1]
    assert int(world._state.frame) == number
    after = world.step(RIGHT)
    assert after.index == before.index + 1
    with pytest.raises(WorldError, match="anchor=True"):
        world.configure(anchor=1)


def test_a_world_without_motion_has_soft_resets_too():
    engine = speed.untrained("nano", width=64, height=64, device=torch.device("cpu")).engine
    state = engine.begin(torch.randn(2, 3, 16, 8, 8), torch.zeros(2, 3, 8), torch.tensor([1, 2]))
    state, _ = engine.step(state, torch.ones(2, 8))
    state, _ = engine.step(engine.anchor(state), torch.ones(2, 8))
    assert torch.isfinite(state.latents).all()


def test_after_a_soft_reset_a_session_goes_on_alike_from_alike(world):
    world.reset(seed=1)
    for _ in range(5):
        world.step(RIGHT)
    kept = world.save()
    futures = []
    for _ in range(2):
        world.restore(kept)
        world.configure(anchor=True)
        futures.append([world.step(RIGHT).pixels for _ in range(3)])
    np.testing.assert_array_equal(futures[0], futures[1])


def test_a_world_that_leaves_what_it_can_say_sets_itself_right(world, monkeypatch):
    world.reset(seed=1)
    for _ in range(40):
        world.step(RIGHT)
    assert world.anchored == 0
    monkeypatch.setattr(Engine, "residual", lambda self, state: torch.full((1,), 1e6))
    for _ in range(neural_world.WATCH_FRAMES):
        world.step(RIGHT)
    assert world.anchored == 1


def test_qualities_are_names_of_steps(world):
    world.reset(seed=1)
    for quality, steps in (("turbo", 1), ("balanced", 2), ("fine", 4)):
        world.configure(quality=quality)
        assert world.steps == steps
    world.configure(steps=2)
    assert world.steps == 2
    with pytest.raises(WorldError, match="turbo, balanced, fine, got 'best'"):
        world.configure(quality="best")


def test_a_life_after_the_first_begins_in_the_same_picture_also_when_restored(world, small_pack, monkeypatch):
    world.reset(seed=1, options={"image": gradient(64, 64)})
    opening = world._opening
    assert opening is not None
    kept = world.save()
    other = NeuralWorld(small_pack, Engine.of(small_pack))
    other.reset(seed=9)
    other.restore(kept)
    assert other._opening is not None
    assert torch.equal(other._opening, opening)


def test_a_state_of_another_size_is_refused(world, small_pack):
    other = NeuralWorld(small_pack, Engine.of(small_pack), size=(128, 64))
    other.reset(seed=1)
    world.reset(seed=1)
    with pytest.raises(WorldError, match="Expected a state of 'small' with"):
        world.restore(other.save())


def test_a_state_of_another_pack_is_refused_by_name(world, small_pack):
    from copy import deepcopy
    from dataclasses import replace

    taught = replace(small_pack, dynamics=deepcopy(small_pack.dynamics))
    with torch.no_grad():
        next(taught.dynamics.parameters()).add_(1)
    other = NeuralWorld(taught, Engine.of(taught))
    other.reset(seed=1)
    world.reset(seed=1)
    with pytest.raises(WorldError, match=r"Expected a state of small \(\w{8}\), got one of small \(\w{8}\)"):
        world.restore(other.save())
