"""The figures of the C client are measured on real frames."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from inhabit.bindings.c import build

BUILD_FOLDER = Path(__file__).parents[2] / "build" / "c"


@pytest.mark.slow
def test_report_has_a_row_for_each_transport_and_layout(tmp_path):
    if reason := build.missing_tools(python=True):
        pytest.skip(reason)
    sizes = ["--width", "160", "--height", "96", "--frames", "20"]
    places = ["--build", str(BUILD_FOLDER), "--report", str(tmp_path / "report.json")]
    command = [sys.executable, "-m", "inhabit.bindings.c.measure", *sizes, *places]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())["c_client"]
    assert {(row["transport"], row["pixels"]) for row in report["rows"]} == {
        (transport, pixels) for transport in ("tcp", "ipc") for pixels in ("rgb8", "rgba8, bottom up")
    }
    assert all(0 < row["step_ms_p50"] <= row["step_ms_p99"] for row in report["rows"])
    assert all(row["free_cpu_ms"] > 0 and row["ring_cpu_ms"] > 0 for row in report["rows"])
    assert done.stdout.count("a step") == 4
