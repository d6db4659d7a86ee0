"""A game scene with a neural world on a screen inside it, as a game would have it: a room at night, lit by the dream.

    python -m inhabit.demos.screen                     the toy; WASD and the mouse walk, Tab hands the keys to the world
    python -m inhabit.demos.screen doom-center         a neural world
    python -m inhabit.demos.screen --headless --seconds 5 --out screen.png

The world is one texture of the scene (scenery.py). Its light falls on the walls: the average of the frame, which OpenGL
has computed already, in the smallest level of the texture.
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pygame
import tyro

from inhabit.bindings.view import Film, WorldView, headless_context, read_pixels
from inhabit.bridge.client import LiveWorld
from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.supervisor import Supervisor
from inhabit.demos.scenery import Hands, Room, Walker, open_window
from inhabit.demos.start import ready, run

SIZE, FILM_HZ = (1280, 720), 30.0
PATIENCE_S, SEED = 120.0, 1


@dataclass(frozen=True, kw_only=True)
class Options:
    world: Annotated[str, tyro.conf.Positional] = "toy"
    """What `inhabit serve` takes: "toy", a pack, "doom:SCENARIO"."""

    headless: bool = False
    """Open no window: a camera goes round, a script plays."""

    seconds: float = 0.0
    """How long; 0 is until you leave, and 5 when headless."""

    out: Path = Path("screen.png")
    """The headless picture: a film (.mp4) or a page of moments (.png)."""


def play(options: Options, world: LiveWorld) -> None:
    """Walk about in a window; Tab goes between the room and the world, Escape leaves."""
    ctx = open_window(SIZE)
    view, room, walker, hands, inside, clock = WorldView(ctx), Room(ctx), Walker(), Hands(), False, pygame.Clock()
    ends_s = time.monotonic() + (options.seconds or math.inf)
    while time.monotonic() < ends_s and "Escape" not in (asked := hands.hear()):
        inside ^= "Tab" in asked
        controls = hands.snapshot()
        world.send(controls if inside else Controls())
        walker.move(Controls() if inside else controls, clock.tick(60) / 1e3)
        if (frame := world.poll()) is not None:
            view.show(frame)
        if world.state in ("failed", "lost"):
            raise InhabitError(f"{options.world} could not go on: {world.reason or world.state}")
        if view.frame is not None:
            room.draw(ctx.screen, view.presenter.enlarge(view.texture, SIZE), walker.camera(SIZE[0] / SIZE[1]))
        where = "in the world, Tab goes back" if inside else "in the room, Tab takes the keys into the world"
        pygame.display.set_caption(f"{options.world} - {where}")
        pygame.display.flip()


def record(options: Options, world: LiveWorld) -> None:
    """Go round the room once while a script plays."""
    ctx = headless_context()
    view, room, dice = WorldView(ctx), Room(ctx), random.Random(1)
    target = ctx.framebuffer([ctx.texture(SIZE, 4)], ctx.depth_renderbuffer(SIZE))
    began_s, seconds, frames = time.monotonic(), options.seconds or 5.0, 0
    with Film(options.out, FILM_HZ) as film:
        while (passed_s := film.pictures / FILM_HZ) < seconds:
            if (frame := world.poll(timeout_s=1 / FILM_HZ)) is not None:
                view.show(frame)
                frames += 1
                if frame.index % 12 == 0:
                    source = dice.choice(world.info.actions.sources)
                    world.send(Controls(held=frozenset(source.keys[:1])))
            if view.frame is None:
                if world.state in ("failed", "lost") or time.monotonic() - began_s > PATIENCE_S:
                    raise InhabitError(f"{options.world} did not come: {world.reason or world.state}")
                continue
            turn = 2 * math.pi * passed_s / seconds
            at = np.array([1.5 * math.sin(turn), 1.6 + 0.2 * math.sin(2 * turn), 1.9 - 0.6 * math.cos(turn)])
            walker = Walker(at, yaw=math.atan2(-at[0], at[2] + 3.0), pitch=-0.08)
            room.draw(target, view.presenter.enlarge(view.texture, SIZE), walker.camera(SIZE[0] / SIZE[1]))
            film.add(read_pixels(target))
    print(f"{options.out}  {film.pictures} pictures of the room, {frames} frames of {options.world}")


def main(options: Options) -> None:
    """Serve a world and put it into the room."""
    ready(options.world, options.out if options.headless else None, ".mp4", ".png")
    with Supervisor(["serve", options.world]) as sidecar, LiveWorld(sidecar.wait_until_listening(), seed=SEED) as world:
        (record if options.headless else play)(options, world)


if __name__ == "__main__":
    run(main, Options, __doc__)
