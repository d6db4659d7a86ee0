"""Walk through a portal from a rendered room into a dream, and back: the dream begins in the last rendered picture.

    python -m inhabit.demos.portal                 WASD and the mouse walk, the screen is the portal, Tab comes back
    python -m inhabit.demos.portal isle-tiny       another neural world
    python -m inhabit.demos.portal --headless --seconds 8 --out portal.png

A neural world takes a picture to begin in: world.reset(options={"image": pixels}). What it has learnt decides what
becomes of the room. The dream goes on in its sidecar while one is in the room, and the portal shows it.
"""

from __future__ import annotations

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
from inhabit.bridge.client import LiveWorld
from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.frames import Frame
from inhabit.bridge.supervisor import Patience, Supervisor
from inhabit.demos.scenery import WALK_M_S, Hands, Room, Walker, open_window
from inhabit.demos.start import ready, run

SIZE, FILM_HZ, SEED, PORTAL_Z_M, BACK_Z_M = (1280, 720), 20.0, 1, -1.6, -0.9


@dataclass(frozen=True, kw_only=True)
class Options:
    world: Annotated[str, tyro.conf.Positional] = "doom-center"
    """A pack: a neural world, which takes a picture to begin in."""

    headless: bool = False
    """Open no window: walk in, play a little, come out."""

    seconds: float = 8.0
    """How long that takes."""

    out: Path = Path("portal.png")
    """A film (.mp4) or a page of moments (.png)."""


class Portal:
    """The room, the dream, and on which side one is."""

    def __init__(self, ctx: moderngl.Context, world: LiveWorld):
        self.view, self.room, self.walker = WorldView(ctx), Room(ctx), Walker()
        self.world, self.inside, self.entered = world, False, 0
        self._old_epoch = self._asked = 0
        while self.view.frame is None:
            self._hear(0.1)

    def turn(self, controls: Controls, seconds: float, target: moderngl.Framebuffer) -> None:
        """Move on by a moment and draw it."""
        self._hear(0.0)
        if self.inside:
            self.world.send(controls)
            target.clear()
            self.view.draw(target)
            return
        self.walker.move(controls, seconds)
        picture = self.view.presenter.enlarge(self.view.texture, SIZE)
        self.room.draw(target, picture, self.walker.camera(SIZE[0] / SIZE[1]))
        if self.walker.at[2] < PORTAL_Z_M and abs(self.walker.at[0]) < 1.3:
            self._enter(read_pixels(target))

    def _enter(self, room: np.ndarray) -> None:
        """The last picture of the room is where the dream begins; it stays until the first frame of that comes."""
        self.view.show(Frame(pixels=room, index=0))
        self._old_epoch, self.inside, self.entered = self.world.epoch, True, self.entered + 1
        self._asked = self.world.reset(SEED, options={"image": room})

    def _hear(self, timeout_s: float) -> None:
        """Take a frame of the dream; one from before the last entering comes too late."""
        frame = self.world.poll(timeout_s)
        effect = self.world.effect(self._asked) if self._asked else None
        if self.world.state in ("failed", "lost") or (effect and effect.refused):
            raise InhabitError(f"The dream could not go on: {self.world.reason}")
        if frame is not None and frame.epoch > self._old_epoch:
            self.view.show(frame)

    def come_back(self) -> None:
        """Step out of the portal, which shows where the dream was left."""
        self.inside = False
        self.world.send(Controls())
        self.walker = Walker((0.0, 1.6, BACK_Z_M), yaw=np.pi)


def script(world: LiveWorld) -> Iterator[tuple[float, Controls]]:
    """What to hold until which part of the film: walk in, play, come out, turn round."""
    yield 0.4, Controls(held=frozenset({"KeyW"}))
    for number in range(8):
        source = world.info.actions.sources[number % world.info.actions.size]
        yield 0.4 + (number + 1) * 0.05, Controls(held=frozenset(source.keys[:1]))
    yield 1.0, Controls(mouse_dx=35.0)


def record(options: Options, world: LiveWorld) -> None:
    """Go through the portal and come back, by script."""
    ctx = headless_context()
    target = ctx.framebuffer([ctx.texture(SIZE, 4)], ctx.depth_renderbuffer(SIZE))
    portal, hands, seconds, began_s = Portal(ctx, world), script(world), options.seconds, time.monotonic()
    portal.walker.at[2] = min(2.9, PORTAL_Z_M + 0.35 * seconds * WALK_M_S)
    until, controls = next(hands)
    with Film(options.out, FILM_HZ) as film:
        while (share := film.pictures / FILM_HZ / seconds) < 1.0:
            if share >= until:
                until, controls = next(hands)
            if until == 1.0 and portal.inside:
                portal.come_back()
            portal.turn(controls, 1 / FILM_HZ, target)
            film.add(read_pixels(target))
            time.sleep(max(0.0, began_s + film.pictures / FILM_HZ - time.monotonic()))
    print(f"{options.out}  {film.pictures} pictures, through the portal {portal.entered} times")


def play(options: Options, world: LiveWorld) -> None:
    """Walk in a window; Tab comes back from the dream, Escape leaves."""
    ctx = open_window(SIZE)
    portal, hands, clock = Portal(ctx, world), Hands(), pygame.Clock()
    while "Escape" not in (asked := hands.hear()):
        if "Tab" in asked:
            portal.come_back()
        portal.turn(hands.snapshot(), clock.tick(60) / 1e3, ctx.screen)
        pygame.display.set_caption("In the dream, Tab comes back" if portal.inside else "Walk into the screen")
        pygame.display.flip()


def main(options: Options) -> None:
    """Open a world and put its portal into the room."""
    ready(options.world, options.out if options.headless else None, ".mp4", ".png")
    serve, patience = ["serve", options.world, "--hang-after-s", "15"], Patience(hang_s=20.0)  # for slow machines
    with Supervisor(serve, patience=patience) as sidecar, LiveWorld(sidecar.wait_until_listening(), seed=SEED) as world:
        (record if options.headless else play)(options, world)


if __name__ == "__main__":
    run(main, Options, __doc__)
