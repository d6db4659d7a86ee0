"""How late frames come: what of it is the way, what is jitter, and how fast the world's own time runs."""

from __future__ import annotations

from collections import deque

import numpy as np

WINDOW_S = 6.0
"""What came longer ago is forgotten."""

QUICKEST_S = 1.5
"""The quickest way is what was the quickest within this time: a world that leaves out ticks stays behind for good."""

LATE_PERCENT = 99.0
"""Jitter is what so many of all frames keep within; the rest is stretched over."""

LEARNT_S = 0.4
"""Arrivals over this time tell how fast a world runs."""

OUTAGE_S = 0.3
"""So late is no jitter but an outage, which nobody waits for again; with all that comes at its end."""

BURST_S = 0.05
"""What comes within this time of it."""

FEWEST = 4
"""Arrivals before anything is known."""

SLOWEST, FASTEST = 0.25, 1.25
"""Of a world's time to ours. One that cannot keep its rate is slower."""

STEADY = 0.02
"""A world whose time runs so nearly as ours keeps its rate: what is seen of it is jitter."""


class Lateness:
    """Arrivals of the last seconds: when, and of which moment of the world."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()
        self._late: deque[float] = deque()
        self._counts: deque[bool] = deque()
        self._outage_s = float("-inf")
        self.jitter_s = 0.0
        """How much later than the quickest ones nearly all come."""

        self.speed = 1.0
        """Seconds of the world for each of ours."""

        self._line_s = 0.0
        self._at_s = 0.0

    def add(self, now_s: float, media_s: float) -> None:
        """Something of the world's moment `media_s` has come."""
        self._seen.append((now_s, media_s))
        while now_s - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()
            self._late.popleft()
            self._counts.popleft()
        if len(self._seen) < FEWEST:
            self._line_s, self._at_s = media_s, now_s
            self._late.append(0.0)
            self._counts.append(True)
            return
        now, media = np.array(self._seen).T
        slope = float(np.polyfit(now - now[0], media, 1)[0]) if now[-1] - now[0] > LEARNT_S else 1.0
        self.speed = 1.0 if abs(slope - 1) < STEADY else min(FASTEST, max(SLOWEST, slope))
        ahead = media - self.speed * (now - now_s)  # where each arrival says that the world is now
        newly = now_s - now <= QUICKEST_S
        self._line_s, self._at_s = float(ahead[newly].max()), now_s
        self._late.append(self._line_s - float(ahead[-1]))
        if self._late[-1] > OUTAGE_S:
            self._outage_s = now_s
        self._counts.append(now_s - self._outage_s > BURST_S)
        late = np.where(newly, self._line_s - ahead, self._late)[np.array(self._counts)]
        self.jitter_s = float(np.percentile(late, LATE_PERCENT)) if len(late) else 0.0

    def moment_s(self, now_s: float) -> float:
        """What moment of the world would come now, if it came as quickly as the quickest."""
        return self._line_s + self.speed * (now_s - self._at_s)

    def clear(self) -> None:
        """Another episode: its moments are counted anew."""
        self._seen.clear()
        self._late.clear()
        self._counts.clear()
        self.speed = 1.0
