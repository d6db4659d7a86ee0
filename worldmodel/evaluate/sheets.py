"""Contact sheets: many frames on one picture, because figures alone have passed worlds without monsters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

GAP_PX = 2


def contact_sheet(rows: Sequence[Sequence[np.ndarray]], path: Path, *, zoom: int = 1) -> Path:
    """Write rows of (h, w, 3) uint8 frames of one size as a PNG."""
    from PIL import Image

    h, w = rows[0][0].shape[:2]
    across = max(len(row) for row in rows)
    sheet = np.full((len(rows) * (h + GAP_PX), across * (w + GAP_PX), 3), 32, np.uint8)
    for i, row in enumerate(rows):
        for j, frame in enumerate(row):
            sheet[i * (h + GAP_PX) :, j * (w + GAP_PX) :][:h, :w] = frame
    picture = Image.fromarray(sheet)
    if zoom > 1:
        picture = picture.resize((picture.width * zoom, picture.height * zoom), Image.Resampling.NEAREST)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return path
