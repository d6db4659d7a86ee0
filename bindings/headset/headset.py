"""Headset: the session and its frame loop. One turn() is one frame of the display, whatever the world does."""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import moderngl
import xr

from inhabit.bindings.headset.actions import Actions, to_pose
from inhabit.bindings.headset.geometry import Pose
from inhabit.bindings.headset.graphics import Chain, make_context, make_session
from inhabit.bindings.headset.options import HeadsetOptions
from inhabit.bindings.headset.runtime import Runtime
from inhabit.bridge.controls import Controls
from inhabit.bridge.pacing import Clock, monotonic_ns

STEREO = xr.ViewConfigurationType.PRIMARY_STEREO
WAIT_S = 0.01
"""How long a turn sleeps while the runtime wants no frames, s."""

State = Literal["idle", "ready", "synchronized", "visible", "focused", "stopping", "lost", "closed"]
STATES: dict[Any, State] = {
    xr.SessionState.IDLE: "idle", xr.SessionState.READY: "ready", xr.SessionState.SYNCHRONIZED: "synchronized",
    xr.SessionState.VISIBLE: "visible", xr.SessionState.FOCUSED: "focused", xr.SessionState.STOPPING: "stopping",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Eye:
    """One eye at one moment, in the room."""

    pose: Pose
    fov: tuple[float, float, float, float]
    """Left, right, up and down, radians; left and down are negative."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Everything that is known of the frame that is being made."""

    time: int
    """When it will be seen, in the runtime's own time, ns."""

    head: Pose
    eyes: tuple[Eye, ...]
    controls: Controls
    """What the controllers say; the head is not in it."""

    focused: bool
    visible: bool
    """False while the runtime asks us not to draw."""


Draw = Callable[[Moment], Sequence[Any]]
"""Called once for each frame; returns the layers to show, the furthest first."""


class Headset:
    """An OpenXR headset and its session.

    Args:
        options: how the world is shown; the headset itself only looks at what concerns it.
        ctx: an OpenGL context that is current in this thread; None makes one without a window.

    Raises:
        HeadsetError: there is no runtime, no headset, or no OpenGL for it; the message says what to do.
    """

    def __init__(
        self, options: HeadsetOptions | None = None, *, ctx: moderngl.Context | None = None, clock: Clock = monotonic_ns
    ):
        self.options = options or HeadsetOptions()
        self.runtime = Runtime()
        self._owns_context = ctx is None
        self._clock = clock
        self.state: State = "idle"
        self.reason = ""
        """Why the session is over, for people."""

        self.frames = 0
        """Frames that were submitted."""

        self.moved = False
        """The runtime has recentred its space; whoever cares takes this back."""

        self._began_ns = self._last_ns = self.longest_gap_ns = 0
        self._running = self._asked_to_end = self._closed = False
        self._chains: list[Chain] = []
        self._session: Any = None  # pyopenxr's hints name ctypes where it takes numbers
        try:
            self.ctx = ctx or make_context(self.runtime)
            self._session = make_session(self.runtime)
            self.local = self._space(xr.ReferenceSpaceType.LOCAL)
            self.view = self._space(xr.ReferenceSpaceType.VIEW)
            self.actions = Actions(self.runtime.instance, self._session)
        except BaseException:
            self.close()
            raise
        self.eye_sizes = tuple(
            (view.recommended_image_rect_width, view.recommended_image_rect_height)
            for view in xr.enumerate_view_configuration_views(self.runtime.instance, self.runtime.system, STEREO)
        )

    @property
    def over(self) -> bool:
        """True when no further frame can be shown."""
        return self.state in ("lost", "closed")

    @property
    def fps(self) -> float:
        """Frames submitted a second, from the first to the last."""
        span_ns = self._last_ns - self._began_ns
        return (self.frames - 1) / (span_ns / 1e9) if self.frames > 1 and span_ns else 0.0

    def chain(self, size: tuple[int, int]) -> Chain:
        """Make a swapchain that is closed with the session."""
        self._chains.append(Chain(self.ctx, self._session, size))
        return self._chains[-1]

    def turn(self, draw: Draw) -> bool:
        """Do one frame of the display: hear events, wait for the frame, let it be drawn, submit it.

        Returns False when the session is over, for whatever reason: see `state` and `reason`. Nothing is raised for a
        runtime that ends, dies or takes the headset away.
        """
        try:
            self._hear()
            if self.over:
                return False
            if not self._running:
                time.sleep(WAIT_S)
                return True
            self._frame(draw)
        except (xr.InstanceLostError, xr.SessionLostError, xr.RuntimeFailureError, xr.RuntimeUnavailableError) as error:
            self._lose(f"The OpenXR runtime was lost ({type(error).__name__.removesuffix('Error')}): start it again")
        return not self.over

    def ask_to_end(self) -> None:
        """Leave as the runtime wants it: turn() goes on until the session is over."""
        if self._session is None or self._asked_to_end:
            return
        self._asked_to_end = True
        try:
            if self._running:
                xr.request_exit_session(self._session)
            else:
                self.state = "closed"
        except xr.XrException as error:
            self._lose(f"The OpenXR runtime was lost ({type(error).__name__.removesuffix('Error')})")

    def close(self) -> None:
        """End the session in whatever state it is, and free everything. Calling it twice is fine."""
        if self._session is not None and self._running and self.state != "lost":
            self._leave()
        for chain in self._chains:
            chain.close()
        self._chains.clear()
        if self._session is not None:
            with contextlib.suppress(xr.XrException):  # one that was lost is gone already
                xr.destroy_session(self._session)
            self._session = None
        if not self._closed:
            self._closed = True
            self.runtime.close()
            if self._owns_context and self.ctx is not None:
                self.ctx.release()
        if self.state != "lost":
            self.state = "closed"

    def _leave(self) -> None:
        """Ask to leave and follow the runtime through its states, for a moment at most."""
        self.ask_to_end()
        until_ns = self._clock() + 2_000_000_000
        while self._running and self._clock() < until_ns and self.turn(lambda moment: ()):
            pass

    def _space(self, kind: Any) -> xr.Space:
        return xr.create_reference_space(
            self._session,
            xr.ReferenceSpaceCreateInfo(reference_space_type=kind, pose_in_reference_space=xr.Posef()),
        )

    def _lose(self, reason: str) -> None:
        self.state, self.reason, self._running = "lost", reason, False

    def _hear(self) -> None:
        while True:
            try:
                event = xr.poll_event(self.runtime.instance)
            except xr.EventUnavailable:
                return
            kind = xr.StructureType(event.type)
            if kind == xr.StructureType.EVENT_DATA_SESSION_STATE_CHANGED:
                self._follow(_as(event, xr.EventDataSessionStateChanged).state)
            elif kind == xr.StructureType.EVENT_DATA_INSTANCE_LOSS_PENDING:
                self._lose("The OpenXR runtime is about to end: start it again")
            elif kind == xr.StructureType.EVENT_DATA_REFERENCE_SPACE_CHANGE_PENDING:
                self.moved = True

    def _follow(self, said: int) -> None:
        state = xr.SessionState(said)
        if state == xr.SessionState.READY:
            xr.begin_session(self._session, xr.SessionBeginInfo(primary_view_configuration_type=STEREO))
            self._running = True
        elif state == xr.SessionState.STOPPING:
            xr.end_session(self._session)
            self._running = False
        elif state == xr.SessionState.LOSS_PENDING:
            self._lose("The headset was taken away: connect it, then start again")
            return
        elif state == xr.SessionState.EXITING:
            self.state = "closed"
            self.reason = self.reason or ("" if self._asked_to_end else "The runtime asked to leave")
            return
        self.state = STATES.get(state, self.state)

    def _frame(self, draw: Draw) -> None:
        told = xr.wait_frame(self._session)
        xr.begin_frame(self._session)
        layers: Sequence[Any] = ()
        try:
            moment = self._moment(told)
            if moment is not None:
                layers = draw(moment)
        finally:
            pointers = [ctypes.byref(layer) for layer in layers]
            xr.end_frame(
                self._session,
                xr.FrameEndInfo(
                    display_time=told.predicted_display_time,
                    environment_blend_mode=xr.EnvironmentBlendMode.OPAQUE,
                    layers=pointers,
                ),
            )
        self._count()

    def _moment(self, told: Any) -> Moment | None:
        when = told.predicted_display_time
        focused = self.state == "focused"
        controls = self.actions.read() if focused else self.actions.release()
        asked = xr.ViewLocateInfo(view_configuration_type=STEREO, display_time=when, space=self.local)
        state, views = xr.locate_views(self._session, asked)
        known = xr.ViewStateFlags.ORIENTATION_VALID_BIT
        if not state.view_state_flags & known:
            return None
        eyes = tuple(
            Eye(to_pose(view.pose), (view.fov.angle_left, view.fov.angle_right, view.fov.angle_up, view.fov.angle_down))
            for view in views
        )
        head = to_pose(xr.locate_space(self.view, self.local, when).pose)
        return Moment(when, head, eyes, controls, focused, bool(told.should_render))

    def _count(self) -> None:
        now_ns = self._clock()
        if self.frames:
            self.longest_gap_ns = max(self.longest_gap_ns, now_ns - self._last_ns)
        else:
            self._began_ns = now_ns
        self._last_ns = now_ns
        self.frames += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _as(event: Any, kind: Any) -> Any:
    return ctypes.cast(ctypes.byref(event), ctypes.POINTER(kind)).contents
