"""Things that words ask for come where nothing stands, in every picture that shows that place."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
import torch

from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.memory.recall import Recall, RecallConfig
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.edit import Edit, EditConfig
from inhabit.worldmodel.omni.layout import MOST, MOST_AT_ONCE, Layout, LayoutConfig
from inhabit.worldmodel.omni.motion import Motion
from inhabit.worldmodel.omni.text import TextConfig, tokenise
from inhabit.worldmodel.pack import Pack, load_pack, save_pack
from inhabit.worldmodel.train.edit import EditTraining, Pairs
from inhabit.worldmodel.train.latents import Latents
from inhabit.worldmodel.train.layout import LayoutTraining, Scenery, Wishes, measure_layout, sized, train_layout
from inhabit.worldmodel.train.schedule import Budget
from inhabit.worldmodel.worlds.isle.moments import CELL_PX, KINDS, counts_of, look, prompts

pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = TextConfig(tokens=8, buckets=64, width=16, layers=1, heads=2)
CPU = torch.device("cpu")
ONE, ZERO = torch.ones(1, dtype=torch.int64), torch.zeros(1)


def hopeful(wanted: tuple[int, ...] = (1, 0), channels: int = 4, **changes) -> Layout:
    """A layout that hears a wish for so many of each kind in every word, sees nothing stand, and looks level."""
    torch.manual_seed(0)
    sizes = {"boxes": 8, "focal": 32.0, "latent_channels": channels, "grid": (8, 8), "width": 8, "text": TEXT}
    layout = Layout(LayoutConfig(kinds=("tower", "tree"), **{**sizes, **changes}))
    layout.boxes[:] = torch.tensor([-0.4, 0.3, 0.4])
    with torch.no_grad():
        for layer in (layout.out, layout.count, layout.pitch[-1], layout.words.out[-1]):
            assert isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
            assert layer.bias is not None
            layer.weight.zero_()
            layer.bias.zero_()
        heard, seen = (layer.bias for layer in (layout.words.out[-1], layout.count))
        assert isinstance(heard, torch.Tensor)
        assert isinstance(seen, torch.Tensor)
        heard.view(2, -1)[torch.arange(2), torch.tensor(wanted) + 1] = 9.0
        seen.view(2, -1)[:, 0] = 9.0
        layout.out.bias.fill_(-9.0)  # pyright: ignore[reportOptionalMemberAccess]
    return layout.eval().requires_grad_(False)


def stand(layout: Layout) -> None:
    """Let something stand wherever the picture is bright."""
    first = layout.join[0]
    assert isinstance(first, torch.nn.Conv2d)
    with torch.no_grad():
        for part in (*layout.join, layout.finish):
            for name, value in part.named_parameters():
                value.zero_() if "outer" in name else value
        layout.up.weight.zero_()
        first.weight.zero_()
        first.weight[0, 0, 1, 1] = 1.0
        layout.out.weight[0, 0, 1, 1] = 30.0


def arranged(layout: Layout, latents: torch.Tensor, key: int = 1, prompt: str = "a tower") -> torch.Tensor:
    return layout.arranged(latents, [prompt], ONE * key, ONE)[0]


def covered(layout: Layout, places: torch.Tensor, size=(8, 8), turn: float = 0.0, nod: float = 0.0) -> torch.Tensor:
    return layout.covers(places[None], size, ZERO + turn, ZERO + nod)[0]


def test_what_is_asked_for_is_put_whole_in_view():
    layout = hopeful()
    places = arranged(layout, torch.zeros(1, 4, 8, 8))
    assert (places[0, 0, 1] - places[0, 0, 0]).item() == pytest.approx(0.4 * 32, abs=1e-3)
    assert places[0, 0, 2:].tolist() == pytest.approx([-0.4 * 32, 0.3 * 32])
    assert places[0, 0].abs().max() <= 32
    assert not places[0, 1:].any()
    assert not places[1].any()
    taken = covered(layout, places)
    assert taken[0].sum().item() == pytest.approx(0.4 * 32 * 0.7 * 32 / 64, abs=1e-3)
    assert not taken[1].any()


def test_nobody_asks_for_it_nothing_comes():
    assert not arranged(hopeful((0, 0)), torch.zeros(1, 4, 8, 8)).any()


def test_what_is_in_view_is_not_put_there_again():
    layout = hopeful((2, 0))
    with torch.no_grad():
        layout.count.bias.view(2, -1)[0, 1] = 20.0
    places = arranged(layout, torch.zeros(1, 4, 8, 8))
    assert int((places[0, :, 1] > places[0, :, 0]).sum()) == 1


def test_it_comes_where_nothing_stands():
    layout = hopeful()
    stand(layout)
    latents = torch.zeros(1, 4, 8, 8)
    latents[:, 0, :, :5] = 1.0
    for key in range(5):
        places = arranged(layout, latents, key)
        assert places[0, 0, 1] > 0, "there is room on the right"
        assert not covered(layout, places)[0, :, :4].any()
    latents[:, 0] = 1.0
    assert not arranged(layout, latents).any(), "and where there is no room, nothing comes"


def test_things_do_not_come_before_each_other_and_not_too_many_at_once():
    layout = hopeful((3, 3))
    layout.boxes[:] = torch.tensor([-0.2, 0.1, 0.2])
    places = arranged(layout, torch.zeros(1, 4, 8, 8))
    put = places[..., 1] > places[..., 0]
    assert 2 <= int(put.sum()) <= MOST_AT_ONCE
    assert put.shape == (2, MOST)
    assert covered(layout, places).sum(0).max() <= 1.0 + 1e-4


def test_where_it_comes_is_drawn_by_the_session():
    layout, nothing = hopeful(), torch.zeros(1, 4, 8, 8)
    assert torch.equal(arranged(layout, nothing, 1), arranged(layout, nothing, 1))
    assert len({float(arranged(layout, nothing, key)[0, 0, 0]) for key in range(8)}) > 2


def test_who_turns_sees_it_where_it_was():
    layout = hopeful()
    places = torch.zeros(2, MOST, 4)
    places[0, 0] = torch.tensor([0.0, 8.0, -8.0, 8.0])

    def middle(**looks: float) -> tuple[float, float]:
        taken = covered(layout, places, **looks)[0]
        at = torch.arange(8) + 0.5
        return float((taken.sum(1) * at).sum() / taken.sum()), float((taken.sum(0) * at).sum() / taken.sum())

    assert middle() == pytest.approx((4.0, 4.5))
    row, column = middle(turn=0.25)
    assert column == pytest.approx(3.5, abs=0.1)
    assert row == pytest.approx(4.0)
    assert middle(nod=0.25)[0] == pytest.approx(5.0, abs=0.1)
    assert not covered(layout, places, turn=3.0).any(), "it is behind one"


def test_a_view_of_another_shape_has_it_in_the_same_direction():
    layout = hopeful()
    places = torch.zeros(2, MOST, 4)
    places[0, 0] = torch.tensor([-8.0, 8.0, -8.0, 8.0])
    wide = covered(layout, places, size=(16, 32))[0]
    assert wide.sum().item() == pytest.approx(16.0)
    assert wide[6:10, 14:18].sum() == wide.sum()


def edit_of(kinds: int, channels: int = 4) -> Edit:
    torch.manual_seed(0)
    sizes = {"width": 16, "coarse_width": 16, "blocks": (1, 1), "coarse_blocks": 1, "heads": 2, "grid": (4, 4)}
    edit = Edit(EditConfig(text=TEXT, latent_channels=channels, kinds=kinds, **sizes))
    torch.nn.init.normal_(edit.out.weight, std=0.1)
    return edit.eval()


def test_the_edit_sees_where_things_come():
    edit, latents, told = edit_of(2), torch.randn(1, 4, 4, 4), tokenise(["a tower"], TEXT)
    come = torch.zeros(1, 2, 4, 4)
    nothing = edit(latents, told)
    assert torch.equal(edit(latents, told, come=come), nothing)
    come[:, 1, 2, 2] = 1.0
    assert not torch.equal(edit(latents, told, come=come), nothing)


def test_what_shows_already_what_is_said_is_told_of_nothing_that_comes():
    n = 8
    row = torch.arange(n)
    data = Latents(
        z=torch.randn(n, 4, 4, 4).half(), actions=torch.zeros(n, 1), rewards=torch.zeros(n), ended=torch.zeros(n),
        first=torch.ones(n, dtype=torch.bool), care=torch.zeros(n, 4, 4), carried=torch.randn(n, 4, 4, 4).half(),
        prompts=tokenise(["a", "b", ""], TEXT), prompt=row % 2, next_stage=torch.where(row % 2 == 0, row + 1, -1),
    )  # fmt: skip
    pairs = Pairs(data, torch.ones(n, dtype=torch.bool), torch.ones(n, 2, 4, 4).half())
    changed = pairs.draw(64, EditTraining(settled_share=0.5, hidden_share=0.0))
    assert changed.come is not None
    told = changed.come.flatten(1).amax(1)
    assert set(told.tolist()) == {0.0, 1.0}
    cut = changed.cut(2, 2).come
    assert cut is not None
    assert cut.shape == (64, 2, 2, 2)


@pytest.fixture
def building_pack(small_pack) -> Pack:
    """The small pack with ears, a memory, an edit that paints bright where things come, and a layout."""
    torch.manual_seed(3)
    old = small_pack.file
    channels = old.autoencoder.latent_channels
    motion = replace(old.dynamics.motion, travels=True)
    recall = RecallConfig(latent_channels=channels, width=8, blocks=1)
    config = replace(old.dynamics, text=TEXT, keeps=True, motion=motion, recall=recall)
    grid = tuple(small_pack.starts.latents.shape[-2:])
    layout, edit = hopeful((1, 0), channels, grid=grid), edit_of(2, channels)
    file = msgspec.structs.replace(old, dynamics=config, edit=edit.config, layout=layout.config, vocabulary=("tower",))
    starts = replace(small_pack.starts, pose=torch.zeros(len(small_pack.starts), 5))
    parts = {"motion": Motion(motion), "recall": Recall(recall), "edit": edit, "layout": layout, "starts": starts}
    return replace(small_pack, file=file, dynamics=Dynamics(config), **parts)


def test_a_pack_keeps_its_layout(building_pack, tmp_path):
    save_pack(building_pack, tmp_path / "pack")
    loaded = load_pack(tmp_path / "pack")
    assert loaded.file.layout == building_pack.file.layout
    assert loaded.layout is not None
    torch.testing.assert_close(loaded.layout.boxes, building_pack.layout.boxes, atol=1e-3, rtol=1e-3)


def test_words_bring_things_into_the_picture_and_into_what_is_remembered(building_pack):
    engine = Engine.of(building_pack)
    assert engine.recall is not None
    without = Engine.of(replace(building_pack, layout=None))
    latents, actions = (part[:1] for part in (building_pack.starts.latents, building_pack.starts.actions))
    state = engine.begin(latents, actions, ONE, prompts=["red"])
    here = replace(state.album, pose=state.pose[:, None].expand_as(state.album.pose))
    state = replace(state, album=here)
    told, silent = engine.say(state, ["a tower"]), without.say(state, ["a tower"])
    assert not torch.equal(told.latents, silent.latents)
    there = state.album.frame >= 0
    assert there.any()
    assert not torch.equal(told.album.pixels[there], silent.album.pixels[there])
    turned = replace(state, pose=state.pose + torch.tensor([0.0, 0.0, 0.0, 3.0, 0.0]))
    behind, nothing = engine.say(turned, ["a tower"]), without.say(turned, ["a tower"])
    assert torch.equal(behind.album.pixels[there], nothing.album.pixels[there]), "those look the other way"
    elsewhere = replace(state, pose=state.pose + torch.tensor([9.0, 0.0, 0.0, 0.0, 0.0]) * engine.recall.unit)
    walked, nothing = engine.say(elsewhere, ["a tower"]), without.say(elsewhere, ["a tower"])
    assert torch.equal(walked.album.pixels[there], nothing.album.pixels[there]), "those are of another place"


def test_it_learns_what_stands_and_what_is_wanted():
    torch.manual_seed(0)
    n = 64
    latents, stands = torch.randn(n, 4, 8, 8) * 0.1, torch.zeros(n, 3, 8, 8, dtype=torch.bool)
    for row in range(n):
        stands[row, row % 2, 2:5, row % 7 : row % 7 + 2] = True
        latents[row, row % 2] += stands[row, row % 2] * 2.0
    count = stands[:, :2].any(2).any(2).long()
    scenery = Scenery(latents=latents.half(), stands=stands, count=count, pitch=torch.zeros(n))
    texts = ["a tower", "two towers", "a tree", "snow"]
    wishes = Wishes(texts=texts, wanted=torch.tensor([[1, -1], [2, -1], [-1, 1], [-1, -1]]))
    layout = Layout(LayoutConfig(kinds=("tower", "tree"), boxes=4, latent_channels=4, grid=(8, 8), width=8, text=TEXT))
    before = measure_layout(layout.eval(), scenery, wishes)
    training = LayoutTraining(steps=160, word_steps=120, warmup=5, batch=16, sayings=16)
    after = measure_layout(train_layout(layout, scenery, wishes, Budget(seconds=60), CPU, training), scenery, wishes)
    assert after["recall"] > 0.8 > before["recall"] * before["precision"]
    assert after["precision"] > 0.8
    assert after["words"] == 1.0 > before["words"]


def test_sizes_are_chosen_from_all_that_were_seen():
    layout = hopeful()
    boxes = torch.tensor([[kind, -0.1 * (n + 1), 0.1, 0.2] for n in range(16) for kind in (0.0, 1.0)])
    sized(layout, boxes)
    assert layout.boxes[1, 0].tolist() == pytest.approx([-0.1, 0.1, 0.2])
    assert layout.boxes[1, -1].tolist() == pytest.approx([-1.6, 0.1, 0.2])
    with pytest.raises(ValueError, match="a tree that is whole in view"):
        sized(layout, boxes[boxes[:, 0] == 0])


def test_moments_tell_what_has_come_and_where():
    moments = look(9_600_000, 16, (64, 64))
    assert len(moments) == 64 == len(moments.seen) == len(moments.count)
    assert not moments.come[::4].any(), "nothing has come before the first words"
    come = moments.come.amax((2, 3)) > 128
    assert come.any()
    size = 64 // CELL_PX
    assert moments.come.shape == (64, len(KINDS), size, size)
    grown = torch.cat([moments.count[:1] * 0, moments.count[1:] > moments.count[:-1]])
    assert grown[come].float().mean() > 0.8, "there are more of it in view"
    assert moments.stands[:, :-1].any(2).any(2)[come].float().mean() > 0.9


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("put a red tower here", [1, -1, -1, -1, -1, -1]),
        ("two houses and no trees", [-1, 2, 0, -1, -1, -1]),
        ("rocks", [-1, -1, -1, 2, -1, -1]),
        ("make it night", [-1] * 6),
        ("three animals", [-1, -1, -1, -1, -1, 3]),
    ],
)
def test_how_many_a_prompt_wants(text, wanted):
    assert counts_of(text) == wanted


def test_prompts_are_the_same_every_time():
    assert prompts(20, 3) == prompts(20, 3) != prompts(20, 4)
