"""Whether a world sounds as it should: events that are heard where they happened, and as loud as they were.

A small judge, trained on the simulator's sound alone, hears events in a soundtrack: it sees log spectra and says for
each frame what begins there. It listens to the dream and to the simulator; the truth is what the simulator did.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.evaluate import shipped
from inhabit.worldmodel.evaluate.dreamers import CONTEXT_FRAMES, Dreamer, Opening, Size, dream, pose_now
from inhabit.worldmodel.evaluate.intervals import ci95, mean
from inhabit.worldmodel.pack import read_tensors, write_tensors
from inhabit.worldmodel.train.schedule import Budget
from inhabit.worldmodel.worlds.isle import motion, truth
from inhabit.worldmodel.worlds.isle.attributes import sample
from inhabit.worldmodel.worlds.isle.players import IslePlayer, sights
from inhabit.worldmodel.worlds.isle.record import complete
from inhabit.worldmodel.worlds.isle.render import render
from inhabit.worldmodel.worlds.isle.scene import VOICES, State, create
from inhabit.worldmodel.worlds.isle.sound import SAMPLES, sound

HEARD = ("step", "hand", "bounce", "splash", "thunder", "call")
"""Events that make a sound of their own; `step` is also landing, `hand` is a throw, a pickup or a jump."""

AUDIBLE, OVER_WEATHER = 0.12, 0.5
"""An event counts if it is this loud, and this loud in proportion to wind, rain and water together."""

NEAR_FRAMES = 2
"""An event that is heard so many frames off counts as heard."""

WINDOW, HOP, BANDS = 400, 250, 32
OTHER_LUCK_FRAMES = 146_121
"""Chance is drawn by the frame's number: so many frames on, gusts are where they were and all else that it decides is
not."""

LOUDNESS_FRAMES = 8
"""Frames over which loudness is compared."""
FLOOR_DB = -60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class HearingConfig:
    """How much is listened to, and how the judge learns."""

    islands: int = 24
    frames: int = 96
    """Frames of each."""
    lesson_islands: int = 64
    lesson_frames: int = 320
    """Frames of each island that the judge learns from."""
    steps: int = 1000
    """Optimiser steps of the judge."""
    most_seconds: float = 45.0
    """Processor time after which learning ends anyway."""


class SoundJudge(nn.Module):
    """What begins in each frame of a soundtrack."""

    threshold: Tensor

    def __init__(self, width: int = 64):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(2 * BANDS, width, 5, padding=2),
            nn.SiLU(),
            nn.Conv1d(width, width, 5, padding=2),
            nn.SiLU(),
            nn.Conv1d(width, width, 4, stride=4),
            nn.SiLU(),
            nn.Conv1d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv1d(width, len(HEARD), 1),
        )
        self.register_buffer("threshold", torch.full((len(HEARD),), 0.5))

    def forward(self, bands: Tensor) -> Tensor:
        """Shapes: (b, 2 * BANDS, 4 t) -> (b, t, events) logits."""
        return self.net(bands).transpose(1, 2)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Events heard against events that happened, for each session."""

    right: np.ndarray
    claimed: np.ndarray
    present: np.ndarray
    offsets: list[np.ndarray]
    """Frames by which each right one is late."""

    @property
    def f1(self) -> float:
        return f1_of(np.stack([self.right, self.claimed, self.present], 1))


def f1_of(counts: np.ndarray) -> float:
    """Shapes: (n, 3) of right, claimed, present."""
    right, claimed, present = counts.sum(0)
    return float(2 * right / max(1.0, claimed + present))


def bands_of(samples: np.ndarray) -> Tensor:
    """Log spectra, four for each frame. Shapes: (b, t, 1000, 2) int16 -> (b, 2 * BANDS, 4 t) float32."""
    x = torch.from_numpy(samples).flatten(1, 2).float().transpose(1, 2) / 32768  # (b, 2, t * 1000)
    x = F.pad(x, (0, WINDOW - HOP)).unfold(-1, WINDOW, HOP) * torch.hann_window(WINDOW)
    power = torch.fft.rfft(x, dim=-1).abs().square()[..., 1:]  # (b, 2, 4 t, 200)
    edges = np.unique(np.round(np.geomspace(1, power.shape[-1], BANDS + 1)).astype(int))
    edges = np.concatenate([np.arange(0, BANDS + 1 - len(edges)), edges + (BANDS + 1 - len(edges))]).clip(0, 200)
    parts = [power[..., low : max(high, low + 1)].mean(-1) for low, high in pairwise(edges)]
    loud = torch.stack(parts, 2).clamp(min=1e-7).log()  # (b, 2, bands, 4 t)
    return (loud.flatten(1, 2) + 6) / 4


@dataclass(frozen=True, kw_only=True)
class Track:
    """What was done, heard and true on some islands."""

    sound: np.ndarray
    """(b, t, 1000, 2) int16."""
    events: np.ndarray
    """(b, t, len(HEARD)) bool."""
    actions: np.ndarray
    """(t, b, 6); the first led to nothing."""
    opening: Opening | None


