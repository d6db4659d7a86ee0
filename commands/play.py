"""Inhabit a world in a window: start its sidecar, show what it dreams, send it what you press."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.fields import MAX_PICTURE_BYTES, MAX_STATE_BYTES
from inhabit.bridge.report import make_folder, make_room
from inhabit.worldmodel.catalog import (
    DEFAULT_PACK,
    check_spec,
    find_pack,
    is_real,
    read_header,
    shipped_packs,
    with_size,
    world_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from inhabit.bindings.input import Keys
    from inhabit.bindings.window import Connection, Pane, PlayLoop

FALLBACK = "toy"
NO_DISPLAY_S = 20.0
"""Length of the clip that is recorded where there is no display, s."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to play, and how."""

    world: Annotated[str, tyro.conf.Positional] = DEFAULT_PACK
    """A shipped pack, a pack's folder, "toy", "isle" (our simulator), or "doom:SCENARIO" (the real game). A pack's name
    may end in @WIDTHxHEIGHT."""

    real: str = ""
    """Play the real game instead, over the same wire, such as "doom:defend_the_center" or "isle"."""

    connect: str = ""
    """Join a sidecar that runs already, such as tcp://127.0.0.1:5555 (`inhabit serve` prints its endpoint)."""

    compare: str = ""
    """Show this world beside WORLD under the same inputs, such as "doom:defend_the_center" or "isle"."""

    image: Path | None = None
    """Begin in this picture (PNG, JPEG ...) instead of a recorded moment; it is scaled and cropped to the frame."""

    clip: Path | None = None
    """Begin where this clip ends (MP4, WebM ...)."""

    moment: Path | None = None
    """Go on from this moment, which the Insert key kept in a file; it fits the pack that it was kept in."""

    steps: int = 0
    """Sampling steps a frame to begin with (1 is fastest, 4 is truest); 0 leaves the pack's own choice."""

    scale: int = 0
    """Whole magnification of the picture; 0 takes the largest that leaves some desktop free."""

    statistics: bool = False
    """Begin with the statistics shown (F1); a headless clip then holds them too."""

    headless: bool = False
    """Open no window: play by script and record a clip. Also what happens where there is no display."""

    seconds: float = NO_DISPLAY_S
    """Length of the headless clip, s of the world's own time."""

    out: Path = Path("clip.mp4")
    """The headless clip; a contact sheet goes beside it as a PNG."""

    script: Literal["auto", "bursts", "hunt", "stroll", "idle"] = "auto"
    """Who plays a headless run: random bursts, a hunter that looks around and shoots, somebody who strolls and says the
    world's own prompts, nobody; auto picks what suits."""

    seed: int = 0
    """Seed of the script."""

    keys: Path | None = None
    """A TOML file with your own keys for a world's actions; without it inhabit/keys.toml in your settings folder."""

    report: Path | None = None
    """Write what was measured to this JSON file."""

    folder: Path = Path(".")
    """Where F9 and F12 save clips and pictures."""


def run(options: Options) -> None:
    """Play until the person leaves, or record until the clip is long enough."""
    _check(options)
    if not options.connect:
        options = _resolved(options)
        _check_for_packs(options)
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    from inhabit.bindings.input import load_keys
    from inhabit.bindings.window import PlayLoop, WindowOptions, use_dummy_display

    keys = load_keys(options.keys)
    channels = _channels(options, keys)
    _check_keys(options, keys)
    panes = channels[0]()
    headless = options.headless or not _has_display(options)
    if headless:
        make_room(options.out)
        use_dummy_display()
    window = WindowOptions(
        scale=options.scale, statistics=options.statistics, steps=options.steps, hint=not headless,
        folder=options.folder,
        moment=_file(options.moment, "a moment that Insert kept", MAX_STATE_BYTES) if options.moment else b"",
    )  # fmt: skip
    loop = PlayLoop(panes, window, channels=channels)
    if headless:
        _record(options, loop)
    else:
        loop.run()
    if options.report:
        _report(options.report, loop)


