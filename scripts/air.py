"""Give a pack of the island rain and snow that fall, as a layer of their own, learnt from the simulator itself.

.venv/bin/python scripts/air.py worldmodel/packs/isle-tiny --minutes 10
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import torch
import tyro
from torch import Tensor

from inhabit.bridge.errors import InhabitError
from inhabit.worldmodel.omni.air import Air, AirConfig
from inhabit.worldmodel.omni.autoencoder import to_float, to_pixels
from inhabit.worldmodel.pack import Pack, load_pack, save_pack
from inhabit.worldmodel.train.air import AirTraining, Sayings, Weather, film_of, measure_air, train_air
from inhabit.worldmodel.train.display import Display
from inhabit.worldmodel.train.schedule import Budget
from inhabit.worldmodel.worlds.isle.attributes import Attributes
from inhabit.worldmodel.worlds.isle.captions import parse
from inhabit.worldmodel.worlds.isle.light import light_of
from inhabit.worldmodel.worlds.isle.moments import look, prompts
from inhabit.worldmodel.worlds.isle.render import render
from inhabit.worldmodel.worlds.isle.scene import create, replaced
from inhabit.worldmodel.worlds.isle.styles import colours_of_air

FIRST_SEED, MEASURED_SEED = 2_500_000, 9_500_000
"""No recording has these islands, and on none of them is anything else measured."""

PROMPTS = 30_000
"""What falls is learnt from so many prompts, and from those of the islands."""

FILMED = 5
"""A film is looked for in so many times its length."""


def main(pack: Path, /, *, minutes: float = 10.0, islands: int = 2500, out: Path | None = None) -> None:
    """Learn.

    Args:
        pack: folder of the pack.
        minutes: how long what falls is learnt.
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
    weather = [
        Weather(seen=some.seen, behind=some.behind, amount=some.amount, colour=some.colour)
        for some in (moments, others)
    ]
    config = AirConfig(
        size=(info.height, info.width),
        focal=float(world.recall.zoom.detach().exp()) * info.width / 2,
    )
    air = (world.air or Air(config)).requires_grad_(True)
    air.film.copy_(torch.stack([film("rain", config), film("snow", config)]))

    def told(budget: Budget, unit: str, batch: int) -> Callable[[int, Mapping[str, float]], None]:
        return lambda step, figures: display.show(budget.share, budget.elapsed_s, step * batch, unit, figures)

    sayings = [said([*moments.texts, *prompts(PROMPTS, FIRST_SEED)]), said([*others.texts, *prompts(1000, 0)])]
    display.begin(f"air ({minutes:.1f} min)")
    budget, training = Budget(seconds=60 * minutes), AirTraining()
    on_step = told(budget, "pictures", training.batch)
    air = train_air(air, weather[0], sayings[0], budget, device, training, on_step=on_step)
    display.end()
    figures = measure_air(air, weather[1], sayings[1])
    print("air: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    file = msgspec.structs.replace(world.file, air=air.config)
    save_pack(cleared(replace(world, file=file, air=air)), out or pack)
    print(f"the pack is in {out or pack}: inhabit play {out or pack}")


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


if __name__ == "__main__":
    torch.manual_seed(0)
    try:
        tyro.cli(main)
    except InhabitError as error:
        print(f"air: {error}", file=sys.stderr)
        raise SystemExit(2) from error
