"""The mapping tables: what each device calls its parts, and the name that stands for them in Controls.

Every binding reads these and has none of its own. Signs: Controls point right and down when positive, as the W3C
standard gamepad does; an OpenXR thumbstick points up when positive, which is why its row says "-PadLY".
Sources: USB HID Usage Tables 1.5, page 0x07; W3C UI Events KeyboardEvent code values; W3C Gamepad, section 11 (standard
gamepad); SDL_gamecontroller.h; OpenXR 1.1, section 6.4 (interaction profile paths).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

KEYBOARD_HID = MappingProxyType(
    {
        **{4 + place: f"Key{letter}" for place, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZ")},
        **{30 + place: f"Digit{digit}" for place, digit in enumerate("1234567890")},
        40: "Enter", 41: "Escape", 42: "Backspace", 43: "Tab", 44: "Space", 45: "Minus", 46: "Equal",
        47: "BracketLeft", 48: "BracketRight", 49: "Backslash", 51: "Semicolon", 52: "Quote", 53: "Backquote",
        54: "Comma", 55: "Period", 56: "Slash", 57: "CapsLock",
        **{58 + place: f"F{1 + place}" for place in range(12)},
        73: "Insert", 74: "Home", 75: "PageUp", 76: "Delete", 77: "End", 78: "PageDown",
        79: "ArrowRight", 80: "ArrowLeft", 81: "ArrowDown", 82: "ArrowUp",
        84: "NumpadDivide", 85: "NumpadMultiply", 86: "NumpadSubtract", 87: "NumpadAdd", 88: "NumpadEnter",
        **{89 + place: f"Numpad{digit}" for place, digit in enumerate("1234567890")},
        99: "NumpadDecimal",
        224: "ControlLeft", 225: "ShiftLeft", 226: "AltLeft", 227: "MetaLeft",
        228: "ControlRight", 229: "ShiftRight", 230: "AltRight", 231: "MetaRight",
    }
)  # fmt: skip
"""USB HID usage of the keyboard page (the same number as an SDL scancode) to W3C KeyboardEvent.code."""

MOUSE_SDL = MappingProxyType({1: "Mouse0", 2: "Mouse1", 3: "Mouse2", 6: "Mouse3", 7: "Mouse4"})
"""pygame's mouse button to W3C name; 4 and 5 are its old wheel events."""

PAD_BUTTONS_SDL = MappingProxyType(
    {
        "A": "PadA", "B": "PadB", "X": "PadX", "Y": "PadY", "LEFTSHOULDER": "PadLB", "RIGHTSHOULDER": "PadRB",
        "BACK": "PadBack", "START": "PadStart", "LEFTSTICK": "PadL3", "RIGHTSTICK": "PadR3", "GUIDE": "PadGuide",
        "DPAD_UP": "PadDpadUp", "DPAD_DOWN": "PadDpadDown", "DPAD_LEFT": "PadDpadLeft", "DPAD_RIGHT": "PadDpadRight",
    }
)  # fmt: skip
"""SDL_CONTROLLER_BUTTON_* to the W3C standard gamepad's button. By name: the two number them differently."""

PAD_AXES_SDL = MappingProxyType(
    {
        "LEFTX": "PadLX", "LEFTY": "PadLY", "RIGHTX": "PadRX", "RIGHTY": "PadRY",
        "TRIGGERLEFT": "PadLT", "TRIGGERRIGHT": "PadRT",
    }
)  # fmt: skip
"""SDL_CONTROLLER_AXIS_* to the W3C standard gamepad's axis."""

SIMPLE = "/interaction_profiles/khr/simple_controller"
TOUCH = "/interaction_profiles/oculus/touch_controller"
INDEX = "/interaction_profiles/valve/index_controller"
MOTION = "/interaction_profiles/microsoft/motion_controller"
XR_PROFILES = (SIMPLE, TOUCH, INDEX, MOTION)
LEFT, RIGHT = "/user/hand/left", "/user/hand/right"


