"""Names, colours and words of people in a room, before others see them."""

from __future__ import annotations

import colorsys
import unicodedata
from collections.abc import Callable, Collection

Moderate = Callable[[str, str, str], str | None]
"""Takes what is said ("chat" or "prompt"), by whom and the text; gives the text to pass on, or None for none of it."""

GOLDEN_TURN = 0.6180339887
"""Steps on the colour circle by the golden ratio stay apart, however many there are."""


def keep(kind: str, name: str, text: str) -> str | None:
    """Pass everything on."""
    return text


def without(words: Collection[str]) -> Moderate:
    """Pass nothing on that has one of these words in it."""
    banned = frozenset(word.casefold() for word in words)

    def moderate(kind: str, name: str, text: str) -> str | None:
        return None if banned & set(text.casefold().split()) else text

    return moderate


def clean(text: str, limit: int) -> str:
    """One line without control, direction-changing and other unseen characters."""
    seen = "".join(" " if char.isspace() else char for char in text)
    seen = "".join(char for char in seen if unicodedata.category(char)[0] != "C")
    return " ".join(seen.split())[:limit]


def unique(name: str, taken: Collection[str]) -> str:
    """A name that nobody else here has."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name[:27]} {number}"
    return candidate


def colour_of(number: int) -> int:
    """A colour for a member, 0xRRGGBB, bright on dark ground and unlike its neighbours'."""
    rgb = colorsys.hsv_to_rgb(number * GOLDEN_TURN % 1.0, 0.55, 0.95)
    red, green, blue = (round(255 * part) for part in rgb)
    return red << 16 | green << 8 | blue
