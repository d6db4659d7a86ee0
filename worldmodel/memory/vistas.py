"""Vistas: what comes into view at a side is the rest of a picture that goes on where the view ends.

Nothing tells what lies beyond the edge of a view that nobody has seen, and a network that is asked for it in one pass
answers with the mean of all that may be: fog. But recordings are full of places, and some of them begin as the view
ends. So a world keeps a few thousand pictures of where it was learnt. When a view turns to where no memory is, one of
them is found whose columns look like the view's last ones, it is changed into what words say holds here, and its
further columns come into view, pixel by pixel, until they are used up and another one goes on. From then on they are
the place: what was seen is remembered. (Texture by finding it elsewhere: Efros and Freeman 2001, image quilting;
generation that looks things up: Blattmann et al. 2022, arXiv 2204.11824.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.memory.compact import of_bytes, to_bytes
from inhabit.worldmodel.omni.autoencoder import Autoencoder, to_pixels

EDGE = 2
"""Columns of latents of a view that are compared."""

CONTRAST = 2.0
"""How much more than its colour the contrast within a latent's pixels counts: rain, snow and grids are contrast."""

LEAST_LOOK, MOST_LOOK = -1.0, CONTRAST
"""What a look can be: a colour is -1 to 1, a contrast 0 to 1."""

PLACE = 1.0
"""How much more than the last columns the whole view counts: a white pillar at night ends as a field of snow does."""

TRIED = 0.4
"""Share of the pictures that are tried, by chance: where the best one goes on after itself, a land has nothing else."""

LEAST_TRIED = 200
"""Where there are few pictures, so many are tried all the same."""

GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it are spread evenly between whole numbers."""

ALIKE = 4
"""One of so many pictures that fit best is taken, by chance."""

PLACES = 8
"""Likewise where a picture of a whole place is wanted."""

WORSE = 1.5
"""Pictures that fit so many times worse than the best one are not."""

TOO_FAR = 0.3
"""A picture beside which the view has moved up or down by this share of its height gives way to another."""

SHADE = 0.3
"""Colours of a picture are moved by this much at most, of -1 to 1, to meet those of the view."""

STILL_PX = 0.1
"""A side at which less than this comes into view stands still."""

NOTHING = -1.0
"""Where no picture goes on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VistasConfig:
    """The sizes of a world's pictures."""

    pictures: int = 2800
    """How many."""

    latent_channels: int = 16
    """Channels of the codec's latents."""

    grid: tuple[int, int] = (16, 16)
    """Latent rows and columns. Views of other heights have no vistas."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sides:
    """What lies beyond the left and the right edge of the newest frames."""

    pixels: Tensor
    """(b, 2, h, width of a picture, 3) uint8: pictures that go on there, the left one mirrored."""

    taken: Tensor
    """(b, 2) float32: columns of them that are behind the edge already; NOTHING where no picture goes on."""

    sunk: Tensor
    """(b, 2) float32: pixels by which the view beside them has moved down since they began."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Coming:
    """What comes into view from pictures beyond the edges."""

    sides: Sides
    """Of the next frames."""

    begun: Tensor
    """(b, 2) float32: columns that are behind the edges of the newest frames."""

    column: Tensor
    """(b, 2, h, w) float32: which columns of them the next frames' pixels are."""

    row: Tensor
    """(b, 2, h, w) float32: which rows, -1 to 1 from edge to edge."""

    there: Tensor
    """(b, 2, h, w) bool: which pixels come from there."""

    fresh: Tensor
    """(b,) bool: sessions at a side of which another picture goes on now."""


