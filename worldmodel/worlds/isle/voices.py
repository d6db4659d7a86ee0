"""Which sounds begin in a frame and how loud each ear hears them. The samples themselves are in sound.py."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inhabit.worldmodel.worlds.isle.attributes import GROUNDS, WEATHERS
from inhabit.worldmodel.worlds.isle.scene import (
    BALL,
    CREATURES,
    EVENTS,
    SHORE_M,
    SILENT,
    VOICES,
    State,
    creature_colours,
    draws,
    replaced,
)  # fmt: skip

SOUNDS = (
    *(f"step-{ground}" for ground in GROUNDS), "wade", "throw", "pickup", "jump", "bounce", "splash",
    "thunder-0", "thunder-1", *(f"call-{number}" for number in range(6)),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Hearing:
    """What step() knows of this frame's sounds beyond the events."""

    calls: Tensor
    """(b, 3) bool: which creatures call."""


def listen(state: State, heard: Hearing) -> State:
    """Begin the voices of this frame's events and move the levels of wind, rain and water."""
    b, device = len(state), state.key.device
    events = dict(zip(EVENTS, state.events.unbind(1), strict=True))
    chance = draws(state.key, state.frame, 12, 2)
    here = torch.full((b, 2), 0.5, device=device)
    ground = state.ground.argmax(1)
    wet = state.player[:, 0] ** 2 + state.player[:, 2] ** 2 > SHORE_M**2
    tread = torch.where(wet, SOUNDS.index("wade"), ground)
    by_hand = torch.where(events["throw"], SOUNDS.index("throw"), SOUNDS.index("pickup"))
    by_hand = torch.where(events["jump"], SOUNDS.index("jump"), by_hand)
    ball = ears(state, state.place[:, BALL])
    begins = {
        "step": (events["step"] | events["land"] | (events["splash"] & wet), tread, here * 0.9),
        "hand": (events["throw"] | events["pickup"] | events["jump"], by_hand, here),
        "bounce": (events["bounce"], _always(SOUNDS.index("bounce"), b, device), ball * 1.6),
        "splash": (events["splash"] & ~wet, _always(SOUNDS.index("splash"), b, device), ball * 1.6),
        "thunder": (events["thunder"], SOUNDS.index("thunder-0") + (chance[:, 0] < 0.5).long(), here * 1.8),
    }
    own = creature_colours(draws(state.key, torch.zeros_like(state.key), 9, 5))
    for n in range(len(CREATURES)):
        gain = ears(state, state.place[:, CREATURES.start + n]) * 1.4
        begins[f"call-{n}"] = (heard.calls[:, n], SOUNDS.index("call-0") + own[:, n], gain)
    on, sound, gain = (torch.stack(parts, 1) for parts in zip(*(begins[name] for name in VOICES), strict=True))
    return replaced(
        state,
        voice_age=torch.where(on, 0, (state.voice_age + 1).clamp(max=SILENT)),
        voice_sound=torch.where(on, sound, state.voice_sound),
        voice_gain=torch.where(on[..., None], gain, state.voice_gain),
        level=torch.stack([state.level[:, :, 1], _levels(state)], 2),
    )


def ears(state: State, place: Tensor) -> Tensor:
    """How loud the left and the right ear hear something at `place` (b, 3). Shape (b, 2)."""
    dx, dz = place[:, 0] - state.player[:, 0], place[:, 2] - state.player[:, 2]
    away = torch.hypot(dx, dz)
    yaw = state.look[:, 0]
    right = (dx * yaw.cos() - dz * yaw.sin()) / away.clamp(min=0.6)
    loud = 1 / (1 + (away / 5) ** 1.5)
    return torch.stack(
        [loud * ((1 - right) / 2).clamp(min=0.03).sqrt(), loud * ((1 + right) / 2).clamp(min=0.03).sqrt()], 1
    )


def _levels(state: State) -> Tensor:
    """(b, 3, 2): wind, rain and water now, left and right."""
    weather = dict(zip(WEATHERS, state.weather.unbind(1), strict=True))
    gust = 1 + 0.35 * torch.sin(state.frame * 0.043 + 6.28 * state.traits[:, 3])
    wind = (0.10 + 0.55 * weather["storm"] + 0.12 * weather["snow"] + 0.08 * weather["rain"]) * gust
    rain = 0.45 * weather["rain"] + 0.75 * weather["storm"]
    x, z = state.player[:, 0], state.player[:, 2]
    out = torch.hypot(x, z)
    surf = ((out - 12) / (SHORE_M - 12)).clamp(0, 1.1) ** 2 * (0.5 + 0.2 * torch.sin(state.frame * 0.11))
    yaw = state.look[:, 0]
    right = (x * yaw.cos() - z * yaw.sin()) / out.clamp(min=1)
    water = torch.stack(
        [surf * ((1 - right) / 2).clamp(min=0.05).sqrt(), surf * ((1 + right) / 2).clamp(min=0.05).sqrt()], 1
    )
    return torch.stack([wind[:, None].expand(-1, 2) * 0.7, rain[:, None].expand(-1, 2) * 0.7, water], 1)


def _always(value: int, b: int, device: torch.device) -> Tensor:
    return torch.full((b,), value, dtype=torch.int64, device=device)
