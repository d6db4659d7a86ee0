"""Starts a sidecar, watches it, and starts it again when it dies or hangs; gives up when that happens too often.

A CUDA error that sticks can only be cured by ending the process that has it, and a hung process cannot cure itself. So
the one that watches is another process, knows nothing of models, and believes only the progress beat.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from inhabit.bridge.child import Child
from inhabit.bridge.errors import WorldError
from inhabit.bridge.monitor import Monitor
from inhabit.bridge.pacing import NS_PER_S, Clock, monotonic_ns
from inhabit.bridge.transport import ZmqClient

PROGRAM = (sys.executable, "-m", "inhabit.commands")

USAGE_EXIT = 2
"""Exit code for what only the user can mend: starting again would not help."""

REASON_CHARACTERS = 300

POLL_S = 0.02
"""Between two looks while somebody waits, seconds."""

SupervisorState = Literal["stopped", "starting", "loading", "running", "ending", "waiting", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long the supervisor waits for what."""

    hang_s: float = 3.0
    """Without progress of its worlds for this long, the sidecar is ended, seconds."""

    listen_s: float = 60.0
    """From the start of the process to the line that tells its endpoint, seconds."""

    load_s: float = 600.0
    """For making or resetting a world, seconds."""

    grace_s: float = 1.0
    """Between SIGTERM and SIGKILL, seconds."""

    first_delay_s: float = 0.25
    """Before the first start anew, seconds; doubles with each further end within the window."""

    longest_delay_s: float = 8.0

    deaths: int = 5
    """Ends within the window after which the supervisor gives up."""

    window_s: float = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SupervisorStatus:
    """What poll() saw."""

    state: SupervisorState
    """stopped; starting: the process has not told its endpoint; loading; running; ending: asked to; waiting: to be
    started again; failed: given up, see `reason`."""

    endpoint: str
    """Where clients connect; empty while there is nobody. The same after each restart, if it is still free."""

    pid: int | None
    reason: str
    """Why it ended the last time; empty if it never did."""

    restarts: int
    log: tuple[str, ...]
    """The last lines that the sidecar wrote."""


