"""HeadsetLoop: a world in a headset. The display's clock and the world's never wait for each other."""

from __future__ import annotations

import time
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from inhabit.bindings.headset.geometry import Pose, turned
from inhabit.bindings.headset.head_look import HeadLook
from inhabit.bindings.headset.headset import Headset, Moment
from inhabit.bindings.headset.notice import notice
from inhabit.bindings.headset.sound import turn_sound
from inhabit.bindings.headset.stage import Stage
from inhabit.bindings.input import Keys, Remap
from inhabit.bridge.client import LiveWorld
from inhabit.bridge.controls import Controls
from inhabit.bridge.frames import Frame
from inhabit.bridge.supervisor import Supervisor
from inhabit.bridge.world import WorldInfo

SNAP_AT, SNAP_BACK_AT = 0.7, 0.3
"""How far the stick has to go for a snap turn, and how near to its rest before the next one."""

RECENTRE = frozenset({"PadL3", "PadR3"})
"""Pressing both sticks recentres."""

VIGNETTE_S = 0.2
"""How long the vignette takes to come and go, s."""

MOVING = 0.1
LOOK_S = 0.2
"""How often a sidecar of our own is looked after, s."""

JOIN_S = 1.0
"""How often a lost world is joined again, s."""

TITLES = {"lost": "The world was lost", "failed": "The world could not go on", "closed": "The world was left"}


