"""A little sound in hand, so that frames which come late leave no gap: a jitter buffer that finds its own size.

Frames bring their sound in lumps. In hand is kept the length of a lump and as much as lumps were late by lately, and
not more: who plays waits for it. Nothing is cut that can be stretched: when there is too little, single periods of the
sound are said twice, when there is too much, left out, where one splice fits the other best (as WSOLA; Verhelst and
Roelands 1993). What is far too late is dropped at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from inhabit.bridge.lateness import Lateness
from inhabit.bridge.pacing import NS_PER_S, monotonic_ns

MOST_S = 0.3
"""Delay that is aimed at, at most, besides the length of a lump."""

FALL = 0.03
"""By so much that delay falls each second, when jitter is over: it is played off, not dropped."""

DROP_S = 0.12
"""So much more than is aimed at is dropped instead of played faster."""

DEAD_BAND_S = 0.01
"""So near to the aim sound is left as it is, to the last bit."""

HOP_S = 0.01
"""Sound is made in pieces of this length, and splices are as long."""

SHORTEST_S, LONGEST_S = 0.0025, 0.015
"""What one splice leaves out or repeats, between these: the periods of 67 to 400 Hz."""

STRETCH_MOST = 0.25
"""Faster or slower than the world's own time, at most."""

STRETCH_S = 0.4
"""What is too much or too little is gone after this long."""

FADES = 0.75
"""Of its loudness sound keeps so much with each piece that has nothing new: silence after a tenth of a second."""

INAUDIBLE = 0.05
FADE = 64
"""Samples over which sound begins and ends, so that nothing clicks."""

KEPT_S = 1.0
"""In hand at most, where nobody takes anything."""

TAKEN_S = 0.1
"""Who took nothing for this long plays no more."""


