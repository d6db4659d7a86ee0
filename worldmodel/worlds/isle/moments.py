"""Single moments of islands, drawn for training: each under several prompts that follow each other, with and without
what falls, and with the places of what a prompt has brought."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.worlds.isle import motion
from inhabit.worldmodel.worlds.isle.attributes import LANDMARKS, SCENE, VALUES, sample
from inhabit.worldmodel.worlds.isle.captions import caption, parse, wish
from inhabit.worldmodel.worlds.isle.light import light_of
from inhabit.worldmodel.worlds.isle.record import STAGES, brought, stages, standing
from inhabit.worldmodel.worlds.isle.render import render
from inhabit.worldmodel.worlds.isle.scene import CREATURES, EACH, RADIUS_M, SLOTS, State, replaced
from inhabit.worldmodel.worlds.isle.styles import colours_of_air

KINDS = (*LANDMARKS, "creature")
"""What words bring and take away."""

TOGETHER = 16
"""Islands that are drawn at once."""

REACH_M = 14.0
"""So far from the middle one may stand."""

CLEAR_M = 1.5
"""So far one stands from what stands there."""

FACED_SHARE = 0.8
"""Share of the islands on which one looks at something that comes or goes."""

ASIDE = 0.45
"""rad: so far aside from it, at most."""

NODS = 0.1
"""rad: how far one usually looks up or down."""

CELL_PX = 8
"""Pixels of the cells in which places are told."""

COVERED = 0.2
"""Share of a cell that something fills which stands there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """Moments, n of them; STAGES that follow each other are of one island."""

    seen: Tensor
    """(n, h, w, 3) uint8."""
    behind: Tensor
    """(n, h, w, 3) uint8 the same without what falls."""
    amount: Tensor
    """(n, 2) 0 to 1: how much rain and snow falls."""
    colour: Tensor
    """(n, 2, 3) -1 to 1: which colour they have, or would have."""
    stands: Tensor
    """(n, KINDS + 1, rows, columns) bool: which things each cell shows, the last of them anything else that moves."""
    count: Tensor
    """(n, KINDS) int64: how many of each are in view."""
    come: Tensor
    """(n, KINDS, rows, columns) uint8: how much of each cell, of 255, what has come since the stage before takes up."""
    pitch: Tensor
    """(n,) rad."""
    boxes: Tensor
    """(m, 4) float32 kind, top, bottom, width of things that are whole in view, in focal lengths from the horizon."""
    texts: list[str]
    """What was said before each of them."""

    def __len__(self) -> int:
        return len(self.texts)


@torch.inference_mode()
def look(
    first_seed: int, islands: int, size: tuple[int, int], on_look: Callable[[int], None] = lambda seen: None
) -> Moments:
    """Look at so many islands, once under each of the prompts that are said there.

    Args:
        size: width and height.
        on_look: called with how many have been looked at.
    """
    parts: list[Moments] = []
    for some in range(0, islands, TOGETHER):
        seeds = range(first_seed + some, first_seed + min(islands, some + TOGETHER))
        parts.append(_looked(seeds, size))
        on_look(some + len(seeds))
    names = [one.name for one in fields(Moments) if one.name != "texts"]
    return Moments(
        **{name: torch.cat([getattr(part, name) for part in parts]) for name in names},
        texts=[text for part in parts for text in part.texts],
    )


