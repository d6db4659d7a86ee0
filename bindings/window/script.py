"""Script: seeded hands for a headless run. It presses the same Devices that a person does, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from inhabit.bindings.window.devices import Devices
from inhabit.bridge.controls import BUTTONS, ActionMap, ActionSource

LEFT, RIGHT = ("TURN_LEFT", "LOOK_LEFT", "LEFT"), ("TURN_RIGHT", "LOOK_RIGHT", "RIGHT")
SHOOT = ("ATTACK", "FIRE", "SHOOT")
"""Names that worlds give to the actions a hunter needs, the best first."""

WALK, LOOK = ("MOVE_Y", "MOVE_FORWARD", "FORWARD"), ("LOOK_X",)
"""Those that who strolls needs; to look the other way is to press LOOK's other key."""

SAID_EVERY = 72
"""Frames after which who strolls says the next of the world's own prompts."""


@dataclass(frozen=True, slots=True)
class Move:
    """Names to hold ("KeyW", "-PadLX"), and for how many frames of the world."""

    names: frozenset[str]
    frames: int
    says: bool = False
    """Whether to say the next of the world's own prompts, too."""


def bursts(actions: ActionMap, random: Random) -> Iterator[Move]:
    """Hold one or two random actions for a third of a second or so, then rest a little, for ever."""
    ways = [way for source in actions.sources for way in _ways(source)]
    while True:
        count = min(random.choice((1, 1, 1, 2)), len(ways))
        yield Move(frozenset(random.sample(ways, count)), random.randint(4, 20))
        yield Move(frozenset(), random.randint(1, 6))


def hunt(actions: ActionMap, random: Random) -> Iterator[Move]:
    """Look around in sweeps, stop, shoot a little, sometimes while turning, for ever."""
    left, right, shoot = (_named(actions, names) for names in (LEFT, RIGHT, SHOOT))
    while True:
        way = random.choice((left, right))
        yield Move(way, random.randint(6, 24))
        yield Move(way | shoot if random.random() < 0.3 else shoot, random.randint(3, 8))
        yield Move(frozenset(), random.randint(2, 8))


def stroll(actions: ActionMap, random: Random) -> Iterator[Move]:
    """Walk a little, look around and back, and say what the world shall be, for ever."""
    walk, (right, left) = _named(actions, WALK), _both(actions, LOOK)
    passed = 0
    while True:
        way, back = random.choice(((right, left), (left, right)))
        turn = random.randint(6, 12)
        for names, frames in ((walk, random.randint(12, 24)), (way, turn), (frozenset(), random.randint(4, 8)),
                              (back, turn)):  # fmt: skip
            says, passed = passed >= SAID_EVERY, passed + frames
            passed = frames if says else passed
            yield Move(names, frames, says)


def idle(actions: ActionMap, random: Random) -> Iterator[Move]:
    """Touch nothing: what does the world do by itself?"""
    while True:
        yield Move(frozenset(), 1000)


def auto(actions: ActionMap, random: Random) -> Iterator[Move]:
    """Hunt where the world lets one turn and shoot, stroll where one walks and looks, otherwise bursts."""
    if all(_named(actions, names) for names in (LEFT, RIGHT, SHOOT)):
        return hunt(actions, random)
    return (stroll if all(_both(actions, LOOK)) and _named(actions, WALK) else bursts)(actions, random)


SCRIPTS: MappingProxyType[str, Callable[[ActionMap, Random], Iterator[Move]]] = MappingProxyType(
    {"auto": auto, "bursts": bursts, "hunt": hunt, "stroll": stroll, "idle": idle}
)


class Script:
    """Plays one script on the devices. Time is counted in the world's frames, so a slow world is not rushed."""

    def __init__(self, name: str, actions: ActionMap, seed: int):
        self._moves = SCRIPTS[name](actions, Random(seed))
        self._held: frozenset[str] = frozenset()
        self._left = 0
        self._seen: tuple[int, int] | None = None

    def drive(self, devices: Devices, epoch: int, index: int) -> bool:
        """Press and release what is due at a frame of the world. Tells whether to say the next prompt, too."""
        passed = index - self._seen[1] if self._seen and self._seen[0] == epoch else 1
        self._seen = (epoch, index)
        self._left -= max(0, passed)
        if self._left > 0:
            return False
        move = next(self._moves)
        for name in self._held - move.names:
            _let_go(devices, name)
        for name in move.names - self._held:
            _hold(devices, name)
        self._held, self._left = move.names, move.frames
        return move.says


def _hold(devices: Devices, name: str) -> None:
    if name in BUTTONS:
        devices.press(name)
    else:
        devices.tilt(name[1:], 1.0 if name[0] == "+" else -1.0)


def _let_go(devices: Devices, name: str) -> None:
    if name in BUTTONS:
        devices.release(name)
    else:
        devices.tilt(name[1:], 0.0)


def _ways(source: ActionSource) -> list[str]:
    """One name for each direction of an action; one that only a mouse drives has none."""
    ways = [*source.keys[:1], *source.keys_back[:1]]
    return ways or list(source.pad[:1])


def _named(actions: ActionMap, names: tuple[str, ...]) -> frozenset[str]:
    found = _source(actions, names)
    return frozenset(_ways(found)[:1]) if found else frozenset()


def _both(actions: ActionMap, names: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """What to hold for either direction of an axis."""
    found = _source(actions, names)
    return (frozenset(found.keys[:1]), frozenset(found.keys_back[:1])) if found else (frozenset(), frozenset())


def _source(actions: ActionMap, names: tuple[str, ...]) -> ActionSource | None:
    by_name = {source.name.upper(): source for source in actions.sources}
    return next((by_name[name] for name in names if name in by_name), None)
