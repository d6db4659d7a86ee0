"""A world in OpenGL: frames as a texture for your own scene, and a presenter that shows them well at any size.

view = WorldView(ctx)        # any moderngl context: a pygame window's, moderngl-window's, or headless_context()
view.show(frame)             # in each turn in which a frame came
view.draw()                  # into the framebuffer that is in use
"""

try:
    import moderngl as _moderngl  # noqa: F401
except ImportError as error:
    from inhabit.bridge.errors import MissingExtraError

    raise MissingExtraError("moderngl", "gl") from error

from inhabit.bindings.view.blend import Blend
from inhabit.bindings.view.context import headless_context, read_pixels
from inhabit.bindings.view.film import Film
from inhabit.bindings.view.overlay import Overlay, text_image
from inhabit.bindings.view.presenter import UPSCALERS, Presenter, fit
from inhabit.bindings.view.stream import FrameStream
from inhabit.bindings.view.world_view import WorldView

__all__ = [
    "UPSCALERS",
    "Blend",
    "Film",
    "FrameStream",
    "Overlay",
    "Presenter",
    "WorldView",
    "fit",
    "headless_context",
    "read_pixels",
    "text_image",
]
