"""Teach a pack of the island to sound better: foley learns on from the simulator itself, from walks that nobody draws.

.venv/bin/python scripts/foley.py worldmodel/packs/isle-tiny --minutes 30
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import torch
import tyro
from torch import Tensor

from inhabit.bridge.errors import InhabitError
from inhabit.worldmodel.evaluate.dreamers import pose_now
from inhabit.worldmodel.memory.pose import POSE
from inhabit.worldmodel.neural_world import choose_device
from inhabit.worldmodel.omni.flight import FELT
from inhabit.worldmodel.omni.foley import GOES, Foley, FoleyConfig
from inhabit.worldmodel.pack import Pack, load_pack, save_pack
from inhabit.worldmodel.train.display import Display
from inhabit.worldmodel.train.foley import FoleyTraining, Score, senses_of, train_foley
from inhabit.worldmodel.train.schedule import Budget
from inhabit.worldmodel.worlds.isle.record import play

FIRST_SEED = 2_000_000
"""No recording has these islands, and on none of them is anything measured."""

TOGETHER = 48
"""Islands that are played at once."""


def main(pack: Path, /, *, minutes: float = 30.0, walks: int = 1000, out: Path | None = None) -> None:
    """Learn.

    Args:
        pack: folder of the pack.
        minutes: how long, after all is played.
        walks: islands to listen to, some 400 frames on each.
        out: where the better pack is written; the same folder by default.
    """
    world, display, device = load_pack(pack), Display(), choose_device("auto")
    dynamics = world.file.dynamics
    if world.file.source != "isle" or world.sound is None:
        raise InhabitError(f"Expected a pack of isle that sounds, got one of {world.file.source} - at {pack}")
    network, training = world.foley, FoleyTraining()
    senses = POSE * bool(world.recall) + FELT * bool(world.flight)
    if network is None:
        latent = world.sound.config.latent
        network = Foley(FoleyConfig(latent=latent, actions=dynamics.actions, senses=senses, text=dynamics.text))
    display.begin(f"playing {walks} islands")
    score = listen(walks, world, device, training.frames)
    display.begin(f"foley ({minutes:.1f} min)")
    budget = Budget(seconds=60 * minutes)

    def on_step(step: int, figures: Mapping[str, float]) -> None:
        display.show(budget.share, budget.elapsed_s, step * training.batch, "walks", figures)

    stride = score.stride(training.frames)
    if stride and world.recall:
        display.say(f"a stride is {stride * float(world.recall.unit) / GOES:.2f} m")
    learnt = train_foley(
        network.feeling(senses, stride).requires_grad_(True), score, budget, device, training, on_step=on_step
    )
    display.end()
    told = world.file.training
    told = {**told, "foley_minutes": told.get("foley_minutes", 0.0) + budget.elapsed_s / 60}
    file = msgspec.structs.replace(world.file, foley=learnt.config, training=told)
    save_pack(replace(world, file=file, foley=learnt), out or pack)
    print(f"the pack is in {out or pack}: inhabit play {out or pack}")


@torch.inference_mode()
def listen(walks: int, world: Pack, device: torch.device, frames: int) -> Score:
    """Play so many islands, hear them as the codec does, and feel how one moves as the world does."""
    assert world.sound is not None
    codec, texts = world.sound.to(device), dict[str, int]()
    actions, heard, text_of, starts, poses, first = [], [], [], [], [], []
    for some in range(0, walks, TOGETHER):
        seeds = range(FIRST_SEED + some, FIRST_SEED + min(walks, some + TOGETHER))
        done: list[list[np.ndarray]] = [[] for _ in seeds]
        sounds: list[list[Tensor]] = [[] for _ in seeds]
        held: list[list[int]] = [[] for _ in seeds]
        stood: list[list[np.ndarray]] = [[] for _ in seeds]
        for beat in play(seeds, drawn=False):
            pose = pose_now(beat.state)
            for place, row in enumerate(beat.rows):
                said = beat.texts[place]
                held[row].append(held[row][-1] if said is None else texts.setdefault(said, len(texts)))
                done[row].append(beat.actions[place])
                sounds[row].append(beat.sound[place])
                stood[row].append(pose[place])
        for one, waves, words, where in zip(done, sounds, held, stood, strict=True):
            begin = sum(map(len, actions))
            starts.append(np.arange(begin, begin + max(0, len(one) - frames + 1)))
            actions.append(np.stack(one))
            text_of.append(np.array(words))
            poses.append(np.stack(where))
            first.append(np.arange(len(one)) == 0)
            wave = torch.cat(waves).to(device).float() / 32768
            heard.append(codec.encode(wave[None])[0].half())
    acted, senses = np.concatenate(actions), None
    if world.recall:
        senses = senses_of(acted, np.concatenate(poses), np.concatenate(first), world.recall.unit, world.flight)
    return Score(
        acted, torch.cat(heard), np.concatenate(starts), tuple(texts), np.concatenate(text_of),
        senses=senses, text=world.file.dynamics.text, device=device,
    )  # fmt: skip


if __name__ == "__main__":
    torch.manual_seed(0)
    try:
        tyro.cli(main)
    except InhabitError as error:
        print(f"foley: {error}", file=sys.stderr)
        raise SystemExit(2) from error
