"""The doctor: what will run here, how fast, and what is missing. Needs nothing but the library's own requirements.

Nothing is downloaded and no world is started; each shipped pack is run for a few seconds if torch is there.
"""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import platform
import re
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.report import machine
from inhabit.worldmodel.catalog import find_pack, read_header, require_torch, shipped_packs

Health = Literal["good", "missing", "broken"]

EXTRAS = {
    "model": "run and train worlds",
    "window": "play in a window",
    "doom": "record and play the real Doom",
    "gym": "record and play Gymnasium environments",
    "gl": "show frames through OpenGL",
    "xr": "play in a headset",
    "dev": "work on the library",
}
"""What each optional part is for."""

OLDEST_PYTHON = (3, 11)

HEADROOM = 1.15
"""How much faster than its own rate a world must be to be called real time: the wire and the window want their part."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    health: Health
    said: str
    """What is there."""
    fix: str = ""
    """The line that mends it; empty where nothing needs to be done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PackVerdict:
    """How one pack runs here."""

    name: str
    rate_hz: float
    fps: Mapping[int, float]
    """Frames a second at each number of sampling steps; empty where it could not be measured."""
    said: str

    @property
    def real_time(self) -> dict[int, bool]:
        return {steps: fps >= HEADROOM * self.rate_hz for steps, fps in self.fps.items()}


def examine() -> list[Check]:
    """Look at everything but the packs. Takes about a second."""
    checks = [_python(), *_wire(), _port()]
    checks += [_extra(name, purpose) for name, purpose in EXTRAS.items()]
    return [*checks, _sound(), _display(), _gpu()]


def judge_pack(spec: str, *, seconds: float = 1.5) -> PackVerdict:
    """Run a pack for `seconds` at each number of sampling steps and compare with its own rate.

    Raises PackError for what is not a pack.
    """
    folder = find_pack(spec)
    header = read_header(folder)
    name, rate = header.info.name, header.info.rate_hz
    try:
        fps = _rates(folder, seconds)
    except (ImportError, OSError) as error:  # torch is there, but its libraries do not load
        return PackVerdict(name=name, rate_hz=rate, fps={}, said=f"not measured: {_short(error)}")
    except InhabitError as error:
        return PackVerdict(name=name, rate_hz=rate, fps={}, said=str(error))
    return PackVerdict(name=name, rate_hz=rate, fps=fps, said=verdict(rate, fps))


def verdict(rate_hz: float, fps: Mapping[int, float]) -> str:
    """Say in one line whether a world keeps its own rate with some headroom, at the most sampling steps that do."""
    keeps = [steps for steps, value in fps.items() if value >= HEADROOM * rate_hz]
    steps = max(keeps) if keeps else min(fps)
    answer = "yes" if keeps else "no"
    return f"real time at K={steps}: {answer}, {fps[steps]:.0f} of {rate_hz:g} fps"


def diagnose(packs: Sequence[str] = (), *, seconds: float = 1.5) -> dict[str, Any]:
    """Everything as a report: `checks`, `packs` and `machine`. With no `packs`, the shipped ones are judged."""
    checks = examine()
    verdicts = [judge_pack(spec, seconds=seconds) for spec in packs or shipped_packs()]
    return {
        "checks": [asdict(check) for check in checks],
        "packs": [{**asdict(said), "real_time": said.real_time} for said in verdicts],
        "machine": machine(),
    }


def _python() -> Check:
    said = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if sys.version_info >= OLDEST_PYTHON:
        return Check(name="python", health="good", said=said)
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return Check(name="python", health="broken", said=said, fix=f"install Python {oldest} or newer")


def _wire() -> list[Check]:
    """The two libraries that the bridge is made of."""
    checks = []
    for module, package in (("zmq", "pyzmq"), ("msgspec", "msgspec")):
        version = _version(package)
        if version is None or importlib.util.find_spec(module) is None:
            checks.append(Check(name=package, health="missing", said="not installed", fix="pip install inhabit"))
        else:
            checks.append(Check(name=package, health="good", said=version))
    return checks


