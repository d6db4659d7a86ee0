"""A training run: the folder beside a pack that holds what training needs to go on, and nothing that ships."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec
from torch import Tensor, nn

from inhabit.worldmodel.catalog import WORLD_JSON, PackError
from inhabit.worldmodel.evaluate.detector import Detector
from inhabit.worldmodel.pack import fill, load_pack, read_file, read_tensors, write_tensors
from inhabit.worldmodel.train.frames import most_in_memory

GRAFTED = 0.7
"""Share of the dynamics' weights that must fit for the others to be learnt beside them."""


class Progress(msgspec.Struct, kw_only=True):
    """progress.json: what has been done, over all sessions."""

    preset: str
    recording: str
    codec_minutes: float = 0.0
    codec_passed: bool = False
    codec: dict[str, float] = {}
    """The codec's figures when it was last measured."""
    decoder_minutes: float = 0.0
    """How long its decoder has learnt to draw what latents leave open."""
    edit_minutes: float = 0.0
    foley_minutes: float = 0.0
    dynamics_minutes: float = 0.0
    dynamics_steps: int = 0
    dynamics_frames: int = 0
    frames_known: int = 0
    """Frames that the recording had when the last session ended."""
    detector_names: list[str] = []
    detector_threshold: float = 0.3
    machine: str = ""
    atlas: int = 0
    """Pictures of the atlas that `recalled` was made from."""


def kept_pictures(pack_folder: Path) -> tuple[int, int]:
    """How many vistas, and how many pictures in an atlas, the pack has that is being improved; 0 where it has none."""
    if not (pack_folder / WORLD_JSON).is_file():
        return 0, 0
    file = read_file(pack_folder)
    return file.vistas.pictures if file.vistas else 0, file.atlas.pictures if file.atlas else 0


class Run:
    """Where a run keeps its state. Everything is written beside and renamed."""

    def __init__(self, pack_folder: Path, *, preset: str, recording: str):
        self.pack_folder = pack_folder
        self.folder = pack_folder.with_name(pack_folder.name + ".run")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.progress = self._load(preset, recording)

    def save(self) -> None:
        path = self.folder / "progress.json"
        partial = path.with_suffix(".partial")
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(self.progress), indent=2))
        partial.replace(path)

    def keep(self, name: str, network: nn.Module) -> None:
        """Keep a network's weights, in full precision."""
        write_tensors(dict(network.state_dict()), self.folder / f"{name}.safetensors")

    def resume(self, name: str, network: nn.Module) -> bool:
        """Fill a network from this run, or else from the pack that is being improved. False when neither has it.

        Dynamics that have got a new sense since, such as sound, keep what they knew and learn the rest.
        """
        shipped = {"dynamics-average": "dynamics"}.get(name, name)
        places = [self.folder / f"{name}.safetensors"]
        if (self.pack_folder / WORLD_JSON).is_file():
            places.append(self.pack_folder / f"{shipped}.safetensors")
        for path in places:
            if path.is_file():
                with contextlib.suppress(PackError):  # what has another shape is not resumed but replaced
                    fill(network, path, share=GRAFTED if name.startswith("dynamics") else 1.0)
                    return True
        return False

    def knows(self, weight: str) -> bool | None:
        """Whether the dynamics that resume() would fill have a weight of that name; None where there are none yet."""
        for path in (self.folder / "dynamics-network.safetensors", self.pack_folder / "dynamics.safetensors"):
            if path.is_file():
                return weight in read_tensors(path)
        return None

    def keep_detector(self, detector: Detector) -> None:
        self.progress.detector_names = list(detector.names)
        self.progress.detector_threshold = detector.threshold
        self.keep("detector", detector)
        self.save()

    def resume_detector(self) -> Detector | None:
        path = self.folder / "detector.safetensors"
        if not path.is_file():
            return None
        detector = Detector(self.progress.detector_names)
        fill(detector, path)
        detector.threshold = self.progress.detector_threshold
        return detector.eval().requires_grad_(False)

    def keep_latents(self, name: str, latents: Tensor) -> None:
        """Keep one tensor with a row for each frame of the recording."""
        write_tensors({name: latents}, self.folder / f"{name}.safetensors")

    def forget(self, *names: str) -> None:
        """Drop what was kept under these names."""
        for name in names:
            (self.folder / f"{name}.safetensors").unlink(missing_ok=True)

    def resume_latents(self, name: str, rows: int) -> Tensor | None:
        """Such a tensor, unless the recording has grown since."""
        path = self.folder / f"{name}.safetensors"
        if not path.is_file():
            return None
        latents = read_tensors(path)[name]
        if len(latents) != rows:
            return None
        # what only maps a file is dropped by systems that are short of memory, and read again for every window
        return latents.clone() if latents.nbytes <= most_in_memory() else latents

    def _load(self, preset: str, recording: str) -> Progress:
        path = self.folder / "progress.json"
        if path.is_file():
            with contextlib.suppress(msgspec.DecodeError):
                there = msgspec.json.decode(path.read_bytes(), type=Progress)
                if there.preset != preset:
                    raise PackError(
                        f"Expected preset {there.preset!r}, which this run began with, got {preset!r} - "
                        f"at {self.folder}; choose another -o, or delete that folder"
                    )
                return there
        progress = Progress(preset=preset, recording=recording)
        if (self.pack_folder / WORLD_JSON).is_file():
            progress = self._from_pack(progress)
        return progress

    def _from_pack(self, progress: Progress) -> Progress:
        """Go on where a finished pack stands: its codec has passed the gate already."""
        training: dict[str, Any] = load_pack(self.pack_folder).file.training
        if training.get("preset") != progress.preset:
            return progress
        known = {name: training[name] for name in Progress.__struct_fields__ if name in training}
        return msgspec.convert({**msgspec.to_builtins(progress), **known}, Progress)
