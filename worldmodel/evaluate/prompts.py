"""Whether a world does what words say, how soon, and whether what they do not name stays.

The attribute judge reads dreamt frames. A landmark is asked for only where the simulator, told the same and given the
same actions, shows it; it is the simulator's own reading that bounds what a dream can reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inhabit.worldmodel.evaluate.attribute_judge import IN_VIEW, AttributeJudge, Reading, areas_of, read
from inhabit.worldmodel.evaluate.dreamers import Dreamer, Opening, Size, dream, open_islands, what_happens
from inhabit.worldmodel.evaluate.intervals import ci95, mean
from inhabit.worldmodel.worlds.isle.attributes import (
    COLOURS,
    LANDMARKS,
    SCENE,
    VALUES,
    Attributes,
    is_held_out,
    sample,
    vary,
)  # fmt: skip
from inhabit.worldmodel.worlds.isle.captions import caption, granted, parse
from inhabit.worldmodel.worlds.isle.motion import ACTIONS
from inhabit.worldmodel.worlds.isle.record import complete

SPEAK_AT = 4
"""Frames after the opening at which the words change."""

HORIZON = 32
"""Frames after the words within which they have to show."""

LOOKED_AT = 4
"""The last frames, over which the judge's readings are averaged."""

SHOWN_FOR = 3
"""Frames for which a new value has to be read for it to count as shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptConfig:
    """How many prompts are tried."""

    start: int = 24
    """Sessions that begin with a prompt."""

    switch: int = 32
    """Prompts in mid-stream."""

    held_out: int = 24
    """Prompts in mid-stream that ask for a combination which no recording shows."""

    batch: int = 16
    """Sessions at once; no figure depends on it."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One prompt, said on one island."""

    seed: int
    before: Attributes
    after: Attributes
    text: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of some prompts. Rows are cases."""

    items: dict[str, np.ndarray]
    """Whose pictures -> (n, attributes) 1 where an attribute was found, 0 where not, NaN where it was not asked for.
    `dream`, `no_prompt`, `copy` (the last frame before), `simulator`."""
    kept: dict[str, np.ndarray]
    """Likewise (n, 5): landmarks that the words did not name."""
    frames: dict[str, np.ndarray]
    """(n,) frames until all that was named of the scene showed; infinite where it never did, NaN where none was."""
    sheet: list[list[np.ndarray]]
    """Some cases for a contact sheet: before, dreamt, simulator."""


ITEMS = (*SCENE, *(f"{kind}_{what}" for kind in LANDMARKS for what in ("seen", "colour")))
"""Columns of Outcome.items."""


def cases_of(kind: str, count: int, *, seed: int = 0) -> list[Case]:
    """Prompts to try: `start`, `switch`, or `held_out`."""
    rng = np.random.default_rng([seed, 21, ("start", "switch", "held_out").index(kind)])
    cases = []
    while len(cases) < count:
        before = sample(rng)
        if kind == "switch":
            after, names = vary(before, rng)
            text = caption(after, rng, only=names)
        else:
            after = _held_out(rng) if kind == "held_out" else sample(rng)
            text = complete(after, rng)
        after = granted(before, parse(text))  # a landmark that is not named stays as it was
        cases.append(Case(seed=5_000_000 + 1000 * seed + len(cases), before=before, after=after, text=text))
    return cases


def _held_out(rng: np.random.Generator) -> Attributes:
    while True:
        named = {name: allowed[rng.integers(len(allowed))] for name, allowed in VALUES.items()}
        chosen = Attributes(**named)  # pyright: ignore[reportArgumentType]
        if is_held_out(chosen):
            return chosen


def try_prompts(dreamer: Dreamer, judge: AttributeJudge, cases: Sequence[Case], *, size: Size, at: int) -> Outcome:
    """Say each prompt on its island and read what comes of it. Nobody walks: only a little looking to and fro.

    Args:
        at: frame after the opening at which the words change; 0 begins with them.
    """
    frames = at + HORIZON
    opening = open_islands([case.seed for case in cases], [case.before for case in cases], size=size)
    script = np.zeros((frames, len(cases), len(ACTIONS)), np.float32)
    script[:, :, ACTIONS.index("LOOK_X")] = 0.15 * np.cos(np.arange(frames) * 0.4)[:, None]
    look, last = list(range(at, frames)), list(range(frames - LOOKED_AT, frames))
    texts = [case.text for case in cases]
    film = dream(dreamer, opening, script, prompts=texts if at == 0 else None, said={at: texts}, look=look)
    silent = dream(dreamer, opening, script, look=last)
    real = what_happens(opening, script, wanted={at: [case.after for case in cases]}, look=last)
    seen = {
        "dream": _averaged(judge, film.pixels[:, -LOOKED_AT:]),
        "no_prompt": _averaged(judge, silent.pixels),
        "copy": _averaged(judge, opening.frames[:, -1:]),
        "simulator": _averaged(judge, real.film.pixels),
    }
    there = areas_of(real.labels).mean(1)  # (n, 5)
    was = areas_of(_labels_now(opening))
    named = [parse(text).named | dict.fromkeys(parse(text).some, 1) for text in texts]
    rows = range(len(cases))
    items = {
        who: np.stack([_items(view, i, cases[i], named[i], was[i], there[i]) for i in rows])
        for who, view in seen.items()
    }
    kept = {
        who: np.stack([_kept(view, seen["copy"], i, cases[i], named[i], there[i]) for i in rows])
        for who, view in seen.items()
    }
    whole = read(judge, film.pixels.reshape(-1, *film.pixels.shape[2:]))
    shown = np.array([_frames_to_show(whole, i, len(look), cases[i], named[i]) for i in rows])
    sheet = [[opening.frames[i, -1], film.pixels[i, 4], film.pixels[i, -1], real.film.pixels[i, -1]] for i in rows]
    return Outcome(items=items, kept=kept, frames={"dream": shown}, sheet=sheet)


def measure_prompts(
    dreamer: Dreamer, judge: AttributeJudge, config: PromptConfig, *, size: Size
) -> tuple[dict[str, Any], list[list[np.ndarray]]]:
    """The `prompt` figures, and rows for a contact sheet (before, 5 frames after, at the end, simulator).

    `start`, `switch`, `held_out` are shares of the named attributes that the judge finds LOOKED_AT frames before the
    end; a landmark's colour is asked for where the landmark is in the simulator's picture. `frames_to_show` is the
    median over switches of the scene, those that never show counted as HORIZON. `rest_kept` is the share of landmarks
    in view that a switch did not name, and that the judge still finds in their colour.
    """
    report: dict[str, Any] = {"ci95": {}, "prompts": {}}
    baselines: dict[str, dict[str, float]] = {"no_prompt": {}, "copy": {}, "simulator": {}}
    sheet: list[list[np.ndarray]] = []
    for kind in ("start", "switch", "held_out"):
        cases = cases_of(kind, getattr(config, kind))
        parts = [
            try_prompts(
                dreamer, judge, cases[first : first + config.batch], size=size, at=0 if kind == "start" else SPEAK_AT
            )
            for first in range(0, len(cases), config.batch)
        ]
        items = {who: np.concatenate([part.items[who] for part in parts]) for who in parts[0].items}
        report[kind], report["ci95"][kind] = mean(items["dream"]), ci95(items["dream"])
        report["prompts"][kind] = len(cases)
        for who in baselines:
            baselines[who][kind] = mean(items[who])
        sheet += [row for part in parts for row in part.sheet][:6]
        if kind == "switch":
            report["by_attribute"] = _by_attribute(items["dream"])
            kept = {who: np.concatenate([part.kept[who] for part in parts]) for who in parts[0].kept}
            report["rest_kept"], report["ci95"]["rest_kept"] = mean(kept["dream"]), ci95(kept["dream"])
            for who in ("no_prompt", "simulator"):
                baselines[who]["rest_kept"] = mean(kept[who])
            shown = np.concatenate([part.frames["dream"] for part in parts])
            shown = np.minimum(shown[~np.isnan(shown)], HORIZON)
            report["frames_to_show"] = float(np.median(shown)) if len(shown) else float("nan")
            report["ci95"]["frames_to_show"] = ci95(shown, np.median)
    return report | baselines, sheet


def _labels_now(opening: Opening) -> np.ndarray:
    from inhabit.worldmodel.worlds.isle.render import render

    return render(opening.state, *opening.size).labels.numpy()


@dataclass(frozen=True, kw_only=True)
class _View:
    """What is read of one stretch of frames for each case."""

    scene: dict[str, np.ndarray]
    """(n,) values."""
    in_view: np.ndarray
    """(n, 5) bool."""
    colour: np.ndarray
    """(n, 5) int."""


def _averaged(judge: AttributeJudge, pixels: np.ndarray) -> _View:
    """Shapes: (n, m, h, w, 3) uint8."""
    n, m = pixels.shape[:2]
    reading = read(judge, pixels.reshape(n * m, *pixels.shape[2:]))
    return _View(
        scene={name: reading.scene[name].reshape(n, m, -1).mean(1).argmax(1) for name in SCENE},
        in_view=reading.area.reshape(n, m, -1).mean(1) >= IN_VIEW,
        colour=reading.colour.reshape(n, m, len(LANDMARKS), -1).sum(1).argmax(2),
    )


def _items(view: _View, i: int, case: Case, named: dict, was: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(len(ITEMS),) 1, 0 or NaN."""
    row = np.full(len(ITEMS), np.nan)
    for name in SCENE:
        if name in named:
            row[ITEMS.index(name)] = view.scene[name][i] == VALUES[name].index(getattr(case.after, name))
    for number, kind in enumerate(LANDMARKS):
        if f"{kind}_count" not in named and f"{kind}_colour" not in named:
            continue
        clear = there[number] >= 2 * IN_VIEW
        gone = there[number] == 0 and was[number] >= 2 * IN_VIEW
        if clear or gone:
            row[ITEMS.index(f"{kind}_seen")] = view.in_view[i, number] == clear
        if clear and f"{kind}_colour" in named:
            right = list(COLOURS).index(case.after.colour(kind))
            row[ITEMS.index(f"{kind}_colour")] = view.in_view[i, number] and view.colour[i, number] == right
    return row


