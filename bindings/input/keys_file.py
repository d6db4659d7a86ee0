"""The keys file: a person's own keys for a world's actions, as TOML. Reads and checks; knows no world.

mouse_scale = 1.5                       # optional, for every world

[doom-center]                           # the world's name, as `inhabit worlds` shows it
TURN_LEFT = ["KeyJ", "PadDpadLeft", "-PadLX", "mouse -x"]
ATTACK = ["KeyF", "Mouse0"]

[isle]
MOVE_X = { keys = ["KeyL"], keys_back = ["KeyJ"], pad = ["+PadLX"] }
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from inhabit.bridge.controls import BUTTONS, PAD_AXES
from inhabit.bridge.errors import InhabitError

MOUSE_WAYS = ("+x", "-x", "+y", "-y")
SIGNED_AXES = tuple(sign + axis for axis in PAD_AXES for sign in "+-")
KNOWN = (*sorted(BUTTONS), *SIGNED_AXES, *(f"mouse {way}" for way in MOUSE_WAYS))
FIELDS = ("keys", "keys_back", "pad", "mouse")
LARGEST_MOUSE_SCALE = 100.0
RESERVED = "Escape"
"""The one key that no world can have: it always leads out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What one action is to be driven by; the fields are those of ActionSource."""

    keys: tuple[str, ...] = ()
    keys_back: tuple[str, ...] = ()
    pad: tuple[str, ...] = ()
    mouse: str = ""

    listed: bool = False
    """It was written as a plain list, which has no way to push an axis back."""

    def names(self) -> Iterator[str]:
        """Everything that it takes for itself; a mouse direction as "mouse +x"."""
        yield from (*self.keys, *self.keys_back, *self.pad)
        if self.mouse:
            yield f"mouse {self.mouse}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """A keys file that was read. Without arguments: everything as the worlds have it."""

    path: str = ""
    """Where it was read from, for messages."""

    mouse_scale: float = 1.0
    """How much faster than usual the mouse steers."""

    worlds: Mapping[str, Mapping[str, Entry]] = field(default_factory=lambda: MappingProxyType({}))
    """World name to action name to what drives it."""

    def unheard(self, name: str, *, others: Iterable[str] = (), named: bool = True) -> str:
        """What is wrong when nothing in the file is for the world of that name; "" when nothing is.

        Args:
            others: names of other worlds, whose tables are no misspellings of this one.
            named: the file was meant for this world; else it may well be for others only.
        """
        if name in self.worlds or not self.worlds:
            return ""
        near = difflib.get_close_matches(name, [said for said in self.worlds if said not in others], n=1)
        if near:
            return f"Expected [{name}] for this world's keys, got [{near[0]}] - at {self.path}"
        if not named or self.mouse_scale != 1.0:
            return ""
        got = ", ".join(f"[{said}]" for said in self.worlds)
        return f"Expected a table [{name}] with this world's keys, got only {got} - at {self.path}"


def default_keys_path() -> Path:
    """Where a person's own keys file lies: `inhabit/keys.toml` in the folder for settings."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.environ.get("APPDATA") or str(Path.home() / ".config")
    return Path(folder) / "inhabit" / "keys.toml"


def load_keys(path: Path | None = None) -> Keys:
    """Read a keys file.

    Args:
        path: None reads the default one where there is one.

    Raises:
        InhabitError: it cannot be read, is no TOML, or has an unknown name or one that is used twice.
    """
    wanted = path or default_keys_path()
    if path is None and not wanted.is_file():
        return Keys()
    try:
        said = tomllib.loads(wanted.read_text(encoding="utf-8"))
    except OSError as error:
        raise InhabitError(f"Cannot read the keys file {wanted}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InhabitError(f"Expected TOML, got something else: {error} - at {wanted}") from error
    scale = _mouse_scale(said.pop("mouse_scale", 1.0), str(wanted))
    return Keys(path=str(wanted), mouse_scale=scale, worlds={name: _world(name, said[name], wanted) for name in said})


def explain(name: object) -> str:
    """Quote a name that is not known, with the nearest that is."""
    if not isinstance(name, str):
        return repr(name)
    folded = {known.lower(): known for known in KNOWN}
    near = difflib.get_close_matches(name.lower(), folded, n=1)
    return f"{name!r} (did you mean {folded[near[0]]!r}?)" if near else repr(name)


def _mouse_scale(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LARGEST_MOUSE_SCALE:
        raise InhabitError(
            f"Expected mouse_scale to be a number above 0, at most {LARGEST_MOUSE_SCALE:g}, got {value!r} - at {where}"
        )
    return float(value)


def _world(name: str, table: Any, path: Path) -> Mapping[str, Entry]:
    where = f"{path} [{name}]"
    if not isinstance(table, dict):
        raise InhabitError(
            f"Expected mouse_scale or a table for each world, such as [doom-center], got {name} = {table!r} - at {path}"
        )
    entries = {action: _entry(action, value, f"{where} {action}") for action, value in table.items()}
    owners: dict[str, str] = {}
    for action, entry in entries.items():
        for part in entry.names():
            if part in owners:
                twice = f"both {owners[part]} and {action}" if owners[part] != action else f"{action} twice"
                raise InhabitError(f"Expected one action for {part}, got {twice}: leave one out - at {where}")
            owners[part] = action
    return MappingProxyType(entries)


def _entry(action: str, value: Any, where: str) -> Entry:
    if isinstance(value, list):
        return _from_list(value, where)
    if not isinstance(value, dict):
        raise InhabitError(
            f'Expected a list such as ["KeyJ", "PadA"] or a table with {", ".join(FIELDS)}, got {value!r} - at {where}'
        )
    for name in value:
        if name not in FIELDS:
            raise InhabitError(f"Expected one of {', '.join(FIELDS)}, got {name!r} - at {where}")
    mouse = value.get("mouse", "")
    if mouse not in ("", *MOUSE_WAYS):
        raise InhabitError(f'Expected mouse to be "" or one of {", ".join(MOUSE_WAYS)}, got {mouse!r} - at {where}')
    return Entry(
        keys=_names(value.get("keys", []), "a key or button", BUTTONS, f"{where} keys"),
        keys_back=_names(value.get("keys_back", []), "a key or button", BUTTONS, f"{where} keys_back"),
        pad=_names(value.get("pad", []), "a signed axis such as '-PadLX'", SIGNED_AXES, f"{where} pad"),
        mouse=mouse,
    )


def _from_list(names: list[Any], where: str) -> Entry:
    """Sort a plain list by what its names are."""
    _names(names, "a key, a button, a signed axis or a mouse direction", KNOWN, where)
    mouse = [name.removeprefix("mouse ") for name in names if name.startswith("mouse ")]
    if len(mouse) > 1:
        raise InhabitError(f"Expected one mouse direction for an action, got {len(mouse)} - at {where}")
    return Entry(
        keys=tuple(name for name in names if name in BUTTONS), pad=tuple(name for name in names if name in SIGNED_AXES),
        mouse=mouse[0] if mouse else "", listed=True,
    )  # fmt: skip


def _names(names: Any, what: str, known: Any, where: str) -> tuple[str, ...]:
    if not isinstance(names, list):
        raise InhabitError(f"Expected a list, got {names!r} - at {where}")
    for name in names:
        if name not in known:
            raise InhabitError(f"Expected {what}, got {explain(name)} - at {where}")
        if name == RESERVED:
            raise InhabitError(f"Expected another key than {RESERVED}, which always leaves the window - at {where}")
    return tuple(names)
