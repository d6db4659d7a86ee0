"""Real engines show a real sidecar's world, and a key changes it: on a screen without a monitor (Xvfb), looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageGrab

from inhabit.bindings.c import build

pytestmark = pytest.mark.engine
ROOT = Path(__file__).parents[2]
ENGINES = ROOT / "examples" / "engines"
BUILD_FOLDER = ROOT / "build" / "c"
WIDTH, HEIGHT, SCALE, SQUARE, GROUND = 64, 48, 10, 8, (0x18, 0x18, 0x18)
PATIENCE_S = 30


def require(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed, run `scripts/system engines`")


@pytest.fixture(scope="module")
def libraries() -> Path:
    if reason := build.missing_tools():
        pytest.skip(reason)
    return build.libraries(BUILD_FOLDER)


class Screen:
    """An X server of the size of the engines' windows, its picture and its keyboard."""

    def __init__(self, display: str):
        self.environment = {
            **os.environ, "DISPLAY": display, "LIBGL_ALWAYS_SOFTWARE": "1", "ALSOFT_DRIVERS": "null",
            "SDL_AUDIODRIVER": "dummy",
        }  # fmt: skip
        self.display = display

    def world(self) -> np.ndarray:
        """What is shown, one pixel for each of the world's; checked to be nothing but whole pixels of it."""
        shown = np.asarray(ImageGrab.grab(xdisplay=self.display).convert("RGB"))
        small = shown[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE]
        assert small.shape == (HEIGHT, WIDTH, 3)
        assert np.array_equal(small.repeat(SCALE, 0).repeat(SCALE, 1), shown), "each pixel is a square of 10 by 10"
        return small

    def do(self, *words: object) -> None:
        subprocess.run(["xdotool", *map(str, words)], env=self.environment, check=True, timeout=20)


@pytest.fixture
def screen() -> Iterator[Screen]:
    require("Xvfb", "xdotool")
    read, write = os.pipe()
    size = f"{WIDTH * SCALE}x{HEIGHT * SCALE}x24"
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", size, "-nolisten", "tcp", "-noreset"]
    with subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL) as server:
        os.close(write)
        with os.fdopen(read) as told:
            number = told.readline().strip()
        assert number, "Xvfb did not start"
        yield Screen(f":{number}")
        server.terminate()


