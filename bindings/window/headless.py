"""A headless run: the window's own loop on SDL's dummy display, played by a script, into a clip and a contact sheet."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import pygame

from inhabit.bindings.window.loop import PlayLoop
from inhabit.bindings.window.pane import Pane
from inhabit.bindings.window.script import Script
from inhabit.bindings.window.sheet import ContactSheet
from inhabit.bridge.errors import InhabitError, WorldError
from inhabit.bridge.frames import Frame
from inhabit.bridge.report import make_room

SLOWEST = 10.0
"""Give up when a second of the world takes longer than this, s."""

PATIENCE_S = 60.0
"""... after this while, s."""

PRESS = 0.5
"""Part of an analog action's range that counts as pressed on the contact sheet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadlessOptions:
    """What to record, and who plays."""

    seconds: float = 20.0
    """Length of the clip, s of the world's own time."""

    out: Path = Path("clip.mp4")
    """The clip; the contact sheet goes beside it, as a PNG of the same name."""

    script: str = "auto"
    """Who plays: one of script.SCRIPTS."""

    seed: int = 0
    """The same seed presses the same keys at the same frames."""


def use_dummy_display() -> None:
    """Let SDL draw into memory and play to nobody, in real time. Call it before a window is opened."""
    os.environ["SDL_VIDEODRIVER"] = os.environ["SDL_AUDIODRIVER"] = "dummy"


def record(loop: PlayLoop, options: HeadlessOptions, progress: Callable[[float], None]) -> Path:
    """Run a loop until its clip is long enough, then close it.

    Args:
        progress: called with the clip's length so far, s of the world's time.

    Returns the contact sheet's path. Raises WorldError when the world fails, or is too slow by far.
    """
    sheet = ContactSheet()
    try:
        _check_out(options.out)
        _await_worlds(loop)
        info = loop.panes[0].info
        assert info is not None
        script = Script(options.script, info.actions, options.seed)
        loop.record(options.out)
        wishes = cycle(info.prompts or ("",))

        def play(frame: Frame) -> None:
            if script.drive(loop.devices, frame.epoch, frame.index) and info.prompts:
                loop.say(next(wishes))

        loop.watchers.append(lambda picture, frame: play(frame))
        loop.watchers.append(lambda picture, frame: _collect(sheet, loop, picture))
        _play(loop, options.seconds, progress)
    finally:
        loop.close()
    path = options.out.with_suffix(".png")
    sheet.save(path)
    return path


def _check_out(path: Path) -> None:
    """The sheet takes the clip's name with another ending."""
    if path.suffix.lower() != ".mp4":
        raise InhabitError(f"Expected a clip's file to end in .mp4, got {path}")
    make_room(path)


def _await_worlds(loop: PlayLoop) -> None:
    while not loop.done and (loop.returning or any(p.frame is None or p.state != "running" for p in loop.panes)):
        loop.turn()
        _check(loop)
    if loop.done:
        raise InhabitError("The recording was stopped before every world was there")


def _play(loop: PlayLoop, seconds: float, progress: Callable[[float], None]) -> None:
    pane, clip = loop.panes[0], loop.clip
    assert clip is not None
    while clip.seconds < seconds and not loop.done:
        loop.turn()
        _check(loop)
        if loop.clip is None:
            raise InhabitError(loop.face.toast)
        progress(clip.seconds)
        played_s = (pane.last_ns - pane.first_ns) / 1e9
        if played_s > PATIENCE_S + SLOWEST * seconds:
            raise WorldError(
                f"Expected {pane.connection.name} to run at {clip.rate_hz:g} frames a second, got {pane.mean_fps:.2f}: "
                f"too slow to record here, {clip.path} holds the first {clip.seconds:.1f} s"
            )


def _check(loop: PlayLoop) -> None:
    for pane in loop.panes:
        if pane.hopeless:
            raise WorldError(f"{pane.connection.name} could not go on: {pane.connection.reason or pane.state}")


def _collect(sheet: ContactSheet, loop: PlayLoop, picture: pygame.Surface) -> None:
    assert loop.clip is not None
    sheet.add(picture, loop.clip.seconds - 1 / loop.clip.rate_hz, pressed_actions(loop.panes[0]))


def pressed_actions(pane: Pane) -> str:
    """Name the actions that the newest frame of a pane shows."""
    if pane.info is None:
        return ""
    values = pane.info.actions.action(pane.log.shown)
    return " ".join(name for name, value in zip(pane.info.actions.names, values, strict=True) if abs(value) >= PRESS)
