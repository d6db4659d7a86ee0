"""What things are made of: balls, round frusta and wedges, each squeezed into its place.

Every part lives in a unit frame (-1 to 1 on each axis, y up) that is scaled, turned about y and put where it stands:
  ball     x² + y² + z² = 1
  frustum  a cone or cylinder between y = -1 and 1, of radius 1 at its foot and `taper` at its top
  wedge    a box between y = -1 and 1 whose sides lean in to `taper` (x, z) at its top: box, roof, pyramid
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from inhabit.worldmodel.worlds.isle.attributes import LANDMARKS
from inhabit.worldmodel.worlds.isle.scene import AVATARS, BALL, BALL_RADIUS_M, CREATURES, EACH, State

KINDS = ("ball", "frustum", "wedge")
PAINTS = (
    "flat",
    "tower",
    "house",
    "tiles",
    "leaves",
    "bark",
    "stone",
    "column",
    "fur",
    "face",
    "coat",
    "visor",
    "toy",
    "crown",
)
DARK, WOOD, STONE, SKIN, SNOWY = (
    (0.13, 0.12, 0.17),
    (0.45, 0.29, 0.16),
    (0.62, 0.60, 0.58),
    (0.96, 0.78, 0.62),
    (0.97,) * 3,
)

HELD_SIZE = 0.36
"""How large the ball in the hand is drawn: it shows that one has it, and hides little."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One primitive of a thing, in the thing's own frame: metres, its foot at the origin, facing +z."""

    kind: str
    at: tuple[float, float, float]
    half: tuple[float, float, float]
    taper: tuple[float, float] = (1.0, 1.0)
    turn: float = 0.0
    paint: str = "flat"
    colour: tuple[float, float, float] = DARK
    own: float = 1.0
    """Share of the thing's own colour; the rest is `colour`."""


MODELS: dict[str, tuple[Part, ...]] = {
    "tower": (
        Part(kind="frustum", at=(0, 2.9, 0), half=(1.6, 2.9, 1.6), taper=(0.78, 0), paint="tower"),
        Part(kind="frustum", at=(0, 5.95, 0), half=(1.65, 0.5, 1.65), taper=(1.0, 0), paint="crown"),
        Part(kind="frustum", at=(0, 7.25, 0), half=(1.75, 0.95, 1.75), taper=(0.0, 0), paint="tiles", own=0.45),
    ),
    "house": (
        Part(kind="wedge", at=(0, 1.4, 0), half=(2.2, 1.4, 1.8), paint="house"),
        Part(kind="wedge", at=(0, 3.75, 0), half=(2.65, 1.0, 2.3), taper=(0.92, 0.0), paint="tiles", own=0.4),
        Part(kind="wedge", at=(1.2, 4.1, -0.6), half=(0.3, 0.9, 0.3), paint="flat", colour=STONE, own=0.15),
    ),
    "tree": (
        Part(kind="frustum", at=(0, 1.1, 0), half=(0.36, 1.1, 0.36), taper=(0.6, 0), paint="bark", own=0, colour=WOOD),
        Part(kind="ball", at=(0, 3.0, 0), half=(1.75, 1.25, 1.75), paint="leaves"),
        Part(kind="ball", at=(0.25, 4.05, 0.15), half=(1.2, 1.0, 1.2), paint="leaves"),
    ),
    "rock": (
        Part(kind="wedge", at=(0, 1.2, 0), half=(1.55, 1.2, 1.3), taper=(0.55, 0.45), paint="stone"),
        Part(kind="wedge", at=(0.05, 1.1, 0), half=(1.4, 1.15, 1.35), taper=(0.62, 0.5), turn=0.75, paint="stone"),
        Part(kind="wedge", at=(1.0, 0.5, 0.9), half=(0.75, 0.55, 0.7), taper=(0.5, 0.6), turn=0.4, paint="stone"),
    ),
    "pillar": (
        Part(kind="wedge", at=(0, 0.22, 0), half=(0.85, 0.22, 0.85), colour=STONE, own=0.5),
        Part(kind="frustum", at=(0, 2.0, 0), half=(0.58, 1.6, 0.58), taper=(0.84, 0), paint="column"),
        Part(kind="wedge", at=(0, 3.78, 0), half=(0.82, 0.22, 0.82), colour=STONE, own=0.5),
    ),
    "creature": (
        Part(kind="ball", at=(0, 0.62, 0), half=(0.46, 0.44, 0.62), paint="fur"),
        Part(kind="ball", at=(0, 1.02, 0.52), half=(0.36, 0.34, 0.34), paint="face"),
        Part(kind="frustum", at=(-0.18, 1.45, 0.46), half=(0.09, 0.26, 0.09), taper=(0.3, 0)),
        Part(kind="frustum", at=(0.18, 1.45, 0.46), half=(0.09, 0.26, 0.09), taper=(0.3, 0)),
    ),
    "avatar": (
        Part(kind="frustum", at=(0, 0.62, 0), half=(0.34, 0.62, 0.26), taper=(1.15, 0), paint="coat"),
        Part(kind="ball", at=(0, 1.22, 0), half=(0.40, 0.26, 0.30), paint="flat"),
        Part(kind="ball", at=(0, 1.66, 0), half=(0.25, 0.28, 0.25), paint="visor", colour=SKIN, own=0.0),
    ),
    "ball": (Part(kind="ball", at=(0, 0, 0), half=(BALL_RADIUS_M, BALL_RADIUS_M, BALL_RADIUS_M), paint="toy"),),
}  # fmt: skip


