"""Props: things that words ask for and that are not there yet, put into the picture from where they were once seen.

An edit that is asked for "a red tower" and is shown a meadow paints nothing: the tower may stand anywhere, and the mean
of all those pictures is the meadow; told where, it paints the shadow of one. But recordings are full of towers. So
a world keeps cut-outs of its things, each with its colour, its size and distance, and what the place looked like. A
small network sees what stands in a picture, another reads how many of which things a prompt wants, in which colour;
what is missing is put where nothing stands, as it was seen in a place that looks like this one. (Cut, paste and learn:
Dwibedi et al. 2017, arXiv 1708.01642; photo clip art: Lalonde et al. 2007.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.memory.compact import of_bytes
from inhabit.worldmodel.memory.vistas import LEAST_LOOK, MOST_LOOK, look
from inhabit.worldmodel.omni.autoencoder import Block, to_float, to_pixels
from inhabit.worldmodel.omni.text import TextConfig, TextEncoder, Tokens, tokenise
from inhabit.worldmodel.response.noise import uniform

MOST = 3
"""Things of a kind that can be asked for."""

MOST_AT_ONCE = 4
"""Things that one prompt puts into a picture."""

COVERED = 0.04
"""Share of a place that may be covered already; where there is no such place, nothing is put."""

STANDS = 0.2
"""Where something stands by at least this chance, something stands."""

ALIKE = 10
"""Cut-outs that are tried, those of places most like this one."""

BESIDE = 9
"""Places beside each other, across the view, that are tried for each of them."""

MARGIN = 0.85
"""Share of the view, around its middle, in which things are put whole."""

SHADED = (0.6, 1.6)
"""A cut-out is made darker or brighter by this much at most, to meet the light of the place."""

DRAW = 23
"""The draw of a session's noise that chooses."""

BEHIND = 1.0
"""rad: things in other directions than this are not in a picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PropsConfig:
    """Their sizes."""

    kinds: tuple[str, ...]
    """What can be asked for."""

    colours: tuple[str, ...]
    """In which colours."""

    pictures: int = 1800
    """Cut-outs."""

    side: int = 40
    """Pixels of their sides."""

    focal: float = 98.5
    """Pixels of the usual picture that one radian takes in its middle."""

    latent_channels: int = 16
    """Channels of the codec's latents."""

    grid: tuple[int, int] = (16, 16)
    """Latent rows and columns of the usual picture."""

    factor: int = 8
    """Pixels of a latent's side."""

    width: int = 48
    """Channels of the convolutions that see."""

    text: TextConfig = field(default_factory=lambda: TextConfig(tokens=48, width=64))
    """How prompts are read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What pictures show."""

    stands: Tensor
    """(b, kinds + 1, h, w) logits of what stands at each latent; the last of them of anything else that moves."""
    count: Tensor
    """(b, kinds, MOST + 1) logits of how many of each are in view."""
    pitch: Tensor
    """(b,) rad by which one looks up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What prompts want."""

    count: Tensor
    """(p, kinds, MOST + 2) logits of not saying it, of none of a kind, of one, and so on."""
    colour: Tensor
    """(p, kinds, colours + 1) logits of not saying it, and of each colour."""


