"""How true short dreams are: pictures, objects and obedience, at growing distance from the last real frame.

Every dream begins with CONTEXT_FRAMES real frames of a held-out episode and is given the actions that were played
there. Copying the last real frame for ever is the floor that skill is measured from; the codec's reconstruction of the
true frame is the ceiling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.evaluate.detector import Detector, Score, detect_all, match, measure, total
from inhabit.worldmodel.evaluate.inverse_dynamics import (
    OFFSETS,
    Accuracy,
    InverseDynamics,
    balanced_accuracy,
    held_buttons,
    read_buttons,
    real_triples,
)  # fmt: skip
from inhabit.worldmodel.evaluate.knowable import known_share
from inhabit.worldmodel.evaluate.rollout import CONTEXT_FRAMES, HORIZONS, Rollout, psnr_db, roll_out, windows_for
from inhabit.worldmodel.recordings import RecordingError
from inhabit.worldmodel.train.autoencoder import reconstruct
from inhabit.worldmodel.train.footage import Footage

NEAR_FRAMES = 16
"""Most dreams go no farther: what happens later depends on chance, and long dreams are slow."""

OBJECT_HORIZONS = (1, 4, 16)
"""Later the dream's own chance decides where its monsters are, and a match means little."""

Figure = TypeVar("Figure")

RESAMPLES = 400
"""Draws of the bootstrap behind each interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FidelityConfig:
    """How many dreams are dreamt."""

    windows: int = 160
    """Dreams of NEAR_FRAMES frames."""

    far_windows: int = 32
    """Dreams that go on to the farthest horizon."""

    shuffled: int = 40
    """Dreams of NEAR_FRAMES frames that are given another dream's actions."""

    codec_frames: int = 500
    """Real frames that the codec reconstructs."""

    action_triples: int = 900
    """Moments at which actions are read."""


@dataclass(frozen=True, kw_only=True)
class Dreams:
    """All short dreams of one evaluation."""

    near: Rollout
    """Many, up to NEAR_FRAMES frames long."""
    far: Rollout
    """Few, up to the farthest horizon."""
    shuffled: Rollout
    """Some of the near ones again, each under the actions of another."""