def _check(options: Options) -> None:
    """Say what does not go together before anything is started."""
    if options.connect and (options.real or options.compare):
        raise InhabitError("Expected --connect alone, got --real or --compare too: a running sidecar has one world")
    if options.real and options.compare:
        raise InhabitError("Expected --real or --compare, got both: --compare shows WORLD and the real game together")
    if options.image and options.clip:
        raise InhabitError("Expected --image or --clip to begin from, got both")
    if options.steps < 0:
        raise InhabitError(f"Expected --steps of 1, 2 or 4, or 0 for the pack's own choice, got {options.steps}")
    if options.seconds <= 0:
        raise InhabitError(f"Expected --seconds above 0, got {options.seconds:g}")
    if options.out.suffix.lower() != ".mp4":
        raise InhabitError(f"Expected --out to end in .mp4, got {options.out}")
    if not options.folder.is_dir():
        make_folder(options.folder)
    if options.report is not None:
        make_room(options.report)


def _resolved(options: Options) -> Options:
    """The same with worlds that are there. Raises InhabitError for one that is not."""
    if options.real:
        return replace(options, real=_known(options.real))
    return replace(options, world=_known(options.world), compare=_known(options.compare) if options.compare else "")


def _names(options: Options) -> list[str]:
    """The worlds that are asked for, of those that are started here."""
    return [options.real or options.world, *([options.compare] if options.compare else [])]


def _check_for_packs(options: Options) -> None:
    """Refuse what only a pack can do to a world that is none."""
    names = _names(options)
    packs = {name: find_pack(with_size(name)[0]) for name in names if name != FALLBACK and not is_real(name)}
    begin = next((name for name in ("image", "clip", "moment") if getattr(options, name)), "")
    if begin and names[0] not in packs:
        first = "a toy" if names[0] == FALLBACK else "the game itself"
        raise InhabitError(f"Expected a pack for --{begin}, such as {DEFAULT_PACK}, got {names[0]!r}, {first}")
    if not options.steps:
        return
    if not packs:
        raise InhabitError(
            f"Expected a pack for --steps, such as {DEFAULT_PACK}, got {names[0]!r}, which is not sampled"
        )
    offered = {name: read_header(folder).info.steps for name, folder in packs.items()}
    if not any(options.steps in steps for steps in offered.values()):
        said = "; ".join(f"{', '.join(map(str, steps))} - at {name}" for name, steps in offered.items())
        raise InhabitError(f"Expected --steps that the pack was taught, got {options.steps}; it was taught {said}")


def _check_keys(options: Options, keys: Keys) -> None:
    """A keys file that was named must have something for the worlds; the usual one may be for others."""
    if options.connect:
        return  # what world it is, only the sidecar knows
    others, named = {*shipped_packs(), FALLBACK, "isle"}, options.keys is not None
    told = [keys.unheard(world_name(name), others=others, named=named) for name in _names(options)]
    if all(told) and named:
        raise InhabitError(told[0])
    if all(told):
        print(f"inhabit: {told[0]}", file=sys.stderr)


def _has_display(options: Options) -> bool:
    from inhabit.bindings.window import has_display

    if not has_display():
        print(
            f"inhabit: there is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set), "
            f"recording {options.seconds:g} s to {options.out} instead",
            file=sys.stderr,
        )
    return has_display()


def _channels(options: Options, keys: Keys) -> list[Callable[[], list[Pane]]]:
    """What was asked for, and the shipped packs that the window can turn to from it."""
    from inhabit.bindings.window import Pane

    def panes(options: Options) -> list[Pane]:
        return [Pane(one, label=_label(one.name, options), keys=keys) for one in _connections(options)]

    alone = not (options.connect or options.real or options.compare)
    others = [name for name in shipped_packs() if name != options.world] if alone else []
    plain = [replace(options, world=name, image=None, clip=None) for name in others]
    return [partial(panes, one) for one in (options, *plain)]


