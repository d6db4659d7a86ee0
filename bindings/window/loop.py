"""PlayLoop: events in, controls out, frames in, pictures out. The same loop with a screen and without one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pygame

from inhabit.bindings.window.clip import Clip
from inhabit.bindings.window.devices import Devices
from inhabit.bindings.window.face import Face
from inhabit.bindings.window.help import help_sections
from inhabit.bindings.window.keys import window_keys
from inhabit.bindings.window.pane import Pane
from inhabit.bindings.window.prompt_line import PromptLine
from inhabit.bindings.window.screen import GAP_PX, Screen, opening_size
from inhabit.bindings.window.speaker import Speaker
from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import InhabitError
from inhabit.bridge.frames import Frame
from inhabit.bridge.pacing import Clock, monotonic_ns
from inhabit.bridge.playout import Playout

LISTEN_S = 0.004
"""How long a turn waits for a frame before it looks at the devices again: what an input may wait here, s."""

REDRAW_HZ = 60.0
ANALOG_HZ = 120.0
"""Mouse and stick motion is sent at most this often; keys and buttons go at once."""

LEAVE_S = 3.0
"""A second Escape within this time leaves, s."""

FIRST_SIZE_PX = (960, 720)
"""The window's size until its world has said how large it is."""

Watcher = Callable[[pygame.Surface, Frame], None]
"""Called with what the window shows of each new frame of the first pane, and that frame."""

Channel = Callable[[], Sequence[Pane]]
"""Makes the panes of one world, or of several that are compared, anew."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowOptions:
    """How a window begins."""

    title: str = "Inhabit"
    """Stands in the window's title bar behind the worlds' names."""

    scale: int = 0
    """Whole magnification of the world's pixels; 0 takes the largest that leaves some desktop free."""

    statistics: bool = False
    """Begin with the statistics shown."""

    hint: bool = True
    """Show which keys to begin with."""

    steps: int = 0
    """Sampling steps to ask for; 0 leaves the world's own choice."""

    folder: Path = Path(".")
    """Where clips and screenshots go."""

    sound: bool = True
    """Whether the first world is heard."""

    moment: bytes = b""
    """A kept moment of the first world to begin with."""


