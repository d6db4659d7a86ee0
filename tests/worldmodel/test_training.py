"""Training: the targets are what the paper says, alignment holds, losses fall, and a run resumes."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import msgspec
import numpy as np
import pytest
import torch

from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.toy import ToyWorld
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.memory.atlas import Atlas, AtlasConfig
from inhabit.worldmodel.omni.autoencoder import Autoencoder, AutoencoderConfig
from inhabit.worldmodel.omni.block import CONTEXT_LEVEL, K_MAX, Block, Painting, Prediction
from inhabit.worldmodel.omni.detail import NormedBlock
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.motion import place_of
from inhabit.worldmodel.omni.rewards import reward_values, two_hot
from inhabit.worldmodel.pack import save_pack
from inhabit.worldmodel.recordings import Recorder
from inhabit.worldmodel.train.autoencoder import AutoencoderTraining, train_autoencoder
from inhabit.worldmodel.train.crew import crew_size
from inhabit.worldmodel.train.critic import LatentCritic
from inhabit.worldmodel.train.dynamics import DynamicsTrainer, DynamicsTraining, distance, painting_pays, worth
from inhabit.worldmodel.train.footage import load_footage, object_weight
from inhabit.worldmodel.train.forcing import FINEST, ForcingConfig
from inhabit.worldmodel.train.latents import Latents, goes_on, object_cells
from inhabit.worldmodel.train.learn import NORMED
from inhabit.worldmodel.train.presets import preset_for
from inhabit.worldmodel.train.rehearsal import Rehearsal, RehearsalConfig
from inhabit.worldmodel.train.run import Run, kept_pictures
from inhabit.worldmodel.train.scars import scarred
from inhabit.worldmodel.train.schedule import TRIAL_STEPS, Average, Budget, Threads, learning_rate
from inhabit.worldmodel.train.shortcut import bootstrap_target


@pytest.fixture(scope="module")
def toy_recording(tmp_path_factory):
    """Twelve short episodes of the toy world under seeded play."""
    folder = tmp_path_factory.mktemp("toy") / "recording"
    world = ToyWorld(width=64, height=64)
    rng = np.random.default_rng(0)
    with Recorder(folder, world.info, source="toy") as recorder:
        for episode in range(12):
            start = world.reset(seed=episode)
            recorder.add(start.pixels, action=(0, 0, 0), first=True)
            for step in range(40):
                action = np.eye(3)[rng.integers(3)]
                frame = world.step(Controls(action=tuple(action)))
                recorder.add(frame.pixels, action=action, reward=frame.reward, terminated=step == 39)
    return folder


class Oracle(Dynamics):
    """Knows the clean frames: what any schedule of steps must then lead to is the clean frame itself."""

    clean: torch.Tensor

    def forward(self, block: Block, past=None) -> Prediction:
        b, t = block.level.shape
        return Prediction(
            clean=self.clean[:b],
            painting=Painting(painted=self.clean[:b]),
            sound=None,
            reward_logits=torch.zeros(b, t, len(reward_values())),
            ending_logit=torch.zeros(b, t),
            made=[],
        )


def trainer_of(small_pack, network=None, rehearsal=None, crew=1, critic=None, **changes) -> DynamicsTrainer:
    torch.manual_seed(0)
    n, config = 200, small_pack.file.dynamics
    data = Latents(
        z=torch.randn(n, 8, 4, 4).half(),
        actions=torch.zeros(n, 3),
        rewards=torch.zeros(n),
        ended=torch.zeros(n),
        first=torch.arange(n) % 50 == 0,
        care=torch.zeros(n, 4, 4),
        carried=torch.randn(n, 8, 4, 4).half(),
        recent=torch.zeros(n, 4, 3),
    )
    training = DynamicsTraining(batch=4, window=10, warmup=5, **changes)
    starts = np.array([0, 50, 100, 110])
    if rehearsal is not None:
        rehearsal = Rehearsal(data, torch.from_numpy(starts), rehearsal, frames=16)
    return DynamicsTrainer(
        network or Dynamics(config),
        data,
        starts,
        torch.device("cpu"),
        training,
        engine_of=lambda network: Engine(small_pack.autoencoder, network, motion=small_pack.motion),
        rehearsal=rehearsal,
        critic=critic,
        crew=crew,
    )


def test_scars_are_in_the_past_alone_and_never_of_objects(small_pack):
    """A piece of elsewhere lies in a past from its first frame up to some frame; what shall come really came."""
    forcing = trainer_of(small_pack).forcing
    random = torch.Generator().manual_seed(3)
    past = forcing.real_past(forcing.draw_rows())
    assert scarred(past, forcing.data, 0.0, random) is past
    spoilt = scarred(past, forcing.data, 1.0, random)
    differs = (spoilt.video != past.video).any(2)
    for window in differs:
        frames = window.flatten(1).any(1)
        assert frames[0]
        assert (frames[1:] <= frames[:-1]).all()  # up to some frame
        assert all(bool((one == window[0]).all()) for one in window[frames])  # in one place
        assert 4 <= int(window[0].sum()) < 16
    torch.testing.assert_close((spoilt.carried != past.carried).any(2), differs[:, :-1])
    _, real = forcing.noise(spoilt)
    torch.testing.assert_close(real.video, forcing.data.z[past.rows].float())
    busy = replace(forcing.data, care=torch.ones_like(forcing.data.care))
    torch.testing.assert_close(scarred(past, busy, 1.0, random).video, past.video)


def test_a_crew_learns_what_its_members_learn_together(small_pack):
    trainer = trainer_of(small_pack, crew=2)
    first, second = (forcing.network for forcing in trainer._forcings)
    assert second is not first
    assert all(a.data_ptr() == b.data_ptr() for a, b in zip(first.parameters(), second.parameters(), strict=True))
    summed = trainer._crew
    grads = {}

    def learn(number: int) -> int:
        forcing = trainer._forcings[number]
        trainer._study(forcing, 0.0)
        grads[number] = [None if p.grad is None else p.grad.clone() for p in forcing.network.parameters()]
        return number

    assert summed is not None
    assert summed.run([partial(learn, 0), partial(learn, 1)]) == [0, 1]
    for mine, a, b in zip(first.parameters(), grads[0], grads[1], strict=True):
        if a is not None:
            torch.testing.assert_close(mine.grad, (a + b) / 2)
    assert any(a is not None and not torch.equal(a, b) for a, b in zip(grads[0], grads[1], strict=True))
    before = [parameter.clone() for parameter in second.parameters()]
    assert trainer.take_step(0.0)["video"] > 0
    assert any(not torch.equal(a, b) for a, b in zip(before, second.parameters(), strict=True))


def test_a_crew_shares_windows_evenly(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert [crew_size(torch.device("cpu"), batch) for batch in (1, 3, 4, 8, 7)] == [1, 3, 4, 4, 1]
    assert crew_size(torch.device("cuda"), 64) == 1


def test_a_training_cannot_run_away(small_pack):
    """However large its convolutions' numbers have become, the action is still heard and the picture still painted."""
    torch.manual_seed(0)
    network = Dynamics(replace(small_pack.file.dynamics, normed=True)).eval()
    first = network.detail.first
    assert isinstance(first, NormedBlock)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        for layer in (network.stem.join, network.detail.join, first.outer, network.video_in):
            layer.weight.mul_(1000)
    trainer = trainer_of(small_pack, network)
    block, _ = trainer.forcing.noise(trainer.forcing.real_past(trainer.forcing.draw_rows()))
    with torch.no_grad():
        heard = [network(replace(block, actions=torch.full_like(block.actions, told))).clean for told in (-1.0, 1.0)]
    assert float((heard[0] - heard[1]).abs().mean()) > 0.01
    assert float((heard[0] - block.carried).abs().mean()) < 10


