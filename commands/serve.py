"""Run a world as a sidecar that others connect to."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Literal

import tyro

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.keys import KeyStore, default_folder
from inhabit.bridge.people import Moderate, keep, without
from inhabit.bridge.report import make_folder
from inhabit.bridge.room import RoomOptions
from inhabit.bridge.server import DeviceLostError, Server
from inhabit.bridge.shelf import Shelf
from inhabit.bridge.transport import BindError
from inhabit.bridge.world import World
from inhabit.worldmodel.catalog import DEFAULT_PACK, check_spec, find_pack, open_like, open_world, with_size

SWITCH_INTERVAL_S = 0.0005
DEVICE_LOST_EXIT = 70
"""Exit code after which another process may do better."""

FILES = 8192
"""Files and sockets that the sidecar may have open, where the system lets it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    world: tyro.conf.Positional[str] = DEFAULT_PACK
    """A shipped pack, a pack's folder, "toy", "isle" (our simulator), or a real game: "doom:SCENARIO", "gym:ENV_ID"."""

    bind: str = "tcp://127.0.0.1:0"
    """Where to listen: on this machine only, unless there are --keys. Port 0 takes a free one; the line on standard
    output says which."""

    keys: bool = False
    """Let in only those for whom `inhabit keys` made a key, from wherever --bind can be reached, and encrypt."""

    keys_folder: Path | None = None
    """Where those keys are kept, if not where `inhabit keys` keeps them by itself."""

    like: str = ""
    """A pack as whose world a real game is played: at its size and its rate, as `inhabit play PACK --compare` does."""

    also: tuple[str, ...] = ()
    """Further worlds that clients may choose, by name: LiveWorld(world=...)."""

    max_sessions: int = 4
    """Players and agents at the same time, each in a world of their own."""

    steps: int | None = None
    """Sampling steps a frame, out of those that the world offers."""

    hang_after_s: float = 2.0
    """Seconds without progress after which clients take this sidecar for hung. Keep it above the slowest frame."""

    lobby: str = ""
    """One world for everybody who names no room: what that room is called. LiveWorld(room=...) names others."""

    steering: Literal["driver", "vote"] = "driver"
    """In rooms: one drives and hands the token on, or what most do is done."""

    banned_words: Path | None = None
    """A file with words, one a line, that chat and prompts in rooms must not have."""

    snapshots: Path | None = None
    """A folder in which sessions survive this process: a sidecar that is started again with it goes on from there."""

    snapshot_every_s: float = 5.0
    """How often each session is written there."""

    traces: Path | None = None
    """A folder for a trace of every session: what was done and said, and checksums of frames, for `inhabit replay`.
    Bounded; holds prompts, so tell those who play."""

    metrics: str = ""
    """Address for Prometheus, such as 127.0.0.1:9100, on this machine only; needs inhabit[metrics]."""

    restarts: int = 0
    """Sidecars before this one, for the figures."""

    again: str = ""
    """The endpoint of a sidecar before this one: listen there if it is free, so that its clients find this one."""

    parent: Literal["none", "pipe", "pipe+signal"] = "none"
    """Who looks after this process. "pipe": stop when standard input closes. "pipe+signal": on Linux, also when the
    thread that started it ends, even if the world hangs."""


def run(options: Options) -> None:
    """Serve until a signal, or until the parent is gone."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # The thread with the sockets must get its turn while another runs a model. The default is a third of a frame: 5 ms.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    if options.parent == "pipe+signal":
        _die_with_parent_thread()

    _check(options)
    _raise_file_limit()
    keys = KeyStore(options.keys_folder or default_folder()) if options.keys or options.keys_folder else None
    server = _start(options, keys)
    if options.metrics:
        from inhabit.bridge.metrics import serve_metrics

        serve_metrics(options.metrics, server.figures)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    if options.parent != "none":
        Thread(target=_stop_at_end_of_input, args=(server,), daemon=True).start()
    print(json.dumps({"event": "listening", "endpoint": server.endpoint, "pid": os.getpid()}), flush=True)
    try:
        server.serve_forever()
    except DeviceLostError as error:
        print(f"inhabit: {error}", file=sys.stderr)
        sys.exit(DEVICE_LOST_EXIT)


def _check(options: Options) -> None:
    """Say what is not there before anything listens."""
    for spec in (options.world, *options.also):
        check_spec(spec)
    for folder in (options.snapshots, options.traces):
        if folder is not None:
            make_folder(folder, mode=0o700)
    if options.like:
        find_pack(with_size(options.like)[0])


def _start(options: Options, keys: KeyStore | None) -> Server:
    """Listen, where a sidecar before this one did if possible."""
    if options.again:
        with contextlib.suppress(BindError):
            return _server(options, keys, options.again).start()
    return _server(options, keys, options.bind).start()


def _server(options: Options, keys: KeyStore | None, bind: str) -> Server:
    return Server(
        Shelf(partial(_open, options.world, options)), bind=bind, max_sessions=options.max_sessions,
        hang_after_s=options.hang_after_s, rooms=RoomOptions(steering=options.steering), lobby=options.lobby,
        moderate=_moderation(options), name=name_of(options.world), keys=keys,
        worlds={name_of(spec): Shelf(partial(_open, spec, options)) for spec in options.also},
        snapshots=options.snapshots, snapshot_every_s=options.snapshot_every_s, traces=options.traces,
        restarts=options.restarts,
    )  # fmt: skip


def name_of(spec: str) -> str:
    """What clients call a world: never a path of this machine."""
    return Path(spec).name[:64] or "world"


def _open(spec: str, options: Options) -> World:
    if options.like and spec == options.world:
        return open_like(spec, options.like)
    world = open_world(spec)
    if options.steps is not None and spec == options.world:
        world.configure(steps=options.steps)
    return world


def _raise_file_limit() -> None:
    """A thousand half-open connections must not keep a player out."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, FILES) if hard != resource.RLIM_INFINITY else FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _moderation(options: Options) -> Moderate:
    if options.banned_words is None:
        return keep
    try:
        return without(options.banned_words.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise InhabitError(f"Expected a file of words, one a line, got: {error} - at --banned-words") from error


def _stop_at_end_of_input(server: Server) -> None:
    """Standard input is a pipe that only the parent holds: it ends when the parent does, however that dies."""
    while os.read(sys.stdin.fileno(), 4096):  # not through sys.stdin: its lock would be held at the interpreter's end
        pass
    server.stop()
    os._exit(0)  # a world that hangs would keep the process alive


def _die_with_parent_thread() -> None:
    """Ask Linux for SIGKILL at the parent's end. Source: prctl(2), PR_SET_PDEATHSIG."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    set_parent_death_signal = 1
    ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)
