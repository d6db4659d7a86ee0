"""The built wheel in an empty virtual environment without torch: it holds the default pack and reaches a world."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("bridge", "worldmodel", "bindings", "demos", "commands")
CLIENT = """
import importlib.util, sys
from inhabit.bridge.client import RemoteWorld
from inhabit.bridge.controls import Controls
assert importlib.util.find_spec("torch") is None
world = RemoteWorld(sys.argv[1])
world.reset(seed=1)
for _ in range(20):
    frame = world.step(Controls(held=frozenset({"ArrowRight"})))
print(frame.index, frame.pixels.shape)
world.close()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(command, check=True, cwd=folder)
    (path,) = folder.glob("inhabit-*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_the_folders_and_the_default_pack(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    on_disk = {f"inhabit/{path.relative_to(ROOT).as_posix()}" for f in FOLDERS for path in (ROOT / f).rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == on_disk
    assert "inhabit/worldmodel/packs/doom-center/world.json" in names
    assert "inhabit/worldmodel/packs/doom-center/dynamics.safetensors" in names
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"inhabit"}


@pytest.mark.slow
def test_a_client_without_torch_steps_a_remote_world(wheel, tmp_path):
    from inhabit.bridge.supervisor import Supervisor

    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel], check=True)
    with Supervisor(["serve", "toy"]) as sidecar:
        command = [python, "-c", CLIENT, sidecar.wait_until_listening()]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "20 (48, 64, 3)"
