"""Words for an isle: a grammar that writes captions, and a reader that takes any text and finds what it knows in it.

"a red tower and two green trees in the fog at dusk, drawn like a sketch" names seven attributes. The reader knows
phrases, longest first, whatever their order; what it does not know it hands back, so that a world can say so.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

from inhabit.worldmodel.worlds.isle.attributes import COLOURS, LANDMARKS, SCENE, VALUES, Attributes

# the phrases that captions use; {} is where the grammar puts nothing, they are whole
_SAID: dict[str, dict[str, tuple[str, ...]]] = {
    "time": {
        "dawn": ("at dawn", "at sunrise", "in the early morning", "at daybreak", "in the morning"),
        "noon": ("at noon", "at midday", "by day", "in the daytime", "during the day"),
        "dusk": ("at dusk", "at sunset", "in the evening", "at twilight"),
        "night": ("at night", "by night", "at midnight", "after dark", "in the moonlight"),
    },
    "weather": {
        "clear": ("under a clear sky", "in clear weather", "with a cloudless sky", "in fair weather"),
        "rain": ("in the rain", "while it rains", "in rainy weather", "with rain falling", "on a rainy day out"),
        "snow": ("in falling snow", "while it is snowing", "in the snowfall", "with snowflakes in the air"),
        "fog": ("in the fog", "in thick mist", "in foggy weather", "with fog all around"),
        "storm": ("in a storm", "in a thunderstorm", "with thunder and lightning", "in stormy weather"),
    },
    "ground": {
        "grass": ("on grass", "on a meadow", "on grassy ground", "on a green meadow"),
        "sand": ("on sand", "in the desert", "on sandy ground", "on the dunes"),
        "snow": ("on snowy ground", "on a field of snow", "on snow-covered ground", "with snow on the ground"),
        "lava": ("on lava", "on volcanic ground", "on molten lava", "on glowing lava"),
    },
    "style": {
        "plain": ("in plain style", "in the ordinary style", "in natural colours", "in the normal look"),
        "neon": ("in neon", "in neon style", "in neon lights", "with neon outlines"),
        "sketch": ("drawn like a sketch", "as a pencil sketch", "in sketch style", "as a pencil drawing"),
    },
}  # fmt: skip
_NOUNS = {
    "tower": ("tower", "turret", "lighthouse"), "house": ("house", "cottage", "hut"), "tree": ("tree",),
    "rock": ("rock", "boulder", "stone"), "pillar": ("pillar", "column"),
    "creatures": ("creature", "animal", "critter"),
}  # fmt: skip
_NUMBERS = {
    0: ("no", "zero", "without", "without any", "0"), 1: ("a", "an", "one", "a single", "1"),
    2: ("two", "a pair of", "a couple of", "2"), 3: ("three", "a trio of", "3"),
}  # fmt: skip
_SHADES = {
    "red": ("red", "crimson", "scarlet"), "orange": ("orange",), "yellow": ("yellow", "golden"),
    "green": ("green", "emerald"), "blue": ("blue", "azure"), "purple": ("purple", "violet"),
    "white": ("white", "snow-white"), "black": ("black", "jet-black"),
}  # fmt: skip

_WAYS = (
    "{}", "{}", "make it {}", "let it {}", "let there be {}", "{} please", "now {}", "{} now", "turn it into {}",
    "i want {}", "a {}", "give us {}", "it is {}", "and {}", "more {}",
)  # fmt: skip
_CALLS = (
    "{}", "{}", "{} please", "i want {}", "give us {}", "let there be {}", "now {}", "put {} here", "show me {}",
    "and {}", "i would see {}", "let {} stand there", "{} in the picture", "now there stands {}",
)  # fmt: skip
_FALLING = ("rain", "snow", "fog", "storm")
_ENDS = ("no {}", "no more {}", "stop the {}", "end the {}", "without {}")

# what people also say
_ALSO: dict[str, dict[str, str]] = {
    "time": {
        "dawn": "dawn sunrise daybreak morning early morning", "noon": "noon midday day daytime daylight",
        "dusk": "dusk sunset twilight evening sundown",
        "night": "night nighttime midnight dark darkness moonlight nightfall",
    },
    "weather": {
        "clear": "clear sunny sunshine cloudless fair dry", "rain": "rain rains rainy raining drizzle shower wet",
        "snow": "snow snows snowy snowing snowfall snowflakes blizzard", "fog": "fog foggy mist misty haze hazy",
        "storm": "storm stormy thunder thunderstorm lightning tempest",
    },
    "ground": {
        "grass": "grass grassy meadow lawn", "sand": "sand sandy desert dunes beach",
        "snow": "snow-covered snowfield", "lava": "lava volcanic volcano magma molten",
    },
    "style": {
        "plain": "plain ordinary normal natural realistic", "neon": "neon cyberpunk synthwave tron",
        "sketch": "sketch sketched sketchy pencil drawing drawn hand-drawn",
    },
}  # fmt: skip
_SNOWY_GROUND = (
    "snowy ground", "snow ground", "ground of snow", "field of snow", "snowy field", "on snow", "on the snow",
    "covered in snow",
    "snow on the ground", "snow covered", "snow on the floor", "ground is snow", "ground snow", "snowy meadow",
)  # fmt: skip
_LINKS = (
    "the it is are be make let there turn turns turned become becomes became paint painted colour coloured color set "
    "put with on at in of under by to into from during while after as like all around please now then and but some "
    "every i want would show me see give us add world island isle place scene picture look looks style weather time "
    "ground sky air light lights colours colors outlines thick falling glowing green-ish out big small tall more has "
    "have its this that more again very everything where stands standing stand which falls lit up down an a floor here"
)
_REMOVES = ("no", "zero", "without", "remove", "delete", "hide", "stop", "end", "not", "any", "0")
_BREAKS = frozenset((",", ".", ";", ":", "and", "with", "but", "then"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What a text asks for."""

    named: dict[str, str | int] = field(default_factory=dict)
    """Attribute name to value."""
    some: tuple[str, ...] = ()
    """Counts that were not said, of things that were: at least one is wanted (two when "towers" were said)."""
    many: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    """Words that mean nothing here."""

    def __bool__(self) -> bool:
        return bool(self.named or self.some)


