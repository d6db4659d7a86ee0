"""Teach a world where goes what is held in the view: from its boxes in a recording, and from how the eye travelled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.memory.pose import POSE, between
from inhabit.worldmodel.omni.flight import Flight, FlightConfig, Thing
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.loop import fit
from inhabit.worldmodel.train.schedule import Average, Budget
from inhabit.worldmodel.train.vistas import HELD_SHARE

GRIP_PX = 5
"""A box that is off by no more than this from where it mostly is, is in the hand."""

STRIDE_GAIN = 3.0
"""Lengths that all else depends on learn so much faster."""

LEAST_THROWS = 40
"""Fewer teach nothing."""

SOON = 6
"""Walks in which it leaves the hand within so many frames are most of what is learnt from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightTraining:
    """How it is trained."""

    batch: int = 64
    """Walks a step."""

    frames: int = 96
    """Frames of each; at first they are shorter."""

    least_frames: int = 8

    thrown_share: float = 0.75
    """Share of the walks in which it soon leaves the hand."""

    grows: float = 0.5
    """Share of the training after which walks are whole."""

    rate: float = 3e-3
    """Peak learning rate."""

    warmup: int = 50
    """Steps to the peak."""

    average: float = 0.995
    """Decay of the averaged weights."""


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """What is learnt from: of every row what was done, where the eye was, and where the thing was seen.

    `edges` has left, top, right and bottom in pixels from the view's middle.
    """

    actions: Tensor
    """(n, a) what led to each row."""
    pose: Tensor
    """(n, 5)."""
    travel: Tensor
    """(n, 5) that led to each row; zeros at an episode's first."""
    edges: Tensor
    """(n, 4); anything where it is not seen."""
    seen: Tensor
    """(n,) bool."""
    held: Tensor
    """(n,) bool: in the hand, as far as one sees."""
    grip: Tensor
    """(3,) column, row and half its width in the hand."""
    begins: np.ndarray
    """Rows in which it is held, and from which an episode goes on for as long as a walk is."""
    size: tuple[int, int]
    """Height and width of the view, pixels."""

    @classmethod
    def of(cls, footage: Footage, name: str, *, frames: int, held_out: bool = False) -> Tracks:
        """A recording's, of which poses were recorded."""
        assert footage.pose is not None
        height, width = footage.frames.shape[1:3]
        row, _, x, y, wide, high = footage.boxes[footage.boxes[:, 1] == footage.names.index(name)].T
        single = np.bincount(row, minlength=len(footage))[row] == 1
        edges, seen = np.zeros((len(footage), 4), np.float32), np.zeros(len(footage), bool)
        edges[row] = np.stack([x, y, x + wide, y + high], 1) - np.array([width, height, width, height]) / 2
        seen[row[single]] = True
        begins = footage.windows(frames + 1, held_out=held_out)
        return cls.made(footage.actions, footage.pose, footage.first, edges, seen, begins, (height, width))

    @classmethod
    def made(
        cls,
        actions: np.ndarray,
        pose: np.ndarray,
        first: np.ndarray,
        edges: np.ndarray,
        seen: np.ndarray,
        begins: np.ndarray,
        size: tuple[int, int],
    ) -> Tracks:
        """From arrays with one row for each frame; `begins` are rows from which an episode goes on for long enough."""
        usual = np.array(usual_place(edges[seen]), np.float32)
        held = seen & (np.abs(edges - usual).max(1) <= GRIP_PX)
        places = torch.from_numpy(pose).float()
        travel = torch.zeros(len(places), POSE)
        travel[1:] = between(places[:-1], places[1:]) * torch.from_numpy(~first[1:, None])
        left, top, right, bottom = usual.tolist()
        return cls(
            actions=torch.from_numpy(actions).float(), pose=places, travel=travel,
            edges=torch.from_numpy(edges).float(), seen=torch.from_numpy(seen), held=torch.from_numpy(held),
            grip=torch.tensor([(left + right) / 2, (top + bottom) / 2, (right - left + bottom - top) / 4]),
            begins=begins[held[begins]], size=size,
        )  # fmt: skip

    def thrown(self) -> np.ndarray:
        """(len(begins),) bool: whether it is seen out of the hand soon after."""
        away = (self.seen & ~self.held).numpy()
        soon = self.begins[:, None] + np.arange(1, 1 + SOON)
        return away[soon].any(1)


