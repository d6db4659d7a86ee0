"""Frame: what a world answers with, and the stamps that say when each stage of it happened."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

NO_SOUND = np.zeros((0, 2), np.int16)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stamps:
    """When each stage of a frame happened, in ns. `client_*` is the client's monotonic clock, `server_*` the sidecar's.

    The two clocks are never compared: the client's own pair gives input-to-frame latency, the sidecar's its split.
    """

    client_input_ns: int = 0
    """The client sent the newest input that this frame answers."""

    server_received_ns: int = 0
    """The sidecar received that input."""

    server_sampled_ns: int = 0
    """The tick read the controls."""

    server_done_ns: int = 0
    """The world had made the frame."""

    server_sent_ns: int = 0
    """The sidecar handed the frame to the transport."""

    client_arrived_ns: int = 0
    """The client received the frame."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One moment of a world."""

    pixels: np.ndarray
    """(height, width, 3) uint8 RGB, row 0 on top. Read-only by convention."""

    index: int
    """Frames since the last reset; the frame that reset() returns has index 0."""

    sound: np.ndarray = field(default_factory=lambda: NO_SOUND)
    """(samples, channels) int16, what is heard during this frame; no samples in a silent world."""

    reward: float = 0.0
    """What the action that led to this frame earned."""

    terminated: bool = False
    """The world's episode ended with this frame (death, goal)."""

    truncated: bool = False
    """The episode was cut off for a reason outside the world (a time limit)."""

    answers: int = 0
    """Sequence number of the newest input that this frame shows; 0 when there was none."""

    epoch: int = 0
    """Grows with each reset or restart: frames of different epochs belong to different episodes."""

    stamps: Stamps = field(default_factory=Stamps)
