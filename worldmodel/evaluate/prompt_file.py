"""Prompts of one's own: a file of words, and of what is to be found in the picture after they were said.

Each line holds the prompt, a tab, and `name=value` pairs with commas between; `colour` and `count` are of the `object`
before them. Empty lines and lines that begin with # are left out.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inhabit.bridge.errors import InhabitError
from inhabit.worldmodel.evaluate.attribute_judge import AttributeJudge, read
from inhabit.worldmodel.evaluate.dreamers import Dreamer, Size, dream, open_islands, what_happens
from inhabit.worldmodel.evaluate.intervals import ci95, mean
from inhabit.worldmodel.evaluate.prompts import SPEAK_AT
from inhabit.worldmodel.worlds.isle.attributes import COLOURS, COUNTS, LANDMARKS, SCENE, VALUES, Attributes, sample
from inhabit.worldmodel.worlds.isle.motion import ACTIONS

ISLANDS = 3
"""Islands that each prompt is said on."""

SETTLE_FRAMES = 12
"""Frames that the world has to change before it is looked at."""

CIRCLE_FRAMES = 56
"""Frames in which the view turns once around at 0.9 of its full speed."""

LONGEST_PROMPT = 512
NAMES: dict[str, tuple] = {
    **{name: VALUES[name] for name in SCENE},
    "object": LANDMARKS,
    "colour": tuple(COLOURS),
    "count": tuple(map(str, COUNTS)),
}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """One line of the file."""

    line: int
    prompt: str
    pairs: tuple[tuple[str, str, str], ...]
    """(name, value, the object that it is of or nothing)."""

    def attributes(self, before: Attributes) -> Attributes:
        """What the simulator shows when the wish is granted."""
        named: dict[str, str | int] = {}
        for name, value, thing in self.pairs:
            if name in SCENE:
                named[name] = value
            elif name == "object" and not before.count(value):
                named.setdefault(f"{value}_count", 1)
            elif name == "colour":
                named[f"{thing}_colour"] = value
            elif name == "count":
                named[f"{thing}_count"] = int(value)
        return before.changed(named)


def read_prompts(path: Path) -> list[Wanted]:
    """Read a file of prompts. Raises InhabitError that names the line."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InhabitError(
            f"Expected UTF-8 text, got other bytes at {error.start} - at {path}; save it as UTF-8"
        ) from error
    except OSError as error:
        raise InhabitError(f"Expected a file of prompts, got: {error.strerror or error} - at {path}") from error
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip() and not line.startswith("#")]
    if not lines:
        raise InhabitError(f"Expected lines of a prompt, a tab and name=value pairs, got none - at {path}")
    return [_line(line.rstrip("\r"), n, f"{path} line {n}") for n, line in lines]


def _line(line: str, number: int, where: str) -> Wanted:
    prompt, tab, rest = line.partition("\t")
    prompt = prompt.strip()
    if not tab or "\t" in rest:
        got = "no tab" if not tab else f"{line.count(chr(9))} tabs"
        raise InhabitError(f"Expected a prompt, one tab and name=value pairs, got {got} - at {where}")
    if not prompt or len(prompt) > LONGEST_PROMPT:
        raise InhabitError(f"Expected a prompt of 1 to {LONGEST_PROMPT} characters, got {len(prompt)} - at {where}")
    if any(unicodedata.category(sign) == "Cc" for sign in prompt):
        raise InhabitError(f"Expected a prompt without control characters, got {prompt[:60]!r} - at {where}")
    pairs: list[tuple[str, str, str]] = []
    thing = ""
    for pair in rest.split(","):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or name not in NAMES:
            names = ", ".join(NAMES)
            raise InhabitError(f"Expected name=value with a name of {names}, got {pair.strip()!r} - at {where}")
        if value not in NAMES[name]:
            raise InhabitError(f"Expected {name} to be one of {', '.join(NAMES[name])}, got {value!r} - at {where}")
        if name == "object":
            thing = value
        if name in ("colour", "count") and not thing:
            raise InhabitError(f"Expected object=... before {name}={value}, got none - at {where}")
        said = (name, thing if name not in SCENE and name != "object" else "")
        if (any((n, t) == said for n, _, t in pairs) and name != "object") or (name, value, "") in pairs:
            raise InhabitError(f"Expected each attribute once, got {name} again - at {where}")
        pairs.append((name, value, thing if name in ("colour", "count") else ""))
    return Wanted(line=number, prompt=prompt, pairs=tuple(pairs))