def _connections(options: Options) -> list[Connection]:
    """One connection for each world that is asked for; nothing is started yet."""
    from inhabit.bindings.window import Connection
    from inhabit.bridge.supervisor import Supervisor

    if options.connect:
        return [Connection(options.connect, endpoint=options.connect, options=_beginning(options))]
    worlds = _names(options)
    begin = [_beginning(options), *({} for _ in worlds[1:])]  # real games cannot begin in a picture
    # a real game beside a dream of it: at the dream's size and rate, or the two would part at once
    dream = None if is_real(worlds[0]) or worlds[0] == FALLBACK else worlds[0]
    like = [["--like", dream] if dream and world.startswith(("doom:", "gym:")) else [] for world in worlds]
    return [
        Connection(world, supervisor=Supervisor(["serve", world, *more]), options=o)
        for world, more, o in zip(worlds, like, begin, strict=True)
    ]


def _beginning(options: Options) -> dict[str, bytes]:
    """What every episode begins in, if not in a recorded moment."""
    path = options.image or options.clip
    if path is None:
        return {}
    data = _file(path, "a picture to begin in" if options.image else "a clip to begin after", MAX_PICTURE_BYTES)
    pictures = _pictures_in(data)
    if options.clip and pictures == 1:
        raise InhabitError(f"Expected a clip such as MP4 or WebM, got a picture - at {path}; --image begins in one")
    if options.image and not pictures:
        raise InhabitError(f"Expected a picture such as PNG or JPEG, got {len(data)} other bytes - at {path}")
    return {"image" if options.image else "clip": data}


def _pictures_in(data: bytes) -> int:
    """How many pictures a picture file holds; 0 for what is none."""
    import io
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
            return getattr(image, "n_frames", 1)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 0


def _file(path: Path, what: str, most: int) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InhabitError(f"Expected {what}, got: {error.strerror or error} - at {path}") from error
    if not 0 < len(data) <= most:
        raise InhabitError(f"Expected {what} of 1 to {most} bytes, got {len(data)} - at {path}")
    return data


def _known(name: str) -> str:
    """Check a world's name before a window opens. A library without its default pack plays what it has."""
    packs = shipped_packs()
    if name == DEFAULT_PACK and name not in packs:
        other = packs[0] if packs else FALLBACK
        print(f"inhabit: the pack {name} is not here, playing {other} instead", file=sys.stderr)
        return other
    check_spec(name)
    return name


def _label(world: str, options: Options) -> str:
    """What to call a picture beside another one."""
    if not options.compare:
        return ""
    return f"real: {world.removeprefix('doom:')}" if is_real(world) else f"dreamt: {world}"


def _record(options: Options, loop: PlayLoop) -> None:
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeRemainingColumn

    from inhabit.bindings.window import HeadlessOptions, record

    wanted = HeadlessOptions(seconds=options.seconds, out=options.out, script=options.script, seed=options.seed)
    columns = (*Progress.get_default_columns()[:-1], TextColumn("{task.fields[fps]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(f"loading {loop.panes[0].connection.name}", total=options.seconds, fps="")

        def show(seconds: float) -> None:
            fps = f"{loop.panes[0].mean_fps:.1f} fps"
            progress.update(task, completed=seconds, description=f"recording {options.out}", fps=fps)

        sheet = record(loop, wanted, show)
    seconds = loop.clip.seconds if loop.clip else 0.0
    print(f"{options.out}  {seconds:.1f} s of {loop.panes[0].connection.name}, contact sheet {sheet}")


def _report(path: Path, loop: PlayLoop) -> None:
    from inhabit.bindings.window import make_report
    from inhabit.bridge.report import write_report

    reports = [make_report(pane) for pane in loop.panes]
    write_report(path, reports[0] if len(reports) == 1 else {**reports[0], "compared": reports[1]})
