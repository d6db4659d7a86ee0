"""Connected parts of a picture's marked pixels."""

from __future__ import annotations

import numpy as np


def patches_of(marked: np.ndarray, *, least: float = 1.0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Parts that hang together by their edges and have at least so many pixels: their rows and their columns.

    Shapes: (h, w) bool -> for each part two of (pixels,) int.
    """
    left = set(zip(*(axis.tolist() for axis in np.nonzero(marked)), strict=True))
    parts = []
    while left:
        edge, part = [left.pop()], []
        while edge:
            y, x = edge.pop()
            part.append((y, x))
            for near in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if near in left:
                    left.remove(near)
                    edge.append(near)
        if len(part) >= least:
            rows, columns = np.array(part).T
            parts.append((rows, columns))
    return parts
