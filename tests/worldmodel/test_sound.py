"""The sound codec, its training, and worlds that sound."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inhabit.bridge.controls import IDLE, Controls
from inhabit.bridge.toy import ToyWorld
from inhabit.bridge.world import check_world
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.neural_world import NeuralWorld
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.sound import HOPS, SEEN, SoundCodec, SoundConfig, hop_for, sound_rate_hz
from inhabit.worldmodel.pack import load_pack, save_pack
from inhabit.worldmodel.recordings import Recorder
from inhabit.worldmodel.state import State
from inhabit.worldmodel.train.dynamics import DynamicsTrainer, DynamicsTraining
from inhabit.worldmodel.train.forcing import ForcingConfig
from inhabit.worldmodel.train.latents import Latents
from inhabit.worldmodel.train.schedule import Budget
from inhabit.worldmodel.train.sound import SoundTraining, encode_track, spectral_loss, train_sound
from inhabit.worldmodel.train.soundtrack import Soundtrack, load_soundtrack

SMALL = SoundConfig(hop=32, latent=6, bands=12, width=24)
"""What the fixture `codec` is made by."""


def test_every_frame_rate_has_whole_samples():
    for frames_hz in (10, 15, 16, 17.5, 20, 30, 35, 60):
        rate_hz = sound_rate_hz(frames_hz)
        assert rate_hz == hop_for(frames_hz) * HOPS * frames_hz
        assert abs(rate_hz - 16_000) < 500


def test_windows_that_overlap_add_up_to_the_sound_one_hop_late(codec):
    samples = torch.randn(1, 6 * SMALL.samples, 2)
    back = codec._overlap(codec.spectra(samples))
    torch.testing.assert_close(back[:, SMALL.hop :], samples[:, : -SMALL.hop], atol=1e-4, rtol=1e-4)


def test_a_frame_decoded_alone_is_the_frame_of_the_whole(codec):
    latents = torch.randn(1, 9, SMALL.latent)
    whole = codec.decode(latents)
    for frame in range(SEEN - 1, 9):
        alone = codec.decode_newest(latents[:, frame - SEEN + 1 : frame + 1])
        there = whole[:, frame * SMALL.samples : (frame + 1) * SMALL.samples]
        torch.testing.assert_close(alone, there, atol=1e-4, rtol=1e-4)


def test_the_future_is_not_heard(codec):
    samples = torch.randn(1, 6 * SMALL.samples, 2)
    changed = samples.clone()
    changed[:, 4 * SMALL.samples :] = 0
    torch.testing.assert_close(codec.encode(samples)[:, :4], codec.encode(changed)[:, :4])


def beeping_track(frames: int = 300) -> Soundtrack:
    """Silence with a beep in every eighth frame, on the left or on the right."""
    tone = np.sin(np.arange(SMALL.samples) * 0.4) * 12_000
    samples = np.zeros((frames, SMALL.samples, 2), np.int16)
    for row in range(0, frames, 8):
        samples[row, :, row // 8 % 2] = tone
    return Soundtrack(samples, np.arange(frames) % 60 == 0)


def test_training_hears_when_it_beeps_and_on_which_side(steps_clock):
    track = beeping_track()
    torch.manual_seed(0)
    training = SoundTraining(batch=8, frames=9, rate=4e-3, warmup=10, average=0.9, windows=(32, 64))
    trained = train_sound(
        SoundCodec(SMALL), track, np.arange(240), Budget(seconds=2400, clock=steps_clock), torch.device("cpu"), training
    ).eval()
    with torch.inference_mode():
        latents = encode_track(trained, track, torch.device("cpu")).float()
        heard = trained.decode(latents[None, 240:])[0, SMALL.hop :]
    level = heard[: 56 * SMALL.samples].abs().reshape(56, SMALL.samples, 2).mean(1)
    beeps = torch.arange(56) % 8 == 0
    assert level[beeps].max(1).values.min() > 4 * level[~beeps].max()
    side = (torch.arange(240, 296)[beeps] // 8) % 2
    assert torch.equal(level[beeps].argmax(1), side)
    assert float(latents.std()) == pytest.approx(1, abs=0.4)


def test_each_episode_begins_in_silence(codec):
    track = beeping_track(130)
    latents = encode_track(codec, track, torch.device("cpu"), frames=16)
    alone = codec.encode(track.read(np.array([60]), 8))[0]
    torch.testing.assert_close(latents[60].float(), alone[0], atol=2e-3, rtol=2e-3)


def test_equal_sounds_have_no_loss():
    sound = torch.randn(1, 512, 2)
    assert float(spectral_loss(sound, sound, (64, 128))) == 0
    assert float(spectral_loss(sound * 0.1, sound, (64, 128))) > 0.5


def test_a_recordings_sound_is_read_row_for_row_at_our_rate(tmp_path):
    world = ToyWorld(sound_rate_hz=44_100)
    with Recorder(tmp_path / "toy", world.info, source="toy") as recorder:
        recorder.add(world.reset(seed=1).pixels, action=(0, 0, 0), first=True)
        for step in range(40):
            frame = world.step(Controls(held=frozenset({"Space"} if 20 <= step < 22 else ())))
            recorder.add(frame.pixels, action=(0, 0, 0), sound=frame.sound)
    track = load_soundtrack(tmp_path / "toy")
    assert track is not None
    assert track.samples.shape == (41, hop_for(30) * HOPS, 2)
    assert set(np.flatnonzero(track.loudness > 2 * np.median(track.loudness))) == {21, 22}


def test_a_silent_recording_has_no_soundtrack(tmp_path):
    world = ToyWorld()
    with Recorder(tmp_path / "toy", world.info, source="toy") as recorder:
        recorder.add(world.reset(seed=1).pixels, action=(0, 0, 0), first=True)
    assert load_soundtrack(tmp_path / "toy") is None


def test_a_sounding_world_keeps_the_contract_and_says_so_many_samples(sounding_pack, tmp_path):
    save_pack(sounding_pack, tmp_path / "sounding")
    world = NeuralWorld.open(tmp_path / "sounding", device="cpu")
    check_world(world)
    frame = world.reset(seed=1)
    for _ in range(4):
        assert frame.sound.shape == (SMALL.samples, 2)
        assert frame.sound.dtype == np.int16
        frame = world.step(IDLE)


def test_sound_answers_to_the_action(sounding_pack):
    world = NeuralWorld(sounding_pack, Engine.of(sounding_pack))
    heard = []
    for keys in ((), ("Space",)):
        world.reset(seed=3)
        heard.append(world.step(Controls(held=frozenset(keys))).sound)
    assert not np.array_equal(*heard)


def test_sessions_of_a_batch_hear_themselves(sounding_pack):
    engine = Engine.of(sounding_pack)

    def begin(start: int, key: int) -> State:
        part = sounding_pack.starts
        return engine.begin(
            part.latents[start][None], part.actions[start][None], torch.tensor([key]), sound=part.sound[start][None]
        )

    both, _ = engine.step(State.join([begin(0, 5), begin(1, 6)]), torch.zeros(2, 3))
    alone, _ = engine.step(begin(1, 6), torch.zeros(1, 3))
    torch.testing.assert_close(both.sound[1], alone.sound[0], atol=1e-4, rtol=1e-4)


def test_a_world_learns_which_action_sounds(sounding_pack):
    torch.manual_seed(0)
    n, config = 200, sounding_pack.file.dynamics
    fired = (torch.rand(n) < 0.3).float()
    data = Latents(
        z=torch.zeros(n, 8, 4, 4).half(),
        actions=torch.stack([torch.zeros(n), torch.zeros(n), fired], 1),
        rewards=torch.zeros(n),
        ended=torch.zeros(n),
        first=torch.arange(n) % 50 == 0,
        care=torch.zeros(n, 4, 4),
        carried=torch.zeros(n, 8, 4, 4).half(),
        recent=torch.zeros(n, 4, 3),
        sound=(2 * fired[:, None] - 1).expand(n, SMALL.latent).half(),
        loudness=fired + 0.1,
    )
    training = DynamicsTraining(batch=4, window=10, warmup=5, forcing=ForcingConfig())
    trainer = DynamicsTrainer(Dynamics(config), data, np.array([0, 50, 100, 150]), torch.device("cpu"), training)
    first = np.mean([trainer.take_step(0.0)["sound"] for _ in range(5)])
    last = np.mean([trainer.take_step(0.9)["sound"] for _ in range(90)][-10:])
    assert last < 0.3 * first


def test_a_silent_pack_lacks_no_file_and_a_sounding_one_must_have_it(sounding_pack, tmp_path):
    from inhabit.worldmodel.catalog import PackError

    save_pack(sounding_pack, tmp_path / "sounding")
    assert load_pack(tmp_path / "sounding").sound is not None
    (tmp_path / "sounding" / "sound.safetensors").unlink()
    with pytest.raises(PackError, match=r"sound\.safetensors"):
        load_pack(tmp_path / "sounding")
