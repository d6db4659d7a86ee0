"""Record your own game: the three lines that matter are marked. The game is catch.py beside this file.

python examples/03_record_your_game.py recordings/catch [FRAMES]
"""

import sys

import numpy as np
from catch import SIZE, Catch

from inhabit.bridge.controls import ActionMap, ActionSource
from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.recordings import Recorder

if len(sys.argv) < 2:
    sys.exit(__doc__)

folder, frames = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 6000
left, right = ActionSource(name="LEFT", keys=("ArrowLeft",)), ActionSource(name="RIGHT", keys=("ArrowRight",))
info = WorldInfo(name="catch", width=SIZE, height=SIZE, rate_hz=20.0, actions=ActionMap(sources=(left, right)))

game, rng, push, hold = Catch(seed=1), np.random.default_rng(1), (0, 0), 0
with Recorder(folder, info, source="examples/catch.py") as recorder:  # 1. open it
    recorder.add(game.reset(), action=(0, 0), first=True)  # 2. the first frame of an episode
    for _ in range(frames - 1):
        if hold == 0:  # play: half of the time chase the ball, half of the time anything
            toward = game.x - game.paddle - 6
            push = (toward < -2, toward > 2) if rng.random() < 0.5 else tuple(rng.random(2) < 0.4)
            hold = int(rng.integers(1, 9))
        hold -= 1
        pixels, reward, over = game.step(bool(push[0]), bool(push[1]))
        recorder.add(pixels, action=push, reward=reward, terminated=over)  # 3. each frame, and what led to it
        if over:
            game.reset()
            recorder.add(game.draw(), action=(0, 0), first=True)
print(f"recorded {frames} frames in {folder}: inhabit train {folder} -o packs/catch --preset nano --minutes 5")
