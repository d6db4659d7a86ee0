"""Devices: SDL's keyboard, mouse and gamepads turned into Controls, with names instead of numbers.

Keys are physical positions (scancodes): "KeyW" is the key above S on a German and on a French keyboard alike.
Gamepads go through SDL's controller mapping, so an Xbox, a PlayStation and a Switch pad press the same names.
"""

from __future__ import annotations

from types import MappingProxyType

import pygame
from pygame._sdl2 import controller

from inhabit.bindings.input.tables import KEYBOARD_HID, MOUSE_SDL, PAD_AXES_SDL, PAD_BUTTONS_SDL
from inhabit.bridge.controls import BUTTONS, Controls

SCANCODES = KEYBOARD_HID
"""SDL scancode to W3C KeyboardEvent.code: SDL numbers keys as USB does."""

MOUSE = MOUSE_SDL
PAD_BUTTONS = MappingProxyType(
    {getattr(pygame, f"CONTROLLER_BUTTON_{sdl}"): w3c for sdl, w3c in PAD_BUTTONS_SDL.items()}
)
PAD_AXES = MappingProxyType({getattr(pygame, f"CONTROLLER_AXIS_{sdl}"): w3c for sdl, w3c in PAD_AXES_SDL.items()})

AXIS_FULL = 32767.0
AXIS_STEPS = 100
"""Positions an axis is rounded to on each side, so that a resting stick's tremble is no input."""

_KEYBOARD = -1
"""Stands for the keyboard and the mouse where gamepads have their SDL instance id."""


class Devices:
    """What is held now and what happened since the last snapshot."""

    def __init__(self) -> None:
        self.window_keys: frozenset[str] = frozenset()
        """Names that the window keeps for itself: handle() returns them instead of pressing them."""

        self.captured = False
        """Mouse motion counts only while this is true."""

        self._held: set[tuple[int, str]] = set()
        self._pressed: set[str] = set()
        self._axes: dict[tuple[int, str], float] = {}
        self._mouse = [0.0, 0.0]
        self._scroll = 0.0
        self._pads: dict[int, controller.Controller] = {}
        self._switched = self._moved = False
        controller.init()

    @property
    def switched(self) -> bool:
        """True when a key or button changed since the last snapshot."""
        return self._switched

    @property
    def moved(self) -> bool:
        """True when a mouse or stick moved since the last snapshot."""
        return self._moved

    @property
    def pads(self) -> tuple[str, ...]:
        """Names of the gamepads that are plugged in."""
        return tuple(str(pad.name) for pad in self._pads.values())

    def handle(self, event: pygame.event.Event) -> str:
        """Take in one pygame event. Returns the window key that went down with it, "" for none."""
        match event.type:
            case pygame.KEYDOWN | pygame.KEYUP:
                return self._button(_KEYBOARD, SCANCODES.get(event.scancode, ""), event.type == pygame.KEYDOWN)
            case pygame.MOUSEBUTTONDOWN | pygame.MOUSEBUTTONUP:
                return self._button(_KEYBOARD, MOUSE.get(event.button, ""), event.type == pygame.MOUSEBUTTONDOWN)
            case pygame.CONTROLLERBUTTONDOWN | pygame.CONTROLLERBUTTONUP:
                down = event.type == pygame.CONTROLLERBUTTONDOWN
                return self._button(event.instance_id, PAD_BUTTONS.get(event.button, ""), down)
            case pygame.MOUSEMOTION if self.captured:
                self.move(*event.rel)
            case pygame.MOUSEWHEEL:
                self.scroll(event.precise_y)
            case pygame.CONTROLLERAXISMOTION if event.axis in PAD_AXES:
                self.tilt(PAD_AXES[event.axis], event.value / AXIS_FULL, device=event.instance_id)
            case pygame.CONTROLLERDEVICEADDED:
                self._plug(event.device_index)
            case pygame.CONTROLLERDEVICEREMOVED:
                self._unplug(event.instance_id)
            case pygame.WINDOWFOCUSLOST:
                self.release_all()
        return ""

    def press(self, name: str, *, device: int = _KEYBOARD) -> None:
        """Hold a key or button down. Raises ValueError for a name that is no W3C code."""
        if name not in BUTTONS:
            raise ValueError(f"Expected a W3C key code, Mouse0-4 or a Pad button, got {name!r}")
        if (device, name) not in self._held:
            self._held.add((device, name))
            self._pressed.add(name)
            self._switched = True

    def release(self, name: str, *, device: int = _KEYBOARD) -> None:
        """Let a key or button go; one that is not held is fine."""
        if (device, name) in self._held:
            self._held.discard((device, name))
            self._switched = True

    def move(self, dx: float, dy: float) -> None:
        """Add mouse travel, pixels, right and down positive."""
        self._mouse[0] += dx
        self._mouse[1] += dy
        self._moved = self._moved or bool(dx or dy)

    def scroll(self, notches: float) -> None:
        """Add wheel travel, notches, away from the user positive."""
        self._scroll += notches
        self._moved = self._moved or bool(notches)

    def tilt(self, axis: str, value: float, *, device: int = _KEYBOARD) -> None:
        """Put a gamepad axis at a value, -1 to 1 (triggers 0 to 1)."""
        rounded = round(max(-1.0, min(1.0, value)) * AXIS_STEPS) / AXIS_STEPS
        if self._axes.get((device, axis), 0.0) != rounded:
            self._axes[device, axis] = rounded
            self._moved = True

    def release_all(self) -> None:
        """Let everything go: what is held while another window has the keyboard would stay held for ever."""
        self._switched = self._switched or bool(self._held)
        self._moved = self._moved or any(self._axes.values())
        self._held.clear()
        self._axes.clear()
        self._mouse = [0.0, 0.0]

    def snapshot(self) -> Controls:
        """Return what is held and what happened since the last snapshot, and begin the next one."""
        axes: dict[str, float] = {}
        for (_, name), value in self._axes.items():
            if value and abs(value) > abs(axes.get(name, 0.0)):
                axes[name] = value
        controls = Controls(
            held=frozenset(name for _, name in self._held), pressed=frozenset(self._pressed),
            axes=MappingProxyType(axes), mouse_dx=self._mouse[0], mouse_dy=self._mouse[1], scroll=self._scroll,
        )  # fmt: skip
        self._pressed.clear()
        self._mouse, self._scroll = [0.0, 0.0], 0.0
        self._switched = self._moved = False
        return controls

    def close(self) -> None:
        """Give the gamepads back."""
        for pad in self._pads.values():
            pad.quit()
        self._pads.clear()
        controller.quit()

    def _button(self, device: int, name: str, down: bool) -> str:
        if not name:
            return ""
        if name in self.window_keys:
            return name if down else ""
        if down:
            self.press(name, device=device)
        else:
            self.release(name, device=device)
        return ""

    def _plug(self, device_index: int) -> None:
        pad = controller.Controller(device_index)
        self._pads[pad.as_joystick().get_instance_id()] = pad

    def _unplug(self, instance_id: int) -> None:
        pad = self._pads.pop(instance_id, None)
        if pad is not None:
            pad.quit()
        for name in [name for device, name in self._held if device == instance_id]:
            self.release(name, device=instance_id)
        for axis in [axis for device, axis in self._axes if device == instance_id]:
            self.tilt(axis, 0.0, device=instance_id)
