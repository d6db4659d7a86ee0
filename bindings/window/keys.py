"""The window's own keys, and how a key is called when people read it. No pygame here.

Function keys always belong to the window; a letter or digit does only where the world leaves it free: play comes first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from inhabit.bridge.world import WorldInfo


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that the window itself does."""

    name: str
    """What the loop calls it."""

    keys: tuple[str, ...]
    """Names that ask for it, by W3C code; those that the world uses for play are left out while it runs."""

    text: str
    """What the help says it does; "" puts its keys beside those of the command before it."""


COMMANDS = (
    Command("statistics", ("F1",), "Show or hide the statistics"),
    Command("help", ("F2", "KeyH", "PadBack"), "Show or hide this help"),
    Command("steps", ("F3",), "Sampling steps: fewer is faster, more is truer"),
    Command("steps 1", ("Digit1",), ""),
    Command("steps 2", ("Digit2",), ""),
    Command("steps 4", ("Digit4",), ""),
    Command("mouse", ("F4", "KeyM"), "Let the mouse steer, or free it"),
    Command("reset", ("F5",), "Begin again, or reconnect to a lost world"),
    Command("pause", ("F6", "KeyP", "PadStart"), "Pause or go on"),
    Command("keep", ("Insert",), "Keep this moment in a file"),
    Command("back", ("Home",), "Go back to the moment that was kept"),
    Command("settle", ("End",), "Let the picture settle, when a dream has gone soft"),
    Command("next world", ("PageDown",), "The next world that is here, or the one before"),
    Command("previous world", ("PageUp",), ""),
    Command("quieter", ("F7", "Minus"), "Quieter, down to silence"),
    Command("louder", ("F8", "Equal"), "Louder"),
    Command("prompt", ("F10", "KeyT"), "Say what the world shall be"),
    *(
        Command(f"prompt {number}", (f"Digit{number}",), "" if number > 1 else "Say one of the world's own prompts")
        for number in range(1, 10)
    ),
    Command("record", ("F9",), "Record a clip (mp4), or stop"),
    Command("fullscreen", ("F11",), "Full screen, or back"),
    Command("screenshot", ("F12",), "Save a picture (png)"),
    Command("escape", ("Escape",), "Free the mouse, close this help, leave"),
)

_LABELS = {
    "Escape": "Esc", "ArrowLeft": "Left", "ArrowRight": "Right", "ArrowUp": "Up", "ArrowDown": "Down",
    "ShiftLeft": "Left Shift", "ShiftRight": "Right Shift", "ControlLeft": "Left Ctrl", "ControlRight": "Right Ctrl",
    "AltLeft": "Left Alt", "AltRight": "Right Alt", "PageUp": "Page Up", "PageDown": "Page Down",
    "Minus": "-", "Equal": "=", "BracketLeft": "[", "BracketRight": "]", "Backslash": "\\", "Semicolon": ";",
    "Quote": "'", "Backquote": "`", "Comma": ",", "Period": ".", "Slash": "/",
    "Mouse0": "Left click", "Mouse1": "Middle click", "Mouse2": "Right click", "Mouse3": "Mouse 4", "Mouse4": "Mouse 5",
    "PadL3": "Press left stick", "PadR3": "Press right stick",
    "PadDpadUp": "D-pad up", "PadDpadDown": "D-pad down", "PadDpadLeft": "D-pad left", "PadDpadRight": "D-pad right",
}  # fmt: skip
_AXES = {
    "-PadLX": "Left stick left", "+PadLX": "Left stick right", "-PadLY": "Left stick up", "+PadLY": "Left stick down",
    "-PadRX": "Right stick left", "+PadRX": "Right stick right",
    "-PadRY": "Right stick up", "+PadRY": "Right stick down", "+PadLT": "Pad LT", "+PadRT": "Pad RT",
}  # fmt: skip
_MOUSE = {"-x": "Mouse left", "+x": "Mouse right", "-y": "Mouse up", "+y": "Mouse down"}


def window_keys(info: WorldInfo | None, worlds: int = 1) -> dict[str, str]:
    """Map each key that the window owns to its command's name.

    Args:
        info: what the world is; the keys of its actions are left to it, except Escape, the way out. Commands that it
            has no use for own no key.
        worlds: how many the window can turn to.
    """
    taken = set() if info is None else {name for s in info.actions.sources for name in (*s.keys, *s.keys_back)}
    taken.discard("Escape")
    offered = [command for command in COMMANDS if _applies(command, info, worlds)]
    return {key: command.name for command in offered for key in command.keys if key not in taken}


def _applies(command: Command, info: WorldInfo | None, worlds: int) -> bool:
    kind, _, number = command.name.partition(" ")
    steps, prompts = (info.steps, info.prompts) if info else ((), ())
    match kind:
        case "steps" if number:
            return int(number) in steps and not prompts  # digits say the world's own prompts where it has some
        case "steps":
            return len(steps) > 1
        case "prompt":
            return int(number or 1) <= len(prompts)
        case "quieter" | "louder":
            return info is not None and info.sound_rate_hz > 0
        case "settle":
            return len(steps) > 1  # dreams have steps, and only they go soft
        case "next" | "previous":
            return worlds > 1
        case "mouse":
            return info is None or any(source.mouse for source in info.actions.sources)
    return True


def keys_for(command: str, owned: dict[str, str]) -> tuple[str, ...]:
    """Names of the keys that ask for a command now, the surest first."""
    return tuple(key for key, name in owned.items() if name == command)


def label(name: str) -> str:
    """What people call a key, a button, a signed axis ("-PadLX") or a mouse direction ("+x")."""
    for names in (_LABELS, _AXES, _MOUSE):
        if name in names:
            return names[name]
    if name.startswith("Numpad"):
        return f"Keypad {label(name.removeprefix('Numpad')) if name[6:].isalpha() else name[6:]}"
    if name.startswith("Pad"):
        return f"Pad {name.removeprefix('Pad')}"
    return re.sub(r"^(Key|Digit)(?=.)", "", name)


def action_title(name: str) -> str:
    """A world's own name for an action, as people read it: "TURN_LEFT" becomes "Turn left"."""
    return name.replace("_", " ").strip().capitalize() or name
