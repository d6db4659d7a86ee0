"""The way from a binding to the world model in its own process: by name and only when asked, so bindings do without it.

No other file of the bindings knows the world model.
"""

from __future__ import annotations

import hashlib
import os
from importlib import import_module
from typing import Any

FIRST_DRAW = 7
"""Salt of the first further draw of a frame, as in worldmodel/dreams."""


def catalog() -> Any:
    """inhabit.worldmodel.catalog: names and packs. Imports no torch."""
    return import_module("inhabit.worldmodel.catalog")


def saved() -> Any:
    """inhabit.worldmodel.dreams.saved: looks into saved states. Imports no torch."""
    return import_module("inhabit.worldmodel.dreams.saved")


def real() -> Any:
    """inhabit.worldmodel.dreams.real: the games that packs are learnt from. Imports torch only for a codec."""
    return import_module("inhabit.worldmodel.dreams.real")


def dreams(module: str) -> Any:
    """A module of inhabit.worldmodel.dreams that needs torch. Raises MissingExtraError without it."""
    catalog().require_torch()
    # before torch is imported: its threads shall not spin while they wait, or a busy machine makes a crawl of it
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return import_module(f"inhabit.worldmodel.dreams.{module}")


def mixed(value: int, salt: int) -> int:
    """A number below 2**62 that depends on both, as a neural world mixes its seeds."""
    digest = hashlib.blake2b(f"{value}/{salt}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 2