def model_of(slot: int) -> str:
    """Which model stands in a slot."""
    if slot < CREATURES.start:
        return LANDMARKS[slot // EACH]
    return "creature" if slot in CREATURES else "avatar" if slot in AVATARS else "ball"


@dataclass(frozen=True, kw_only=True, slots=True)
class PartTable:
    """All parts of all slots, sorted by kind. Shapes: (p, ...)."""

    slot: Tensor
    at: Tensor
    half: Tensor
    taper: Tensor
    turn: Tensor
    paint: Tensor
    colour: Tensor
    own: Tensor
    spans: tuple[range, ...]
    """Which rows are balls, frusta and wedges."""


@functools.lru_cache(maxsize=8)
def part_table(device: torch.device) -> PartTable:
    rows = [(slot, part) for slot in range(BALL + 1) for part in MODELS[model_of(slot)]]
    rows.sort(key=lambda row: KINDS.index(row[1].kind))
    spans, start = [], 0
    for kind in KINDS:
        count = sum(part.kind == kind for _, part in rows)
        spans.append(range(start, start + count))
        start += count
    parts = [part for _, part in rows]
    number = lambda values: torch.tensor(values, dtype=torch.float32, device=device)  # noqa: E731
    whole = lambda values: torch.tensor(values, dtype=torch.int64, device=device)  # noqa: E731
    return PartTable(
        slot=whole([slot for slot, _ in rows]),
        at=number([part.at for part in parts]),
        half=number([part.half for part in parts]),
        taper=number([part.taper for part in parts]),
        turn=number([part.turn for part in parts]),
        paint=whole([PAINTS.index(part.paint) for part in parts]),
        colour=number([part.colour for part in parts]),
        own=number([part.own for part in parts]),
        spans=tuple(spans),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """The parts of b islands as they stand now."""

    at: Tensor
    """(b, p, 3) m: the middle."""
    half: Tensor
    """(b, p, 3) m."""
    cos: Tensor
    """(b, p) of the turn about y."""
    sin: Tensor
    colour: Tensor
    """(b, p, 3)."""
    there: Tensor
    """(b, p) bool."""


def place_parts(state: State) -> Parts:
    """Put every part where its thing stands, grown as far as the thing is."""
    table = part_table(state.key.device)
    grown = state.presence
    size = grown * (2 - grown)  # quick out of the ground, slow at the end
    size[:, BALL] = torch.where(state.ball_held, HELD_SIZE, 1.0)
    size = size[:, table.slot]
    feet, yaw = state.place[:, table.slot], state.yaw[:, table.slot]
    hop = torch.zeros_like(state.gait)
    walkers = slice(CREATURES.start, AVATARS.stop)
    hop[:, walkers] = state.gait[:, walkers].sin().abs() * hop.new_tensor([0.22] * 3 + [0.06] * 2)
    feet = feet + torch.nn.functional.pad(hop[:, table.slot, None], (1, 1))
    cos, sin = yaw.cos(), yaw.sin()
    x, y, z = (table.at * size[..., None]).unbind(-1)
    at = feet + torch.stack([x * cos + z * sin, y, z * cos - x * sin], -1)
    own = table.own[:, None]
    return Parts(
        at=at,
        half=table.half * size[..., None].clamp(min=1e-3),
        cos=(yaw + table.turn).cos(),
        sin=(yaw + table.turn).sin(),
        colour=state.tint[:, table.slot] * own + table.colour * (1 - own),
        there=size > 0.02,
    )