def dream_windows(engine: Engine, footage: Footage, latents: Tensor, config: FidelityConfig, *, steps: int) -> Dreams:
    """Dream of held-out windows, near, far, and with the actions of another window.

    They are as long as episodes allow. Raises RecordingError when none fit.
    """
    enough = min(8, config.far_windows)
    lengths = [h for h in HORIZONS if len(windows_for(footage, h + OFFSETS[-1], enough)) >= enough]
    if not lengths:
        raise RecordingError(
            f"Expected held-out episodes of more than {CONTEXT_FRAMES + OFFSETS[-1]} frames, got none; "
            f"measure on longer play"
        )
    near_frames = max(h for h in lengths if h <= NEAR_FRAMES)
    starts = windows_for(footage, near_frames, config.windows)
    near = roll_out(engine, footage, latents, starts, near_frames, steps=steps)
    far = near
    if lengths[-1] > near_frames:
        far_starts = windows_for(footage, lengths[-1], config.far_windows)
        far = roll_out(engine, footage, latents, far_starts, lengths[-1], steps=steps)
    few = starts[:: -(-len(starts) // config.shuffled)]
    shuffled = roll_out(engine, footage, latents, few, near_frames, steps=steps, shuffle_actions=True)
    return Dreams(near=near, far=far, shuffled=shuffled)


def measure_pictures(dreams: Dreams, footage: Footage) -> dict[str, Any]:
    """Skill and PSNR over the horizon.

    `skill` is 1 - MSE / MSE of copying the last real frame: 1 is perfect, 0 is a still picture, below is worse than
    one. `skill_interval` holds 90 % of a bootstrap over dreams; `curve` has every frame, of the near dreams as far as
    they go.
    """
    near, far = errors_of(dreams.near, footage), errors_of(dreams.far, footage)
    split = near[0].shape[1]

    def over_frames(figure: Callable[[np.ndarray, np.ndarray], Figure]) -> list[Figure]:
        parts = [(near, range(split)), (far, range(split, far[0].shape[1]))]
        return [figure(errors[:, t], floors[:, t]) for (errors, floors), frames in parts for t in frames]

    curve = over_frames(lambda errors, floors: 1 - float(errors.sum() / max(floors.sum(), 1e-9)))
    psnr = over_frames(lambda errors, floors: psnr_db(float(errors.mean())))
    interval = over_frames(_interval)
    at = [h for h in HORIZONS if h <= len(curve)]
    return {
        "skill": {h: curve[h - 1] for h in at},
        "psnr_db": {h: psnr[h - 1] for h in at},
        "skill_interval": {h: interval[h - 1] for h in at},
        "curve": {
            "skill": curve,
            "psnr_db": psnr,
            "copy_psnr_db": over_frames(lambda errors, floors: psnr_db(float(floors.mean()))),
        },
    }


def measure_codec(
    engine: Engine, footage: Footage, detector: Detector | None, frames: int
) -> tuple[dict[str, float], dict[str, float]]:
    """What the codec keeps of real frames: the `codec` figures, and the ceilings of `objects`."""
    rows = np.unique(np.linspace(0, len(footage) - 1, min(frames, len(footage))).astype(int))
    shown = reconstruct(engine.autoencoder, footage.frames[rows], engine.device)
    error = np.mean([np.mean(np.square(a.astype(np.float32) - b)) for a, b in zip(shown, footage.frames[rows])])
    codec = {"psnr_db": psnr_db(float(error))}
    if detector is None:
        return codec, {}
    real, coded = measure(detector, footage, rows), measure(detector, footage, rows, pixels=shown)
    codec |= {"object_recall": coded.recall, "object_precision": coded.precision}
    ceilings = {"ceiling": coded.recall, "ceiling_real": real.recall, "ceiling_real_precision": real.precision}
    return codec, ceilings


def measure_objects(dreams: Rollout, footage: Footage, detector: Detector) -> dict[str, dict[int, float]]:
    """Recall and precision of the true objects in dreamt frames, the recall of copying the last real frame, and
    `known`, the share of the objects that had been in view before."""
    at = [h for h in OBJECT_HORIZONS if h <= dreams.rows.shape[1]]
    scores: dict[int, Score] = {}
    copies: dict[int, Score] = {}
    for h in at:
        rows = dreams.rows[:, h - 1]
        scores[h] = measure(detector, footage, rows, pixels=dreams.dreamt[:, h - 1])
        copies[h] = measure(detector, footage, rows, pixels=footage.frames[dreams.last_seen])
    before = dreams.last_seen[:, None] + np.arange(1 - CONTEXT_FRAMES, 1)
    known = {h: known_share(footage, before, dreams.rows[:, h - 1]) for h in at}
    return {
        "recall": {h: scores[h].recall for h in at},
        "precision": {h: scores[h].precision for h in at},
        "copy_recall": {h: copies[h].recall for h in at},
        "present": {h: scores[h].present for h in at},
        "known": {h: share for h, share in known.items() if share is not None},
    }


def measure_kinds(dreams: Rollout, footage: Footage, detector: Detector, horizon: int) -> dict[str, dict[str, float]]:
    """Recall and precision of each name by itself after `horizon` frames; `present` is how many there were."""
    rows = dreams.rows[:, horizon - 1]
    found = detect_all(detector, dreams.dreamt[:, horizon - 1])
    kinds = {}
    for number, name in enumerate(footage.names):
        pairs = zip(found, (footage.boxes_of(int(row)) for row in rows), strict=True)
        score = total(match([f for f in seen if f[1] == number], true[true[:, 0] == number]) for seen, true in pairs)
        kinds[name] = {"recall": score.recall, "precision": score.precision, "present": score.present}
    return kinds


def measure_actions(
    engine: Engine, all_dreams: Dreams, footage: Footage, judge: InverseDynamics, config: FidelityConfig
) -> dict[str, Any]:
    """Whether dreams do what they are told, in the eyes of the inverse-dynamics model.

    All figures are balanced accuracies (0.5 is chance) but for the ratios:
    `real` on real frames, `codec` on the codec's picture of a third of them, `dreamt` on dreams of the same moments;
    `shuffled` on dreams that were given another window's actions, against what they were given: a dream that only
    continues what it saw fails here; `shuffled_against_played` the same dreams against what was really played, 0.5
    when nothing but the action decides; `ratio` is dreamt / real, `chance_corrected` is (dreamt - 0.5) / (real - 0.5).
    `delta_psnr_db` needs no judge: see delta_psnr_db().
    """
    dreams, shuffled = all_dreams.near, all_dreams.shuffled
    where = _moments(dreams, config.action_triples)
    rows = dreams.rows[where]
    real = real_triples(footage, rows)
    some = real[::3]
    coded = reconstruct(engine.autoencoder, some.reshape(-1, *some.shape[2:]), engine.device).reshape(some.shape)
    else_where = _moments(shuffled, config.action_triples)
    strange = dreamt_triples(shuffled, footage, else_where)
    read = {
        "real": _accuracy(judge, real, footage, rows),
        "codec": _accuracy(judge, coded, footage, rows[::3]),
        "dreamt": _accuracy(judge, dreamt_triples(dreams, footage, where), footage, rows),
        "shuffled": _accuracy(judge, strange, footage, shuffled.given[else_where]),
        "shuffled_against_played": _accuracy(judge, strange, footage, shuffled.rows[else_where]),
    }
    means = {name: accuracy.mean for name, accuracy in read.items()}
    return {
        **means,
        "ratio": fidelity_ratio(means["dreamt"], means["real"]),
        "chance_corrected": fidelity_ratio(means["dreamt"] - 0.5, means["real"] - 0.5),
        "delta_psnr_db": delta_psnr_db(dreams, shuffled, footage),
        "buttons": {name: read[name].buttons for name in ("real", "dreamt", "shuffled")},
    }


def fidelity_ratio(dreamt: float, real: float) -> float:
    """dreamt / real; NaN where the judge reads nothing off real frames, because then it cannot judge dreams."""
    return dreamt / real if real > 0.01 else float("nan")


def delta_psnr_db(dreams: Rollout, shuffled: Rollout, footage: Footage, horizon: int = 4) -> float:
    """How much PSNR wrong actions cost at one horizon. Source: Genie (arXiv 2402.15391), its measure of control."""
    h = min(horizon, shuffled.rows.shape[1]) - 1
    same = np.flatnonzero(np.isin(dreams.last_seen, shuffled.last_seen))
    real = footage.frames[shuffled.rows[:, h]].astype(np.float32)
    right = float(np.square(dreams.dreamt[same, h] - real).mean())
    wrong = float(np.square(shuffled.dreamt[:, h] - real).mean())
    return psnr_db(right) - psnr_db(wrong)


def dreamt_triples(dreams: Rollout, footage: Footage, where: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """The frames around dreamt moments `where` (session, frame); before the first dreamt frame lies the last real one.

    Shape (n, 3, h, w, 3) uint8.
    """
    session, frame = where
    triples = np.stack([dreams.dreamt[session, np.maximum(frame + offset, 0)] for offset in OFFSETS], axis=1)
    for index, offset in enumerate(OFFSETS):
        before = frame + offset < 0
        triples[before, index] = footage.frames[dreams.last_seen[session[before]]]
    return triples


def _moments(dreams: Rollout, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Up to `most` moments (session, frame), evenly spread, that have all frames of a triple."""
    sessions, frames = dreams.rows.shape
    session, frame = (grid.ravel() for grid in np.mgrid[:sessions, : frames - OFFSETS[-1]])
    pick = np.unique(np.linspace(0, len(session) - 1, min(most, len(session))).astype(int))
    return session[pick], frame[pick]


def _accuracy(judge: InverseDynamics, triples: np.ndarray, footage: Footage, rows: np.ndarray) -> Accuracy:
    said, _ = read_buttons(judge, triples)
    return balanced_accuracy(said, held_buttons(footage.actions[rows], footage.meta.world.actions), judge.names)


def errors_of(dreams: Rollout, footage: Footage) -> tuple[np.ndarray, np.ndarray]:
    """Mean squared errors of dreaming and of copying. Two of (b, n) float64, 8-bit steps squared."""
    sessions, frames = dreams.rows.shape
    errors, floors = np.empty((sessions, frames)), np.empty((sessions, frames))
    for session in range(sessions):
        real = footage.frames[dreams.rows[session]].astype(np.float32)
        copy = footage.frames[dreams.last_seen[session]].astype(np.float32)
        errors[session] = np.square(dreams.dreamt[session] - real).mean((1, 2, 3))
        floors[session] = np.square(copy - real).mean((1, 2, 3))
    return errors, floors


def _interval(errors: np.ndarray, floors: np.ndarray) -> list[float]:
    """Where 90 % of the skill of resampled dreams lies, with equal shares beyond both ends."""
    drawn = np.random.default_rng(0).integers(len(errors), size=(RESAMPLES, len(errors)))
    skills = 1 - errors[drawn].sum(1) / np.maximum(floors[drawn].sum(1), 1e-9)
    return [float(value) for value in np.percentile(skills, (5, 95))]
