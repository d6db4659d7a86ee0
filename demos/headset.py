"""A world in an OpenXR headset: on a curved screen, as a dome, or with your head as its look control.

    python -m inhabit.demos.headset                                   the toy, on a screen in your room
    python -m inhabit.demos.headset doom-center --mode inhabit        a neural world, all around you
    python -m inhabit.demos.headset --headless --seconds 5 --out headset.png

Headless, a runtime of its own stands in for the headset (scripts/monado builds it), a simulated head wobbles, the world
is given its first control now and then, and the file shows what both eyes see.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from inhabit.bindings.headset import Headset, HeadsetLoop, HeadsetOptions
from inhabit.bindings.headset.monado import Monado
from inhabit.bindings.input import load_keys
from inhabit.bindings.view import Film
from inhabit.bridge.client import LiveWorld
from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.supervisor import Supervisor
from inhabit.demos.start import ready, run

FILM_HZ = 20.0  # what Monado's compositor without a display does
HOLD_S, SEED = 0.7, 1


@dataclass(frozen=True, kw_only=True)
class Options:
    world: Annotated[str, tyro.conf.Positional] = "toy"
    """What `inhabit serve` takes: "toy", a pack, "doom:SCENARIO"."""

    mode: Literal["screen", "dome", "inhabit"] = "screen"
    """How it is shown; see docs/headset.md."""

    fov_deg: float = 90.0
    """How wide a dome or an inhabited world appears, degrees."""

    turn_deg: float = 6.0
    """How far a full push of the world's look control turns it in one frame, degrees."""

    snap_turn_deg: float = 0.0
    """Turn by steps of this many degrees; 0 turns smoothly."""

    vignette: float = 0.0
    """How dark the edge of the view becomes while a stick moves you, 0 to 1."""

    headless: bool = False
    """Use no headset: a runtime of its own, for `seconds`, into `out`."""

    seconds: float = 0.0
    """How long; 0 is until you leave, and 5 when headless."""

    out: Path = Path("headset.png")
    """What the eyes saw, headless: a film (.mp4) or a page of moments (.png)."""


def main(options: Options) -> None:
    """Show a world until the session is over."""
    shown = HeadsetOptions(
        mode=options.mode, fov_deg=options.fov_deg, turn_deg=options.turn_deg, vignette=options.vignette,
        snap_turn_deg=options.snap_turn_deg, layers="projection" if options.headless else "auto",
        sound=not options.headless,
    )  # fmt: skip
    ready(options.world, options.out if options.headless else None, ".mp4", ".png", window=False)
    if options.headless:
        with Monado() as runtime:  # it looks for no hardware and shows nothing
            os.environ.update(runtime.environment)
            record(options, shown)
        return
    with Supervisor(["serve", options.world]) as sidecar, Headset(shown) as headset:
        print(f"{headset.runtime.headset} ({headset.runtime.name}); press both sticks to recentre")
        with LiveWorld(sidecar.wait_until_listening()) as world:
            HeadsetLoop(headset, world, keys=load_keys(), supervisor=sidecar).run(options.seconds or None)
        print(f"{headset.frames} frames at {headset.fps:.1f} a second. {headset.reason}")


def record(options: Options, shown: HeadsetOptions) -> None:
    """Let a simulated head look on, and write down what its eyes see."""
    with (
        Supervisor(["serve", options.world]) as sidecar,
        Headset(shown) as headset,
        LiveWorld(sidecar.wait_until_listening(), seed=SEED) as world,
        Film(options.out, FILM_HZ) as film,
    ):
        loop = HeadsetLoop(headset, world)
        loop.stage.keep = True
        seconds, began_s, held = options.seconds or 5.0, 0.0, frozenset[str]()
        while loop.turn():
            if world.state in ("failed", "lost"):
                raise InhabitError(f"{options.world} could not go on: {world.reason or world.state}")
            if loop.frame is None:
                continue
            began_s = began_s or time.monotonic()
            now_s = time.monotonic() - began_s
            wanted = frozenset(world.info.actions.sources[0].keys[:1] if now_s // HOLD_S % 2 else ())
            if wanted != held:
                held = wanted
                world.send(Controls(held=held))
            if loop.stage.kept and now_s < seconds:
                film.add(np.concatenate(loop.stage.kept, axis=1))
            elif now_s >= seconds:
                headset.ask_to_end()
        frames = loop.world_frames
        loop.close()
    print(f"{options.out}  {film.pictures} frames of the display, {frames} of {options.world}, {options.mode}")


if __name__ == "__main__":
    run(main, Options, __doc__)
