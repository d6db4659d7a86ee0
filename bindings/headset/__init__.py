"""A world in an OpenXR headset: on a curved screen, as a dome, or all around you, with your head as its look control.

with Headset(HeadsetOptions(mode="inhabit")) as headset, LiveWorld(endpoint) as world:
    HeadsetLoop(headset, world).run()
"""

import os as _os
import sys as _sys

if _sys.platform.startswith("linux"):
    _os.environ.setdefault("PYOPENGL_PLATFORM", "egl")  # pyopenxr imports PyOpenGL, which would look for an X display

try:
    import moderngl as _moderngl  # noqa: F401
    import xr as _xr  # noqa: F401
except ImportError as error:
    from inhabit.bridge.errors import MissingExtraError

    raise MissingExtraError("pyopenxr", "xr") from error

from inhabit.bindings.headset.headset import Headset, Moment
from inhabit.bindings.headset.loop import HeadsetLoop
from inhabit.bindings.headset.options import HeadsetOptions

__all__ = ["Headset", "HeadsetLoop", "HeadsetOptions", "Moment"]
