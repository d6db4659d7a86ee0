"""Where a client wants in, as whom, and the ticket that lets it in again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from inhabit.bridge.fields import Role


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a client wants to be, and as whom."""

    room: str = ""
    name: str = ""
    role: Role = "player"
    takes: tuple[str, ...] = ()
    world: str = ""


ANYWHERE = Place()


class Ticket(NamedTuple):
    """What opens a session again that lost its connection or its sidecar."""

    identity: bytes
    secret: bytes
    epoch: int
    """The newest that was seen."""
