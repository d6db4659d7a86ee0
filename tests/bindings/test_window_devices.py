"""Devices -> Controls, with SDL's own events and SDL's own virtual gamepad."""

import ctypes
import re
import time
from pathlib import Path

import pygame
import pytest

from inhabit.bindings.window import devices as devices_module
from inhabit.bindings.window.devices import MOUSE, PAD_AXES, PAD_BUTTONS, SCANCODES, Devices
from inhabit.bridge import controls


@pytest.fixture
def display(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS", "1")
    pygame.display.init()
    pygame.display.set_mode((64, 64))
    yield
    pygame.display.quit()


@pytest.fixture
def devices(display):
    devices = Devices()
    pygame.event.clear()
    yield devices
    devices.close()


def key(down: bool, scancode: int):
    return pygame.event.Event(pygame.KEYDOWN if down else pygame.KEYUP, scancode=scancode, key=0, mod=0)


def pump(devices):
    for event in pygame.event.get():
        devices.handle(event)


def test_every_name_has_a_device_and_every_device_a_name():
    assert set(SCANCODES.values()) == set(controls.KEYS)
    assert len(SCANCODES) == len(controls.KEYS)
    assert set(MOUSE.values()) == set(controls.MOUSE_BUTTONS)
    assert set(PAD_BUTTONS.values()) == set(controls.PAD_BUTTONS)
    assert set(PAD_AXES.values()) == set(controls.PAD_AXES)


def test_scancodes_are_usb_usages_so_they_name_places_not_letters():
    assert (SCANCODES[26], SCANCODES[4], SCANCODES[79]) == ("KeyW", "KeyA", "ArrowRight")


def test_a_key_is_held_until_it_goes_up_and_pressed_once(devices):
    devices.handle(key(True, pygame.KSCAN_W))
    first, second = devices.snapshot(), devices.snapshot()
    assert (first.held, first.pressed) == ({"KeyW"}, {"KeyW"})
    assert (second.held, second.pressed) == ({"KeyW"}, frozenset())
    devices.handle(key(False, pygame.KSCAN_W))
    assert devices.snapshot().held == frozenset()


def test_a_tap_between_two_snapshots_is_not_lost(devices):
    devices.handle(key(True, pygame.KSCAN_SPACE))
    devices.handle(key(False, pygame.KSCAN_SPACE))
    tapped = devices.snapshot()
    assert (tapped.held, tapped.pressed) == (frozenset(), {"Space"})


def test_the_windows_own_keys_are_returned_and_not_played(devices):
    devices.window_keys = frozenset({"F1"})
    assert devices.handle(key(True, pygame.KSCAN_F1)) == "F1"
    assert devices.handle(key(False, pygame.KSCAN_F1)) == ""
    assert not devices.switched
    assert devices.snapshot().held == frozenset()


def test_focus_loss_releases_everything(devices):
    devices.handle(key(True, pygame.KSCAN_A))
    devices.handle(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=(0, 0)))
    devices.tilt("PadLX", 1.0)
    devices.snapshot()
    devices.handle(pygame.event.Event(pygame.WINDOWFOCUSLOST))
    assert devices.switched
    released = devices.snapshot()
    assert (released.held, dict(released.axes)) == (frozenset(), {})


def test_mouse_motion_counts_only_while_captured_and_is_summed(devices):
    motion = pygame.event.Event(pygame.MOUSEMOTION, rel=(3, -2), pos=(0, 0), buttons=(0, 0, 0))
    devices.handle(motion)
    assert not devices.moved
    devices.captured = True
    devices.handle(motion)
    devices.handle(motion)
    seen = devices.snapshot()
    assert (seen.mouse_dx, seen.mouse_dy) == (6.0, -4.0)
    assert devices.snapshot().mouse_dx == 0.0


def test_wheel_and_old_wheel_buttons_count_once(devices):
    devices.handle(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=4, pos=(0, 0)))
    devices.handle(pygame.event.Event(pygame.MOUSEWHEEL, x=0, y=1, precise_x=0.0, precise_y=1.0))
    seen = devices.snapshot()
    assert (seen.scroll, seen.held) == (1.0, frozenset())


def test_a_name_that_is_no_key_is_refused(devices):
    with pytest.raises(ValueError, match="got 'W'"):
        devices.press("W")


