"""Single moments of islands, drawn for training: each under several prompts that follow each other, with and without
what falls, with what stands there, and with cut-outs of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.memory.vistas import look as look_of
from inhabit.worldmodel.omni.autoencoder import to_float
from inhabit.worldmodel.worlds.isle import motion
from inhabit.worldmodel.worlds.isle.attributes import COLOURS, LANDMARKS, SCENE, VALUES, sample
from inhabit.worldmodel.worlds.isle.camera import VIEW
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

SIDE_PX = 40
"""Pixels of the sides of cut-outs."""

HIDDEN = 0.03
"""Share of a thing's box in which something else may be seen, and it is whole all the same."""

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
    pitch: Tensor
    """(n,) rad."""
    pictures: Tensor
    """(m, 4, SIDE_PX, SIDE_PX) uint8: things that are whole in view, and how much of each pixel they cover."""
    facts: Tensor
    """(m, 5) float32: their kind, colour (of COLOURS), top, bottom, width, the last three in focal lengths from the
    horizon."""
    places: Tensor
    """(m, features) float32: what the place looks like; see memory.vistas.look()."""
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
    areas, edges = _measured(picture.labels)
    kind = torch.tensor([min(slot // EACH, len(KINDS)) for slot in range(SLOTS)])
    rows, columns = -(-size[1] // CELL_PX), -(-size[0] // CELL_PX)
    stands = torch.zeros(len(state), len(KINDS) + 1, rows, columns, dtype=torch.bool)
    for slot in range(SLOTS):
        share = F.avg_pool2d((picture.labels == slot + 1).float()[:, None], CELL_PX, ceil_mode=True)[:, 0]
        stands[:, kind[slot]] |= share >= COVERED
    in_view = areas >= COVERED * CELL_PX**2
    count = torch.stack([in_view[:, kind == number].sum(1) for number in range(len(KINDS))], 1)
    behind = render(state, *size, falling=False).pixels
    pictures, facts, places = _cut(state, picture.labels, behind, areas, edges, kind)
    return Moments(
        seen=picture.pixels,
        behind=behind,
        amount=torch.stack([light.rain, light.snow], 1),
        colour=colours_of_air(state, light) * 2 - 1,
        stands=stands,
        count=count,
        pitch=state.look[:, 1],
        pictures=pictures,
        facts=facts,
        places=places,
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


def _cut(
    state: State, labels: Tensor, pixels: Tensor, areas: Tensor, edges: Tensor, kind: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Things that are whole in view, neither tiny nor huge; see Moments."""
    h, w = labels.shape[1:]
    focal = min(w, h) / 2 / math.tan(VIEW / 2)
    left, top, right, bottom = edges.unbind(2)
    full = (right - left) * (bottom - top)
    whole = (left > 0) & (top > 0) & (right < w) & (bottom < h) & (kind < len(KINDS))
    whole &= (full > 0.012 * w * h) & (full < 0.15 * w * h)
    horizon = h / 2 + focal * state.look[:, 1].tan()
    own = (state.tint[:, :, None] - _colours()).abs().sum(-1).argmin(-1)
    view = to_float(pixels)
    usual = look_of(view, CELL_PX).mean(1)
    pictures, facts, places = [], [], []
    for row, slot in whole.nonzero().tolist():
        box = [int(edge) for edge in edges[row, slot]]
        part = (slice(box[1], box[3]), slice(box[0], box[2]))
        mine = labels[row][part] == slot + 1
        others = (labels[row][part] > 0) & ~mine
        if float(others.float().mean()) > HIDDEN:
            continue
        mask = mine.float()[None, None]
        colour = (view[row : row + 1, :, part[0], part[1]] / 2 + 0.5) * mask
        small, cover = (
            F.interpolate(one, size=(SIDE_PX, SIDE_PX), mode="bilinear", antialias=True) for one in (colour, mask)
        )
        cut = torch.cat([small / cover.clamp(min=1e-2), cover], 1)[0]
        pictures.append((cut.clamp(0, 1) * 255).round().to(torch.uint8))
        tall = [(box[1] - horizon[row]) / focal, (box[3] - horizon[row]) / focal, (box[2] - box[0]) / focal]
        facts.append(torch.tensor([float(kind[slot]), float(own[row, slot]), *map(float, tall)]))
        places.append(usual[row])
    if not facts:
        return torch.zeros(0, 4, SIDE_PX, SIDE_PX, dtype=torch.uint8), torch.zeros(0, 5), usual[:0]
    return torch.stack(pictures), torch.stack(facts), torch.stack(places)


def _colours() -> Tensor:
    """(COLOURS, 3) 0 to 1."""
    return torch.tensor([[value >> 16, value >> 8 & 255, value & 255] for value in COLOURS.values()]) / 255


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


def colours_of(text: str) -> list[int]:
    """In which of COLOURS a prompt wants each of KINDS, and -1 for each of which it does not say it."""
    named, colours = parse(text).named, list(COLOURS)
    said = [named.get(f"{kind}_colour") for kind in KINDS]
    return [-1 if colour is None else colours.index(str(colour)) for colour in said]
