"""Give a pack of the island rain and snow that fall, as a layer of their own, learnt from the simulator itself.

.venv/bin/python scripts/air.py worldmodel/packs/isle-tiny --minutes 10 --edit-minutes 20
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import torch
import tyro
from torch import Tensor

from inhabit.bridge.errors import InhabitError
from inhabit.worldmodel.omni.air import Air, AirConfig
from inhabit.worldmodel.omni.autoencoder import to_float, to_pixels
from inhabit.worldmodel.omni.edit import Edit
from inhabit.worldmodel.omni.text import tokenise
from inhabit.worldmodel.pack import Pack, load_pack, save_pack
from inhabit.worldmodel.train.air import AirTraining, Sayings, Weather, film_of, measure_air, train_air
from inhabit.worldmodel.train.display import Display
from inhabit.worldmodel.train.edit import EditTraining, Pairs, train_edit
from inhabit.worldmodel.train.latents import Latents
from inhabit.worldmodel.train.schedule import Budget
from inhabit.worldmodel.worlds.isle.attributes import SCENE, VALUES, Attributes, sample
from inhabit.worldmodel.worlds.isle.captions import caption, parse, wish
from inhabit.worldmodel.worlds.isle.light import light_of
from inhabit.worldmodel.worlds.isle.record import STAGES, play_stages, stages
from inhabit.worldmodel.worlds.isle.render import render
from inhabit.worldmodel.worlds.isle.scene import create, replaced
from inhabit.worldmodel.worlds.isle.styles import colours_of_air

FIRST_SEED, MEASURED_SEED = 2_500_000, 9_500_000
"""No recording has these islands, and on none of them is anything else measured."""

TOGETHER = 16
"""Islands that are drawn at once."""

LONGEST_WALK = 40
"""So many frames are walked, at most, before a moment is looked at."""

PROMPTS = 30_000
"""What falls is learnt from so many prompts, and from those of the islands."""

FILMED = 5
"""A film is looked for in so many times its length."""


LESSONS = EditTraining(batch=16, rate=5e-4, warmup=50, average=0.995, hidden_share=0.1, again_share=0.0)
"""How the edit learns to leave it out: it knows everything else already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """Moments of islands, each under STAGES prompts that follow each other."""

    weather: Weather
    texts: list[str]
    """What was said before each of them."""


