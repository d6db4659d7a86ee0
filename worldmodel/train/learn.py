"""Learn a world from a recording, stage by stage, from detectors and codecs to dynamics; all is kept as it ends."""

from __future__ import annotations

import copy
import math
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from inhabit.bridge.errors import InhabitError
from inhabit.worldmodel.evaluate.detector import Detector, measure, train_detector
from inhabit.worldmodel.memory.pose import POSE
from inhabit.worldmodel.memory.recall import Recall
from inhabit.worldmodel.neural_world import choose_device
from inhabit.worldmodel.omni.autoencoder import Autoencoder
from inhabit.worldmodel.omni.block import ChanceConfig
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.edit import Edit, EditConfig
from inhabit.worldmodel.omni.flight import FELT
from inhabit.worldmodel.omni.foley import Foley, FoleyConfig
from inhabit.worldmodel.omni.motion import Motion
from inhabit.worldmodel.omni.sound import SoundCodec
from inhabit.worldmodel.pack import Pack, save_pack
from inhabit.worldmodel.train.atlas import choose_atlas, lesson_pictures, nearest_pictures, shown_first
from inhabit.worldmodel.train.autoencoder import encode_all, standardise, train_autoencoder
from inhabit.worldmodel.train.calibration import calibrate_endings
from inhabit.worldmodel.train.checks import Material, check_codec, check_dynamics, sample_rows
from inhabit.worldmodel.train.config import LearnConfig
from inhabit.worldmodel.train.contents import make_pack
from inhabit.worldmodel.train.critic import LatentCritic
from inhabit.worldmodel.train.decoder import train_decoder
from inhabit.worldmodel.train.display import Display
from inhabit.worldmodel.train.dynamics import DynamicsTrainer, DynamicsTraining
from inhabit.worldmodel.train.edit import EditTraining, Pairs, train_edit
from inhabit.worldmodel.train.flight import (
    LEAST_THROWS,
    FlightTraining,
    Tracks,
    held_name,
    measure_flight,
    new_flight,
    train_flight,
)
from inhabit.worldmodel.train.foley import FoleyTraining, Score, train_foley
from inhabit.worldmodel.train.footage import load_footage
from inhabit.worldmodel.train.latents import Latents, gather_latents, object_cells
from inhabit.worldmodel.train.looks import Looks
from inhabit.worldmodel.train.memory import pictures_for, recall_all, train_recall, usual_length
from inhabit.worldmodel.train.motion import MotionTraining, carry_all, recent_actions, train_motion
from inhabit.worldmodel.train.presets import fitted
from inhabit.worldmodel.train.rehearsal import Rehearsal
from inhabit.worldmodel.train.run import Run, kept_pictures
from inhabit.worldmodel.train.schedule import Budget
from inhabit.worldmodel.train.sights import drawn_names, faces_for
from inhabit.worldmodel.train.sound import SoundTraining, encode_track, train_sound
from inhabit.worldmodel.train.soundtrack import load_soundtrack
from inhabit.worldmodel.train.vistas import choose_vistas

CHECK_EVERY_SAVES = 4
SETTLED_STEPS = 2000
"""Steps after which a dynamics knows the beginnings, and goes on with all that is taught later."""
CODEC_TRIES = 3
NORMED, DICE = "stem.norm.weight", "chance.sights"
"""Weights that only some kinds of dynamics have."""


def learn(config: LearnConfig, display: Display) -> Path:
    """Train for `config.minutes`, write the pack, and return its folder."""
    learner = Learner(config, display)
    detector = learner.detector()
    autoencoder = learner.autoencoder(detector)
    autoencoder = learner.decoder(autoencoder, detector)
    sound = learner.sound()
    latents = learner.latents(autoencoder)
    world = replace(learner.world(autoencoder, latents, sound), detector=detector)
    world = learner.flight(learner.vistas(learner.edit(learner.memory(learner.motion(world)))))
    world = learner.foley(world)
    dynamics = learner.calibrated(world, learner.dynamics(world))
    learner.run.progress.frames_known = len(learner.footage)
    learner.run.save()
    display.end()
    save_pack(learner.pack(world, dynamics), config.out)
    return config.out


