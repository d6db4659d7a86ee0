"""Footage: a recording in memory, as training and measuring draw from it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.recordings import Meta, RecordingError, Shard, read_meta, read_shards
from inhabit.worldmodel.train.frames import FrameStore

HELD_OUT_EVERY = 32
"""Episodes whose seed leaves the remainder HELD_OUT_EVERY - 1 are never trained on."""

SCENERY = frozenset(("BulletPuff", "Blood", "TeleportFog"))
"""Recorded names that are effects, not objects that must persist."""


@dataclass(frozen=True, kw_only=True)
class Footage:
    """All rows of a recording, one after the other."""

    meta: Meta
    frames: np.ndarray
    """(n, h, w, 3) uint8."""
    actions: np.ndarray
    """(n, a) float32; row t led to frame t."""
    rewards: np.ndarray
    terminated: np.ndarray
    first: np.ndarray
    seeds: np.ndarray
    boxes: np.ndarray
    """(m, 6) int32, sorted by row: row, name, x, y, width, height; effects left out."""
    names: tuple[str, ...]
    """What the boxes' second column counts."""
    texts: tuple[str, ...] = ("",)
    """What was said, each once; the first is nothing."""
    text_of: np.ndarray | None = None
    """(n,) int64 which of them holds at each row; None where nothing was ever said."""

    pose: np.ndarray | None = None
    """(n, 5) float32 as memory.pose has it, up to where the world's axes point; None where it was not recorded."""

    def __len__(self) -> int:
        return len(self.actions)

    @cached_property
    def held_out(self) -> np.ndarray:
        """(n,) bool: rows of episodes that training never sees."""
        return self.seeds % HELD_OUT_EVERY == HELD_OUT_EVERY - 1

    @cached_property
    def usual_frame(self) -> np.ndarray:
        """(h, w, 3) uint8, the median over the recording: what is always there."""
        return np.median(self.frames[:: max(1, len(self) // 300)], axis=0).astype(np.uint8)

    def unusual(self, rows: np.ndarray | slice) -> np.ndarray:
        """(b, h, w) float32, 0 to 1: how far each pixel is from the usual frame. Stands in for unrecorded objects."""
        away = np.abs(self.frames[rows].astype(np.int16) - self.usual_frame).mean(-1)
        return np.clip(away.astype(np.float32) / 64, 0, 1)

    @cached_property
    def _box_start(self) -> np.ndarray:
        return np.searchsorted(self.boxes[:, 0], np.arange(len(self) + 1))

    def boxes_of(self, row: int) -> np.ndarray:
        """(k, 5) int32 of one row: name, x, y, width, height."""
        return self.boxes[self._box_start[row] : self._box_start[row + 1], 1:]

    def previous_rows(self, rows: np.ndarray) -> np.ndarray:
        """The row before each within its episode, or the row itself where it is the first."""
        return np.where(self.first[rows], rows, rows - 1)

    @cached_property
    def next_stage(self) -> np.ndarray | None:
        """(n,) int64: for each row the one of the same moment after the next words, -1 where none was recorded; None
        where there is none at all.

        A recording can play a seed in stages: the same walk in episodes that follow each other, each as it looks after
        the next words (`inhabit record isle` does). After the last stage comes the first: its words say everything.
        """
        if self.text_of is None or self.pose is None:
            return None
        following = np.full(len(self), -1)
        begins = np.append(np.flatnonzero(self.first), len(self))
        opening = 0
        for begin, middle, end in zip(begins, begins[1:], begins[2:], strict=False):
            alike = self.seeds[begin] == self.seeds[middle] and end - middle == middle - begin
            if alike and np.allclose(self.pose[begin:middle], self.pose[middle:end], atol=1e-3):
                following[begin:middle] = np.arange(middle, end)
                following[middle:end] = np.arange(opening, opening + end - middle)
            else:
                opening = middle
        return following if (following >= 0).any() else None

    def windows(self, length: int, *, held_out: bool, stride: int = 1) -> np.ndarray:
        """Starts of all runs of `length` rows that lie within one episode."""
        starts = np.arange(0, max(0, len(self) - length + 1), stride)
        episode = np.cumsum(self.first)
        whole = episode[starts] == episode[starts + length - 1]
        return starts[whole & (self.held_out[starts] == held_out)]

    def training_windows(self, least: int, *, known: int = 0) -> np.ndarray:
        """Starts of windows to train on: all that have `least` rows of their episode before them, themselves counted.

        Windows of any length may begin there, also where they run past their episode's end: in windows that lie whole
        within one, endings would only ever be a last frame, and a network that counts the frames that it sees would
        learn that nothing ends before.

        Args:
            known: rows that have been learnt from before. Where there are any, half of all windows begin behind them,
                each named so many times: what was recorded since is what a world lacked.
        """
        starts = self.windows(least, held_out=False)
        new = starts[starts >= known]
        if not known or not len(new):
            return starts
        return np.concatenate([starts, np.repeat(new, max(0, round(len(starts) / len(new)) - 2))])


def load_footage(folder: str | Path, *, limit: int | None = None, seeds: range | None = None) -> Footage:
    """Read a recording: 3 bytes a pixel, on disk where they would fill memory. Episodes cut by a shard's end are kept
    up to the cut.

    Raises RecordingError for a folder without readable shards.
    """
    folder = Path(folder)
    meta = read_meta(folder)
    columns: dict[str, list[np.ndarray]] = {
        name: [] for name in ("actions", "rewards", "terminated", "first", "seeds", "variables")
    }
    frames, boxes, names, rows = FrameStore(), [], [], 0
    texts, text_of = {"": 0}, []
    for shard in read_shards(folder, seeds=seeds):
        frames.add(shard.frames)
        for name in columns:
            columns[name].append(getattr(shard, name))
        columns["first"][-1][0] = True  # whatever came before this shard's first row is not its past
        kept = _kept_boxes(shard.objects, shard.object_names, names)
        boxes.append(np.column_stack([kept[:, 0] + rows, kept[:, 1:]]))
        text_of.append(_texts_of(shard, texts))
        rows += len(shard)
        if limit and rows >= limit:
            break
    if not rows:
        raise RecordingError(f"Expected frames, got none (seeds {seeds}) - at {folder}")
    return Footage(
        pose=pose_of(meta.variables, np.concatenate(columns.pop("variables"))),
        meta=meta,
        frames=frames.array(),
        boxes=np.concatenate(boxes),
        names=tuple(names),
        texts=tuple(texts),
        text_of=np.concatenate(text_of) if len(texts) > 1 else None,
        **{name: np.concatenate(parts) for name, parts in columns.items()},
    )


def pose_of(names: tuple[str, ...], variables: np.ndarray) -> np.ndarray | None:
    """The eye's pose from what a recording calls it. Shapes: (n, variables) -> (n, 5) float32.

    Either X (east), Y (up), Z (north), YAW (clockwise) and PITCH (up), as isle has them, or ViZDoom's POSITION_X,
    POSITION_Y, POSITION_Z, ANGLE (counter-clockwise) and PITCH; angles in degrees. What is missing stays 0, but without
    an angle nobody knows what a picture shows, and there is no pose.
    """

    def column(name: str) -> np.ndarray:
        return variables[:, names.index(name)] if name in names else np.zeros(len(variables), np.float32)

    if "YAW" in names:
        parts = [column("X"), column("Y"), column("Z"), np.radians(column("YAW")), np.radians(column("PITCH"))]
    elif "ANGLE" in names:  # at angle 0 one looks along x, and y is to the left
        place = [-column("POSITION_Y"), column("POSITION_Z"), column("POSITION_X")]
        parts = [*place, -np.radians(column("ANGLE")), np.radians(column("PITCH"))]
    else:
        return None
    parts[1] = parts[1] - np.median(parts[1])  # the usual height is where sessions begin
    return np.column_stack(parts).astype(np.float32)


def _texts_of(shard: Shard, texts: dict[str, int]) -> np.ndarray:
    """Which text holds at each row of a shard; `texts` grows as new ones appear."""
    held = np.zeros(len(shard), np.int64)
    begins = dict(zip(shard.text_frame.tolist(), shard.text, strict=True))
    said = 0
    for row in range(len(shard)) if begins else ():
        if row in begins:
            said = texts.setdefault(begins[row], len(texts))
        elif shard.first[row]:
            said = 0
        held[row] = said
    return held


def _kept_boxes(objects: np.ndarray, shard_names: tuple[str, ...], names: list[str]) -> np.ndarray:
    """Drop effects, and count kinds across shards; `names` grows as new ones appear.

    What follows a colon, such as the colour in "tower:red", is left out: kinds are what a detector is asked for.
    """
    shard_names = tuple(name.partition(":")[0] for name in shard_names)
    for name in shard_names:
        if name not in SCENERY and name not in names:
            names.append(name)
    number = np.array([names.index(name) if name in names else -1 for name in shard_names] or [-1])
    table = np.column_stack([objects[:, 0], number[objects[:, 1]], objects[:, 2:]]) if len(objects) else objects
    return table[table[:, 1] >= 0]


def object_weight(footage: Footage, rows: np.ndarray, *, gain: float, full_area_px: float = 200.0) -> Tensor:
    """How much each pixel matters because of the objects on it. Shape (b, 1, h, w), 1 where there is none.

    A box adds gain * full_area_px / area to each of its pixels (bounded to gain / 2 .. 4 gain), so that a distant
    monster of ten pixels counts nearly as much as one that fills the view. Where no objects were recorded, what is
    unusual counts as one.
    """
    if not footage.names:
        return 1 + 2 * gain * torch.from_numpy(footage.unusual(rows))[:, None]
    h, w = footage.frames.shape[1:3]
    weight = np.ones((len(rows), 1, h, w), np.float32)
    for index, row in enumerate(rows):
        for _, x, y, width, height in footage.boxes_of(int(row)):
            add = gain * float(np.clip(full_area_px / (width * height), 0.5, 4.0))
            view = weight[index, 0, max(0, y) : y + height, max(0, x) : x + width]
            np.maximum(view, 1 + add, out=view)
    return torch.from_numpy(weight)
