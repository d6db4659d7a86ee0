"""Edits: words change the newest picture, of those who are told something new, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from inhabit.bridge.controls import IDLE
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.memory.foresight import Hint
from inhabit.worldmodel.memory.recall import Recall, RecallConfig
from inhabit.worldmodel.neural_world import NeuralWorld
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.edit import Edit, EditConfig
from inhabit.worldmodel.omni.motion import Motion
from inhabit.worldmodel.omni.text import TextConfig, tokenise
from inhabit.worldmodel.pack import Pack, load_pack, save_pack
from inhabit.worldmodel.state import State
from inhabit.worldmodel.train.edit import EditTraining, Pairs, edges, train_edit
from inhabit.worldmodel.train.forcing import Forcing, ForcingConfig
from inhabit.worldmodel.train.latents import Latents
from inhabit.worldmodel.train.schedule import Budget

TEXT = TextConfig(tokens=8, buckets=64, width=16, layers=1, heads=2)
CPU = torch.device("cpu")


def small_edit(channels: int = 8, **changes) -> Edit:
    torch.manual_seed(0)
    sizes = {"width": 16, "coarse_width": 16, "blocks": (1, 1), "coarse_blocks": 1, "heads": 2, "grid": (4, 4)}
    return Edit(EditConfig(text=TEXT, latent_channels=channels, **{**sizes, **changes}))


@pytest.fixture
def editing_pack(small_pack) -> Pack:
    """The small pack with ears and an edit that turns everything into what it is plus one."""
    torch.manual_seed(3)
    config = replace(small_pack.file.dynamics, text=TEXT, keeps=True)
    edit = small_edit(config.latent_channels)
    assert edit.out.bias is not None
    with torch.no_grad():
        edit.out.bias[: config.latent_channels] = 1.0
    old = small_pack.file
    file = type(old)(
        info=old.info, autoencoder=old.autoencoder, dynamics=config, edit=edit.config, vocabulary=("red", "snow")
    )
    return replace(small_pack, file=file, dynamics=Dynamics(config), edit=edit)


def begun(engine: Engine, pack: Pack, prompts: list[str], held: list[str] | None = None):
    latents, actions = (torch.cat([part[:1]] * len(prompts)) for part in (pack.starts.latents, pack.starts.actions))
    return engine.begin(latents, actions, torch.arange(len(prompts)), prompts=prompts, held=held)


def hint_of(engine: Engine, state: State) -> Hint:
    dice = torch.ones(len(state), 2)
    return engine._foresight.hint(state, state.actions, state.frame + 1, dice, lambda latents, whose: latents)


def test_at_first_nothing_is_changed_at_any_size():
    edit = small_edit()
    for size in ((4, 4), (5, 7), (2, 6)):
        latents = torch.randn(2, 8, *size)
        assert torch.equal(edit(latents, tokenise(["red", "snow"], TEXT)), latents)


def test_only_who_is_told_something_new_sees_a_change(editing_pack):
    engine = Engine.of(editing_pack)
    state = begun(engine, editing_pack, ["red", "red", "red"])
    said = engine.say(state, ["snow", "red", ""])
    torch.testing.assert_close(said.latents[0], engine.autoencoder.within(state.latents[:1] + 1)[0])
    assert not torch.equal(said.pixels[0], state.pixels[0])
    assert torch.equal(said.canvas.picture[0], said.pixels[0])
    for name in ("latents", "before", "pixels"):
        assert torch.equal(getattr(said, name)[1:], getattr(state, name)[1:]), name
    assert torch.equal(engine.say(said, ["snow", "red", ""]).latents, said.latents), "said again it is no news"


def test_what_is_remembered_looks_as_words_want_it(editing_pack):
    motion = replace(editing_pack.file.dynamics.motion, travels=True)
    recall = RecallConfig(latent_channels=8, width=8, blocks=1)
    config = replace(editing_pack.file.dynamics, motion=motion, recall=recall)
    engine = Engine(
        editing_pack.autoencoder, Dynamics(config), motion=Motion(motion), recall=Recall(recall), edit=editing_pack.edit
    )
    state = begun(engine, editing_pack, ["red", "red"])
    there = state.album.frame >= 0
    assert there.any(1).all()
    album = engine.say(state, ["red", "snow"]).album
    assert torch.equal(album.pixels[0], state.album.pixels[0])
    assert torch.equal(album.pixels[~there], state.album.pixels[~there])
    assert not torch.equal(album.pixels[1], state.album.pixels[1])
    assert torch.equal(album.frame, state.album.frame)


def test_a_start_is_changed_into_what_is_asked_for(editing_pack):
    engine = Engine.of(editing_pack)
    asked, kept = (begun(engine, editing_pack, [prompt], held=["red"]) for prompt in ("snow", "red"))
    assert not torch.equal(asked.latents, kept.latents)
    assert torch.equal(kept.latents, begun(engine, editing_pack, ["red"]).latents)


def test_a_world_shows_what_is_said_and_goes_on(editing_pack, tmp_path):
    save_pack(editing_pack, tmp_path / "pack")
    loaded = load_pack(tmp_path / "pack")
    assert loaded.file.edit == editing_pack.file.edit
    world = NeuralWorld(loaded, Engine.of(loaded))
    world.reset(seed=1)
    state = world.save()
    plain = world.step(IDLE)
    world.restore(state)
    world.configure(prompt="snow")
    told = world.step(IDLE)
    assert told.index == plain.index
    assert not np.array_equal(told.pixels, plain.pixels)


def colours(staged: bool = True) -> Latents:
    """Two stages of the same walk: first all is 0 but for a mark, then, said "red" or "snow", 1 or -1 around it."""
    n = 40
    z = torch.zeros(2 * n, 8, 4, 4)
    z[n : n + n // 2] = 1.0
    z[n + n // 2 :] = -1.0
    place = torch.arange(2 * n) % 4
    z[torch.arange(2 * n), :, place, place] = 3.0
    prompt = torch.cat([torch.full((n,), 2), torch.zeros(n // 2), torch.ones(n // 2)]).long()
    after = torch.cat([torch.arange(n, 2 * n), torch.full((n,), -1)])
    return Latents(
        z=z.half(),
        actions=torch.zeros(2 * n, 3),
        rewards=torch.zeros(2 * n),
        ended=torch.zeros(2 * n),
        first=torch.arange(2 * n) % n == 0,
        care=torch.zeros(2 * n, 4, 4),
        carried=z.half(),
        prompts=tokenise(["red", "snow", "", ""], TEXT),
        prompt=prompt,
        next_stage=after if staged else None,
    )


def test_it_learns_what_words_change_and_what_stays():
    data = colours()
    pairs = Pairs(data, torch.ones(len(data.z), dtype=torch.bool))
    assert len(pairs) == 40
    training = EditTraining(batch=16, rate=3e-3, warmup=10, average=0.9, cut_share=0.0)
    torch.manual_seed(1)
    edit = train_edit(small_edit(), pairs, Budget(seconds=12), CPU, training)
    seen = data.z[1:5].float()
    red, snow = (edit(seen, tokenise([said] * 4, TEXT)) for said in ("red", "snow"))
    mark = seen == 3
    assert red[~mark].mean() > 0.7
    assert snow[~mark].mean() < -0.7
    assert min(red[mark].mean(), snow[mark].mean()) > 2


def test_it_learns_to_paint_what_is_hidden():
    data = colours()
    pairs = Pairs(data, torch.ones(len(data.z), dtype=torch.bool))
    training = EditTraining(
        batch=16, rate=3e-3, warmup=10, average=0.9, cut_share=0.0, hidden_share=1.0, settled_share=1.0
    )
    torch.manual_seed(1)
    edit = train_edit(small_edit(), pairs, Budget(seconds=12), CPU, training)
    known = torch.ones(4, 4, 4, dtype=torch.bool)
    known[:, :, 2:] = False
    for said, rows, colour in (("red", slice(41, 45), 1.0), ("snow", slice(61, 65), -1.0)):
        right = data.z[rows].float()
        made = edit(right * known[:, None], tokenise([said] * 4, TEXT), known)
        hidden = (~known[:, None] & (right != 3)).expand_as(right)
        assert abs(float(made[hidden].mean()) - colour) < 0.35, said


def test_what_is_hidden_does_not_shine_through():
    edit = small_edit()
    torch.nn.init.normal_(edit.out.weight, std=0.1)
    tokens, known = tokenise(["red"], TEXT), torch.ones(1, 4, 4, dtype=torch.bool)
    known[:, :, :2] = False
    latents = torch.randn(1, 8, 4, 4)
    other = torch.where(known[:, None], latents, torch.randn_like(latents))
    assert torch.equal(edit(latents, tokens, known), edit(other, tokens, known))
    assert not torch.equal(edit(latents, tokens), edit(other, tokens))


def test_edges_are_hidden_where_a_view_turns():
    torch.manual_seed(0)
    known, nearer = edges(torch.tensor([True, False]).repeat(200), (6, 8))
    assert known[1::2].all()
    assert not nearer[1::2].any()
    assert not (known & nearer).any()
    assert 0 < nearer.sum() <= (~known).sum() / 2
    hidden = ~known[::2]
    assert hidden.flatten(1).any(1).all()
    assert not hidden[:, 2:4, 3:5].all(2).all(1).any(), "never the middle"
    one_side = hidden.any(1)[:, 0] & hidden.any(1)[:, -1] & hidden.any(2)[:, 0] & hidden.any(2)[:, -1]
    assert one_side.sum() < 200


def test_what_comes_into_view_is_painted_by_the_edit(editing_pack):
    engine = Engine.of(editing_pack)
    assert engine._edits is not None
    state = begun(engine, editing_pack, ["red", "red"])
    hint = hint_of(engine, state)
    entering = torch.zeros(2, *state.latents.shape[-2:], dtype=torch.bool)
    assert engine._edits.entered(state, replace(hint, entering=entering), state.latents) is None
    entering[0, :, 0] = True
    entered = engine._edits.entered(state, replace(hint, entering=entering), state.latents)
    assert entered is not None
    torch.testing.assert_close(entered[0, :, :, 0], torch.ones_like(entered[0, :, :, 0]), msg="nothing, plus one")


def test_words_in_mid_stream_are_learnt_from_without_stages():
    data = colours(staged=False)
    pairs = Pairs(data, torch.ones(len(data.z), dtype=torch.bool))
    assert pairs.after.tolist() == [60]
    assert not pairs.same.any()


def test_dynamics_learn_to_go_on_from_what_words_have_changed(editing_pack):
    data = colours()
    network = Dynamics(replace(editing_pack.file.dynamics, text=TEXT))
    config = ForcingConfig(told_share=0.5, previous_noise=0.0, previous_drop=0.0, begin_drop=0.0)
    edit = editing_pack.edit
    forcing = Forcing(network, data, torch.tensor([1]), config, edit=edit, batch=2, window=16)
    past = forcing.real_past(torch.arange(1, 17).repeat(2, 1))
    assert past.told.any()
    before = past.video[:, :-1][past.told]
    rows = past.rows[past.told] - 40 - 1
    torch.testing.assert_close(before, data.z[rows].float() + 1, msg="the last frame before, edited")
    assert not forcing.spoken(past).any(), "nothing is left to be painted"
