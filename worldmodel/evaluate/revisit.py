"""Whether a place is still there when one comes back to it: look away for a while, turn back, compare.

Nobody walks, and nothing that moves by itself is on the island, so the simulator's picture at the return is the only
right one. The same sessions run twice at once, with their memory of places and with that memory emptied at each step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inhabit.worldmodel.evaluate.dreamers import Dreamer, Opening, Size, dream, open_islands, what_happens
from inhabit.worldmodel.evaluate.intervals import ci95
from inhabit.worldmodel.evaluate.rollout import psnr_db
from inhabit.worldmodel.worlds.isle.attributes import sample
from inhabit.worldmodel.worlds.isle.motion import ACTIONS
from inhabit.worldmodel.worlds.isle.scene import join

TURN_FRAMES = 16
"""Frames of turning away at full speed, some 110 degrees; as many to come back."""

REST_FRAMES = 8
"""Frames of resting before the turn, and after it while its spin dies away."""

LOOKED_AT = 4
"""Frames at the return that are compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RevisitConfig:
    """How often, and for how long, one looks away."""

    away_frames: tuple[int, ...] = (16, 64, 256)
    """Frames between the end of turning away and the beginning of turning back."""

    islands: int = 8
    """Islands for each."""


def measure_revisit(
    dreamer: Dreamer, config: RevisitConfig, *, size: Size, seed: int = 0
) -> tuple[dict[str, Any], list[list[np.ndarray]]]:
    """The `revisit` figures of each absence, and rows for a contact sheet (before, away, dreamt, without memory, true).

    `psnr_db` is the mean over islands of the PSNR at the return, `gain_db` how much of it the memory of places brings;
    `no_memory_psnr_db` is that without it, `copy_psnr_db` that of the picture seen just before turning back,
    `codec_psnr_db` that of the true picture through the codec alone.
    """
    report: dict[str, Any] = {}
    sheet: list[list[np.ndarray]] = []
    for away in config.away_frames:
        figures, rows = _look_away(dreamer, away, config.islands, size, seed)
        report[str(away)] = figures
        sheet += rows[:3]
    return report, sheet


def turn_script(away: int, islands: int) -> np.ndarray:
    """Rest, turn away, look about a little, turn back the same way, rest. Shape (n, islands, 6)."""
    sway = 0.12 * np.sin(np.arange(away) * 2 * np.pi / 16)  # sums to nothing over each 16 frames
    turn = np.concatenate([np.zeros(2), np.ones(TURN_FRAMES), sway, -np.ones(TURN_FRAMES), np.zeros(REST_FRAMES)])
    script = np.zeros((len(turn), islands, len(ACTIONS)), np.float32)
    way = np.where(np.arange(islands) % 2, 1.0, -1.0)
    script[:, :, ACTIONS.index("LOOK_X")] = turn[:, None] * way
    return script


def _look_away(
    dreamer: Dreamer, away: int, islands: int, size: Size, seed: int
) -> tuple[dict[str, Any], list[list[np.ndarray]]]:
    rng = np.random.default_rng([seed, 41])
    attributes = [sample(rng).changed({"creatures": 0, "weather": "clear"}) for _ in range(islands)]
    seeds = [7_000_000 + 1000 * seed + n for n in range(islands)]
    opening = open_islands(seeds, attributes, size=size, avatars=0)
    both = _twice(opening)
    script = turn_script(away, islands)
    frames = len(script)
    turned = 2 + TURN_FRAMES + away - 1  # the last frame away
    look = [turned, *range(frames - LOOKED_AT, frames)]
    forgetful = np.arange(2 * islands) >= islands
    film = dream(dreamer, both, np.concatenate([script, script], 1), look=look, forgetful=forgetful)
    real = what_happens(opening, script, look=look).film.pixels
    back = real[:, 1:]
    with_memory = _psnr(film.pixels[:islands, 1:], back)
    without = _psnr(film.pixels[islands:, 1:], back)
    coded = dreamer.coded(back.reshape(-1, *back.shape[2:])).reshape(back.shape)
    gain = with_memory - without
    figures = {
        "psnr_db": float(with_memory.mean()),
        "gain_db": float(gain.mean()),
        "no_memory_psnr_db": float(without.mean()),
        "copy_psnr_db": float(_psnr(np.repeat(real[:, :1], LOOKED_AT, 1), back).mean()),
        "codec_psnr_db": float(_psnr(coded, back).mean()),
        "islands": islands,
        "ci95": {"psnr_db": ci95(with_memory), "gain_db": ci95(gain)},
    }
    rows = [
        [both.frames[i, -1], film.pixels[i, 0], film.pixels[i, -1], film.pixels[islands + i, -1], real[i, -1]]
        for i in range(islands)
    ]
    return figures, rows


def _twice(opening: Opening) -> Opening:
    """The same islands two times over."""
    return Opening(
        frames=np.concatenate([opening.frames] * 2),
        actions=np.concatenate([opening.actions] * 2),
        sound=np.concatenate([opening.sound] * 2),
        pose=np.concatenate([opening.pose] * 2),
        state=join([opening.state] * 2),
        texts=opening.texts * 2,
        size=opening.size,
    )


def _psnr(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(b,) dB, capped at 60 where nothing differs. Shapes: (b, m, h, w, 3) uint8 twice."""
    errors = np.square(one.astype(np.float32) - other).mean((1, 2, 3, 4))
    return np.array([min(60.0, psnr_db(float(error))) for error in errors])