@dataclass(frozen=True, slots=True)
class XrAction:
    """One OpenXR action, what it is in Controls, and where it sits on each controller that we suggest bindings for."""

    name: str
    """The action's name; lower case, as OpenXR asks for."""

    title: str
    """What a runtime's own settings show."""

    kind: Literal["boolean", "float", "stick", "pose", "haptic"]

    controls: tuple[str, ...] = ()
    """A button that it presses, or signed axes: one for a float, x and y for a stick."""

    bindings: tuple[tuple[str, str], ...] = ()
    """Interaction profile and input path, such as (TOUCH, "/user/hand/left/input/x/click")."""


def _hand(hand: str, **paths: str) -> tuple[tuple[str, str], ...]:
    profiles = {"simple": SIMPLE, "touch": TOUCH, "index": INDEX, "motion": MOTION}
    return tuple((profiles[profile], f"{hand}/{path}") for profile, path in paths.items())


def _everywhere(hand: str, path: str) -> tuple[tuple[str, str], ...]:
    return tuple((profile, f"{hand}/{path}") for profile in XR_PROFILES)


def _with_sticks(hand: str, path: str) -> tuple[tuple[str, str], ...]:
    return tuple((profile, f"{hand}/{path}") for profile in XR_PROFILES[1:])


XR_ACTIONS = (
    XrAction("left_stick", "Left stick", "stick", ("+PadLX", "-PadLY"), _with_sticks(LEFT, "input/thumbstick")),
    XrAction("right_stick", "Right stick", "stick", ("+PadRX", "-PadRY"), _with_sticks(RIGHT, "input/thumbstick")),
    XrAction("left_trigger", "Left trigger", "float", ("+PadLT",), _with_sticks(LEFT, "input/trigger/value")),
    XrAction("right_trigger", "Right trigger", "float", ("+PadRT",), _with_sticks(RIGHT, "input/trigger/value")),
    XrAction(
        "left_grip", "Left grip", "float", ("PadLB",),
        _hand(LEFT, touch="input/squeeze/value", index="input/squeeze/value", motion="input/squeeze/click"),
    ),
    XrAction(
        "right_grip", "Right grip", "float", ("PadRB",),
        _hand(RIGHT, touch="input/squeeze/value", index="input/squeeze/value", motion="input/squeeze/click"),
    ),
    XrAction(
        "lower_right", "Right hand, lower button", "boolean", ("PadA",),
        _hand(RIGHT, simple="input/select/click", touch="input/a/click", index="input/a/click",
              motion="input/trackpad/click"),
    ),
    XrAction(
        "upper_right", "Right hand, upper button", "boolean", ("PadB",),
        _hand(RIGHT, touch="input/b/click", index="input/b/click", motion="input/menu/click"),
    ),
    XrAction(
        "lower_left", "Left hand, lower button", "boolean", ("PadX",),
        _hand(LEFT, simple="input/select/click", touch="input/x/click", index="input/a/click",
              motion="input/trackpad/click"),
    ),
    XrAction(
        "upper_left", "Left hand, upper button", "boolean", ("PadY",),
        _hand(LEFT, touch="input/y/click", index="input/b/click"),
    ),
    XrAction("left_press", "Press the left stick", "boolean", ("PadL3",), _with_sticks(LEFT, "input/thumbstick/click")),
    XrAction(
        "right_press", "Press the right stick", "boolean", ("PadR3",), _with_sticks(RIGHT, "input/thumbstick/click")
    ),
    XrAction(
        "menu", "Menu", "boolean", ("PadStart",),
        _hand(LEFT, simple="input/menu/click", touch="input/menu/click", index="input/trackpad/force",
              motion="input/menu/click"),
    ),
    XrAction("left_hand", "Left hand", "pose", (), _everywhere(LEFT, "input/aim/pose")),
    XrAction("right_hand", "Right hand", "pose", (), _everywhere(RIGHT, "input/aim/pose")),
    XrAction("left_pulse", "Left vibration", "haptic", (), _everywhere(LEFT, "output/haptic")),
    XrAction("right_pulse", "Right vibration", "haptic", (), _everywhere(RIGHT, "output/haptic")),
)  # fmt: skip
"""Everything that a headset's controllers say. The head itself becomes mouse travel (`HeadLook`)."""
