"""The sound codec: one token of latents for each video frame, and a small vocoder that turns them back into samples.

A frame's sound is HOPS windows' log spectra, squeezed into one vector by a network that sees this frame and the one
before; the decoder says magnitude and phase of each window, and windows overlap by half (as in Vocos, arXiv 2306.00814,
but causal and a hundredth of its size). Sound comes out one hop late, and is a function of the last SEEN latents alone:
a session keeps nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.omni.autoencoder import bounded

HOPS = 4
"""Windows that begin within one video frame."""

SEEN = 4
"""Latents that a frame's samples depend on."""

FLOOR = 1e-4
"""Added to magnitudes before their logarithm."""

LOUDEST_LOG = 4.0
"""Bound of the decoder's log magnitudes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundConfig:
    """The sound codec's sizes."""

    hop: int = 250
    """Samples from one window to the next; HOPS of them are a video frame."""

    channels: int = 2
    """1 for mono, 2 for stereo."""

    latent: int = 32
    """Numbers that stand for a frame's sound."""

    bands: int = 40
    """Bands of the log spectrum that the encoder sees, for each channel."""

    width: int = 192
    """Features of the networks."""

    @property
    def samples(self) -> int:
        """Samples of one video frame, for each channel."""
        return self.hop * HOPS

    @property
    def bins(self) -> int:
        """Frequencies of a window."""
        return self.hop + 1


def sound_rate_hz(frames_hz: float, *, wanted_hz: float = 16_000) -> int:
    """The rate nearest to `wanted_hz` at which a video frame has a whole number of hops' samples."""
    return round(hop_for(frames_hz, wanted_hz=wanted_hz) * HOPS * frames_hz)


def hop_for(frames_hz: float, *, wanted_hz: float = 16_000) -> int:
    """Samples from one window to the next at that rate; even, and such that the rate is a whole number."""
    near = round(wanted_hz / frames_hz / HOPS)
    whole = [hop for hop in range(max(8, near - 40), near + 41) if float(hop * HOPS * frames_hz).is_integer()]
    return min(whole or [near], key=lambda hop: abs(hop - wanted_hz / frames_hz / HOPS))


class SoundCodec(nn.Module):
    """Encode sound to standardised latents, one for each video frame, and decode them again."""

    mean: Tensor
    std: Tensor
    window: Tensor
    filters: Tensor

    def __init__(self, config: SoundConfig):
        super().__init__()
        self.config = config
        c, width = config, config.width
        seen = 2 * HOPS * c.channels * c.bands
        self.encoder = nn.Sequential(
            nn.Linear(seen, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, c.latent)
        )
        self.unfold = nn.Linear(2 * c.latent, HOPS * width)
        self.blocks = nn.ModuleList(CausalBlock(width) for _ in range(2))
        self.head = nn.Linear(width, 3 * c.channels * c.bins)
        self.register_buffer("mean", torch.zeros(c.latent))
        self.register_buffer("std", torch.ones(c.latent))
        self.register_buffer("window", torch.hann_window(2 * c.hop).sqrt(), persistent=False)
        self.register_buffer("filters", _bands(c.bins, c.bands), persistent=False)

    def encode(self, samples: Tensor) -> Tensor:
        """Shapes: (b, t * samples, channels) float in [-1, 1] -> (b, t, latent), about unit variance.

        What comes before the first frame counts as silence.
        """
        return (self.squeeze(samples) - self.mean) / self.std

    def squeeze(self, samples: Tensor) -> Tensor:
        """encode() before it is standardised."""
        log = (self.spectra(samples).abs() @ self.filters + FLOOR).log() / 4 + 1  # (b, channels, t * HOPS, bands)
        b, _, hops, _ = log.shape
        frames = log.transpose(1, 2).reshape(b, hops // HOPS, -1)
        before = torch.cat([torch.full_like(frames[:, :1], SILENCE), frames[:, :-1]], 1)
        return bounded(self.encoder(torch.cat([before, frames], -1)))

    def decode(self, latents: Tensor) -> Tensor:
        """Shapes: (b, t, latent) -> (b, t * samples, channels), about [-1, 1], one hop late.

        What comes before the first latent counts as silence of the latents' mean.
        """
        return self.spell(latents)[0]

    def spell(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """decode(), and the log magnitudes that it was made from, (b, channels, t * HOPS, bins)."""
        b, t, _ = latents.shape
        z = latents * self.std + self.mean
        before = torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], 1)
        h = self.unfold(torch.cat([before, z], -1)).reshape(b, t * HOPS, -1)
        for block in self.blocks:
            h = block(h)
        with torch.autocast(h.device.type, enabled=False):
            shape = (b, t * HOPS, 3, self.config.channels, self.config.bins)
            loud, cosine, sine = self.head(h.float()).reshape(shape).permute(2, 0, 3, 1, 4)
            size = loud.clamp(max=LOUDEST_LOG).exp() / (cosine.square() + sine.square() + 1e-6).sqrt()
            return self._overlap(torch.complex(size * cosine, size * sine)), loud

    def decode_newest(self, latents: Tensor) -> Tensor:
        """The newest frame's samples. Shapes: (b, SEEN, latent) -> (b, samples, channels)."""
        return self.decode(latents)[:, -self.config.samples :]

    def spectra(self, samples: Tensor) -> Tensor:
        """Windows of two hops, the first of them half before the first sample.

        Shapes: (b, t * samples, channels) -> (b, channels, t * HOPS, bins) complex.
        """
        padded = F.pad(samples.transpose(1, 2), (self.config.hop, 0))
        frames = padded.unfold(-1, 2 * self.config.hop, self.config.hop)
        return torch.fft.rfft(frames * self.window, dim=-1) / self.config.hop**0.5

    def _overlap(self, spectra: Tensor) -> Tensor:
        """The inverse of spectra(), one hop late: the last half window still waits for the next one."""
        hop = self.config.hop
        parts = torch.fft.irfft(spectra * hop**0.5, n=2 * hop, dim=-1) * self.window
        early, late = parts[..., :hop], parts[..., hop:]
        late = torch.cat([torch.zeros_like(late[:, :, :1]), late[:, :, :-1]], 2)
        return (early + late).flatten(2).transpose(1, 2)


SILENCE = (torch.tensor(FLOOR).log() / 4 + 1).item()


class CausalBlock(nn.Module):
    """A residual block over windows that sees this one and the two before. Starts as the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.near = nn.Conv1d(width, width, 3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 2 * width)
        self.outer = nn.Linear(2 * width, width)
        nn.init.zeros_(self.outer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: (b, hops, width) -> the same."""
        y = self.near(F.pad(x.transpose(1, 2), (2, 0))).transpose(1, 2)
        return x + self.outer(F.silu(self.inner(self.norm(y))))


def _bands(bins: int, bands: int) -> Tensor:
    """Triangles that overlap by half: evenly spaced among low frequencies, ever wider above. Shape (bins, bands)."""
    # spaced like the mel scale with its corner at a twentieth of the highest frequency
    edge = torch.log1p(torch.tensor(20.0))
    centres = (torch.linspace(0, 1, bands + 2) * edge).expm1() / 20 * (bins - 1)
    bin_ = torch.arange(bins)[:, None].float()
    low, middle, high = centres[:-2], centres[1:-1], centres[2:]
    rise, fall = (bin_ - low) / (middle - low).clamp(min=1), (high - bin_) / (high - middle).clamp(min=1)
    triangles = torch.minimum(rise, fall).clamp(min=0)
    return triangles / triangles.sum(0, keepdim=True).clamp(min=1e-6)
