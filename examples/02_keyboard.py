"""The smallest window of your own: pygame keys in, frames out. First: `inhabit serve doom-center`.

python examples/02_keyboard.py tcp://127.0.0.1:7777 [SECONDS]
"""

import sys
import time

import pygame

from inhabit.bridge.client import LiveWorld
from inhabit.bridge.controls import Controls

if len(sys.argv) < 2:
    sys.exit(__doc__)

KEYS = {pygame.K_LEFT: "ArrowLeft", pygame.K_RIGHT: "ArrowRight", pygame.K_UP: "ArrowUp", pygame.K_SPACE: "Space"}

endpoint, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 1e9
window = pygame.display.set_mode((768, 576))
frames, ends = 0, time.monotonic() + seconds
with LiveWorld(endpoint) as world:
    while time.monotonic() < ends and not any(event.type == pygame.QUIT for event in pygame.event.get()):
        down = pygame.key.get_pressed()
        world.send(Controls(held=frozenset(name for key, name in KEYS.items() if down[key])))
        frame = world.poll(timeout_s=0.02)  # asking for a frame tells the sidecar that we are ready to draw it
        if frame is None:
            continue
        frames += 1
        picture = pygame.image.frombuffer(frame.pixels.tobytes(), (world.info.width, world.info.height), "RGB")
        window.blit(pygame.transform.scale(picture, window.get_size()), (0, 0))
        pygame.display.flip()
print(f"{frames} frames of {world.info.title or world.info.name}")