def _looked(seeds: Sequence[int], size: tuple[int, int]) -> Moments:
    rng = np.random.default_rng([seeds[0], 41])
    words = [stages(seed) if rng.random() < 0.5 else brought(seed) for seed in seeds]
    state = _placed(standing(seeds, words), rng)
    picture, light = render(state, *size), light_of(state)
    before = F.pad(state.presence, (0, 0, 1, 0))[:-1]
    before[::STAGES] = 1.0  # nothing has come yet
    fresh = (state.presence > 0.5) & (before < 0.5)
    areas, edges = _measured(picture.labels)
    kind = torch.tensor([min(slot // EACH, len(KINDS)) for slot in range(SLOTS)])
    rows, columns = -(-size[1] // CELL_PX), -(-size[0] // CELL_PX)
    stands = torch.zeros(len(state), len(KINDS) + 1, rows, columns, dtype=torch.bool)
    come = torch.zeros(len(state), len(KINDS), rows, columns)
    for slot in range(SLOTS):
        share = F.avg_pool2d((picture.labels == slot + 1).float()[:, None], CELL_PX, ceil_mode=True)[:, 0]
        stands[:, kind[slot]] |= share >= COVERED
    in_view = areas >= COVERED * CELL_PX**2
    count = torch.stack([in_view[:, kind == number].sum(1) for number in range(len(KINDS))], 1)
    for row, slot in (in_view & fresh & (kind < len(KINDS))).nonzero().tolist():
        taken = _cells(edges[row, slot], (rows, columns))
        come[row, kind[slot]] = torch.maximum(come[row, kind[slot]], taken)
    return Moments(
        seen=picture.pixels,
        behind=render(state, *size, falling=False).pixels,
        amount=torch.stack([light.rain, light.snow], 1),
        colour=colours_of_air(state, light) * 2 - 1,
        stands=stands,
        count=count,
        come=(come * 255).round().to(torch.uint8),
        pitch=state.look[:, 1],
        boxes=_boxes(state, areas, edges, kind, size),
        texts=[shorter(text, rng) for one in words for text in one.texts],
    )


def _placed(state: State, rng: np.random.Generator) -> State:
    """The stages of each island with the player anywhere, mostly facing something that comes or goes."""
    player, look = state.player.clone(), state.look.clone()
    radius = torch.tensor([RADIUS_M[kind] for kind in LANDMARKS]).repeat_interleave(EACH)
    for first in range(0, len(state), STAGES):
        stage = slice(first, first + STAGES)
        place = state.place[first, : CREATURES.stop, [0, 2]]
        there = state.presence[stage, : CREATURES.stop] > 0.5
        changes = (there.any(0) & ~there.all(0)).nonzero()[:, 0].tolist()
        at = torch.zeros(2)
        for _ in range(20):
            angle, far = rng.uniform(0, 2 * math.pi), REACH_M * math.sqrt(rng.random())
            tried = torch.tensor([far * math.sin(angle), far * math.cos(angle)])
            away = (place[: len(radius)] - tried).norm(dim=1) - radius
            if bool((away[there.any(0)[: len(radius)]] > CLEAR_M).all()):
                at = tried
                break
        yaw = rng.uniform(0, 2 * math.pi)
        if changes and rng.random() < FACED_SHARE:
            faced = place[changes[int(rng.integers(len(changes)))]] - at
            yaw = math.atan2(float(faced[0]), float(faced[1])) + rng.uniform(-ASIDE, ASIDE)
        player[stage, 0], player[stage, 2] = at[0], at[1]
        look[stage, 0], look[stage, 1] = yaw, float(np.clip(rng.normal() * NODS, -0.5, 0.5))
    return motion.step(replaced(state, player=player, look=look), torch.zeros(len(state), len(motion.ACTIONS)))


def _measured(labels: Tensor) -> tuple[Tensor, Tensor]:
    """(b, SLOTS) pixels of each thing in view, and (b, SLOTS, 4) its left, top, right and bottom edges."""
    b, h, w = labels.shape
    areas, edges = torch.zeros(b, SLOTS), torch.zeros(b, SLOTS, 4)
    for slot in range(SLOTS):
        mine = labels == slot + 1
        areas[:, slot] = mine.sum((1, 2))
        columns, rows = mine.any(1).int(), mine.any(2).int()
        edges[:, slot, 0], edges[:, slot, 1] = columns.argmax(1), rows.argmax(1)
        edges[:, slot, 2], edges[:, slot, 3] = w - columns.flip(1).argmax(1), h - rows.flip(1).argmax(1)
    return areas, edges


def _cells(edges: Tensor, size: tuple[int, int]) -> Tensor:
    """How much of each cell a box takes up. Shape (rows, columns)."""
    left, top, right, bottom = (float(edge) / CELL_PX for edge in edges)
    column, row = torch.arange(size[1]), torch.arange(size[0])
    across = (torch.clamp(column + 1, max=right) - torch.clamp(column, min=left)).clamp(0, 1)
    down = (torch.clamp(row + 1, max=bottom) - torch.clamp(row, min=top)).clamp(0, 1)
    return down[:, None] * across


def _boxes(state: State, areas: Tensor, edges: Tensor, kind: Tensor, size: tuple[int, int]) -> Tensor:
    """Things that are whole in view, neither tiny nor huge."""
    w, h = size
    focal = min(size) / 2 / math.tan(math.radians(33))
    left, top, right, bottom = edges.unbind(2)
    full = (right - left) * (bottom - top)
    whole = (left > 0) & (top > 0) & (right < w) & (bottom < h) & (areas > 0.4 * full)
    whole &= (full > 0.012 * w * h) & (full < 0.12 * w * h) & (kind < len(KINDS))
    horizon = h / 2 + focal * state.look[:, 1, None].tan()
    found = torch.stack(
        [kind.expand_as(top), (top - horizon) / focal, (bottom - horizon) / focal, (right - left) / focal], 2
    )
    return found[whole]


def shorter(text: str, rng: np.random.Generator) -> str:
    """The same in fewer words, half of the time, where a prompt names one thing of the scene."""
    named = parse(text).named
    if len(named) != 1 or rng.random() < 0.5:
        return text
    ((name, value),) = named.items()
    short = wish(name, str(value), rng) if name in SCENE else text
    return short if parse(short).named == named else text


def prompts(count: int, seed: int) -> list[str]:
    """So many prompts, half of them wishes in few words, most of those of weather."""
    rng = np.random.default_rng(seed)
    names = rng.choice(["weather", *SCENE], count - count // 2)
    short = [wish(name, str(rng.choice(np.array(VALUES[name]))), rng) for name in names]
    return [*short, *(caption(sample(rng), rng) for _ in range(count // 2))]


def counts_of(text: str) -> list[int]:
    """How many of each of KINDS a prompt wants, and -1 for each that it does not name."""
    wanted = parse(text)
    names = [*(f"{kind}_count" for kind in LANDMARKS), "creatures"]
    some = {name: 2 if name in wanted.many else 1 for name in wanted.some}
    return [int(wanted.named.get(name, some.get(name, -1))) for name in names]