def test_an_older_pack_goes_on_as_the_kind_that_it_is(small_pack, tmp_path):
    run = Run(tmp_path / "pack", preset="tiny", recording="test")
    assert run.knows(NORMED) is None
    save_pack(small_pack, tmp_path / "pack")
    assert run.knows(NORMED) is False
    run.keep("dynamics-network", Dynamics(replace(small_pack.file.dynamics, normed=True)))
    assert run.knows(NORMED) is True


def test_a_pack_that_is_improved_keeps_its_pictures(small_pack, tmp_path):
    assert kept_pictures(tmp_path / "pack") == (0, 0)
    file = msgspec.structs.replace(small_pack.file, atlas=AtlasConfig(pictures=5, trodden=2, grid=(4, 4)))
    save_pack(replace(small_pack, file=file, atlas=Atlas(file.atlas)), tmp_path / "pack")
    assert kept_pictures(tmp_path / "pack") == (0, 5)


def test_half_steps_of_a_perfect_network_lead_to_the_clean_frame(small_pack):
    oracle = Oracle(small_pack.file.dynamics)
    trainer = trainer_of(small_pack, oracle)
    past = trainer.forcing.real_past(trainer.forcing.draw_rows())
    block, clean = trainer.forcing.noise(past)
    oracle.clean = clean.video
    block, bootstrapped = trainer.forcing.make_big(block, clean, past, 4)
    assert bootstrapped.any()
    target = bootstrap_target(trainer.forcing.network, block, clean, bootstrapped, 4)
    torch.testing.assert_close(target.video, clean.video, atol=1e-4, rtol=1e-4)


