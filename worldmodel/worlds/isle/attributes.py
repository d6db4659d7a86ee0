"""What words control in an isle: every attribute, its values, the combinations kept for tests, and random worlds.

Held out, so that a model can be tested on combinations that it never saw (20 % of each kind, by a fixed rule):
  - of (time, weather, ground, style): those with (time + weather + 2 ground + 3 style) mod 5 == 4,
  - of (landmark, colour), where the landmark is present: those with (landmark + colour) mod 5 == 4,
each value counted by its place in its tuple below. Every single value occurs in recordings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from inhabit.bridge.errors import WorldError

TIMES = ("dawn", "noon", "dusk", "night")
WEATHERS = ("clear", "rain", "snow", "fog", "storm")
GROUNDS = ("grass", "sand", "snow", "lava")
STYLES = ("plain", "neon", "sketch")
LANDMARKS = ("tower", "house", "tree", "rock", "pillar")
COLOURS = {
    "red": 0xE02822, "orange": 0xFF8A10, "yellow": 0xFFE226, "green": 0x22B83C,
    "blue": 0x1E5CF0, "purple": 0x9A30D8, "white": 0xFAFAFA, "black": 0x1C1C22,
}  # fmt: skip
COUNTS = (0, 1, 2, 3)
HELD_OUT = 4
"""The remainder, modulo 5, of the combinations that recordings never show."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attributes:
    """Everything that words control, each with one value."""

    time: str = "noon"
    weather: str = "clear"
    ground: str = "grass"
    style: str = "plain"
    creatures: int = 1
    tower_count: int = 1
    tower_colour: str = "red"
    house_count: int = 1
    house_colour: str = "white"
    tree_count: int = 3
    tree_colour: str = "green"
    rock_count: int = 1
    rock_colour: str = "purple"
    pillar_count: int = 1
    pillar_colour: str = "blue"

    def __post_init__(self):
        for name, allowed in VALUES.items():
            value = getattr(self, name)
            if value not in allowed or isinstance(value, bool):
                raise WorldError(f"Expected {name} to be one of {', '.join(map(str, allowed))}, got {value!r}")

    def count(self, landmark: str) -> int:
        return getattr(self, f"{landmark}_count")

    def colour(self, landmark: str) -> str:
        return getattr(self, f"{landmark}_colour")

    def changed(self, named: Mapping[str, str | int]) -> Attributes:
        """These attributes with some of them replaced. Raises WorldError for an unknown name or value."""
        unknown = sorted(set(named) - set(VALUES))
        if unknown:
            raise WorldError(f"Expected attributes out of {', '.join(VALUES)}, got {', '.join(unknown)}")
        return dataclasses.replace(self, **named)  # pyright: ignore[reportArgumentType]


SCENE = ("time", "weather", "ground", "style")
"""The attributes whose combinations are held out together."""

VALUES: dict[str, tuple[str | int, ...]] = {
    "time": TIMES,
    "weather": WEATHERS,
    "ground": GROUNDS,
    "style": STYLES,
    "creatures": COUNTS,
    **{
        f"{kind}_{what}": COUNTS if what == "count" else tuple(COLOURS)
        for kind in LANDMARKS
        for what in ("count", "colour")
    },
}
"""Name of each attribute and the values that it can have, in the order of its codes."""


def encode(attributes: Attributes) -> tuple[int, ...]:
    """The place of each attribute's value among its VALUES."""
    return tuple(allowed.index(getattr(attributes, name)) for name, allowed in VALUES.items())


def decode(codes: Iterable[int]) -> Attributes:
    """The inverse of encode()."""
    chosen = {name: allowed[code] for (name, allowed), code in zip(VALUES.items(), codes, strict=True)}
    return Attributes(**chosen)  # pyright: ignore[reportArgumentType]


def is_held_out(attributes: Attributes) -> bool:
    """Whether recordings must not show this combination (the rule stands at the top of this file)."""
    a = attributes
    time, weather, ground, style = (VALUES[name].index(getattr(a, name)) for name in SCENE)
    if (time + weather + 2 * ground + 3 * style) % 5 == HELD_OUT:
        return True
    return any(a.count(kind) and is_pair_held_out(kind, a.colour(kind)) for kind in LANDMARKS)


def is_pair_held_out(landmark: str, colour: str) -> bool:
    return (LANDMARKS.index(landmark) + list(COLOURS).index(colour)) % 5 == HELD_OUT


def sample(rng: np.random.Generator, *, plain: bool = False) -> Attributes:
    """Random attributes, none held out.

    Args:
        plain: keep the scene a clear noon on grass and vary only what stands there.
    """
    while True:
        named = {name: allowed[rng.integers(len(allowed))] for name, allowed in VALUES.items()}
        named |= {f"{kind}_colour": _open_colour(kind, rng) for kind in LANDMARKS}
        if plain:
            named |= {"time": "noon", "weather": "clear", "ground": "grass", "style": "plain"}
        elif rng.random() < 0.4:  # the plain style is the one that people see first
            named["style"] = "plain"
        chosen = Attributes(**named)  # pyright: ignore[reportArgumentType]
        if not is_held_out(chosen) and sum(chosen.count(kind) for kind in LANDMARKS) >= 4:
            return chosen


def vary(attributes: Attributes, rng: np.random.Generator) -> tuple[Attributes, tuple[str, ...]]:
    """Change one to three attributes at random, to nothing held out. Returns the new ones and the names of the changed.

    A colour is only changed for landmarks that are there (or come with the change), so that every change is visible.
    """
    while True:
        names = [str(name) for name in rng.choice(list(VALUES), int(rng.choice([1, 1, 2, 3])), replace=False)]
        if rng.random() < 0.5:  # half of all changes are to the scene, which has a quarter of the names
            names = [str(name) for name in rng.choice(SCENE, min(len(names), 2), replace=False)]
        named = {name: VALUES[name][rng.integers(len(VALUES[name]))] for name in names}
        new = attributes.changed(named)
        visible = all(not name.endswith("_colour") or new.count(name.split("_")[0]) for name in names)
        if visible and not is_held_out(new) and all(getattr(new, n) != getattr(attributes, n) for n in names):
            return new, tuple(names)


def _open_colour(landmark: str, rng: np.random.Generator) -> str:
    open_to_it = [colour for colour in COLOURS if not is_pair_held_out(landmark, colour)]
    return open_to_it[rng.integers(len(open_to_it))]
