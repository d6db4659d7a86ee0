"""Build the C client: its libraries with CMake, and the same sources as a Python module (cffi, API mode) for tests.

python -m inhabit.bindings.c.build FOLDER

What was built before from the same sources is used again. Needs a C compiler, CMake and libzmq's header, which
`scripts/system engines` installs on Debian.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from inhabit.bridge.errors import InhabitError

FOLDER = Path(__file__).resolve().parent
HEADER = FOLDER / "inhabit.h"
SOURCES = tuple(sorted(FOLDER.glob("*.c")))
MODULE = "inhabit_cffi"


def declarations() -> str:
    """What cffi must know, out of the header itself: all between its two C++ guards."""
    text = HEADER.read_text()
    begin, end = 'extern "C" {\n#endif\n', "#ifdef __cplusplus\n}\n"
    return text.partition(begin)[2].partition(end)[0].replace("INHABIT_API ", "")


def missing_tools(*, python: bool = False) -> str:
    """Why the C client (with `python`: the module) cannot be built here; "" when it can."""
    if python and importlib.util.find_spec("cffi") is None:
        return 'cffi is not installed, run `pip install "inhabit[engines]"`'
    if python and not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "Python's headers are not installed, run `scripts/system engines`"
    tools = [tool for tool in ("cmake", "cc") if shutil.which(tool) is None]
    if tools:
        return f"{' and '.join(tools)} not installed, run `scripts/system engines`"
    if subprocess.run(["cc", "-E", "-"], input="#include <zmq.h>", text=True, capture_output=True).returncode != 0:
        return "libzmq's header is not installed, run `scripts/system engines`"
    return ""


def libraries(folder: Path, *, sanitize: bool = False) -> Path:
    """Build libinhabit as a shared and a static library under `folder`. Returns where they lie. Raises InhabitError."""
    where = folder / f"{_digest()}{'-sanitized' if sanitize else ''}"
    if not (where / "done").is_file():
        _require_tools()
        options = ["-DCMAKE_BUILD_TYPE=Release", f"-DINHABIT_SANITIZE={'ON' if sanitize else 'OFF'}"]
        _run(["cmake", "-S", str(FOLDER), "-B", str(where), *options])
        _run(["cmake", "--build", str(where), "--parallel", "2"])
        (where / "done").touch()
    return where


def module(folder: Path, *, sanitize: bool = False) -> ModuleType:
    """Build and load the module: `.lib` has the functions of inhabit.h, `.ffi` its types. Raises InhabitError."""
    where = folder / f"{_digest()}-cffi{'-sanitized' if sanitize else ''}"
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"] if sanitize else []
    if not list(where.glob(f"{MODULE}*.so")):
        _require_tools(python=True)
        from cffi import FFI

        ffi = FFI()
        ffi.cdef(declarations())
        ffi.set_source(
            MODULE,
            '#include "inhabit.h"',
            sources=[str(source) for source in SOURCES],
            include_dirs=[str(FOLDER)],
            define_macros=[("INHABIT_STATIC", None)],
            extra_compile_args=["-std=gnu11", *checks],
            extra_link_args=checks,
            libraries=["zmq", "pthread", "m"],
        )
        ffi.compile(tmpdir=str(where))
    return _loaded(next(where.glob(f"{MODULE}*.so")))


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(MODULE, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def _digest() -> str:
    files = sorted([*SOURCES, *FOLDER.glob("*.h"), FOLDER / "CMakeLists.txt"])
    together = hashlib.sha256()
    for file in files:
        together.update(file.name.encode() + file.read_bytes())
    return together.hexdigest()[:16]


def _require_tools(*, python: bool = False) -> None:
    if reason := missing_tools(python=python):
        raise InhabitError(f"Cannot build the C client: {reason}")


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise InhabitError(
            f"Cannot build the C client: {' '.join(command)} said\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )


def main() -> int:
    if len(sys.argv) != 2:
        print("Expected a folder to build in: python -m inhabit.bindings.c.build FOLDER", file=sys.stderr)
        return 2
    try:
        where = libraries(Path(sys.argv[1]))
    except InhabitError as error:
        print(f"inhabit: {error}", file=sys.stderr)
        return 1
    print(where)
    return 0


if __name__ == "__main__":
    sys.exit(main())
