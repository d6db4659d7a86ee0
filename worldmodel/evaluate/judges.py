"""The judges: a detector and an inverse-dynamics model, trained on real play that no dream is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from inhabit.worldmodel.catalog import PackError
from inhabit.worldmodel.evaluate.detector import STRIDE, Detector, DetectorConfig, detect, train_detector
from inhabit.worldmodel.evaluate.inverse_dynamics import (
    InverseDynamics,
    InverseDynamicsConfig,
    button_names,
    read_buttons,
    readable_rows,
    train_inverse_dynamics,
)  # fmt: skip
from inhabit.worldmodel.omni.autoencoder import to_float
from inhabit.worldmodel.pack import fill, read_tensors, write_tensors
from inhabit.worldmodel.recordings import RecordingError
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.schedule import Budget


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgesConfig:
    """How long the judges learn."""

    detector_steps: int = 300
    """Steps of the object detector."""

    inverse_dynamics_steps: int = 500
    """Steps of the inverse-dynamics model."""

    most_seconds: float = 240.0
    """Time after which either of them ends anyway."""


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


def train_judges(footage: Footage, config: JudgesConfig, device: torch.device, *, keep: Path | None = None) -> Judges:
    """Train on `footage`, whose held-out part chooses thresholds.

    Args:
        keep: a folder to keep them in; what was kept there is taken instead of training, so that evaluations which
            use the same play have the same judges.
    """
    if not len(readable_rows(footage, held_out=False)):
        raise RecordingError("Expected episodes of at least 4 frames for the judges, got none; record longer play")
    judges = _kept(footage, keep, config)
    if judges is None:
        network = train_inverse_dynamics(
            footage,
            Budget(seconds=config.most_seconds),
            device,
            InverseDynamicsConfig(steps=config.inverse_dynamics_steps),
        )
        detector = None
        if len(footage.boxes):
            budget = Budget(seconds=config.most_seconds)
            detector = train_detector(footage, budget, device, DetectorConfig(steps=config.detector_steps))
        judges = Judges(inverse_dynamics=network, detector=detector)
        if keep is not None:
            _keep(judges, keep, config)
    judges.inverse_dynamics.to(device)
    if judges.detector is not None:
        judges.detector.to(device)
    return judges


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
        body = detector.body(torch.nn.functional.pixel_unshuffle(x, 2)).float()
        assert body.shape[-1] == pixels.shape[2] // STRIDE
        parts.append(torch.cat([body.mean((2, 3)), body.amax((2, 3))], dim=1).cpu().numpy())
    return np.concatenate(parts)


def _files(folder: Path, config: JudgesConfig) -> tuple[Path, Path]:
    return (
        folder / f"inverse-dynamics-{config.inverse_dynamics_steps}.safetensors",
        folder / f"detector-{config.detector_steps}.safetensors",
    )


def _keep(judges: Judges, folder: Path, config: JudgesConfig) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    first, second = _files(folder, config)
    write_tensors(dict(judges.inverse_dynamics.state_dict()), first)
    if judges.detector is not None:
        threshold = torch.tensor([judges.detector.threshold])
        write_tensors({**judges.detector.state_dict(), "threshold": threshold}, second)


def _kept(footage: Footage, folder: Path | None, config: JudgesConfig) -> Judges | None:
    if folder is None or not all(path.is_file() for path in _files(folder, config)[: 1 + bool(len(footage.boxes))]):
        return None
    first, second = _files(folder, config)
    network = InverseDynamics(button_names(footage.meta.world.actions))
    detector = Detector(footage.names) if len(footage.boxes) else None
    try:
        fill(network, first)
        if detector is not None:
            fill(detector, second)
            detector.threshold = float(read_tensors(second)["threshold"][0])
    except (PackError, KeyError):  # made by another version: train anew
        return None
    for judge in (network, detector):
        if judge is not None:
            judge.eval().requires_grad_(False)
    return Judges(inverse_dynamics=network, detector=detector)
