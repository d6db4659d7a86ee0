"""The sound of a batch of isles: 1000 stereo samples a frame, a pure function of the state.

Wind, rain and water are endless loops read by the sample counter, every other sound is a recording made here once and
read by its age, so frames join without a seam. All waves are computed from fixed seeds: nothing was recorded.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from inhabit.worldmodel.worlds.isle.scene import RATE_HZ, State
from inhabit.worldmodel.worlds.isle.voices import SOUNDS

SOUND_RATE_HZ = 16_000
SAMPLES = round(SOUND_RATE_HZ / RATE_HZ)
"""Samples a frame."""
LOOP = 4 * SOUND_RATE_HZ
LONGEST = 64 * SAMPLES
"""Samples of the longest sound, the thunder."""
LOUD = 14_000.0


@torch.inference_mode()
def sound(state: State) -> Tensor:
    """What is heard during the frame. Shape (b, 1000, 2) int16: left and right."""
    device = state.key.device
    loops, bank = _loops(device), _bank(device)
    within = torch.arange(SAMPLES, device=device)
    now = (state.frame[:, None] * SAMPLES + within) % LOOP  # (b, 1000)
    ramp = within / SAMPLES
    level = state.level[:, :, :1] + (state.level[:, :, 1:] - state.level[:, :, :1]) * ramp[:, None]  # (b, 3, 1000, 2)
    heard = (loops[:, now].permute(1, 0, 2)[..., None] * level).sum(1)
    island, voice = torch.nonzero(state.voice_age * SAMPLES < LONGEST, as_tuple=True)
    at = state.voice_age[island, voice, None] * SAMPLES + within  # (n, 1000)
    waves = bank[state.voice_sound[island, voice, None], at]
    heard = heard.index_add(0, island, waves[..., None] * state.voice_gain[island, voice, None])
    return (torch.tanh(heard) * LOUD * 1.6).to(torch.int16)


@functools.lru_cache(maxsize=8)
def _loops(device: torch.device) -> Tensor:
    """(3, LOOP) wind, rain and water, each without a seam at its end."""
    rng = np.random.default_rng(1)
    wind = _noise(rng, LOOP, 120, 500) + 0.3 * _noise(rng, LOOP, 500, 1100)
    swell = 1 + 0.5 * np.sin(2 * np.pi * np.arange(LOOP) / LOOP * 2)
    drops = np.zeros(LOOP)
    at = rng.integers(0, LOOP, 900)
    drops[at] = rng.uniform(1, 5, 900) * rng.choice([-1, 1], 900)
    patter = np.fft.irfft(np.fft.rfft(drops) * np.fft.rfft(_ring(rng, LOOP)), LOOP)
    rain = 0.5 * _noise(rng, LOOP, 1500, 7000) + 0.5 * patter / np.abs(patter).max() * 4
    wave = np.sin(2 * np.pi * np.arange(LOOP) / LOOP) ** 2
    water = _noise(rng, LOOP, 250, 2500) * (0.35 + wave)
    return torch.tensor(np.stack([wind * swell, rain, water]) * 0.25, dtype=torch.float32, device=device)


@functools.lru_cache(maxsize=8)
def _bank(device: torch.device) -> Tensor:
    """(len(SOUNDS), LONGEST) every sound that has an end."""
    rng = np.random.default_rng(2)
    waves = {
        "step-grass": _fade(_noise(rng, 2600, 700, 3500), 500) * 0.5 + _thud(2600, 90, 500) * 0.5,
        "step-sand": _fade(_noise(rng, 3200, 1500, 5500), 1100) * 0.55,
        "step-snow": _fade(_noise(rng, 3400, 300, 1300) * (1 + np.sin(np.arange(3400) * 0.09)), 1300) * 0.7,
        "step-lava": _fade(_noise(rng, 2400, 1800, 7500), 220) * 0.9 + _thud(2400, 170, 420) * 0.6,
        "wade": _fade(_noise(rng, 4000, 400, 3000), 1500) * 0.6,
        "throw": _swell(_noise(rng, 3600, 500, 2200), 1400) * 0.7,
        "pickup": _tone(2600, 520, 900, 900) * 0.45,
        "jump": _tone(2400, 190, 420, 1000) * 0.5,
        "bounce": _thud(3400, 150, 800) * 1.1 + _fade(_noise(rng, 3400, 400, 1600), 160) * 0.4,
        "splash": _swell(_noise(rng, 7500, 300, 5000), 900) * 0.9,
        "thunder-0": _thunder(rng, 0.0),
        "thunder-1": _thunder(rng, 0.5),
    }
    waves |= {f"call-{n}": _call(300 * 2 ** (n / 4), n) for n in range(6)}
    bank = np.zeros((len(SOUNDS), LONGEST), np.float32)
    for row, name in enumerate(SOUNDS):
        bank[row, : len(waves[name])] = waves[name]
    return torch.tensor(bank, device=device)


def _noise(rng: np.random.Generator, count: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Noise between two frequencies, of standard deviation 1 / 2; its end joins its beginning."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hz = np.fft.rfftfreq(count, 1 / SOUND_RATE_HZ)
    spectrum *= 1 / (1 + (low_hz / np.maximum(hz, 1)) ** 6) / (1 + (hz / high_hz) ** 6)
    wave = np.fft.irfft(spectrum, count)
    return wave / wave.std() * 0.5


def _fade(wave: np.ndarray, samples: float) -> np.ndarray:
    """A quick start and an exponential end that reaches silence."""
    at = np.arange(len(wave))
    end = np.clip((len(wave) - at) / 200, 0, 1)
    return wave * np.minimum(at / 40, 1) * np.exp(-at / samples) * end


def _swell(wave: np.ndarray, samples: float) -> np.ndarray:
    at = np.arange(len(wave))
    return _fade(wave * np.minimum(at / samples, 1), samples * 2)


def _thud(count: int, hz: float, samples: float) -> np.ndarray:
    at = np.arange(count)
    return _fade(np.sin(2 * np.pi * hz * at / SOUND_RATE_HZ * (1 - 0.25 * at / count)), samples)


def _tone(count: int, from_hz: float, to_hz: float, samples: float) -> np.ndarray:
    hz = np.geomspace(from_hz, to_hz, count)
    return _fade(np.sin(2 * np.pi * np.cumsum(hz) / SOUND_RATE_HZ), samples)


def _ring(rng: np.random.Generator, count: int) -> np.ndarray:
    """The short click of one raindrop."""
    at = np.arange(count)
    return np.exp(-at / 25) * np.sin(at * 1.1)


def _call(hz: float, number: int) -> np.ndarray:
    """A creature's voice: two or three chirps at its own pitch."""
    chirps = 2 + number % 2
    parts = []
    for n in range(chirps):
        glide = np.geomspace(hz * (1 + 0.15 * n), hz * (1.45 + 0.1 * (number % 3)), 2000)
        phase = 2 * np.pi * np.cumsum(glide) / SOUND_RATE_HZ
        chirp = np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.15 * np.sin(3 * phase)
        parts += [_fade(chirp, 1100), np.zeros(500)]
    return np.concatenate(parts) * 0.6


def _thunder(rng: np.random.Generator, late: float) -> np.ndarray:
    """A crack and a long rumble."""
    at = np.arange(LONGEST)
    rumble = _noise(rng, LONGEST, 30, 140) * (1 + 0.8 * np.sin(at * 0.0011 + 5 * late)) * np.exp(-at / 16_000)
    crack = _noise(rng, LONGEST, 150, 2500) * np.exp(-at / 1800) * (1 - late)
    end = np.clip((LONGEST - at) / 4000, 0, 1)
    return (1.8 * rumble + crack) * np.minimum(at / (60 + 1500 * late), 1) * end