def test_big_steps_lie_on_their_own_grid(small_pack):
    trainer = trainer_of(small_pack)
    past = trainer.forcing.real_past(trainer.forcing.draw_rows())
    block, clean = trainer.forcing.noise(past)
    assert (block.step == FINEST).all()
    assert (block.level < K_MAX).all()
    big, bootstrapped = trainer.forcing.make_big(block, clean, past, 4)
    length = K_MAX >> big.step  # a step's length in levels
    assert (big.level[bootstrapped] % length[bootstrapped] == 0).all()
    assert (big.level + length)[bootstrapped].max() <= K_MAX
    assert set(big.step[bootstrapped].tolist()) <= {0, 1, 2}


def test_first_steps_may_be_taught_directly(small_pack):
    trainer = trainer_of(small_pack, forcing=ForcingConfig(direct_share=0.5, blank_share=1.0, context_share=0.2))
    block, _ = trainer.forcing.noise(trainer.forcing.real_past(trainer.forcing.draw_rows()))
    begun = block.level == 0
    assert set(block.step[begun].tolist()) > {1, FINEST}
    assert (block.step[~begun] == FINEST).all()


def test_noise_follows_its_label(small_pack):
    trainer = trainer_of(small_pack)
    block, clean = trainer.forcing.noise(trainer.forcing.real_past(trainer.forcing.draw_rows()))
    tau = block.level[..., None, None, None] / K_MAX
    fresh = (block.noised - tau * clean.video) / (1 - tau)
    assert abs(float(fresh.std()) - 1) < 0.05


def test_the_previous_frame_is_the_one_before_and_nothing_at_an_episodes_start(small_pack):
    trainer = trainer_of(small_pack, forcing=ForcingConfig(previous_noise=0.0, previous_drop=0.0))
    rows = torch.stack([torch.arange(0, 10), torch.arange(110, 120)])  # the first begins an episode
    clean = trainer._data.z[rows].float()
    previous, _, _ = trainer.forcing.previous(trainer.forcing.real_past(rows), torch.ones_like(rows, dtype=torch.bool))
    assert torch.equal(previous[:, 1:], clean[:, :-1])
    assert not previous[0, 0].any()
    assert torch.equal(previous[1, 0], trainer._data.z[109].float())


@pytest.mark.parametrize(("bias", "kept"), [(100.0, "carried"), (-100.0, "previous")])
def test_an_untrained_network_shows_the_frame_before_where_motion_carried_it_or_where_it_was(small_pack, bias, kept):
    trainer = trainer_of(small_pack, forcing=ForcingConfig(previous_noise=0.0, previous_drop=0.0))
    with torch.no_grad():
        choice = trainer.network.detail.choice
        assert choice.bias is not None
        choice.bias[1] = bias
    block, _ = trainer.forcing.noise(trainer.forcing.real_past(trainer.forcing.draw_rows()))
    torch.testing.assert_close(trainer.network(block).clean, getattr(block, kept))