def main(
    pack: Path, /, *, minutes: float = 10.0, edit_minutes: float = 20.0, islands: int = 2500, out: Path | None = None
) -> None:
    """Learn.

    Args:
        pack: folder of the pack.
        minutes: how long what falls is learnt.
        edit_minutes: how long before that, once all is drawn, the edit learns to leave it out.
        islands: to look at.
        out: where the better pack is written; the same folder by default.
    """
    world, display, device = load_pack(pack), Display(), torch.device("cpu")
    if world.file.source != "isle" or world.edit is None or world.recall is None:
        raise InhabitError(f"Expected a pack of isle that listens, got one of {world.file.source} - at {pack}")
    info = world.file.info
    size = (info.width, info.height)
    display.begin(f"looking at {islands} islands")
    moments, others = look(FIRST_SEED, islands, size), look(MEASURED_SEED, 64, size)
    config = AirConfig(
        size=(info.height, info.width),
        focal=float(world.recall.zoom.detach().exp()) * info.width / 2,
    )
    air = (world.air or Air(config)).requires_grad_(True)
    air.film.copy_(torch.stack([film("rain", config), film("snow", config)]))

    def told(budget: Budget, unit: str, batch: int) -> Callable[[int, Mapping[str, float]], None]:
        return lambda step, figures: display.show(budget.share, budget.elapsed_s, step * batch, unit, figures)

    if edit_minutes:
        pairs, held = (pairs_of(world, some) for some in (moments, others))
        print(f"the edit is off by {off(world.edit, held):.4f}")
        display.begin(f"edit ({edit_minutes:.1f} min)")
        budget, lessons = Budget(seconds=60 * edit_minutes), LESSONS
        on_step = told(budget, "pairs", lessons.batch)
        edit = train_edit(world.edit.requires_grad_(True), pairs, budget, device, lessons, fresh=False, on_step=on_step)
        display.end()
        print(f"the edit is off by {off(edit, held):.4f}")
        world = replace(world, edit=edit)
        save_pack(world, out or pack)
    assert world.edit is not None
    sayings = [said([*moments.texts, *prompts(PROMPTS, FIRST_SEED)]), said([*others.texts, *prompts(1000, 0)])]
    display.begin(f"air ({minutes:.1f} min)")
    budget, training = Budget(seconds=60 * minutes), AirTraining()
    on_step = told(budget, "pictures", training.batch)
    air = train_air(air, moments.weather, sayings[0], budget, device, training, on_step=on_step)
    display.end()
    figures = measure_air(air, others.weather, sayings[1])
    print("air: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    file = msgspec.structs.replace(world.file, air=air.config)
    save_pack(cleared(replace(world, file=file, air=air)), out or pack)
    print(f"the pack is in {out or pack}: inhabit play {out or pack}")


@torch.inference_mode()
def look(first_seed: int, islands: int, size: tuple[int, int]) -> Moments:
    """Look at so many islands, once under each of the prompts that are said there."""
    seen, behind, amount, colour = [], [], [], []
    texts: list[str] = []
    rng = np.random.default_rng(first_seed)
    for some in range(0, islands, TOGETHER):
        seeds = range(first_seed + some, first_seed + min(islands, some + TOGETHER))
        walked = int(rng.integers(LONGEST_WALK + 1))
        (beat,) = play_stages(seeds, width=size[0], height=size[1], glimpse=walked)
        assert beat.picture is not None
        light = light_of(beat.state)
        seen.append(beat.picture.pixels)
        behind.append(render(beat.state, *size, falling=False).pixels)
        amount.append(torch.stack([light.rain, light.snow], 1))
        colour.append(colours_of_air(beat.state, light) * 2 - 1)
        texts += [shorter(text, rng) for seed in seeds for text in stages(seed).texts]
    weather = Weather(
        seen=torch.cat(seen), behind=torch.cat(behind), amount=torch.cat(amount), colour=torch.cat(colour)
    )
    return Moments(weather=weather, texts=texts)


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


def said(texts: list[str]) -> Sayings:
    """What prompts say of what falls."""
    known = {"clear": (0.0, 0.0), "fog": (0.0, 0.0), "rain": (0.75, 0.0), "storm": (1.0, 0.0), "snow": (0.0, 1.0)}
    named = [parse(text).named.get("weather") for text in texts]
    return Sayings(
        texts=texts,
        speaks=torch.tensor([float(name is not None) for name in named]),
        amount=torch.tensor([known[str(name)] if name else (0.0, 0.0) for name in named]),
    )


@torch.inference_mode()
def film(weather: str, config: AirConfig) -> Tensor:
    """What falls under a dark sky before an eye that stands still, at its densest."""
    name = "storm" if weather == "rain" else weather
    state = create([FIRST_SEED], [Attributes(weather=name, time="night", style="neon", creatures=0)], avatars=0)
    state = replaced(state, look=torch.zeros(1, 2))
    kind, (rows, columns) = config.kinds.index(weather), config.size
    moments = [replaced(state, frame=state.frame + n) for n in range(FILMED * config.frames)]
    seen, behind = (
        torch.cat([render(moment, columns, rows, falling=falls).pixels for moment in moments])
        for falls in (True, False)
    )
    return film_of(seen, behind, colours_of_air(state, light_of(state))[0, kind] * 2 - 1, config.frames)


@torch.inference_mode()
def cleared(world: Pack) -> Pack:
    """The pack with what falls taken out of its vistas."""
    vistas, air = world.vistas, world.air
    if vistas is None or air is None:
        return world
    kept = []
    for some in torch.arange(vistas.config.pictures).split(64):
        latents = vistas.picture(some)
        pixels = to_float(to_pixels(world.autoencoder.decode(latents)))
        clear, amount = air.cleared(pixels)
        falls = (amount > 0).any(1)[:, None, None, None]
        kept.append(torch.where(falls, world.autoencoder.encode(clear), latents))
    vistas.learn(torch.cat(kept), world.autoencoder)
    return world


@torch.inference_mode()
def pairs_of(world: Pack, moments: Moments) -> Pairs:
    """Moments before and after words, without what falls."""
    assert world.edit is not None
    pictures, count = moments.weather.behind, len(moments.texts)
    latents = torch.cat([world.autoencoder.encode(to_float(some)).half() for some in pictures.split(32)])
    row = torch.arange(count)
    data = Latents(
        z=latents, actions=torch.zeros(count, 1), rewards=torch.zeros(count), ended=torch.zeros(count),
        first=torch.ones(count, dtype=torch.bool), care=torch.zeros(count, *latents.shape[-2:]), carried=latents,
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
        print(f"air: {error}", file=sys.stderr)
        raise SystemExit(2) from error
