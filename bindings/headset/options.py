"""HeadsetOptions: how a world is shown in a headset, and what keeps it comfortable."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from inhabit.bindings.view import UPSCALERS
from inhabit.bindings.view.presenter import Upscaler
from inhabit.bridge.errors import InhabitError

MODES = ("screen", "dome", "inhabit")
RANGES = {
    "fov_deg": (20.0, 150.0),
    "screen_width_m": (0.2, 50.0),
    "screen_distance_m": (0.3, 50.0),
    "turn_deg": (0.1, 180.0),
    "tilt_deg": (0.1, 180.0),
    "snap_turn_deg": (0.0, 90.0),
    "vignette": (0.0, 1.0),
    "world_scale": (0.1, 10.0),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadsetOptions:
    """What a person chooses. Raises InhabitError for a value out of range."""

    mode: Literal["screen", "dome", "inhabit"] = "screen"
    """screen: stands in the room. dome: goes with the head. inhabit: the head looks around in the world."""

    layers: Literal["auto", "projection"] = "auto"
    """auto: the runtime draws the picture itself where it can (cylinder, quad, equirect), which is sharper and costs
    nothing between two frames of the world. projection: we draw each eye."""

    curved: bool = True
    """Whether the screen is bent around its viewer."""

    fov_deg: float = 90.0
    """How wide a dome or an inhabited world appears, degrees; the world's own camera angle is the true one."""

    screen_width_m: float = 3.2
    """Width of the screen, along its curve, m."""

    screen_distance_m: float = 2.5
    """From the eyes to the middle of the screen, m."""

    upscaler: Upscaler = "edge"
    """How the world's pixels become more; see the view."""

    turn_deg: float = 6.0
    """How far one frame of the world turns when its look control is pushed fully, degrees. It is the world's own."""

    tilt_deg: float = 6.0
    """The same for looking up and down, degrees."""

    snap_turn_deg: float = 0.0
    """Turn the world by this much for each push of the right stick, degrees; 0 lets the stick turn smoothly."""

    vignette: float = 0.0
    """How dark the edge of the view becomes while the stick moves or turns you, 0 to 1."""

    world_scale: float = 1.0
    """How large the screen and its distance are; the angle stays, the depth changes."""

    pause_on_focus_loss: bool = True
    """Stop the world's clock while the runtime's own menu, or another app, has the controllers."""

    sound: bool = True
    """Whether the world is heard."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InhabitError(f"Expected a mode of {', '.join(MODES)}, got {self.mode!r}")
        if self.layers not in ("auto", "projection"):
            raise InhabitError(f"Expected layers to be auto or projection, got {self.layers!r}")
        if self.upscaler not in UPSCALERS:
            raise InhabitError(f"Expected an upscaler of {', '.join(UPSCALERS)}, got {self.upscaler!r}")
        for field in dataclasses.fields(self):
            if field.name in RANGES:
                low, high = RANGES[field.name]
                value = getattr(self, field.name)
                if not low <= value <= high:
                    raise InhabitError(f"Expected {field.name} from {low:g} to {high:g}, got {value!r}")
