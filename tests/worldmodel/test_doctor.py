"""`inhabit doctor`: it answers without torch, without games and without a window, and it names the line that helps."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

import pytest

from inhabit.bridge.errors import InhabitError
from inhabit.commands.__main__ import main
from inhabit.commands.doctor import missing_extras
from inhabit.commands.worlds import games
from inhabit.worldmodel.evaluate import doctor

BARE = """
import sys
from importlib.machinery import PathFinder
missing = {"torch", "safetensors", "vizdoom", "gymnasium", "pygame", "h5py", "PIL", "matplotlib", "psutil"}
look = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name in missing else look(name, *rest)
from inhabit.commands.__main__ import main
main(sys.argv[1:])
"""


def test_it_answers_without_torch_games_and_window(pack_folder, tmp_path):
    report = tmp_path / "doctor.json"
    command = [sys.executable, "-W", "error", "-c", BARE, "doctor", str(pack_folder), "--report", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(report.read_text())
    (pack,) = said["packs"]
    assert pack["fps"] == {}
    assert 'pip install "inhabit[model]"' in pack["said"]
    assert {check["name"] for check in said["checks"]} >= {"python", "pyzmq", "msgspec", "loopback", "gpu", "display"}


def test_worlds_are_listed_without_torch_and_games(pack_folder):
    command = [sys.executable, "-W", "error", "-c", BARE, "worlds", str(pack_folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={"COLUMNS": "160"})
    assert done.returncode == 0, done.stderr
    assert "64x64" in done.stdout
    assert 'pip install "inhabit[doom]"' in done.stdout
    assert "toy" in done.stdout


def test_a_pack_is_timed_and_judged(pack_folder, tmp_path, capsys):
    report = tmp_path / "doctor.json"
    main(["doctor", str(pack_folder), "--seconds", "0.1", "--report", str(report)])
    (pack,) = json.loads(report.read_text())["packs"]
    assert set(pack["fps"]) == {"1", "2", "4"}
    assert pack["real_time"] == {steps: fps >= 23 for steps, fps in pack["fps"].items()}
    assert "real time at K=" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("fps", "said"),
    [
        ({1: 60.0, 2: 31.2, 4: 18.0}, "real time at K=2: yes, 31 of 17.5 fps"),
        ({1: 60.0, 2: 31.2, 4: 21.0}, "real time at K=4: yes, 21 of 17.5 fps"),
        ({1: 9.0, 2: 5.0, 4: 3.0}, "real time at K=1: no, 9 of 17.5 fps"),
    ],
)
def test_the_verdict_is_at_the_most_steps_that_keep_up(fps, said):
    assert doctor.verdict(17.5, fps) == said


def test_requirements_are_read_from_the_installed_library():
    model = dict(doctor.requirements("model"))
    assert model["torch"] >= (2, 11)
    assert "safetensors" in model
    assert doctor.requirements("no-such-extra") == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('av>=14; extra == "window"', ("av", (14,))),
        ('ruff==0.17.5; extra == "window"', ("ruff", (0, 17, 5))),
        ("plain; extra == 'window'", ("plain", (0,))),
        ('torch[opt]>=2.11,<4; extra == "window"', ("torch", (2, 11))),
    ],
)
def test_a_requirement_names_its_oldest_version(monkeypatch, line, expected):
    monkeypatch.setattr(metadata, "requires", lambda name: [line, 'other>=1; extra == "gl"', "numpy>=1.26"])
    assert doctor.requirements("window") == [expected]


def test_what_is_missing_or_too_old_names_its_line(monkeypatch):
    monkeypatch.setattr(metadata, "requires", lambda name: ['msgspec>=999; extra == "gl"', 'nope>=1; extra == "xr"'])
    old, missing = doctor._extra("gl", "draw"), doctor._extra("xr", "look")
    assert (old.health, old.fix) == ("missing", 'pip install "inhabit[gl]"')
    assert (missing.health, missing.said) == ("missing", "nope missing")


def test_sound_names_the_debian_package(monkeypatch):
    monkeypatch.setattr(doctor.ctypes.util, "find_library", lambda name: None)
    monkeypatch.setattr(sys, "platform", "linux")
    assert "libopenal1" in doctor._sound().fix


def test_a_port_that_may_not_be_taken_is_told(monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(doctor.socket, "socket", refuse)
    check = doctor._port()
    assert check.health == "broken"
    assert "Operation not permitted" in check.said


def test_what_is_no_pack_is_refused():
    with pytest.raises(InhabitError, match="Expected a pack"):
        doctor.judge_pack("no-such-pack")


def test_missing_extras_are_named_in_one_line():
    checks = [
        {"name": "window: play in a window", "health": "missing"},
        {"name": "doom: record", "health": "missing"},
        {"name": "model: run", "health": "good"},
        {"name": "dev: work", "health": "missing"},
        {"name": "display", "health": "missing"},
    ]
    assert missing_extras(checks) == ["window", "doom"]


def test_a_pack_that_nobody_measured_says_how_to(pack_folder, capsys):
    main(["worlds", str(pack_folder)])
    assert "Not measured: small. `inhabit eval PACK --write`" in " ".join(capsys.readouterr().out.split())


def test_every_kind_of_world_is_listed():
    names = {game["name"] for game in games()}
    assert "toy" in names
    assert "gym:ENV_ID" in names
    assert any(name.startswith("doom:") for name in names)