class PlayLoop:
    """The window and everything in it. `turn()` never blocks for longer than a few milliseconds."""

    def __init__(
        self,
        panes: Sequence[Pane],
        options: WindowOptions | None = None,
        *,
        channels: Sequence[Channel] = (),
        clock_ns: Clock = monotonic_ns,
    ):
        """Open a window and begin to open its worlds.

        Args:
            panes: what is shown first, beside each other.
            channels: what Page Down and Page Up turn to; the first of them is what `panes` shows.
        """
        self.panes = tuple(panes)
        self._channels, self._channel = tuple(channels), 0
        self.options = options or WindowOptions()
        self.screen = Screen(self.options.title, FIRST_SIZE_PX)
        self.line = PromptLine()
        self.face = Face(self.screen, self.line)
        self.face.statistics = self.options.statistics
        self.devices = Devices()
        self.speaker = Speaker()
        self.playout = Playout(clock_ns)
        self.watchers: list[Watcher] = []
        self.clip: Clip | None = None
        self.done = False
        self._clock_ns = clock_ns
        self._owned: dict[str, str] = {}
        self._known: list[tuple[str, bool]] = []
        self._sized = False
        """All worlds have said what they are, and the window has taken their size."""

        self._sent_ns = self._drawn_ns = self._leaving_until_ns = 0
        self._held = Controls()
        self._waiting: Frame | None = None
        self._fresh = self._screenshot = False
        self._moment = b""
        self.returning = False
        """True while the moment to begin with is being gone back to."""

        self._start()

    def run(self) -> None:
        """Play until the person leaves."""
        try:
            while not self.done:
                self.turn()
        finally:
            self.close()

    def turn(self) -> None:
        """Take what the devices did, send it, take a frame, draw."""
        typing = self.line.is_open  # the letter that opens the line is not the first one of the text
        for event in pygame.event.get():
            self._handle(event, typing)
        self._send()
        self._receive()
        self._draw()

    def command(self, name: str) -> None:
        """Do what one of the window's keys asks for (`keys.COMMANDS`); a refusal is shown, not raised."""
        try:
            self._command(name)
        except InhabitError as error:
            self.face.say(str(error), self._clock_ns())

    def close(self) -> None:
        """Finish a clip that is being written, let the worlds go and close the window."""
        try:
            if self.clip:
                self.clip.close()
        finally:
            for pane in self.panes:
                pane.connection.close()
            self.speaker.close()
            self.devices.close()
            self.screen.close()

    def _handle(self, event: pygame.event.Event, typing: bool) -> None:
        if event.type == pygame.QUIT:
            self.done = True
            return
        if event.type in (pygame.WINDOWRESIZED, pygame.WINDOWSIZECHANGED):
            self.screen.refresh()
        if event.type == pygame.WINDOWFOCUSLOST:
            self._capture(False)
        if self.line.is_open and event.type in (pygame.KEYDOWN, pygame.TEXTINPUT):
            said = self.line.handle(event) if typing else ""
            if said:
                self.say(said)
            return
        name = self.devices.handle(event)
        if name:
            self.command(self._owned.get(name, ""))

    def _command(self, name: str) -> None:
        match name:
            case "statistics":
                self.face.statistics = not self.face.statistics
            case "help":
                self.face.turn_help()
            case "mouse":
                self._capture(not self.devices.captured)
            case "reset":
                self._reset()
            case "pause":
                self._pause()
            case "keep":
                self.panes[0].keep()
            case "back":
                self._go_back()
            case "next world" | "previous world":
                self._turn_to(self._channel + (1 if name == "next world" else -1))
            case "settle":
                for pane in self.panes:
                    pane.settle()
                self.face.say("Settled: it goes on from what you see", self._clock_ns())
            case "quieter" | "louder":
                self._turn_volume(louder=name == "louder")
            case "record":
                self._record()
            case "fullscreen":
                self.screen.toggle_fullscreen()
            case "screenshot":
                self._screenshot = True
            case "escape":
                self._escape()
            case "prompt":
                self.devices.release_all()
                self.line.open()
            case _ if name.startswith("prompt"):
                info = self.panes[0].info
                self.say(info.prompts[int(name.removeprefix("prompt")) - 1] if info else "")
            case _ if name.startswith("steps"):
                self._choose_steps(int(name.removeprefix("steps") or 0))

    def say(self, text: str) -> None:
        """Say to every world that listens what it shall be; none of them begins anew."""
        for pane in self.panes:
            pane.say(text)
        self.face.say(f"\u201c{text}\u201d", self._clock_ns())

    def _escape(self) -> None:
        now_ns = self._clock_ns()
        if self.devices.captured:
            self._capture(False)
        elif self.face.helping:
            self.face.close_help()
        elif now_ns < self._leaving_until_ns:
            self.done = True
        else:
            self._leaving_until_ns = now_ns + int(LEAVE_S * 1e9)
            self.face.say("Press Esc again to leave", now_ns, LEAVE_S)

    def _capture(self, captured: bool) -> None:
        if captured != self.devices.captured:
            self.devices.captured = captured
            self.screen.grab_mouse(captured)
            self.face.say("The mouse steers, Esc frees it" if captured else "The mouse is free", self._clock_ns())

    def _reset(self) -> None:
        broken = [pane for pane in self.panes if pane.broken]
        for pane in broken or self.panes:
            if pane.state == "lost":
                pane.connection.retry()
            else:
                pane.connection.reset()
        if not broken:
            self.face.say("Begun again", self._clock_ns())

    def _pause(self) -> None:
        paused = any(pane.state == "paused" for pane in self.panes)
        for pane in self.panes:
            if pane.connection.live and not pane.broken:
                (pane.connection.live.resume if paused else pane.connection.live.pause)()

    def _go_back(self) -> None:
        if self._moment:
            self.panes[0].go_back(self._moment)
            self.face.say("Back at the moment that was kept", self._clock_ns())
        else:
            self.face.say("No moment was kept yet", self._clock_ns())

    def _keep(self, state: bytes) -> None:
        """Write a moment beside and rename: whoever reads it finds it whole."""
        path, self._moment = self._file_name("moment"), state
        partial = path.with_suffix(".partial")
        try:
            partial.write_bytes(state)
            partial.replace(path)
        except OSError as error:
            self.face.say(f"Cannot keep it in {path}: {error.strerror}", self._clock_ns())
        else:
            self.face.say(f"Kept {path} ({len(state) / 2**20:.1f} MB)", self._clock_ns())

    def _turn_to(self, channel: int) -> None:
        """Leave this world for another; its sidecar ends first, so that two never share the machine."""
        if self.clip:
            self._finish_clip()
        for pane in self.panes:
            pane.connection.close()
        self.line.close()
        self.devices.release_all()
        self.speaker.rest()
        self._channel = channel % len(self._channels)
        self.panes = tuple(self._channels[self._channel]())
        self.playout = Playout(self._clock_ns)
        self._held, self._waiting, self._moment, self.returning = Controls(), None, b"", False
        self._sized, self._known = False, []
        self._start()

    def _start(self) -> None:
        self.screen.entitle(f"{' | '.join(pane.connection.name for pane in self.panes)} - {self.options.title}")
        for pane in self.panes:
            pane.start(self._clock_ns())

    def _choose_steps(self, steps: int) -> None:
        """Ask every world that can for a number of sampling steps; 0 is the next one after the last asked for."""
        for pane in self.panes:
            offered = pane.info.steps if pane.info else ()
            wanted = steps or next((n for n in offered if n > pane.steps), offered[0] if offered else 0)
            if pane.connection.live and wanted in offered:
                pane.connection.live.configure(steps=wanted)
                pane.steps = wanted
                self.face.say(f"Sampling in {wanted} step{'s' if wanted > 1 else ''}", self._clock_ns())

    def _record(self) -> None:
        if self.clip:
            self._finish_clip()
        elif self.panes[0].info is None:
            self.face.say("Nothing to record yet", self._clock_ns())
        else:
            self.record(self._file_name("mp4"))

    def record(self, path: Path) -> None:
        """Begin a clip of what the window shows, at its present size. Raises InhabitError if it cannot be written."""
        info = self.panes[0].info
        assert info is not None
        size = self.face.worlds_size(self.panes)
        self.clip = Clip(path, size, info.rate_hz, sound_rate_hz=info.sound_rate_hz, sound_channels=info.sound_channels)

    def _finish_clip(self) -> None:
        assert self.clip is not None
        clip, self.clip = self.clip, None
        clip.close()
        words = f"Saved {clip.path} ({clip.seconds:.1f} s)" if clip.frames else "Nothing to save: no frame came"
        self.face.say(words, self._clock_ns())

    def _file_name(self, ending: str) -> Path:
        world = self.panes[0].connection.name.rsplit("/", 1)[-1].replace(":", "-")
        return self.options.folder / f"{world}-{time.strftime('%Y%m%d-%H%M%S')}.{ending}"

    def _send(self) -> None:
        now_ns = self._clock_ns()
        rested = now_ns - self._sent_ns >= 1e9 / ANALOG_HZ
        if self.devices.switched or (self.devices.moved and rested):
            controls = self.devices.snapshot()
            self._held = Controls(held=controls.held, axes=controls.axes)
            self._sent_ns = now_ns
            for pane in self.panes:
                pane.send(controls, now_ns)
        for pane in self.panes:
            pane.catch_up(self._held, now_ns)

    def _receive(self) -> None:
        """Take the newest frame of every world; the first one that is up is waited for, so that an idle loop sleeps."""
        timeout_s = LISTEN_S
        for number, pane in enumerate(self.panes):
            frame = pane.turn(self._clock_ns(), timeout_s)
            timeout_s = 0.0 if pane.connection.live and not pane.broken else timeout_s
            if refusal := pane.refusal():
                self.face.say(refusal, self._clock_ns())
            if effect := pane.effect():
                self.face.say(effect, self._clock_ns())
            if state := pane.kept():
                self._keep(state)
            if number == 0:
                self._hear_of_moment()
                frame = self._in_time(frame)
            if frame is not None:
                pane.take(frame, self._clock_ns())
                self._fresh = True
                if number == 0:
                    if self.options.moment and not self._moment and not self._channel:
                        self._moment = self.options.moment
                        pane.go_back(self._moment)
                        self.returning = True
                    self._waiting = frame
        if timeout_s:
            time.sleep(timeout_s)
        known = [(pane.state, pane.info is not None) for pane in self.panes]
        if known != self._known:
            self._known = known
            if self.panes[0].state != "running":
                self.speaker.rest()
            self._settle()

    def _hear_of_moment(self) -> None:
        """Raises InhabitError when the world does not take the moment that was to be begun with."""
        if self.returning and (refused := self.panes[0].went_back()) is not None:
            self.returning = False
            if refused:
                name = self.panes[0].connection.name
                raise InhabitError(f"Expected a moment that was kept in {name}, the world refused it: {refused}")

    def _in_time(self, frame: Frame | None) -> Frame | None:
        """What is due of the first world. Only that one is heard: two at once would tell nobody anything."""
        info = self.panes[0].info
        if frame is not None and info is not None:
            heard_hz = info.sound_rate_hz if self.options.sound else 0
            self.playout.put(frame, rate_hz=info.rate_hz, sound_rate_hz=heard_hz)
            if self.playout.sound is not None:
                self.speaker.play_from(self.playout.sound)
        return self.playout.show()

    def _turn_volume(self, *, louder: bool) -> None:
        volume = self.speaker.turn_volume(louder)
        words = f"Volume {volume:.0%}" if volume else "Muted"
        self.face.say(self.speaker.trouble or words, self._clock_ns())

    def _settle(self) -> None:
        """Fit the window and its keys to what the worlds are now."""
        infos = [pane.info for pane in self.panes if pane.info]
        info = infos[0] if infos else None
        self._owned = window_keys(info, worlds=len(self._channels))
        if any(pane.broken for pane in self.panes):
            self._owned["Enter"] = "reset"
        self.devices.window_keys = frozenset(self._owned)
        self.face.sections = help_sections(info.actions if info else None, self._owned)
        if len(infos) == len(self.panes) and not self._sized:
            self._sized = True
            self._fit_window()
            if len(self.panes) > 1:
                self._reset()  # worlds that are compared begin together
            if self.options.hint:
                self.face.hint(self._clock_ns())
            if self.options.steps and not self._channel:
                offered = sorted({steps for info in infos for steps in info.steps})
                if self.options.steps not in offered:
                    said = ", ".join(map(str, offered)) or "none: it is not sampled"
                    raise InhabitError(f"Expected sampling steps that the world has ({said}), got {self.options.steps}")
                self._choose_steps(self.options.steps)

    def _fit_window(self) -> None:
        infos = [pane.info for pane in self.panes if pane.info]
        width, height = max(info.width for info in infos), max(info.height for info in infos)
        desktop = pygame.display.get_desktop_sizes()[0]
        gaps = GAP_PX * (len(self.panes) - 1)
        size = opening_size((width * len(self.panes), height), (desktop[0] - gaps, desktop[1]), self.options.scale)
        self.screen.resize((size[0] + gaps, size[1]))

    def _draw(self) -> None:
        now_ns = self._clock_ns()
        wanted = self._waiting is not None and bool(self.watchers or self.clip)
        if now_ns - self._drawn_ns < 1e9 / REDRAW_HZ and not wanted:
            return
        picture = self.face.draw(
            self.panes, now_ns, fresh=self._fresh, keep=wanted or self._screenshot,
            recording_s=self.clip.seconds if self.clip else None,
        )  # fmt: skip
        self._drawn_ns = now_ns
        frame, self._waiting, self._fresh = self._waiting, None, False
        if picture is not None:
            self._hand_out(picture, frame)

    def _hand_out(self, picture: pygame.Surface, frame: Frame | None) -> None:
        if self._screenshot:
            self._screenshot = False
            self._save(picture, self._file_name("png"))
        if frame is None:
            return
        if self.clip:
            self._append(self.clip, picture, frame)
        for watcher in self.watchers:
            watcher(picture, frame)

    def _save(self, picture: pygame.Surface, path: Path) -> None:
        try:
            pygame.image.save(picture, path)
            self.face.say(f"Saved {path}", self._clock_ns())
        except (pygame.error, OSError) as error:
            self.face.say(f"Cannot write {path}: {error}", self._clock_ns())

    def _append(self, clip: Clip, picture: pygame.Surface, frame: Frame) -> None:
        try:
            clip.add(picture, frame)
        except InhabitError as error:  # a full disk ends the clip, not the game
            self.clip = None
            self.face.say(str(error), self._clock_ns())
