"""Train the sound codec: how loud which pitch is when, at every scale at once. Phase is the decoder's own business."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inhabit.worldmodel.omni.sound import HOPS, SEEN, SoundCodec
from inhabit.worldmodel.train.loop import fit
from inhabit.worldmodel.train.schedule import Average, Budget
from inhabit.worldmodel.train.soundtrack import Soundtrack

QUIET = 1e-3
"""Added to magnitudes before their logarithm is compared: below it nobody hears a difference."""

DIRECT = 0.1
"""Weight of the log magnitudes that the decoder says, beside the sound that comes of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundTraining:
    """How the sound codec is trained."""

    batch: int = 24
    """Clips a step."""

    frames: int = 12
    """Video frames of a clip."""

    rate: float = 1.5e-3
    """Peak learning rate of AdamW."""

    warmup: int = 200
    """Steps to the peak."""

    average: float = 0.998
    """Decay of the averaged weights."""

    windows: tuple[int, ...] = (64, 128, 256, 512, 1024)
    """Lengths of the windows whose spectra are compared, samples."""

    noise: float = 0.15
    """Largest noise on the latents that the decoder learns to forgive; half of the clips get some."""

    loud_share: float = 0.5
    """Share of the clips that are drawn by how much happens in them: most of a recording is quiet."""


def train_sound(
    codec: SoundCodec,
    track: Soundtrack,
    rows: np.ndarray,
    budget: Budget,
    device: torch.device,
    config: SoundTraining,
    *,
    seed: int = 0,
    on_step: Callable[[int, Mapping[str, float]], None] = lambda step, figures: None,
) -> SoundCodec:
    """Train within the budget and return the averaged codec with its latents standardised.

    Args:
        rows: of the soundtrack that may be learnt from.
    """
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    codec = codec.to(device).train()
    average = Average(codec, config.average)
    starts = track.clips(config.frames, rows)
    odds = _odds(track, starts, config)

    def lesson() -> Tensor:
        samples = track.read(rng.choice(starts, config.batch, p=odds), config.frames).to(device)
        return codec_loss(codec, samples, config)

    fit(codec, lesson, budget, device, rate=config.rate, warmup=config.warmup, average=average, on_step=on_step)
    trained = average.network
    assert isinstance(trained, SoundCodec)
    standardise(trained, track, starts, config, device)
    return trained


def codec_loss(codec: SoundCodec, samples: Tensor, config: SoundTraining) -> Tensor:
    """The spectra of what comes back against those of what went in. Shape of `samples`: (b, t * samples, channels)."""
    latents = codec.encode(samples)
    noisy = torch.rand(len(latents), 1, 1, device=latents.device)
    level = config.noise * (noisy * 2 - 1).clamp(min=0)
    heard, loud = codec.spell(latents + level * torch.randn_like(latents) * latents.detach().std())
    hop = codec.config.hop
    warm = codec.config.samples * (SEEN - 1)  # a session has always heard something before
    wanted = (codec.spectra(samples).abs() + QUIET).log()
    # compared directly too: what the decoder makes silent has no gradient left in the sound itself
    direct = (loud - wanted)[:, :, (SEEN - 1) * HOPS :].square().mean()
    return spectral_loss(heard[:, warm + hop :], samples[:, warm:-hop], config.windows) + DIRECT * direct


def spectral_loss(heard: Tensor, wanted: Tensor, windows: tuple[int, ...]) -> Tensor:
    """L1 of log magnitudes and of magnitudes, over several window lengths. Shapes: two of (b, samples, channels)."""
    total = torch.zeros((), device=heard.device)
    for length in windows:
        window = torch.hann_window(length, device=heard.device)
        pair = [
            torch.stft(x.transpose(1, 2).flatten(0, 1), length, length // 4, window=window, return_complex=True).abs()
            / length**0.5
            for x in (heard, wanted)
        ]
        logs = [(size + QUIET).log() for size in pair]
        total = total + F.l1_loss(*logs) + 4 * F.l1_loss(*pair)
    return total / len(windows)


@torch.no_grad()
def standardise(
    codec: SoundCodec, track: Soundtrack, starts: np.ndarray, config: SoundTraining, device: torch.device
) -> None:
    """Set the codec's mean and std from clips of the recording, so that its latents have unit variance."""
    chosen = starts[:: max(1, len(starts) // 256)][:256]
    latents = codec.squeeze(track.read(chosen, config.frames).to(device))[:, 1:].flatten(0, 1)
    codec.mean.copy_(latents.mean(0))
    codec.std.copy_(latents.std(0).clamp(min=1e-3))


@torch.inference_mode()
def encode_track(codec: SoundCodec, track: Soundtrack, device: torch.device, *, frames: int = 64) -> Tensor:
    """Encode every frame. Shape (n, latent) float16, in main memory; frame 0 of an episode follows silence."""
    pieces = []
    for start in range(0, len(track), frames):
        begin = max(0, start - 1)  # a frame's latents also depend on the frame before
        samples = track.read(np.array([begin]), min(frames + start - begin, len(track) - begin)).to(device)
        pieces.append(codec.encode(samples)[0, start - begin :].half().cpu())
    latents = torch.cat(pieces)
    firsts = np.flatnonzero(track.first)
    for part in np.array_split(firsts, max(1, len(firsts) // 256)):
        if len(part):
            latents[torch.from_numpy(part)] = codec.encode(track.read(part, 1).to(device))[:, 0].half().cpu()
    return latents


def _odds(track: Soundtrack, starts: np.ndarray, config: SoundTraining) -> np.ndarray:
    """How often each clip is drawn: some evenly, some by how much their loudness changes."""
    change = np.abs(np.diff(track.loudness, prepend=track.loudness[:1]))
    busy = np.convolve(change, np.ones(config.frames), "full")[config.frames - 1 :][starts] + 1e-6
    even = np.full(len(starts), 1 / len(starts))
    return (1 - config.loud_share) * even + config.loud_share * busy / busy.sum()
