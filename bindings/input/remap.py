"""Remap: play a world with one's own keys. The world is told the names that it knows, so no world and no wire changes.

What counts is that the world does the same: for all controls c,
    world.action(remap.translate(c)) == remap.actions.action(c)
which the tests check with random worlds, files and controls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import msgspec.structs

from inhabit.bindings.input.keys_file import Entry, Keys
from inhabit.bridge.controls import STICK_DEADZONE, STICK_PRESS, ActionMap, ActionSource, Controls
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.world import WorldInfo


class Carrier(NamedTuple):
    """How an action is told to the world: names that drive it and nothing else."""

    key: str = ""
    key_back: str = ""
    axis: str = ""
    """A signed axis; "" where the world has none for this action alone."""


class Remap:
    """One person's keys for one world.

    Args:
        info: the world, as its WELCOME tells it.
        keys: the file; one that does not name this world changes nothing but the mouse's speed.

    Raises:
        InhabitError: the file names an action that the world does not have, asks for what the world cannot be told,
            or leaves an action without anything that drives it.
    """

    def __init__(self, info: WorldInfo, keys: Keys):
        self._world = info.actions
        self._mouse_scale = keys.mouse_scale
        entries = keys.worlds.get(info.name, {})
        where = f"{keys.path} [{info.name}]"
        self.actions = _effective(info.actions, entries, where)
        """What drives each action now; what the help shows."""

        self._changed = self.actions != info.actions
        self._carriers: tuple[Carrier, ...] = ()
        if self._changed:
            self._carriers = tuple(_carrier(source, info.actions, where) for source in info.actions.sources)
            for world, mine in zip(info.actions.sources, self.actions.sources, strict=True):
                _check_mouse(world, mine, where)

    def translate(self, controls: Controls) -> Controls:
        """Say in the world's names what was done in one's own."""
        scaled = controls
        if self._mouse_scale != 1.0:
            dx, dy = controls.mouse_dx * self._mouse_scale, controls.mouse_dy * self._mouse_scale
            scaled = replace(controls, mouse_dx=dx, mouse_dy=dy)
        if not self._changed or controls.action is not None:
            return scaled
        held, pressed = set[str](), set[str]()
        axes: dict[str, float] = {}
        steered = {"x": [0.0], "y": [0.0]}
        for world, mine, carrier in zip(self._world.sources, self.actions.sources, self._carriers, strict=True):
            analog = _analog(mine, controls)
            if mine.kind == "axis" and carrier.axis:
                _push(axes, carrier.axis, analog)
                analog = 0.0
            ways = ((mine.keys, carrier.key, 1.0), (mine.keys_back, carrier.key_back, -1.0))
            for names, key, way in ways if mine.kind == "axis" else ways[:1]:
                tapped = any(name in controls.pressed for name in names)
                down = any(name in controls.held for name in names) or analog * way >= STICK_PRESS
                if not key:
                    _push(axes, carrier.axis, way * (down or tapped))
                    continue
                held |= {key} if down else set()
                pressed |= {key} if tapped else set()
            if world.mouse and mine.mouse:
                steered[world.mouse[1]].append(_steer(world, mine.mouse, scaled))
        return Controls(
            held=frozenset(held), pressed=frozenset(pressed), axes=MappingProxyType(axes),
            mouse_dx=max(steered["x"]) + min(steered["x"]), mouse_dy=max(steered["y"]) + min(steered["y"]),
            scroll=controls.scroll,
        )  # fmt: skip


def _effective(world: ActionMap, entries: Mapping[str, Entry], where: str) -> ActionMap:
    """Give the named actions what the file says; what it took is no longer with the others."""
    for action in entries:
        if action not in world.names:
            raise InhabitError(
                f"Expected an action of this world ({', '.join(world.names)}), got {action!r} - at {where}"
            )
    taken = {name for entry in entries.values() for name in entry.names()}
    sources = []
    for source in world.sources:
        mine = _own(source, entries[source.name], where) if source.name in entries else _rest(source, taken)
        if _driven(source) and not _driven(mine) and source.name not in entries:
            raise InhabitError(
                f"Expected something that drives {source.name}, got nothing: all that did is taken by other actions, "
                f"give it a line of its own - at {where}"
            )
        sources.append(mine)
    return ActionMap(sources=tuple(sources))


def _driven(source: ActionSource) -> bool:
    """Whether a person can do it at all; some worlds are for agents only."""
    return bool(source.keys or source.keys_back or source.pad or source.mouse)


def _own(source: ActionSource, entry: Entry, where: str) -> ActionSource:
    if source.kind == "axis" and entry.listed and entry.keys:
        raise InhabitError(
            f"Expected {{ keys = [...], keys_back = [...] }} for {source.name}, which goes two ways, got a plain list "
            f"- at {where}"
        )
    if source.kind == "button" and entry.keys_back:
        raise InhabitError(f"Expected keys alone for {source.name}, which is on or off, got keys_back - at {where}")
    return msgspec.structs.replace(source, keys=entry.keys, keys_back=entry.keys_back, pad=entry.pad, mouse=entry.mouse)


def _rest(source: ActionSource, taken: set[str]) -> ActionSource:
    """An action that the file does not name keeps what the file did not give to another."""
    return msgspec.structs.replace(
        source,
        keys=tuple(name for name in source.keys if name not in taken),
        keys_back=tuple(name for name in source.keys_back if name not in taken),
        pad=tuple(axis for axis in source.pad if not _axis_taken(axis, source.kind, taken)),
        mouse="" if source.mouse and _axis_taken(f"mouse {source.mouse}", source.kind, taken) else source.mouse,
    )


def _axis_taken(signed: str, kind: str, taken: set[str]) -> bool:
    """An action that goes two ways needs both directions of a stick, one that is on or off needs one."""
    return signed in taken or (kind == "axis" and signed.translate(str.maketrans("+-", "-+")) in taken)


def _carrier(source: ActionSource, world: ActionMap, where: str) -> Carrier:
    """Find names that tell the world this action and no other."""
    uses = Counter(name for one in world.sources for name in (*one.keys, *one.keys_back))
    axes = Counter(axis[1:] for one in world.sources for axis in one.pad)
    key = next((name for name in source.keys if uses[name] == 1), "")
    back = next((name for name in source.keys_back if uses[name] == 1), "")
    axis = next((axis for axis in source.pad if axes[axis[1:]] == 1), "")
    if not axis and (not key or (source.kind == "axis" and not back)):
        raise InhabitError(
            f"Cannot give {source.name} other keys: the world shares all of its own with other actions - at {where}"
        )
    return Carrier(key, back, axis)


def _check_mouse(world: ActionSource, mine: ActionSource, where: str) -> None:
    if mine.mouse and not world.mouse:
        raise InhabitError(
            f"Expected keys, buttons or a stick for {world.name}, got the mouse, which this world does not take for it "
            f"- at {where}"
        )


def _analog(source: ActionSource, controls: Controls) -> float:
    total = 0.0
    for signed in source.pad:
        value = controls.axes.get(signed[1:], 0.0)
        if abs(value) >= STICK_DEADZONE:
            total += value if signed[0] == "+" else -value
    return total


def _push(axes: dict[str, float], signed: str, value: float) -> None:
    if value:
        whole = axes.get(signed[1:], 0.0) + (value if signed[0] == "+" else -value)
        axes[signed[1:]] = max(-1.0, min(1.0, whole))


def _steer(world: ActionSource, way: str, controls: Controls) -> float:
    """Turn travel in one's own direction into travel along the world's axis."""
    moved = controls.mouse_dx if way[1] == "x" else controls.mouse_dy
    moved = moved if way[0] == "+" else -moved
    if world.kind == "button":
        moved = max(0.0, moved)
    return moved if world.mouse[0] == "+" else -moved