class Vistas(nn.Module):
    """A world's pictures, and what they look like, a byte for each number."""

    latents: Tensor
    looks: Tensor
    least: Tensor
    most: Tensor

    def __init__(self, config: VistasConfig):
        super().__init__()
        self.config = config
        rows, columns = config.grid
        channels = config.latent_channels
        self.register_buffer("latents", torch.zeros(config.pictures, channels, rows, columns, dtype=torch.uint8))
        self.register_buffer("looks", torch.zeros(config.pictures, columns, 6 * rows, dtype=torch.uint8))
        self.register_buffer("least", torch.zeros(channels, 1, 1))
        self.register_buffer("most", torch.ones(channels, 1, 1))
        self._keys: Tensor | None = None
        self._places: Tensor | None = None

    @torch.inference_mode()
    def learn(self, latents: Tensor, autoencoder: Autoencoder) -> Vistas:
        """Keep these pictures, (n, c, h, w)."""
        self.least.copy_(latents.amin((0, 2, 3))[:, None, None])
        self.most.copy_(latents.amax((0, 2, 3))[:, None, None])
        self.latents.copy_(to_bytes(latents, self.least, self.most))
        for some in torch.arange(len(latents)).split(64):
            seen = look(autoencoder.decode(self.picture(some)), autoencoder.config.factor)
            self.looks[some] = to_bytes(seen, LEAST_LOOK, MOST_LOOK)
        return self

    def picture(self, number: Tensor) -> Tensor:
        """Latents of pictures. Shapes: (k,) -> (k, c, h, w)."""
        return of_bytes(self.latents[number], self.least, self.most)

    def blank(self, pixels: Tensor) -> Tensor:
        """Room for one of them beside each of some views of it, (b, h, w, 3) -> (b, h, width of a picture, 3)."""
        b, h = pixels.shape[:2]
        return pixels.new_zeros(b, h, h // self.config.grid[0] * self.config.grid[1], 3)

    def usual(self, view: Tensor) -> Tensor:
        """What a place looks like, wherever one turns: its rows. Shapes: (b, 3, h, w) in [-1, 1] -> (b, features)."""
        return look(view, view.shape[-2] // self.config.grid[0]).mean(1)

    def like(self, usual: Tensor, dice: Tensor) -> Tensor:
        """Pictures of places that look like some. Shapes: (k, features), (k,) in (0, 1] -> (k,) int64."""
        fits = torch.cdist(usual, self.places).topk(min(PLACES, len(self.places)), largest=False).indices
        rank = (dice * fits.shape[1]).ceil().long() - 1
        return fits.gather(1, rank.clamp(min=0)[:, None])[:, 0]

    def begin(self, b: int, cell: int, device: torch.device) -> Sides:
        """The sides of sessions that have not looked around yet; a latent is `cell` pixels wide."""
        rows, columns = self.config.grid
        pixels = torch.zeros(b, 2, rows * cell, columns * cell, 3, dtype=torch.uint8, device=device)
        nothing = torch.full((b, 2), NOTHING, device=device)
        return Sides(pixels=pixels, taken=nothing, sunk=torch.zeros_like(nothing))

    def go_on(
        self,
        sides: Sides,
        view: Tensor,
        where: Tensor,
        wanted: Tensor,
        dice: Tensor,
        open_picture: Callable[[Tensor, Tensor], Tensor],
    ) -> Coming:
        """What comes into view.

        Args:
            sides: of the newest frames.
            view: (b, 3, h, w) in [-1, 1], the newest frames.
            where: (b, h, w, 2) the place in them that each pixel of the next ones comes from; see motion.places().
            wanted: (b, 2) bool: at which sides a picture shall go on.
            dice: (b, 2) in (0, 1].
            open_picture: the pixels, (k, h, w, 3) uint8, of latents, (k, c, h, w), for sessions, (k,) int64.
        """
        (h, w), wide = view.shape[-2:], sides.pixels.shape[3]
        column = (where[..., 0] + 1) * (w / 2) - 0.5
        columns = torch.stack([w - 1 - column, column], 1)  # (b, 2, h, w), counted towards each side
        entering = torch.stack([columns[:, 0, :, 0], columns[:, 1, :, -1]], 1).median(2).values - (w - 1)
        comes = (entering > STILL_PX) & wanted
        level = (torch.arange(h, device=view.device) + 0.5) * (2 / h) - 1
        sinks = (torch.stack([where[:, :, 0, 1], where[:, :, -1, 1]], 1) - level).median(2).values * (h / 2)
        elsewhere = sides.sunk.abs() > TOO_FAR * h
        short = comes & ((sides.taken == NOTHING) | (sides.taken + entering > wide) | elsewhere)
        if bool(short.any()):
            sides = self._find(sides, view, short, dice, open_picture)
        there = comes & (sides.taken != NOTHING)
        beyond = (columns > w - 1) & there[..., None, None]
        still = entering.abs() <= STILL_PX
        taken = torch.where(there, sides.taken + entering, torch.where(still, sides.taken, NOTHING))
        return Coming(
            sides=Sides(pixels=sides.pixels, taken=taken, sunk=(sides.sunk + sinks) * (taken != NOTHING)),
            begun=sides.taken,
            column=sides.taken[..., None, None] + columns - w,
            row=where[:, None, ..., 1] + sides.sunk[..., None, None] * (2 / h),
            there=beyond,
            fresh=short.any(1),
        )

    def _find(
        self, sides: Sides, view: Tensor, short: Tensor, dice: Tensor, open_picture: Callable[[Tensor, Tensor], Tensor]
    ) -> Sides:
        """The sides with pictures that go on where there are none."""
        session, side = short.nonzero(as_tuple=True)
        cell = view.shape[-2] // self.config.grid[0]
        mirrored = (side == 0)[:, None, None, None]
        seen = view[session]
        seen = torch.where(mirrored, seen.flip(-1), seen)
        last = look(seen[..., -EDGE * cell :], cell)
        wanted, cuts = _key(last), self.keys.shape[2]
        far = wanted.new_empty(len(wanted), self.keys.shape[1] * cuts)
        for one in range(2):
            far[side == one] = torch.cdist(wanted[side == one], self.keys[one].flatten(0, 1))
        place = torch.cdist(self.usual(seen), self.places)
        number = torch.arange(len(self.places), device=view.device)
        tried = (number * GOLDEN + dice[session, side, None]) % 1 <= max(TRIED, LEAST_TRIED / len(number))
        place = torch.where(tried, PLACE * place, torch.inf)
        far = (far.square() + place.square().repeat_interleave(cuts, 1)).sqrt()
        best, fits = far.topk(ALIKE, largest=False)
        several = (best <= WORSE * best[:, :1]).sum(1)
        rank = (dice[session, side] * several).ceil().long() - 1
        chosen = fits.gather(1, rank[:, None])[:, 0]
        picture, cut = chosen // cuts, chosen % cuts + EDGE
        pixels = open_picture(self.picture(picture), session)
        pixels = torch.where(mirrored, pixels.flip(2), pixels)
        taken = (cut * cell).float()
        pixels = _shaded(pixels, taken, seen[..., -cell:].mean(-1), cell)
        fresh, begun, sunk = sides.pixels.clone(), sides.taken.clone(), sides.sunk.clone()
        fresh[session, side], begun[session, side], sunk[session, side] = pixels, taken, 0.0
        return Sides(pixels=fresh, taken=begun, sunk=sunk)

    @property
    def places(self) -> Tensor:
        """(pictures, features): what place each picture is of, whatever stands there."""
        if self._places is None or self._places.device != self.looks.device:
            self._places = of_bytes(self.looks, LEAST_LOOK, MOST_LOOK).mean(1)
        return self._places

    @property
    def keys(self) -> Tensor:
        """(2, pictures, cuts, features): what pictures look like before each column at which they may go on, also when
        they are mirrored."""
        if self._keys is None or self._keys.device != self.looks.device:
            ways, right = [], of_bytes(self.looks, LEAST_LOOK, MOST_LOOK)
            for looks in (right.flip(1), right):
                cuts = range(EDGE, self.config.grid[1] // 2 + 1)
                ways.append(torch.stack([_key(looks[:, cut - EDGE : cut]) for cut in cuts], 1))
            self._keys = torch.stack(ways)
        return self._keys


def look(pixels: Tensor, cell: int) -> Tensor:
    """What columns of latents look like: the colour and the contrast of each one's pixels.

    Shapes: (b, 3, h, w) in [-1, 1] -> (b, w / cell, 6 * h / cell).
    """
    colour = F.avg_pool2d(pixels.float(), cell)
    contrast = (F.avg_pool2d(pixels.float().square(), cell) - colour.square()).clamp(min=0).sqrt()
    return torch.cat([colour, CONTRAST * contrast], 1).permute(0, 3, 1, 2).flatten(2)


def _key(looks: Tensor) -> Tensor:
    """What some columns look like, the last one above all. Shapes: (n, columns, features) -> (n, 2 * features)."""
    return torch.cat([looks.mean(1), looks[:, -1] / 2], 1)


def _shaded(pixels: Tensor, taken: Tensor, edge: Tensor, cell: int) -> Tensor:
    """Pictures whose colours meet those of the view where they go on.

    Shapes: (k, h, w, 3) uint8, (k,), (k, 3, h) -> (k, h, w, 3) uint8.
    """
    w = pixels.shape[2]
    whole = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
    column = torch.arange(w, device=pixels.device) - taken[:, None]  # from where it goes on
    just_before = ((column >= -cell) & (column < 0)).float()[:, None, None]
    own = (whole * just_before).sum(-1) / cell
    smooth = 4 * cell + 1
    off = F.avg_pool1d(edge - own, smooth, stride=1, padding=smooth // 2, count_include_pad=False)
    fades = (1 - column.clamp(min=0) / (w / 2)).clamp(min=0)[:, None, None]
    return to_pixels((whole + off.clamp(-SHADE, SHADE)[..., None] * fades).clamp(-1, 1))
