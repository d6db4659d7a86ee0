"""A neural world on a card in Panda3D. First, in another terminal: `inhabit serve toy`.

python examples/engines/panda3d/world.py tcp://127.0.0.1:7777
"""

import sys

from direct.showbase.ShowBase import ShowBase
from panda3d.core import CardMaker, KeyboardButton, SamplerState, Texture, loadPrcFileData

from inhabit.bridge.client import LiveWorld
from inhabit.bridge.controls import Controls

if len(sys.argv) < 2:
    sys.exit(__doc__)

loadPrcFileData("", "window-title A world in Panda3D\nwin-size 640 480\naudio-library-name null")
KEYS = {
    "ArrowLeft": KeyboardButton.left(), "ArrowRight": KeyboardButton.right(), "ArrowUp": KeyboardButton.up(),
    "ArrowDown": KeyboardButton.down(), "Space": KeyboardButton.space(),
    **{f"Key{letter}": KeyboardButton.ascii_key(letter.lower()) for letter in "WASDQE"},
}  # fmt: skip


class Screen(ShowBase):
    """Polls the world once a frame; nothing here waits for it."""

    def __init__(self, endpoint: str):
        super().__init__()
        self.world = LiveWorld(endpoint, client="Panda3D")
        info = self.world.info
        self.texture = Texture("world")
        self.texture.setup2dTexture(info.width, info.height, Texture.T_unsigned_byte, Texture.F_rgb)
        self.texture.setMagfilter(SamplerState.FT_nearest)
        card = CardMaker("screen")
        card.setFrameFullscreenQuad()  # any card of your scene will do: render.attachNewNode(...)
        screen = self.render2d.attachNewNode(card.generate())
        screen.setTexture(self.texture)
        self.disableMouse()
        self.taskMgr.add(self.turn, "world")
        self.exitFunc = self.world.close

    def turn(self, task):
        keyboard = self.mouseWatcherNode
        held = {name for name, key in KEYS.items() if keyboard is not None and keyboard.isButtonDown(key)}
        self.world.send(Controls(held=frozenset(held)))
        frame = self.world.poll()
        if frame is not None:
            self.texture.setRamImage(frame.pixels[::-1, :, ::-1].tobytes())  # rows from below, B G R
        return task.cont


if __name__ == "__main__":
    Screen(sys.argv[1]).run()