@torch.inference_mode()
def play_track(seeds: list[int], frames: int, *, size: Size | None = None) -> Track:
    """Play some islands with scripted players.

    Args:
        size: draw the first CONTEXT_FRAMES and give them as an opening; by default nothing is drawn.
    """
    attributes = [sample(np.random.default_rng([seed, 3])) for seed in seeds]
    players = [IslePlayer(seed) for seed in seeds]
    state = create(seeds, attributes, avatars=1)
    pose, pictures, opening = pose_now(state), [], None
    sounds, events, actions = [], [], []
    action = np.zeros((len(seeds), len(motion.ACTIONS)), np.float32)
    for frame in range(frames):
        if frame:
            action = np.stack([player.action(seen) for player, seen in zip(players, sights(state), strict=True)])
            state = motion.step(state, torch.from_numpy(action))
        actions.append(action)
        sounds.append(sound(state).numpy())
        events.append(audible(state))
        if size and frame < CONTEXT_FRAMES:
            pictures.append(render(state, *size).pixels.numpy())
            if frame == CONTEXT_FRAMES - 1:
                opening = Opening(
                    frames=np.stack(pictures, 1), actions=np.stack(actions, 1), sound=np.stack(sounds, 1), pose=pose,
                    state=state, size=size,
                    texts=tuple(complete(now, np.random.default_rng(0)) for now in truth.attributes(state)),
                )  # fmt: skip
    return Track(sound=np.stack(sounds, 1), events=np.stack(events, 1), actions=np.stack(actions), opening=opening)


@torch.inference_mode()
def with_other_luck(opening: Opening, actions: np.ndarray) -> np.ndarray:
    """What would be heard after the opening if chance fell otherwise: calls come at other times, and lightning.

    Shapes: (t, b, 6) actions -> (b, t, 1000, 2) int16.
    """
    state, sounds = opening.state, []
    state = replace(state, frame=state.frame + OTHER_LUCK_FRAMES)
    for action in actions:
        state = motion.step(state, torch.from_numpy(action))
        sounds.append(sound(state).numpy())
    return np.stack(sounds, 1)


def audible(state: State) -> np.ndarray:
    """Which events begin to be heard in a frame, not drowned by the weather. Shape (b, len(HEARD)) bool."""
    gain = state.voice_gain.amax(2)
    weather = state.level[:, :, 1].sum(1).amax(1, keepdim=True)
    begins = (state.voice_age == 0) & (gain > AUDIBLE) & (gain > OVER_WEATHER * weather)
    of = [[n for n, voice in enumerate(VOICES) if voice.split("-")[0] == name] for name in HEARD]
    return torch.stack([begins[:, places].any(1) for places in of], 1).numpy()


def train_sound_judge(config: HearingConfig, *, keep: Path | None = None) -> SoundJudge:
    """Train on the simulator's sound, or take what was kept in the folder `keep`, or what comes with the library."""
    name = f"sound-{config.lesson_islands}x{config.lesson_frames}-{config.steps}.safetensors"
    torch.manual_seed(0)
    judge = SoundJudge()
    if path := shipped.take(judge, name, keep):
        judge.threshold.copy_(read_tensors(path)["threshold"].float())
        return judge.eval().requires_grad_(False)
    track = play_track([9_500_000 + n for n in range(config.lesson_islands)], config.lesson_frames)
    held = max(1, config.lesson_islands // 6)
    bands, events = bands_of(track.sound), torch.from_numpy(track.events).float()
    optimizer = torch.optim.AdamW(judge.parameters(), 3e-3, weight_decay=0.01)
    rng = np.random.default_rng(0)
    budget = Budget(seconds=config.most_seconds, clock=time.process_time)
    length = min(64, config.lesson_frames)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=config.steps + 1)
    for _ in range(config.steps):
        if budget.left_s <= 0:
            break
        rows = rng.integers(held, config.lesson_islands, 16)
        at = rng.integers(0, config.lesson_frames - length + 1, 16)
        x = torch.stack([bands[r, :, 4 * a : 4 * (a + length)] for r, a in zip(rows, at, strict=True)])
        y = torch.stack([events[r, a : a + length] for r, a in zip(rows, at, strict=True)])
        x = x + 0.1 * torch.randn_like(x)
        loss = F.binary_cross_entropy_with_logits(judge(x), y, pos_weight=torch.tensor(3.0))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    judge.eval().requires_grad_(False)
    chance = judge(bands[:held]).sigmoid().numpy()
    for n in range(len(HEARD)):
        scores = [(f1_of(_counts(_peaks(chance[..., n : n + 1], t), track.events[:held, :, n : n + 1])[0]), t)
                  for t in np.linspace(0.2, 0.9, 8)]  # fmt: skip
        judge.threshold[n] = float(max(scores)[1])
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        write_tensors(dict(judge.state_dict()), keep / name)
    return judge


