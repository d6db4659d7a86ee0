"""A recording's frames, one after the other: in memory, or in a nameless file where they would fill it."""

from __future__ import annotations

import shutil
import tempfile
from typing import IO

import numpy as np

from inhabit.bridge.report import memory_gb
from inhabit.worldmodel.recordings import RecordingError

MEMORY_SHARE = 0.25
"""Of the machine's memory, so much is for frames."""
UNKNOWN_MEMORY_GB = 8.0


def most_in_memory() -> float:
    """Bytes that one thing with a row for each frame may take of this machine's memory."""
    return 1e9 * MEMORY_SHARE * (memory_gb() or UNKNOWN_MEMORY_GB)


class FrameStore:
    """Takes frames shard by shard and gives them back as one array.

    Past `most_bytes` they go to a temporary file, which the system reads again as it is asked for and which is gone
    with the process.
    """

    def __init__(self, most_bytes: float | None = None):
        """Args:
        most_bytes: what is kept in memory; by default MEMORY_SHARE of the machine's.
        """
        self._most = most_in_memory() if most_bytes is None else most_bytes
        self._parts: list[np.ndarray] = []
        self._held, self._count = 0, 0
        self._shape: tuple[int, ...] = ()
        self._file: IO[bytes] | None = None

    def add(self, frames: np.ndarray) -> None:
        """Shape: (n, h, w, 3) uint8. Raises RecordingError where there is no room for the file."""
        self._parts.append(frames)
        self._held, self._count = self._held + frames.nbytes, self._count + len(frames)
        self._shape = frames.shape[1:]
        if self._held > self._most:
            self._file = self._file or tempfile.TemporaryFile(prefix="inhabit-frames-")  # noqa: SIM115
            try:
                for part in self._parts:
                    self._file.write(np.ascontiguousarray(part).data)
            except OSError as error:
                self._file.close()
                raise RecordingError(
                    f"Expected room for more frames than memory holds, got: {error} - at {tempfile.gettempdir()} "
                    f"({shutil.disk_usage(tempfile.gettempdir()).free / 1e9:.1f} GB free); set TMPDIR to a larger disk"
                ) from error
            self._parts = []

    def array(self) -> np.ndarray:
        """All of them. Shape (n, h, w, 3) uint8."""
        if self._file is None:
            return np.concatenate(self._parts)
        with self._file as file:  # the map keeps it open
            file.flush()
            return np.memmap(file, np.uint8, "c", shape=(self._count, *self._shape))
