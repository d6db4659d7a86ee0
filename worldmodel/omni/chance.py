"""Chance: what nothing foretells is drawn, not averaged.

Whether a monster stands behind the edge of the view cannot be known. The best single guess is that there is none, so a
network that only guesses paints an empty world, however long it learns. Here a die at each token says which objects are
there: none, or one of the sorts of sight that the recording has. The transformer learns how probable each face is, as a
language model learns its next word; each die knows what those to its left and above it show, so that a monster that
spans two tokens is one monster. In play the dice are rolled, and the convolutions are shown what such a sight looks
like, to begin from it where nothing better is known.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.omni.block import Block, Draw, DynamicsConfig

FORETOLD_NATS = 3.0
"""A face of a chance above exp(-FORETOLD_NATS) was foretold."""


FIRM = 3.0
"""Where an object is more likely than none, so many times the log-odds are rolled with."""


class Chance(nn.Module):
    """Foretell and roll the die of each token, and show what comes up."""

    sights: Tensor

    def __init__(self, config: DynamicsConfig):
        super().__init__()
        assert config.chance is not None
        faces, width, patch = config.chance.faces, config.transformer.width, config.patch
        self.foretell = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, faces))
        self.beside = nn.ModuleList(nn.Embedding(faces, width) for _ in range(2))  # to the left, and above
        for known in self.beside:
            nn.init.zeros_(known.weight)
        # latents of each sort of sight, and how much of each the object covers; the first is no object
        self.register_buffer("sights", torch.zeros(faces, config.latent_channels + 1, patch, patch))

    def forward(self, features: Tensor, block: Block, rows: int, columns: int) -> tuple[Tensor, Draw]:
        """What the dice show, and how probable it was.

        Shapes: (b, t, rows * columns, d) -> (b, t, c + 1, h, w).
        """
        grid = features.float().unflatten(2, (rows, columns))
        with torch.autocast(features.device.type, enabled=False):
            dice = None if block.dice is None else block.dice.unflatten(2, (rows, columns))
            if block.shown is not None:
                shown = block.shown.unflatten(2, (rows, columns))
                logits = self._logits(grid, F.pad(shown, (1, 0))[..., :-1], F.pad(shown, (0, 0, 1, 0))[..., :-1, :])
                painted = shown if dice is None else _as_in_play(shown, roll(logits, dice), logits)
            else:
                logits, shown = self._roll(grid, dice, block.heat)
                painted = shown
        logits, shown, painted = (one.flatten(2, 3) for one in (logits, shown, painted))
        sight = self.sights[painted].unflatten(2, (rows, columns)).permute(0, 1, 4, 2, 5, 3, 6)
        return sight.flatten(5, 6).flatten(3, 4), Draw(logits=logits, shown=shown, painted=painted)

    def _roll(self, grid: Tensor, dice: Tensor | None, heat: Tensor | None) -> tuple[Tensor, Tensor]:
        """Roll diagonal by diagonal: what is to the left and above is known then."""
        rows, columns = grid.shape[2:4]
        shown = torch.zeros(grid.shape[:4], dtype=torch.int64, device=grid.device)
        logits = grid.new_zeros(*grid.shape[:4], len(self.sights))
        for diagonal in range(rows + columns - 1):
            row = torch.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1), device=grid.device)
            column = diagonal - row
            left = shown[:, :, row, (column - 1).clamp(min=0)] * (column > 0)
            above = shown[:, :, (row - 1).clamp(min=0), column] * (row > 0)
            some = self._logits(grid[:, :, row, column], left, above)
            logits[:, :, row, column] = some
            shown[:, :, row, column] = roll(some, None if dice is None else dice[:, :, row, column], heat)
        return logits, shown

    def _logits(self, features: Tensor, left: Tensor, above: Tensor) -> Tensor:
        """Shapes: (b, t, ..., d), (b, t, ...) twice -> (b, t, ..., faces)."""
        return self.foretell(features + self.beside[0](left) + self.beside[1](above))


def _as_in_play(shown: Tensor, rolled: Tensor, logits: Tensor) -> Tensor:
    """What training shows: of an object that was foretold, some sort that it might be, as play will. Else convolutions
    would take the die's word for what they see better themselves. What was not foretold is shown as it is."""
    foretold = logits.gather(-1, shown[..., None])[..., 0] - logits.logsumexp(-1) > -FORETOLD_NATS
    return torch.where((shown > 0) & (rolled > 0) & foretold, rolled, shown)


def roll(logits: Tensor, dice: Tensor | None, heat: Tensor | None = None) -> Tensor:
    """The faces that come up; the likeliest ones without dice, or at temperature 0.

    What probably is there is there: a monster in view that is doubted a little in every frame would be gone in ten, and
    come back in the next. What probably is not there comes as often as was foretold.

    Shapes: (b, t, n, faces), (b, t, n) uniform in (0, 1], (b, t) -> (b, t, n) int64.
    """
    if dice is None:
        return logits.argmax(-1)
    if heat is not None:
        logits = logits / heat[..., None, None].clamp(min=1e-4)
    odds = logits[..., 1:].logsumexp(-1, keepdim=True) - logits[..., :1]
    logits = torch.cat([logits[..., :1], logits[..., 1:] + (FIRM - 1) * odds.clamp(min=0)], -1)
    edges = logits.softmax(-1).cumsum(-1)
    return (edges < dice[..., None] * edges[..., -1:]).sum(-1).clamp(max=logits.shape[-1] - 1)
