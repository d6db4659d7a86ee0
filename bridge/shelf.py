"""Opens worlds for a sidecar: what is costly to load is loaded once and shared by all who play it."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from inhabit.bridge.world import World


class Shelf:
    """Makes worlds of one kind.

    A world may offer `another() -> World`: a further one with a state of its own, that shares all else (the model).
    Where it does, only the first is opened; the shelf keeps that one's model for as long as it lives. Worlds that share
    a model may step in one batch when several are due; one that does offers `step_alone(alone: bool)`, for sessions
    whose frames must be the same to the last bit whoever else plays.
    """

    def __init__(self, open_world: Callable[[], World]):
        self._open = open_world
        self._lock = Lock()
        self._first: World | None = None

    def __call__(self) -> World:
        """One more world. Two threads that come at once do not both load the model."""
        with self._lock:
            another = getattr(self._first, "another", None)
            if another is not None:
                return another()
            world = self._open()
            if hasattr(world, "another"):
                self._first = world
            return world
