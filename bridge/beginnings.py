"""Pictures and clips that a world shall begin in: how RESET carries them.

A world takes them as reset options, options={"image": bytes}. On the wire they are a part of their own, as pixels are
everywhere, and the option says true.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from inhabit.bridge.errors import WorldError
from inhabit.bridge.fields import MAX_PICTURE_BYTES

PICTURES = ("image", "clip")
"""RESET options whose value is the part that follows: the option then says true."""


def with_picture(options: Mapping[str, Any], part: bytes | None) -> dict[str, Any]:
    """A RESET's options as a world takes them, with the picture or clip in its place.

    Raises WorldError when one is named and does not come, or comes and is not named.
    """
    named = [name for name in PICTURES if options.get(name) is True]
    if len(named) != (part is not None):
        came = "a part" if part is not None else "no part"
        raise WorldError(
            f"Expected a part for each of RESET's options {' and '.join(PICTURES)}, got {named} and {came}"
        )
    return {**options, **dict.fromkeys(named, part)}


def split_picture(options: Mapping[str, Any]) -> tuple[dict[str, Any], bytes | None]:
    """The inverse: options for the wire, and the part that follows. Pixels of an image travel as a PPM file.

    Raises WorldError for more than one of them, and for what is neither bytes nor pixels.
    """
    named = [name for name in PICTURES if options.get(name) is not None]
    if not named:
        return dict(options), None
    if len(named) > 1:
        raise WorldError(f"Expected one thing to begin from, got {' and '.join(named)}")
    value = options[named[0]]
    if named[0] == "image" and isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.shape[2:] == (3,):
        value = b"P6 %d %d 255\n" % (value.shape[1], value.shape[0]) + value.tobytes()
    if not isinstance(value, bytes | bytearray | memoryview) or not 0 < len(value) <= MAX_PICTURE_BYTES:
        got = f"{len(value)} bytes" if isinstance(value, bytes) else type(value).__name__
        raise WorldError(f"Expected {named[0]} as the bytes of a file, 1 to {MAX_PICTURE_BYTES}, got {got}")
    return {**options, named[0]: True}, bytes(value)