class Props(nn.Module):
    """Cut-outs, and what puts them into pictures."""

    pictures: Tensor
    kind: Tensor
    colour: Tensor
    box: Tensor
    place: Tensor

    def __init__(self, config: PropsConfig):
        super().__init__()
        self.config = config
        kinds, width, n = len(config.kinds), config.width, config.pictures
        self.register_buffer("pictures", torch.zeros(n, 4, config.side, config.side, dtype=torch.uint8))
        self.register_buffer("kind", torch.zeros(n, dtype=torch.uint8))
        self.register_buffer("colour", torch.zeros(n, dtype=torch.uint8))
        self.register_buffer("box", torch.zeros(n, 3))  # top, bottom, width in focal lengths from the horizon
        self.register_buffer("place", torch.zeros(n, 6 * config.grid[0], dtype=torch.uint8))
        self.join = nn.Sequential(nn.Conv2d(config.latent_channels, width, 3, padding=1), Block(width))
        self.down = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.coarse = nn.Sequential(*(Block(2 * width) for _ in range(3)))
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.finish = Block(width)
        self.out = nn.Conv2d(width, kinds + 1, 3, padding=1)
        self.count = nn.Linear(4 * width, kinds * (MOST + 1))
        self.pitch = nn.Sequential(nn.Linear(2 * width * config.grid[0] // 2, 64), nn.SiLU(), nn.Linear(64, 1))
        self.words = TextEncoder(config.text, kinds * (MOST + 2 + len(config.colours) + 1))

    def forward(self, latents: Tensor) -> Seen:
        """Look at pictures. Shape: (b, c, h, w)."""
        h, w = latents.shape[-2:]
        x = self.join(F.pad(latents, (0, w % 2, 0, h % 2), mode="replicate"))
        y = self.coarse(self.down(x))
        x = self.finish(x + self.up(y))[..., :h, :w]
        whole = torch.cat([y.mean((2, 3)), y.amax((2, 3))], 1)
        rows = F.adaptive_avg_pool2d(y, (self.config.grid[0] // 2, 1)).flatten(1)  # the horizon is a row
        return Seen(
            stands=self.out(F.silu(x)).float(),
            count=self.count(whole).float().unflatten(1, (-1, MOST + 1)),
            pitch=self.pitch(rows).float()[:, 0],
        )

    def read(self, prompts: Sequence[str]) -> Heard:
        """Read prompts."""
        return self.hear(tokenise(prompts, self.config.text).to(self.pictures.device))

    def hear(self, tokens: Tokens) -> Heard:
        """Likewise, of prompts that are ready for the encoder."""
        told = self.words(tokens)[:, 0].float().unflatten(1, (len(self.config.kinds), -1))
        return Heard(count=told[..., : MOST + 2], colour=told[..., MOST + 2 :])

    @torch.inference_mode()
    def arranged(self, latents: Tensor, pixels: Tensor, prompts: Sequence[str], key: Tensor, frame: Tensor) -> Tensor:
        """Where what prompts want, and pictures do not show, is put.

        Args:
            latents: (b, c, h, w), one for each prompt.
            pixels: (b, h, w, 3) uint8 the same.
            key, frame: (b,) int64 by which it is drawn.

        Returns:
            (b, MOST_AT_ONCE, 5) which cut-out, and its left, right, top and bottom in pixels of the usual picture, from
            its middle; all 0 where nothing is put.
        """
        seen, heard = self(latents.float()), self.read(prompts)
        wanted = (heard.count.argmax(2) - 1).clamp(min=0)
        missing = (wanted - seen.count.argmax(2)).clamp(min=0)
        colour = heard.colour.argmax(2) - 1
        places = torch.zeros(len(latents), MOST_AT_ONCE, 5, device=latents.device)
        for row in (missing > 0).any(1).nonzero()[:, 0].tolist():
            stands = (seen.stands[row].sigmoid() >= STANDS).any(0).float()
            horizon = self.config.focal * seen.pitch[row].tan()
            here = self._place_of(pixels[row : row + 1])
            self._arrange(places[row], missing[row], colour[row], stands, horizon, here, key[row], frame[row])
        return places

    @torch.inference_mode()
    def put(self, pixels: Tensor, places: Tensor, turn: Tensor, nod: Tensor) -> Tensor:
        """Pictures with what is put into them.

        Args:
            pixels: (b, h, w, 3) uint8.
            places: (b, MOST_AT_ONCE, 5); see arranged().
            turn, nod: (b,) rad by which one looks further to the right, and up, than where they were arranged.
        """
        h, w = pixels.shape[1:3]
        picture, light = to_float(pixels), self._light(self._place_of(pixels))
        scale = self.config.factor * min(self.config.grid) / min(h, w)  # the shorter side always spans the same angle
        across, down = ((torch.arange(n, device=pixels.device) + 0.5 - n / 2) * scale for n in (w, h))
        edges = self._turned(places[..., 1:], turn, nod)
        order = edges[..., 3].argsort(1)  # what is nearer stands further down
        rows = torch.arange(len(pixels), device=pixels.device)
        for one in order.unbind(1):
            number, (left, right, top, bottom) = places[rows, one, 0].long(), edges[rows, one].unbind(1)
            column = (across - left[:, None]) / (right - left).clamp(min=1e-3)[:, None]
            row = (down - top[:, None]) / (bottom - top).clamp(min=1e-3)[:, None]
            grid = torch.stack(torch.broadcast_tensors(column[:, None, :], row[:, :, None]), -1) * 2 - 1
            cut = F.grid_sample(self.pictures[number].float() / 255, grid, align_corners=False)
            own = self._light(of_bytes(self.place[number], LEAST_LOOK, MOST_LOOK))
            shade = ((light + 0.05) / (own + 0.05)).clamp(*SHADED)[..., None, None]
            covers = cut[:, 3:] * (right > left)[:, None, None, None]
            picture = torch.lerp(picture, (cut[:, :3] * shade).clamp(0, 1) * 2 - 1, covers)
        return torch.where((edges[..., 1] > edges[..., 0]).any(1)[:, None, None, None], to_pixels(picture), pixels)

    def covers(self, places: Tensor, size: tuple[int, int]) -> Tensor:
        """How much of each latent of a picture of `size` rows and columns each place takes up.

        Shapes: (..., 4) left, right, top, bottom -> (..., h, w) 0 to 1.
        """
        scale = self.config.factor * min(self.config.grid) / min(size)
        columns, rows = _overlap(places[..., :2] / scale, size[1]), _overlap(places[..., 2:] / scale, size[0])
        return rows[..., :, None] * columns[..., None, :]

    def _turned(self, edges: Tensor, turn: Tensor, nod: Tensor) -> Tensor:
        """Places as one sees them who has turned; nothing where they are behind one. Shape (b, places, 4)."""
        focal = self.config.focal
        side = focal * torch.tan(((edges[..., :2] / focal).atan() - turn[:, None, None]).clamp(-1.5, 1.5))
        upright = edges[..., 2:] + focal * nod.tan()[:, None, None]
        there = (edges[..., 1] > edges[..., 0]) & (turn.abs() < BEHIND)[:, None]
        return torch.cat([side, upright], -1) * there[..., None]

    def _arrange(
        self,
        places: Tensor,
        missing: Tensor,
        colours: Tensor,
        stands: Tensor,
        horizon: Tensor,
        here: Tensor,
        key: Tensor,
        frame: Tensor,
    ) -> None:
        """Fill the places, (MOST_AT_ONCE, 5), of one session, a thing of each kind at a time."""
        device = places.device
        dice = uniform(
            key + torch.arange(MOST_AT_ONCE + 1, device=device), frame.expand(MOST_AT_ONCE + 1), DRAW
        ).tolist()
        kinds = (missing > 0).nonzero()[:, 0]
        kinds = kinds.roll(int(dice[-1] * len(kinds))).tolist()
        order = [(kind, nth) for nth in range(MOST) for kind in kinds if nth < int(missing[kind])]
        chosen: dict[int, int] = {kind: int(colours[kind]) for kind in kinds}
        filled = 0
        for kind, _ in order:
            if filled == MOST_AT_ONCE:
                return
            number = self._alike(kind, chosen[kind], here)
            tried = self._tried(number, (stands.shape[0], stands.shape[1]), horizon)
            taken = self.covers(tried, (stands.shape[0], stands.shape[1]))  # (cut-outs, beside, h, w)
            covered = (taken * stands).sum((2, 3)) / taken.sum((2, 3)).clamp(min=1e-3)
            free = ((covered <= COVERED) & (taken.sum((2, 3)) > 0.5)).nonzero()
            if not len(free):
                continue
            which, beside = free[int(dice[filled] * (len(free) - 1))].tolist()
            places[filled, 0], places[filled, 1:] = number[which], tried[which, beside]
            chosen[kind] = int(self.colour[number[which]])
            around = F.max_pool2d((taken[which, beside] > 0.1).float()[None], 3, 1, 1)[0]
            stands = torch.maximum(stands, around)
            filled += 1

    def _alike(self, kind: int, colour: int, here: Tensor) -> Tensor:
        """Cut-outs of a kind, of a colour where that is known (-1 otherwise), in places most like this one, (1, f)."""
        far = torch.cdist(here, of_bytes(self.place, LEAST_LOOK, MOST_LOOK))[0]
        far = torch.where(self.kind == kind, far, torch.inf)
        if colour >= 0:
            far = far + 1e3 * (self.colour != colour)
        number = far.topk(min(ALIKE, len(far)), largest=False).indices
        best = far[number[0]]
        return number[far[number] <= best * 1.5 + 1e-3]

    def _tried(self, number: Tensor, size: tuple[int, int], horizon: Tensor) -> Tensor:
        """Where cut-outs are tried. Shapes: (k,) -> (k, BESIDE, 4)."""
        box = self.box[number] * self.config.focal
        half = MARGIN * size[1] * self.config.factor * min(self.config.grid) / min(size) / 2
        middle = torch.linspace(-1, 1, BESIDE, device=box.device) * (half - box[:, 2:] / 2).clamp(min=0)
        side = box[:, None, 2] / 2
        upright = (box[:, None, :2] + horizon).expand(-1, BESIDE, -1)
        return torch.cat([torch.stack([middle - side, middle + side], 2), upright], 2)

    def _place_of(self, pixels: Tensor) -> Tensor:
        """What places look like. Shapes: (b, h, w, 3) uint8 -> (b, 6 * rows)."""
        rows = self.config.grid[0]
        size = (rows * self.config.factor, self.config.grid[1] * self.config.factor)
        view = to_float(pixels)
        if view.shape[-2:] != size:
            view = F.interpolate(view, size=size, mode="area")
        return look(view, self.config.factor).mean(1)

    def _light(self, place: Tensor) -> Tensor:
        """The mean colour of places. Shapes: (b, 6 * rows) -> (b, 3) 0 to 1."""
        rows = self.config.grid[0]
        return place[:, : 3 * rows].unflatten(1, (3, rows)).mean(2) / 2 + 0.5


def _overlap(edges: Tensor, count: int) -> Tensor:
    """How much of each of `count` cells lies between two edges. Shapes: (..., 2) from their middle -> (..., count)."""
    first = torch.arange(count, device=edges.device) - count / 2
    return (torch.minimum(edges[..., 1:], first + 1) - torch.maximum(edges[..., :1], first)).clamp(0, 1)