class Supervisor:
    """Keep one sidecar alive. Poll style: nothing happens outside start(), poll() and stop().

    Args:
        arguments: what follows `inhabit`, such as ["serve", "toy", "--steps", "2"].
        patience: how long to wait for what.
        program: what runs `inhabit`.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        patience: Patience | None = None,
        program: Sequence[str] = PROGRAM,
        clock: Clock = monotonic_ns,
    ):
        self._arguments, self._program = tuple(arguments), tuple(program)
        self._patience = patience or Patience()
        self._clock = clock
        self._state: SupervisorState = "stopped"
        self._child: Child | None = None
        self._monitor: Monitor | None = None
        self._log: tuple[str, ...] = ()
        self._endpoint = self._reason = ""
        self._deaths: deque[int] = deque()
        self._since_ns = self._until_ns = 0
        self._restarts = 0
        self._listened = ""
        self._snapshots: tempfile.TemporaryDirectory[str] | None = None

    @property
    def endpoint(self) -> str:
        """Where clients connect; empty while there is nobody."""
        return self._endpoint

    def start(self) -> None:
        """Start the sidecar. Returns at once; poll() tells when it listens."""
        if self._state in ("stopped", "failed"):
            self._deaths.clear()
            self._reason, self._restarts, self._listened = "", 0, ""
            self._forget_snapshots()
            self._snapshots = tempfile.TemporaryDirectory(prefix="inhabit-")
            self._spawn()

    def poll(self) -> SupervisorStatus:
        """Do what is due and tell how things are. Call it a few times a second."""
        now_ns = self._clock()
        if self._state == "waiting" and now_ns >= self._until_ns:
            self._restarts += 1
            self._spawn()
        elif self._child is not None:
            code = self._child.exit_code()
            if code is not None:
                self._bury(self._child, code, now_ns)
            elif self._state == "ending":
                if now_ns >= self._until_ns:
                    self._child.kill()
            else:
                self._watch(self._child, now_ns)
        return self._status()

    def wait_until_listening(self) -> str:
        """Wait for the sidecar's endpoint and return it; its world may still be loading. For scripts without a loop.

        Raises:
            WorldError: the sidecar gave up; the message says why.
        """
        while not (status := self.poll()).endpoint:
            if status.state in ("failed", "stopped"):
                reason = status.reason.removeprefix("inhabit: ") or "start() was not called"
                raise WorldError(f"The sidecar {status.state}: {reason}")
            time.sleep(POLL_S)
        return status.endpoint

    def stop(self) -> None:
        """End the sidecar and wait for that, a few seconds at most. Calling it twice is fine."""
        self._state = "stopped"
        self._forget_monitor()
        child, self._child = self._child, None
        if child is not None:
            child.ask_to_end()
            if not child.wait(self._patience.grace_s):
                child.kill()
                child.wait(5.0)
            child.close()
            self._log = tuple(child.log)
        self._forget_snapshots()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self) -> None:
        # Linux delivers the parent's death when the *thread* that started the child ends: only the main one will do.
        in_main = threading.current_thread() is threading.main_thread()
        self._child = Child(
            [*self._program, *self._arguments, *self._heritage(), "--parent", "pipe+signal" if in_main else "pipe"],
        )
        self._state = "starting"
        self._since_ns = self._clock()

    def _heritage(self) -> list[str]:
        """What a new sidecar gets from the one before: its sessions and, if it is free, its address."""
        inherited = ["--again", self._listened, "--restarts", str(self._restarts)] if self._listened else []
        if self._snapshots is not None and "--snapshots" not in self._arguments:
            inherited += ["--snapshots", self._snapshots.name]
        return inherited

    def _forget_snapshots(self) -> None:
        if self._snapshots is not None:
            self._snapshots.cleanup()
            self._snapshots = None

    def _watch(self, child: Child, now_ns: int) -> None:
        """Look after a process that lives."""
        if self._monitor is None:
            self._look_for_endpoint(child, now_ns)
            return
        self._monitor.poll(now_ns)
        if self._monitor.heard:
            self._state = "loading" if self._monitor.busy_s else "running"
        if self._monitor.busy_s > self._patience.load_s:
            self._end(child, f"it has been loading for {self._monitor.busy_s:.0f} s", now_ns)
        elif self._monitor.silent_s > self._patience.hang_s:
            self._end(child, f"it hangs: no progress for {self._monitor.silent_s:.1f} s", now_ns)

    def _look_for_endpoint(self, child: Child, now_ns: int) -> None:
        for event in tuple(child.events):
            if event["event"] == "listening" and isinstance(event.get("endpoint"), str):
                self._endpoint = self._listened = event["endpoint"]
                self._monitor = Monitor(ZmqClient(self._endpoint, ("ctl",)), now_ns)
                return
        if now_ns - self._since_ns > self._patience.listen_s * NS_PER_S:
            self._end(child, f"it did not listen within {self._patience.listen_s:g} s", now_ns)

    def _end(self, child: Child, reason: str, now_ns: int) -> None:
        """Ask a process to end, that must not go on; poll() kills it after the grace."""
        self._reason = f"The sidecar was ended: {reason}"
        self._state, self._endpoint = "ending", ""
        self._until_ns = now_ns + round(self._patience.grace_s * NS_PER_S)
        self._forget_monitor()
        child.ask_to_end()

    def _bury(self, child: Child, code: int, now_ns: int) -> None:
        """A process is gone: say why, and decide what follows."""
        child.kill()  # whatever it has started and left behind
        child.close()
        self._log, self._child, self._endpoint = tuple(child.log), None, ""
        self._forget_monitor()
        if self._state != "ending":
            self._reason = _why(code, child.last_words or (self._log[-1] if self._log else ""))
        self._deaths.append(now_ns)
        while now_ns - self._deaths[0] > self._patience.window_s * NS_PER_S:
            self._deaths.popleft()
        if code == USAGE_EXIT and self._state != "ending":
            self._state = "failed"
        elif len(self._deaths) >= self._patience.deaths:
            self._state = "failed"
            self._reason = (
                f"Given up after {len(self._deaths)} ends within {self._patience.window_s:g} s. {self._reason}"
            )
        else:
            self._state = "waiting"
            delay_s = self._patience.first_delay_s * 2 ** (len(self._deaths) - 1)
            self._until_ns = now_ns + round(min(delay_s, self._patience.longest_delay_s) * NS_PER_S)

    def _forget_monitor(self) -> None:
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None

    def _status(self) -> SupervisorStatus:
        child = self._child
        return SupervisorStatus(
            state=self._state, endpoint=self._endpoint, pid=child.pid if child else None, reason=self._reason,
            restarts=self._restarts, log=tuple(child.log) if child else self._log,
        )  # fmt: skip


def _why(code: int, last_words: str) -> str:
    """An exit code in words, with the last thing that was said."""
    if code == USAGE_EXIT and last_words:
        return last_words[:REASON_CHARACTERS]
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "unknown"
        out_of_memory = "; the machine may be out of memory" if name == "SIGKILL" else ""
        how = f"was killed by signal {-code} ({name}){out_of_memory}"
    else:
        how = f"exited with code {code}"
    last = f" - its last words: {last_words[:REASON_CHARACTERS]}" if last_words else ""
    return f"The sidecar {how}{last}"
