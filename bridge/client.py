"""Worlds at the other end of a wire: RemoteWorld for agents (lock-step), LiveWorld for people (free-running).

Both are single-threaded and do their work while they are called.
"""

from __future__ import annotations

from inhabit.bridge.live import Effect, LiveWorld
from inhabit.bridge.remote import RemoteWorld

__all__ = ["Effect", "LiveWorld", "RemoteWorld"]
