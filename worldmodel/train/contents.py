"""What a pack holds: its networks, and beside them real moments to begin from, a title, the words that it knows."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.text import words_of
from inhabit.worldmodel.pack import PARTS, Pack, Starts, WorldFile
from inhabit.worldmodel.train.checks import CONTEXT_FRAMES, Material
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.presets import Preset

STARTS = 32


def make_pack(
    name: str, preset: Preset, footage: Footage, world: Material, dynamics: Dynamics, *, training: dict[str, Any]
) -> Pack:
    """All that ships of a world.

    Args:
        preset: what its networks were made by.
        world: what its dynamics lives in.
        training: what the pack tells of how it was learnt.
    """
    starts = choose_starts(footage, world.latents, world.heard, poses=world.recall is not None)
    source, sound, text = footage.meta.source, preset.dynamics.sound, preset.dynamics.text
    info = msgspec.structs.replace(
        footage.meta.world,
        name=name,
        title=title_of(source),
        steps=preset.dynamics.steps,
        sound_rate_hz=round(sound.samples * footage.meta.world.rate_hz) if sound else 0,
        sound_channels=sound.channels if sound else 0,
        prompts=footage.meta.world.prompts if text else (),
    )
    file = WorldFile(
        info=info,
        source=source,
        autoencoder=preset.autoencoder,
        dynamics=preset.dynamics,
        foley=world.foley and world.foley.config,
        edit=world.edit and world.edit.config,
        vistas=world.vistas and world.vistas.config,
        atlas=world.atlas and world.atlas.config,
        flight=world.flight and world.flight.config,
        air=world.air and world.air.config,
        props=world.props and world.props.config,
        vocabulary=vocabulary_of(footage) if text else (),
        start_prompts=starts.prompts,
        steps=min(2, max(preset.dynamics.steps)),
        training=training,
    )
    return Pack(
        file=file,
        autoencoder=world.autoencoder,
        dynamics=dynamics,
        starts=starts,
        **{name: getattr(world, name) for name in PARTS},
    )


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
