"""The tables name what Controls names, and nothing else."""

import pygame
import pytest

from inhabit.bindings.input import tables
from inhabit.bridge import controls

PYGAME_KEYS = {
    "Enter": "RETURN", "Minus": "MINUS", "Equal": "EQUALS", "BracketLeft": "LEFTBRACKET", "Quote": "APOSTROPHE",
    "Backquote": "GRAVE", "CapsLock": "CAPSLOCK", "NumpadEnter": "KP_ENTER", "NumpadDecimal": "KP_PERIOD",
    "Numpad0": "KP0", "Numpad9": "KP9", "ControlLeft": "LCTRL", "AltRight": "RALT", "MetaRight": "RGUI",
    "ArrowUp": "UP", "PageDown": "PAGEDOWN", "Digit0": "0", "Digit1": "1", "F12": "F12", "KeyZ": "Z", "Slash": "SLASH",
}  # fmt: skip


def test_every_name_of_controls_is_on_a_device():
    assert set(tables.KEYBOARD_HID.values()) == set(controls.KEYS)
    assert set(tables.MOUSE_SDL.values()) == set(controls.MOUSE_BUTTONS)
    assert set(tables.PAD_BUTTONS_SDL.values()) == set(controls.PAD_BUTTONS)
    assert set(tables.PAD_AXES_SDL.values()) == set(controls.PAD_AXES)


@pytest.mark.parametrize(("code", "name"), PYGAME_KEYS.items())
def test_keys_are_where_sdl_says(code, name):
    assert tables.KEYBOARD_HID[getattr(pygame, f"KSCAN_{name}")] == code


def test_openxr_actions_become_names_of_controls():
    for action in tables.XR_ACTIONS:
        for name in action.controls:
            assert name in controls.BUTTONS or (name[0] in "+-" and name[1:] in controls.PAD_AXES)
        assert len(action.controls) == {"stick": 2, "pose": 0, "haptic": 0}.get(action.kind, 1)


def test_a_thumbstick_that_goes_up_is_negative():
    stick = next(action for action in tables.XR_ACTIONS if action.name == "left_stick")
    assert stick.controls == ("+PadLX", "-PadLY")


def test_no_profile_has_one_path_twice():
    pairs = [pair for action in tables.XR_ACTIONS for pair in action.bindings]
    assert len(set(pairs)) == len(pairs)
    assert {profile for profile, _ in pairs} == set(tables.XR_PROFILES)
