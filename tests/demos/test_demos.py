"""Every demo runs as its first lines say, without a screen, and what it writes shows the world."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DEMOS = Path(__file__).parents[2] / "demos"


def run(name: str, *arguments: object, code: int = 0, timeout_s: float = 120.0) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment |= {"SDL_AUDIODRIVER": "dummy"}
    environment.pop("SDL_VIDEODRIVER", None)
    command = [sys.executable, "-m", f"inhabit.demos.{name}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=environment)
    assert done.returncode == code, done.stderr
    assert "pygame" not in done.stdout  # its greeting
    return done.stdout if not code else done.stderr


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def moments(path: Path) -> np.ndarray:
    """The six pictures of a page, (6, height, width, 3)."""
    page = picture(path)
    height, width = page.shape[0] // 2, page.shape[1] // 3
    return np.stack([page[y : y + height, x : x + width] for y in (0, height) for x in (0, width, 2 * width)])


def bright(pixels: np.ndarray) -> np.ndarray:
    """Where something is as bright as the toy's square and as nothing else."""
    return pixels.max(-1) > 90


def test_every_demo_is_short():
    assert all(len(path.read_text().splitlines()) <= 150 for path in DEMOS.glob("*.py"))


def needs_opengl() -> None:
    pytest.importorskip("moderngl", reason="moderngl is not installed")
    from inhabit.bindings.view import headless_context
    from inhabit.bridge.errors import InhabitError

    try:
        headless_context().release()
    except InhabitError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_the_screen_shows_the_world_inside_the_room(tmp_path):
    needs_opengl()
    out = tmp_path / "screen.png"
    assert "frames of toy" in run("screen", "toy", "--headless", "--seconds", 2, "--out", out)
    shots = moments(out)
    assert shots.shape[1:3] == (720, 1280)
    for shot in shots:
        middle = bright(shot[100:500, 300:980])
        assert 20 < middle.sum() < 20_000  # the square on the screen, and the screen is a part of the room
    assert np.abs(shots[0] - shots[2]).mean() > 1  # the camera goes round


@pytest.mark.slow
def test_the_screen_may_be_a_film(tmp_path):
    needs_opengl()
    import av

    out = tmp_path / "screen.mp4"
    run("screen", "toy", "--headless", "--seconds", 1, "--out", out)
    with av.open(str(out)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 30


@pytest.mark.slow
@pytest.mark.openxr
@pytest.mark.parametrize("mode", ["screen", "inhabit"])
def test_the_headset_shows_the_world_to_both_eyes(tmp_path, mode):
    pytest.importorskip("xr", reason="pyopenxr is not installed")
    from inhabit.bindings.headset.monado import monado_missing

    if reason := monado_missing():
        pytest.skip(reason)
    out = tmp_path / "headset.png"
    assert f", {mode}" in run("headset", "toy", "--mode", mode, "--headless", "--seconds", 2, "--out", out)
    for shot in moments(out):
        left, right = np.split(shot, 2, axis=1)
        assert bright(left).sum() > 20
        assert bright(right).sum() > 20
        assert abs(int(bright(left).sum()) - int(bright(right).sum())) < 0.5 * bright(left).sum()


@pytest.mark.slow
@pytest.mark.parametrize("steering", ["driver", "vote"])
def test_the_crowd_moves_one_world_together(tmp_path, steering):
    out = tmp_path / "crowd.png"
    told = run("crowd", "toy", "--bots", 4, "--steering", steering, "--headless", "--seconds", 5, "--out", out)
    assert "5 people in the room" in told
    shots = moments(out)
    squares = {tuple(np.nonzero(bright(shot[:, :700]).any(0))[0][[0, -1]]) for shot in shots}
    assert len(squares) > 1  # somebody moved it
    roster = [bright(shot[:, 720:]).sum() for shot in shots]
    assert max(roster) > 500  # names are there


@pytest.mark.slow
def test_the_portal_leads_into_the_world_and_back(tmp_path):
    needs_opengl()
    out = tmp_path / "portal.png"
    assert "through the portal 1 times" in run("portal", "toy", "--headless", "--seconds", 6, "--out", out)
    shots = moments(out)
    assert 100 < bright(shots[0]).sum() < bright(shots[1]).sum()  # walking nearer
    for shot in shots[3:5]:
        assert not shot[:, :140].any()  # the dream fills the window, between bars
        assert bright(shot).sum() > 5000
    assert shots[5][:, :140].any()  # back in the room


@pytest.mark.slow
def test_a_neural_world_begins_in_the_picture_of_the_room(tmp_path):
    needs_opengl()
    pytest.importorskip("torch")
    import av

    out = tmp_path / "portal.mp4"
    assert "through the portal 1 times" in run("portal", "doom-center", "--headless", "--seconds", 5, "--out", out)
    with av.open(str(out)) as film:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(video=0)]
    bars = [not (frame[:, :140] > 24).any() for frame in frames]  # a dream of 4:3 lies between black bars
    first, last = bars.index(True), len(bars) - 1 - bars[::-1].index(True)
    assert last - first > 20
    room, begun, later = (frames[place][:, 160:1120] for place in (first - 1, first, last))
    assert np.abs(begun - room).mean() < 0.85 * np.abs(later - room).mean()


@pytest.mark.slow
def test_play_records_a_clip(tmp_path):
    out = tmp_path / "clip.mp4"
    assert str(out) in run("play", "toy", "--headless", "--seconds", 1, "--out", out)
    assert picture(out.with_suffix(".png")).max() > 100


@pytest.mark.slow
def test_a_wrong_file_name_is_one_clear_line(tmp_path):
    needs_opengl()
    told = run("screen", "toy", "--headless", "--out", tmp_path / "screen.gif", code=2)
    assert told.strip().splitlines()[-1].startswith("inhabit: Expected --out to end in .mp4 or .png, got ")


@pytest.mark.parametrize("name", ["play", "screen", "portal", "crowd", "headset"])
@pytest.mark.parametrize("rest", [(), ("--headless",)])
def test_a_pack_that_is_not_there_is_one_clear_line(name, rest):
    pytest.importorskip("moderngl")
    if name == "headset":
        pytest.importorskip("xr")
    told = run(name, "doom-centre", *rest, code=2).strip().splitlines()
    assert len(told) == 1
    assert told[0].startswith("inhabit: Expected a pack (")
    assert "did you mean 'doom-center'?" in told[0]


@pytest.mark.parametrize("name", ["play", "screen", "portal", "crowd"])
def test_without_a_display_the_way_out_is_told(name):
    pytest.importorskip("moderngl")
    told = run(name, "doom-center" if name == "portal" else "toy", code=2).strip().splitlines()
    assert len(told) == 1
    assert told[0].startswith("inhabit: Expected a display for the window, got none")
    assert "`--headless --out FILE`" in told[0]


def test_a_file_that_cannot_be_written_is_told_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    told = run("play", "toy", "--headless", "--out", tmp_path / "file" / "clip.mp4", code=2)
    assert "Cannot write" in told
    assert "loading" not in told
    assert "Expected --out to end in .mp4, got x.png" in run("play", "toy", "--headless", "--out", "x.png", code=2)