def usual_place(edges: np.ndarray) -> tuple[float, float, float, float]:
    """The box that those of n rows, (n, 4), most often are about."""
    places, which, times = np.unique(np.round(edges / GRIP_PX), axis=0, return_inverse=True, return_counts=True)
    near = np.abs(places - places[times.argmax()]).max(1) <= 1
    left, top, right, bottom = np.median(edges[near[which.reshape(-1)]], 0)
    return left, top, right, bottom


def held_name(footage: Footage) -> str | None:
    """The object that is mostly held in the view and leaves it at times; None where there is none."""
    best = None
    for number, name in enumerate(footage.names):
        boxes = footage.boxes[footage.boxes[:, 1] == number]
        if len(boxes) < LEAST_THROWS:
            continue
        edges = np.concatenate([boxes[:, 2:4], boxes[:, 2:4] + boxes[:, 4:6]], 1).astype(np.float32)
        share = float((np.abs(edges - np.array(usual_place(edges))).max(1) <= GRIP_PX).mean())
        if HELD_SHARE < share < 1.0 and (best is None or share > best[0]):
            best = (share, name)
    return best and best[1]


def train_flight(
    flight: Flight,
    tracks: Tracks,
    budget: Budget,
    device: torch.device,
    config: FlightTraining = FlightTraining(),
    *,
    seed: int = 0,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None,
) -> Flight:
    """Train for the budget and return the averaged network. A network is small: batches are made on the CPU."""
    rng, thrown = np.random.default_rng(seed), tracks.thrown()
    flight.grip.copy_(tracks.grip)
    flight.eye.copy_(torch.stack([tracks.pose[:, 1].min(), tracks.pose[:, 1].max()]))
    flight, average = flight.to(device).train(), Average(flight.to(device), config.average)
    calm = tracks.begins if thrown.all() else tracks.begins[~thrown]
    count = round(config.thrown_share * config.batch)

    def lesson() -> Tensor:
        grown = min(1.0, budget.share / config.grows) ** 2
        frames = max(config.least_frames, round(grown * config.frames))
        rows = np.concatenate([rng.choice(tracks.begins[thrown], count), rng.choice(calm, config.batch - count)])
        return loss_of(flight, tracks, rows, frames, device)

    fit(
        flight, lesson, budget, device, rate=config.rate, warmup=config.warmup, average=average, on_step=on_step,
        gains=dict.fromkeys(("stride", "hand", "reach", "again"), STRIDE_GAIN),
    )  # fmt: skip
    return average.network.eval().requires_grad_(False)


def loss_of(flight: Flight, tracks: Tracks, rows: np.ndarray, frames: int, device: torch.device) -> Tensor:
    """How wrong the network is on walks from these rows: where its edges are, how large it is, whether it is held.

    Only edges that are not the view's count, and only of what is seen.
    """
    at = torch.from_numpy(rows)[:, None] + torch.arange(1, 1 + frames)
    seen, chance = walk(flight, tracks, rows, frames, device)
    edges, there, held = (part[at].to(device) for part in (tracks.edges, tracks.seen, tracks.held))
    height, width = tracks.size
    limit = edges.new_tensor([width, height, width, height]) / 2 - 0.5
    free = (there & ~held)[..., None] & (edges.abs() < limit)
    x, y, radius, _ = seen.unbind(-1)
    mine = torch.stack([x - radius, y - radius, x + radius, y + radius], -1)
    size = (edges[..., 2:] - edges[..., :2]).amax(-1).clamp(min=3)
    wrong = _soft((mine - edges) / (4 + size / 4)[..., None])
    both = torch.stack([free[..., 0] & free[..., 2], free[..., 1] & free[..., 3]], -1)
    wide = (edges[..., 2:] - edges[..., :2]).clamp(min=1) / 2
    sized = _soft(3 * (radius.clamp(min=0.3).log()[..., None] - wide.log()))
    holds = F.binary_cross_entropy(chance.clamp(1e-6, 1 - 1e-6), held.float(), reduction="none")
    parts = ((wrong, free), (sized, both), (holds, there))
    return sum(((one * weight).sum() / weight.sum().clamp(min=1) for one, weight in parts), start=chance.new_zeros(()))


