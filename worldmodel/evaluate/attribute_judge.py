"""The attribute judge: reads time, weather, ground and style off one frame of an isle, and which landmarks are in view.

It learns from the simulator alone, from frames that were drawn for it at random places, looking anywhere, blurred a
little now and then, so that it reads a codec's pictures too. Landmarks are read cell by cell (what stands there, in
which colour), a quarter of the frame's resolution.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.evaluate import shipped
from inhabit.worldmodel.evaluate.glimpses import glimpses
from inhabit.worldmodel.evaluate.patches import patches_of
from inhabit.worldmodel.omni.autoencoder import Block, to_float
from inhabit.worldmodel.pack import write_tensors
from inhabit.worldmodel.train.loop import fit
from inhabit.worldmodel.train.schedule import Budget
from inhabit.worldmodel.worlds.isle.attributes import COLOURS, LANDMARKS, SCENE, VALUES
from inhabit.worldmodel.worlds.isle.scene import EACH

STRIDE = 4
IN_VIEW = 0.004
"""Share of the frame that a landmark must fill to be in view: 65 pixels of 128x128."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttributeJudgeConfig:
    """How the judge learns."""

    frames: int = 5000
    """Frames that are drawn for it."""

    steps: int = 1200
    """Optimiser steps."""

    batch: int = 24
    rate: float = 5e-3
    """Peak learning rate of AdamW."""

    most_seconds: float = 900.0
    """Processor time after which drawing ends, and after which learning ends, anyway."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What is read off n frames."""

    scene: dict[str, np.ndarray]
    """For each of SCENE (n, values) float32: how sure the judge is of each value."""
    area: np.ndarray
    """(n, 5) float32: share of the frame that each kind of landmark fills."""
    colour: np.ndarray
    """(n, 5, 8) float32: how much of each kind has each of COLOURS."""
    count: np.ndarray
    """(n, 5) int: how many of each kind are in view, those that hide each other counted once."""

    def value(self, name: str) -> np.ndarray:
        """(n,) places among VALUES[name] of one of SCENE."""
        return self.scene[name].argmax(1)

    @property
    def in_view(self) -> np.ndarray:
        """(n, 5) bool."""
        return self.area >= IN_VIEW


