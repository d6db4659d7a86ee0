"""Learn a world from the recording of the example before, then play dream and game side by side into a picture.

python examples/04_train_your_game.py recordings/catch packs/catch [MINUTES]
"""

import sys
from pathlib import Path

import numpy as np
from catch import Catch

from inhabit.bridge.controls import Controls
from inhabit.worldmodel.evaluate.sheets import contact_sheet
from inhabit.worldmodel.neural_world import NeuralWorld
from inhabit.worldmodel.train.config import LearnConfig
from inhabit.worldmodel.train.display import Display
from inhabit.worldmodel.train.learn import learn

if len(sys.argv) < 3:
    sys.exit(__doc__)

recording, pack = Path(sys.argv[1]), Path(sys.argv[2])
minutes = float(sys.argv[3]) if len(sys.argv) > 3 else 5.0
learn(LearnConfig(recording=recording, out=pack, preset="nano", minutes=minutes), Display())

world, game, rng = NeuralWorld.open(pack), Catch(seed=9), np.random.default_rng(9)
dreamt, real = [world.reset(seed=9).pixels], [game.reset()]
for index in range(1, 96):
    push = (float(index % 32 < 12), float(index % 32 >= 20))  # left, wait, right
    dreamt.append(world.step(Controls(action=push)).pixels)
    real.append(game.step(*map(bool, push))[0])
sheet = contact_sheet([real[::8], dreamt[::8]], pack / "game_above_dream_below.png", zoom=2)
print(f"the game above, the dream below: {sheet}\nplay it: inhabit play {pack}")