@torch.inference_mode()
def hear_events(judge: SoundJudge, samples: np.ndarray) -> np.ndarray:
    """Shapes: (b, t, 1000, 2) int16 -> (b, t, len(HEARD)) bool, where each event is heard to begin."""
    chance = judge(bands_of(samples)).sigmoid().numpy()
    return _peaks(chance, judge.threshold.numpy())


def score(heard: np.ndarray, happened: np.ndarray) -> Scored:
    """Pair events of the same kind that are at most NEAR_FRAMES apart. Shapes: (b, t, kinds) bool twice."""
    counts, offsets = _counts(heard, happened)
    return Scored(right=counts[:, 0], claimed=counts[:, 1], present=counts[:, 2], offsets=offsets)


def measure_sound(
    dreamer: Dreamer, judge: SoundJudge, config: HearingConfig, *, size: Size, seed: int = 0
) -> dict[str, Any]:
    """The `sound` figures.

    `f1` is over all events of HEARD, each within NEAR_FRAMES of when it happened; `offset_frames` the median distance
    in time of those that were heard; `level_db` the mean difference in loudness over LOUDNESS_FRAMES frames. Beside
    them: `copy` repeats what was heard last for ever, `codec` is the simulator's sound through the codec alone,
    `knowable` the simulator going on with other luck, and `simulator` its own sound in the judge's ears.
    """
    seeds = [9_000_000 + 1000 * seed + n for n in range(config.islands)]
    track = play_track(seeds, CONTEXT_FRAMES + config.frames, size=size)
    assert track.opening is not None
    film = dream(dreamer, track.opening, track.actions[CONTEXT_FRAMES:], look=[0], listen=True)
    real = track.sound[:, CONTEXT_FRAMES:]
    happened = track.events[:, CONTEXT_FRAMES:]
    again = -(-config.frames // CONTEXT_FRAMES)
    tracks = {
        "dream": film.sound,
        "copy": np.tile(track.sound[:, :CONTEXT_FRAMES], (1, again, 1, 1))[:, : config.frames],
        "codec": dreamer.coded_sound(track.sound)[:, CONTEXT_FRAMES:],
        "knowable": with_other_luck(track.opening, track.actions[CONTEXT_FRAMES:]),
        "simulator": real,
    }
    scored = {who: score(hear_events(judge, samples), happened) for who, samples in tracks.items()}
    levels = {who: np.abs(loudness_db(samples) - loudness_db(real)).mean(1) for who, samples in tracks.items()}
    mine = scored["dream"]
    counts = np.stack([mine.right, mine.claimed, mine.present], 1)
    each = np.array([np.median(np.abs(offsets)) if len(offsets) else np.nan for offsets in mine.offsets])
    offsets = np.abs(np.concatenate(mine.offsets)) if mine.offsets else np.zeros(0)
    return {
        "f1": mine.f1,
        "offset_frames": float(np.median(offsets)) if len(offsets) else float("nan"),
        "level_db": mean(levels["dream"]),
        "ci95": {
            "f1": ci95(counts, f1_of),
            "offset_frames": ci95(each, np.nanmedian),
            "level_db": ci95(levels["dream"]),
        },
        "events": int(mine.present.sum()),
        "by_event": {
            name: score(hear_events(judge, film.sound)[..., n : n + 1], happened[..., n : n + 1]).f1
            for n, name in enumerate(HEARD)
            if happened[..., n].any()
        },
        **{
            who: {"f1": scored[who].f1, "level_db": mean(levels[who])} for who in tracks if who != "dream"
        },
    }  # fmt: skip


def loudness_db(samples: np.ndarray) -> np.ndarray:
    """Root mean square over LOUDNESS_FRAMES frames, dB of full scale. Shapes: (b, t, n, 2) int16 -> (b, t / 8)."""
    b, t = samples.shape[:2]
    t -= t % LOUDNESS_FRAMES
    x = samples[:, :t].reshape(b, t // LOUDNESS_FRAMES, -1).astype(np.float32) / 32768
    return np.maximum(20 * np.log10(np.sqrt((x**2).mean(-1)) + 1e-9), FLOOR_DB)


def _peaks(chance: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
    """Where a chance (b, t, kinds) is above its threshold and above its neighbours in time."""
    padded = np.pad(chance, ((0, 0), (1, 1), (0, 0)))
    return (chance > threshold) & (chance >= padded[:, :-2]) & (chance > padded[:, 2:])


def _counts(heard: np.ndarray, happened: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """(b, 3) right, claimed and present of each session, and how late its right ones are."""
    counts, offsets = np.zeros((len(heard), 3)), []
    for i in range(len(heard)):
        late: list[int] = []
        for kind in range(heard.shape[-1]):
            free = list(np.flatnonzero(heard[i, :, kind]))
            for at in np.flatnonzero(happened[i, :, kind]):
                near = [one for one in free if abs(one - at) <= NEAR_FRAMES]
                if near:
                    best = min(near, key=lambda one: abs(one - at))
                    free.remove(best)
                    late.append(int(best - at))
        counts[i] = len(late), heard[i].sum(), happened[i].sum()
        offsets.append(np.array(late))
    return counts, offsets


assert SAMPLES == 4 * HOP