class Learner:
    """One session: what every stage needs, and the stages, to be called in their order."""

    def __init__(self, config: LearnConfig, display: Display):
        if not config.vistas and not config.atlas:
            vistas, atlas = kept_pictures(config.out)
            config = replace(config, vistas=vistas, atlas=atlas)
        self.config, self.display = config, display
        self.budget = Budget(seconds=config.minutes * 60)
        self.device = choose_device(config.device)
        display.begin(f"reading {config.recording}")
        self.footage = load_footage(config.recording)
        self.track = load_soundtrack(config.recording) if config.sound_share else None
        self.preset = fitted(config, self.footage, self.track, on_gpu=self.device.type == "cuda")
        self.run = Run(config.out, preset=config.preset, recording=self.footage.meta.source)
        if self.run.knows(NORMED) is False:  # an older pack stays of its kind
            self.preset = replace(self.preset, dynamics=replace(self.preset.dynamics, normed=False))
        # worlds with words would learn to say in their place what nobody has listened to yet
        fitting = config.dice and drawn_names(self.footage) and not self.preset.dynamics.text
        if fitting or self.run.knows(DICE):
            self.preset = replace(self.preset, dynamics=replace(self.preset.dynamics, chance=ChanceConfig()))
        threads = torch.get_num_threads()
        self.run.progress.machine = f"{platform.machine()}, {threads} threads, {self.device.type}"
        known = ", ".join(self.footage.names) or "none recorded"
        words, heard = len(self.footage.texts) - 1, "sound" if self.track else "no sound"
        display.say(f"{len(self.footage)} frames, objects: {known}, {words} texts, {heard}, on {self.device}")

    def detector(self) -> Detector | None:
        """A detector of the recorded objects, which judges the codec and the dreams."""
        if not len(self.footage.boxes):
            return None
        detector = self.run.resume_detector()
        if detector is None:
            seconds = min(240.0, 0.06 * self.budget.seconds)
            self.display.begin(f"object detector, {seconds:.0f} s")
            detector = train_detector(self.footage, Budget(seconds=seconds), self.device)
            self.run.keep_detector(detector)
            score = measure(detector, self.footage, sample_rows(self.footage, 800))
            found = f"recall {score.recall:.3f}, precision {score.precision:.3f}"
            self.display.say(f"detector on real held-out frames: {found}")
        return detector.to(self.device)

    def autoencoder(self, detector: Detector | None) -> Autoencoder:
        """The video codec, trained until it shows the objects, for at most CODEC_TRIES shares of the session."""
        autoencoder = Autoencoder(self.preset.autoencoder)
        resumed = self.run.resume("autoencoder", autoencoder)
        figures = self.run.progress.codec
        if resumed and figures and kept_share(figures) >= self.config.gate:  # the gate may be another one today
            self.run.progress.codec_passed = True
        for share in range(CODEC_TRIES):
            if resumed and self.run.progress.codec_passed:
                return autoencoder.to(self.device).eval().requires_grad_(False)
            autoencoder = self._train_codec(autoencoder, seed=share)
            sheet = self.run.folder / "sheets" / "codec.png"
            figures = check_codec(autoencoder, self.footage, detector, self.device, sheet)
            self.run.progress.codec = {name: value for name, value in figures.items() if math.isfinite(value)}
            self.run.progress.codec_passed = kept_share(figures) >= self.config.gate
            self.run.save()
            self.display.say("codec: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
            resumed = True
        if self.run.progress.codec_passed:
            return autoencoder.to(self.device).eval().requires_grad_(False)
        raise InhabitError(
            f"Expected the codec to keep {self.config.gate:.0%} of the objects that are found in real frames, got "
            f"{kept_share(figures):.1%} - at {self.run.folder}; run the same command again to go on, "
            f"or accept it with --gate {math.floor(100 * kept_share(figures)) / 100}"
        )

    def decoder(self, autoencoder: Autoencoder, detector: Detector | None) -> Autoencoder:
        """The same codec with a decoder that draws what latents leave open; as it was, where it then shows too few of
        the objects."""
        progress = self.run.progress
        if progress.decoder_minutes or not self.config.decoder_share:
            return autoencoder
        training = self.preset.decoder_training
        budget, on_step = self._stage("decoder", self.config.decoder_share, training.batch, unit="windows")
        drawing = train_decoder(
            autoencoder, self.footage, budget, self.device, training, self.preset.autoencoder_training, on_step=on_step
        )
        sheet = self.run.folder / "sheets" / "decoder.png"
        figures = check_codec(drawing, self.footage, detector, self.device, sheet)
        self.display.say("decoder: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
        progress.decoder_minutes += budget.elapsed_s / 60
        if kept_share(figures) < min(self.config.gate, kept_share(progress.codec)):
            self.display.say("it shows too few of the objects: the decoder stays as it was")
        else:
            progress.codec = {name: value for name, value in figures.items() if math.isfinite(value)}
            autoencoder = drawing.eval().requires_grad_(False)
            self.run.keep("autoencoder", autoencoder)
            self.run.forget("carried", "recalled")  # made of what the decoder shows
        self.run.save()
        return autoencoder

    def sound(self) -> SoundCodec | None:
        """The sound codec; None for a recording without sound."""
        config = self.preset.dynamics.sound
        if config is None or self.track is None:
            return None
        codec = SoundCodec(config)
        if self.run.resume("sound", codec):
            return codec.to(self.device).eval().requires_grad_(False)
        budget = Budget(seconds=self.config.sound_share * self.budget.seconds)
        self.display.begin(f"sound codec ({budget.seconds / 60:.1f} min)")
        training = SoundTraining()

        def on_step(step: int, figures: Mapping[str, float]) -> None:
            self.display.show(budget.share, budget.elapsed_s, step * training.batch, "clips", figures)

        rows = np.flatnonzero(~self.footage.held_out)
        codec = train_sound(codec, self.track, rows, budget, self.device, training, on_step=on_step)
        self.run.keep("sound", codec)
        return codec.eval().requires_grad_(False)

    def latents(self, autoencoder: Autoencoder) -> Tensor:
        """All frames' latents, from this run or encoded now."""
        latents = self.run.resume_latents("latents", len(self.footage))
        if latents is None:
            if float(autoencoder.std.min()) == 1.0:
                standardise(autoencoder, self.footage, self.device)
            on_step = self._counting("encoding", len(self.footage))
            latents = encode_all(autoencoder, self.footage, self.device, on_step=on_step)
            self.run.keep_latents("latents", latents)
        return latents

    def world(self, autoencoder: Autoencoder, latents: Tensor, sound: SoundCodec | None) -> Material:
        """Everything that the dynamics is made from and lives in."""
        heard = encode_track(sound, self.track, self.device) if sound and self.track else None
        return Material(autoencoder=autoencoder, latents=latents, sound=sound, heard=heard)

    def foley(self, world: Material) -> Material:
        """What makes the sound; nothing in a silent world, and in one whose episodes are too short to learn it from."""
        if world.sound is None or world.heard is None:
            return world
        config = FoleyConfig(
            latent=world.sound.config.latent,
            actions=self.preset.dynamics.actions,
            senses=POSE * bool(world.recall) + FELT * bool(world.flight),
            text=self.preset.dynamics.text,
        )
        for senses, paced in ((config.senses, True), (config.senses, False), (0, False)):  # older ones feel less
            foley = Foley(replace(config, senses=senses, paced=paced))
            if self.run.resume("foley", foley):
                return replace(world, foley=foley.to(self.device).eval().requires_grad_(False))
        foley, training = Foley(config), FoleyTraining()
        told = {"frames": training.frames, "recall": world.recall, "flight": world.flight}
        score = Score.of(self.footage, world.heard, config.text, self.device, **told)
        if not self.config.foley_share or not len(score):
            return world
        foley = foley.feeling(config.senses, score.stride(training.frames))
        budget, on_step = self._stage("foley", self.config.foley_share, training.batch, unit="walks")
        foley = train_foley(foley, score, budget, self.device, training, on_step=on_step)
        self.run.progress.foley_minutes += budget.elapsed_s / 60
        self.run.keep("foley", foley)
        self.run.save()
        return replace(world, foley=foley)

    def motion(self, world: Material) -> Material:
        """The motion network, and what it makes of every frame; nothing in a preset without motion."""
        config = self.preset.dynamics.motion
        if config is None:
            return world
        motion, training = Motion(config), MotionTraining()
        if self.run.resume("motion", motion):
            motion = motion.to(self.device).eval().requires_grad_(False)
            carried = self.run.resume_latents("carried", len(self.footage))
        else:
            budget, on_step = self._stage("motion", self.config.motion_share, training.batch)
            motion = train_motion(motion, self.footage, world.latents, budget, self.device, training, on_step=on_step)
            self.run.keep("motion", motion)
            carried = None
        if carried is None:
            on_done = self._counting("carrying", len(self.footage))
            carried = carry_all(motion, world.autoencoder, self.footage, world.latents, self.device, on_step=on_done)
            self.run.keep_latents("carried", carried)
        return replace(world, motion=motion, carried=carried)

    def memory(self, world: Material) -> Material:
        """The recall network, and what an album would show of every frame; nothing where no poses were recorded."""
        config = self.preset.dynamics.recall
        if config is None or world.carried is None:
            return world
        recall, training = Recall(config), MotionTraining()
        pictures, lessons, world = self._pictures(world)
        self.display.say(f"pictures help in {(pictures >= 0).mean():.0%} of the frames")
        if self.run.resume("recall", recall):
            recall = recall.to(self.device).eval().requires_grad_(False)
            recalled = self.run.resume_latents("recalled", len(self.footage))
        else:
            budget, on_step = self._stage("recall", self.config.memory_share, training.batch)
            recall = train_recall(
                recall, self.footage, world.carried, lessons, budget, self.device, training, on_step=on_step
            )
            self.run.keep("recall", recall)
            recalled = None
        if recalled is None:
            on_done = self._counting("recalling", int((pictures >= 0).sum()))
            given = (self.footage, world.carried, world.latents, pictures)
            recalled = recall_all(recall, world.autoencoder, *given, self.device, on_step=on_done)
            self.run.keep_latents("recalled", recalled)
        if world.atlas:  # as play has it: what the atlas shows is not moved
            world = replace(world, carried=shown_first(recalled, world.carried))
        return replace(world, recall=recall, recalled=recalled)

    def _pictures(self, world: Material) -> tuple[np.ndarray, np.ndarray, Material]:
        """The row of the picture that is recalled at each row, that of one to learn distances from, -1 where there is
        none, and the world with its atlas, where it has one."""
        unit = usual_length(self.footage)
        if self.run.progress.atlas != self.config.atlas:
            self.run.forget("recalled")  # other pictures showed it
            self.run.progress.atlas = self.config.atlas
        if not self.config.atlas:
            pictures = pictures_for(self.footage, unit)
            return pictures, pictures, world
        self.display.begin("atlas")
        atlas, rows = choose_atlas(self.footage, world.latents, self.config.atlas, unit)
        nearest, lessons = (of(self.footage, rows, unit) for of in (nearest_pictures, lesson_pictures))
        return nearest, lessons, replace(world, atlas=atlas)

    def edit(self, world: Material) -> Material:
        """What carries words out on a picture; nothing where none were recorded, and in a preset without motion."""
        text, share = self.preset.dynamics.text, self.config.edit_share
        if text is None or world.carried is None:
            return world
        grid = (world.latents.shape[-2], world.latents.shape[-1])
        edit = Edit(EditConfig(text=text, latent_channels=world.latents.shape[1], grid=grid))
        if self.run.resume("edit", edit):
            return replace(world, edit=edit.to(self.device).eval().requires_grad_(False))
        data = gather_latents(self.footage, world.latents, self.device, carried=world.carried, text=text)
        pairs, training = Pairs(data, torch.from_numpy(~self.footage.held_out).to(self.device)), EditTraining()
        if not share or not len(pairs):
            return world
        budget, on_step = self._stage("edit", share, training.batch)
        edit = train_edit(edit, pairs, budget, self.device, training, on_step=on_step)
        self.run.progress.edit_minutes += budget.elapsed_s / 60
        self.run.keep("edit", edit)
        self.run.save()
        return replace(world, edit=edit)

    def vistas(self, world: Material) -> Material:
        """The pictures that go on where a view turns to what nobody has seen; nothing unless they are asked for."""
        count = self.config.vistas
        if not count or world.motion is None:
            return world
        chosen = choose_vistas(self.footage, world.latents, world.autoencoder, count)
        if chosen is None:
            self.display.say(f"no vistas: the recording has no {count} frames with an open view")
        return replace(world, vistas=chosen)

    def flight(self, world: Material) -> Material:
        """Where goes what is held in the view; nothing in a world without vistas or memory, and where nothing is held
        or it hardly ever leaves the hand."""
        name = held_name(self.footage) if world.vistas and world.recall and self.config.flight_share else None
        if name is None or world.recall is None:
            return world
        training, width = FlightTraining(), self.footage.frames.shape[2]
        unit, focal = float(world.recall.unit), float(world.recall.zoom.detach().exp()) * width / 2
        flight = new_flight(name, actions=self.preset.dynamics.actions, focal=focal, unit=unit)
        if self.run.resume("flight", flight):
            return replace(world, flight=flight.to(self.device).eval().requires_grad_(False))
        tracks = Tracks.of(self.footage, name, frames=training.frames)
        if tracks.thrown().sum() < LEAST_THROWS:
            self.display.say(f"{name} is held in the view, and leaves it too rarely to learn where it goes")
            return world
        budget, on_step = self._stage(f"flight of {name}", self.config.flight_share, training.batch, unit="walks")
        flight = train_flight(flight, tracks, budget, self.device, training, on_step=on_step)
        figures = measure_flight(flight, Tracks.of(self.footage, name, frames=training.frames, held_out=True))
        self.display.say(f"flight of {name}: " + ", ".join(f"{what} {value:.3f}" for what, value in figures.items()))
        self.run.keep("flight", flight)
        return replace(world, flight=flight)

    def dynamics(self, world: Material) -> Dynamics:
        """Train the dynamics for what is left of the session."""
        network = Dynamics(self.preset.dynamics)
        resumed = self.run.resume("dynamics-network", network) or self.run.resume("dynamics-average", network)
        settled = resumed and self.run.progress.dynamics_steps >= SETTLED_STEPS
        trainer = self._trainer(network, world, resumed=resumed, settled=settled)
        if resumed:
            self.run.resume("dynamics-average", trainer.average.network)
        if self.preset.dynamics.text:
            self.display.begin("words")
        if (unread := trainer.read_first(encoder=not resumed)) is not None:
            self.display.say(f"{1 - unread:.0%} of what prompts say is read")
        budget = Budget(seconds=self.budget.left_s)
        progress = self.run.progress
        before = (progress.dynamics_steps, progress.dynamics_minutes, progress.dynamics_frames)
        frames = trainer.config.batch * trainer.config.window
        saves = 0
        self.display.begin(f"dynamics ({budget.seconds / 60:.0f} min)")

        def on_save(average: Dynamics) -> None:
            nonlocal saves
            progress.dynamics_steps = before[0] + trainer.step
            progress.dynamics_minutes = before[1] + budget.elapsed_s / 60
            progress.dynamics_frames = before[2] + trainer.step * frames
            self.run.keep("dynamics-average", average)
            self.run.keep("dynamics-network", trainer.network)
            if trainer.critic is not None:
                self.run.keep("critic", trainer.critic)
            self.run.save()
            if saves % CHECK_EVERY_SAVES == 0 or budget.left_s == 0:
                self._check(world, average)
            saves += 1

        def on_step(step: int, figures: Mapping[str, float]) -> None:
            self.display.show(budget.share, budget.elapsed_s, (step + 1) * frames, "frames", figures)

        return trainer.train(budget, on_save=on_save, on_step=on_step)

    def calibrated(self, world: Material, dynamics: Dynamics) -> Dynamics:
        """The same with as many endings as the recording has; the run's own average stays as it learnt."""
        self.display.begin("endings")
        calibrated = copy.deepcopy(dynamics)
        engine = world.engine(calibrated, self.device)
        told = calibrate_endings(engine, self.footage, world.latents, steps=min(2, max(engine.taught)))
        if told is not None:
            self.display.say(f"endings: told {1000 * told:.1f} in 1,000 frames, set to what was recorded")
        return calibrated

    def pack(self, world: Material, dynamics: Dynamics) -> Pack:
        """The pack as it stands."""
        name = self.config.name or self.config.out.name
        return make_pack(
            name, self.preset, self.footage, world, dynamics, training=msgspec.to_builtins(self.run.progress)
        )

    def _stage(
        self, name: str, share: float, batch: int, *, unit: str = "pairs"
    ) -> tuple[Budget, Callable[[int, Mapping[str, float]], None]]:
        """Begin a stage that trains: its budget, and what it shall call after each step."""
        budget = Budget(seconds=share * self.budget.seconds)
        self.display.begin(f"{name} ({budget.seconds / 60:.1f} min)")

        def on_step(step: int, figures: Mapping[str, float]) -> None:
            self.display.show(budget.share, budget.elapsed_s, step * batch, unit, figures)

        return budget, on_step

    def _counting(self, name: str, frames: int) -> Callable[[int], None]:
        """Begin a stage that goes through frames: what it shall call with the number that is done."""
        self.display.begin(name)
        started = time.monotonic()

        def on_done(done: int) -> None:
            self.display.show(done / max(1, frames), time.monotonic() - started, done, "frames", {})

        return on_done

    def _train_codec(self, autoencoder: Autoencoder, *, seed: int) -> Autoencoder:
        budget = Budget(seconds=self.config.codec_share * self.budget.seconds)
        self.display.begin(f"codec ({budget.seconds / 60:.1f} min)")
        training = self.preset.autoencoder_training

        def on_step(step: int, figures: Mapping[str, float]) -> None:
            self.display.show(budget.share, budget.elapsed_s, step * training.batch, "frames", figures)

        def on_save(network: Autoencoder) -> None:
            self.run.keep("autoencoder", network)

        trained = train_autoencoder(
            autoencoder, self.footage, budget, self.device, training, seed=seed, on_step=on_step, on_save=on_save
        )
        self.run.progress.codec_minutes += budget.elapsed_s / 60
        return trained

    def _trainer(self, network: Dynamics, world: Material, *, resumed: bool, settled: bool) -> DynamicsTrainer:
        training = self.preset.dynamics_training
        forcing = training.forcing
        training = replace(
            training,
            forcing=replace(forcing.settled() if settled else forcing, cut_share=self.config.cut_share),
            warmup=training.warmup // 3 if resumed else training.warmup,
            critic_from=0.0 if settled else training.critic_from,
            decay_from=training.decay_from if self.config.final else 1.0,
        )
        if self.config.keep == "all":  # what words change is news already; what is painted is decided by first steps
            training = replace(
                training,
                forcing=replace(training.forcing, blank_share=0.6, direct_share=0.75),
                worth_repainting=training.worth_painting,
                spoken_gain=0.0,
            )
        starts = self.footage.training_windows(training.least, known=self.run.progress.frames_known)
        if not len(starts):
            raise InhabitError(
                f"Expected episodes of at least {training.least} frames, got none - at {self.config.recording}; "
                f"record longer play"
            )
        data = gather_latents(
            self.footage,
            world.latents,
            self.device,
            carried=world.carried,
            recent=recent_actions(self.footage, world.motion.config.history) if world.motion else None,
            recalled=world.recalled,
            text=self.preset.dynamics.text,
            sound=world.heard,
            loudness=self.track.loudness if self.track else None,
        )
        if network.config.chance:
            drawn = object_cells(self.footage, network.config.grid, drawn_names(self.footage))
            data = replace(data, faces=faces_for(network.chance, world.latents, drawn).to(self.device))
        rehearsal, critic = self._rehearsal(data, training, settled=settled), None
        if self.config.critic:
            critic = LatentCritic(network.config.latent_channels, network.config.grid)
            self.run.resume("critic", critic)
        looks = Looks(world.autoencoder, world.detector) if world.detector else None
        return DynamicsTrainer(
            network,
            data,
            starts,
            self.device,
            training,
            edit=world.edit,
            engine_of=lambda network: world.engine(network, self.device),
            rehearsal=rehearsal,
            looks=looks,
            critic=critic,
            seed=self.run.progress.dynamics_steps,
        )

    def _rehearsal(self, data: Latents, training: DynamicsTraining, *, settled: bool) -> Rehearsal | None:
        """What plays on from real moments; None where no episode is long enough."""
        config, frames = training.rehearsal, training.window * 3 // 2
        starts = self.footage.training_windows(config.context + 1, known=self.run.progress.frames_known)
        if not len(starts):
            return None
        config = replace(config, begin_at=0.0) if settled else config
        places, texts = torch.from_numpy(starts).to(self.device), self.footage.texts
        return Rehearsal(data, places, config, frames=frames, texts=texts, seed=self.run.progress.dynamics_steps)

    def _check(self, world: Material, average: Dynamics) -> None:
        sheet = self.run.folder / "sheets" / f"dream-{self.run.progress.dynamics_steps:07d}.png"
        figures = check_dynamics(world, average, self.footage, self.device, sheet)
        self.display.say("dream: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
        save_pack(self.pack(world, average), self.config.out)


def kept_share(figures: Mapping[str, float]) -> float:
    """Of the objects that are found in real frames, the share that is found in the codec's; 1 where there are none."""
    ceiling = figures.get("ceiling", 0.0)
    return figures.get("object_recall", 0.0) / ceiling if ceiling > 0 else 1.0
