"""Isle's words: what the grammar writes, the reader reads, and the held-out combinations are a fifth."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from inhabit.bridge.errors import WorldError
from inhabit.worldmodel.worlds.isle.attributes import (
    COLOURS,
    LANDMARKS,
    SCENE,
    VALUES,
    Attributes,
    decode,
    encode,
    is_held_out,
    is_pair_held_out,
    sample,
    vary,
)
from inhabit.worldmodel.worlds.isle.captions import caption, granted, mentioned, parse, wish


def anything(rng: np.random.Generator) -> Attributes:
    named: dict[str, Any] = {name: values[rng.integers(len(values))] for name, values in VALUES.items()}
    return Attributes(**named)


def test_whole_captions_are_read_back():
    rng = np.random.default_rng(0)
    for _ in range(300):
        attributes = anything(rng)
        text = caption(attributes, rng, only=VALUES)
        wish = parse(text)
        assert wish.named == mentioned(attributes, VALUES), text
        assert not wish.unknown, text


def test_partial_captions_name_a_part_and_nothing_else():
    rng = np.random.default_rng(1)
    lengths = set()
    for _ in range(300):
        attributes = anything(rng)
        wish = parse(caption(attributes, rng))
        assert wish.named
        assert all(getattr(attributes, name) == value for name, value in wish.named.items())
        assert not wish.unknown
        lengths.add(len(wish.named))
    assert {1, 2, 3, 4} <= lengths


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("rain", {"weather": "rain"}),
        ("make it night", {"time": "night"}),
        ("Snow on SNOW!", {"weather": "snow", "ground": "snow"}),
        ("the tower is blue", {"tower_colour": "blue"}),
        ("no more rain", {"weather": "clear"}),
        ("remove the houses", {"house_count": 0}),
        ("trees red and pillars blue", {"tree_colour": "red", "pillar_colour": "blue"}),
        ("stop the rain and make it a sunny day", {"weather": "clear", "time": "noon"}),
        (
            "a red tower and two green trees in the fog at dusk, drawn like a sketch",
            {
                "tower_count": 1,
                "tower_colour": "red",
                "tree_count": 2,
                "tree_colour": "green",
                "weather": "fog",
                "time": "dusk",
                "style": "sketch",
            },
        ),
    ],
)
def test_what_people_say_is_understood(text, named):
    wish = parse(text)
    assert wish.named == named
    assert not wish.unknown


def test_short_wishes_say_one_thing():
    rng = np.random.default_rng(0)
    for name in SCENE:
        for value in VALUES[name]:
            said = {wish(name, str(value), rng) for _ in range(40)}
            understood = [parse(text).named == {name: value} for text in said]
            assert len(said) > 10
            assert np.mean(understood) > 0.9, (name, value, said)
    assert any(text.startswith("no more") for text in {wish("weather", "clear", rng) for _ in range(40)})


def test_unknown_words_are_handed_back():
    assert parse("a flying cow in the rain").unknown == ("flying", "cow")
    assert not parse("glorp")
    assert not parse("")
    assert parse("\u0000 ¿qué? 🙂 rain").named == {"weather": "rain"}


def test_a_thing_without_a_number_is_there_at_least():
    none = Attributes(tower_count=0, tree_count=0)
    assert granted(none, parse("a red tower")).tower_count == 1
    assert granted(none, parse("red towers")).tower_count == 2
    assert granted(Attributes(tree_count=3), parse("the trees are purple")).tree_count == 3


def test_a_wish_leaves_the_rest_alone():
    attributes = Attributes(time="dusk", rock_count=2)
    assert granted(attributes, parse("neon")) == Attributes(time="dusk", rock_count=2, style="neon")


def test_a_fifth_is_held_out():
    nothing: dict[str, Any] = {f"{kind}_count": 0 for kind in LANDMARKS}
    scenes = itertools.product(*(VALUES[name] for name in SCENE))
    held_out = [is_held_out(Attributes(**nothing).changed(dict(zip(SCENE, values)))) for values in scenes]
    assert np.mean(held_out) == 0.2
    pairs = [is_pair_held_out(kind, colour) for kind in LANDMARKS for colour in COLOURS]
    assert np.mean(pairs) == 0.2
    assert not is_held_out(Attributes())


def test_samples_are_never_held_out_and_show_every_value():
    rng = np.random.default_rng(3)
    seen = {name: set() for name in VALUES}
    for _ in range(250):
        first = sample(rng)
        second, names = vary(first, rng)
        assert not is_held_out(first)
        assert not is_held_out(second)
        changed = {name for name in VALUES if getattr(first, name) != getattr(second, name)}
        assert changed == set(names)
        for name in VALUES:
            seen[name].add(getattr(first, name))
    for name, values in VALUES.items():
        kind, _, what = name.partition("_")
        hidden = {colour for colour in values if what == "colour" and is_pair_held_out(kind, str(colour))}
        assert seen[name] == set(values) - hidden


def test_codes_go_there_and_back():
    rng = np.random.default_rng(4)
    for _ in range(20):
        attributes = anything(rng)
        assert decode(encode(attributes)) == attributes


def test_wrong_values_are_named():
    with pytest.raises(WorldError, match=r"weather.*hail"):
        Attributes(weather="hail")
    with pytest.raises(WorldError, match="moons"):
        Attributes().changed({"moons": 2})
