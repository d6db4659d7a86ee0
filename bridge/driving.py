"""Who may steer a shared world: one token, a queue of those who asked for it, and the times after which it moves on."""

from __future__ import annotations

from inhabit.bridge.pacing import NS_PER_S

NOBODY = 0
"""No member has this number."""


class DriverToken:
    """The token of one room. Members are numbers above 0; times are the server's monotonic ns.

    Args:
        idle_s: a driver who does nothing for this long loses the token, if somebody waits for it.
        turn_s: the longest turn while somebody waits; 0 for no bound.
    """

    def __init__(self, *, idle_s: float, turn_s: float):
        self.driver = NOBODY
        self.waiting: list[int] = []
        self._idle_ns, self._turn_ns = round(idle_s * NS_PER_S), round(turn_s * NS_PER_S)
        self._since_ns = self._active_ns = 0

    def ask(self, member: int, now_ns: int) -> bool:
        """Take the token if it is free, else wait for it. Returns whether the member drives now."""
        if self.driver == NOBODY:
            self._give(member, now_ns)
        elif member not in (self.driver, *self.waiting):
            self.waiting.append(member)
        return self.driver == member

    def grant(self, member: int, now_ns: int) -> None:
        """Give the token to a member, whoever had it."""
        self._give(member, now_ns)

    def release(self, member: int, now_ns: int) -> None:
        """Give the token back, or stop waiting for it."""
        if member in self.waiting:
            self.waiting.remove(member)
        if member == self.driver:
            self._next(now_ns)

    def active(self, member: int, now_ns: int) -> None:
        """A member did something with the controls."""
        if member == self.driver:
            self._active_ns = now_ns

    def tick(self, now_ns: int) -> str:
        """Let time take the token away. Returns why it moved on, "" when it did not."""
        if self.driver == NOBODY or not self.waiting:
            return ""
        if now_ns - self._active_ns > self._idle_ns:
            self._next(now_ns)
            return "the driver did nothing"
        if 0 < self._turn_ns < now_ns - self._since_ns:
            self._next(now_ns)
            return "the turn was over"
        return ""

    def _next(self, now_ns: int) -> None:
        self.driver = NOBODY
        if self.waiting:
            self._give(self.waiting[0], now_ns)

    def _give(self, member: int, now_ns: int) -> None:
        self.driver = member
        self.waiting = [waits for waits in self.waiting if waits != member]
        self._since_ns = self._active_ns = now_ns
