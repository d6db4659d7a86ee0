"""A child process in a group of its own: started, listened to, asked to end, killed. No policy; Windows and POSIX."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from threading import Thread
from typing import IO, Any

LOG_LINES = 50


class Child:
    """One run of a program that says what it is about in JSON lines on standard output, {"event": ...}.

    It holds the reading end of a pipe of ours as standard input: when we are gone, however we went, that ends.
    """

    def __init__(self, command: Sequence[str]):
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **_own_group()
        )
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        """The last lines that it wrote, events left out."""

        self.last_words = ""
        """The last line that it wrote to standard error; the order of lines from two pipes is chance."""

        self.events: deque[dict[str, Any]] = deque(maxlen=LOG_LINES)
        # Threads, because a pipe cannot be polled on Windows. They end when the child's ends of the pipes close.
        self._readers = [Thread(target=self._read, args=(pipe,), daemon=True) for pipe in self._pipes()]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; below 0 the number of the signal that ended it."""
        return self._process.poll()

    def ask_to_end(self) -> None:
        """Close its standard input and, where there are signals, send SIGTERM to its group."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        if os.name == "posix":
            self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now, with everything that it has started."""
        if os.name == "posix":
            self._signal(signal.SIGKILL)
        else:
            self._process.kill()

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end. False if it has not come."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """Free everything of a child that has ended; its last lines are in `log` then."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        for reader, pipe in zip(self._readers, self._pipes(), strict=True):
            # A grandchild that survived may hold the pipe open: then the reader stays behind, as a daemon.
            reader.join(1.0)
            if not reader.is_alive():
                pipe.close()

    def _pipes(self) -> list[IO[bytes]]:
        return [pipe for pipe in (self._process.stdout, self._process.stderr) if pipe is not None]

    def _read(self, pipe: IO[bytes]) -> None:
        for line in pipe:
            text = line.decode(errors="replace").rstrip()
            event = _event(text)
            if event is None:
                self.log.append(text)
                if pipe is self._process.stderr:
                    self.last_words = text
            else:
                self.events.append(event)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it is gone, or only a zombie of it is left
            os.killpg(self._process.pid, number)


def _own_group() -> dict[str, Any]:
    """So that Ctrl-C in a terminal reaches us only, and that kill() reaches its children too."""
    if os.name == "posix":
        return {"process_group": 0}
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {}


def _event(line: str) -> dict[str, Any] | None:
    if not line.startswith('{"event"'):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
