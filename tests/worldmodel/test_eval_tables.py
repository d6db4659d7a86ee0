"""The tables of the docs are what the reports say, and nothing else."""

from __future__ import annotations

import json

import pytest

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.report import machine, read_report, tidy, write_report
from inhabit.worldmodel.evaluate import tables

MACHINE = {"cpu": "Test CPU", "cores": 2, "system": "Linux 6", "python": "3.11.7", "torch": "2.13", "threads": 2}
WINDOW = {"distance": 0.5, "objects_per_frame": 1.25, "action_accuracy": 0.8}
EVAL = {
    "pack": {"name": "doom-center"},
    "steps": 2,
    "machine": MACHINE,
    "codec": {"psnr_db": 30.04},
    "skill": {"1": 0.9, "4": 0.7, "16": 0.512},
    "psnr_db": {"1": 28.0, "16": 22.0},
    "action_fidelity": 0.95,
    "actions": {"dreamt": 0.84, "real": 0.88, "chance_corrected": 0.9},
    "objects": {"recall": {"4": 0.8}, "precision": {"4": 0.75}, "ceiling": 0.93},
    "drift": -0.01,
    "long_run": {
        "frames": 5000,
        "windows": [WINDOW, WINDOW],
        "real": {"objects_per_frame": 1.3},
        "objects_gone": {"dreamt": 0.071, "real": 0.033},
        "terminations_per_1000": {"dreamt": 2.0, "real": 2.5},
    },
    "reward": {"events": 12, "precision": 0.8, "recall": 0.7},
    "termination": {"events": 0, "precision": None, "recall": None},
}
RATE = {"fps": 31.0, "ms_p50": 32.0, "ms_p99": 40.0, "ms": {"denoise": 20.0, "commit": 4.0, "decode": 8.0}}
BENCH = {
    "pack": {"name": "doom-center", "size_px": [128, 96], "rate_hz": 17.5, "untrained": False},
    "machine": MACHINE,
    "engine": {"k2": RATE},
    "growth": {"frames": 10000, "frame_time_ratio": 1.004, "rss_mb": 0.5},
    "client": {"fps": 17.4, "rate_hz": 17.5, "input_to_frame_ms": {"p50": 70.2, "p95": 90.0, "p99": 95.0}},
    "bridge": {"overhead_ms": {"p50": 0.4, "p99": 1.2}},
}
TRANSFER = {
    "random": {"mean_tics": 282.7, "ci95": [254.6, 311.8]},
    "dream": {
        "1.15": {"mean_tics": 371.0, "ci95": [345.0, 398.0], "imagined_mean_tics": 910.3, "transfer_ratio": 0.434},
    },
    "real": {"mean_tics": 485.7, "ci95": [425.3, 546.9]},
    "transfer_ratio": 0.434,
    "machine": MACHINE,
}


def test_every_table_holds_the_reports_figures():
    page = "\n".join(f"<!-- {name}: begin -->\n<!-- {name}: end -->" for name in tables.TABLES)
    filled = tables.fill(page, [EVAL, BENCH, TRANSFER], "page.md")
    for figure in ("0.51", "0.84 / 0.88", "31.0", "70 ms", "1.00 times as long", "17.4 of 17.5", "Test CPU"):
        assert figure in filled, figure
    assert "| termination | 0 | - | - |" in filled
    assert "| dream, temperature 1.15 | 371 (345 to 398) | 910 | 0.43 |" in filled
    assert tables.fill(filled, [EVAL, BENCH, TRANSFER], "page.md") == filled


def test_a_table_without_reports_stays_as_it_is():
    page = "before\n<!-- clients: begin -->\nold\n<!-- clients: end -->\nafter\n"
    assert tables.fill(page, [EVAL], "page.md") == page


def test_an_unknown_mark_is_named():
    with pytest.raises(InhabitError, match=r"got 'weather' - at page\.md"):
        tables.fill("<!-- weather: begin -->\n<!-- weather: end -->", [], "page.md")


def test_a_stale_page_fails_the_check_and_is_left_alone(tmp_path, capsys):
    page, report = tmp_path / "page.md", tmp_path / "report.json"
    page.write_text("<!-- clients: begin -->\nold\n<!-- clients: end -->\n")
    report.write_text(json.dumps(BENCH))
    with pytest.raises(SystemExit) as exit_:
        tables.main([str(report), "--pages", str(page), "--check"])
    assert exit_.value.code == 2
    assert "run scripts/tables" in capsys.readouterr().err
    assert "old" in page.read_text()
    tables.main([str(report), "--pages", str(page)])
    tables.main([str(report), "--pages", str(page), "--check"])
    assert "old" not in page.read_text()


def test_reports_are_plain_numbers(tmp_path):
    import numpy as np

    path = tmp_path / "new" / "report.json"
    write_report(path, {"a": np.float32(1 / 3), "b": float("nan"), "4": np.arange(2), "c": {"d": (True, None)}})
    assert read_report(path) == {"a": 0.333333, "b": None, "4": [0, 1], "c": {"d": [True, None]}}
    assert tidy(machine())["cores"]


def test_a_damaged_report_is_named(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("[1, 2]")
    with pytest.raises(InhabitError, match="got a list"):
        read_report(path)
    path.write_text("{")
    with pytest.raises(InhabitError, match=r"Expected a report.*report\.json"):
        read_report(path)


def test_a_machine_is_named_once():
    machine = {"cpu": "EPYC", "cores": 2, "system": "Linux 6.1.4-aa-1", "python": "3.11"}
    torches = machine | {"torch": "2.13", "system": "Linux 6.1.4-bb-2"}
    other = torches | {"vectors": "AVX2"}
    reports = [{"machine": machine}, {"machine": torches, "again": {"sound": other, "drift": torches}}, {}]
    lines = tables._machines(reports)
    assert lines == [
        "Measured on: EPYC, 2 cores, Linux 6.1.4, Python 3.11, torch 2.13.",
        "Measured on: EPYC with AVX2, 2 cores, Linux 6.1.4, Python 3.11, torch 2.13.",
    ]
