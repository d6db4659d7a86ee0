"""What a frame costs through the C client: its shared library, in lock-step and free-running, against a real sidecar.

python -m inhabit.bindings.c.measure --report report.json

The world is a toy of 1280x720 whose pictures are ready beforehand, in a process of its own. A step's time is that from
the call of inhabit_step() until the pixels lie in the caller's buffer, less the time that the world took for it (the
frame tells). The processor time of free running is that of all threads of this process, ZeroMQ's included.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from cffi import FFI

from inhabit.bindings.c import build
from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.frames import Frame
from inhabit.bridge.report import machine, write_report
from inhabit.bridge.server import Server
from inhabit.bridge.toy import ToyWorld

LOCKSTEP, RGBA8, BOTTOM_UP, NO_SHARED_MEMORY = 1, 1, 2, 4
WARM_UP_FRAMES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    width: int = 1280
    """Of a frame, pixels."""

    height: int = 720
    """Of a frame, pixels."""

    frames: int = 300
    """Measured, for each row of the report."""

    build: Path = Path("build/c")
    """Where the library is built, or was."""

    report: Path | None = None
    """Write the figures there, as JSON."""


class Pictures(ToyWorld):
    """A toy world that shows two pictures in turn: making them costs next to nothing."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Frame:
        shape = (2, self.info.height, self.info.width, 3)
        self._pictures = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
        self._index = 0
        return Frame(pixels=self._pictures[0], index=0)

    def step(self, controls: Controls) -> Frame:
        self._index += 1
        return Frame(pixels=self._pictures[self._index % 2], index=self._index)


def serve(bind: str, width: int, height: int, told: Connection) -> None:
    """Run the sidecar until the other end closes."""
    sys.setswitchinterval(0.0005)
    with Server(lambda: Pictures(width=width, height=height, rate_hz=60.0), bind=bind) as server:
        told.send(server.endpoint)
        told.poll(None)


@contextmanager
def sidecar(bind: str, width: int, height: int) -> Iterator[str]:
    ours, theirs = multiprocessing.Pipe()
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=serve, args=(bind, width, height, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        ours.close()
        process.join(5)
        process.terminate()


class Library:
    """libinhabit as a host loads it; what is in it, the header says."""

    def __init__(self, path: Path):
        self.ffi: Any = FFI()
        self.ffi.cdef(build.declarations())
        self.functions: Any = self.ffi.dlopen(str(path))


class Client:
    """One client of the shared library, with its buffer."""

    def __init__(self, library: Library, endpoint: str, *, mode: int, flags: int, size: int):
        ffi = library.ffi
        self.library = library
        options = ffi.new(
            "inhabit_options *", {"struct_size": ffi.sizeof("inhabit_options"), "mode": mode, "flags": flags}
        )
        self.frame = ffi.new("inhabit_frame *", {"struct_size": ffi.sizeof("inhabit_frame")})
        self._room = ffi.new("uint8_t[]", size), size, self.frame
        handle = ffi.new("inhabit_client *")
        self.check(library.functions.inhabit_open(endpoint.encode(), options, handle))
        self.handle = handle[0]
        self.check(library.functions.inhabit_wait(self.handle, 30_000))

    def check(self, result: int) -> int:
        if result < 0:
            raise InhabitError(self.library.ffi.string(self.library.functions.inhabit_last_error()).decode())
        return result

    def reset(self) -> None:
        self.check(self.library.functions.inhabit_reset(self.handle, 1, *self._room))

    def step(self) -> None:
        self.check(self.library.functions.inhabit_step(self.handle, *self._room))

    def poll(self) -> bool:
        return self.check(self.library.functions.inhabit_poll(self.handle, *self._room, 20)) == 1

    def close(self) -> None:
        self.library.functions.inhabit_close(self.handle)


def lockstep_ms(client: Client, frames: int) -> list[float]:
    """Milliseconds of each step, less the world's."""
    client.reset()
    spent = []
    for _ in range(WARM_UP_FRAMES + frames):
        begun_ns = time.perf_counter_ns()
        client.step()
        spent.append((time.perf_counter_ns() - begun_ns) / 1e6 - max(0.0, client.frame.world_ms))
    return spent[WARM_UP_FRAMES:]


def free_cpu_ms(client: Client, frames: int) -> float:
    """Processor milliseconds of this process for each frame that it was given."""
    shown, begun = -WARM_UP_FRAMES, 0.0
    while shown < frames:
        if client.poll():
            shown += 1
            begun = time.process_time() if shown == 0 else begun
    return (time.process_time() - begun) * 1000 / frames


def row(library: Library, endpoint: str, name: str, flags: int, options: Options) -> dict[str, Any]:
    size = options.width * options.height * (4 if flags & RGBA8 else 3)
    agent = Client(library, endpoint, mode=LOCKSTEP, flags=flags, size=size)
    spent = lockstep_ms(agent, options.frames)
    agent.close()
    cpu_ms = []
    for shared in (NO_SHARED_MEMORY, 0):
        person = Client(library, endpoint, mode=0, flags=flags | shared, size=size)
        cpu_ms.append(free_cpu_ms(person, options.frames))
        person.close()
    return {
        "transport": endpoint.partition(":")[0], "pixels": name, "step_ms_p50": float(np.percentile(spent, 50)),
        "step_ms_p99": float(np.percentile(spent, 99)), "free_cpu_ms": cpu_ms[0], "ring_cpu_ms": cpu_ms[1],
    }  # fmt: skip


def run(options: Options) -> dict[str, Any]:
    """Measure every transport and layout. Raises InhabitError when the library cannot be built or a session fails."""
    where = build.libraries(options.build)
    library = Library(where / "libinhabit.so")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for bind in ("tcp://127.0.0.1:0", f"ipc://{folder}/socket"):
            with sidecar(bind, options.width, options.height) as endpoint:
                rows.append(row(library, endpoint, "rgb8", 0, options))
                rows.append(row(library, endpoint, "rgba8, bottom up", RGBA8 | BOTTOM_UP, options))
    kilobytes = (where / "libinhabit.so").stat().st_size / 1000
    size = {"width": options.width, "height": options.height, "frames": options.frames}
    return {**size, "library_kb": kilobytes, "rows": rows, "machine": machine()}


def main() -> int:
    options = tyro.cli(Options, description=__doc__)
    try:
        report = run(options)
        if options.report is not None:
            write_report(options.report, {"c_client": report})
    except InhabitError as error:
        print(f"inhabit: {error}", file=sys.stderr)
        return 1
    for told in report["rows"]:
        step = f"a step {told['step_ms_p50']:.2f} ms (p99 {told['step_ms_p99']:.2f})"
        live = (
            f"free running {told['free_cpu_ms']:.2f} ms of processor time, {told['ring_cpu_ms']:.2f} by shared memory"
        )
        print(f"{told['transport']} {told['pixels']}: {step}, {live}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