def granted(attributes: Attributes, wish: Wish) -> Attributes:
    """The attributes with a wish fulfilled; what it does not name stays as it is."""
    named = dict(wish.named)
    for name in wish.some:
        if not getattr(attributes, name) and name not in named:
            named[name] = 2 if name in wish.many else 1
    return attributes.changed(named)


def caption(attributes: Attributes, rng: np.random.Generator, *, only: Collection[str] | None = None) -> str:
    """Write a caption.

    Args:
        only: names of the attributes to mention (a colour brings its count along); None mentions a random part of
            them, at least one.
    """
    names = set(_some_names(rng) if only is None else only) & set(VALUES)
    things = [kind for kind in LANDMARKS if {f"{kind}_count", f"{kind}_colour"} & names]
    phrases = [_thing(attributes, kind, names, rng) for kind in things]
    if "creatures" in names:
        phrases.append(_counted("creatures", attributes.creatures, "", rng))
    scene = [_pick(rng, _SAID[name][getattr(attributes, name)]) for name in SCENE if name in names]
    rng.shuffle(phrases)
    rng.shuffle(scene)
    objects = " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)
    if not objects:
        lead = _pick(rng, ("", "", "make it ", "now it is ", "an island ", "the world "))
        return lead + _pick(rng, (" ", ", ")).join(scene)
    if scene and rng.random() < 0.3:
        return f"{' '.join(scene)}, {objects}"
    cut = int(rng.integers(len(scene) + 1))
    tail = ", ".join(scene[cut:])
    return " ".join([objects, *scene[:cut]]) + (f", {tail}" if tail else "")


def mentioned(attributes: Attributes, names: Collection[str]) -> dict[str, str | int]:
    """What a caption with `only=names` says: the attributes that parse() finds in it."""
    named: dict[str, str | int] = {
        name: getattr(attributes, name) for name in names if name.split("_")[0] not in LANDMARKS
    }
    for kind in LANDMARKS:
        if {f"{kind}_count", f"{kind}_colour"} & set(names):
            named[f"{kind}_count"] = attributes.count(kind)
            if attributes.count(kind) and f"{kind}_colour" in names:
                named[f"{kind}_colour"] = attributes.colour(kind)
    return named


def wish(name: str, value: str, rng: np.random.Generator) -> str:
    """One wish of a scene in few words, as people type it in mid-stream: "let it snow", "no more rain"."""
    if (name, value) == ("weather", "clear") and rng.random() < 0.5:
        return _pick(rng, _ENDS).format(_pick(rng, tuple(_ALSO[name][_pick(rng, _FALLING)].split())))
    return _pick(rng, _WAYS).format(_pick(rng, (*_SAID[name][value], *_ALSO[name][value].split())))


def asked_for(things: str, rng: np.random.Generator) -> str:
    """A caption of things as people type it who want them: "put a red tower here"."""
    return _pick(rng, _CALLS).format(things)


def _some_names(rng: np.random.Generator) -> list[str]:
    scene = [name for name in SCENE if rng.random() < 0.5]
    kinds = [kind for kind in LANDMARKS if rng.random() < 0.35]
    names = scene + [f"{kind}_{what}" for kind in kinds for what in ("count", "colour")]
    names += ["creatures"] if rng.random() < 0.2 else []
    return names or [str(rng.choice(SCENE))]


def _thing(attributes: Attributes, kind: str, names: Collection[str], rng: np.random.Generator) -> str:
    colour = _pick(rng, _SHADES[attributes.colour(kind)]) if f"{kind}_colour" in names else ""
    return _counted(kind, attributes.count(kind), colour, rng)


