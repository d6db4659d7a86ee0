"""Pane: one world in the window: its newest frame, what was sent to it, and what to tell the person about it."""

from __future__ import annotations

from collections import deque
from textwrap import shorten

import msgspec.structs

from inhabit.bindings.input import Keys, Remap
from inhabit.bindings.window.connection import Connection, State
from inhabit.bindings.window.latency import InputLog
from inhabit.bindings.window.overlay import Notice, Statistics
from inhabit.bindings.window.paint import BAD, TEXT, WARN
from inhabit.bridge.controls import IDLE, Controls
from inhabit.bridge.frames import Frame
from inhabit.bridge.world import WorldInfo

FPS_OVER_S = 1.5
"""The frame rate shown is that of the frames of this last while, s."""

SILENCE_S = 1.0
"""A running world that sends nothing for this long is called out: a frozen picture is never silent, s."""

SILENT_FRAMES = 5
"""... or for this many of its own frames, when those last longer."""

LONGEST_REASON = 160
"""Characters of a reason that the window shows; the sidecar's last words can be long."""

BUSY_STEP_S = 0.05
"""How often a moving bar moves, s."""


class Pane:
    """A world, as far as the window knows it. `clock_ns` of the loop times everything; it has none of its own."""

    def __init__(self, connection: Connection, *, label: str = "", keys: Keys | None = None):
        """Describe a part of the window; start() opens its world.

        Args:
            label: what is written on it; "" for nothing.
            keys: the person's own keys for this world.
        """
        self.connection = connection
        self.label = label
        self._keys = keys or Keys()
        self._remap: Remap | None = None
        self._info: WorldInfo | None = None
        self.log = InputLog()
        self.frame: Frame | None = None
        self.frames = self.dropped = 0
        self.first_ns = self.last_ns = 0
        self.steps = 0
        """Sampling steps that were asked for; 0 leaves the world's own choice."""

        self._started_ns = 0
        self._trouble_ns = self._running_ns = 0
        self._arrivals_ns: deque[int] = deque(maxlen=512)
        self._stale = False
        self._sent = IDLE
        self._told = ""
        self.prompt = ""
        """What was said to the world last."""

        self._prompted = self._keeping = self._returning = 0

    @property
    def info(self) -> WorldInfo | None:
        """What the world is, with the person's own keys; None until it has said so.

        Raises InhabitError when the keys file does not fit this world.
        """
        if self._info is None and self.connection.info is not None:
            self._remap = Remap(self.connection.info, self._keys)
            self._info = msgspec.structs.replace(self.connection.info, actions=self._remap.actions)
        return self._info

    @property
    def state(self) -> State:
        """Of the connection, as people are told."""
        return self.connection.state

    @property
    def broken(self) -> bool:
        """True when no frame will come until somebody does something."""
        return self.state in ("lost", "failed")

    @property
    def hopeless(self) -> bool:
        """True when the world is broken and nothing here mends it by itself."""
        return self.state == "failed" or (self.state == "lost" and not self.connection.mending)

    @property
    def first_frame_s(self) -> float:
        """How long the first frame took from the start, s."""
        return (self.first_ns - self._started_ns) / 1e9

    def start(self, now_ns: int) -> None:
        """Begin to open the world; turn() carries it on."""
        self._started_ns = now_ns
        self.connection.start()

    def turn(self, now_ns: int, timeout_s: float = 0.0) -> Frame | None:
        """Carry the connection on and take the newest frame, waiting for it at most `timeout_s`."""
        if self.connection.turn(now_ns):
            self._stale = True
        if self.state != "running":
            self.log.forget_pending()
        frame = self.connection.poll(timeout_s)
        if self.state == "running":
            self._trouble_ns, self._running_ns = 0, self._running_ns or now_ns
        else:
            self._trouble_ns, self._running_ns = self._trouble_ns or now_ns, 0
        return frame

    def take(self, frame: Frame, now_ns: int) -> None:
        """Note a frame that has arrived."""
        if self.frame is not None and frame.epoch == self.frame.epoch:
            self.dropped += max(0, frame.index - self.frame.index - 1)
        self.log.answered(frame, now_ns)
        self.frame = frame
        self.frames += 1
        self.first_ns = self.first_ns or now_ns
        self.last_ns = now_ns
        self._arrivals_ns.append(now_ns)

    def send(self, controls: Controls, now_ns: int) -> None:
        """Send what changed. It is timed only while the world can listen; else the client drops what is too old."""
        if self.connection.live is None:
            return
        said = self._remap.translate(controls) if self.info and self._remap else controls
        sequence = self.connection.live.send(said)
        if self.state == "running":
            self.log.sent(sequence, self._sent, controls, now_ns)
        self._sent = controls

    def say(self, text: str) -> None:
        """Say to the world what it shall be, if it listens."""
        if self.connection.live and self.state in ("running", "paused") and self.info and self.info.prompts:
            self.prompt = text
            self._prompted = self.connection.live.prompt(text)

    def effect(self) -> str:
        """What came of the last prompt, once; "" while nothing is known. A refusal is told by refusal()."""
        effect = self.connection.live.effect(self._prompted) if self._prompted and self.connection.live else None
        if effect is None:
            return ""
        self._prompted = 0
        if effect.refused:
            return ""
        words = f"\u201c{self.prompt}\u201d from frame {effect.frame}"
        return f"{words} - {effect.note}" if effect.note else words

    def keep(self) -> None:
        """Ask for the world's state; kept() has it when it comes."""
        if self.connection.live and self.state in ("running", "paused"):
            self._keeping = self.connection.live.save()

    def kept(self) -> bytes:
        """The state that keep() asked for, once; nothing while it has not come. A refusal is told by refusal()."""
        effect = self.connection.live.effect(self._keeping) if self._keeping and self.connection.live else None
        if effect is None:
            return b""
        self._keeping = 0
        return effect.state

    def go_back(self, state: bytes) -> None:
        """Go on from a state that was kept."""
        if self.connection.live and self.state in ("running", "paused"):
            self._returning = self.connection.live.restore(state)

    def went_back(self) -> str | None:
        """What came of go_back(), once: "" or why it was refused; None while nothing is known."""
        if not self._returning or self.connection.live is None:
            return ""
        effect = self.connection.live.effect(self._returning)
        if effect is None:
            return None
        self._returning = 0
        return effect.refused

    def settle(self) -> None:
        """Soft reset: the world goes on from what is seen."""
        if self.connection.live and self.state == "running":
            self.connection.live.configure(anchor=True)

    def refusal(self) -> str:
        """Why the world refused the last request, once; "" when it did not."""
        reason = self.connection.reason if self.state == "running" else ""
        told, self._told = self._told, reason
        return reason if reason != told else ""

    def catch_up(self, held: Controls, now_ns: int) -> None:
        """Tell a new sidecar what is held down now."""
        if self._stale and self.state == "running":
            self._stale = False
            if held.held or held.axes:
                self.send(held, now_ns)

    def fps(self, now_ns: int) -> float:
        """Frames that reached this window a second, over the last while."""
        since = now_ns - FPS_OVER_S * 1e9
        recent = [arrival for arrival in self._arrivals_ns if arrival >= since]
        return (len(recent) - 1) / ((recent[-1] - recent[0]) / 1e9) if len(recent) > 2 else 0.0

    @property
    def mean_fps(self) -> float:
        """Frames that reached this window a second, from the first to the last."""
        return (self.frames - 1) / ((self.last_ns - self.first_ns) / 1e9) if self.frames > 1 else 0.0

    def statistics(self, now_ns: int) -> Statistics:
        """What the statistics overlay shows."""
        info, frame = self.info, self.frame
        latency = self.log.percentiles_ms(50, 95)
        facts = [("frame", str(frame.index) if frame else "-"), ("dropped", str(self.dropped))]
        if info and info.steps:
            facts.append(("steps", str(self.steps) if self.steps else "as it likes"))
        if frame and frame.stamps.server_done_ns:
            made_ns = frame.stamps.server_done_ns - frame.stamps.server_sampled_ns
            facts.append(("made in", f"{made_ns / 1e6:.1f} ms"))
        return Statistics(
            title=self.connection.name, state=self.state, fps=self.fps(now_ns), rate_hz=info.rate_hz if info else 0.0,
            latency_ms=(latency[0], latency[1]) if latency else None, facts=tuple(facts), events=self.log.rows,
        )  # fmt: skip

    def notice(self, now_ns: int) -> Notice | None:
        """What stands in the way of a moving picture, and the way back; None when nothing does."""
        state, reason = self.state, self.connection.reason
        if state == "lost":
            return self._lost(reason, now_ns)
        if state == "failed":
            return Notice(
                title=f"{self.connection.name} could not go on", lines=(reason,) if reason else (),
                way_out="F5 or Enter tries again, Esc twice leaves", colour=BAD,
            )  # fmt: skip
        if state == "paused":
            return Notice(title="Paused", way_out="F6 goes on")
        if self.frame is None or state == "loading":
            waited_s = self._since(self._started_ns if self.frame is None else self._trouble_ns, now_ns)
            return Notice(title=f"Loading {self.connection.name}", way_out=f"{int(waited_s)} s", busy_s=waited_s)
        return self._silence(now_ns)

    def _lost(self, reason: str, now_ns: int) -> Notice:
        lines = (shorten(reason, LONGEST_REASON, placeholder=" ..."),) if reason else ()
        if self.connection.mending:
            waited_s = self._since(self._trouble_ns, now_ns)
            return Notice(
                title="The sidecar was lost", lines=lines, way_out="It is being started again, play goes on by itself",
                colour=WARN, busy_s=waited_s,
            )  # fmt: skip
        return Notice(
            title="The sidecar was lost", lines=lines, way_out="F5 or Enter reconnects, Esc twice leaves", colour=BAD
        )

    def _silence(self, now_ns: int) -> Notice | None:
        limit_s = max(SILENCE_S, SILENT_FRAMES / self.info.rate_hz) if self.info else SILENCE_S
        silent_s = self._since(max(self.last_ns, self._running_ns), now_ns)
        if silent_s < limit_s:
            return None
        return Notice(
            title="Waiting for the world", lines=(f"No frame for {int(silent_s)} s: the sidecar is busy or stuck.",),
            way_out="F5 begins again", colour=TEXT, busy_s=silent_s,
        )  # fmt: skip

    def _since(self, then_ns: int, now_ns: int) -> float:
        seconds = (now_ns - then_ns) / 1e9 if then_ns else 0.0
        return round(seconds / BUSY_STEP_S) * BUSY_STEP_S
