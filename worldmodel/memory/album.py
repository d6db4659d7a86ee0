"""The album: a few key frames of where one has been, each with its pose. It never grows.

A frame is put in now and then. It takes the place of the picture that shows the same view when that has grown old, else
an empty place, else that of the oldest one: who looks around for an hour has still the whole circle. The picture that
shows most of what one looks at now is found by pose alone (WorldMem, arXiv 2504.12369, retrieves by overlap of views).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from inhabit.worldmodel.memory.pose import POSE, between

EVERY_FRAMES = 8
"""A frame is put in every so often."""
PLACES = 48
OLD_FRAMES = 16
"""Only pictures older than this are looked up: the ring knows the others."""
VIEW_RAD = math.radians(90)
"""Pictures that differ by this angle share nothing."""
LEAST_OVERLAP = 0.2
SAME_OVERLAP = 0.85
"""From this overlap on two pictures show the same view."""
RENEWED_FRAMES = 64
"""A picture of the same view is renewed when it is this old."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Album:
    """Key frames of a batch of sessions."""

    pixels: Tensor
    """(b, places, h, w, 3) uint8."""
    pose: Tensor
    """(b, places, 5)."""
    frame: Tensor
    """(b, places) int64: the number of each frame, -1 for an empty place."""

    @classmethod
    def empty(cls, batch: int, places: int, size: tuple[int, ...], device: torch.device) -> Album:
        """Args: size: of the pixels, (h, w, 3)."""
        return cls(
            pixels=torch.zeros(batch, places, *size, dtype=torch.uint8, device=device),
            pose=torch.zeros(batch, places, POSE, device=device),
            frame=torch.full((batch, places), -1, dtype=torch.int64, device=device),
        )

    def put(self, pixels: Tensor, pose: Tensor, frame: Tensor, unit: Tensor, *, worth: Tensor | None = None) -> Album:
        """An album that also holds these frames, one for each session whose frame number is a multiple of EVERY_FRAMES.

        Args:
            pixels, pose, frame: (b, ...) the newest frames.
            unit: the world's usual length; see Recall.
            worth: (b,) bool: which may be kept; all by default.
        """
        due = frame % EVERY_FRAMES == 0
        due = due if worth is None else due & worth
        if not bool(due.any()):
            return self
        place, wanted = place_for(self.pose, self.frame, pose, frame, unit)
        due = due & wanted
        session = torch.arange(len(frame), device=frame.device)[due]
        changed = Album(pixels=self.pixels.clone(), pose=self.pose.clone(), frame=self.frame.clone())
        for mine, value in ((changed.pixels, pixels), (changed.pose, pose), (changed.frame, frame)):
            mine[session, place[due]] = value[due]
        return changed

    def select(self, sessions: Tensor) -> Album:
        return Album(**{f.name: getattr(self, f.name)[sessions] for f in fields(self)})

    def put_sessions(self, sessions: Tensor, fresh: Album) -> Album:
        """An album in which some sessions, (k,) int64, have those of `fresh`."""
        mine = {f.name: getattr(self, f.name) for f in fields(self)}
        return Album(**{name: part.index_copy(0, sessions, getattr(fresh, name)) for name, part in mine.items()})

    @staticmethod
    def join(parts: list[Album]) -> Album:
        return Album(**{f.name: torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Album)})


def overlap(seen: Tensor, now: Tensor, unit: Tensor | float) -> Tensor:
    """How much of one view the other shows, roughly, 0 to 1. Shapes: (..., 5) twice -> (...).

    Args:
        unit: a distance that leaves about half of it.
    """
    travel = between(seen, now)
    turned = (1 - travel[..., 3].abs() / VIEW_RAD).clamp(min=0) * (1 - travel[..., 4].abs() / VIEW_RAD).clamp(min=0)
    return turned / (1 + travel[..., :3].norm(dim=-1) / unit)


def place_for(
    poses: Tensor, frames: Tensor, pose: Tensor, frame: Tensor, unit: Tensor | float
) -> tuple[Tensor, Tensor]:
    """Where a new frame goes, and whether it is wanted.

    Args:
        poses, frames: (b, places, 5) and (b, places) of albums.
        pose, frame: (b, 5) and (b,) of the new frame.

    Returns:
        (b,) int64 place, and (b,) bool.
    """
    same = torch.where(frames >= 0, overlap(poses, pose[:, None], unit), -1.0)
    likest, place = same.max(1)
    there = likest >= SAME_OVERLAP
    young = frame - frames.gather(1, place[:, None])[:, 0] < RENEWED_FRAMES
    oldest = frames.argmin(1)  # an empty place is -1, older than any
    return torch.where(there, place, oldest), ~(there & young)


def look_up(
    poses: Tensor,
    frames: Tensor,
    pose: Tensor,
    frame: Tensor,
    unit: Tensor | float,
    *,
    old_frames: Tensor | int = OLD_FRAMES,
    young: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """The picture that shows most of a view.

    Args:
        poses, frames: (b, places, 5) and (b, places) of albums.
        pose, frame: (b, 5) and (b,) of what one looks at, and when.
        old_frames: only pictures older than this are looked up; a number, or (b, 1).
        young: how much the others count beside them: they may be copies of old ones.

    Returns:
        (b,) int64 place, and (b,) bool whether there is a picture that helps at all.
    """
    counts = torch.where(frame[:, None] - frames > old_frames, 1.0, young) * (frames >= 0)
    shown = torch.where(counts > 0, counts * overlap(poses, pose[:, None], unit), -1.0)
    most, place = shown.max(1)
    return place, most >= LEAST_OVERLAP
