"""Controls: one device-neutral snapshot of what a person does, and the map from it to a world's actions.

Names are public standards, never indices of a device:
  keyboard   W3C KeyboardEvent.code            "KeyW", "ArrowLeft", "Space", "ControlLeft"
  mouse      W3C MouseEvent.button             "Mouse0" (left), "Mouse1" (middle), "Mouse2" (right)
  gamepad    W3C standard gamepad, by name     "PadA", "PadDpadLeft"; sticks and triggers are axes "PadLX" ... "PadRT"
Axes point right and down when positive, as on the W3C standard gamepad; triggers rest at 0 and end at 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Literal

import msgspec
import numpy as np

PAD_BUTTONS = (
    "PadA", "PadB", "PadX", "PadY", "PadLB", "PadRB", "PadBack", "PadStart", "PadL3", "PadR3",
    "PadDpadUp", "PadDpadDown", "PadDpadLeft", "PadDpadRight", "PadGuide",
)  # fmt: skip
PAD_AXES = ("PadLX", "PadLY", "PadRX", "PadRY", "PadLT", "PadRT")
MOUSE_BUTTONS = ("Mouse0", "Mouse1", "Mouse2", "Mouse3", "Mouse4")
KEYS = (
    *(f"Key{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    *(f"Digit{digit}" for digit in range(10)),
    *(f"F{number}" for number in range(1, 13)),
    *(f"Numpad{digit}" for digit in range(10)),
    "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Space", "Enter", "Escape", "Tab", "Backspace", "Delete",
    "Insert", "Home", "End", "PageUp", "PageDown", "ShiftLeft", "ShiftRight", "ControlLeft", "ControlRight",
    "AltLeft", "AltRight", "MetaLeft", "MetaRight", "CapsLock", "Minus", "Equal", "BracketLeft", "BracketRight",
    "Backslash", "Semicolon", "Quote", "Backquote", "Comma", "Period", "Slash", "NumpadAdd", "NumpadSubtract",
    "NumpadMultiply", "NumpadDivide", "NumpadDecimal", "NumpadEnter",
)  # fmt: skip
BUTTONS = frozenset((*KEYS, *MOUSE_BUTTONS, *PAD_BUTTONS))

STICK_DEADZONE = 0.25
"""How far a stick must leave its rest before it counts, 0 to 1."""

STICK_PRESS = 0.5
"""How far an axis must go before it presses an on-off action, 0 to 1."""

MOUSE_PRESS_PX = 3.0
"""Mouse travel within one world frame that presses an on-off action, pixels."""

MOUSE_FULL_PX = 40.0
"""Mouse travel within one world frame that is a full deflection of an analog action, pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Controls:
    """What every device said since the last snapshot."""

    held: frozenset[str] = frozenset()
    """Names of the keys and buttons that are down now."""

    pressed: frozenset[str] = frozenset()
    """Names that went down since the last snapshot, even if they are up again: no tap is lost."""

    axes: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Axis name to value, -1 to 1 (triggers 0 to 1)."""

    mouse_dx: float = 0.0
    """Mouse travel to the right since the last snapshot, pixels."""

    mouse_dy: float = 0.0
    """Mouse travel downwards since the last snapshot, pixels."""

    scroll: float = 0.0
    """Wheel travel since the last snapshot, notches, away from the user is positive."""

    action: tuple[float, ...] | None = None
    """A world action given directly (agents do this); when present, the devices above are ignored."""


IDLE = Controls()
"""Nobody touches anything."""


class ActionSource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One component of a world's action and the controls that drive it."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    """The world's own name for it, such as "TURN_LEFT"."""

    kind: Literal["button", "axis"] = "button"
    """"button" gives 0 or 1, "axis" gives -1 to 1."""

    keys: tuple[str, ...] = ()
    """Names that press it (for an axis: that push it to +1)."""

    keys_back: tuple[str, ...] = ()
    """Names that push an axis to -1."""

    pad: tuple[str, ...] = ()
    """Signed gamepad axes, such as "-PadLX"."""

    mouse: Literal["", "+x", "-x", "+y", "-y"] = ""
    """The mouse direction that drives it."""


class ActionMap(msgspec.Struct, frozen=True, kw_only=True):
    """How a world's action vector is made from Controls. It travels in world.json and in the WELCOME message."""

    sources: tuple[ActionSource, ...]

    @property
    def size(self) -> int:
        """The length of an action vector."""
        return len(self.sources)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(source.name for source in self.sources)

    def check(self, where: str) -> None:
        """Raise ValueError if a name is not a standard one. `where` is the file or message it came from."""
        for source in self.sources:
            for name in (*source.keys, *source.keys_back):
                if name not in BUTTONS:
                    raise ValueError(
                        f"Expected a W3C key code, Mouse0-4 or a Pad button, got {name!r} "
                        f"for action {source.name!r} - at {where}"
                    )
            for axis in source.pad:
                if axis[:1] not in "+-" or axis[1:] not in PAD_AXES:
                    raise ValueError(
                        f"Expected a signed axis such as '-PadLX', got {axis!r} for action {source.name!r} - at {where}"
                    )

    def action(self, controls: Controls) -> np.ndarray:
        """Turn controls into this world's action. Shape (size,), float32: buttons 0 or 1, axes -1 to 1.

        Raises ValueError if `controls.action` has another length than the map.
        """
        if controls.action is not None:
            if len(controls.action) != self.size:
                raise ValueError(
                    f"Expected an action of {self.size} numbers ({', '.join(self.names)}), got {len(controls.action)}"
                )
            return np.asarray(controls.action, np.float32)
        return np.array([_drive(source, controls) for source in self.sources], np.float32)


def _drive(source: ActionSource, controls: Controls) -> float:
    down = controls.held | controls.pressed
    analog = sum(_axis(controls, axis) for axis in source.pad)
    travel = _mouse_travel_px(source, controls)
    if source.kind == "button":
        return float(any(key in down for key in source.keys) or analog >= STICK_PRESS or travel >= MOUSE_PRESS_PX)
    push = any(key in down for key in source.keys) - any(key in down for key in source.keys_back)
    return float(np.clip(push + analog + travel / MOUSE_FULL_PX, -1.0, 1.0))


def _axis(controls: Controls, signed: str) -> float:
    value = controls.axes.get(signed[1:], 0.0)
    if abs(value) < STICK_DEADZONE:
        return 0.0
    return value if signed[0] == "+" else -value


def _mouse_travel_px(source: ActionSource, controls: Controls) -> float:
    if not source.mouse:
        return 0.0
    travel = controls.mouse_dx if source.mouse[1] == "x" else controls.mouse_dy
    return travel if source.mouse[0] == "+" else -travel
