"""A room as one of its people sees it: who is here, who drives, what was said."""

from __future__ import annotations

from collections import deque

from inhabit.bridge.messages import Event, Roster, Welcome
from inhabit.bridge.room_messages import Person, Wish

EVENTS_KEPT = 200


class RoomView:
    """What a client knows of its room. It changes while the client polls."""

    def __init__(self) -> None:
        self.name = ""
        """Empty in a world of one's own."""

        self.me = 0
        """Our number among the members."""

        self.role = "player"
        self.events: deque[Event] = deque(maxlen=EVENTS_KEPT)
        """What happened, oldest first, with some of what was before us."""

        self._roster: Roster | None = None
        self._newest = 0
        self._unread: deque[Event] = deque(maxlen=EVENTS_KEPT)

    @property
    def people(self) -> tuple[Person, ...]:
        """Who is here, in the order of coming."""
        return self._roster.people if self._roster else ()

    @property
    def driver(self) -> int:
        """The member who steers; 0 when nobody does, or all do by vote."""
        return self._roster.driver if self._roster else 0

    @property
    def driving(self) -> bool:
        """Do our controls move the world?"""
        return self._roster is None or self.driver == self.me or self._roster.steering == "vote"

    @property
    def by_vote(self) -> bool:
        return self._roster is not None and self._roster.steering == "vote"

    @property
    def waiting(self) -> tuple[int, ...]:
        """Who asked for the driver token, first come first."""
        return self._roster.waiting if self._roster else ()

    @property
    def prompts(self) -> tuple[Wish, ...]:
        """Prompts that wait for their turn."""
        return self._roster.prompts if self._roster else ()

    def person(self, member: int) -> Person | None:
        """The member with this number, None when there is none any more."""
        return next((person for person in self.people if person.member == member), None)

    def news(self) -> list[Event]:
        """Events since the last call, oldest first."""
        unread = list(self._unread)
        self._unread.clear()
        return unread

    def take_welcome(self, message: Welcome) -> None:
        self.name, self.me, self.role = message.room, message.member, message.role

    def take_roster(self, message: Roster) -> None:
        self._roster = message

    def take_event(self, message: Event) -> None:
        if message.number > self._newest:
            self._newest = message.number
            self.events.append(message)
            self._unread.append(message)
