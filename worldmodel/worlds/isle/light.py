"""How time and weather light an isle: a few numbers for each island, blended from the tables below."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from inhabit.worldmodel.worlds.isle.scene import State

# colours are display values, 0 to 1; one row for each of dawn, noon, dusk, night
_TIME = {
    "top": ((0.45, 0.62, 0.90), (0.16, 0.46, 0.92), (0.22, 0.16, 0.44), (0.015, 0.03, 0.11)),
    "low": ((1.00, 0.82, 0.70), (0.74, 0.90, 1.00), (1.00, 0.42, 0.20), (0.09, 0.14, 0.30)),
    "sun": ((0.62, 0.48, 0.34), (0.56, 0.53, 0.46), (0.66, 0.32, 0.14), (0.16, 0.20, 0.32)),
    "shade": ((0.56, 0.54, 0.62), (0.60, 0.63, 0.68), (0.40, 0.30, 0.42), (0.15, 0.18, 0.34)),
    "disc": ((1.00, 0.93, 0.72), (1.00, 0.98, 0.88), (1.00, 0.72, 0.36), (0.93, 0.95, 1.00)),
    "other": ((15.0, 0.05, 0.0), (52.0, 0.0, 0.0), (9.0, 0.25, 0.7), (34.0, 1.0, 1.0)),
}  # other: height of the sun (at night the moon) in degrees, stars, lamps
# one row for each of clear, rain, snow, fog, storm
_WEATHER = {
    "cover": (0.0, 0.88, 0.80, 0.92, 1.0),
    "bright": (1.0, 0.78, 1.15, 1.16, 0.50),
    "clouds": (0.55, 0.5, 0.25, 0.0, 0.9),
    "fog": (0.0030, 0.017, 0.024, 0.115, 0.022),
    "shadow": (1.0, 0.16, 0.25, 0.05, 0.05),
    "rain": (0.0, 0.75, 0.0, 0.0, 1.0),
    "snow": (0.0, 0.0, 1.0, 0.0, 0.0),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Light:
    """The light of b islands. Colours are (b, 3), numbers (b,)."""

    top: Tensor
    """The sky overhead."""
    low: Tensor
    """The sky at the horizon."""
    haze: Tensor
    """What distance fades into."""
    sun: Tensor
    shade: Tensor
    """What reaches the shadows too."""
    disc: Tensor
    """The sun's or the moon's face."""
    toward: Tensor
    """(b, 3) unit vector to the sun or moon."""
    face: Tensor
    """How clearly the sun or moon is seen."""
    stars: Tensor
    lamps: Tensor
    clouds: Tensor
    cloud_colour: Tensor
    fog: Tensor
    """Share of the light that a metre of air swallows."""
    rain: Tensor
    snow: Tensor
    flash: Tensor
    """Lightning, 0 to 1."""
    moon: Tensor
    """How much the disc is a moon."""


@functools.lru_cache(maxsize=8)
def _tables(device: torch.device) -> tuple[dict[str, Tensor], Tensor]:
    weather = torch.tensor(list(_WEATHER.values()), device=device).T  # (5, columns)
    return {name: torch.tensor(rows, device=device) for name, rows in _TIME.items()}, weather


def light_of(state: State) -> Light:
    """Blend the tables by the state's weights and add lightning."""
    times, weathers = _tables(state.key.device)
    time = {name: state.time @ rows for name, rows in times.items()}
    w = dict(zip(_WEATHER, (state.weather @ weathers).unbind(1), strict=True))
    height, stars, lamps = time["other"].unbind(1)
    age = state.lightning.float()
    flash = torch.where(
        age < 5, torch.tensor([1.0, 0.35, 0.8, 0.4, 0.15], device=age.device)[age.clamp(max=4).long()], 0.0
    )
    flash = flash * (state.weather[:, 4] > 0.3)
    cover, bright = w["cover"][:, None], w["bright"][:, None]
    grey = 0.55 * time["low"].mean(1, keepdim=True) + 0.3 * time["top"].mean(1, keepdim=True)
    tinted = grey * torch.tensor([0.96, 1.0, 1.05], device=grey.device)
    overcast = 0.72 * tinted + 0.28 * time["low"] * 0.85
    lit = flash[:, None] * 0.55
    top = (time["top"] * (1 - cover) + overcast * 0.82 * cover) * bright + lit
    low = (time["low"] * (1 - cover) + overcast * 1.05 * cover) * bright + lit
    sunny = w["shadow"]
    lost = time["sun"].mean(1, keepdim=True) * (1 - sunny[:, None]) * 0.5  # what clouds scatter comes from everywhere
    angle = 2 * math.pi * state.traits[:, 0] + torch.pi * state.time[:, 2] + 1.2 * state.time[:, 3]
    rise = height * (math.pi / 180)
    toward = torch.stack([angle.sin() * rise.cos(), rise.sin(), angle.cos() * rise.cos()], 1)
    return Light(
        top=top.clamp(0, 1),
        low=low.clamp(0, 1),
        haze=(0.85 * low + 0.15 * top).clamp(0, 1),
        sun=time["sun"] * sunny[:, None] * 1.05,
        shade=(time["shade"] + lost) * bright**0.8 + lit,
        disc=time["disc"],
        toward=toward,
        face=(1 - w["cover"]) ** 2,
        stars=stars * (1 - w["cover"]).clamp(min=0) ** 2,
        lamps=torch.maximum(lamps, 0.7 * state.weather[:, 4]),
        clouds=w["clouds"],
        cloud_colour=(0.55 * time["disc"] * (0.35 + 0.65 * time["low"]) + 0.45 * low).clamp(0, 1) * (1 - 0.45 * cover),
        fog=w["fog"],
        rain=w["rain"],
        snow=w["snow"],
        flash=flash,
        moon=state.time[:, 3],
    )
