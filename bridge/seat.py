"""A seat: one world, the work of the thread that owns it, and the session that sits there.

Only one thread ever calls the world of a seat: it makes it, steps it and closes it. Each world has a thread of its own,
so that a slow, loading or hung one never holds up another session. Here is the work of one turn; the thread is in
server.py.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, RLock

from inhabit.bridge.beginnings import with_picture
from inhabit.bridge.errors import InhabitError, WorldError
from inhabit.bridge.frames import Frame
from inhabit.bridge.messages import Prompt, Reset, Restore, Save, Set, Step
from inhabit.bridge.outbox import draw
from inhabit.bridge.pacing import NS_PER_MS, NS_PER_S, Clock
from inhabit.bridge.report import machine
from inhabit.bridge.room import Room
from inhabit.bridge.session import Session, Task
from inhabit.bridge.snapshots import Snapshot, Snapshots
from inhabit.bridge.trace import SEEDS, Trace
from inhabit.bridge.world import World

log = logging.getLogger(__name__)

SET_BACKS_MAX = 3
SET_BACK_WINDOW_NS = 60 * NS_PER_S
"""So many failed ticks within this time are mended; one more, and the world has failed."""

MakeWorld = Callable[[], World]
Sitter = Session | Room
"""Who has a world: one client, or a room full of them."""


class Seat:
    """One place in the sidecar."""

    def __init__(
        self,
        make_world: MakeWorld,
        *,
        lock: RLock,
        clock: Clock,
        name: str = "",
        snapshots: Snapshots | None = None,
        snapshot_every_s: float = 5.0,
        traces: Path | None = None,
    ):
        self.name = name
        """Which of the sidecar's worlds it has."""

        self.session: Sitter | None = None
        self.turns = 0
        """Grows with each turn: the progress that the beat tells of."""

        self.failure: Exception | None = None
        """Why there is no world. Cleared, and tried again, for the next session."""

        self.fatal = False
        """An error of the device that only the end of the process cures."""

        self.news = Event()
        """Set when the thread should not sleep on."""

        self._make_world = make_world
        self._lock = lock
        self._clock = clock
        self._world: World | None = None
        self._broken: World | None = None
        self._last: Sitter | None = None
        self._busy_since_ns: int | None = None
        self._turn_since_ns: int | None = None
        self._made = 0
        self._outdated = False
        self._snapshots = snapshots or Snapshots()
        self._snapshot_every_ns = round(snapshot_every_s * NS_PER_S)
        self._snapshot_due_ns = 0
        self._safe: tuple[int, bytes] | None = None
        self._traces, self._trace = traces, None
        self.set_back_count = self.failure_count = 0
        self._set_backs: deque[int] = deque()

    @property
    def hopeless(self) -> Exception | None:
        """Why not one world could be made here, if so."""
        return self.failure if self._made == 0 else None

    def hangs(self, hang_ns: int, now_ns: int) -> bool:
        """Has the thread been in one turn for longer than that, other than for something that may take long?"""
        since = self._turn_since_ns
        return since is not None and self._busy_since_ns is None and now_ns - since > hang_ns

    def sit(self, session: Sitter | None) -> None:
        """Give the seat to a session, or free it."""
        with self._lock:
            self.session = session
            self.failure = None
        self.news.set()

    def refit(self, name: str, make_world: MakeWorld) -> None:
        """Have another of the sidecar's worlds from now on. Only while nobody sits here."""
        with self._lock:
            self.name, self._make_world, self._outdated = name, make_world, True

    def busy_ms(self, now_ns: int) -> int:
        """For how long the world has been made, reset or restored, which may take long; 0 when it is not."""
        since = self._busy_since_ns
        return 0 if since is None else max(1, (now_ns - since) // NS_PER_MS)

    def due_ns(self) -> int | None:
        """When the world's next tick is due, None when it waits for a request."""
        with self._lock:
            return self.session.due_ns if self.session is not None else None

    def turn(self) -> bool:
        """Do one thing, if there is one to do. Only the seat's own thread calls this, and close()."""
        self.turns += 1
        self._turn_since_ns = self._clock()
        with self._lock:
            session = self.session
        try:
            self._snapshots.tidy()
            if self._prepare(session):
                return True
            if isinstance(session, Session) and session.parting and session.state != "closed":
                self._part(session)
                return True
            return session is not None and self._work(session)
        except Exception as error:  # the top of this thread: whatever a world raises must not end the sidecar
            self._break(session, error)
            return True
        finally:
            self._turn_since_ns = None

    def close(self) -> None:
        """Close the world."""
        self._broken = None
        world, self._world = self._world, None
        if world is not None:
            world.close()

    def _prepare(self, session: Sitter | None) -> bool:
        """See to it that there is a fresh world, and that the session knows of it."""
        if self._broken is not None:
            broken, self._broken = self._broken, None
            broken.close()
        if session is not self._last:
            last, self._last = self._last, session
            self._safe = None
            self._begin_trace(session)
            if last is not None and last.changed_world:
                self.close()  # its settings must not be inherited
        with self._lock:
            outdated, self._outdated = self._outdated, False
        if outdated:
            self.close()
        if self._world is None:
            if self.failure is not None:
                return False
            with self._slow():
                self._world = self._make_world()
            self._made += 1
        if session is None or session.state != "loading":
            return False
        self._fit(self._world, session)
        with self._lock:
            session.world_ready(self._world.info, self._clock())
        self._snapshot_due_ns = self._clock() + self._snapshot_every_ns
        if session.revival is not None:
            self._revive(session, self._world, *session.revival)
        return True

    def _fit(self, world: World, session: Sitter) -> None:
        """An agent's frames and those of a trace must come again to the last bit: no batches for them, see Shelf."""
        step_alone = getattr(world, "step_alone", None)
        if step_alone is not None:
            agent = isinstance(session, Session) and session.mode == "lockstep"
            step_alone(self._trace is not None or agent)

    def _begin_trace(self, session: Sitter | None) -> None:
        """A trace for each sitter, if there is a folder for them."""
        self.end_trace("the session is over")
        if self._traces is not None and session is not None:
            who = f"room {session.name}" if isinstance(session, Room) else f"{session.client}, mode {session.mode}"
            self._trace = Trace(self._traces, self.name, who, machine())
            if isinstance(session, Room):
                trace = self._trace
                session.on_event = lambda event: trace.add("event", text=f"{event.kind}: {event.text}", who=event.name)

    def end_trace(self, why: str) -> None:
        """Close the file of the sitter that was."""
        trace, self._trace = self._trace, None
        if trace is not None:
            trace.close(why)

    def _revive(self, session: Sitter, world: World, snapshot: Snapshot, state: bytes) -> None:
        """Bring a world to where a session before this one had it."""
        try:
            with self._slow():
                world.restore(state)
                if self._trace is not None:
                    self._trace.add("restore", state=state)
        except WorldError as error:
            log.warning("%s could not be restored: %s", snapshot.name[:8], error)
            with self._lock:
                if isinstance(session, Session):
                    session.close(f"the world could not be restored: {error}")
            return
        with self._lock:
            session.revive(snapshot, self._clock())

    def _part(self, session: Session) -> None:
        """Keep what is left of a session whose client is gone, then end it."""
        self._keep(session)
        with self._lock:
            if session.parting:
                session.close(session.parting)

    def _keep(self, session: Sitter) -> None:
        """Save the world, with what is needed to go on from there. A world that cannot save is let go."""
        with self._lock:
            snapshot = session.snapshot()
        if snapshot is None or self._world is None:
            return
        begun_ns = self._clock()
        try:
            state = self._world.save()
        except (WorldError, NotImplementedError) as error:
            log.info("no snapshot of %s: %s", self.name, error)
            self._snapshot_due_ns = 2**63 - 1
            return
        self._safe = (snapshot.index, state)
        self._snapshots.put(snapshot, state)
        # A save that takes long must not be felt: at most a fiftieth of the time goes into it.
        now_ns = self._clock()
        self._snapshot_due_ns = now_ns + max(self._snapshot_every_ns, 50 * (now_ns - begun_ns))

    def _work(self, session: Sitter) -> bool:
        with self._lock:
            task = session.next_task(self._clock())
        if task is None:
            return False
        world = self._world
        assert world is not None
        ticks = task.message is None
        try:
            frame, state, note = self._carry_out(world, task)
            done_ns = self._clock()
            drawn = None if frame is None else draw(world.info, frame)
        except Exception as error:
            if ticks and self._set_back(session, error):
                return True
            if not isinstance(error, WorldError):
                raise
            with self._lock:
                session.refuse(task, str(error))
            return True
        with self._lock:
            session.done(task, done_ns, drawn=drawn, state=state, note=note)
        if self._trace is not None:
            if frame is not None:
                self._trace.add_frame(frame)
            if self._trace.full:
                self._trace.rotate(world.save())
        if done_ns >= self._snapshot_due_ns:
            self._keep(session)
        return True

    def _set_back(self, session: Sitter, error: Exception) -> bool:
        """A tick failed: go on from the last saved state in a fresh world. False if that is not to be had any more."""
        now_ns = self._clock()
        while self._set_backs and now_ns - self._set_backs[0] > SET_BACK_WINDOW_NS:
            self._set_backs.popleft()
        if self._safe is None or len(self._set_backs) >= SET_BACKS_MAX or is_fatal(error):
            return False
        self._set_backs.append(now_ns)
        self.set_back_count += 1
        incident = secrets.token_hex(4)
        log.error("incident %s: a tick failed, the world is set back: %s", incident, error, exc_info=error)
        index, state = self._safe
        if self._trace is not None:
            self._trace.add("fault", text=f"{type(error).__name__}, incident {incident}")
            self._trace.add("restore", state=state)
        with self._slow():
            self.close()
            self._world = self._make_world()
            self._fit(self._world, session)
            self._world.restore(state)
        with self._lock:
            session.set_back(index, f"The world broke and was set back to frame {index}, incident {incident}", now_ns)
        return True

    def _carry_out(self, world: World, task: Task) -> tuple[Frame | None, bytes | None, str]:
        """Let the world do it: the frame or the state that came of it, and what the world remarks."""
        trace = self._trace
        if task.message is None or isinstance(task.message, Step):
            frame = world.step(task.controls)
            if trace is not None:
                trace.add_step(task.controls)
            return frame, None, ""
        note: str | None = None
        part = bytes(task.payload[0]) if task.payload else b""
        with self._slow():
            match task.message:
                case Reset(seed=seed, options=options):
                    if seed is None and trace is not None:
                        seed = secrets.randbelow(SEEDS)  # what chance decided must be known to be played back
                    frame = world.reset(seed=seed, options=with_picture(options, part or None) or None)
                    if trace is not None:
                        trace.add("reset", seed=seed, settings=options, state=part)
                    return frame, None, ""
                case Save():
                    return None, world.save(), ""
                case Restore():
                    world.restore(part)
                    if trace is not None:
                        trace.add("restore", state=part)
                case Set(settings=settings):
                    note = world.configure(**settings)
                    if trace is not None:
                        trace.add("set", settings=settings)
                case Prompt(text=text):
                    note = world.configure(prompt=text)
                    if trace is not None:
                        trace.add("prompt", text=text)
        return None, None, note or ""

    def _break(self, session: Sitter | None, error: Exception) -> None:
        """Give the world up: the log gets everything, the client a line and where to look."""
        incident = secrets.token_hex(4)
        known = isinstance(error, InhabitError)
        log.error("incident %s: %s", incident, error, exc_info=None if known else error)
        self.fatal = self.fatal or is_fatal(error)
        self.failure_count += 1
        if self._trace is not None:
            self._trace.add("fault", text=f"{type(error).__name__}, incident {incident}")
        text = str(error) if known else f"The world broke, see incident {incident} in the sidecar's log"
        self._broken, self._world = self._world, None
        with self._lock:
            if session is None or session is self.session:
                # Who sat down meanwhile waits for this very world. Who took over from another gets a new one.
                session, self.failure = self.session, error
            if session is not None and session.state != "failed":
                session.fail(text, incident)

    @contextmanager
    def _slow(self) -> Iterator[None]:
        """Mark what may take long: the beat then says "loading" instead of falling silent."""
        self._busy_since_ns = self._clock()
        try:
            yield
        finally:
            self._busy_since_ns = None


def is_fatal(error: Exception) -> bool:
    """Does the device refuse all further work? A CUDA context with such an error has it for good."""
    text = str(error)
    return "CUDA error" in text and "out of memory" not in text
