"""Give a pack of the island things that come when words ask for them: cut-outs that the simulator draws.

.venv/bin/python scripts/props.py worldmodel/packs/isle-tiny --minutes 8

With --edit-minutes its edit learns on from the same moments, drawn without rain and snow, which it then leaves out
(scripts/air.py makes a layer of them).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import torch
import tyro
from torch import Tensor

from inhabit.bridge.errors import InhabitError
from inhabit.worldmodel.memory.props import Props, PropsConfig
from inhabit.worldmodel.omni.autoencoder import to_float
from inhabit.worldmodel.omni.edit import Edit
from inhabit.worldmodel.omni.text import tokenise
from inhabit.worldmodel.pack import Pack, load_pack, save_pack
from inhabit.worldmodel.train.display import Display
from inhabit.worldmodel.train.edit import EditTraining, Pairs, train_edit
from inhabit.worldmodel.train.latents import Latents
from inhabit.worldmodel.train.props import (
    CutOuts,
    PropsTraining,
    Scenery,
    Wishes,
    collect,
    learn_words,
    measure_props,
    train_props,
)
from inhabit.worldmodel.train.schedule import Budget
from inhabit.worldmodel.worlds.isle.attributes import COLOURS
from inhabit.worldmodel.worlds.isle.captions import asked_for
from inhabit.worldmodel.worlds.isle.moments import (
    CELL_PX,
    KINDS,
    SIDE_PX,
    Moments,
    colours_of,
    counts_of,
    look,
    prompts,
)
from inhabit.worldmodel.worlds.isle.record import STAGES

FIRST_SEED, MEASURED_SEED = 2_600_000, 9_600_000
"""No recording has these islands, and on none of them is anything else measured."""

PROMPTS = 40_000
"""What is wanted is learnt from so many prompts, and from those of the islands."""

ASKED_SHARE = 0.4
"""Share of those that ask for what they name in the words of people who want it."""

LESSONS = EditTraining(batch=24, rate=7e-4, warmup=100, average=0.998, hidden_share=0.1, again_share=0.0)
"""How the edit learns on: it knows everything else already."""


def main(
    pack: Path,
    /,
    *,
    minutes: float = 8.0,
    edit_minutes: float = 0.0,
    islands: int = 4000,
    pictures: int = 1800,
    out: Path | None = None,
) -> None:
    """Learn.

    Args:
        pack: folder of the pack.
        minutes: how long it is learnt what stands where, once prompts are read.
        edit_minutes: how long after that the edit learns on.
        islands: to look at.
        pictures: cut-outs that are kept.
        out: where the better pack is written; the same folder by default.
    """
    world, display, device = load_pack(pack), Display(), torch.device("cpu")
    if world.file.source != "isle" or world.edit is None or world.recall is None:
        raise InhabitError(f"Expected a pack of isle that listens, got one of {world.file.source} - at {pack}")
    info, factor = world.file.info, world.autoencoder.config.factor
    if factor != CELL_PX:
        raise InhabitError(f"Expected latents of {CELL_PX} pixels a side, got {factor} - at {pack}")

    def told(budget: Budget, unit: str, batch: int) -> Callable[[int, Mapping[str, float]], None]:
        return lambda step, figures: display.show(budget.share, budget.elapsed_s, step * batch, unit, figures)

    display.begin(f"looking at {islands} islands")
    size = (info.width, info.height)
    moments, others = (look(seed, n, size) for seed, n in ((FIRST_SEED, islands), (MEASURED_SEED, 96)))
    latents, held = encoded(world, moments.behind), encoded(world, others.behind)
    config = PropsConfig(
        kinds=KINDS,
        colours=tuple(COLOURS),
        pictures=pictures,
        side=SIDE_PX,
        focal=float(world.recall.zoom.detach().exp()) * info.width / 2,
        latent_channels=world.file.autoencoder.latent_channels,
        grid=(latents.shape[-2], latents.shape[-1]),
        factor=factor,
    )
    props = Props(config)
    try:
        collect(props, CutOuts(pictures=moments.pictures, facts=moments.facts, places=moments.places))
    except ValueError as error:
        raise InhabitError(f"{error}; look at more than {islands} islands (--islands)") from error
    rng = np.random.default_rng(FIRST_SEED)
    more = [asked_for(text, rng) if rng.random() < ASKED_SHARE else text for text in prompts(PROMPTS, FIRST_SEED)]
    wishes = [wished([*moments.texts, *more]), wished([*others.texts, *prompts(1000, 0)])]
    if world.props and world.props.config.text == config.text and len(world.props.config.kinds) == len(KINDS):
        props.words.load_state_dict(world.props.words.state_dict())
    else:
        display.begin("words")
        learn_words(props, wishes[0], device)
    display.begin(f"props ({minutes:.1f} min)")
    budget, training = Budget(seconds=60 * minutes), PropsTraining()
    on_step = told(budget, "pictures", training.batch)
    props = train_props(props, scenery(latents, moments), budget, device, training, on_step=on_step)
    display.end()
    figures = measure_props(props, scenery(held, others), wishes[1])
    print("props: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    edit = world.edit
    if edit_minutes:
        pairs, unseen = pairs_of(world, latents, moments), pairs_of(world, held, others)
        print(f"the edit is off by {off(edit, unseen):.4f}")
        display.begin(f"edit ({edit_minutes:.1f} min)")
        budget, lessons = Budget(seconds=60 * edit_minutes), LESSONS
        on_step = told(budget, "pairs", lessons.batch)
        edit = train_edit(edit.requires_grad_(True), pairs, budget, device, lessons, fresh=False, on_step=on_step)
        display.end()
        print(f"the edit is off by {off(edit, unseen):.4f}")
    file = msgspec.structs.replace(world.file, props=props.config)
    save_pack(replace(world, file=file, edit=edit, props=props), out or pack)
    print(f"the pack is in {out or pack}: inhabit play {out or pack}")


@torch.inference_mode()
def encoded(world: Pack, pictures: Tensor) -> Tensor:
    """(n, c, h, w) float16 latents of pictures."""
    return torch.cat([world.autoencoder.encode(to_float(some)).half() for some in pictures.split(32)])


def scenery(latents: Tensor, moments: Moments) -> Scenery:
    """What pictures show."""
    return Scenery(latents=latents, stands=moments.stands, count=moments.count, pitch=moments.pitch)


def wished(texts: list[str]) -> Wishes:
    """What prompts want."""
    count, colour = (torch.tensor([read(text) for text in texts]) for read in (counts_of, colours_of))
    return Wishes(texts=texts, wanted=count, colour=colour)


def pairs_of(world: Pack, latents: Tensor, moments: Moments) -> Pairs:
    """Moments before and after words."""
    assert world.edit is not None
    count = len(moments)
    row = torch.arange(count)
    data = Latents(
        z=latents, actions=torch.zeros(count, 1), rewards=torch.zeros(count), ended=torch.zeros(count),
        first=torch.ones(count, dtype=torch.bool), care=moments.stands.any(1).half(), carried=latents,
        prompts=tokenise([*moments.texts, ""], world.edit.config.text), prompt=row,
        next_stage=torch.where(row % STAGES < STAGES - 1, row + 1, -1),
    )  # fmt: skip
    return Pairs(data, torch.ones(count, dtype=torch.bool))


@torch.inference_mode()
def off(edit: Edit, pairs: Pairs) -> float:
    """By how much, mean square of latents, the edit is off where everything is shown."""
    edit.eval()
    total = 0.0
    for some in torch.arange(len(pairs)).split(64):
        before, after = pairs.before[some], pairs.after[some]
        tokens = pairs.prompts
        told = type(tokens)(triples=tokens.triples[after], filled=tokens.filled[after])
        made = edit(pairs.data.z[before].float(), told)
        total += float((made - pairs.data.z[after].float()).square().mean()) * len(some)
    return total / len(pairs)


if __name__ == "__main__":
    torch.manual_seed(0)
    try:
        tyro.cli(main)
    except InhabitError as error:
        print(f"props: {error}", file=sys.stderr)
        raise SystemExit(2) from error