class SoundBuffer:
    """Sound between the wire and a loudspeaker, (samples, channels). put() and take() may be called by two threads.

    Units: seconds, of the caller's clock and of the world's own time, which begins at 0 with each episode.
    """

    def __init__(self, rate_hz: int, channels: int, clock: Callable[[], int] = monotonic_ns):
        self.rate_hz, self.channels = rate_hz, channels
        self.underruns = 0
        """Times that it ran dry while sound was playing."""

        self.dropped = 0
        """Samples that were thrown away because they came too late to be heard with their picture."""

        self.stretched = 0
        """Samples that were left out or said twice, so that nothing had to be dropped or missed."""

        self.taken = 0
        """Samples of the world's sound that were played."""

        self._clock = clock
        self._hop = max(8, round(HOP_S * rate_hz))
        self._kept = round(LONGEST_S * rate_hz) + self._hop
        self._lateness = Lateness()
        self._lump_s = 0.0
        self._end_s = 0.0
        self._sound = np.zeros((0, channels), np.float32)
        self._at = 0
        self._ready = np.zeros((0, channels), np.float32)
        self._owed = 0.0
        self._gain = 1.0
        self._flowing = self._dry = False
        self._taken_s = float("-inf")
        self._chunk_s = self._jitter_s = 0.0
        self._edge = np.zeros(channels, np.float32)
        self._last = np.zeros(channels, np.float32)
        self._lock = threading.Lock()

    @property
    def lag_s(self) -> float:
        """Sound in hand, s."""
        return (len(self._sound) - self._at + len(self._ready)) / self.rate_hz

    @property
    def target_s(self) -> float:
        """How long after the quickest could be heard it shall be heard: jitter, and what is taken at a time, s."""
        return min(MOST_S, self._jitter_s + self._chunk_s + HOP_S + DEAD_BAND_S)

    @property
    def playing(self) -> bool:
        """True while sound comes out of it."""
        return self._flowing

    def position_s(self) -> float | None:
        """The moment of the world that is heard now; None while nothing is."""
        with self._lock:
            since_s = self._now_s() - self._taken_s
            heard = self._flowing and since_s < TAKEN_S
            return self._heard_s() + since_s * self._lateness.speed if heard else None

    def put(self, samples: np.ndarray, end_s: float | None = None) -> None:
        """Append (samples, channels) int16.

        Args:
            end_s: the moment of the world at which they end; None for one that follows what came before.
        """
        if not len(samples):
            return
        with self._lock:
            self._dry = False
            length_s = len(samples) / self.rate_hz
            self._end_s = self._end_s + length_s if end_s is None else end_s
            self._lump_s = max(length_s, 0.9 * self._lump_s)
            self._lateness.add(self._now_s(), self._end_s)
            self._jitter_s = max(self._lateness.jitter_s, self._jitter_s - FALL * length_s)
            begin = max(0, self._at - self._kept)  # a little of what was played is kept, to be said twice
            self._sound = np.concatenate([self._sound[begin:], samples.astype(np.float32)])
            self._at -= begin
            too_much = len(self._sound) - self._at - round(KEPT_S * self.rate_hz)
            if too_much > 0:
                self._at += too_much
                self.dropped += too_much

    def clear(self) -> None:
        """Forget what waits: another episode begins, or the world stands still. That is no underrun."""
        with self._lock:
            self._lateness.clear()
            self._end_s = 0.0
            self._stop()

    def take(self, count: int) -> np.ndarray:
        """The next samples, (count, channels) float32, silence where there are none."""
        with self._lock:
            self._taken_s = self._now_s()
            self._chunk_s = max(count / self.rate_hz, 0.99 * self._chunk_s)
            begins = not self._flowing
            if begins and self.lag_s < self.target_s + self._lump_s / 2:
                return self._ended(np.zeros((count, self.channels), np.float32))
            self._flowing = True
            self._drop()
            while self._flowing and len(self._ready) < count:
                self._ready = np.concatenate([self._ready, self._next_piece()])
            out, self._ready = self._ready[:count], self._ready[count:]
            if begins:
                out[:FADE] *= np.linspace(0, 1, min(FADE, len(out)), dtype=np.float32)[:, None]
            if len(out):
                self._last = out[-1].copy()
            missing = np.zeros((count - len(out), self.channels), np.float32)
            return np.concatenate([out, self._ended(missing)]) if len(missing) else out

    def _now_s(self) -> float:
        return self._clock() / NS_PER_S

    def _heard_s(self) -> float:
        return self._end_s - self.lag_s

    def _excess_s(self) -> float:
        """How much later than aimed at it is heard."""
        delay_s = self._lateness.moment_s(self._now_s()) - self._lump_s - self._heard_s()
        return delay_s - self.target_s

    def _next_piece(self) -> np.ndarray:
        """One hop of sound: as it is, spliced to be longer or shorter, or what can be made of nothing."""
        hop, left = self._hop, len(self._sound) - self._at
        if left < hop or self._dry:
            return self._conceal(max(0, hop - left))
        self._gain, before = 1.0, self._gain
        excess_s = self._excess_s()
        pull = 0.0 if abs(excess_s) < DEAD_BAND_S else excess_s / STRETCH_S
        speed = self._lateness.speed * (1 + min(STRETCH_MOST, max(-STRETCH_MOST, pull)))
        self._owed = 0.0 if speed == 1 else self._owed + hop * (speed - 1)
        jump = self._best_jump() if abs(self._owed) >= 2 * SHORTEST_S * self.rate_hz else 0
        self._owed -= jump
        self.stretched += abs(jump)
        self.taken += hop
        piece = self._spliced(jump)
        self._at += hop + jump
        return piece * np.linspace(before, 1, hop, dtype=np.float32)[:, None] if before < 1 else piece

    def _conceal(self, missing: int) -> np.ndarray:
        """Nothing has come: say the last period again, more and more quietly."""
        self.underruns += not self._dry
        self._dry, self._owed = True, -1.0
        jump = self._best_jump(at_least=missing) if missing else 0
        self._owed = 0.0
        if self._gain < INAUDIBLE or (missing and not jump):
            left = self._sound[self._at :] * self._gain
            self._stop()
            return left
        before, self._gain = self._gain, self._gain * FADES
        piece = self._spliced(jump)
        self._at += self._hop + jump
        return piece * np.linspace(before, self._gain, self._hop, dtype=np.float32)[:, None]

    def _best_jump(self, at_least: int = 0) -> int:
        """By how much to jump, + ahead or - back, so that what comes is most like what would have come. 0: nowhere."""
        hop, here = self._hop, self._at
        shortest, longest = max(at_least, round(SHORTEST_S * self.rate_hz)), round(LONGEST_S * self.rate_hz)
        back = max(0, hop - (len(self._sound) - here))  # where nothing follows, compare what was before
        low, high = (here + shortest, here + longest) if self._owed > 0 else (here - longest, here - shortest)
        low, high = max(back, low), min(high, len(self._sound) - hop)
        if high < low or here < back:
            return 0
        plain = self._sound.mean(1)
        like = plain[here - back : here - back + hop]
        others = np.lib.stride_tricks.sliding_window_view(plain[low - back : high - back + hop], hop)
        likeness = others @ like / np.sqrt((others**2).sum(1) + 1)
        return low + int(np.argmax(likeness)) - here

    def _spliced(self, jump: int) -> np.ndarray:
        """A hop that begins here and ends where a jump leads, one fading into the other."""
        goes = self._sound[self._at : self._at + self._hop]
        if jump:
            comes = self._sound[self._at + jump : self._at + jump + self._hop]
            rise = np.ones((self._hop, 1), np.float32)
            rise[: len(goes), 0] = np.linspace(0, 1, len(goes), dtype=np.float32)
            piece = comes * rise
            piece[: len(goes)] += goes * (1 - rise[: len(goes)])
            if len(goes) < FADE:  # too short a way from one to the other
                away = np.linspace(1, 0, FADE, dtype=np.float32)[: self._hop, None]
                piece[:FADE] += (self._edge - piece[0]) * away
            goes = piece
        self._edge = goes[-1].copy()
        return goes

    def _drop(self) -> None:
        """Throw away what is far too late, and let the rest fade in."""
        excess_s = self._excess_s()
        if excess_s < DROP_S:
            return
        spare_s = self.lag_s - self.target_s - self._lump_s / 2
        jump = min(round(min(excess_s, spare_s) * self.rate_hz), len(self._sound) - self._at - 2 * self._hop)
        if jump > self._hop:
            self._ready = np.concatenate([self._ready, self._spliced(jump)])
            self._at += jump + self._hop
            self.dropped += jump

    def _stop(self) -> None:
        self._sound, self._at = self._sound[:0], 0
        self._ready = self._ready[:0]
        self._flowing, self._dry, self._gain, self._owed = False, False, 1.0, 0.0

    def _ended(self, out: np.ndarray) -> np.ndarray:
        """Let the last sample die away instead of stopping dead."""
        fall = min(FADE, len(out))
        out[:fall] += self._last * np.linspace(1, 0, FADE, dtype=np.float32)[:fall, None]
        self._last = self._last * (1 - fall / FADE)
        return out