@contextmanager
def running(command: list[object], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("w") as out:
        process = subprocess.Popen([str(word) for word in command], env=environment, stdout=out, stderr=out)
        try:
            yield
            assert process.poll() is None, log.read_text()
        except AssertionError as error:
            raise AssertionError(f"{error}\n{log.read_text()[-3000:]}") from error
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def square_x(picture: np.ndarray) -> int | None:
    """Where the toy world's square is; None unless the picture is that world's to the last pixel."""
    x = np.flatnonzero((picture != GROUND).any((0, 2)))
    y = np.flatnonzero((picture != GROUND).any((1, 2)))
    if x.size != SQUARE or y.tolist() != list(range(20, 28)):
        return None
    square = picture[20:28, x[0] : x[0] + SQUARE]
    return int(x[0]) if (square == square[0, 0]).all() else None


def wait_for(screen: Screen, happened: Callable[[int], bool], what: str) -> int:
    deadline, seen = time.monotonic() + PATIENCE_S, "no world"
    while time.monotonic() < deadline:
        try:
            x = square_x(screen.world())
            seen = f"a square at {x}"
        except AssertionError as error:
            x, seen = None, str(error)
        if x is not None and happened(x):
            return x
        time.sleep(0.1)
    raise AssertionError(f"Expected {what}, got {seen}")


def check_engine(screen: Screen) -> None:
    """A world in the middle at first; it goes left and right with the keys, and stays when they are up."""
    screen.do("mousemove", 300, 200)
    middle = wait_for(screen, lambda x: x == (WIDTH - SQUARE) // 2, "the world with its square in the middle")
    screen.do("keydown", "Left")
    left = wait_for(screen, lambda x: x < middle - 10, "a square further left")
    screen.do("keyup", "Left")
    screen.do("keydown", "Right")
    wait_for(screen, lambda x: x > left + 10, "a square further right")
    screen.do("keyup", "Right")
    time.sleep(0.5)
    rest = wait_for(screen, lambda x: True, "a world")
    time.sleep(0.3)
    assert wait_for(screen, lambda x: True, "a world") == rest


def test_love(screen, libraries, toy_endpoint, tmp_path):
    require("love")
    command = ["love", ENGINES / "love", toy_endpoint, build.FOLDER, libraries / "libinhabit.so"]
    with running(command, screen.environment, tmp_path / "log"):
        check_engine(screen)


def test_love_with_everything_in_its_folder(screen, libraries, toy_endpoint, tmp_path):
    """As docs/embed.md tells it: the header and the library lie in the game's folder."""
    require("love")
    game = shutil.copytree(ENGINES / "love", tmp_path / "game")
    shutil.copy(build.HEADER, game)
    shutil.copy(libraries / "libinhabit.so", game)
    with running(["love", game, toy_endpoint], screen.environment, tmp_path / "log"):
        wait_for(screen, lambda x: True, "a world")


def godot_headers() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = Path(os.environ.get("INHABIT_GDNATIVE", cache / "inhabit" / "gdnative-3.2.3"))
    if not (folder / "gdnative_api_struct.gen.h").is_file():
        pytest.skip("the GDNative headers are not there, run `scripts/gdnative`")
    return folder


def test_godot3(screen, libraries, toy_endpoint, tmp_path):
    require("godot3-runner")
    headers = godot_headers()
    project = shutil.copytree(ENGINES / "godot3", tmp_path / "project")
    flags = ["-std=gnu11", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-DINHABIT_STATIC"]
    compile_ = [
        "cc",
        *flags,
        f"-I{headers}",
        f"-I{build.FOLDER}",
        project / "inhabit_godot.c",
        libraries / "libinhabit.a",
    ]
    subprocess.run([*compile_, "-lzmq", "-lpthread", "-lm", "-o", project / "libinhabit_godot.so"], check=True)
    environment = {**screen.environment, "INHABIT_ENDPOINT": toy_endpoint, "HOME": str(tmp_path)}
    with running(["godot3-runner", "--path", project, "--audio-driver", "Dummy"], environment, tmp_path / "log"):
        check_engine(screen)


@pytest.mark.slow
def test_godot3_builds_with_cmake(tmp_path):
    if reason := build.missing_tools():
        pytest.skip(reason)
    options = [f"-DGDNATIVE={godot_headers()}", f"-DGODOT_PROJECT={tmp_path}"]
    subprocess.run(["cmake", "-S", ENGINES / "godot3", "-B", tmp_path / "built", *options], check=True)
    subprocess.run(["cmake", "--build", tmp_path / "built", "--target", "inhabit_godot", "--parallel", "2"], check=True)
    assert (tmp_path / "libinhabit_godot.so").is_file()


def test_panda3d(screen, toy_endpoint, tmp_path):
    if find_spec("panda3d") is None:
        pytest.skip('panda3d is not installed, run `pip install "inhabit[engines]"`')
    command = [sys.executable, ENGINES / "panda3d" / "world.py", toy_endpoint]
    with running(command, screen.environment, tmp_path / "log"):
        check_engine(screen)


def test_mono(libraries, toy_endpoint, tmp_path):
    require("mono", "mcs")
    host = tmp_path / "host.exe"
    sources = [ENGINES / "csharp" / name for name in ("Inhabit.cs", "Host.cs")]
    subprocess.run(["mcs", "-warnaserror", f"-out:{host}", *sources], check=True)
    squares, environment = {}, {**os.environ, "LD_LIBRARY_PATH": str(libraries)}
    for key in ("ArrowLeft", "KeyQ", "ArrowRight"):
        command = ["mono", host, toy_endpoint, tmp_path / "picture.ppm", key, "20"]
        out = subprocess.run(command, env=environment, check=True, capture_output=True)
        assert out.stdout.startswith(b"A square that the arrows move, 64 x 48\n")
        squares[key] = square_x(np.asarray(Image.open(tmp_path / "picture.ppm")))
    assert squares["ArrowLeft"] < squares["KeyQ"] == (WIDTH - SQUARE) // 2 < squares["ArrowRight"]
    command = ["mono", host, "nonsense", "x", "KeyW", "1"]
    wrong = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert wrong.stderr.startswith("Expected an address such as tcp://127.0.0.1:5555")
