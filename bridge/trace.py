"""What a world was told and what it answered, appended to a file as it happens: played back, it is the same again.

A file is a row of records, each a length (4 bytes, little-endian) and a msgpack map. Frames are there as checksums.
Files are bounded: a full one is followed by another that begins with the world's saved state, so each plays alone.
"""

from __future__ import annotations

import logging
import os
import secrets
import struct
import time
import zlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.fields import MAX_STATE_BYTES, Settings, WireControls
from inhabit.bridge.frames import Frame
from inhabit.bridge.inputs import to_wire

log = logging.getLogger(__name__)

FORMAT = 1
SUFFIX = ".trace"
LENGTH = struct.Struct("<I")
RECORD_BYTES_MAX = MAX_STATE_BYTES + 1_000_000
FILE_BYTES = 64 * 1024 * 1024
FILES_KEPT = 64
SEEDS = 2**31


class TraceError(InhabitError):
    """A trace is damaged, or of another version."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened. Which fields it has, its kind says."""

    kind: str
    """begin, reset, step, set, prompt, restore, frame, event, fault, end."""

    t_ns: int = 0
    """The sidecar's clock."""

    text: str = ""
    """begin: the world's name; prompt: what was said; event, fault, end: what happened."""

    who: str = ""
    """begin: the client or room; prompt and event: who."""

    said: dict[str, Any] = {}
    """begin: versions and machine."""

    seed: int | None = None
    settings: Settings = {}
    """reset: its options; set: the settings."""

    controls: WireControls | None = None
    state: bytes = b""
    """restore: the world's state; reset: a picture to begin at, as it came."""

    index: int = 0
    crc: int = 0
    """frame: CRC-32 of pixels, then sound."""


def checksum(frame: Frame) -> int:
    return zlib.crc32(frame.sound.tobytes(), zlib.crc32(frame.pixels.tobytes()))


class Trace:
    """The trace of one sitter. Written by the thread that owns the world; a disk that is full ends the trace only."""

    def __init__(self, folder: Path, world: str, who: str, said: dict[str, Any]):
        self._folder, self._world, self._who, self._said = folder, world, who, said
        self._name = f"{time.strftime('%Y%m%d-%H%M%S')}-{world}-{secrets.token_hex(4)}"
        self._part = self._written = 0
        self._file: BinaryIO | None = None
        self._open()

    @property
    def full(self) -> bool:
        """The file has its size: the next begins with a state."""
        return self._written > FILE_BYTES

    def add(self, kind: str, **fields: Any) -> None:
        """Append a record."""
        if self._file is None:
            return
        data = msgspec.msgpack.encode(Record(kind=kind, t_ns=time.perf_counter_ns(), **fields))
        try:
            self._file.write(LENGTH.pack(len(data)) + data)
            self._written += LENGTH.size + len(data)
        except OSError as error:
            log.warning("the trace ends here: %s", error)
            self._file = None

    def add_step(self, controls: Controls) -> None:
        self.add("step", controls=to_wire(controls))

    def add_frame(self, frame: Frame) -> None:
        self.add("frame", index=int(frame.index), crc=checksum(frame))

    def rotate(self, state: bytes) -> None:
        """Go on in another file, from this state."""
        self.close("the file is full")
        self._part += 1
        self._open()
        self.add("restore", state=state)

    def close(self, why: str) -> None:
        self.add("end", text=why[:500])
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _sweep(self._folder)
            path = self._folder / f"{self._name}.{self._part}{SUFFIX}"
            # Buffered: what a killed process loses is less than a tenth of a second of records.
            self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=1 << 12)
        except OSError as error:
            log.warning("no trace in %s: %s", self._folder, error)
            return
        self._written = 0
        self.add("begin", text=self._world, who=self._who, said={"format": FORMAT, "inhabit": _version(), **self._said})


def read_trace(path: Path) -> Iterator[Record]:
    """Read the records of one file, up to where it was cut off. Raises TraceError for what is no trace."""
    try:
        with path.open("rb") as file:
            first = True
            while len(head := file.read(LENGTH.size)) == LENGTH.size:
                (size,) = LENGTH.unpack(head)
                data = file.read(size) if size <= RECORD_BYTES_MAX else b""
                if len(data) < size:
                    if first or size > RECORD_BYTES_MAX:
                        raise TraceError(f"Expected a trace that `serve --traces` wrote - at {path}")
                    return  # the last record of a process that was killed
                record = msgspec.msgpack.decode(data, type=Record)
                if first and (record.kind != "begin" or record.said.get("format") != FORMAT):
                    raise TraceError(
                        f"Expected a trace of format {FORMAT}, got {record.said.get('format')} - at {path}"
                    )
                first = False
                yield record
            if first:
                raise TraceError(f"Expected a trace that `serve --traces` wrote, got an empty file - at {path}")
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TraceError(f"Expected a trace that `serve --traces` wrote, got: {error} - at {path}") from error


def _sweep(folder: Path) -> None:
    files = sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime)
    for path in files[: max(0, len(files) - FILES_KEPT + 1)]:
        path.unlink(missing_ok=True)


def _version() -> str:
    return version("inhabit")