def _counted(kind: str, count: int, colour: str, rng: np.random.Generator) -> str:
    noun = _pick(rng, _NOUNS[kind]) + ("s" if count != 1 else "")
    if not count:
        return f"{_pick(rng, _NUMBERS[0][:4])} {noun}"
    number = _pick(rng, _NUMBERS[count])
    if number in ("a", "an"):
        number = "an" if (colour or noun)[0] in "aeiou" else "a"
    return " ".join(filter(None, (number, colour, noun)))


def _pick(rng: np.random.Generator, values: tuple[str, ...]) -> str:
    return values[int(rng.integers(len(values)))]


Token = tuple[str, str, str | int]
"""What a phrase is ("scene", "noun", "number", "colour", "link", "break"), of what, and which."""


def _lexicon() -> dict[tuple[str, ...], Token]:
    known: dict[tuple[str, ...], Token] = {}

    def add(phrase: str, token: Token) -> None:
        known.setdefault(tuple(_words(phrase)), token)

    for colour, words in _SHADES.items():
        for word in words:
            add(word, ("colour", "", colour))
    for phrase in _SNOWY_GROUND:
        add(phrase, ("scene", "ground", "snow"))
    for name, values in _SAID.items():
        for value, phrases in values.items():
            for phrase in phrases:
                add(phrase, ("scene", name, value))
    for name, values in _ALSO.items():
        for value, words in values.items():
            for word in words.split():
                add(word, ("scene", name, value))
    for kind, nouns in _NOUNS.items():
        for noun in (*nouns, *(("beast", "monster") if kind == "creatures" else ())):
            add(noun, ("noun", kind, 1))
            add(noun + "s", ("noun", kind, 2))
    for number, words in _NUMBERS.items():
        for word in words:
            add(word, ("number", "", number))
    for word in _REMOVES:
        add(word, ("number", "", 0))
    for word in _LINKS.split():
        add(word, ("break" if word in _BREAKS else "link", "", 0))
    for sign in _BREAKS:
        known[(sign,)] = ("break", "", 0)
    return known


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?|[,.;:]", text.lower().replace("-", " "))


def parse(text: str) -> Wish:
    """Read any text. Later words win over earlier ones; unknown words are handed back."""
    tokens, unknown = _tokens(_words(text))
    reader = _Reader()
    for kind, name, value in tokens:
        reader.take(kind, name, value)
    reader.rest()
    return Wish(
        named=reader.named,
        some=tuple(name for name in reader.some if name not in reader.named),
        many=tuple(reader.many),
        unknown=(*unknown, *reader.lost),
    )


def _tokens(words: list[str]) -> tuple[list[Token], tuple[str, ...]]:
    tokens: list[Token] = []
    unknown: list[str] = []
    at = 0
    while at < len(words):
        for length in range(min(_LONGEST, len(words) - at), 0, -1):
            token = _KNOWN.get(tuple(words[at : at + length]))
            if token:
                tokens.append(token)
                at += length
                break
        else:
            if words[at] not in unknown:
                unknown.append(words[at])
            at += 1
    return tokens, tuple(unknown)


class _Reader:
    """Joins numbers and colours to the things that they are said of."""

    def __init__(self):
        self.named: dict[str, str | int] = {}
        self.some: dict[str, None] = {}
        self.many: set[str] = set()
        self.lost: list[str] = []
        self._number: int | None = None
        self._colour: str | None = None
        self._thing: str | None = None

    def take(self, kind: str, name: str, value: str | int) -> None:
        if kind == "number":
            self._number = int(value)
        elif kind == "colour":
            self._colour_said(str(value))
        elif kind == "noun":
            self._noun(name, plural=value == 2)
        elif kind == "scene":
            gone = self._number == 0  # "no rain"
            if not gone:
                self.named[name] = value
            elif name == "weather":
                self.named[name] = "clear"
            else:
                self.lost.append(f"no {value}")
            self._number = None
        elif kind == "break":
            self._number = None if self._number != 0 else 0

    def rest(self) -> None:
        """What is left of a colour that was said of nothing."""
        if self._colour:
            self.lost.append(self._colour)

    def _colour_said(self, colour: str) -> None:
        """ "red tower" waits for its noun, "the tower is red" has had it."""
        if self._colour:
            self.lost.append(self._colour)
            self._colour = None
        if self._thing and f"{self._thing}_colour" not in self.named and self._number is None:
            self.named[f"{self._thing}_colour"] = colour
            self._thing = None
        else:
            self._colour = colour

    def _noun(self, name: str, *, plural: bool) -> None:
        count = name if name == "creatures" else f"{name}_count"
        if self._number is not None:
            self.named[count] = self._number
        else:
            self.some[count] = None
            if plural:
                self.many.add(count)
        if self._colour and name != "creatures":
            self.named[f"{name}_colour"] = self._colour
        elif self._colour:
            self.lost.append(self._colour)
        coloured = self._colour is not None or name == "creatures"
        self._number = self._colour = None
        self._thing = None if coloured else name


_KNOWN = _lexicon()
_LONGEST = max(len(phrase) for phrase in _KNOWN)
assert all(set(values) == set(VALUES[name]) for name, values in _SAID.items())
assert set(_SHADES) == set(COLOURS)
