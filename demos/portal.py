"""Walk through a portal from a rendered room into a dream, and back: the dream begins in the last rendered picture.

    python -m inhabit.demos.portal                 WASD and the mouse walk, the screen is the portal, Tab comes back
    python -m inhabit.demos.portal packs/isle      another neural world
    python -m inhabit.demos.portal --headless --seconds 8 --out portal.png

A neural world takes a picture to begin from: world.reset(options={"image": pixels}). What it has learnt decides what
becomes of the room. The world runs in this process here, in lock-step, because a frame is only wanted when it is drawn.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import moderngl
import numpy as np
import pygame
import tyro

from inhabit.bindings.view import Film, WorldView, headless_context, read_pixels
from inhabit.bindings.window.devices import Devices
from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.world import World
from inhabit.demos.scenery import Room, Walker, open_window
from inhabit.worldmodel.catalog import DEFAULT_PACK, open_world

SIZE, FILM_HZ, SEED = (1280, 720), 20.0, 1
PORTAL_Z_M, BACK_Z_M = -2.2, -1.4


@dataclass(frozen=True, kw_only=True)
class Options:
    world: Annotated[str, tyro.conf.Positional] = DEFAULT_PACK
    """A pack; a world that takes no picture begins as it always does."""

    headless: bool = False
    """Open no window: walk in, play a little, come out."""

    seconds: float = 0.0
    """How long; 0 is until you leave, and 8 when headless."""

    out: Path = Path("portal.png")
    """What is seen, headless: a film (.mp4) or a page of moments (.png)."""


class Portal:
    """The room, the dream, and on which side one is."""

    def __init__(self, ctx: moderngl.Context, world: World):
        self.view, self.room, self.walker = WorldView(ctx), Room(ctx), Walker()
        self.world, self.inside, self.entered = world, False, 0
        self._picture = ctx.framebuffer([ctx.texture(SIZE, 4)], ctx.depth_renderbuffer(SIZE))
        self._due_s = 0.0
        self.view.show(world.reset(seed=SEED))

    def turn(self, controls: Controls, seconds: float, target: moderngl.Framebuffer) -> None:
        """Move on by a moment and draw it."""
        if self.inside:
            self._due_s += seconds
            if self._due_s >= 1 / self.world.info.rate_hz:
                self._due_s = 0.0
                self.view.show(self.world.step(controls))
            target.clear()
            self.view.draw(target)
            return
        self.walker.move(controls, seconds, nearest_m=0.5)
        self._draw_room(target)
        if self.walker.at[2] < PORTAL_Z_M and abs(self.walker.at[0]) < 1.3:  # the last picture is the dream's first
            self._draw_room(self._picture)
            self.view.show(self.world.reset(seed=SEED, options={"image": read_pixels(self._picture)}))
            self.inside, self.entered = True, self.entered + 1

    def come_back(self) -> None:
        """Step out of the portal, which shows where the dream was left."""
        self.inside = False
        self.walker = Walker((0.0, 1.6, BACK_Z_M), yaw=np.pi)

    def _draw_room(self, target: moderngl.Framebuffer) -> None:
        texture = self.view.presenter.enlarge(self.view.texture, SIZE)
        self.room.draw(target, texture, self.walker.camera(SIZE[0] / SIZE[1]))


def script(world: World) -> Iterator[tuple[float, Controls]]:
    """What to hold until which part of the film: walk in, try the world's controls, come out, turn round."""
    yield 0.4, Controls(held=frozenset({"KeyW"}))
    for number in range(8):
        source = world.info.actions.sources[number % world.info.actions.size]
        yield 0.4 + (number + 1) * 0.05, Controls(held=frozenset(source.keys[:1]))
    yield 1.0, Controls(mouse_dx=35.0)


def record(options: Options, world: World) -> None:
    """Go through the portal and come back, by script."""
    ctx = headless_context()
    portal, hands, seconds = Portal(ctx, world), script(world), options.seconds or 8.0
    target = ctx.framebuffer([ctx.texture(SIZE, 4)], ctx.depth_renderbuffer(SIZE))
    until, controls = next(hands)
    with Film(options.out, FILM_HZ) as film:
        while (share := film.pictures / FILM_HZ / seconds) < 1.0:
            if share >= until:
                until, controls = next(hands)
                if until == 1.0:
                    portal.come_back()
            portal.turn(controls, 1 / FILM_HZ, target)
            film.add(read_pixels(target))
    print(f"{options.out}  {film.pictures} pictures, through the portal {portal.entered} times")


def play(options: Options, world: World) -> None:
    """Walk in a window; Tab comes back from the dream, Escape leaves."""
    ctx = open_window(SIZE)
    portal, devices, clock = Portal(ctx, world), Devices(), pygame.Clock()
    devices.captured, devices.window_keys = True, frozenset({"Tab", "Escape"})
    ends_s = time.monotonic() + (options.seconds or 1e9)
    while time.monotonic() < ends_s:
        asked = {devices.handle(event) if event.type != pygame.QUIT else "Escape" for event in pygame.event.get()}
        if "Escape" in asked:
            break
        if "Tab" in asked:
            portal.come_back()
        portal.turn(devices.snapshot(), clock.tick(60) / 1e3, ctx.screen)
        pygame.display.set_caption("In the dream, Tab comes back" if portal.inside else "Walk into the screen")
        pygame.display.flip()
    devices.close()
    pygame.display.quit()


def main(options: Options) -> None:
    """Open a world and put its portal into the room."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    with contextlib.closing(open_world(options.world)) as world:
        (record if options.headless else play)(options, world)


if __name__ == "__main__":
    try:
        main(tyro.cli(Options, description=__doc__))
    except InhabitError as error:
        sys.exit(f"inhabit: {error}")
