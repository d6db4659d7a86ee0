"""Sessions that outlive their connection and their sidecar: what is kept of each, in memory and on disk.

On disk a snapshot is one file: magic, SHA-256 of header and state, length of the header, msgpack header, the world's
own saved state. It is written beside, synced and renamed, so that a file is whole or not there; what the checksum does
not fit is thrown away. Of a session's secret only the hash is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import os
import struct
import time
from collections import OrderedDict, deque
from pathlib import Path
from threading import Lock
from typing import Annotated

import msgspec

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.fields import MAX_STATE_BYTES, Count, Mode, Role

log = logging.getLogger(__name__)

MAGIC = b"INHSNAP1"
HEAD = struct.Struct("<8s32sI")
SUFFIX = ".snapshot"
KEPT_MAX = 64
"""Snapshots in the folder and in memory; the oldest go first."""

KEPT_BYTES = 512 * 1024 * 1024
"""All states in memory."""

KEPT_S = 600.0
"""How old a snapshot on disk may be, s."""


class SnapshotError(InhabitError):
    """A snapshot is damaged or of another version."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One session, or one room, as it was at one frame."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=80, pattern="^[A-Za-z0-9_-]+$")]
    """Of the file: the session in hexadecimal, or "room-" and the room's name."""

    secret_hash: bytes = b""
    user: str = ""
    world: str = ""
    mode: Mode = "free"
    role: Role = "player"
    client: str = ""
    epoch: Count = 0
    index: Count = 0
    paused: bool = False
    sent: Count = 0
    """Frames sent: numbers go on from here."""

    request: Count = 0
    """The newest request that was answered."""

    answer: tuple[bytes, ...] = ()
    """Its answer, as the parts of its message."""

    version: int = 1

    def opened_by(self, secret: bytes, user: str) -> bool:
        """Does it belong to who says so? Compared in constant time."""
        return self.user == user and hmac.compare_digest(hash_of(secret), self.secret_hash)


def hash_of(secret: bytes) -> bytes:
    return hashlib.sha256(b"inhabit session" + secret).digest()


class Snapshots:
    """The newest snapshot of each session: in memory, and in a folder if there is one. For any thread.

    Args:
        folder: where they survive the sidecar; None keeps them only as long as it lives.
    """

    def __init__(self, folder: Path | None = None):
        self._folder = folder
        self._kept: OrderedDict[str, tuple[Snapshot, bytes]] = OrderedDict()
        self._lock = Lock()
        self._over: deque[str] = deque()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._sweep(folder)

    @property
    def on_disk(self) -> bool:
        return self._folder is not None

    def put(self, snapshot: Snapshot, state: bytes) -> None:
        """Keep one. A disk that is full or gone is told in the log; the one in memory is kept all the same."""
        if len(state) > MAX_STATE_BYTES:
            return
        with self._lock:
            self._kept.pop(snapshot.name, None)
            self._kept[snapshot.name] = (snapshot, state)
            while len(self._kept) > KEPT_MAX or sum(len(held) for _, held in self._kept.values()) > KEPT_BYTES:
                self._kept.popitem(last=False)
        if self._folder is None:
            return
        try:
            write_snapshot(self._folder / f"{snapshot.name}{SUFFIX}", snapshot, state)
        except OSError as error:
            log.warning("no snapshot on disk of %s: %s", snapshot.name[:8], error)

    def get(self, name: str) -> tuple[Snapshot, bytes] | None:
        """The newest one of that name, None when there is none that is whole."""
        with self._lock:
            kept = self._kept.get(name)
        if kept is not None or self._folder is None or name in self._over:
            return kept
        path = self._folder / f"{name}{SUFFIX}"
        if not path.is_file():
            return None
        try:
            return read_snapshot(path)
        except SnapshotError as error:
            log.warning("%s", error)
            path.unlink(missing_ok=True)
            return None

    def drop(self, name: str) -> None:
        """A session is over for good. Its file goes with the next tidy(): who drops has no time to wait for a disk."""
        with self._lock:
            self._kept.pop(name, None)
        if self._folder is not None:
            self._over.append(name)

    def tidy(self) -> None:
        """Remove the files of sessions that are over."""
        while self._folder is not None and self._over:
            try:
                name = self._over.popleft()
            except IndexError:  # another thread was quicker
                return
            with contextlib.suppress(OSError):
                (self._folder / f"{name}{SUFFIX}").unlink(missing_ok=True)

    def _sweep(self, folder: Path) -> None:
        """Throw old and half-written files away. By the wall clock: they may be another process's."""
        files = sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime)
        for path in [*files[:-KEPT_MAX], *(path for path in files if time.time() - path.stat().st_mtime > KEPT_S)]:
            path.unlink(missing_ok=True)
        for path in folder.glob("*.partial"):
            path.unlink(missing_ok=True)


def write_snapshot(path: Path, snapshot: Snapshot, state: bytes) -> None:
    """Write a snapshot so that it is whole or not there, whatever happens meanwhile."""
    header = msgspec.msgpack.encode(snapshot)
    digest = hashlib.sha256(header)
    digest.update(state)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(HEAD.pack(MAGIC, digest.digest(), len(header)))
            file.write(header)
            file.write(state)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def read_snapshot(path: Path) -> tuple[Snapshot, bytes]:
    """Read a snapshot back. Raises SnapshotError for one that is not whole."""
    try:
        data = path.read_bytes()
        magic, digest, size = HEAD.unpack_from(data)
        header, state = data[HEAD.size : HEAD.size + size], data[HEAD.size + size :]
        if magic != MAGIC or hashlib.sha256(header + state).digest() != digest:
            raise SnapshotError(
                f"Expected a whole snapshot, got {len(data)} bytes that do not fit their sum - at {path}"
            )
        return msgspec.msgpack.decode(header, type=Snapshot), state
    except (OSError, struct.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotError(f"Expected a whole snapshot, got: {error} - at {path}") from error