def test_a_rehearsal_is_what_the_engine_plays(small_pack):
    trainer = trainer_of(small_pack, rehearsal=RehearsalConfig(sessions=4, context=3))
    rehearsal = trainer.forcing.rehearsal
    assert rehearsal is not None
    engine = Engine(small_pack.autoencoder, trainer.network, motion=small_pack.motion)
    rehearsal.play(engine)
    play, data = rehearsal._plays[0], trainer._data
    assert torch.equal(play.video[:, :3], data.z[play.rows[:, :3]])
    begin = play.rows[:, :3]
    state = engine.begin(data.z[begin], data.actions[begin], torch.arange(4))
    state, _ = engine.step(state, data.actions[play.rows[:, 3]], steps=1)
    torch.testing.assert_close(play.video[:, 3].float(), state.latents.clone(), atol=2e-3, rtol=2e-3)
    assert play.carried is not None
    torch.testing.assert_close(play.carried[:, 3].float(), state.carried.clone(), atol=2e-3, rtol=2e-3)
    assert play.age[0].tolist() == [0, 0, 0, *range(1, 14)]


def test_rehearsed_lessons_show_dreams_as_the_past_and_ask_for_what_really_came(small_pack):
    quiet = ForcingConfig(previous_noise=0.0, previous_drop=0.0, context_share=0.5, blank_share=1.0)
    config = RehearsalConfig(share=1.0, sessions=4, context=3)
    trainer = trainer_of(small_pack, rehearsal=config, forcing=quiet)
    trainer._rehearse(1.0)
    assert trainer.forcing.rehearsal is not None
    past = trainer.forcing.rehearsal.draw(4, 10, torch.Generator().manual_seed(0))
    block, real = trainer.forcing.noise(past)
    assert torch.equal(real.video, trainer._data.z[past.rows].float())
    assert torch.equal(block.previous, past.video[:, :-1])
    assert block.carried is not None
    assert past.carried is not None
    assert torch.equal(block.carried, past.carried)
    level, old = block.level, past.age > 0
    nearer = (block.noised - past.video[:, 1:]).square().mean((2, 3, 4))
    further = (block.noised - real.video).square().mean((2, 3, 4))
    assert (nearer < further)[(level >= CONTEXT_LEVEL - 2) & old].all()
    assert trainer.forcing.draw(1.0).age.any()
    assert np.isfinite(trainer.take_step(1.0)["video"])


def test_objects_matter_less_the_longer_nobody_could_know_where_they_went(small_pack):
    trainer = trainer_of(small_pack, rehearsal=RehearsalConfig(share=1.0, sessions=4, context=3), foreseen_frames=8)
    trainer._data.care.fill_(1.0)
    trainer._rehearse(1.0)
    lesson = trainer.forcing.draw(1.0)
    care = trainer._care(lesson)[:, :, 0, 0]
    torch.testing.assert_close(care, (1 - lesson.age / 8).clamp(min=0))


def test_a_smaller_window_shows_the_middle_of_the_frames_and_is_learnt_from(small_pack):
    trainer = trainer_of(small_pack, forcing=ForcingConfig(cut_share=1.0))
    whole, shapes = trainer._data, set()
    for _ in range(20):
        lesson = trainer.forcing.draw(0.9)
        rows, columns = lesson.real.video.shape[-2:]
        top, left = (4 - rows) // 2, (4 - columns) // 2
        assert torch.equal(
            lesson.real.video, whole.z[lesson.rows][..., top : top + rows, left : left + columns].float()
        )
        assert lesson.block.noised.shape == lesson.real.video.shape
        shapes.add((rows, columns))
    assert shapes == {(rows, columns) for rows in (2, 4) for columns in (2, 4)}
    assert math.isfinite(sum(trainer.take_step(0.9).values()))


def test_the_middle_of_a_view_is_its_middle_at_every_size():
    usual = place_of(torch.zeros(1, 1, 8, 8), (8, 8))
    assert torch.equal(usual, place_of(torch.zeros(1, 1, 8, 8), None))
    assert float(usual.max()) == 1
    torch.testing.assert_close(place_of(torch.zeros(1, 1, 4, 6), (8, 8)), usual[:, 2:6, 1:7])
    torch.testing.assert_close(place_of(torch.zeros(1, 1, 10, 8), (8, 8))[:, 1:9], usual)


def test_rewards_survive_two_hot():
    rewards = torch.tensor([-1.0, 0.0, 0.5, 1.0, 7.3])
    spread = two_hot(rewards)
    torch.testing.assert_close(spread.sum(-1), torch.ones(5))
    torch.testing.assert_close((spread * reward_values()).sum(-1), rewards, atol=0.12, rtol=0.05)


