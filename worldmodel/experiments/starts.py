"""Where dreams begin: real moments of a recording, half of them the beginnings of episodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from inhabit.worldmodel.dreams.dreams import DreamConfig, tempered_engine
from inhabit.worldmodel.omni.autoencoder import to_float
from inhabit.worldmodel.pack import Starts, load_pack, save_pack
from inhabit.worldmodel.train.checks import CONTEXT_FRAMES
from inhabit.worldmodel.train.footage import load_footage

STARTS = 512


def put_starts(pack_folder: Path, recording: Path, *, count: int = STARTS, seed: int = 0) -> int:
    """Give a pack `count` starts from a recording. The first ones are beginnings of episodes; returns how many."""
    pack, footage = load_pack(pack_folder), load_footage(recording)
    rng = np.random.default_rng(seed)
    windows = footage.windows(CONTEXT_FRAMES, held_out=False)
    begins = windows[footage.first[windows]]
    begins = rng.permutation(begins)[: count // 2]
    within = rng.permutation(windows)[: count - len(begins)]
    rows = np.concatenate([begins, within])
    engine = tempered_engine(pack, DreamConfig(device="cpu"))
    latents = []
    with torch.inference_mode():
        for row in rows:
            frames = torch.from_numpy(footage.frames[row : row + CONTEXT_FRAMES])
            latents.append(engine.autoencoder.encode(to_float(frames)))
    actions = np.stack([footage.actions[row : row + CONTEXT_FRAMES] for row in rows])
    posed = pack.recall is not None and footage.pose is not None
    starts = Starts(
        latents=torch.stack(latents),
        actions=torch.from_numpy(actions),
        pose=torch.from_numpy(footage.pose[rows]) if posed else None,
    )
    save_pack(replace(pack, starts=starts), pack_folder)
    return len(begins)
