"""Frames through memory that sidecar and client share, where both are on one Linux machine. The wire tells which slot.

The sidecar makes the ring, under a name that nobody can guess and only its own user can open; no name from a client is
ever looked at. As soon as the client has it, the name is taken away: nothing is left, however either of them dies.

A slot: generation (odd while it is written), bytes, then the pixels. A reader copies and looks at the generation again.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import struct
import sys
from pathlib import Path

from inhabit.bridge.codec import Part

FOLDER = Path("/dev/shm")
PREFIX = "inhabit-"
MAGIC = b"INHRING1"
RING_HEAD = struct.Struct("<8sII")
SLOT_HEAD = struct.Struct("<QQ")
PAGE = 4096
SLOTS = 4
FREE_SHARE = 4
"""A ring takes at most this part of what is free there (1 over it)."""


def can_share() -> bool:
    """Is there memory to share on this system?"""
    return sys.platform.startswith("linux") and FOLDER.is_dir()


def sweep_rings() -> int:
    """Take away what sidecars that were killed left before their client had it. Returns how many."""
    gone = 0
    if not can_share():
        return gone
    for path in FOLDER.glob(f"{PREFIX}*"):
        pid = path.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(OSError):
                path.unlink()
                gone += 1
    return gone


class FrameRing:
    """The sidecar's end. Raises OSError when there is not enough room."""

    def __init__(self, frame_bytes: int, slots: int = SLOTS):
        self.slots = slots
        self.slot_bytes = -(-(SLOT_HEAD.size + frame_bytes) // PAGE) * PAGE
        size = PAGE + slots * self.slot_bytes
        room = os.statvfs(FOLDER)
        if size * FREE_SHARE > room.f_bavail * room.f_frsize:
            raise OSError(f"not enough room in {FOLDER} for {size} bytes")
        self.name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(16)}"
        self._path: Path | None = FOLDER / self.name
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)  # full is told here, not by a signal at the first write
            self._memory = mmap.mmap(descriptor, size)
        except OSError:
            self.forget_name()
            raise
        finally:
            os.close(descriptor)
        RING_HEAD.pack_into(self._memory, 0, MAGIC, slots, self.slot_bytes)
        self._generations = [0] * slots

    def write(self, number: int, pixels: Part) -> tuple[int, int]:
        """Put a frame into its slot. Returns the slot, counted from 1, and its generation."""
        slot = number % self.slots
        at = PAGE + slot * self.slot_bytes
        generation = self._generations[slot] + 2
        self._generations[slot] = generation
        SLOT_HEAD.pack_into(self._memory, at, generation - 1, len(pixels))
        self._memory[at + SLOT_HEAD.size : at + SLOT_HEAD.size + len(pixels)] = pixels
        SLOT_HEAD.pack_into(self._memory, at, generation, len(pixels))
        return slot + 1, generation

    def forget_name(self) -> None:
        """Take the name away: who has the ring keeps it, nobody else gets it."""
        path, self._path = self._path, None
        if path is not None:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        self.forget_name()
        self._memory.close()


class RingReader:
    """The client's end. Raises OSError or ValueError when there is no such ring on this machine."""

    def __init__(self, name: str):
        if not can_share() or "/" in name or not name.startswith(PREFIX):
            raise ValueError(f"Expected the name of a ring, got {name!r}")
        descriptor = os.open(FOLDER / name, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            if os.fstat(descriptor).st_uid not in (os.getuid(), 0):
                raise ValueError("Expected a ring of our own user")
            self._memory = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
        finally:
            os.close(descriptor)
        magic, self._slots, self._slot_bytes = RING_HEAD.unpack_from(self._memory, 0)
        if magic != MAGIC or len(self._memory) != PAGE + self._slots * self._slot_bytes:
            self.close()
            raise ValueError("Expected a ring, got something else of that name")

    def read(self, slot: int, generation: int, size: int) -> bytes | None:
        """Copy a frame out. None when the slot holds another one by now, or half of one."""
        if not 1 <= slot <= self._slots or size > self._slot_bytes - SLOT_HEAD.size:
            return None
        at = PAGE + (slot - 1) * self._slot_bytes
        if SLOT_HEAD.unpack_from(self._memory, at) != (generation, size):
            return None
        pixels = self._memory[at + SLOT_HEAD.size : at + SLOT_HEAD.size + size]
        return pixels if SLOT_HEAD.unpack_from(self._memory, at) == (generation, size) else None

    def close(self) -> None:
        self._memory.close()