def measure_file(
    dreamer: Dreamer, judge: AttributeJudge, wanted: Sequence[Wanted], *, size: Size, batch: int = 15, seed: int = 0
) -> dict[str, Any]:
    """Say each prompt on ISLANDS islands, turn once around, and look for what the file names.

    A value of the scene is read over the whole turn; an object is found when two frames show it, its colour is that of
    most of its pixels, and its count the most that two frames show at once. `simulator` is what the judge finds when
    the simulator grants the same; things that stand apart are never all in view, which bounds `count`.
    """
    rng = np.random.default_rng([seed, 31])
    runs = [(n, sample(rng), 6_000_000 + n * ISLANDS + k) for n in range(len(wanted)) for k in range(ISLANDS)]
    found: dict[str, list[list[np.ndarray]]] = {"dream": [[] for _ in wanted], "no_prompt": [[] for _ in wanted]}
    found["simulator"] = [[] for _ in wanted]
    for first in range(0, len(runs), batch):
        part = runs[first : first + batch]
        for who, pixels in _films(dreamer, part, wanted, size).items():
            for (n, _, _), frames in zip(part, pixels, strict=True):
                found[who][n].append(_found(judge, wanted[n], frames))
    lines = {who: np.array([np.mean(rows) for rows in per_line]) for who, per_line in found.items()}
    pairs = {}
    for n, line in enumerate(wanted):
        for i, (name, _, _) in enumerate(line.pairs):
            pairs.setdefault(name, []).extend(float(row[i]) for row in found["dream"][n])
    return {
        "accuracy": mean(lines["dream"]),
        "ci95": {"accuracy": ci95(lines["dream"])},
        "no_prompt": mean(lines["no_prompt"]),
        "simulator": mean(lines["simulator"]),
        "by_attribute": {name: float(np.mean(rows)) for name, rows in pairs.items()},
        "islands": ISLANDS,
        "lines": [
            {
                "line": line.line,
                "prompt": line.prompt,
                "found": dict(zip(map(_said, line.pairs), np.mean(found["dream"][n], 0).tolist(), strict=True)),
                "accuracy": float(lines["dream"][n]),
                "simulator": float(lines["simulator"][n]),
            }
            for n, line in enumerate(wanted)
        ],
    }  # fmt: skip


def _said(pair: tuple[str, str, str]) -> str:
    name, value, thing = pair
    return f"{thing} {name}={value}" if thing else f"{name}={value}"


def _films(dreamer: Dreamer, runs: Sequence, wanted: Sequence[Wanted], size: Size) -> dict[str, np.ndarray]:
    """(b, m, h, w, 3) of the dream, of the same without a word, and of the simulator."""
    opening = open_islands([seed for *_, seed in runs], [before for _, before, _ in runs], size=size)
    begin = SPEAK_AT + SETTLE_FRAMES
    frames = begin + CIRCLE_FRAMES
    script = np.zeros((frames, len(runs), len(ACTIONS)), np.float32)
    script[begin:, :, ACTIONS.index("LOOK_X")] = 0.9
    look = list(range(begin - 2, frames, 2))
    texts = [wanted[n].prompt for n, *_ in runs]
    after = [wanted[n].attributes(before) for n, before, _ in runs]
    return {
        "dream": dream(dreamer, opening, script, said={SPEAK_AT: texts}, look=look).pixels,
        "no_prompt": dream(dreamer, opening, script, look=look).pixels,
        "simulator": what_happens(opening, script, wanted={SPEAK_AT: after}, look=look).film.pixels,
    }


def _found(judge: AttributeJudge, wanted: Wanted, frames: np.ndarray) -> np.ndarray:
    """(pairs,) 1 where a pair was found in the frames (m, h, w, 3)."""
    reading = read(judge, frames)
    row = []
    none = {thing for name, value, thing in wanted.pairs if name == "count" and value == "0"}
    for name, value, thing in wanted.pairs:
        if name in SCENE:
            row.append(reading.scene[name].mean(0).argmax() == VALUES[name].index(value))
            continue
        kind = LANDMARKS.index(thing or value)
        seen = np.sort(reading.count[:, kind])[::-1]
        most = int(seen[min(1, len(seen) - 1)])  # what a single frame shows may be a slip
        if name == "object":
            row.append((most == 0) == (value in none))
        elif name == "count":
            row.append(most == int(value))
        else:
            row.append(most > 0 and reading.colour[:, kind].sum(0).argmax() == list(COLOURS).index(value))
    return np.array(row, float)
