"""A recording's sound in memory, at the rate that a world is to speak at, cut at its video frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.omni.sound import HOPS, hop_for
from inhabit.worldmodel.recordings import read_meta, read_shards


class Soundtrack:
    """Sound of consecutive frames."""

    def __init__(self, samples: np.ndarray, first: np.ndarray):
        """Describe a soundtrack.

        Args:
            samples: (n, samples, channels) int16.
            first: (n,) bool, rows at which an episode begins.
        """
        self.samples, self.first = samples, first
        self.loudness = np.array([np.abs(row.astype(np.float32)).mean() / 32768 for row in samples], np.float32)
        """(n,) mean of the absolute samples, 0 to 1."""

    def __len__(self) -> int:
        return len(self.samples)

    def clips(self, frames: int, rows: np.ndarray) -> np.ndarray:
        """Those of the rows from which an episode still goes on for so many frames."""
        episode = np.cumsum(self.first)
        rows = rows[rows + frames <= len(self)]
        return rows[episode[rows] == episode[rows + frames - 1]]

    def read(self, starts: np.ndarray, frames: int) -> Tensor:
        """Shape: (b, frames * samples, channels) float in [-1, 1]."""
        rows = starts[:, None] + np.arange(frames)
        return torch.from_numpy(self.samples[rows]).flatten(1, 2).float() / 32768


def load_soundtrack(folder: Path, *, limit: int | None = None) -> Soundtrack | None:
    """Read a recording's sound, row for row as load_footage reads its frames; None where it is silent."""
    world = read_meta(folder).world
    if not world.sound_rate_hz:
        return None
    source = round(world.sound_rate_hz / world.rate_hz)
    wanted = hop_for(world.rate_hz) * HOPS
    pieces, firsts, rows = [], [], 0
    for shard in read_shards(folder):
        sound = _one_row_a_frame(shard.sound, shard.sound_end, source)
        pieces.append(sound if source == wanted else _resampled(sound, wanted))
        firsts.append(shard.first.copy())
        firsts[-1][0] = True
        rows += len(shard)
        if limit and rows >= limit:
            break
    return Soundtrack(np.concatenate(pieces), np.concatenate(firsts))


def _one_row_a_frame(sound: np.ndarray, end: np.ndarray, samples: int) -> np.ndarray:
    """Shapes: (all, channels), (n,) -> (n, samples, channels); where less was recorded there is silence."""
    begin = np.concatenate([[0], end[:-1]])
    rows = np.zeros((len(end), samples, sound.shape[1]), np.int16)
    for row, (a, b) in enumerate(zip(begin, end, strict=True)):
        kept = min(samples, b - a)
        rows[row, samples - kept :] = sound[b - kept : b]
    return rows


def _resampled(rows: np.ndarray, wanted: int) -> np.ndarray:
    """Shapes: (n, source, channels) -> (n, wanted, channels), low-passed on the way."""
    import av

    n, source, channels = rows.shape
    layout = "mono" if channels == 1 else "stereo"
    # only the ratio counts, so the rates are named after the samples of a frame
    resampler = av.AudioResampler(format="s16", layout=layout, rate=wanted)
    frame = av.AudioFrame.from_ndarray(rows.reshape(1, -1), format="s16", layout=layout)
    frame.sample_rate = source
    parts = [part.to_ndarray() for part in (*resampler.resample(frame), *resampler.resample(None))]
    heard = np.concatenate(parts, axis=1).reshape(-1, channels)[: n * wanted]
    return np.pad(heard, ((0, n * wanted - len(heard)), (0, 0))).reshape(n, wanted, channels)
