"""Connect to a running sidecar and step its world. First, in another terminal: `inhabit serve doom-center`.

python examples/01_connect.py tcp://127.0.0.1:7777
"""

import sys

from inhabit.bridge.client import RemoteWorld
from inhabit.bridge.controls import Controls

if len(sys.argv) < 2:
    sys.exit(__doc__)

world = RemoteWorld(sys.argv[1])
print(f"{world.info.title}: {world.info.width}x{world.info.height}, actions {', '.join(world.info.actions.names)}")

frame = world.reset(seed=1)
for _ in range(50):
    frame = world.step(Controls(held=frozenset({"ArrowRight"})))
print(f"frame {frame.index}: {frame.pixels.shape}, mean colour {frame.pixels.mean((0, 1)).round()}")
world.close()
