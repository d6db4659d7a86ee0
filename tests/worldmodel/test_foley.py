"""The network that makes a world's sound: what it learns, and worlds that sound by it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
import torch

from inhabit.bridge.errors import WorldError
from inhabit.bridge.toy import ToyWorld
from inhabit.bridge.world import check_world
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.memory.pose import POSE, between
from inhabit.worldmodel.memory.recall import Recall, RecallConfig
from inhabit.worldmodel.neural_world import NeuralWorld
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.flight import FELT
from inhabit.worldmodel.omni.foley import Foley, FoleyConfig, felt, walked, word_bags
from inhabit.worldmodel.omni.motion import Motion
from inhabit.worldmodel.omni.text import TextConfig
from inhabit.worldmodel.pack import Pack, load_pack, save_pack
from inhabit.worldmodel.recordings import Meta
from inhabit.worldmodel.state import State
from inhabit.worldmodel.train.flight import new_flight
from inhabit.worldmodel.train.foley import FoleyTraining, Score, senses_of, train_foley
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.schedule import Budget

META = Meta(world=ToyWorld().info, source="test")
SMALL = FoleyConfig(latent=6, actions=3, width=24, head_width=24, head_blocks=1, steps=4)
WORDS = replace(SMALL, text=TextConfig(buckets=64))


def awake(config: FoleyConfig = SMALL) -> Foley:
    """One with weights of which none is zero."""
    torch.manual_seed(0)
    foley = Foley(config)
    for weight in foley.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.2)
    return foley.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def foley_pack(sounding_pack) -> Pack:
    foley = awake()
    file = type(sounding_pack.file)(
        info=sounding_pack.file.info,
        autoencoder=sounding_pack.file.autoencoder,
        dynamics=sounding_pack.file.dynamics,
        foley=foley.config,
    )
    return replace(sounding_pack, file=file, foley=foley)


def begun(engine: Engine, pack: Pack, keys: list[int]) -> State:
    rows = torch.zeros(len(keys), dtype=torch.int64)
    starts = pack.starts
    assert starts.sound is not None
    return engine.begin(starts.latents[rows], starts.actions[rows], torch.tensor(keys), sound=starts.sound[rows])


def heard(engine: Engine, state: State, frames: int = 6) -> torch.Tensor:
    sounds = []
    for frame in range(frames):
        state, _ = engine.step(state, torch.eye(3)[[frame % 3] * len(state)])
        sounds.append(engine.hear(state))
    return torch.cat(sounds, 1)


@pytest.mark.parametrize("paced", [False, True])
def test_frame_by_frame_it_counts_as_in_a_whole_walk(paced):
    foley = awake(replace(WORDS, senses=POSE, paced=paced))
    before, actions, cue = torch.randn(2, 7, 6), torch.rand(2, 7, 3), torch.randn(2, 7, 24)
    senses = torch.randn(2, 7, POSE)
    told, after = foley.listen(foley.silence(2), before, actions, senses, cue)
    memory, noise = foley.silence(2), torch.randn(2, 7, 6)
    for frame in range(7):
        now = (part[:, frame] for part in (before, actions, senses, cue, noise))
        made, memory = foley.step(memory, *now)
        torch.testing.assert_close(made, foley.make(noise[:, frame], told[:, frame]))
    torch.testing.assert_close(memory, after)


def test_prompts_are_read_by_their_letters_and_not_by_their_order():
    foley = awake(WORDS)
    storm, again, calm = foley.read(["a storm at night", "at night a storm", "a calm day"])
    torch.testing.assert_close(storm, again)
    assert (storm - calm).abs().max() > 0.1
    assert WORDS.text is not None
    assert word_bags([""], WORDS.text).sum() == 1  # the mark at its beginning
    assert awake().read(["whatever"]).shape == (1, 0)


def echoes(episodes: int = 40, frames: int = 40) -> tuple[Footage, torch.Tensor]:
    """Whoever fires hears a bang three frames later: on the left, or on the right where that is said."""
    rng = np.random.default_rng(0)
    n = episodes * frames
    actions = np.zeros((n, 3), np.float32)
    actions[:, 2] = rng.random(n) < 0.15
    side = np.repeat(rng.integers(0, 2, episodes), frames)
    heard = 0.1 * rng.standard_normal((n, 6))
    for row in np.flatnonzero(actions[:, 2]):
        if row + 3 < n and row // frames == (row + 3) // frames:
            heard[row + 3, side[row]] += 3
    footage = Footage(
        meta=META, frames=np.zeros((n, 8, 8, 3), np.uint8), actions=actions, rewards=np.zeros(n, np.float32),
        terminated=np.zeros(n, bool), first=np.arange(n) % frames == 0, seeds=np.arange(n) // frames,
        boxes=np.zeros((0, 6), np.int32), names=(), text_of=side,
        texts=("it comes from the left", "it comes from the right"),
    )  # fmt: skip
    return footage, torch.from_numpy(heard).float()


def test_it_learns_what_sounds_how_much_later_and_what_words_say(steps_clock):
    footage, sounds = echoes()
    torch.manual_seed(0)
    network = Foley(replace(WORDS, width=48, head_width=48, text=TextConfig(buckets=256)))
    score = Score.of(footage, sounds, network.config.text, torch.device("cpu"), frames=24)
    training = FoleyTraining(batch=16, frames=24, rate=4e-3, warmup=20, average=0.99)
    foley = train_foley(network, score, Budget(seconds=600, clock=steps_clock), torch.device("cpu"), training)
    cue = foley.read(footage.texts)
    memory, before = foley.silence(2), torch.zeros(2, 6)
    bangs = []
    for frame in range(16):
        action = torch.tensor([[0.0, 0.0, float(frame == 5)]] * 2)
        before, memory = foley.step(memory, before, action, torch.zeros(2, 0), cue, torch.randn(2, 6))
        bangs.append(before[:, :2])
    bangs = torch.stack(bangs)  # (frames, sessions, sides)
    assert bangs[:, 0, 0].argmax() == bangs[:, 1, 1].argmax() == 8
    assert bangs[8, 0, 0] > 2 > 1 > bangs[8, 0, 1]
    assert bangs[8, 1, 1] > 2 > 1 > bangs[8, 1, 0]
    assert bangs[1:8].abs().max() < 1  # the first frame follows on something, always


def test_a_world_with_foley_sounds_by_it(foley_pack, tmp_path):
    save_pack(foley_pack, tmp_path / "foley")
    pack = load_pack(tmp_path / "foley")
    check_world(NeuralWorld(pack, Engine.of(pack)))
    engine, without = Engine.of(pack), Engine.of(replace(pack, foley=None))
    ours, theirs = (heard(one, begun(one, pack, [1])) for one in (engine, without))
    assert ours.shape == theirs.shape
    assert (ours != theirs).any()


def test_sessions_hear_what_they_would_hear_alone(foley_pack):
    engine = Engine.of(foley_pack)
    both, alone = heard(engine, begun(engine, foley_pack, [1, 2])), heard(engine, begun(engine, foley_pack, [2]))
    assert (both[1].int() - alone[0].int()).abs().max() <= 2
    assert (both[0] != both[1]).any()


def test_what_it_counted_is_kept_with_a_session_and_may_be_missing_in_an_old_one(foley_pack):
    engine = Engine.of(foley_pack)
    state = begun(engine, foley_pack, [1])
    assert state.counted.shape == engine.outline(1, 4, 4).counted.shape == (1, 24)
    state, _ = engine.step(state, torch.ones(1, 3))
    again = State.from_tensors(state.tensors())
    assert torch.equal(heard(engine, again), heard(engine, state))
    old = {name: value for name, value in state.tensors().items() if name not in ("cue", "counted")}
    assert State.from_tensors(old).counted.shape == (1, 0)


def test_who_learns_to_feel_keeps_what_he_knew():
    numb = awake(WORDS)
    feeling = numb.feeling(POSE)
    before, actions, cue = torch.randn(2, 7, 6), torch.rand(2, 7, 3), torch.randn(2, 7, 24)
    told, _ = numb.listen(numb.silence(2), before, actions, torch.zeros(2, 7, 0), cue)
    felt_too, _ = feeling.listen(feeling.silence(2), before, actions, torch.randn(2, 7, POSE), cue)
    torch.testing.assert_close(told, felt_too)
    with pytest.raises(WorldError, match="at least the 5 senses"):
        feeling.feeling(0)


def test_who_learns_of_strides_keeps_what_he_knew_and_felt():
    feeling = awake(replace(WORDS, senses=POSE))
    pacing = feeling.feeling(POSE + FELT, stride=3.0)
    assert pacing.config.paced
    assert float(pacing.stride) == 3.0
    assert float(pacing.feeling(POSE + FELT).stride) == 3.0
    before, actions, cue = torch.randn(2, 7, 6), torch.rand(2, 7, 3), torch.randn(2, 7, 24)
    senses, more = torch.randn(2, 7, POSE), torch.randn(2, 7, FELT)
    told, memory = feeling.listen(feeling.silence(2), before, actions, senses, cue)
    paced, after = pacing.listen(pacing.silence(2), before, actions, torch.cat([senses, more], -1), cue)
    torch.testing.assert_close(told, paced)
    torch.testing.assert_close(memory, after[:, :-1])


def test_a_stride_goes_on_while_one_walks_on_the_ground():
    pacing = awake(replace(WORDS, senses=POSE)).feeling(POSE, stride=4.0)
    moves = torch.zeros(4, 6, POSE)
    moves[0, :, 2] = 1.0  # straight on
    moves[1, :, 0] = -1.0  # to the left
    moves[2, :, 2], moves[2, :, 1] = 1.0, 0.5  # and up
    moves[3, :, 2] = 0.1  # trembling
    assert walked(moves).sum(1).tolist() == [6.0, 6.0, 0.0, 0.0]
    before, actions, cue = torch.zeros(4, 6, 6), torch.zeros(4, 6, 3), torch.zeros(4, 6, 24)
    _, after = pacing.listen(pacing.silence(4), before, actions, moves, cue)
    assert after[:, -1].tolist() == pytest.approx([0.5, 0.5, 0.0, 0.0])


@pytest.mark.parametrize(("stride", "found"), [(7.0, 7.0), (13.0, 13.0), (0.0, 0.0)])
def test_a_stride_is_heard_in_what_repeats(stride, found):
    torch.manual_seed(0)
    frames, walks = 96, 20
    moves = torch.zeros(walks, frames, POSE)
    moves[..., 2] = 1 + torch.rand(walks, frames)
    heard = torch.randn(walks, frames, 6)
    if stride:
        trodden = (moves[..., 2].cumsum(1) / stride + torch.rand(walks, 1)).floor()
        heard[:, 1:] += 6 * (trodden[:, 1:] > trodden[:, :-1])[..., None]
    n = walks * frames
    score = Score(
        np.zeros((n, 3), np.float32), heard.flatten(0, 1), np.arange(walks) * frames, ("",), np.zeros(n, np.int64),
        senses=moves.flatten(0, 1), text=None, device=torch.device("cpu"),
    )  # fmt: skip
    assert score.stride(frames) == pytest.approx(found, rel=0.03)


def test_a_recording_is_felt_as_play_feels_it():
    torch.manual_seed(1)
    flight = new_flight("ball", actions=2, focal=32.0, unit=2.0)
    with torch.no_grad():
        for name, weight in flight.named_parameters():
            if name.startswith(("throws.4", "falls.4")):
                weight.normal_(std=2.0) if weight.ndim > 1 else weight.fill_(3.0)
    first = np.isin(np.arange(30), (0, 8))
    actions, pose = torch.rand(30, 2), torch.randn(30, 5) * 0.3
    senses = senses_of(actions.numpy(), pose.numpy(), first, torch.tensor(2.0), flight)
    assert senses.shape == (30, POSE + FELT)
    left = torch.zeros(())
    for begin, end in ((0, 8), (8, 30)):
        thing = flight.held(pose[begin : begin + 1, 4])
        for row in range(begin + 1, end):
            travel = between(pose[row - 1, None], pose[row, None])
            thing = flight.step(thing, actions[None, row - 1 : row + 1], travel, pose[row, None])
            told = torch.cat([felt(travel, 2.0), flight.felt(thing, pose[row, None])], 1)
            torch.testing.assert_close(senses[row], told[0], atol=1e-4, rtol=1e-4)
            left = torch.maximum(left, thing.loose[0])
    assert left > 0, "something was thrown"
    assert not senses[[0, 8], :POSE].any()
    torch.testing.assert_close(
        senses_of(actions.numpy(), pose.numpy(), first, torch.tensor(2.0), None), senses[:, :POSE]
    )


def test_in_play_it_is_felt_how_one_moves(sounding_pack, monkeypatch):
    torch.manual_seed(3)
    foley, old = awake(replace(SMALL, senses=POSE + FELT)), sounding_pack.file
    motion = replace(old.dynamics.motion, travels=True)
    recall = RecallConfig(latent_channels=8, width=8, blocks=1)
    config = replace(old.dynamics, motion=motion, recall=recall)
    file = msgspec.structs.replace(old, dynamics=config, foley=foley.config)
    networks = {"dynamics": Dynamics(config), "motion": Motion(motion), "recall": Recall(recall)}
    pack = replace(sounding_pack, file=file, foley=foley, **networks)
    pack.recall.unit.fill_(2.0)
    starts = replace(pack.starts, pose=torch.zeros(len(pack.starts), POSE))
    engine = Engine.of(replace(pack, starts=starts))
    travel = torch.tensor([[0.1, 0.0, 0.5, 0.02, -0.01], [0.0, 0.2, 0.0, 0.0, 0.0]])
    assert engine.foley is not None
    asked, step = [], engine.foley.step

    def feels(memory, before, action, senses, cue, noise):
        asked.append(senses)
        return step(memory, before, action, senses, cue, noise)

    monkeypatch.setattr(engine.foley, "step", feels)
    monkeypatch.setattr(
        engine._foresight._motion, "forward", lambda z, *_: (torch.zeros(len(z), 2, *z.shape[-2:]), travel)
    )
    state = begun(engine, pack, [1, 2])
    engine.step(state, torch.zeros(2, 3))
    torch.testing.assert_close(asked[0][:, :POSE], felt(travel, 2.0), atol=1e-4, rtol=1e-4)
    assert asked[0].shape == (2, POSE + FELT)
    assert not asked[0][:, POSE:].any(), "nothing can be thrown here"
