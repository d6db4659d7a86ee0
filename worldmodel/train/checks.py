"""Quick looks while a world is learnt: figures that cost seconds, and sheets to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.evaluate import rollout as rollouts
from inhabit.worldmodel.evaluate.detector import Detector, measure
from inhabit.worldmodel.evaluate.sheets import contact_sheet
from inhabit.worldmodel.memory.atlas import Atlas
from inhabit.worldmodel.memory.props import Props
from inhabit.worldmodel.memory.recall import Recall
from inhabit.worldmodel.memory.vistas import Vistas
from inhabit.worldmodel.omni.air import Air
from inhabit.worldmodel.omni.autoencoder import Autoencoder
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.edit import Edit
from inhabit.worldmodel.omni.flight import Flight
from inhabit.worldmodel.omni.foley import Foley
from inhabit.worldmodel.omni.motion import Motion
from inhabit.worldmodel.omni.sound import SoundCodec
from inhabit.worldmodel.pack import PARTS
from inhabit.worldmodel.train.autoencoder import reconstruct
from inhabit.worldmodel.train.footage import Footage

CONTEXT_FRAMES = rollouts.CONTEXT_FRAMES


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """What the dynamics is made from and lives in."""

    autoencoder: Autoencoder
    latents: Tensor
    """(n, c, h, w) of all frames."""
    motion: Motion | None = None
    carried: Tensor | None = None
    """(n, c, h, w) for each frame the one before, as motion carries it there."""
    recall: Recall | None = None
    recalled: Tensor | None = None
    """(n, c + 1, h, w) what the album shows of each frame."""
    sound: SoundCodec | None = None
    heard: Tensor | None = None
    """(n, latent) of all frames' sound."""
    foley: Foley | None = None
    edit: Edit | None = None
    vistas: Vistas | None = None
    atlas: Atlas | None = None
    flight: Flight | None = None
    air: Air | None = None
    props: Props | None = None
    detector: Detector | None = None

    def engine(self, dynamics: Dynamics, device: torch.device) -> Engine:
        """What plays it."""
        parts = {name: getattr(self, name) for name in PARTS}
        return Engine(self.autoencoder, dynamics, device, **parts)


def check_codec(
    autoencoder: Autoencoder, footage: Footage, detector: Detector | None, device: torch.device, sheet: Path
) -> dict[str, float]:
    """PSNR on held-out frames, and how many of the objects that the detector finds in them survive."""
    rows = sample_rows(footage, 800)
    shown = reconstruct(autoencoder, footage.frames[rows], device)
    error = np.mean([(a.astype(np.float32) - b) ** 2 for a, b in zip(shown, footage.frames[rows], strict=True)])
    figures = {"psnr_db": rollouts.psnr_db(float(error))}
    if detector is not None:
        real, coded = measure(detector, footage, rows), measure(detector, footage, rows, pixels=shown)
        figures |= {"object_recall": coded.recall, "object_precision": coded.precision, "ceiling": real.recall}
    pick = np.linspace(0, len(rows) - 1, 14).astype(int)
    pairs = [[list(footage.frames[rows[part]]), list(shown[part])] for part in (pick[:7], pick[7:])]
    contact_sheet([row for pair in pairs for row in pair], sheet)
    return figures


def check_dynamics(
    world: Material, dynamics: Dynamics, footage: Footage, device: torch.device, sheet: Path
) -> dict[str, float]:
    """Skill and object recall of 16-frame dreams from held-out moments, and a sheet to look at."""
    starts = rollouts.windows_for(footage, 16, 32)
    if not len(starts):
        return {}
    engine = world.engine(dynamics, device)
    dreams = rollouts.roll_out(engine, footage, world.latents, starts, 16, heard=world.heard)
    figures = {f"skill_{h}": rollouts.skill(dreams, footage, h)[0] for h in (1, 4, 16)}
    shuffled = rollouts.roll_out(engine, footage, world.latents, starts, 4, heard=world.heard, shuffle_actions=True)
    figures["skill_4_wrong_actions"] = rollouts.skill(shuffled, footage, 4)[0]
    if world.detector is not None:
        for h in (4, 16):
            score = measure(world.detector, footage, dreams.rows[:, h - 1], pixels=dreams.dreamt[:, h - 1])
            figures |= {f"recall_{h}": score.recall, f"precision_{h}": score.precision}
    rows = [
        row
        for session in range(0, len(starts), 6)
        for row in rollouts.side_by_side(dreams, footage, session, (1, 2, 4, 6, 8, 12, 16))
    ]
    contact_sheet(rows, sheet)
    return figures


def sample_rows(footage: Footage, count: int) -> np.ndarray:
    """Held-out rows, evenly spread; a recording too short to hold any out is measured on itself."""
    rows = np.flatnonzero(footage.held_out)
    rows = rows if len(rows) else np.arange(len(footage))
    return rows[:: max(1, len(rows) // count)]
