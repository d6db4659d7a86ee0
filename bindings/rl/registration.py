"""Names for gymnasium.make: each pack that ships, and World-v0 for everything else."""

from __future__ import annotations

from pathlib import Path

import gymnasium

from inhabit.bindings.rl.in_process import catalog

EXPECTED_PACKS = ("doom-take-cover",)
"""Names that are known even where the pack is not: making one without a pack then tells how to get it."""

SINGLE = "inhabit.bindings.env:WorldEnv"
BATCHED = "inhabit.bindings.vector_env:make_vector_env"


def register_worlds() -> None:
    """Register inhabit/NAME-v0 for each pack, and inhabit/World-v0. Calling it again adds packs that came since."""
    for name in sorted({*catalog().shipped_packs(), *EXPECTED_PACKS}):
        _register(env_id_of(name), {"pack": name})
    _register("inhabit/World-v0", {})


def env_id_of(pack: str) -> str:
    """The id of a pack that ships, such as "inhabit/doom-center-v0"."""
    return f"inhabit/{pack}-v0"


def find_wanted(pack: str | Path) -> Path:
    """A pack's folder. Raises PackError; for a pack that is known but not here it tells how to make one."""
    if str(pack) in EXPECTED_PACKS and str(pack) not in catalog().shipped_packs() and not Path(pack).exists():
        raise catalog().PackError(
            f"Expected the pack {str(pack)!r}, it is not in this installation: `inhabit experiment take-cover` makes "
            f'one; give its folder, gymnasium.make("{env_id_of(str(pack))}", pack="OUT/world")'
        )
    return catalog().find_pack(str(pack))


def _register(env_id: str, arguments: dict[str, str]) -> None:
    if env_id not in gymnasium.registry:
        gymnasium.register(env_id, entry_point=SINGLE, vector_entry_point=BATCHED, kwargs=arguments)
