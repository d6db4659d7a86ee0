"""The same stack on the dream and on the game that it was learnt from: what is learnt in one is tested in the other.

dream, real = paired("doom-center", wrappers=[lambda env: gymnasium.wrappers.FrameStackObservation(env, 4)])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
from gymnasium.error import Error

from inhabit.bindings.env import WorldEnv
from inhabit.bindings.rl.errors import in_gymnasium_terms
from inhabit.bindings.rl.in_process import real as real_games
from inhabit.bindings.rl.registration import find_wanted

Wrapper = Callable[[Any], Any]
DREAM_ONLY = ("temperature", "steps", "uncertainty", "device")


class Pair(NamedTuple):
    """Two environments with equal spaces."""

    dream: gymnasium.Env[Any, Any]
    real: gymnasium.Env[Any, Any]


def paired(pack: str | Path, *, wrappers: Sequence[Wrapper] = (), source: str = "", **arguments: Any) -> Pair:
    """Open a pack, and the game that it was learnt from, at the pack's size and rate.

    Args:
        pack: name or folder.
        wrappers: applied to both, in this order.
        source: another game of the same spaces, such as "doom:take_cover"; the pack's own source by default.
        arguments: what WorldEnv takes; temperature, steps, uncertainty and device go to the dream alone. With
            obs="latent" real frames go through the pack's codec, so that both speak the same language.

    Raises:
        gymnasium.error.Error: the game cannot be played here, or has other spaces.
    """
    with in_gymnasium_terms():
        folder = find_wanted(pack)
        game = real_games().open_real(folder, source)
    dream = WorldEnv(pack=folder, **arguments)
    common = {name: value for name, value in arguments.items() if name not in DREAM_ONLY}
    real = WorldEnv(world=game, codec=folder if common.get("obs") == "latent" else None, **common)
    for what in ("action_space", "observation_space"):
        one, other = getattr(dream, what), getattr(real, what)
        if one != other:
            dream.close()
            real.close()
            raise Error(f"Expected a game with the {what} {one}, got {other} - at {source or 'the source of the pack'}")
    envs: list[Any] = [dream, real]
    for wrap in wrappers:
        envs = [wrap(env) for env in envs]
    return Pair(*envs)