class AttributeJudge(nn.Module):
    """What a frame of an isle shows."""

    def __init__(self, width: int = 40):
        super().__init__()
        self.fine = nn.Sequential(
            nn.Conv2d(12, width // 2, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
            nn.GroupNorm(4, width),
            Block(width),
            Block(width),
            nn.GroupNorm(4, width),
            nn.SiLU(),
        )
        self.coarse = nn.Sequential(
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.GroupNorm(4, 2 * width),
            nn.SiLU(),
            nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1),
            nn.GroupNorm(4, 2 * width),
            Block(2 * width),
            nn.SiLU(),
        )
        self.wide = nn.Conv2d(2 * width, width, 1)
        self.mix = nn.Sequential(nn.Conv2d(2 * width, width, 3, padding=1), nn.GroupNorm(4, width), nn.SiLU())
        self.things = nn.Conv2d(width, 1 + len(LANDMARKS), 1)
        self.colours = nn.Conv2d(width + 3, len(COLOURS), 1)
        self.scene = nn.ModuleDict({name: nn.Linear(6 * width + 96, len(VALUES[name])) for name in SCENE})

    def forward(self, pixels: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
        """Shapes: (b, 3, h, w) in [-1, 1] -> logits of each of SCENE (b, values), of what stands in each cell
        (b, 6, h/4, w/4), of its colour (b, 8, h/4, w/4), and the features (b, f) that the scene was read from.
        """
        fine = self.fine(F.pixel_unshuffle(pixels, 2))
        coarse = self.coarse(fine)
        wide = F.interpolate(self.wide(coarse), size=fine.shape[-2:], mode="bilinear", align_corners=False)
        mixed = self.mix(torch.cat([fine, wide], 1))
        parts = [coarse.mean((2, 3)), coarse.amax((2, 3)), fine.mean((2, 3)), fine.std((2, 3)), *_patchwork(pixels)]
        features = torch.cat(parts, 1)
        tinted = torch.cat([mixed, 4 * F.avg_pool2d(pixels, STRIDE)], 1)
        scene = {name: head(features) for name, head in self.scene.items()}
        return scene, self.things(mixed), self.colours(tinted), features


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """Frames with what is true of them."""

    pixels: Tensor
    """(n, h, w, 3) uint8."""
    goal: Tensor
    """(n, attributes) int64 codes."""
    things: Tensor
    """(n, h/4, w/4) int64: 0, or 1 + the kind that stands there."""


@torch.inference_mode()
def draw_lesson(count: int, *, size: tuple[int, int], seed: int, most_seconds: float = math.inf) -> Lesson:
    """Frames of random islands under random attributes, held-out combinations among them, seen from anywhere."""
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for state, picture in glimpses(count, size=size, seed=seed, most_seconds=most_seconds):
        slot = picture.labels[:, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE].long()
        landmark = (slot >= 1) & (slot <= len(LANDMARKS) * EACH)
        parts.append((picture.pixels, state.goal, torch.where(landmark, (slot - 1) // EACH + 1, 0)))
    pixels, goal, things = (torch.cat(column) for column in zip(*parts, strict=True))
    return Lesson(pixels=pixels, goal=goal, things=things)


def train_attribute_judge(
    size: tuple[int, int], config: AttributeJudgeConfig, device: torch.device, *, keep: Path | None = None
) -> AttributeJudge:
    """Train, or take what was kept, or what comes with the library.

    Args:
        size: width and height of the frames, pixels, multiples of 16.
        keep: folder to keep it in.
    """
    name = f"attributes-{size[0]}x{size[1]}-{config.frames}-{config.steps}.safetensors"
    torch.manual_seed(0)
    judge = AttributeJudge().to(device)
    if shipped.take(judge, name, keep):
        return judge.eval().requires_grad_(False)
    lesson = draw_lesson(config.frames, size=size, seed=3, most_seconds=config.most_seconds)
    _learn(judge, lesson, config, device)
    judge.eval().requires_grad_(False)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        write_tensors(dict(judge.state_dict()), keep / name)
    return judge


@torch.inference_mode()
def read(judge: AttributeJudge, pixels: np.ndarray) -> Reading:
    """Read attributes off frames. Shapes: (n, h, w, 3) uint8."""
    device = next(judge.parameters()).device
    scene: dict[str, list[Tensor]] = {name: [] for name in SCENE}
    area, colour, count = [], [], []
    for start in range(0, len(pixels), 64):
        part = torch.from_numpy(np.ascontiguousarray(pixels[start : start + 64])).to(device)
        said, things, colours, _ = judge(to_float(part))
        for name in SCENE:
            scene[name].append(said[name].softmax(1))
        kinds = things.softmax(1)[:, 1:]
        likest = F.one_hot(things.argmax(1), 1 + len(LANDMARKS)).permute(0, 3, 1, 2)
        sure = likest[:, 1:].to(kinds.dtype)
        area.append(sure.mean((2, 3)))
        colour.append(torch.einsum("bkhw,bchw->bkc", sure * kinds, colours.softmax(1)))
        count.append(_counted(sure.cpu().numpy() > 0))
    return Reading(
        scene={name: torch.cat(parts).cpu().numpy() for name, parts in scene.items()},
        area=torch.cat(area).cpu().numpy(),
        colour=torch.cat(colour).cpu().numpy(),
        count=np.concatenate(count),
    )


@torch.inference_mode()
def features(judge: AttributeJudge, pixels: np.ndarray) -> np.ndarray:
    """What the judge sees of whole frames. Shapes: (n, h, w, 3) uint8 -> (n, f) float32."""
    device = next(judge.parameters()).device
    parts = []
    for start in range(0, len(pixels), 64):
        part = torch.from_numpy(np.ascontiguousarray(pixels[start : start + 64])).to(device)
        parts.append(judge(to_float(part))[3].cpu().numpy())
    return np.concatenate(parts)


def _patchwork(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Means and spreads of the colours of 4 by 4 parts. Shapes: (b, 3, h, w) -> two of (b, 48)."""
    mean = F.adaptive_avg_pool2d(pixels, 4)
    spread = (F.adaptive_avg_pool2d(pixels.square(), 4) - mean.square()).clamp(min=1e-6).sqrt()
    return mean.flatten(1) * 2, spread.flatten(1) * 4


def areas_of(labels: np.ndarray) -> np.ndarray:
    """Share of the frame that each kind of landmark truly fills. Shapes: (..., h, w) uint8 -> (..., 5) float32."""
    kind = np.where((labels >= 1) & (labels <= len(LANDMARKS) * EACH), (labels.astype(int) - 1) // EACH, -1)
    return np.stack([(kind == n).mean((-2, -1)) for n in range(len(LANDMARKS))], -1).astype(np.float32)


def _learn(judge: AttributeJudge, lesson: Lesson, config: AttributeJudgeConfig, device: torch.device) -> None:
    rng = np.random.default_rng(0)
    budget = Budget(seconds=config.most_seconds, clock=time.process_time)
    rarer = torch.tensor([1.0] + [1.5] * len(LANDMARKS), device=device)  # most cells show none
    names = list(VALUES)
    colour_columns = torch.tensor([names.index(f"{kind}_colour") for kind in LANDMARKS])

    def draw() -> Tensor:
        rows = torch.from_numpy(rng.choice(len(lesson.pixels), config.batch))
        pixels = _blurred(to_float(lesson.pixels[rows]), rng).to(device)
        goal, things = lesson.goal[rows], lesson.things[rows].to(device)
        if rng.random() < 0.5:  # a mirrored island is an island
            pixels, things = pixels.flip(-1), things.flip(-1)
        scene, kinds, colours, _ = judge(pixels)
        loss = sum(F.cross_entropy(scene[name], goal[:, names.index(name)].to(device)) for name in SCENE)
        loss = loss + 6 * F.cross_entropy(kinds, things, rarer)
        shades = goal[:, colour_columns].to(device)  # (b, kinds)
        wanted = torch.gather(shades, 1, (things - 1).clamp(min=0).flatten(1)).view_as(things)
        each = F.cross_entropy(colours, wanted, reduction="none") * (things > 0)
        return loss + each.sum() / (things > 0).sum().clamp(min=1)

    fit(judge, draw, budget, device, rate=config.rate, warmup=20, most_steps=config.steps)


def _blurred(pixels: Tensor, rng: np.random.Generator) -> Tensor:
    """Half of the batches as a codec might show them: softer, with a little noise."""
    if rng.random() < 0.5:
        return pixels
    soft = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    share = float(rng.uniform(0.3, 1))
    return pixels + share * (soft - pixels) + 0.03 * torch.randn_like(pixels)


def _counted(cells: np.ndarray) -> np.ndarray:
    """Patches of cells that are large enough to be in view. Shapes: (n, 5, rows, columns) bool -> (n, 5) int."""
    least = max(1.0, IN_VIEW * cells.shape[-1] * cells.shape[-2])
    counts = np.zeros(cells.shape[:2], int)
    for n, kind in zip(*np.nonzero(cells.any((2, 3))), strict=True):
        counts[n, kind] = len(patches_of(cells[n, kind], least=least))
    return counts
