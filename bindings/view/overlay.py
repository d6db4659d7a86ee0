"""Overlay: words and pictures over a world, uploaded only when they change."""

from __future__ import annotations

from collections.abc import Sequence

import moderngl
import numpy as np

from inhabit.bindings.view.presenter import Presenter
from inhabit.bridge.errors import LocalProtocolError, MissingExtraError


class Overlay:
    """One picture with transparency that lies over the world."""

    def __init__(self, presenter: Presenter):
        self._presenter = presenter
        self._texture: moderngl.Texture | None = None

    def show(self, image: np.ndarray) -> None:
        """Take another picture, (height, width, 4) uint8 RGBA, row 0 on top, alpha not premultiplied.

        Raises LocalProtocolError for any other array.
        """
        if image.ndim != 3 or image.shape[2] != 4 or image.dtype != np.uint8:
            raise LocalProtocolError(
                f"Expected an image of (height, width, 4), uint8, got {image.shape}, {image.dtype}"
            )
        size = (image.shape[1], image.shape[0])
        if self._texture is None or self._texture.size != size:
            self.release()
            self._texture = self._presenter.ctx.texture(size, 4)
        wide = image.astype(np.uint16)
        wide[..., :3] = (wide[..., :3] * wide[..., 3:] + 127) // 255
        self._texture.write(wide.astype(np.uint8))

    def draw(self, left: int, top: int, target: moderngl.Framebuffer | None = None) -> None:
        """Draw it at its own size, `left` and `top` pixels from the upper left corner of the target."""
        if self._texture is None:
            return
        room = target or self._presenter.ctx.fbo
        width, height = self._texture.size
        self._presenter.overlay(self._texture, (left, room.height - top - height, width, height), room)

    def release(self) -> None:
        """Free the texture. Calling it twice is fine."""
        if self._texture is not None:
            self._texture.release()
            self._texture = None


def text_image(lines: Sequence[str], px: int = 20) -> np.ndarray:
    """Set lines of text on a translucent panel. Returns (height, width, 4) uint8 RGBA.

    Args:
        px: height of the letters.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise MissingExtraError("pillow", "gl") from error
    font, line_px = ImageFont.load_default(px), round(px * 1.4)
    width = max((round(font.getlength(line)) for line in lines), default=0) + px
    image = Image.new("RGBA", (width, line_px * len(lines) + px // 2), (13, 15, 20, 190))
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        draw.text((px // 2, px // 4 + row * line_px + line_px // 2), line, (237, 239, 243, 255), font, anchor="lm")
    return np.asarray(image)
