"""The pygame window: play a world, see what it costs, record it; with a screen or without one.

PlayLoop([Pane(Connection("toy", supervisor=Supervisor(["serve", "toy"])))]).run() is a whole player.
"""

import os

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame prints a greeting where it is imported first

try:
    import pygame as _pygame  # noqa: F401
except ImportError as error:
    from inhabit.bridge.errors import MissingExtraError

    raise MissingExtraError("pygame-ce", "window") from error

from inhabit.bindings.window.connection import Connection
from inhabit.bindings.window.headless import HeadlessOptions, record, use_dummy_display
from inhabit.bindings.window.loop import PlayLoop, WindowOptions
from inhabit.bindings.window.pane import Pane
from inhabit.bindings.window.report import make_report
from inhabit.bindings.window.screen import has_display

__all__ = [
    "Connection",
    "HeadlessOptions",
    "Pane",
    "PlayLoop",
    "WindowOptions",
    "has_display",
    "make_report",
    "record",
    "use_dummy_display",
]
