"""An object detector trained on real frames with the recorded boxes: the judge of whether objects survive a model.

Its own score on real frames and on codec reconstructions bounds what any dream can reach. A centre heatmap in the
manner of CenterNet (arXiv 1904.07850), at a quarter of the frame's size; one channel for each name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.omni.autoencoder import Block, to_float
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.loop import fit
from inhabit.worldmodel.train.schedule import Budget, precision

STRIDE = 4
MIN_HEIGHT_PX = 6
"""Smaller objects are neither asked for nor held against a detection: on a 96-pixel frame they are a few dots."""

REACH_PX = 5.0
"""A detection counts for an object when their centres are this close, or within half of its size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorConfig:
    """Training of the detector."""

    width: int = 40
    """Channels at a quarter of the frame's size."""

    batch: int = 24
    rate: float = 4e-3
    """Peak learning rate of AdamW."""

    steps: int = 0
    """Optimiser steps, if the budget allows; 0 uses the budget up. Judges of equal steps are equal on any machine."""


class Detector(nn.Module):
    """Where the objects are."""

    def __init__(self, names: Sequence[str], width: int = 40):
        super().__init__()
        self.names = tuple(names)
        self.threshold = 0.3
        twice, thrice = 2 * width, 3 * width
        self.fine = nn.Sequential(
            nn.Conv2d(3 * 4, width // 2, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
            nn.GroupNorm(4, width),
            Block(width),
            nn.GroupNorm(4, width),
            nn.SiLU(),
        )
        self.coarse = nn.Sequential(  # what is as large as the frame is not known by a part of it
            nn.Conv2d(width, twice, 3, stride=2, padding=1),
            nn.GroupNorm(4, twice),
            Block(twice),
            nn.GroupNorm(4, twice),
            nn.SiLU(),
            nn.Conv2d(twice, thrice, 3, stride=2, padding=1),
            nn.GroupNorm(4, thrice),
            Block(thrice),
            nn.GroupNorm(4, thrice),
            nn.SiLU(),
            nn.Conv2d(thrice, width, 1),
        )
        self.mixed = nn.Sequential(nn.Conv2d(twice, width, 3, padding=1), nn.GroupNorm(4, width), nn.SiLU())
        self.heat = nn.Conv2d(width, len(names), 1)
        nn.init.constant_(self.heat.bias, -4.0)  # type: ignore[arg-type]  # almost every cell is empty

    def features(self, pixels: Tensor) -> Tensor:
        """Shapes: (b, 3, h, w) in [-1, 1] -> (b, width, h/4, w/4)."""
        fine = self.fine(F.pixel_unshuffle(pixels, 2))
        wide = F.interpolate(self.coarse(fine), size=fine.shape[-2:], mode="bilinear", align_corners=False)
        return self.mixed(torch.cat([fine, wide], 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Shapes: (b, 3, h, w) in [-1, 1] -> (b, names, h/4, w/4) logits."""
        return self.heat(self.features(pixels))


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """How many objects were found, and how many findings were objects."""

    found: int
    present: int
    right: int
    claimed: int

    @property
    def recall(self) -> float:
        return self.found / self.present if self.present else float("nan")

    @property
    def precision(self) -> float:
        return self.right / self.claimed if self.claimed else float("nan")


def train_detector(
    footage: Footage, budget: Budget, device: torch.device, config: DetectorConfig | None = None, *, seed: int = 0
) -> Detector:
    """Train on real frames that are not held out, then choose the threshold with the best F1 on held-out ones."""
    config = config or DetectorConfig()
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    detector = Detector(footage.names, config.width).to(device)
    rows = np.flatnonzero(~footage.held_out)

    def lesson() -> Tensor:
        chosen = rng.choice(rows, config.batch)
        heat, care = targets(footage, chosen)
        with precision(device):
            logits = detector(to_float(torch.from_numpy(footage.frames[chosen]).to(device)))
        return _focal(logits.float(), heat.to(device), care.to(device))

    fit(detector, lesson, budget, device, rate=config.rate, warmup=100, most_steps=config.steps)
    detector.eval().requires_grad_(False)
    held = np.flatnonzero(footage.held_out)
    sample = held[:: max(1, len(held) // 600)]
    best = max((_f1(measure(detector, footage, sample, threshold=t)), t) for t in (0.15, 0.2, 0.25, 0.3, 0.4, 0.5))
    detector.threshold = best[1]
    return detector


def targets(footage: Footage, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Heatmaps and where they are to be believed. Shapes: two of (b, names, h/4, w/4)."""
    h, w = (side // STRIDE for side in footage.frames.shape[1:3])
    heat = np.zeros((len(rows), len(footage.names), h, w), np.float32)
    care = np.ones_like(heat)
    down, across = np.mgrid[:h, :w]
    for index, row in enumerate(rows):
        for name, x, y, width, height in footage.boxes_of(int(row)):
            cx, cy = (x + width / 2) / STRIDE - 0.5, (y + height / 2) / STRIDE - 0.5
            spread = max(0.6, min(width, height) / STRIDE / 4)
            bump = np.exp(-((across - cx) ** 2 + (down - cy) ** 2) / (2 * spread**2))
            if height < MIN_HEIGHT_PX:
                care[index, :, bump > 0.05] = 0.0
                continue
            bump[int(np.clip(round(cy), 0, h - 1)), int(np.clip(round(cx), 0, w - 1))] = 1.0
            np.maximum(heat[index, name], bump, out=heat[index, name])
    return torch.from_numpy(heat), torch.from_numpy(care)


@torch.inference_mode()
def detect(detector: Detector, pixels: np.ndarray, *, threshold: float | None = None) -> list[list[tuple]]:
    """Find objects. Shapes: (b, h, w, 3) uint8 -> for each frame a list of (score, name number, x, y) of centres."""
    device = next(detector.parameters()).device
    heat = detector(to_float(torch.from_numpy(np.ascontiguousarray(pixels)).to(device))).float().sigmoid()
    peaks = (heat == F.max_pool2d(heat, 3, stride=1, padding=1)) & (heat > (threshold or detector.threshold))
    found: list[list[tuple]] = [[] for _ in pixels]
    for b, name, y, x in peaks.nonzero().tolist():
        score = float(heat[b, name, y, x])
        found[b].append((score, name, (x + 0.5) * STRIDE, (y + 0.5) * STRIDE))
    return found


def detect_all(detector: Detector, pixels: np.ndarray) -> list[list[tuple]]:
    """detect() in parts, for any number of frames."""
    return [found for start in range(0, len(pixels), 64) for found in detect(detector, pixels[start : start + 64])]


def measure(
    detector: Detector,
    footage: Footage,
    rows: np.ndarray,
    *,
    pixels: np.ndarray | None = None,
    threshold: float | None = None,
) -> Score:
    """Score detections against the recorded boxes of `rows`, on the recorded frames or on `pixels` in their place."""
    scores = []
    for start in range(0, len(rows), 64):
        part = rows[start : start + 64]
        shown = footage.frames[part] if pixels is None else pixels[start : start + 64]
        for row, found in zip(part, detect(detector, shown, threshold=threshold), strict=True):
            scores.append(match(found, footage.boxes_of(int(row))))
    return total(scores)


def match(found: Sequence[tuple], boxes: np.ndarray) -> Score:
    """Pair detections with objects, best first, each object once; names must agree."""
    free = [tuple(box) for box in boxes]
    claimed = right = hits = 0
    present = sum(box[4] >= MIN_HEIGHT_PX for box in free)
    for _, name, x, y in sorted(found, reverse=True):
        near = [box for box in free if box[0] == name and _distance(box, x, y) <= max(REACH_PX, max(box[3:]) / 2)]
        if not near:
            claimed += 1
            continue
        best = min(near, key=lambda box: _distance(box, x, y))
        free.remove(best)
        if best[4] >= MIN_HEIGHT_PX:  # what is too small to be asked for is not counted when found either
            claimed, right, hits = claimed + 1, right + 1, hits + 1
    return Score(found=hits, present=present, right=right, claimed=claimed)


def total(scores: Iterable[Score]) -> Score:
    table = np.array([(s.found, s.present, s.right, s.claimed) for s in scores]).reshape(-1, 4).sum(0)
    return Score(found=int(table[0]), present=int(table[1]), right=int(table[2]), claimed=int(table[3]))


def _distance(box: tuple, x: float, y: float) -> float:
    return float(np.hypot(box[1] + box[3] / 2 - x, box[2] + box[4] / 2 - y))


def _f1(score: Score) -> float:
    return 2 * score.found / max(1, score.present + score.claimed)


def _focal(logits: Tensor, heat: Tensor, care: Tensor) -> Tensor:
    chance = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    centre = heat >= 1
    positive = (1 - chance) ** 2 * chance.log() * centre
    negative = (1 - heat) ** 4 * chance**2 * (1 - chance).log() * ~centre
    return -((positive + negative) * care).sum() / centre.sum().clamp(min=1)
