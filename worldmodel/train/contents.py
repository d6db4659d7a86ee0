"""What a pack holds beside its networks: real moments to begin from, a title, the words that it knows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.omni.text import words_of
from inhabit.worldmodel.pack import Starts
from inhabit.worldmodel.train.checks import CONTEXT_FRAMES
from inhabit.worldmodel.train.footage import Footage

STARTS = 32


def title_of(source: str) -> str:
    """What people call a world that was learnt from a source such as "doom:take_cover"."""
    kind, _, name = source.partition(":")
    return f"Neural {kind.capitalize()}: {name.replace('_', ' ')}" if name else f"Neural {source}"


def vocabulary_of(footage: Footage) -> tuple[str, ...]:
    """All words that a recording says, the most frequent first."""
    counts: dict[str, int] = {}
    for text in footage.texts:
        for word in words_of(text):
            counts[word] = counts.get(word, 0) + 1
    return tuple(sorted(counts, key=lambda word: (-counts[word], word)))


def choose_starts(footage: Footage, latents: Tensor, heard: Tensor | None = None, *, poses: bool = False) -> Starts:
    """Real moments spread over the recording; where objects were recorded, each has one in view at its end."""
    rows = footage.windows(CONTEXT_FRAMES, held_out=False)
    last = rows + CONTEXT_FRAMES - 1
    if len(footage.boxes):
        busy = np.isin(last, np.unique(footage.boxes[:, 0]))
        rows, last = rows[busy], last[busy]
    chosen = np.linspace(0, len(rows) - 1, min(STARTS, len(rows))).astype(int)
    window = torch.from_numpy(rows[chosen, None] + np.arange(CONTEXT_FRAMES))
    prompts = () if footage.text_of is None else tuple(footage.texts[text] for text in footage.text_of[last[chosen]])
    return Starts(
        latents=latents[window],
        actions=torch.from_numpy(footage.actions[window]),
        sound=None if heard is None else heard[window],
        pose=None if footage.pose is None or not poses else torch.from_numpy(footage.pose[rows[chosen]]),
        prompts=prompts,
    )