def test_the_best_guess_is_what_is_most_probable_and_not_the_mean_of_all():
    """A latent is one thing in seven cases of ten, and another in three."""
    right = torch.tensor([1.0] * 7 + [-1.0] * 3)[:, None, None, None, None].expand(10, 1, 4, 1, 1)
    guess = torch.zeros(1, 1, 4, 1, 1, requires_grad=True)
    optimizer = torch.optim.Adam([guess], 0.05)
    for _ in range(200):
        loss = distance(guess.expand_as(right), right, 0.1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(guess.detach().mean()) > 0.9  # the mean is 0.4
    assert float(distance(right, right, 0.1).max()) == pytest.approx(0.0, abs=1e-6)


def test_what_a_picture_shows_nearly_as_well_is_kept_and_the_rest_is_painted(small_pack):
    """The frame before is right on the left, and wrong on the right; what is painted is half right everywhere."""
    right, kept = torch.randn(1, 1, 8, 8, 8), torch.randn(1, 1, 8, 8, 8)
    kept[..., :4] = right[..., :4] + 0.5 * torch.randn(1, 1, 8, 8, 4)
    painted = right + 0.45 * torch.randn(right.shape)
    bare, full = torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    assert painting_pays(painted, kept, right, worth(bare, 1.3, 0.0)).all()  # walls are painted in any case
    pays = painting_pays(painted, kept, right, worth(full, 1.3, 0.0))
    assert not pays[..., :3].any()
    assert pays[..., 5:].all()
    assert torch.equal(painting_pays(painted, kept, right, worth(bare, 0.0, 1.3)), pays)  # or kept like the rest
    chosen = Painting(painted=painted, kept=kept, pays=pays - 0.5).chosen()
    assert torch.equal(chosen[..., :3], kept[..., :3])
    assert torch.equal(chosen[..., 5:], painted[..., 5:])


def test_a_network_learns_where_painting_pays(small_pack):
    config = replace(small_pack.file.dynamics, keeps=True)
    trainer = trainer_of(small_pack, Dynamics(config))
    assert trainer.network.detail.keeps
    losses = [trainer.take_step(0.0)["keeping"] for _ in range(12)]
    assert losses[-1] < losses[0]
    everything = trainer_of(small_pack, Dynamics(config), worth_repainting=1.6)
    assert everything.take_step(0.0)["keeping"] > 0


def test_big_steps_are_not_taught_to_paint_a_copy_of_what_is_kept(small_pack):
    forcing = trainer_of(small_pack, Dynamics(replace(small_pack.file.dynamics, keeps=True))).forcing
    detail = forcing.network.detail
    assert detail.out.bias is not None
    assert detail.pays.bias is not None
    torch.nn.init.zeros_(detail.pays.weight)
    torch.nn.init.constant_(detail.out.bias, 0.5)  # it paints everything brighter than what would be kept
    past = forcing.real_past(forcing.draw_rows())
    block, clean = forcing.noise(past)
    block, big = forcing.make_big(block, clean, past, 4)
    targets = []
    for bias in (-9.0, 9.0):  # keeps everything, keeps nothing
        torch.nn.init.constant_(detail.pays.bias, bias)
        targets.append(bootstrap_target(forcing.network, block, clean, big, 4).video)
    assert torch.equal(*targets)
    assert not torch.equal(targets[0][big], forcing.network(block).painting.kept[big])


def test_a_critic_is_taught_alone_first_and_then_listened_to(small_pack):
    critic = LatentCritic(8, (4, 4), width=8)
    kept = [p.clone() for p in critic.parameters()]
    trainer = trainer_of(small_pack, critic=critic, critic_from=0.5, critic_alone=2, critic_frames=6)
    assert not {"critic", "told"} & set(trainer.take_step(0.4))
    assert all(torch.equal(a, b) for a, b in zip(kept, critic.parameters(), strict=True))
    for _ in range(2):
        figures = trainer.take_step(0.6)
        assert "critic" not in figures
        assert 0 <= figures["told"] <= 1
    assert trainer.take_step(0.6)["critic"] > 0
    assert any(not torch.equal(a, b) for a, b in zip(kept, critic.parameters(), strict=True))


def test_a_world_made_in_one_step_learns_from_frames_that_are_noise_or_past(small_pack):
    config = replace(small_pack.file.dynamics, steps=(1,))
    forcing = trainer_of(small_pack, Dynamics(config)).forcing
    for share in (0.2, 0.9):
        lesson = forcing.draw(share)
        level, step = lesson.block.level, lesson.block.step
        made = level == 0
        assert made.any()
        assert (level[~made] >= CONTEXT_LEVEL - 2).all()
        assert (step[made] == 0).all()  # log2 of one step, as in play
        torch.testing.assert_close(lesson.target.video, lesson.real.video)  # no big steps


def test_training_lowers_the_loss(small_pack):
    trainer = trainer_of(small_pack, rate=3e-3)
    # every frame equals the one before it: handing it on is all there is to learn
    still = trainer._data.z[:1].repeat(200, 1, 1, 1)
    trainer._data = trainer.forcing.data = replace(trainer._data, z=still, carried=still)
    first = np.mean([trainer.take_step(0.0)["video"] for _ in range(10)])
    for _ in range(120):
        last = trainer.take_step(0.5)["video"]
    assert last < 0.5 * first


def test_object_cells_and_weights_mark_where_the_objects_are(tmp_path):
    from inhabit.worldmodel.recordings import Box

    world = ToyWorld(width=64, height=64)
    with Recorder(tmp_path / "r", world.info, source="toy") as recorder:
        box = Box(name="Demon", x=30, y=17, width=4, height=6)
        puff = Box(name="BulletPuff", x=0, y=0, width=9, height=9)
        recorder.add(world.reset(seed=0).pixels, action=(0, 0, 0), objects=[box, puff])
    footage = load_footage(tmp_path / "r")
    assert footage.names == ("Demon",)
    assert object_cells(footage, (4, 4))[0].nonzero().tolist() == [[1, 1], [1, 2]]
    weight = object_weight(footage, np.array([0]), gain=4.0)[0, 0]
    assert float(weight[20, 31]) == 1 + 4 * 4.0
    assert float(weight[0, 0]) == 1.0


def test_footage_holds_out_whole_episodes(toy_recording):
    footage = load_footage(toy_recording)
    windows = footage.windows(8, held_out=False)
    episode = np.cumsum(footage.first)
    assert (episode[windows] == episode[windows + 7]).all()
    assert len(footage) == 12 * 41


def test_endings_are_met_at_any_place_in_a_window(toy_recording):
    """As often as any other frame at that place; and after an episode's end comes nothing to learn from."""
    footage = load_footage(toy_recording)
    none = torch.zeros(len(footage))
    data = Latents(
        z=none[:, None, None, None], actions=none[:, None], rewards=none, ended=none,
        first=torch.from_numpy(footage.first), care=none[:, None, None],
    )  # fmt: skip
    rows = data.windows(torch.from_numpy(footage.training_windows(3)), 8)
    there = goes_on(rows)
    episode = np.cumsum(footage.first)
    assert (episode[rows] == episode[rows[:, :1]]).all()
    ended = np.flatnonzero(footage.terminated & ~footage.held_out)
    for place in range(2, 8):
        seen = np.bincount(rows[there[:, place], place], minlength=len(footage))
        assert (seen[ended] == 1).all()
        assert (seen[ended - 20] == 1).all()
    behind = torch.from_numpy(np.isin(rows[:, 2], ended))
    assert not there[behind, 3:].any()
    assert there[:, :3].all()


def test_half_of_the_windows_are_of_what_is_new(toy_recording):
    """A world that goes on learning learns most from what was recorded since."""
    footage = load_footage(toy_recording)
    whole = footage.training_windows(8)
    known = int(footage.first.nonzero()[0][-2])  # two of twelve episodes are new
    starts = footage.training_windows(8, known=known)
    assert set(starts) == set(whole)
    assert (starts >= known).mean() == pytest.approx(0.5, abs=0.05)
    assert (np.unique(starts[starts < known], return_counts=True)[1] == 1).all()
    assert np.array_equal(footage.training_windows(8, known=len(footage)), whole)


def test_what_comes_after_an_episode_is_not_learnt(small_pack):
    """Losses are of the frames that there are, whatever a window repeats behind its episode's end."""
    trainer = trainer_of(small_pack)
    forcing = trainer.forcing
    forcing._starts = torch.tensor([44, 94, 144, 194])  # six frames each
    lesson = forcing.draw(0.0)
    assert lesson.there.sum(1).tolist() == [6] * 4

    def losses(lesson) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        with torch.no_grad():
            return trainer._losses(trainer.network(lesson.block), lesson)

    target = lesson.target.video.clone()
    target[:, 6:] = 100.0
    spoilt = losses(replace(lesson, target=replace(lesson.target, video=target)))
    for name, loss in losses(lesson).items():
        torch.testing.assert_close(spoilt[name], loss)


def test_averages_follow_and_then_smooth():
    network = torch.nn.Linear(1, 1, bias=False)
    average = Average(network, 0.9)
    torch.nn.init.constant_(network.weight, 1.0)
    for _ in range(200):
        average.update(network)
    weight = next(average.network.parameters())
    assert math.isclose(float(weight), 1.0, abs_tol=1e-3)


def test_the_learning_rate_warms_up_stays_and_falls():
    at = [learning_rate(1000, share, peak=1.0, warmup=10) for share in (0.0, 0.5, 0.8, 1.0)]
    assert at[:2] == [1.0, 1.0]
    assert at[1] > at[2] > at[3] == pytest.approx(0.1)
    assert learning_rate(0, 0.0, peak=1.0, warmup=10) == pytest.approx(0.1)


def test_a_budget_runs_on_the_clock_it_is_given():
    now = [0.0]
    budget = Budget(seconds=300, clock=lambda: now[0])
    assert not budget.save_is_due()
    now[0] = 150.0
    assert (budget.share, budget.save_is_due(), budget.save_is_due()) == (0.5, True, False)
    now[0] = 400.0
    assert (budget.left_s, budget.share) == (0.0, 1.0)


@pytest.mark.parametrize(("name", "size"), [("enormous", (128, 96)), ("tiny", (100, 96))])
def test_presets_refuse_what_does_not_fit(name, size):
    with pytest.raises(InhabitError, match=r"Expected a (preset|frame size)"):
        preset_for(name, width=size[0], height=size[1], actions=3)


@pytest.mark.slow
def test_learning_a_world_writes_a_pack_and_resumes(toy_recording, tmp_path):
    from inhabit.worldmodel.neural_world import NeuralWorld
    from inhabit.worldmodel.train.config import LearnConfig
    from inhabit.worldmodel.train.display import Display
    from inhabit.worldmodel.train.learn import learn

    config = LearnConfig(
        recording=toy_recording,
        out=tmp_path / "toy",
        preset="nano",
        minutes=0.4,
        device="cpu",
        decoder_share=0.1,
        critic=True,
    )
    steps = []
    for _ in range(2):
        learn(config, Display())
        assert (tmp_path / "toy.run" / "critic.safetensors").is_file()
        assert msgspec.json.decode((tmp_path / "toy.run" / "progress.json").read_bytes())["decoder_minutes"] > 0
        world = NeuralWorld.open(tmp_path / "toy", device="cpu")
        assert world.reset(seed=0).pixels.shape == (64, 64, 3)
        assert world.step(Controls(action=(1, 0, 0))).index == 1
        steps.append((tmp_path / "toy.run" / "progress.json").read_text())
    assert steps[0] != steps[1]
    assert not list(tmp_path.glob("*.partial"))


def test_a_codec_that_has_not_passed_its_gate_learns_on(toy_recording, steps_clock):
    footage, codec = load_footage(toy_recording), AutoencoderConfig(latent_channels=8, widths=(8, 16), blocks=(1, 1))
    given = footage, Budget(seconds=20, clock=steps_clock), torch.device("cpu"), AutoencoderTraining(batch=4)
    once = train_autoencoder(Autoencoder(codec), *given)
    before = once.encoder.state_dict()
    before = {name: value.clone() for name, value in before.items()}
    again = train_autoencoder(once, footage, Budget(seconds=20, clock=steps_clock), *given[2:], seed=1)
    assert any(not torch.equal(before[name], value) for name, value in again.encoder.state_dict().items())


def test_threads_settle_on_the_fastest_number(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    now, seconds, before = [0.0], {1: 3.0, 2: 1.0, 4: 2.0}, torch.get_num_threads()
    threads = Threads(torch.device("cpu"), clock=lambda: now[0])
    for _ in range(3 * TRIAL_STEPS + 1):
        threads.begin_step()
        now[0] += seconds[torch.get_num_threads()]
        threads.end_step()
    chosen = torch.get_num_threads()
    torch.set_num_threads(before)
    assert chosen == 2