class JoystickDescription(ctypes.Structure):
    """SDL_VirtualJoystickDesc of SDL 2."""

    _fields_ = (
        ("version", ctypes.c_uint16), ("type", ctypes.c_uint16), ("axes", ctypes.c_uint16),
        ("buttons", ctypes.c_uint16), ("hats", ctypes.c_uint16), ("vendor", ctypes.c_uint16),
        ("product", ctypes.c_uint16), ("padding", ctypes.c_uint16),
        ("button_mask", ctypes.c_uint32), ("axis_mask", ctypes.c_uint32), ("name", ctypes.c_char_p),
        ("userdata", ctypes.c_void_p),
        ("callbacks", ctypes.c_void_p * 6),
    )  # fmt: skip


class VirtualPad:
    """A gamepad that SDL itself simulates: what reaches pygame is what a real one would send."""

    def __init__(self, sdl: ctypes.CDLL):
        self.sdl = sdl
        sdl.SDL_JoystickOpen.restype = ctypes.c_void_p
        sdl.SDL_JoystickSetVirtualAxis.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int16)
        sdl.SDL_JoystickSetVirtualButton.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_uint8)
        self._description = JoystickDescription(
            version=1, type=1, axes=6, buttons=15, vendor=0x045E, product=0x028E, button_mask=0x7FFF, axis_mask=0x3F,
            name=b"Virtual pad",
        )  # fmt: skip
        self.index = sdl.SDL_JoystickAttachVirtualEx(ctypes.byref(self._description))
        assert self.index >= 0
        self._handle = sdl.SDL_JoystickOpen(self.index)

    def axis(self, number: int, value: int) -> None:
        self.sdl.SDL_JoystickSetVirtualAxis(self._handle, number, value)

    def button(self, number: int, down: bool) -> None:
        self.sdl.SDL_JoystickSetVirtualButton(self._handle, number, down)

    def unplug(self) -> None:
        self.sdl.SDL_JoystickDetachVirtual(self.index)


@pytest.fixture
def pad(devices):
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("needs /proc/self/maps to find SDL")
    libraries = sorted(set(re.findall(r"/\S*libSDL2-[\w.-]+", maps.read_text())))
    pad = VirtualPad(ctypes.CDLL(libraries[0]))
    pump(devices)
    yield pad
    pad.unplug()


def test_a_gamepad_can_be_plugged_in_while_playing(devices, pad):
    assert len(devices.pads) == 1


@pytest.mark.parametrize("number", sorted(PAD_BUTTONS))
def test_each_pad_button_presses_its_name(devices, pad, number):
    pad.button(number, True)
    pump(devices)
    assert devices.snapshot().held == {PAD_BUTTONS[number]}
    pad.button(number, False)
    until = time.monotonic() + 2.0
    pump(devices)
    while PAD_BUTTONS[number] == "PadGuide" and not devices.switched and time.monotonic() < until:
        pump(devices)  # SDL stretches a short Guide press to a quarter of a second
    assert devices.snapshot().held == frozenset()


def test_sticks_point_right_and_down_and_triggers_rest_at_zero(devices, pad):
    for number, value in ((0, 32767), (1, -32768), (2, 16384), (3, -16384), (4, -32768), (5, 32767)):
        pad.axis(number, value)
    pump(devices)
    axes = devices.snapshot().axes
    assert axes["PadLX"] == 1.0
    assert axes["PadLY"] == -1.0
    assert axes["PadRX"] == pytest.approx(0.5, abs=0.01)
    assert axes["PadRY"] == pytest.approx(-0.5, abs=0.01)
    assert "PadLT" not in axes
    assert axes["PadRT"] == 1.0


def test_unplugging_lets_everything_of_that_pad_go(devices, pad):
    pad.button(0, True)
    pad.axis(0, 32767)
    pump(devices)
    devices.press("KeyW")
    assert devices.snapshot().held == {"PadA", "KeyW"}
    pad.unplug()
    pump(devices)
    left = devices.snapshot()
    assert (left.held, dict(left.axes)) == ({"KeyW"}, {})
    assert devices.pads == ()


def test_no_torch_near_the_window():
    folder = Path(devices_module.__file__).parent
    assert not [path for path in folder.glob("*.py") if re.search(r"^\s*(import|from) torch", path.read_text(), re.M)]
