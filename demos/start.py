"""What demos begin with: say what is missing before anything is started, and one line for what goes wrong later."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.report import make_room
from inhabit.worldmodel.catalog import check_spec


def run(main: Callable[[Any], None], options: type, description: str | None) -> None:
    """Read the arguments and run a demo. Exit code 2 and one line for anything the user can mend."""
    try:
        main(tyro.cli(options, description=description))
    except InhabitError as error:
        print(f"inhabit: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def ready(world: str, out: Path | None, *endings: str, window: bool = True) -> None:
    """Check that there is such a world, and somewhere to show it; then say that it is being loaded.

    Args:
        out: the file that a headless run writes, with one of the `endings`; None for a run that is looked at.
        window: a run that is looked at opens a window.
    """
    if world:
        check_spec(world)
    if out is not None:
        if out.suffix.lower() not in endings:
            raise InhabitError(f"Expected --out to end in {' or '.join(endings)}, got {out}")
        make_room(out)
    elif window:
        _check_display()
    if world:
        print(f"loading {world} ...", file=sys.stderr, flush=True)


def _check_display() -> None:
    from inhabit.bindings.window import has_display

    if not has_display():
        raise InhabitError(
            "Expected a display for the window, got none (neither DISPLAY nor WAYLAND_DISPLAY is set) - "
            "`--headless --out FILE` writes what is seen, `xvfb-run` makes a display"
        )
