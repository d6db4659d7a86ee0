"""What callers of environments say, checked: every mistake is told with what was expected and what was got."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from gymnasium.error import Error
from gymnasium.vector import AutoresetMode


def checked_options(options: dict[str, Any] | None, known: tuple[str, ...]) -> dict[str, Any]:
    """Reset options as plain values. Raises Error for an unknown one."""
    options = dict(options or {})
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise Error(f"Expected reset options among {', '.join(known)}, got {', '.join(map(repr, unknown))}")
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in options.items()}


def check_names(unknown: Iterable[str], known: Sequence[str]) -> None:
    """Raise Error for arguments that no environment takes."""
    for name in sorted(unknown):
        near = difflib.get_close_matches(name, known, n=1)
        meant = f" - did you mean {near[0]!r}?" if near else ""
        raise Error(f"Expected arguments among {', '.join(known)}, got {name!r}{meant}")


def check_numbers(*, horizon: int | None, uncertainty: int, render_mode: str | None) -> None:
    """Raise Error for what no environment takes."""
    if horizon is not None and (isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 1):
        raise Error(f"Expected a horizon of at least 1 frame, or None, got {horizon!r}")
    if isinstance(uncertainty, bool) or not isinstance(uncertainty, int) or uncertainty < 0:
        raise Error(f"Expected uncertainty to be a number of further draws, 0 for none, got {uncertainty!r}")
    if render_mode not in (None, "rgb_array", "human"):
        raise Error(f"Expected render_mode to be None, 'rgb_array' or 'human', got {render_mode!r}")


def checked_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """Raises Error for what is no autoreset mode."""
    try:
        return mode if isinstance(mode, AutoresetMode) else AutoresetMode(mode)
    except ValueError as error:
        known = ", ".join(repr(one.value) for one in AutoresetMode)
        raise Error(f"Expected autoreset_mode to be an AutoresetMode or one of {known}, got {mode!r}") from error


def checked_seeds(seed: int | Sequence[int | None] | None, count: int) -> list[int | None]:
    """One seed for each. Raises Error for another number of them."""
    if seed is None or isinstance(seed, int | np.integer):
        return [None if seed is None else int(seed) + index for index in range(count)]
    seeds = [None if one is None else int(one) for one in seed]
    if len(seeds) != count:
        raise Error(f"Expected a seed, or one for each of {count} environments, got {len(seeds)}")
    return seeds


def checked_mask(mask: Any, count: int) -> np.ndarray:
    """Which environments are meant. Raises Error for what is no mask."""
    if mask is None:
        return np.ones(count, bool)
    if not isinstance(mask, np.ndarray) or mask.shape != (count,) or mask.dtype != np.bool_ or not mask.any():
        got = f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise Error(f"Expected reset_mask to be a NumPy bool array of shape ({count},), one True at least, got {got}")
    return mask


def checked_uncertainty(uncertainty: Any) -> tuple[Literal["none", "draws", "residual"], int]:
    """How it is measured, and with how many draws."""
    if uncertainty == "residual" or uncertainty == "none":
        return uncertainty, 0
    if uncertainty == "draws":
        return "draws", 2
    check_numbers(horizon=None, uncertainty=uncertainty, render_mode=None)
    return ("draws", uncertainty) if uncertainty else ("none", 0)


def each(value: Any, count: int, name: str) -> list[Any]:
    """One value for each environment. Raises Error for a list of another length."""
    if isinstance(value, list | tuple | np.ndarray):
        values = value.tolist() if isinstance(value, np.ndarray) else list(value)
        if len(values) != count:
            raise Error(f"Expected one {name} for each of {count} environments, got {len(values)} - at options")
        return values
    return [value] * count
