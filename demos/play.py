"""The window in a few lines: start a sidecar, show its world, and let the left stick or the arrows move in it.

    python -m inhabit.demos.play                   the square that needs no model
    python -m inhabit.demos.play doom-center       a neural world
    python -m inhabit.demos.play --headless --seconds 10 --out clip.mp4

`inhabit play` is this with options. Headless, a script plays, and a contact sheet lies beside the clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from inhabit.bindings import window
from inhabit.bindings.window import Connection, Pane, PlayLoop, WindowOptions
from inhabit.bridge.supervisor import Supervisor
from inhabit.demos.start import ready, run


@dataclass(frozen=True, kw_only=True)
class Options:
    world: Annotated[str, tyro.conf.Positional] = "toy"
    """What `inhabit serve` takes: "toy", a pack, "doom:SCENARIO"."""

    headless: bool = False
    """Open no window: a script plays."""

    seconds: float = 10.0
    """Length of the headless clip, s of the world's time."""

    out: Path = Path("clip.mp4")
    """The headless clip (.mp4); its contact sheet lies beside it (.png)."""


def main(options: Options) -> None:
    """Play a world until Escape is pressed twice, or record a clip."""
    ready(options.world, options.out if options.headless else None, ".mp4")
    if options.headless:
        window.use_dummy_display()
    sidecar = Supervisor(["serve", options.world])  # a child process: `inhabit serve WORLD`, started again when it dies
    pane = Pane(Connection(options.world, supervisor=sidecar))  # a part of the window; two panes compare two worlds
    loop = PlayLoop([pane], WindowOptions(title=f"{options.world} - Inhabit", statistics=True))
    if options.headless:
        wanted = window.HeadlessOptions(seconds=options.seconds, out=options.out)
        sheet = window.record(loop, wanted, progress=lambda seconds: None)
        print(f"{options.out} and {sheet}")
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
    run(main, Options, __doc__)
