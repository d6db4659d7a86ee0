"""Sound that stays where its picture is, while the head turns."""

from __future__ import annotations

import math

import numpy as np


def turn_sound(samples: np.ndarray, source_deg: float) -> np.ndarray:
    """Pan stereo sound to where its picture lies.

    Args:
        samples: (samples, channels) int16; anything but stereo is returned as it is.
        source_deg: how far to the right of the head's direction the picture's middle lies, degrees.

    The middle of the sound moves by the law of equal power, and what is left and right in it comes nearer together the
    further it lies to the side; straight ahead nothing changes, and behind the sides are swapped.
    """
    if samples.ndim != 2 or samples.shape[1] != 2 or not samples.size:
        return samples
    angle = math.radians(source_deg)
    sideways, ahead = math.sin(angle), math.cos(angle)
    middle = samples.astype(np.float32).mean(1, keepdims=True)
    side = (samples[:, :1].astype(np.float32) - samples[:, 1:]) / 2 * ahead
    gains = np.array([math.cos((sideways + 1) * math.pi / 4), math.sin((sideways + 1) * math.pi / 4)], np.float32)
    moved = middle * gains * math.sqrt(2) + side * np.array([1.0, -1.0], np.float32)
    return np.clip(np.round(moved), -32768, 32767).astype(np.int16)
