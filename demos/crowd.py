"""A room with a crowd: several people, here bots, share one world, hand its wheel on or vote, and talk.

    python -m inhabit.demos.crowd                         you among six bots; Tab asks for the wheel, the arrows drive
    python -m inhabit.demos.crowd --steering vote         what most of them hold is done
    python -m inhabit.demos.crowd --headless --seconds 10 --out crowd.png

Everybody is a client of its own: LiveWorld(endpoint, room="crowd", name="Ada").
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Annotated, Literal

import pygame
import tyro

from inhabit.bindings.view import Film
from inhabit.bindings.window import use_dummy_display
from inhabit.bindings.window.devices import Devices
from inhabit.bindings.window.paint import ACCENT, DIM, Painter
from inhabit.bindings.window.screen import fit
from inhabit.bridge.client import LiveWorld
from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.frames import Frame
from inhabit.bridge.supervisor import Supervisor
from inhabit.demos.start import ready, run

SIZE, SIDE_PX, TEXT_PX = (960, 540), 260, 17
NAMES = ("Ada", "Bo", "Cem", "Dina", "Eli", "Fay", "Gus", "Hana", "Ivo", "Jun", "Kim", "Lea", "Mo", "Nia", "Oz", "Pia")
LINES = ("left!", "no, the other way", "who drives?", "lovely", "my turn soon?", "watch this", "again, again")
TURN_S = 1.5


@dataclass(frozen=True, kw_only=True)
class Options:
    world: Annotated[str, tyro.conf.Positional] = "toy"
    """What `inhabit serve` takes: "toy", a pack, "doom:SCENARIO"."""

    bots: int = 6
    """How many others are here, at most 16."""

    steering: Literal["driver", "vote"] = "driver"
    """One drives and hands the wheel on, or most decide."""

    headless: bool = False
    """Open no window: look on, and write what is seen."""

    seconds: float = 0.0
    """How long; 0 is until you leave, and 10 when headless."""

    out: Path = Path("crowd.png")
    """What is seen, headless: a film (.mp4) or a page of moments (.png)."""


class Bot:
    """Somebody who drives for two turns, hands the wheel on, asks for it again, and talks a little."""

    def __init__(self, endpoint: str, name: str, seed: int):
        self.world, self._dice = LiveWorld(endpoint, room="crowd", name=name), Random(seed)
        self._until_s = self._driven = 0

    def turn(self) -> None:
        self.world.poll()
        if self.world.state != "running" or time.monotonic() < self._until_s:
            return
        self._until_s = time.monotonic() + self._dice.uniform(0.5, 1.0) * TURN_S
        room, key = self.world.room, self._dice.choice(self.world.info.actions.sources).keys[:1]
        if room.driver == room.me and self._driven == 2:
            self.world.drive("release")
        elif not room.by_vote and room.me not in (room.driver, *room.waiting):
            self.world.drive("ask")
        self._driven = self._driven + 1 if room.driver == room.me else 0
        if self._dice.random() < 0.2:
            self.world.chat(self._dice.choice(LINES))
        self.world.send(Controls(held=frozenset(key) if room.driving else frozenset()))


def draw(painter: Painter, surface: pygame.Surface, world: LiveWorld, frame: Frame) -> None:
    """The world to the left, who is here to the right, what was said below."""
    surface.fill((11, 12, 15))
    image = pygame.image.frombuffer(frame.pixels.tobytes(), frame.pixels.shape[1::-1], "RGB")
    rect, _ = fit(*image.get_size(), pygame.Rect(0, 0, SIZE[0] - SIDE_PX, SIZE[1]))
    surface.blit(pygame.transform.scale(image, rect.size), rect)
    room, x, y = world.room, SIZE[0] - SIDE_PX + 16, 14
    title = f"{len(room.people)} people, {'most decide' if room.by_vote else 'one drives'}"
    surface.blit(painter.text(title, TEXT_PX, ACCENT), (x, y))
    for person in room.people:
        y += painter.line_px(TEXT_PX)
        pygame.draw.circle(surface, pygame.Color((person.colour << 8) | 0xFF), (x + 7, y + TEXT_PX * 3 // 4), 6)
        mark = " drives" if person.member == room.driver else " waits" if person.member in room.waiting else ""
        surface.blit(painter.text(f"{person.name}{mark}", TEXT_PX), (x + 22, y))
    for row, event in enumerate(reversed([event for event in room.events if event.kind == "chat"][-5:]), start=1):
        words = painter.clip(f"{event.name}: {event.text}", TEXT_PX, SIDE_PX - 24)
        surface.blit(painter.text(words, TEXT_PX, DIM), (x, SIZE[1] - 10 - row * painter.line_px(TEXT_PX)))


def play(options: Options, endpoint: str, surface: pygame.Surface) -> None:
    """Be in the room, or only look on, until it is enough."""
    me = LiveWorld(endpoint, room="crowd", name="you", role="viewer" if options.headless else "player")
    bots = [Bot(endpoint, name, seed) for seed, name in enumerate(NAMES[: options.bots])]
    devices, painter, film = Devices(), Painter(), None
    devices.window_keys = frozenset({"Tab", "Escape"})
    seconds, ends_s = options.seconds or (10.0 if options.headless else 1e9), 0.0
    while not ends_s or time.monotonic() < ends_s:
        asked = {devices.handle(event) if event.type != pygame.QUIT else "Escape" for event in pygame.event.get()}
        if "Escape" in asked:
            break
        if not options.headless:
            me.send(devices.snapshot())
        if "Tab" in asked:
            me.drive("release" if me.room.driver == me.room.me else "ask")
        for bot in bots:
            bot.turn()
        if me.state in ("failed", "lost"):
            raise InhabitError(f"{options.world} could not go on: {me.reason}")
        if (frame := me.poll(timeout_s=0.01)) is None:
            continue
        ends_s = ends_s or time.monotonic() + seconds
        draw(painter, surface, me, frame)
        pygame.display.flip()
        if options.headless:
            film = film or Film(options.out, me.info.rate_hz)
            film.add(pygame.surfarray.array3d(surface).swapaxes(0, 1))
    if film:
        film.close()
        print(f"{options.out}  {film.pictures} frames, {len(me.room.people)} people in the room")


def main(options: Options) -> None:
    """Serve a world and fill its room."""
    ready(options.world, options.out if options.headless else None, ".mp4", ".png")
    if options.headless:
        use_dummy_display()
    pygame.display.init()
    surface = pygame.display.set_mode(SIZE)
    with Supervisor(["serve", options.world, "--steering", options.steering]) as sidecar:
        play(options, sidecar.wait_until_listening(), surface)


if __name__ == "__main__":
    run(main, Options, __doc__)
