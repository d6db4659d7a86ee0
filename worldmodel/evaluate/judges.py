"""The judges: a detector and an inverse-dynamics model, trained on real play that no dream is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from inhabit.worldmodel.evaluate import shipped
from inhabit.worldmodel.evaluate.detector import STRIDE, Detector, DetectorConfig, detect, train_detector
from inhabit.worldmodel.evaluate.glimpses import THINGS, draw_footage
from inhabit.worldmodel.evaluate.inverse_dynamics import (
    InverseDynamics,
    InverseDynamicsConfig,
    button_names,
    read_buttons,
    readable_rows,
    train_inverse_dynamics,
)  # fmt: skip
from inhabit.worldmodel.omni.autoencoder import to_float
from inhabit.worldmodel.pack import read_tensors, write_tensors
from inhabit.worldmodel.recordings import Meta, RecordingError
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.schedule import Budget


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgesConfig:
    """How long the judges learn."""

    detector_steps: int = 300
    """Steps of the object detector."""

    glimpses: int = 8000
    """Frames of an isle that are drawn for its detector: a recording shows few islands for long."""

    glimpse_steps: int = 3000
    """Steps of such a detector."""

    inverse_dynamics_steps: int = 500
    """Steps of the inverse-dynamics model."""

    most_seconds: float = 240.0
    """Time after which either of them ends anyway."""

    most_glimpse_seconds: float = 1800.0
    """The same of an isle's detector."""


@dataclass(frozen=True, kw_only=True)
class Judges:
    """Who measures dreams."""

    inverse_dynamics: InverseDynamics
    detector: Detector | None
    """None where no objects were recorded."""

    def look(self, triples: np.ndarray) -> Seen:
        """Shapes: (n, 3, h, w, 3) uint8."""
        buttons, features = read_buttons(self.inverse_dynamics, triples)
        before, objects = np.full((2, len(triples)), np.nan)
        if self.detector is not None:
            middle = triples[:, 1]
            features = np.concatenate([features, _detector_features(self.detector, middle)], axis=1)
            before, objects = (count_objects(self.detector, frames) for frames in (triples[:, 0], middle))
        sharp = sharpness(triples[:, 1])
        return Seen(buttons=buttons, features=features, before=before, objects=objects, sharpness=sharp)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the judges see in n triples of frames."""

    buttons: np.ndarray
    """(n, buttons) bool, read off the pictures."""
    features: np.ndarray
    """(n, f) float32 of both judges."""
    before: np.ndarray
    """(n,) objects found one frame before; NaN without a detector."""
    objects: np.ndarray
    """(n,) objects found; NaN without a detector."""
    sharpness: np.ndarray
    """(n,) mean difference of neighbouring pixels, 8-bit steps."""


def train_judges(
    footage: Footage, config: JudgesConfig, device: torch.device, *, keep: Path | None = None, isle: bool = False
) -> Judges:
    """Train on `footage`, whose held-out part chooses thresholds.

    Args:
        isle: it is of isle, and counts objects as glimpses do; the detector then learns from those.
        keep: a folder to keep them in; what was kept there is taken instead of training, so that evaluations which
            use the same play have the same judges.
    """
    if not len(readable_rows(footage, held_out=False)):
        raise RecordingError("Expected episodes of at least 4 frames for the judges, got none; record longer play")
    detector = None
    if isle:
        detector = train_glimpsing(footage.meta, config, device, keep=keep and keep.with_name("judges-isle"))
    elif len(footage.boxes):
        detector = _detector(footage, config, device, keep)
    return Judges(inverse_dynamics=_inverse_dynamics(footage, config, device, keep), detector=detector)


def train_glimpsing(meta: Meta, config: JudgesConfig, device: torch.device, *, keep: Path | None = None) -> Detector:
    """Train a detector of THINGS on glimpses of isle, or take what was kept, or what comes with the library.

    Args:
        meta: of a recording of isle, for the size of its frames.
    """
    world = meta.world
    name = f"detector-{world.width}x{world.height}-{config.glimpses}-{config.glimpse_steps}.safetensors"
    if detector := _taken(Detector(THINGS), name, keep):
        return detector.to(device)
    lessons = draw_footage(meta, config.glimpses, seed=5, most_seconds=config.most_glimpse_seconds)
    budget = Budget(seconds=config.most_glimpse_seconds)
    detector = train_detector(lessons, budget, device, DetectorConfig(steps=config.glimpse_steps))
    _keep_detector(detector, name, keep)
    return detector


@torch.inference_mode()
def count_objects(detector: Detector, pixels: np.ndarray) -> np.ndarray:
    """Objects found in each frame. Shapes: (n, h, w, 3) uint8 -> (n,)."""
    parts = [detect(detector, pixels[start : start + 64]) for start in range(0, len(pixels), 64)]
    return np.array([len(found) for part in parts for found in part], float)


def sharpness(pixels: np.ndarray) -> np.ndarray:
    """Mean absolute difference of neighbouring pixels, 8-bit steps. Shapes: (n, h, w, 3) uint8 -> (n,)."""
    x = pixels.astype(np.int16)
    return (np.abs(np.diff(x, axis=1)).mean((1, 2, 3)) + np.abs(np.diff(x, axis=2)).mean((1, 2, 3))) / 2


@torch.inference_mode()
def _detector_features(detector: Detector, pixels: np.ndarray) -> np.ndarray:
    device = next(detector.parameters()).device
    parts = []
    for start in range(0, len(pixels), 64):
        x = to_float(torch.from_numpy(np.ascontiguousarray(pixels[start : start + 64])).to(device))
        body = detector.features(x).float()
        assert body.shape[-1] == pixels.shape[2] // STRIDE
        parts.append(torch.cat([body.mean((2, 3)), body.amax((2, 3))], dim=1).cpu().numpy())
    return np.concatenate(parts)


def _detector(footage: Footage, config: JudgesConfig, device: torch.device, keep: Path | None) -> Detector:
    name = f"detector-{config.detector_steps}.safetensors"
    if detector := _taken(Detector(footage.names), name, keep):
        return detector.to(device)
    budget = Budget(seconds=config.most_seconds)
    detector = train_detector(footage, budget, device, DetectorConfig(steps=config.detector_steps))
    _keep_detector(detector, name, keep)
    return detector


def _inverse_dynamics(
    footage: Footage, config: JudgesConfig, device: torch.device, keep: Path | None
) -> InverseDynamics:
    name = f"inverse-dynamics-{config.inverse_dynamics_steps}.safetensors"
    network = InverseDynamics(button_names(footage.meta.world.actions))
    if not shipped.take(network, name, keep):
        budget = Budget(seconds=config.most_seconds)
        learnt = InverseDynamicsConfig(steps=config.inverse_dynamics_steps)
        network = train_inverse_dynamics(footage, budget, device, learnt)
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            write_tensors(dict(network.state_dict()), keep / name)
    return network.to(device).eval().requires_grad_(False)


def _taken(detector: Detector, name: str, keep: Path | None) -> Detector | None:
    path = shipped.take(detector, name, keep)
    if path is None:
        return None
    detector.threshold = float(read_tensors(path)["threshold"][0])
    return detector.eval().requires_grad_(False)


def _keep_detector(detector: Detector, name: str, keep: Path | None) -> None:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        threshold = torch.tensor([detector.threshold])
        write_tensors({**detector.state_dict(), "threshold": threshold}, keep / name)
