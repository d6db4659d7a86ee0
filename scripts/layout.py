"""Give a pack of the island a layout, so that things come that words ask for, and teach its edit to paint them there.

Everything is drawn by the simulator, without rain and snow, which the edit then leaves out too (scripts/air.py makes a
layer of them).

.venv/bin/python scripts/layout.py worldmodel/packs/isle-tiny --minutes 6 --edit-minutes 40
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
from inhabit.worldmodel.omni.autoencoder import to_float
from inhabit.worldmodel.omni.edit import Edit
from inhabit.worldmodel.omni.layout import Layout, LayoutConfig
from inhabit.worldmodel.omni.text import tokenise
from inhabit.worldmodel.pack import Pack, load_pack, save_pack
from inhabit.worldmodel.train.display import Display
from inhabit.worldmodel.train.edit import EditTraining, Pairs, train_edit
from inhabit.worldmodel.train.latents import Latents
from inhabit.worldmodel.train.layout import LayoutTraining, Scenery, Wishes, measure_layout, sized, train_layout
from inhabit.worldmodel.train.schedule import Budget
from inhabit.worldmodel.worlds.isle.captions import asked_for
from inhabit.worldmodel.worlds.isle.moments import CELL_PX, KINDS, Moments, counts_of, look, prompts
from inhabit.worldmodel.worlds.isle.record import STAGES

FIRST_SEED, MEASURED_SEED = 2_600_000, 9_600_000
"""No recording has these islands, and on none of them is anything else measured."""

PROMPTS = 30_000
"""What things are wanted is learnt from so many prompts, and from those of the islands."""

LESSONS = EditTraining(
    batch=24, rate=7e-4, warmup=100, average=0.998, hidden_share=0.1, again_share=0.0, object_gain=4.0
)
"""How the edit learns where things come: it knows everything else already."""


def main(
    pack: Path, /, *, minutes: float = 6.0, edit_minutes: float = 40.0, islands: int = 4000, out: Path | None = None
) -> None:
    """Learn.

    Args:
        pack: folder of the pack.
        minutes: how long it is learnt what stands where.
        edit_minutes: how long after that the edit learns to paint things where they come.
        islands: to look at.
        out: where the better pack is written; the same folder by default.
    """
    world, display, device = load_pack(pack), Display(), torch.device("cpu")
    if world.file.source != "isle" or world.edit is None or world.recall is None:
        raise InhabitError(f"Expected a pack of isle that listens, got one of {world.file.source} - at {pack}")
    info, factor = world.file.info, world.file.autoencoder.factor
    if factor != CELL_PX:
        raise InhabitError(f"Expected latents of {CELL_PX} pixels a side, got {factor} - at {pack}")

    def told(budget: Budget, unit: str, batch: int) -> Callable[[int, Mapping[str, float]], None]:
        return lambda step, figures: display.show(budget.share, budget.elapsed_s, step * batch, unit, figures)

    display.begin(f"looking at {islands} islands")
    moments, others = (
        look(seed, n, (info.width, info.height)) for seed, n in ((FIRST_SEED, islands), (MEASURED_SEED, 96))
    )
    latents, held = encoded(world, moments.behind), encoded(world, others.behind)
    config = LayoutConfig(
        kinds=KINDS,
        focal=float(world.recall.zoom.detach().exp()) * info.width / 2,
        latent_channels=world.file.autoencoder.latent_channels,
        grid=(latents.shape[-2], latents.shape[-1]),
        factor=factor,
    )
    layout = (world.layout or Layout(config)).requires_grad_(True)
    sized(layout, moments.boxes)
    more = prompts(PROMPTS, FIRST_SEED)
    rng = np.random.default_rng(FIRST_SEED)
    more = [asked_for(text, rng) if rng.random() < 0.3 else text for text in more]
    wishes = [wished([*moments.texts, *more]), wished([*others.texts, *prompts(1000, 0)])]
    display.begin(f"layout ({minutes:.1f} min)")
    budget, training = Budget(seconds=60 * minutes), LayoutTraining()
    on_step = told(budget, "pictures", training.batch)
    layout = train_layout(layout, scenery(latents, moments), wishes[0], budget, device, training, on_step=on_step)
    display.end()
    figures = measure_layout(layout, scenery(held, others), wishes[1])
    print("layout: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    edit = world.edit if world.edit.config.kinds else shown_places(world.edit, len(KINDS))
    world = replace(world, layout=layout, edit=edit)
    pairs, unseen = pairs_of(world, latents, moments), pairs_of(world, held, others)
    print("before: " + told_off(edit, unseen))
    display.begin(f"edit ({edit_minutes:.1f} min)")
    budget, lessons = Budget(seconds=60 * edit_minutes), LESSONS
    on_step = told(budget, "pairs", lessons.batch)
    edit = train_edit(edit.requires_grad_(True), pairs, budget, device, lessons, fresh=False, on_step=on_step)
    display.end()
    print("after: " + told_off(edit, unseen))
    file = msgspec.structs.replace(world.file, layout=layout.config, edit=edit.config)
    save_pack(replace(world, file=file, edit=edit), out or pack)
    print(f"the pack is in {out or pack}: inhabit play {out or pack}")


def shown_places(edit: Edit, kinds: int) -> Edit:
    """The same edit with room for being told where so many kinds of things come."""
    wider = Edit(replace(edit.config, kinds=kinds))
    known, weight = edit.state_dict(), wider.join.weight.detach().zero_()
    here = edit.config.latent_channels
    weight[:, :here], weight[:, here + kinds :] = known["join.weight"][:, :here], known["join.weight"][:, here:]
    wider.load_state_dict(known | {"join.weight": weight})
    return wider


@torch.inference_mode()
def encoded(world: Pack, pictures: Tensor) -> Tensor:
    """(n, c, h, w) float16 latents of pictures."""
    return torch.cat([world.autoencoder.encode(to_float(some)).half() for some in pictures.split(32)])


def scenery(latents: Tensor, moments: Moments) -> Scenery:
    """What pictures show."""
    return Scenery(latents=latents, stands=moments.stands, count=moments.count, pitch=moments.pitch)


def wished(texts: list[str]) -> Wishes:
    """What prompts want."""
    return Wishes(texts=texts, wanted=torch.tensor([counts_of(text) for text in texts]))


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
    return Pairs(data, torch.ones(count, dtype=torch.bool), moments.come.half() / 255)


@torch.inference_mode()
def told_off(edit: Edit, pairs: Pairs) -> str:
    """By how much, mean square of latents, the edit is off: everywhere, where things come, and there if it changes
    nothing."""
    edit.eval()
    assert pairs.come is not None
    off, nothing, there = [], [], []
    for some in torch.arange(len(pairs)).split(64):
        before, after = pairs.before[some], pairs.after[some]
        tokens, come = pairs.prompts, pairs.come[after].float()
        told = type(tokens)(triples=tokens.triples[after], filled=tokens.filled[after])
        shown, right = pairs.data.z[before].float(), pairs.data.z[after].float()
        off.append((edit(shown, told, come=come) - right).square().mean(1))
        nothing.append((shown - right).square().mean(1))
        there.append(come.amax(1) > 0.5)
    wrong, still, come = torch.cat(off), torch.cat(nothing), torch.cat(there)
    everywhere, here, unchanged = (float(part.mean()) for part in (wrong, wrong[come], still[come]))
    return f"off by {everywhere:.4f}, where things come {here:.4f} ({unchanged:.4f} without it)"


if __name__ == "__main__":
    torch.manual_seed(0)
    try:
        tyro.cli(main)
    except InhabitError as error:
        print(f"layout: {error}", file=sys.stderr)
        raise SystemExit(2) from error
