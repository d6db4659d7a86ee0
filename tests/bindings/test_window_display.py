"""A real window on a real X server (Xvfb), with keys and mouse sent by xdotool from outside the process."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCREEN_NUMBER = 87
PROGRAM = """
import sys, pathlib
from inhabit.bindings.window import Connection, Pane, PlayLoop, WindowOptions
import pygame
pane = Pane(Connection("toy", endpoint=sys.argv[1]))
loop = PlayLoop([pane], WindowOptions(scale=8, folder=pathlib.Path(sys.argv[2])))
told = False
while not loop.done:
    loop.turn()
    if pane.frame and not told:
        told = True
        print(pygame.display.get_wm_info()["window"], flush=True)
loop.close()
print([row.text for row in pane.log.rows], flush=True)
"""

pytestmark = [
    pytest.mark.display,
    pytest.mark.skipif(not (shutil.which("Xvfb") and shutil.which("xdotool")), reason="Xvfb or xdotool is missing"),
]


@pytest.fixture
def x_display():
    server = subprocess.Popen(
        ["Xvfb", f":{SCREEN_NUMBER}", "-screen", "0", "1280x960x24", "-nolisten", "tcp"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    socket = Path(f"/tmp/.X11-unix/X{SCREEN_NUMBER}")
    until = time.monotonic() + 10
    while not socket.exists() and time.monotonic() < until:
        time.sleep(0.05)
    yield f":{SCREEN_NUMBER}"
    server.terminate()
    server.wait(10)


@pytest.fixture
def toy_endpoint():
    sidecar = subprocess.Popen(
        [sys.executable, "-m", "inhabit.commands", "serve", "toy"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert sidecar.stdout is not None
    yield json.loads(sidecar.stdout.readline())["endpoint"]
    sidecar.terminate()
    sidecar.wait(10)
    sidecar.stdout.close()


def test_keys_from_outside_reach_the_world_and_escape_twice_leaves(x_display, toy_endpoint, tmp_path):
    environment = {**os.environ, "DISPLAY": x_display}
    environment.pop("SDL_VIDEODRIVER", None)
    player = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, toy_endpoint, str(tmp_path)],
        env={**environment, "PYGAME_HIDE_SUPPORT_PROMPT": "1"}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert player.stdout is not None
    try:
        window = player.stdout.readline().strip()

        def tool(*arguments: str) -> None:
            subprocess.run(["xdotool", *arguments], env=environment, check=True, timeout=10)

        tool("windowfocus", window)
        tool("keydown", "Right", "sleep", "0.5", "keyup", "Right")
        tool("key", "space", "sleep", "0.2", "key", "F1", "sleep", "0.2", "key", "F12", "sleep", "0.5")
        tool("windowsize", window, "700", "500", "sleep", "0.3", "key", "F2", "sleep", "0.3", "key", "Escape")
        tool("sleep", "0.2", "key", "Escape", "sleep", "0.2", "key", "Escape")
        told, _ = player.communicate(timeout=20)
    finally:
        player.kill()
        player.wait(10)
    assert player.returncode == 0
    for text in ("ArrowRight down", "ArrowRight up", "Space"):
        assert text in told
    assert "F1" not in told
    assert len(list(tmp_path.glob("toy-*.png"))) == 1
