"""A dream of ten thousand frames beside the simulator's: whether it still looks, and obeys, as it did in its first.

One scripted player plays the simulator; the dream is given the same actions and, every SAY_EVERY frames, the same new
words. Where the two then stand differs after a while, so pictures cannot be compared one by one; what they show as a
whole can: the attribute judge's features over a window of frames.

`psnr_like` is ten times the decimal logarithm of signal over noise, as in a PSNR, but of those features: the signal is
their variance over real frames of all kinds, the noise the mean square by which their means and deviations in the
dream's window are off from the simulator's window of the same frames, under the same words. 0 dB: as different as two
real frames picked at random; the figure of another island under the same words (`elsewhere`) is what a faithful dream
that has lost its way can reach; CAP_DB where nothing differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from inhabit.worldmodel.evaluate.attribute_judge import AttributeJudge, draw_lesson, features, read
from inhabit.worldmodel.evaluate.dreamers import CONTEXT_FRAMES, Dreamer, Size, open_islands
from inhabit.worldmodel.evaluate.intervals import ci95, mean
from inhabit.worldmodel.worlds.isle import motion
from inhabit.worldmodel.worlds.isle.attributes import SCENE, VALUES, Attributes, sample, vary
from inhabit.worldmodel.worlds.isle.players import IslePlayer, sights
from inhabit.worldmodel.worlds.isle.record import complete
from inhabit.worldmodel.worlds.isle.render import render
from inhabit.worldmodel.worlds.isle.scene import create, with_attributes

SAY_EVERY = 128
FADE_FRAMES = 24
"""Frames after new words that are not looked at: everything changes then."""

CAP_DB = 60.0
BLOCK = 4
"""Neighbouring looks that are resampled together: frames that follow each other are not independent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EnduranceConfig:
    """How long, and how closely it is looked at."""

    frames: int = 10_000
    sessions: int = 1
    window: int = 512
    """Frames of the window at the end; the first one ends with frame 128 and has frame 64 in its middle."""
    every: int = 4
    """One frame of this many is looked at in the first window, a quarter as many in the last."""
    real_frames: int = 300
    """Real frames of all kinds that the features' variance is taken from."""


def measure_endurance(
    dreamer: Dreamer,
    judge: AttributeJudge,
    config: EnduranceConfig,
    *,
    size: Size,
    seed: int = 0,
    on_frame: Callable[[int], None] = lambda frame: None,
) -> tuple[dict[str, Any], list[list[np.ndarray]]]:
    """The `drift` figures at frame 64 and at the end, and rows for a contact sheet (the dream above the simulator).

    Besides `psnr_like` there is `obedience`: the share of time, weather, ground and style, as they were last asked
    for, that the judge reads off the dream. `still` is a dream that stops at its first frame.
    """
    looks = {"64": _looks(0, min(128, config.frames), config.every)}
    end = max(0, config.frames - config.window)
    looks[str(config.frames)] = _looks(end, config.frames, 4 * config.every)
    shown = sorted({frame for frames in looks.values() for frame in frames} | set(_strip(config.frames)))
    pixels, wanted = _run(dreamer, config, shown, size, seed, on_frame)
    spread = features(judge, draw_lesson(config.real_frames, size=size, seed=77).pixels.numpy()).std(0) + 1e-3
    report: dict[str, Any] = {"psnr_like": {"ci95": {}}, "obedience": {"ci95": {}}, "elsewhere": {}, "still": {}}
    report |= {"obedience_simulator": {}, "frames": config.frames, "sessions": config.sessions}
    place = {frame: n for n, frame in enumerate(shown)}
    for name, frames in looks.items():
        at = [place[frame] for frame in frames]
        seen = {who: features(judge, _flat(shots[:, at])) for who, shots in pixels.items()}
        goal = {scene: np.array([[row[scene] for row in wanted[frame]] for frame in frames]).T for scene in SCENE}
        report["psnr_like"][name] = psnr_like(seen["dream"], seen["simulator"], spread)
        report["psnr_like"]["ci95"][name] = _interval(seen["dream"], seen["simulator"], spread)
        report["elsewhere"][name] = psnr_like(seen["elsewhere"], seen["simulator"], spread)
        still = features(judge, _flat(np.repeat(pixels["dream"][:, :1], len(at), 1)))
        report["still"][name] = psnr_like(still, seen["simulator"], spread)
        for who, key in (("dream", "obedience"), ("simulator", "obedience_simulator")):
            right = _obeyed(judge, _flat(pixels[who][:, at]), goal)
            report[key][name] = mean(right)
            if who == "dream":
                report[key]["ci95"][name] = ci95(right)
    strip = [place[frame] for frame in _strip(config.frames)]
    return report, [list(pixels[who][0, strip]) for who in ("dream", "simulator")]


