"""FrameStream: frames on their way into a texture. The driver copies from a pixel buffer while we go on."""

from __future__ import annotations

import moderngl
import numpy as np

from inhabit.bridge.errors import LocalProtocolError

GL_SRGB8 = 0x8C41
BUFFERS = 2
"""Pixel buffers in turn: one may still be read by the driver while the next one is filled."""


class FrameStream:
    """The newest frame as a texture.

    Row 0 of a frame is row 0 of the texture, so v = 0 is the picture's top: a scene whose quads have v = 0 at the
    bottom uses 1 - v.
    """

    def __init__(self, ctx: moderngl.Context, *, srgb: bool = False):
        """Make no texture yet; the first frame says how large it is.

        Args:
            srgb: store it as sRGB, so that sampling gives linear light: for a scene that is lit and then encoded.
                Without it a shader gets the frame's own bytes, which is right for one that writes them to the screen
                unlit.
        """
        self._ctx = ctx
        self._srgb = srgb
        self._texture: moderngl.Texture | None = None
        self._buffers: list[moderngl.Buffer] = []
        self._turn = 0

    @property
    def texture(self) -> moderngl.Texture:
        """The texture. Another object after a frame of another size. Raises LocalProtocolError before the first."""
        if self._texture is None:
            raise LocalProtocolError("Cannot use the texture before the first frame: call show() first")
        return self._texture

    @property
    def ready(self) -> bool:
        """True once there is a texture."""
        return self._texture is not None

    def show(self, pixels: np.ndarray) -> moderngl.Texture:
        """Upload a picture and return the texture that holds it.

        Args:
            pixels: (height, width, 3) uint8 RGB, row 0 on top.

        Raises LocalProtocolError for any other array.
        """
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
            raise LocalProtocolError(
                f"Expected pixels of shape (height, width, 3), uint8, got {pixels.shape}, {pixels.dtype}"
            )
        size = (pixels.shape[1], pixels.shape[0])
        if self._texture is None or self._texture.size != size:
            self._make(size)
        assert self._texture is not None
        buffer = self._buffers[self._turn]
        self._turn = (self._turn + 1) % BUFFERS
        buffer.orphan()  # what the driver still reads stays its own: no wait here
        buffer.write(np.ascontiguousarray(pixels))
        self._texture.write(buffer, alignment=1)
        return self._texture

    def release(self) -> None:
        """Free the texture and its buffers. Calling it twice is fine."""
        for thing in (*self._buffers, self._texture):
            if thing is not None:
                thing.release()
        self._buffers, self._texture = [], None

    def _make(self, size: tuple[int, int]) -> None:
        self.release()
        self._texture = self._ctx.texture(size, 3, alignment=1, internal_format=GL_SRGB8 if self._srgb else None)
        self._texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
        self._texture.repeat_x = self._texture.repeat_y = False
        self._buffers = [self._ctx.buffer(reserve=size[0] * size[1] * 3, dynamic=True) for _ in range(BUFFERS)]