def _kept(view: _View, before: _View, i: int, case: Case, named: dict, there: np.ndarray) -> np.ndarray:
    """(5,) 1, 0 or NaN: landmarks that were not named, that the judge saw before, and that are still there."""
    row = np.full(len(LANDMARKS), np.nan)
    for number, kind in enumerate(LANDMARKS):
        touched = case.before.count(kind) != case.after.count(kind) or case.before.colour(kind) != case.after.colour(
            kind
        )
        if touched or any(name.startswith(f"{kind}_") for name in named):
            continue
        if before.in_view[i, number] and there[number] >= 2 * IN_VIEW:
            right = list(COLOURS).index(case.after.colour(kind))
            row[number] = view.in_view[i, number] and view.colour[i, number] == right
    return row


def _frames_to_show(reading: Reading, i: int, frames: int, case: Case, named: dict) -> float:
    """Frames until all that changed of the scene is read for SHOWN_FOR frames."""
    changed = [n for n in SCENE if n in named and getattr(case.before, n) != getattr(case.after, n)]
    if not changed:
        return float("nan")
    at = slice(i * frames, (i + 1) * frames)
    right = np.all(
        [reading.value(name)[at] == VALUES[name].index(getattr(case.after, name)) for name in changed], axis=0
    )
    for first in range(frames - SHOWN_FOR + 1):
        if right[first : first + SHOWN_FOR].all():
            return float(first + 1)
    return float("inf")


def _by_attribute(items: np.ndarray) -> dict[str, float]:
    columns = {name: [ITEMS.index(name)] for name in SCENE}
    columns |= {what: [ITEMS.index(f"{kind}_{what}") for kind in LANDMARKS] for what in ("seen", "colour")}
    return {name: mean(items[:, where]) for name, where in columns.items()}
