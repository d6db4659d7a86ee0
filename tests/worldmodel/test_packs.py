"""Packs on disk and the neural world made of one."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes

from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import WorldError
from inhabit.bridge.world import check_world
from inhabit.worldmodel.catalog import PackError, check_spec, find_pack, open_world, world_name
from inhabit.worldmodel.neural_world import NeuralWorld
from inhabit.worldmodel.pack import load_pack, save_pack


def test_the_neural_world_keeps_the_contract_of_a_world(pack_folder):
    check_world(NeuralWorld.open(pack_folder, device="cpu"))


def test_a_pack_survives_the_disk(small_pack, pack_folder):
    again = load_pack(pack_folder)
    assert again.file == small_pack.file
    for name, value in small_pack.dynamics.state_dict().items():
        assert torch.equal(again.dynamics.state_dict()[name], value.half().to(value.dtype)), name


def test_a_state_restores_in_another_world_of_the_pack(pack_folder):
    world, other = (NeuralWorld.open(pack_folder, device="cpu") for _ in range(2))
    world.reset(seed=1)
    for _ in range(5):
        world.step(Controls(action=(1, 0, 0)))
    state = world.save()
    hook = other._engine.dynamics.register_forward_hook(lambda *_: pytest.fail("a session was begun, not restored"))
    other.restore(state)
    hook.remove()
    for _ in range(5):
        one, two = world.step(Controls(action=(0, 1, 0))), other.step(Controls(action=(0, 1, 0)))
        assert np.array_equal(one.pixels, two.pixels)
        assert one.index == two.index


def test_a_moment_that_an_older_version_kept_is_still_good(pack_folder):
    world = NeuralWorld.open(pack_folder, device="cpu")
    world.reset(seed=1)
    kept = tensors_from_bytes(world.save())
    del kept["earlier"]  # states held no earlier frames then
    first = world.step(Controls()).pixels
    world.restore(tensors_to_bytes(kept))
    assert np.array_equal(world.step(Controls()).pixels, first)


@pytest.mark.parametrize("state", [b"", b"nonsense", b"\x00" * 100])
def test_foreign_bytes_are_refused_and_the_session_goes_on(pack_folder, state):
    world = NeuralWorld.open(pack_folder, device="cpu")
    world.reset(seed=1)
    with pytest.raises(WorldError, match=r"Expected a state that save\(\) made"):
        world.restore(state)
    assert world.step(Controls()).index == 1


def test_starts_are_chosen_by_seed_or_by_name(pack_folder):
    world = NeuralWorld.open(pack_folder, device="cpu")
    assert np.array_equal(world.reset(options={"start": 2}).pixels, world.reset(options={"start": 2}).pixels)
    with pytest.raises(WorldError, match="start from 0 to 3, got 9"):
        world.reset(options={"start": 9})
    with pytest.raises(WorldError, match="weather"):
        world.reset(options={"weather": "rain"})


@pytest.mark.parametrize("name", ["autoencoder.safetensors", "dynamics.safetensors", "starts.safetensors"])
def test_a_damaged_file_is_named(pack_folder, name):
    (pack_folder / name).write_bytes(b"not weights")
    with pytest.raises(PackError, match=name):
        load_pack(pack_folder)
    (pack_folder / name).unlink()
    with pytest.raises(PackError, match=f"{name}, it is missing"):
        load_pack(pack_folder)


def test_a_newer_pack_asks_for_an_update(pack_folder):
    path = pack_folder / "world.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(PackError, match="update inhabit"):
        load_pack(pack_folder)


def test_an_unknown_pack_names_what_there_is():
    with pytest.raises(PackError, match="'no-such-pack'"):
        find_pack("no-such-pack")
    with pytest.raises(PackError, match="Expected a pack"):
        open_world("no-such-pack")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("doom-centre", "got 'doom-centre' - did you mean 'doom-center'?"),
        ("doom:", "Expected what follows the colon, such as doom:defend_the_center"),
        ("gym", "Expected a pack, such as gym:CartPole-v1"),
        ("isl", "did you mean 'isle'?"),
    ],
)
def test_a_world_that_is_not_there_is_told_before_anything_is_opened(name, says):
    with pytest.raises(PackError, match=re.escape(says)):
        check_spec(name)


def test_a_recording_or_a_trace_in_the_place_of_a_pack_says_what_to_do_with_it(tmp_path):
    (tmp_path / "meta.json").write_text("{}")
    trace = tmp_path / "session.trace"
    trace.touch()
    with pytest.raises(PackError, match=f"got a recording - at {tmp_path}; .*`inhabit train {tmp_path} -o packs/"):
        find_pack(str(tmp_path))
    with pytest.raises(PackError, match=f"`inhabit replay {trace}` plays it back"):
        find_pack(str(trace))


def test_worlds_are_named_without_opening_them(pack_folder):
    names = [world_name(spec) for spec in ("toy", "isle@160x96:a dusk", "doom:take_cover", "gym:ns/Cart-v1")]
    assert names == ["toy", "isle", "doom-take-cover", "cart-v1"]
    assert world_name(f"{pack_folder}@96x64") == find_pack(str(pack_folder)).name == "small"


def test_saving_over_a_pack_leaves_no_crumbs(small_pack, pack_folder):
    save_pack(small_pack, pack_folder)
    assert [path.name for path in pack_folder.parent.iterdir()] == ["small"]
