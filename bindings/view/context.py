"""Contexts: OpenGL without a window, and reading back what was drawn."""

from __future__ import annotations

import sys

import moderngl
import numpy as np

from inhabit.bridge.errors import InhabitError

GL_VERSION = 330
"""What everything here asks for: OpenGL 3.3 core."""


def headless_context() -> moderngl.Context:
    """Make an OpenGL context without a window or a display (EGL on Linux); software rendering is enough.

    Raises InhabitError where there is no OpenGL 3.3.
    """
    try:
        if sys.platform.startswith("linux"):
            return moderngl.create_context(standalone=True, require=GL_VERSION, backend="egl")  # pyright: ignore[reportArgumentType]
        return moderngl.create_context(standalone=True, require=GL_VERSION)
    except Exception as error:  # glcontext raises plain Exception
        raise InhabitError(
            f"Expected OpenGL 3.3 without a window, got: {error}; on Debian `apt-get install libegl1 libgl1-mesa-dri`"
        ) from error


def read_pixels(framebuffer: moderngl.Framebuffer) -> np.ndarray:
    """Copy what was drawn. Returns (height, width, 3) uint8 RGB, row 0 on top."""
    width, height = framebuffer.size
    pixels = np.frombuffer(framebuffer.read(components=3, alignment=1), np.uint8)
    return np.ascontiguousarray(pixels.reshape(height, width, 3)[::-1])
