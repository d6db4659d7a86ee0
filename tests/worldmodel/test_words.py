"""Words: how prompts are read, how they reach the picture, and what training does with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from inhabit.bridge.controls import IDLE
from inhabit.bridge.errors import WorldError
from inhabit.bridge.world import check_world
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.neural_world import NeuralWorld
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.text import MOST_TOKENS, TextConfig, tokenise, unknown_words, words_of
from inhabit.worldmodel.pack import Pack, load_pack, save_pack
from inhabit.worldmodel.train.dynamics import DynamicsTrainer, DynamicsTraining
from inhabit.worldmodel.train.forcing import ForcingConfig
from inhabit.worldmodel.train.latents import Latents
from inhabit.worldmodel.train.readback import LEAST, Readback

TEXT = TextConfig(tokens=8, buckets=64, width=16, layers=1, heads=2)
VOCABULARY = ("night", "red", "snow", "tower")


@pytest.fixture(scope="module")
def speaking_pack(small_pack) -> Pack:
    """The small pack with ears; random weights listen as well as trained ones."""
    torch.manual_seed(3)
    config = replace(small_pack.file.dynamics, text=TEXT)
    dynamics = Dynamics(config)
    for weight in dynamics.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.1 if weight.ndim == 2 else 0.02)
    info = type(small_pack.file.info)(
        **{name: getattr(small_pack.file.info, name) for name in ("name", "width", "height", "rate_hz", "actions")},
        steps=(1, 2, 4),
        prompts=("snow", "a red tower"),
    )
    file = type(small_pack.file)(
        info=info, autoencoder=small_pack.file.autoencoder, dynamics=config, vocabulary=VOCABULARY
    )
    return replace(small_pack, file=file, dynamics=dynamics)


@pytest.fixture
def world(speaking_pack) -> NeuralWorld:
    return NeuralWorld(speaking_pack, Engine.of(speaking_pack))


def test_words_are_lower_case_without_punctuation():
    assert words_of("A RED tower, in the fog!") == ["a", "red", "tower", "in", "the", "fog"]
    assert words_of("Schnee über Ål") == ["schnee", "über", "ål"]
    assert words_of("\x00\x07 !?") == []


def test_unknown_words_are_named_once_in_order():
    assert unknown_words("a purple tower in purple snow", ("a", "tower", "in", "snow")) == ["purple"]


def test_long_prompts_are_cut_and_empty_ones_are_only_their_mark():
    tokens = tokenise(["", "red " * 50, "x" * 500], TEXT)
    assert tokens.filled.sum(1).tolist() == [1, TEXT.tokens, 2]
    assert int(tokens.triples.max()) < TEXT.buckets


def test_a_recordings_longest_prompt_is_read_to_its_end():
    assert TEXT.longer(["red " * 20, "snow"]).tokens == 21
    assert TEXT.longer(["snow"]) == TEXT
    assert TEXT.longer(["red " * 500]).tokens == MOST_TOKENS


def test_a_prompt_that_is_too_long_is_read_as_far_as_it_goes_and_that_is_said(world):
    world.reset(seed=1)
    assert world.configure(prompt="red " * 7) is None
    assert world.configure(prompt="red " * 7 + "night tower") == "too long, not read from 'night' on"


def test_words_that_are_spelt_alike_share_triples():
    one, other, far = (
        set(tokenise([word], TextConfig()).triples[0, 1].tolist()) for word in ("tower", "towers", "snow")
    )
    assert len(one & other) > 3
    assert len(one & far) <= 1


def test_a_speaking_world_keeps_the_contract(world):
    check_world(world)


def test_a_prompt_changes_the_picture_and_not_the_episode(world):
    world.reset(seed=1)
    for _ in range(3):
        world.step(IDLE)
    state = world.save()
    silent = world.step(IDLE)
    world.restore(state)
    assert world.configure(prompt="snow") is None
    told = world.step(IDLE)
    assert told.index == silent.index
    assert not np.array_equal(told.pixels, silent.pixels)


def test_saying_nothing_is_like_having_said_nothing(world):
    world.reset(seed=1)
    plain = world.step(IDLE).pixels
    world.reset(seed=1)
    world.configure(prompt="snow")
    world.configure(prompt="  ")
    assert np.array_equal(world.step(IDLE).pixels, plain)


def test_strength_is_chosen_while_it_runs(world):
    frames = []
    for strength in (0, 1.5):
        world.reset(seed=1, options={"prompt": "snow"})
        world.configure(strength=strength)
        frames.append(world.step(IDLE).pixels)
    assert not np.array_equal(*frames)


def test_unknown_words_are_remarked_upon_and_known_ones_heard(world):
    world.reset(seed=1)
    assert world.configure(prompt="Purple snow, purple tower!") == "words it never heard: purple"
    assert world.configure(prompt="red tower") is None


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"prompt": "gibberish"}, "Expected words that the world has heard"),
        ({"prompt": "snow " * 200}, "Expected a prompt of at most 512 characters"),
        ({"prompt": 7}, "Expected a prompt of at most 512 characters, got int"),
        ({"strength": 9}, "Expected a strength from 0 to 2"),
        ({"strength": True}, "Expected a strength from 0 to 2"),
        ({"volume": 1}, "Expected settings among"),
        ({"prompt": "snow", "steps": 3}, "Expected steps to be one of"),
    ],
)
def test_bad_settings_are_refused_and_change_nothing(world, settings, expected):
    world.reset(seed=1, options={"prompt": "red"})
    before = world.save()
    with pytest.raises(WorldError, match=expected):
        world.configure(**settings)
    assert world.save() == before


def test_a_wordless_world_refuses_prompts(small_pack, engine):
    world = NeuralWorld(small_pack, engine)
    world.reset(seed=1)
    with pytest.raises(WorldError, match="Expected settings among"):
        world.configure(prompt="snow")
    with pytest.raises(WorldError, match="was learnt without words"):
        world.reset(seed=1, options={"prompt": "snow"})


def test_what_was_said_survives_save_and_restore(world, speaking_pack):
    world.reset(seed=1)
    world.configure(prompt="red snow", strength=1)
    state = world.save()
    frames = [world.step(IDLE).pixels for _ in range(3)]
    other = NeuralWorld(speaking_pack, Engine.of(speaking_pack))
    other.restore(state)
    assert all(np.array_equal(other.step(IDLE).pixels, frame) for frame in frames)
    assert other.configure(prompt="red snow", strength=1) is None


def test_each_session_of_a_batch_has_its_own_prompt(speaking_pack):
    engine = Engine.of(speaking_pack)
    latents, actions = speaking_pack.starts.latents[:1], speaking_pack.starts.actions[:1]
    twice = torch.cat([latents, latents]), torch.cat([actions, actions])
    both = engine.begin(*twice, torch.tensor([5, 5]), prompts=["", "snow"])
    both, _ = engine.step(both, torch.zeros(2, 3))
    for row, prompt in enumerate(("", "snow")):
        alone, _ = engine.step(engine.begin(latents, actions, torch.tensor([5]), prompts=[prompt]), torch.zeros(1, 3))
        torch.testing.assert_close(both.latents[row], alone.latents[0], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(both.latents[0], both.latents[1])


def test_a_pack_keeps_its_words(speaking_pack, tmp_path):
    save_pack(speaking_pack, tmp_path / "speaking")
    loaded = load_pack(tmp_path / "speaking")
    assert loaded.file.vocabulary == VOCABULARY
    assert loaded.file.dynamics.text == TEXT


def trainer_of(speaking_pack, **changes) -> DynamicsTrainer:
    """Frames that are all alike but for their prompt: "red" ones are 1 everywhere, "snow" ones -1."""
    torch.manual_seed(0)
    n, config = 200, speaking_pack.file.dynamics
    prompt = (torch.arange(n) // 50) % 2
    data = Latents(
        z=torch.where(prompt == 0, 1.0, -1.0)[:, None, None, None].expand(n, 8, 4, 4).half(),
        actions=torch.zeros(n, 3),
        rewards=torch.zeros(n),
        ended=torch.zeros(n),
        first=torch.arange(n) % 50 == 0,
        care=torch.zeros(n, 4, 4),
        carried=torch.zeros(n, 8, 4, 4).half(),
        recent=torch.zeros(n, 4, 3),
        prompts=tokenise(["red", "snow", ""], TEXT),
        prompt=prompt,
    )
    training = DynamicsTraining(batch=4, window=10, warmup=5, forcing=ForcingConfig(previous_drop=1.0, **changes))
    starts = np.array([10, 60, 110, 160])
    return DynamicsTrainer(Dynamics(config), data, starts, torch.device("cpu"), training, crew=1)


def test_frames_in_which_words_take_effect_are_made_from_nothing(speaking_pack):
    trainer = trainer_of(speaking_pack, spoken_blank=1.0)
    data = trainer.forcing.data
    words = torch.zeros(200, dtype=torch.int64)
    words[20:60], words[120:] = 1, 1  # new words at 20 and 120; at 60 and 150 an episode begins, or nothing is new
    trainer.forcing.data = replace(data, prompt=words, first=torch.isin(torch.arange(200), torch.tensor([0, 60, 150])))
    rows = torch.stack([torch.arange(16, 32), torch.arange(56, 72), torch.arange(116, 132), torch.arange(146, 162)])
    past = trainer.forcing.real_past(rows)
    spoken = trainer.forcing.spoken(past)
    assert rows[spoken].tolist() == [20, 21, 22, 23, 120, 121, 122, 123]
    block, _ = trainer.forcing.noise(past)
    assert (block.level[spoken] == 0).all()
    assert (block.level[~spoken] > 0).any()


def test_the_first_frame_of_a_window_now_and_then_has_only_words(speaking_pack):
    trainer = trainer_of(speaking_pack, begin_drop=1.0)
    trainer.forcing.config = replace(trainer.forcing.config, previous_drop=0.0)
    rows = trainer.forcing.draw_rows()
    block, _ = trainer.forcing.noise(trainer.forcing.real_past(rows))
    assert not block.previous[:, 0].any()
    assert block.carried is not None
    assert not block.carried[:, 0].any()
    assert block.previous[:, 1:].flatten(2).any(2).all()


def test_training_learns_what_words_mean(speaking_pack):
    trainer = trainer_of(speaking_pack, silent_share=0.2)
    first = np.mean([trainer.take_step(0.0)["video"] for _ in range(10)])
    last = np.mean([trainer.take_step(0.5)["video"] for _ in range(80)][-10:])
    assert last < 0.6 * first


def test_guided_rows_aim_away_from_where_the_world_goes_without_words(speaking_pack):
    trainer = trainer_of(speaking_pack, guided_rows=1.0, strongest=2.0)
    rows = trainer.forcing.draw_rows()
    block, clean = trainer.forcing.noise(trainer.forcing.real_past(rows))
    block = trainer.forcing.say(block, rows)
    for weight in trainer.network.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    guided, target = trainer.forcing.guide(block, clean, torch.zeros_like(block.level, dtype=torch.bool))
    assert guided.strength is not None
    assert float(guided.strength.max()) > 0
    moved = (target.video - clean.video).abs().flatten(2).sum(2) > 0
    assert moved.any()
    assert not moved[block.level >= 7].any(), "context is left alone"


def test_a_text_encoder_learns_to_tell_prompts_apart(speaking_pack):
    torch.manual_seed(0)
    network = Dynamics(speaking_pack.file.dynamics)
    scenes = [f"{colour} tower at {time}" for colour in ("red", "blue") for time in ("night", "noon")]
    prompts = tokenise(scenes * LEAST + ["never again", ""], TEXT)
    readback = Readback(prompts, network.config.transformer.width)
    assert readback.useful
    assert float(readback(network, 256).detach()) == pytest.approx(1, abs=0.1)
    assert readback.teach(network, 150, encoder=True) < 0.3
    held = [p.clone() for p in network.parameters()]
    again = Readback(prompts, network.config.transformer.width)
    assert again.teach(network, 150, encoder=False) < 0.3  # a later session learns only to ask
    assert all(torch.equal(a, b) for a, b in zip(held, network.parameters(), strict=True))


def test_words_that_are_hardly_ever_said_are_not_asked_for():
    assert not Readback(tokenise(["a red tower", "snow"], TEXT), 16).useful
