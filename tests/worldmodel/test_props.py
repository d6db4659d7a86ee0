"""Things that words ask for come where nothing stands, in every picture that shows that place."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
import torch

from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.memory.compact import to_bytes
from inhabit.worldmodel.memory.props import MOST, MOST_AT_ONCE, Props, PropsConfig
from inhabit.worldmodel.memory.recall import Recall, RecallConfig
from inhabit.worldmodel.memory.vistas import LEAST_LOOK, MOST_LOOK
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.edit import Edit, EditConfig
from inhabit.worldmodel.omni.motion import Motion
from inhabit.worldmodel.omni.text import TextConfig
from inhabit.worldmodel.pack import Pack, load_pack, save_pack
from inhabit.worldmodel.train.props import (
    CutOuts,
    PropsTraining,
    Scenery,
    Wishes,
    collect,
    learn_words,
    measure_props,
    train_props,
)
from inhabit.worldmodel.train.schedule import Budget
from inhabit.worldmodel.worlds.isle.attributes import COLOURS
from inhabit.worldmodel.worlds.isle.moments import CELL_PX, KINDS, SIDE_PX, colours_of, counts_of, look, prompts

pytestmark = pytest.mark.usefixtures("one_thread")

TEXT = TextConfig(tokens=8, buckets=64, width=16, layers=1, heads=2)
CPU = torch.device("cpu")
ONE, ZERO = torch.ones(1, dtype=torch.int64), torch.zeros(1)
TOWER, TREE = 0, 1
RED, BLUE = 0, 1


def hopeful(wanted: tuple[int, int] = (1, 0), colour: int = -1, channels: int = 4, **changes) -> Props:
    """Props that hear a wish for so many of each kind in every word, see nothing stand, and look level. Of each kind
    there is one of each colour, plain red or blue, from a grey place."""
    torch.manual_seed(0)
    sizes = {
        "pictures": 4,
        "side": 8,
        "focal": 32.0,
        "latent_channels": channels,
        "grid": (8, 8),
        "width": 8,
        "text": TEXT,
    }
    props = Props(PropsConfig(kinds=("tower", "tree"), colours=("red", "blue"), **{**sizes, **changes}))
    props.box[:] = torch.tensor([-0.4, 0.3, 0.4])
    for number in range(4):
        props.kind[number], props.colour[number] = number // 2, number % 2
        props.pictures[number, 2 * (number % 2)] = 255
        props.pictures[number, 3] = 255
    grey = torch.zeros(6 * props.config.grid[0])
    props.place[:] = to_bytes(grey, LEAST_LOOK, MOST_LOOK)
    with torch.no_grad():
        for layer in (props.out, props.count, props.pitch[-1], props.words.out[-1]):
            assert isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
            assert layer.bias is not None
            layer.weight.zero_()
            layer.bias.zero_()
        assert props.out.bias is not None
        props.out.bias.fill_(-9.0)
        seen_bias(props)[:, 0] = 9.0
        heard = props.words.out[-1].bias
        assert isinstance(heard, torch.Tensor)
        heard.view(2, -1)[torch.arange(2), torch.tensor(wanted) + 1] = 9.0
        heard.view(2, -1)[:, MOST + 2 + colour + 1] = 9.0
    return props.eval().requires_grad_(False)


def seen_bias(props: Props) -> torch.Tensor:
    """How many of each kind it sees in every picture, as logits."""
    assert isinstance(props.count.bias, torch.Tensor)
    return props.count.bias.view(2, -1)


def stand(props: Props) -> None:
    """Let something stand wherever the picture is bright."""
    first = props.join[0]
    assert isinstance(first, torch.nn.Conv2d)
    with torch.no_grad():
        for part in (*props.join, props.finish):
            for name, value in part.named_parameters():
                if "outer" in name:
                    value.zero_()
        props.up.weight.zero_()
        first.weight.zero_()
        first.weight[0, 0, 1, 1] = 1.0
        props.out.weight[0, 0, 1, 1] = 30.0


def grey(size: tuple[int, int] = (64, 64), count: int = 1) -> torch.Tensor:
    return torch.full((count, *size, 3), 128, dtype=torch.uint8)


def arranged(props: Props, latents: torch.Tensor | None = None, key: int = 1) -> torch.Tensor:
    latents = torch.zeros(1, 4, 8, 8) if latents is None else latents
    return props.arranged(latents, grey(), ["a tower"], ONE * key, ONE)[0]


def put(props: Props, places: torch.Tensor, size=(64, 64), turn: float = 0.0, nod: float = 0.0) -> torch.Tensor:
    """The picture, (h, w, 3) int."""
    return props.put(grey(size), places[None], ZERO + turn, ZERO + nod)[0].int()


def is_there(picture: torch.Tensor) -> torch.Tensor:
    """Where something was put."""
    return (picture - 128).abs().amax(-1) > 60


def count_of(places: torch.Tensor) -> int:
    return int((places[:, 2] > places[:, 1]).sum())


def test_what_is_asked_for_is_put_whole_in_view():
    props = hopeful()
    places = arranged(props)
    assert count_of(places) == 1
    number, left, right, top, bottom = places[0].tolist()
    assert props.kind[int(number)] == TOWER
    assert right - left == pytest.approx(0.4 * 32, abs=1e-3)
    assert [top, bottom] == pytest.approx([-0.4 * 32, 0.3 * 32])
    assert max(abs(left), abs(right)) <= 32
    there = is_there(put(props, places))
    assert int(there.sum()) == pytest.approx(0.4 * 32 * 0.7 * 32, rel=0.15)


def test_it_has_the_colour_that_was_said():
    for colour in (RED, BLUE):
        props = hopeful(colour=colour)
        picture = put(props, arranged(props))
        middle = picture[is_there(picture)].float().mean(0)
        assert middle.argmax() == 2 * colour


def test_nobody_asks_for_it_nothing_comes():
    props = hopeful((0, 0))
    places = arranged(props)
    assert not places.any()
    assert torch.equal(put(props, places), grey()[0].int())


def test_what_is_in_view_is_not_put_there_again():
    props = hopeful((2, 0))
    with torch.no_grad():
        seen_bias(props)[0, 1] = 20.0
    assert count_of(arranged(props)) == 1


def test_it_comes_where_nothing_stands():
    props = hopeful()
    stand(props)
    latents = torch.zeros(1, 4, 8, 8)
    latents[:, 0, :, :5] = 1.0
    for key in range(5):
        places = arranged(props, latents, key)
        assert places[0, 2] > 8, "there is room on the right"
        assert not is_there(put(props, places))[:, :36].any()
    latents[:, 0] = 1.0
    assert not arranged(props, latents).any(), "and where there is no room, nothing comes"


def test_things_do_not_come_before_each_other_and_not_too_many_at_once():
    props = hopeful((3, 3))
    props.box[:] = torch.tensor([-0.2, 0.1, 0.2])
    places = arranged(props)
    assert 2 <= count_of(places) <= MOST_AT_ONCE
    assert {int(props.kind[int(place[0])]) for place in places if place[2] > place[1]} == {TOWER, TREE}
    assert props.covers(places[:, 1:], (8, 8)).sum(0).max() <= 1.0 + 1e-4


def test_where_it_comes_is_drawn_by_the_session():
    props = hopeful()
    assert torch.equal(arranged(props, key=1), arranged(props, key=1))
    assert len({float(arranged(props, key=key)[0, 1]) for key in range(8)}) > 2


def test_of_many_the_one_is_taken_that_was_seen_in_a_place_like_this():
    props = hopeful(pictures=4)
    props.kind.zero_()
    for number, shade in enumerate((-0.9, -0.5, 0.5, 0.02)):
        seen = torch.zeros(6 * 8)
        seen[: 3 * 8] = shade
        props.place[number] = to_bytes(seen, LEAST_LOOK, MOST_LOOK)
    assert all(int(arranged(props, key=key)[0, 0]) == 3 for key in range(4))


def test_in_the_dark_it_is_darker_than_it_was_seen():
    props, places = hopeful(), torch.zeros(MOST_AT_ONCE, 5)
    places[0] = torch.tensor([0.0, -8.0, 8.0, -8.0, 8.0])
    night = props.put(grey() // 4, places[None], ZERO, ZERO)[0].int()
    assert night[32, 32, 0] < 200 < put(props, places)[32, 32, 0]


def test_who_turns_sees_it_where_it_was():
    props, places = hopeful(), torch.zeros(MOST_AT_ONCE, 5)
    places[0] = torch.tensor([0.0, 0.0, 8.0, -8.0, 8.0])

    def middle(**looks: float) -> tuple[float, float]:
        rows, columns = is_there(put(props, places, **looks)).nonzero().float().unbind(1)
        return float(rows.mean()), float(columns.mean())

    assert middle() == pytest.approx((31.5, 35.5), abs=0.6)
    row, column = middle(turn=0.25)
    assert column == pytest.approx(27.5, abs=1.0)
    assert row == pytest.approx(31.5, abs=0.6)
    assert middle(nod=0.25)[0] == pytest.approx(39.5, abs=1.0)
    assert not is_there(put(props, places, turn=3.0)).any(), "it is behind one"


def test_a_view_of_another_shape_has_it_in_the_same_direction():
    props, places = hopeful(), torch.zeros(MOST_AT_ONCE, 5)
    places[0] = torch.tensor([0.0, -8.0, 8.0, -8.0, 8.0])
    there = is_there(put(props, places, size=(128, 256)))
    assert int(there.sum()) == pytest.approx(32 * 32, rel=0.1)
    assert there[50:78, 114:142].all()


@pytest.fixture
def building_pack(small_pack) -> Pack:
    """The small pack with ears, a memory, an edit, and props."""
    torch.manual_seed(3)
    old = small_pack.file
    channels = old.autoencoder.latent_channels
    motion = replace(old.dynamics.motion, travels=True)
    recall = RecallConfig(latent_channels=channels, width=8, blocks=1)
    config = replace(old.dynamics, text=TEXT, keeps=True, motion=motion, recall=recall)
    grid = tuple(small_pack.starts.latents.shape[-2:])
    sizes = {"width": 16, "coarse_width": 16, "blocks": (1, 1), "coarse_blocks": 1, "heads": 2, "grid": (4, 4)}
    edit = Edit(EditConfig(text=TEXT, latent_channels=channels, **sizes))
    props = hopeful((1, 0), channels=channels, grid=grid)
    file = msgspec.structs.replace(old, dynamics=config, edit=edit.config, props=props.config, vocabulary=("tower",))
    starts = replace(small_pack.starts, pose=torch.zeros(len(small_pack.starts), 5))
    parts = {"motion": Motion(motion), "recall": Recall(recall), "edit": edit, "props": props, "starts": starts}
    return replace(small_pack, file=file, dynamics=Dynamics(config), **parts)


def test_a_pack_keeps_its_props(building_pack, tmp_path):
    save_pack(building_pack, tmp_path / "pack")
    loaded = load_pack(tmp_path / "pack")
    assert loaded.file.props == building_pack.file.props
    assert loaded.props is not None
    assert torch.equal(loaded.props.pictures, building_pack.props.pictures)
    torch.testing.assert_close(loaded.props.box, building_pack.props.box, atol=1e-3, rtol=1e-3)


def test_words_bring_things_into_the_picture_and_into_what_is_remembered(building_pack):
    engine = Engine.of(building_pack)
    assert engine.recall is not None
    without = Engine.of(replace(building_pack, props=None))
    latents, actions = (part[:1] for part in (building_pack.starts.latents, building_pack.starts.actions))
    state = engine.begin(latents, actions, ONE, prompts=["red"])
    here = replace(state.album, pose=state.pose[:, None].expand_as(state.album.pose))
    state = replace(state, album=here)
    told, silent = engine.say(state, ["a tower"]), without.say(state, ["a tower"])
    assert not torch.equal(told.pixels, silent.pixels)
    assert not torch.equal(told.latents, silent.latents)
    assert torch.equal(told.canvas.picture, told.pixels), "what comes is carried as it is"
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
    texts = ["a red tower", "two towers", "a blue tree", "snow"]
    colour = torch.tensor([[0, -1], [-1, -1], [-1, 1], [-1, -1]])
    wishes = Wishes(texts=texts, wanted=torch.tensor([[1, -1], [2, -1], [-1, 1], [-1, -1]]), colour=colour)
    sizes = {"pictures": 4, "latent_channels": 4, "grid": (8, 8), "width": 8, "text": TEXT}
    props = Props(PropsConfig(kinds=("tower", "tree"), colours=("red", "blue"), **sizes))
    before = measure_props(props.eval(), scenery, wishes)
    training = PropsTraining(steps=160, word_steps=160, warmup=5, batch=16, sayings=16)
    props = train_props(learn_words(props, wishes, CPU, training), scenery, Budget(seconds=60), CPU, training)
    after = measure_props(props, scenery, wishes)
    assert after["recall"] > 0.8 > before["recall"] * before["precision"]
    assert after["precision"] > 0.8
    assert after["words"] == 1.0 > before["words"]


def test_cut_outs_are_chosen_from_every_kind_and_colour():
    props = hopeful()
    facts = torch.tensor([[0.0, 0.0, -0.1 * n, 0.1, 0.2] for n in range(9)] + [[1.0, 1.0, -0.1, 0.1, 0.2]])
    seen = CutOuts(pictures=torch.zeros(10, 4, 8, 8, dtype=torch.uint8), facts=facts, places=torch.zeros(10, 48))
    collect(props, seen)
    assert sorted(props.kind.tolist()) == [0, 0, 0, 1]
    few = CutOuts(pictures=seen.pictures[:3], facts=facts[:3], places=seen.places[:3])
    with pytest.raises(ValueError, match="Expected 4 things that are whole in view, got 3"):
        collect(props, few)


def test_moments_tell_what_stands_and_cut_it_out():
    moments = look(9_600_000, 16, (64, 64))
    size = 64 // CELL_PX
    assert len(moments) == 64 == len(moments.seen) == len(moments.count)
    assert moments.stands.shape == (64, len(KINDS) + 1, size, size)
    seen = moments.stands[:, :-1].flatten(2).any(2)
    assert (moments.count[seen] > 0).float().mean() > 0.7
    assert moments.count[~seen].float().mean() < 0.1
    assert len(moments.facts) == len(moments.pictures) == len(moments.places) > 4
    assert moments.pictures.shape[1:] == (4, SIDE_PX, SIDE_PX)
    kind, colour, top, bottom, width = moments.facts.unbind(1)
    assert kind.max() < len(KINDS)
    assert colour.max() < len(COLOURS)
    assert (bottom > top).all()
    assert (width > 0).all()
    alpha = moments.pictures[:, 3].float().mean((1, 2)) / 255
    assert (alpha > 0.2).all(), "it fills its box"


@pytest.mark.parametrize(
    ("text", "wanted", "colours"),
    [
        ("put a red tower here", [1, -1, -1, -1, -1, -1], [0, -1, -1, -1, -1, -1]),
        ("two houses and no trees", [-1, 2, 0, -1, -1, -1], [-1] * 6),
        ("rocks", [-1, -1, -1, 2, -1, -1], [-1] * 6),
        ("make it night", [-1] * 6, [-1] * 6),
        ("three animals", [-1, -1, -1, -1, -1, 3], [-1] * 6),
    ],
)
def test_what_a_prompt_wants(text, wanted, colours):
    assert counts_of(text) == wanted
    assert colours_of(text) == colours


def test_prompts_are_the_same_every_time():
    assert prompts(20, 3) == prompts(20, 3) != prompts(20, 4)
