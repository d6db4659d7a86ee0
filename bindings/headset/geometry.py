"""Poses and angles. OpenXR's axes: x right, y up, -z ahead, metres; quaternions are (x, y, z, w).

Yaw is positive to the right and pitch upwards, as a mouse that moves right and up; OpenXR turns the other way about y.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Pose:
    """Where something is, and how it is turned."""

    orientation: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def matrix(self) -> np.ndarray:
        """Rotation from its own axes to those it is given in, (3, 3)."""
        x, y, z, w = self.orientation
        return np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )

    @property
    def yaw_pitch_deg(self) -> tuple[float, float]:
        """Where it looks: to the right and upwards, degrees. Tilting the head sideways changes neither."""
        ahead = -self.matrix[:, 2]
        yaw = math.degrees(math.atan2(ahead[0], -ahead[2]))
        return yaw, math.degrees(math.asin(max(-1.0, min(1.0, ahead[1]))))


def turned(yaw_deg: float, pitch_deg: float = 0.0) -> tuple[float, float, float, float]:
    """The quaternion that looks `yaw_deg` to the right, then `pitch_deg` upwards."""
    y, p = -math.radians(yaw_deg) / 2, math.radians(pitch_deg) / 2
    return (math.cos(y) * math.sin(p), math.sin(y) * math.cos(p), -math.sin(y) * math.sin(p), math.cos(y) * math.cos(p))


def wrapped_deg(angle: float) -> float:
    """The same direction, from -180 up to 180."""
    return (angle + 180.0) % 360.0 - 180.0


def unwound_deg(angle: float, near: float) -> float:
    """The same direction, as near as can be to another angle: a head that turns on and on has no jump."""
    return near + wrapped_deg(angle - near)
