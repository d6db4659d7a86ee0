"""Every example runs as its first line says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inhabit.bridge.supervisor import Supervisor

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, *arguments: object, timeout_s: float = 60.0) -> str:
    environment = {**os.environ, "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def endpoint():
    with Supervisor(["serve", "toy"]) as sidecar:
        yield sidecar.wait_until_listening()


def test_examples_are_short_and_tested():
    tested = {"catch.py", "01_connect.py", "02_keyboard.py", "03_record_your_game.py", "04_train_your_game.py"}
    tested |= {"plan_in_a_dream.py", "ppo_in_a_dream.py"}
    assert {path.name for path in EXAMPLES.glob("*.py")} == tested
    assert all(len(path.read_text().splitlines()) <= 60 for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("01_connect.py", ""),
        ("02_keyboard.py", "pygame"),
        ("03_record_your_game.py", "h5py"),
        ("04_train_your_game.py", "torch"),
        ("plan_in_a_dream.py", "gymnasium"),
        ("ppo_in_a_dream.py", "torch"),
    ],
)
def test_without_arguments_an_example_says_how_it_is_used(name, needs):
    if needs:
        pytest.importorskip(needs)
    done = subprocess.run([sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"python examples/{name}" in done.stderr
    assert "Traceback" not in done.stderr


def test_connect(endpoint):
    assert "frame 50: (48, 64, 3)" in run("01_connect.py", endpoint)


def test_keyboard(endpoint):
    out = run("02_keyboard.py", endpoint, 2)
    assert "frames of A square that the arrows move" in out
    assert int(out.splitlines()[-1].split()[0]) > 0


@pytest.mark.slow
def test_record_and_train_your_own_game(tmp_path):
    from inhabit.worldmodel.recordings import read_shards

    run("03_record_your_game.py", tmp_path / "recording", 2500)
    shards = list(read_shards(tmp_path / "recording"))
    assert sum(map(len, shards)) >= 2500
    assert sum(float(shard.rewards.sum()) for shard in shards) > 0
    out = run("04_train_your_game.py", tmp_path / "recording", tmp_path / "pack", 0.7, timeout_s=300)
    assert (tmp_path / "pack" / "world.json").is_file()
    assert Path(out.splitlines()[-2].split(": ")[1]).is_file()


@pytest.mark.slow
def test_plan_and_learn_in_a_dream():
    out = run("plan_in_a_dream.py", "doom-center", 1, timeout_s=200)
    assert "1 frames, 384 imagined" in out
    out = run("ppo_in_a_dream.py", "doom-center", 512, timeout_s=200)
    assert out.count("mean return") == 1
