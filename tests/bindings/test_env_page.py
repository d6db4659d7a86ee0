"""What docs/rl.md shows runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import gymnasium
import pytest

pytest.importorskip("torch")
PAGE = Path(__file__).parents[2] / "docs" / "rl.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_a_snippet_runs(number, env_pack):
    if "doom:" in SNIPPETS[number]:
        pytest.importorskip("vizdoom")
    here = SNIPPETS[number].replace("packs/mine", env_pack.as_posix()).replace("num_envs=64", "num_envs=2")
    names: dict[str, object] = {}
    exec(here, names)
    for one in names.values():
        if isinstance(one, gymnasium.Env | gymnasium.vector.VectorEnv):
            one.close()


def test_the_page_has_snippets():
    assert len(SNIPPETS) == 2