def psnr_like(dreamt: np.ndarray, real: np.ndarray, spread: np.ndarray) -> float:
    """dB; see the top of this file. Shapes: (n, f), (m, f), (f,)."""
    means = (dreamt.mean(0) - real.mean(0)) / spread
    deviations = (dreamt.std(0) - real.std(0)) / spread
    return min(CAP_DB, -10 * float(np.log10(np.mean(means**2 + deviations**2) + 1e-9)))


def _interval(dreamt: np.ndarray, real: np.ndarray, spread: np.ndarray) -> list[float]:
    blocks = -(-len(dreamt) // BLOCK)
    drawn = np.random.default_rng(0).integers(blocks, size=(400, blocks))
    rows = [np.concatenate([np.arange(b * BLOCK, min((b + 1) * BLOCK, len(dreamt))) for b in draw]) for draw in drawn]
    figures = [psnr_like(dreamt[chosen], real[chosen], spread) for chosen in rows]
    return [float(value) for value in np.percentile(figures, (2.5, 97.5))]


def _looks(first: int, last: int, every: int) -> list[int]:
    frames = [frame for frame in range(first, last, every) if frame % SAY_EVERY >= FADE_FRAMES or frame < FADE_FRAMES]
    return frames or [last - 1]


def _strip(frames: int) -> list[int]:
    return sorted({int(x) for x in np.geomspace(1, frames, 12) - 1})


def _flat(shots: np.ndarray) -> np.ndarray:
    return shots.reshape(-1, *shots.shape[2:])


def _obeyed(judge: AttributeJudge, pixels: np.ndarray, goal: dict[str, np.ndarray]) -> np.ndarray:
    """(n, 4) 1 where the judge reads what was asked for."""
    reading = read(judge, pixels)
    return np.stack([(reading.value(name) == goal[name].reshape(-1)) for name in SCENE], 1).astype(float)


@torch.inference_mode()
def _run(
    dreamer: Dreamer,
    config: EnduranceConfig,
    shown: list[int],
    size: Size,
    seed: int,
    on_frame: Callable[[int], None],
) -> tuple[dict[str, np.ndarray], dict[int, list[dict[str, int]]]]:
    """Dream and simulate; what was seen (b, m, h, w, 3) by whom, and the scene that held at each frame looked at."""
    b = config.sessions
    rng = np.random.default_rng([seed, 61])
    now = [sample(rng) for _ in range(b)]
    seeds = [9_800_000 + 1000 * seed + n for n in range(b)]
    opening = open_islands(seeds, now, size=size)
    players = [IslePlayer(one) for one in seeds]
    state, sim = dreamer.begin(opening, opening.texts), opening.state
    other = create([one + 500 for one in seeds], now)
    for _ in range(CONTEXT_FRAMES - 1):
        other = motion.step(other, torch.zeros(b, len(motion.ACTIONS)))
    pixels: dict[str, list[np.ndarray]] = {"dream": [], "simulator": [], "elsewhere": []}
    wanted: dict[int, list[dict[str, int]]] = {}
    looked = set(shown)
    for frame in range(config.frames):
        if frame and frame % SAY_EVERY == 0:
            now = [vary(one, rng)[0] for one in now]
            state = dreamer.say(state, [complete(one, rng) for one in now])
            sim, other = with_attributes(sim, now), with_attributes(other, now)
        seen = sights(sim)
        action = torch.from_numpy(np.stack([player.action(one) for player, one in zip(players, seen, strict=True)]))
        state, sim, other = dreamer.step(state, action), motion.step(sim, action), motion.step(other, action)
        if frame in looked:
            pixels["dream"].append(dreamer.show(state))
            pixels["simulator"].append(render(sim, *size).pixels.numpy())
            pixels["elsewhere"].append(render(other, *size).pixels.numpy())
            wanted[frame] = [_scene(one) for one in now]
        on_frame(frame + 1)
    return {who: np.stack(shots, 1) for who, shots in pixels.items()}, wanted


def _scene(attributes: Attributes) -> dict[str, int]:
    return {name: VALUES[name].index(getattr(attributes, name)) for name in SCENE}