def walk(
    flight: Flight, tracks: Tracks, rows: np.ndarray, frames: int, device: torch.device, *, decided: bool = False
) -> tuple[Tensor, Tensor]:
    """Where it is seen, (b, frames, 4) as Flight.seen_at() has it, and whether it is held, (b, frames) chances.

    Args:
        rows: (b,) in which it is held.
        decided: as in play: it is held or it is not, and the second is 1 or 0.
    """
    at = torch.from_numpy(rows)[:, None] + torch.arange(1 + frames)
    actions, travel, pose = (part[at].to(device) for part in (tracks.actions, tracks.travel, tracks.pose))
    known = torch.where(tracks.seen, tracks.held.float(), -1.0)[at].to(device)
    thing: Thing = flight.held(pose[:, 0, 4])
    seen, holds = [], []
    for frame in range(1, 1 + frames):
        told = actions[:, frame - 1 : frame + 1], travel[:, frame], pose[:, frame]
        if decided:
            thing = flight.step(thing, *told)
            held = thing.in_hand
        else:
            # long walks teach nothing once it is elsewhere: what one sees of the hand is told
            thing, held = flight(thing, *told, in_hand=known[:, frame])
        seen.append(flight.seen_at(thing, pose[:, frame, 4]))
        holds.append(held)
    return torch.stack(seen, 1), torch.stack(holds, 1)


@torch.inference_mode()
def measure_flight(flight: Flight, tracks: Tracks, *, frames: int = 16, most: int = 256) -> dict[str, float]:
    """How well a network follows it.

    Returns:
        `off_px`, on walks that begin just before it leaves the hand, how far off its middle is in the median, in
        pixels, while it is seen whole; `held_known`, the share of all frames in which it is known whether it is held.
    """
    device, thrown = flight.grip.device, tracks.begins[tracks.thrown()]
    thrown = thrown[(tracks.seen & ~tracks.held).numpy()[thrown + 1]][:most]
    height, width = tracks.size
    off = []
    if len(thrown):
        at = torch.from_numpy(thrown)[:, None] + torch.arange(1, 1 + frames)
        seen, _ = walk(flight, tracks, thrown, frames, device, decided=True)
        edges = tracks.edges[at]
        whole = (edges.abs() < edges.new_tensor([width, height, width, height]) / 2 - 0.5).all(-1)
        middle = (edges[..., :2] + edges[..., 2:]) / 2
        off = (seen[..., :2].cpu() - middle).norm(dim=-1)[whole & tracks.seen[at] & ~tracks.held[at]].tolist()
    some = tracks.begins[:: max(1, len(tracks.begins) // most)]
    _, held = walk(flight, tracks, some, frames, device, decided=True)
    at = torch.from_numpy(some)[:, None] + torch.arange(1, 1 + frames)
    right = ((held.cpu() > 0.5) == tracks.held[at])[tracks.seen[at]].float()
    return {"off_px": float(np.median(off)) if off else float("nan"), "held_known": float(right.mean())}


def new_flight(name: str, *, actions: int, focal: float, unit: float) -> Flight:
    """A network that knows nothing yet.

    Args:
        focal: see FlightConfig.
        unit: see Recall.
    """
    flight = Flight(FlightConfig(name=name, actions=actions, focal=focal))
    flight.unit.fill_(unit)
    return flight


def _soft(values: Tensor) -> Tensor:
    """A measure of errors that large ones, of what nobody could know, do not rule (Cauchy's)."""
    return values.square().log1p()