class HeadsetLoop:
    """Shows a world in a headset and lets the controllers and the head play it.

    Args:
        headset: its options say how.
        world: a free-running client; it may be loading, slow or lost, the headset goes on.
        keys: the person's own keys, whose pad names are those of the controllers.
        supervisor: of the world's sidecar, when it is ours: one that died is started again, and joined again.
    """

    def __init__(
        self,
        headset: Headset,
        world: LiveWorld,
        *,
        keys: Keys | None = None,
        supervisor: Supervisor | None = None,
    ):
        self.headset, self.world = headset, world
        self.options = headset.options
        self.stage = Stage(headset)
        self.look: HeadLook | None = None
        self.frame: Frame | None = None
        self.world_frames = 0
        self.centre: Pose | None = None
        """The viewer's place and which way is ahead; None before the first frame."""

        self._keys = keys or Keys()
        self._supervisor = supervisor
        self._told = ""
        self._remap: Remap | None = None
        self._info: WorldInfo | None = None
        self._snapped = self._recentring = self._paused = False
        self._said = Controls()
        self._speaker = self._open_speaker()
        self._heard: Frame | None = None
        self._looked_s = self._joined_s = 0.0
        self._last_s = time.monotonic()

    def run(self, seconds: float | None = None) -> None:
        """Play until the session is over, or for a while. Then look at `headset.reason`."""
        until_s = None if seconds is None else time.monotonic() + seconds
        try:
            while self.turn():
                if until_s is not None and time.monotonic() >= until_s:
                    self.headset.ask_to_end()
                    until_s = None
        finally:
            self.close()

    def turn(self) -> bool:
        """Do one frame of the display. Returns False when the session is over."""
        self._hear_world()
        going = self.headset.turn(self._draw)
        self._follow_focus()
        return going

    def recentre(self) -> None:
        """Let what is shown be ahead of where the head looks now."""
        self._recentring = True

    def close(self) -> None:
        """Free what is on the GPU and the sound device. The headset and the world belong to whoever made them."""
        if not self.headset.over:
            self.stage.release()
        if self._speaker is not None:
            self._speaker.close()

    def _hear_world(self) -> None:
        """Take the newest frame, if there is one; never wait for it. A picture that stands still says why."""
        self._mend()
        frame = self.world.poll(0.0)
        if self._info is None and self.world.state in ("ready", "running", "paused"):
            self._info = self.world.info
            self._remap = Remap(self._info, self._keys)
            self.look = HeadLook(self._info.actions, self.options.turn_deg, self.options.tilt_deg)
        if frame is None:
            self._explain()
            return
        self._told = ""
        self.frame = frame
        self.world_frames += 1
        self.stage.show(frame.pixels)
        if self.look:
            self.look.shown(frame.answers)
            self._steer(self.look)

    def _mend(self) -> None:
        """Follow a sidecar of our own to where it was started again."""
        now_s = time.monotonic()
        if self._supervisor is None or now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        status = self._supervisor.poll()
        if status.endpoint and self.world.state == "lost" and now_s - self._joined_s > JOIN_S:
            self._joined_s = now_s
            self.world.reconnect(status.endpoint)

    def _explain(self) -> None:
        """Say in the picture's place what is the matter, once."""
        state = self.world.state
        title = TITLES.get(state, "" if self.frame else "Loading the world")
        if not title or title == self._told or (self._paused and state == "paused"):
            return
        self._told = title
        reason = self.world.reason if state in ("lost", "failed") else ""
        self.stage.show(notice(self.frame.pixels if self.frame else None, title, reason))

    def _steer(self, look: HeadLook) -> None:
        """One push for the next frame of the world."""
        if self._paused or (self.options.mode != "inhabit" and not self.options.snap_turn_deg):
            return
        dx, dy = look.push()
        look.sent(self.world.send(replace(self._said, pressed=frozenset(), mouse_dx=dx, mouse_dy=dy)))

    def _draw(self, moment: Moment) -> Any:
        self._settle(moment)
        if moment.focused:
            self._say(moment.controls)
        self._hear(moment)
        assert self.centre is not None
        picture = self.look.picture_deg if self.look and self.look.looks else self._ahead_deg
        return self.stage.layers(moment, self.centre, picture)

    @property
    def _ahead_deg(self) -> tuple[float, float]:
        """A world that cannot turn stands where the last recentring put it."""
        return (self.centre.yaw_pitch_deg[0], 0.0) if self.centre else (0.0, 0.0)

    def _settle(self, moment: Moment) -> None:
        yaw_deg, pitch_deg = moment.head.yaw_pitch_deg
        if self.look and self.options.mode == "inhabit":
            self.look.head(yaw_deg, pitch_deg)
        if self.centre is None or self._recentring or self.headset.moved:
            self.centre = Pose(turned(yaw_deg), moment.head.position)
            if self.look:
                self.look.recentre()
            self._recentring = self.headset.moved = False

    def _say(self, controls: Controls) -> None:
        """Send what the controllers do, when it changed."""
        if controls.held >= RECENTRE and not self._said.held >= RECENTRE:
            self.recentre()
        self._shade(controls)
        told = self._without_snap(controls)
        changed = (told.held, dict(told.axes)) != (self._said.held, dict(self._said.axes))
        self._said = replace(told, pressed=frozenset())
        if (changed or told.pressed) and self._remap and not self._paused:
            sequence = self.world.send(self._remap.translate(told))
            if self.look:
                self.look.sent(sequence)

    def _without_snap(self, controls: Controls) -> Controls:
        """Take the stick that snaps out of what the world hears."""
        if not self.options.snap_turn_deg:
            return controls
        tilt = controls.axes.get("PadRX", 0.0)
        if abs(tilt) > SNAP_AT and not self._snapped:
            self._snapped = True
            if self.look:
                self.look.snap(self.options.snap_turn_deg if tilt > 0 else -self.options.snap_turn_deg)
        elif abs(tilt) < SNAP_BACK_AT:
            self._snapped = False
        axes = {name: value for name, value in controls.axes.items() if name != "PadRX"}
        return replace(controls, axes=MappingProxyType(axes))

    def _shade(self, controls: Controls) -> None:
        """Let the vignette come while the sticks move the world, and go afterwards."""
        now_s = time.monotonic()
        step = (now_s - self._last_s) / VIGNETTE_S * self.options.vignette
        self._last_s = now_s
        moving = any(abs(controls.axes.get(axis, 0.0)) > MOVING for axis in ("PadLX", "PadLY", "PadRX", "PadRY"))
        wanted = self.options.vignette if moving else 0.0
        self.stage.vignette = (
            min(self.stage.vignette + step, wanted) if moving else max(self.stage.vignette - step, 0.0)
        )

    def _follow_focus(self) -> None:
        """The world rests while somebody else has the controllers."""
        if not self.options.pause_on_focus_loss or self.world.state not in ("running", "paused"):
            return
        resting = ("synchronized", "visible", "idle", "ready", "stopping")
        away = self.headset.frames > 0 and self.headset.state in resting
        if away and not self._paused:
            self._paused = True
            self.world.send(Controls())
            self._said = Controls()
            self.world.pause()
        elif self._paused and self.headset.state == "focused":
            self._paused = False
            self.world.resume()

    def _open_speaker(self) -> Any:
        if not self.options.sound:
            return None
        try:
            from inhabit.bindings.window.speaker import Speaker
        except ImportError:  # without pygame the world is silent
            return None
        return Speaker()

    def _hear(self, moment: Moment) -> None:
        """Play a new frame's sound from where its picture is."""
        frame, info = self.frame, self._info
        if self._speaker is None or frame is None or info is None or not frame.sound.size or frame is self._heard:
            return
        self._heard = frame
        sound = turn_sound(frame.sound, self._source_deg - moment.head.yaw_pitch_deg[0])
        self._speaker.play(replace(frame, sound=sound), info.sound_rate_hz)

    @property
    def _source_deg(self) -> float:
        """Which way the picture's middle lies in the room, degrees."""
        if self.options.mode == "inhabit" and self.look and self.look.looks:
            return self.look.picture_deg[0]
        return self._ahead_deg[0]
