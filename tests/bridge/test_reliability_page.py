"""docs/reliability.md names tests that exist, and figures that its reports have."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def report(name):
    return json.loads((ROOT / "docs" / "reports" / name).read_text())


def test_every_test_that_is_named_exists():
    files = {path.stem: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")}
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named
    for name in named:
        assert name in files or f"def {name}_" in files["test_faults"], name


def test_figures_are_those_of_the_reports():
    kills, room = report("reliability-kills.json"), report("reliability-room.json")
    fuzz, soak, speed = report("reliability-fuzz.json"), report("reliability-soak.json"), report("bridge-speed.json")
    assert f"{kills['resumed']} sessions resumed, {kills['torn']} of {kills['frames']} frames torn" in PAGE
    assert f"{1000 * kills['noticed_s_p50']:.0f} ms (median), {1000 * kills['noticed_s_max']:.0f} ms at most" in PAGE
    assert f"{room['fps_least_share']:.1f} frames a second for the slowest" in PAGE
    assert f"{fuzz['messages']:,} broken messages | {fuzz['unhandled']} unhandled exceptions" in PAGE
    assert f"memory {soak['rss_mb_begin']:.1f} to {soak['rss_mb_end']:.1f} MB" in PAGE
    rows = [row for row in report("together.json")["rows"] if row["threads"] == 1 and row["way"] == "together"]
    for row in rows[1:]:
        assert f"{row['sessions']} sessions {row['fps']:.0f} ({row['of_alone']:.2f} of one by one)" in PAGE
    for size in ("720p", "1080p"):
        wire, memory = speed[f"{size}_wire"]["p50_ms"], speed[f"{size}_memory"]["p50_ms"]
        assert f"{size} | p50 {wire:.1f} ms over the wire, {memory:.1f} ms through memory" in PAGE
