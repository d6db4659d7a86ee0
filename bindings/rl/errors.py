"""Our errors in Gymnasium's terms, so that a program needs to know only one family of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gymnasium.error import DependencyNotInstalled, Error

from inhabit.bridge.errors import InhabitError, MissingExtraError


@contextmanager
def in_gymnasium_terms() -> Iterator[None]:
    """Turn what the library raises into gymnasium.error.Error, the message unchanged."""
    try:
        yield
    except MissingExtraError as error:
        raise DependencyNotInstalled(str(error)) from error
    except InhabitError as error:
        message = str(error)
        if "reward_head" in message or "ending_head" in message:
            message = f"Expected a pack with reward and ending heads, got one without; train it again ({message})"
        raise Error(message) from error
