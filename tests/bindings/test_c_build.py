"""The C client as a library: what it exports and needs, the plain C host, and the sanitizers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from inhabit.bindings.c import build

ROOT = Path(__file__).parents[2]
BUILD_FOLDER = ROOT / "build" / "c"
FIGURES = ("step_ms_p50", "step_ms_p99", "free_cpu_ms", "ring_cpu_ms")

LOCAL = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_LOCAL)
library.inhabit_last_error.restype = ctypes.c_char_p
client = ctypes.c_uint32()
assert library.inhabit_abi_version() == 0x10000
assert library.inhabit_open(b"tcp://127.0.0.1:9", None, ctypes.byref(client)) == 0, library.inhabit_last_error()
assert library.inhabit_wait(client, 50) == -5
print(library.inhabit_last_error().decode())
assert library.inhabit_close(client) == 0
try:
    ctypes.CDLL(None).inhabit_abi_version
except AttributeError:
    print("nothing leaked")
"""


@pytest.fixture(scope="module")
def libraries() -> Path:
    if reason := build.missing_tools():
        pytest.skip(reason)
    return build.libraries(BUILD_FOLDER)


def run(*command: object, timeout_s: float = 60, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=timeout_s,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_library_exports_what_the_header_declares_and_nothing_else(libraries):
    declared = set(re.findall(r"^INHABIT_API [^(;]*?(inhabit_\w+)\(", build.HEADER.read_text(), re.MULTILINE))
    lines = run("nm", "-D", "--defined-only", libraries / "libinhabit.so").splitlines()
    assert {line.split()[2] for line in lines if line.split()[1] == "T"} == declared
    assert len(declared) == 24


def test_library_needs_zeromq_and_the_system_only(libraries):
    said = run("readelf", "-d", libraries / "libinhabit.so")
    needed = set(re.findall(r"NEEDED.*\[(.+?)\]", said))
    assert {name.split(".so")[0] for name in needed} <= {"libzmq", "libc", "libm", "libpthread", "ld-linux-x86-64"}
    assert (libraries / "libinhabit.a").is_file()


def test_library_works_where_its_names_are_nobody_elses(libraries):
    out = run(sys.executable, "-c", LOCAL, libraries / "libinhabit.so")
    assert "Expected a world from tcp://127.0.0.1:9 within 50 ms, it is connecting" in out
    assert "nothing leaked" in out


def test_features_and_versions(c_module):
    lib = c_module.lib
    assert lib.inhabit_abi_version() == lib.INHABIT_ABI_MAJOR << 16 | lib.INHABIT_ABI_MINOR
    for feature in (b"lockstep", b"free", b"rgba8", b"bottom_up", b"sound", b"prompts"):
        assert lib.inhabit_has(feature) == 1
    assert lib.inhabit_has(b"teleport") == lib.inhabit_has(c_module.ffi.NULL) == 0
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert c_module.ffi.string(lib.inhabit_version()).decode() == project["version"]
    assert f"VERSION {project['version']} " in (build.FOLDER / "CMakeLists.txt").read_text()


@pytest.mark.parametrize("language", ["c99", "c11", "c++11"])
def test_header_is_plain(language, tmp_path):
    compiler = shutil.which("g++" if "+" in language else "gcc")
    if compiler is None:
        pytest.skip(f"no compiler for {language}")
    source = tmp_path / f"header.{'cpp' if '+' in language else 'c'}"
    source.write_text("#include <inhabit.h>\nint main(void) { return inhabit_abi_version() == 0; }\n")
    strict = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
    run(compiler, f"-std={language}", *strict, "-fsyntax-only", f"-I{build.FOLDER}", source)


@pytest.fixture(scope="module")
def host(libraries, tmp_path_factory) -> Path:
    """The plain C host, with the shared and with the static library."""
    folder, source = tmp_path_factory.mktemp("host"), ROOT / "examples" / "engines" / "c" / "host.c"
    compile_ = ("cc", "-Wall", "-Wextra", "-Werror", f"-I{build.FOLDER}", source)
    shared = (f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-linhabit")
    run(*compile_, *shared, "-o", folder / "host")
    run(
        *compile_,
        "-DINHABIT_STATIC",
        libraries / "libinhabit.a",
        "-lzmq",
        "-lpthread",
        "-lm",
        "-o",
        folder / "host_static",
    )
    return folder


@pytest.mark.parametrize("name", ["host", "host_static"])
def test_plain_c_host_shows_what_a_key_does(host, toy_endpoint, tmp_path, name):
    check_host(host / name, toy_endpoint, tmp_path)


@pytest.mark.slow
def test_plain_c_host_builds_with_cmake(libraries, toy_endpoint, tmp_path):
    run("cmake", "-S", ROOT / "examples" / "engines" / "c", "-B", tmp_path / "built")
    run("cmake", "--build", tmp_path / "built", "--parallel", "2")
    check_host(tmp_path / "built" / "host", toy_endpoint, tmp_path)


def check_host(program: Path, endpoint: str, folder: Path) -> None:
    squares = {}
    for key in ("KeyQ", "ArrowRight", "ArrowLeft"):
        out = run(program, endpoint, folder / f"{key}.ppm", key, 20)
        assert "A square that the arrows move, 64 x 48 at 30 frames a second" in out
        assert "RIGHT: ArrowRight KeyD" in out
        picture = Image.open(folder / f"{key}.ppm")
        assert picture.size == (64, 48)
        squares[key] = [x for x in range(64) if picture.getpixel((x, 24)) != (0x18, 0x18, 0x18)]
        assert len(squares[key]) == 8, "the square is 8 pixels wide"
    assert squares["ArrowLeft"][0] < squares["KeyQ"][0] < squares["ArrowRight"][0]


def test_plain_c_host_says_what_is_wrong(host, tmp_path):
    done = subprocess.run([host / "host", "nonsense", "x.ppm", "KeyW", "1"], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert 'Expected an address such as tcp://127.0.0.1:5555, got "nonsense"' in done.stderr


@pytest.mark.slow
def test_10000_frames_without_leak_or_undefined_behaviour(toy_endpoint, tmp_path):
    if reason := build.missing_tools():
        pytest.skip(reason)
    sanitized = build.libraries(BUILD_FOLDER, sanitize=True)
    flags = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    source = Path(__file__).with_name("c_soak.c")
    soak = tmp_path / "soak"
    run("cc", *flags, f"-I{build.FOLDER}", source, sanitized / "libinhabit.a", "-lzmq", "-lpthread", "-lm", "-o", soak)
    options = {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
    assert run(soak, toy_endpoint, 10_000, timeout_s=240, **options) == "10000 frames\n"


@pytest.mark.slow
def test_bad_calls_and_lies_under_the_sanitizers():
    """All of test_c_hostile.py again, with every load and store of the client checked."""
    if reason := build.missing_tools(python=True):
        pytest.skip(reason)
    tests = Path(__file__).with_name("test_c_hostile.py")
    preload = [run("cc", f"-print-file-name=lib{name}.so").strip() for name in ("asan", "ubsan")]
    out = run(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests, timeout_s=240,
        LD_PRELOAD=" ".join(preload), ASAN_OPTIONS="detect_leaks=0", UBSAN_OPTIONS="halt_on_error=1",
        INHABIT_C_SANITIZE="1",
    )  # fmt: skip
    assert re.search(r"\d\d passed", out), out


def test_the_page_on_embedding_compiles(tmp_path):
    """The C of docs/embed.md is C, and its figures are the report's."""
    page = (ROOT / "docs" / "embed.md").read_text()
    (source,) = re.findall(r"```c\n(.*?)```", page, re.DOTALL)
    (tmp_path / "page.c").write_text(source)
    if shutil.which("cc"):
        strict = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
        run("cc", *strict, "-std=c11", "-fsyntax-only", f"-I{build.FOLDER}", tmp_path / "page.c")
    rows = json.loads((ROOT / "docs" / "reports" / "c-client.json").read_text())["c_client"]["rows"]
    for told in rows:
        figures = " | ".join(f"{told[name]:.1f}" for name in FIGURES)
        assert f"| {told['transport']} | {told['pixels']} | {figures} |" in page
    for path in re.findall(r"(?:examples|bindings|scripts)/[\w/.]+", page):
        assert (ROOT / path).exists(), path
