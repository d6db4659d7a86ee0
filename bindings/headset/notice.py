"""What stands in a world's place while it cannot be seen: its last picture, darkened, and why."""

from __future__ import annotations

from textwrap import wrap

import numpy as np

from inhabit.bridge.errors import MissingExtraError

SIZE_PX = (960, 720)
TEXT_PX, LINE_CHARACTERS = 52, 32
DARK = 0.25


def notice(pixels: np.ndarray | None, title: str, reason: str = "") -> np.ndarray:
    """Make the picture of a notice, (height, width, 3) uint8 RGB, of the aspect of the picture that it stands for.

    Args:
        pixels: the world's last frame, None when there was none.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise MissingExtraError("pillow", "xr") from error
    size = SIZE_PX if pixels is None else (SIZE_PX[0], round(SIZE_PX[0] * pixels.shape[0] / pixels.shape[1]))
    page = Image.new("RGB", size, (11, 12, 15))
    if pixels is not None:
        page = Image.fromarray((pixels * DARK).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(TEXT_PX)
    lines = [title, *wrap(reason, LINE_CHARACTERS)[:5]]
    top = (size[1] - len(lines) * TEXT_PX * 1.4) / 2
    for row, line in enumerate(lines):
        ink = (237, 239, 243) if row == 0 else (154, 163, 178)
        draw.text((size[0] / 2, top + row * TEXT_PX * 1.4), line, ink, font, anchor="ma")
    return np.asarray(page)
