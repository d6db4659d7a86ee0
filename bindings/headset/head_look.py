"""HeadLook: the head as a world's look control, and which way the picture looks that comes back. Pure, no OpenXR.

A world is told turns, never a direction: how far it has turned is what it was told so far. Each of its frames says
which input it shows, so the picture can be put where the world's camera looked, however late it comes, and the head
may have moved on: that is the rotational reprojection. What no world tells is how far a push turns it (`turn_deg`);
when that is wrong, the picture slips, and recentring puts it straight.
"""

from __future__ import annotations

from collections import OrderedDict

from inhabit.bindings.headset.geometry import unwound_deg
from inhabit.bridge.controls import MOUSE_FULL_PX, MOUSE_PRESS_PX, ActionMap

REMEMBERED = 512
"""Inputs whose direction is kept until their frame comes; far more than ever are on their way."""

CLICK = 0.5
"""Part of a frame's turn that must be missing before an on-off control is pressed: it cannot turn by less."""


class Axis:
    """One direction of looking: how far to go, how far the world has gone."""

    def __init__(self, actions: ActionMap, positive: str, frame_deg: float):
        """Find the world's control.

        Args:
            positive: the mouse direction that it answers to, "+x" or "-y".
            frame_deg: how far a full push turns in one frame, degrees.
        """
        letter = positive[1]
        sources = [source for source in actions.sources if source.mouse[1:] == letter]
        self.exists = bool(sources)
        self.frame_deg = frame_deg
        self._smooth = any(source.kind == "axis" for source in sources)
        self._sign = 1.0 if positive[0] == "+" else -1.0
        self.turned_deg = 0.0

    def push(self, wanted_deg: float) -> float:
        """Mouse travel that brings the world nearer to a direction within one frame, pixels."""
        if not self.exists:
            return 0.0
        share = max(-1.0, min(1.0, (wanted_deg - self.turned_deg) / self.frame_deg))
        if not self._smooth:
            share = (share > CLICK) - (share < -CLICK)
        self.turned_deg += share * self.frame_deg
        return self._sign * share * (MOUSE_FULL_PX if self._smooth else 2 * MOUSE_PRESS_PX)


class HeadLook:
    """Turns where the head looks into mouse travel, one push for each frame of the world."""

    def __init__(self, actions: ActionMap, turn_deg: float, tilt_deg: float):
        self._yaw, self._pitch = Axis(actions, "+x", turn_deg), Axis(actions, "-y", tilt_deg)
        self._snapped_deg = self._zero_deg = self._head_deg = self._tilt_deg = 0.0
        self._sent: OrderedDict[int, tuple[float, float]] = OrderedDict()
        self._shown = (0.0, 0.0)

    @property
    def looks(self) -> bool:
        """False in a world that has no look control for the mouse."""
        return self._yaw.exists

    @property
    def yaw_of_zero_deg(self) -> float:
        """Which way the world's own yaw 0 lies in the room: what was ahead at the last recentring, less the snaps."""
        return self._zero_deg - self._snapped_deg

    def head(self, yaw_deg: float, pitch_deg: float) -> None:
        """Say where the head looks, in the room."""
        self._head_deg = unwound_deg(yaw_deg, self._head_deg)
        self._tilt_deg = pitch_deg

    def snap(self, degrees: float) -> None:
        """Turn the world about its viewer, at once in the room and as fast as it can in the world."""
        self._snapped_deg += degrees

    def recentre(self) -> None:
        """What the world shows now is ahead now: forget what slipped."""
        self._zero_deg = self._head_deg - self._yaw.turned_deg + self._snapped_deg

    def push(self) -> tuple[float, float]:
        """Mouse travel (right, down) for the world's next frame, pixels."""
        return self._yaw.push(self._head_deg - self.yaw_of_zero_deg), self._pitch.push(self._tilt_deg)

    def sent(self, sequence: int) -> None:
        """The last push left under this number."""
        self._sent[sequence] = (self._yaw.turned_deg, self._pitch.turned_deg)
        while len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)

    def shown(self, answers: int) -> None:
        """A frame came that shows the input of this number."""
        while self._sent and next(iter(self._sent)) <= answers:
            self._shown = self._sent.popitem(last=False)[1]

    @property
    def picture_deg(self) -> tuple[float, float]:
        """Where the newest picture belongs in the room: yaw and pitch, degrees."""
        yaw_deg, pitch_deg = self._shown
        return yaw_deg + self.yaw_of_zero_deg, pitch_deg
