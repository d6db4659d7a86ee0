"""Reports: what was measured, as plain JSON, and the machine that it was measured on. No torch here."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from inhabit.bridge.errors import InhabitError

DIGITS = 6
"""Significant digits of a number in a report."""


def machine(device: str = "cpu") -> dict[str, Any]:
    """Name this machine well enough to compare figures: processor, cores, system, versions, torch once it is loaded.

    Args:
        device: where the model ran, as torch names it.
    """
    said: dict[str, Any] = {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": memory_gb(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "device": device,
    }
    torch = sys.modules.get("torch")
    if torch is not None:
        said |= {"torch": str(torch.__version__), "threads": torch.get_num_threads()}
        said["wait_policy"] = os.environ.get("OMP_WAIT_POLICY", "")
        said["vectors"] = torch.backends.cpu.get_cpu_capability()
        if device.startswith("cuda"):
            said["gpu"] = torch.cuda.get_device_name(device)
    return said


def cpu_name() -> str:
    """The processor's name where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # only Linux has it
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def memory_gb() -> float | None:
    """Main memory, 10^9 bytes; None where the system does not tell."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, OSError, ValueError):  # Windows
        return None


def rss_mb() -> float | None:
    """Memory that this process holds now, 10^6 bytes; None where neither /proc nor psutil tells."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, IndexError, ValueError):
        pass
    try:
        import psutil
    except ImportError:
        return None
    return psutil.Process().memory_info().rss / 1e6


def tidy(value: Any) -> Any:
    """Make JSON of anything: numbers plain and rounded, NaN and infinity null, keys text."""
    if isinstance(value, Mapping):
        return {str(name): tidy(held) for name, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [tidy(held) for held in value]
    if hasattr(value, "tolist"):  # numpy and torch
        return tidy(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Write a report beside and rename. Raises InhabitError when the file cannot be written."""
    text = msgspec.json.format(msgspec.json.encode(tidy(report)), indent=2)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(text + b"\n")
        partial.replace(path)
    except OSError as error:
        raise InhabitError(f"Cannot write {path}: {error.strerror or error}, choose another file") from error


def make_room(path: Path) -> None:
    """Create the folder that a file will be written to, before the work begins. Raises InhabitError if it cannot be."""
    if path.is_dir():
        raise InhabitError(f"Expected a file to write, got a folder - at {path}")
    make_folder(path.parent)


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Create a folder that files will be written to. Raises InhabitError if it cannot be, or takes none."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
    except OSError as error:
        raise InhabitError(f"Cannot write to {folder}: {error.strerror or error}, choose another folder") from error
    if not os.access(folder, os.W_OK):
        raise InhabitError(f"Cannot write to {folder}: it takes no files, choose another folder")


def read_report(path: Path) -> dict[str, Any]:
    """Read a report. Raises InhabitError for a missing or damaged file."""
    try:
        report = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise InhabitError(f"Expected a report that --report wrote, got: {error} - at {path}") from error
    if not isinstance(report, dict):
        raise InhabitError(f"Expected a report that --report wrote, got a {type(report).__name__} - at {path}")
    return report
