"""Make the README's picture: real play of a pack's source above, its dream under the same inputs below.

.venv/bin/python scripts/picture.py doom-center docs/images/doom-center.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from inhabit.worldmodel.catalog import find_pack
from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.evaluate.reality import cache_folder, record_fresh
from inhabit.worldmodel.evaluate.rollout import CONTEXT_FRAMES, roll_out, side_by_side, windows_for
from inhabit.worldmodel.evaluate.sheets import contact_sheet
from inhabit.worldmodel.neural_world import choose_device
from inhabit.worldmodel.pack import load_pack
from inhabit.worldmodel.train.autoencoder import encode_all

SEEDS = range(1_000_000, 1_000_024)
HORIZONS = (2, 4, 8, 12, 16, 24, 32)
SESSIONS = 3
NEAR_PX = 14
"""Show dreams that begin with an object at least this tall in view."""


def main(pack_name: str, out: Path) -> None:
    pack = load_pack(find_pack(pack_name))
    engine = Engine.of(pack, choose_device())
    footage = record_fresh(pack.file.source, pack.file.info, SEEDS, judge_seeds=32, cache=cache_folder()).test
    starts = windows_for(footage, HORIZONS[-1], 400)
    near = [s for s in starts if (footage.boxes_of(int(s) + CONTEXT_FRAMES - 1)[:, 4] >= NEAR_PX).any()]
    chosen = np.array(near or starts)[np.linspace(0, len(near or starts) - 1, SESSIONS).astype(int)]
    dreams = roll_out(engine, footage, encode_all(engine.autoencoder, footage, engine.device), chosen, HORIZONS[-1])
    rows = [row for session in range(len(chosen)) for row in side_by_side(dreams, footage, session, HORIZONS)]
    print(f"{contact_sheet(rows, out)}: frames 0, {', '.join(map(str, HORIZONS))}; real above, dreamt below")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
