"""How much of what anybody may send: token buckets, refilled by time. No clock here."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Annotated

import msgspec

from inhabit.bridge.codec import Part
from inhabit.bridge.pacing import NS_PER_S

INPUT_BYTE, PROMPT_BYTE, CHAT_BYTE = 0x02, 0x0B, 0x0D

METERS_MAX = 4096
METER_KEPT_NS = 30 * NS_PER_S
"""Quotas are full again after that long, so who was silent needs no meter."""

Rate = Annotated[float, msgspec.Meta(ge=0, le=1e9)]


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds for the holder of one key. 0 for no bound."""

    sessions: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 4
    inputs_per_s: Rate = 500
    prompts_per_min: Rate = 60
    chats_per_min: Rate = 60
    messages_per_s: Rate = 2_000
    bytes_per_s: Rate = 20_000_000


class Bucket:
    """So much a second, and so much at once after a pause."""

    def __init__(self, rate_per_s: float, burst: float, now_ns: int):
        self._rate, self._burst = rate_per_s, burst
        self._level, self._filled_ns = burst, now_ns

    def take(self, amount: float, now_ns: int) -> bool:
        """Take an amount out, if there is any left. One that is larger than all empties it once."""
        if not self._rate:
            return True
        self._level = min(self._burst, self._level + (now_ns - self._filled_ns) / NS_PER_S * self._rate)
        self._filled_ns = now_ns
        if self._level < min(amount, self._burst):
            return False
        self._level -= amount
        return True


class Meter:
    """What one peer has sent, against its quota. It looks at bytes only, before anything is decoded."""

    def __init__(self, quota: Quota, now_ns: int):
        self.seen_ns = now_ns
        self.dropped = 0
        self._complained_ns: int | None = None
        self._messages = Bucket(quota.messages_per_s, quota.messages_per_s, now_ns)
        self._bytes = Bucket(quota.bytes_per_s, 2 * quota.bytes_per_s, now_ns)
        self._kinds = {
            INPUT_BYTE: ("INPUT", Bucket(quota.inputs_per_s, quota.inputs_per_s / 2, now_ns)),
            PROMPT_BYTE: ("PROMPT", Bucket(quota.prompts_per_min / 60, 10, now_ns)),
            CHAT_BYTE: ("CHAT", Bucket(quota.chats_per_min / 60, 10, now_ns)),
        }

    def refuse(self, parts: Sequence[Part], now_ns: int) -> str:
        """Why this message is not let in; "" when it is."""
        self.seen_ns = now_ns
        size = sum(len(part) for part in parts)
        kind = self._kinds.get(parts[0][1]) if parts and len(parts[0]) > 1 else None
        if not self._messages.take(1, now_ns):
            why = "messages"
        elif not self._bytes.take(size, now_ns):
            why = "bytes"
        elif kind is not None and not kind[1].take(1, now_ns):
            why = kind[0]
        else:
            return ""
        self.dropped += 1
        return why

    def may_complain(self, now_ns: int) -> bool:
        """Once a second is enough: who floods must not be answered as often."""
        if self._complained_ns is not None and now_ns - self._complained_ns < NS_PER_S:
            return False
        self._complained_ns = now_ns
        return True


class Meters:
    """One for each peer that was heard lately."""

    def __init__(self, now_ns: int):
        self._meters: dict[Hashable, Meter] = {}
        self._swept_ns = now_ns

    @property
    def dropped(self) -> int:
        """Messages that were beyond a quota, of those who were heard lately."""
        return sum(meter.dropped for meter in self._meters.values())

    def of(self, whose: Hashable, quota: Quota, now_ns: int) -> Meter:
        """The meter of this peer, a new one if need be; the oldest makes room."""
        meter = self._meters.get(whose)
        if meter is None:
            if len(self._meters) >= METERS_MAX:
                oldest = min(self._meters, key=lambda known: self._meters[known].seen_ns)
                del self._meters[oldest]
            meter = self._meters[whose] = Meter(quota, now_ns)
        return meter

    def forget(self, whose: Hashable) -> None:
        self._meters.pop(whose, None)

    def sweep(self, now_ns: int) -> None:
        """Forget who was silent for long."""
        if now_ns - self._swept_ns > METER_KEPT_NS:
            self._swept_ns = now_ns
            self._meters = {whose: m for whose, m in self._meters.items() if now_ns - m.seen_ns <= METER_KEPT_NS}