def _port() -> Check:
    """Whether a sidecar could listen: it takes a free port of this machine's own address."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(1)
            return Check(
                name="loopback",
                health="good",
                said=f"127.0.0.1 can be listened on (tried port {listener.getsockname()[1]})",
            )
    except OSError as error:
        fix = "allow local TCP connections (a sandbox or firewall forbids them)"
        return Check(name="loopback", health="broken", said=f"127.0.0.1: {error.strerror or error}", fix=fix)


def _extra(name: str, purpose: str) -> Check:
    """Whether what an optional part needs is installed, and recent enough."""
    wanted = requirements(name)
    have = {package: _version(package) for package, _ in wanted}
    lacking = [package for package, oldest in wanted if not _at_least(have[package], oldest)]
    label, line = f"{name}: {purpose}", f'pip install "inhabit[{name}]"'
    if not wanted:
        return Check(name=label, health="missing", said="unknown to the installed inhabit", fix=line)
    said = ", ".join(f"{package} {have[package] or 'missing'}" for package, _ in wanted)
    return Check(name=label, health="missing" if lacking else "good", said=said, fix=line if lacking else "")


def requirements(extra: str) -> list[tuple[str, tuple[int, ...]]]:
    """Packages of an extra and the oldest version of each that will do, as the installed inhabit declares them."""
    try:
        lines = metadata.requires("inhabit") or []
    except metadata.PackageNotFoundError:
        return []
    found = []
    for line in lines:
        if not re.search(rf"""extra\s*==\s*['"]{extra}['"]""", line):
            continue
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?[^;]*?(?:[>=]=\s*([0-9.]+))?[^;]*;", line)
        if match and match[1] != "inhabit":
            found.append((match[1], _numbers(match[2] or "0")))
    return found


def _sound() -> Check:
    """ViZDoom plays through OpenAL, which pip does not bring on Linux."""
    library = ctypes.util.find_library("openal") or ctypes.util.find_library("OpenAL32")
    if library or sys.platform != "linux":
        return Check(name="sound of the real Doom", health="good", said=library or "comes with ViZDoom")
    fix = "sudo apt-get install libopenal1   (Debian, Ubuntu)"
    return Check(name="sound of the real Doom", health="missing", said="no OpenAL library", fix=fix)


def _display() -> Check:
    name = next((name for name in ("WAYLAND_DISPLAY", "DISPLAY") if os.environ.get(name)), "")
    if name or sys.platform in ("win32", "darwin"):
        return Check(name="display", health="good", said=f"{name}={os.environ[name]}" if name else sys.platform)
    fix = "without one, `inhabit play` records a clip instead"
    return Check(name="display", health="missing", said="none (DISPLAY and WAYLAND_DISPLAY are not set)", fix=fix)


def _gpu() -> Check:
    driver = shutil.which("nvidia-smi") is not None
    if importlib.util.find_spec("torch") is None:
        said = "a driver is there (nvidia-smi)" if driver else "none seen"
        return Check(name="gpu", health="missing", said=f"{said}; without torch it cannot be used")
    try:
        import torch
    except (ImportError, OSError) as error:
        line = 'pip install --force-reinstall "inhabit[model]"'
        return Check(name="gpu", health="broken", said=f"torch does not load: {_short(error)}", fix=line)
    if torch.cuda.is_available():
        return Check(name="gpu", health="good", said=f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    fix = "install the CUDA build of torch: https://pytorch.org/get-started/locally" if driver else ""
    said = "torch does not see the GPU" if driver else "none, worlds run on the CPU"
    return Check(
        name="gpu", health="broken" if driver else "missing", said=f"{said} (torch {torch.__version__})", fix=fix
    )


def _rates(folder: Path, seconds: float) -> dict[int, float]:
    require_torch()
    from inhabit.worldmodel.evaluate import speed
    from inhabit.worldmodel.neural_world import choose_device
    from inhabit.worldmodel.pack import load_pack

    return speed.quick_rates(speed.from_pack(load_pack(folder), choose_device()), seconds=seconds)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _at_least(version: str | None, oldest: tuple[int, ...]) -> bool:
    return version is not None and _numbers(version) >= oldest


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "2.13.0+cpu" is (2, 13, 0)."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _short(error: BaseException) -> str:
    return str(error).splitlines()[0][:160] if str(error) else type(error).__name__
