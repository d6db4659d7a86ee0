"""The window in a few lines: start a sidecar, show its world, and let the left stick or the arrows move in it.

    python -m inhabit.demos.play                   the square that needs no model
    python -m inhabit.demos.play doom-center       a neural world
    python -m inhabit.demos.play WORLD clip.mp4    no window: a script plays, the clip shows it

`inhabit play` is this with options.
"""

from __future__ import annotations

import sys
from pathlib import Path

from inhabit.bindings import window
from inhabit.bindings.window import Connection, Pane, PlayLoop, WindowOptions
from inhabit.bridge.supervisor import Supervisor


def main(world: str = "toy", clip: str = "") -> None:
    """Play a world until Escape is pressed twice, or record a clip of ten seconds."""
    if clip:
        window.use_dummy_display()
    sidecar = Supervisor(["serve", world])  # a child process: `inhabit serve WORLD`, started again when it dies
    pane = Pane(Connection(world, supervisor=sidecar))  # a world in a part of the window; two panes compare two worlds
    loop = PlayLoop([pane], WindowOptions(title=f"{world} - Inhabit", statistics=True))
    if clip:
        sheet = window.record(loop, window.HeadlessOptions(seconds=10, out=Path(clip)), progress=lambda seconds: None)
        print(f"{clip} and {sheet}")
        return
    # run() would do the same; turn by turn there is room for something of your own.
    try:
        while not loop.done:
            loop.turn()
            if pane.frame is not None and pane.frame.terminated:
                loop.face.say("That was the end of an episode", pane.last_ns)
    finally:
        loop.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])
