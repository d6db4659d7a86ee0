"""Tables of reports, for people: `python -m inhabit.worldmodel.evaluate.tables REPORT...` fills pages that hold them.

A page says where a table goes with <!-- NAME: begin --> and <!-- NAME: end -->. Each name is a function below; what
lies between the marks is replaced, so no figure on a page is typed by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from inhabit.bridge.errors import InhabitError
from inhabit.bridge.report import read_report

Report = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Which reports go into which pages."""

    reports: tyro.conf.Positional[tuple[Path, ...]]
    """JSON files that `inhabit eval --report`, `inhabit bench --report` and `inhabit experiment` wrote."""

    pages: tuple[Path, ...] = (
        Path("docs/performance.md"),
        Path("docs/quality.md"),
        Path("docs/rl.md"),
        Path("README.md"),
    )
    """Markdown files with marks."""

    check: bool = False
    """Change nothing; fail if a page is not what the reports give."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Fill the pages. Exit code 2 and one line for anything the user can mend."""
    options = tyro.cli(Options, description=__doc__, args=arguments)
    try:
        changed = fill_pages([read_report(path) for path in options.reports], options.pages, write=not options.check)
    except InhabitError as error:
        sys.exit(_fail(str(error)))
    if options.check and changed:
        sys.exit(_fail(f"{', '.join(map(str, changed))} do not hold the reports' figures, run scripts/tables"))


def fill_pages(reports: Sequence[Report], pages: Sequence[Path], *, write: bool = True) -> list[Path]:
    """Replace what lies between marks, and return the pages that changed. Raises InhabitError for an unknown mark."""
    changed = []
    for page in pages:
        try:
            before = page.read_text()
        except OSError as error:
            raise InhabitError(f"Expected a page with marks, got: {error.strerror} - at {page}") from error
        after = fill(before, reports, str(page))
        if after != before:
            changed.append(page)
            if write:
                page.write_text(after)
    return changed


def fill(text: str, reports: Sequence[Report], where: str) -> str:
    """The text with all its marked tables made anew."""

    def table(match: re.Match[str]) -> str:
        name = match[1]
        if name not in TABLES:
            raise InhabitError(f"Expected a mark among {', '.join(TABLES)}, got {name!r} - at {where}")
        made = TABLES[name](reports)
        return f"<!-- {name}: begin -->\n{made}\n<!-- {name}: end -->" if made else match[0]

    return re.sub(r"<!-- ([a-z-]+): begin -->\n.*?<!-- \1: end -->", table, text, flags=re.DOTALL)


def figures(reports: Sequence[Report]) -> str:
    """The README's few lines: the first pack's truth and its speed."""
    rows: list[Sequence[str]] = []
    for report in _kind(reports, "engine")[:1]:
        rates = ", ".join(f"{_number(v['fps'], 0)} (K={k[1:]})" for k, v in report["engine"].items())
        rows.append(("frames a second, engine", f"{rates}; the world wants {_number(report['pack']['rate_hz'], 1)}"))
        if "client" in report:
            points = report["client"]["input_to_frame_ms"]
            rows.append(
                (f"key press to its frame, at {_number(report['client']['fps'], 1)} frames a second",
                 f"p50 {_number(points['p50'], 0)} ms, p99 {_number(points['p99'], 0)} ms")
            )  # fmt: skip
        growth = report["growth"]
        rows.append((f"frame {growth['frames']:,} against frame 100",
                     f"{_number(growth['frame_time_ratio'], 2)} times as long"))  # fmt: skip
    for report in _kind(reports, "long_run")[:1]:
        actions = report["actions"]
        rows.append(("skill after 16 frames (0 a still picture, 1 perfect)", _number(report["skill"].get("16"))))
        rows.append(("actions read off the dream / off the real game",
                     f"{_number(actions['dreamt'])} / {_number(actions['real'])} (chance 0.50)"))  # fmt: skip
        if "objects" in report:
            objects = report["objects"]
            rows.append(("objects found after 4 frames / by the codec alone",
                         f"{_number(objects['recall'].get('4'))} / {_number(objects['ceiling'])}"))  # fmt: skip
        run = report["long_run"]
        rows.append((f"drift over {run['frames']:,} frames, in real spreads", _number(report["drift"])))
    return "" if not rows else "\n".join([_table(("measure", "figure"), rows), "", *_machines(reports)])


def fidelity(reports: Sequence[Report]) -> str:
    """Pictures, objects and actions of every measured pack and number of steps."""
    rows = []
    for report in _kind(reports, "skill"):
        objects, actions = report.get("objects", {}), report["actions"]
        rows.append(
            (
                *_who(report),
                *(_number(report["skill"].get(h)) for h in ("1", "4", "16", "64")),
                *(_number(report["psnr_db"].get(h), 1) for h in ("1", "16")),
                _number(report["codec"]["psnr_db"], 1),
                "/".join(_number(objects.get("recall", {}).get(h)) for h in ("1", "4", "16")),
                "/".join(_number(objects.get("precision", {}).get(h)) for h in ("1", "4", "16")),
                "/".join(_number(objects.get("known", {}).get(h)) for h in ("1", "4", "16")),
                _number(objects.get("ceiling")),
                _number(report["action_fidelity"]),
                _number(actions["chance_corrected"]),
            )
        )
    head = (
        "pack", "K", "skill 1", "4", "16", "64", "PSNR 1", "16", "codec", "object recall 1/4/16",
        "precision 1/4/16", "in view before 1/4/16", "codec's recall", "action fidelity", "above chance",
    )  # fmt: skip
    return _table(head, rows) if rows else ""


def long_runs(reports: Sequence[Report]) -> str:
    """Drift, window by window at first, middle and last."""
    rows = []
    for report in _kind(reports, "long_run"):
        run = report["long_run"]
        windows = run["windows"]
        shown = (windows[0], windows[len(windows) // 2], windows[-1])
        rows.append(
            (
                *_who(report),
                f"{run['frames']:,}",
                _number(report["drift"]),
                *("/".join(_number(window[name]) for window in shown) for name in ("distance", "objects_per_frame")),
                _number(run["real"]["objects_per_frame"]),
                *(_number(run.get("objects_gone", {}).get(which)) for which in ("dreamt", "real")),
                "/".join(_number(window["action_accuracy"]) for window in shown),
                _number(run["terminations_per_1000"]["dreamt"]),
                _number(run["terminations_per_1000"]["real"]),
            )
        )
    head = (
        "pack", "K", "frames", "drift", "distance first/middle/last", "objects a frame", "real",
        "all gone a frame later", "real", "buttons read first/middle/last", "endings per 1000", "real",
    )  # fmt: skip
    return _table(head, rows) if rows else ""


def heads(reports: Sequence[Report]) -> str:
    """Rewards and endings, one step ahead."""
    rows = [
        (
            *_who(report),
            kind,
            str(report[kind]["events"]),
            _number(report[kind]["precision"]),
            _number(report[kind]["recall"]),
        )
        for report in _kind(reports, "skill")
        for kind in ("reward", "termination")
        if kind in report
    ]
    return _table(("pack", "K", "event", "events", "precision", "recall"), rows) if rows else ""


def engines(reports: Sequence[Report]) -> str:
    """Frames a second, where the time goes, and growth."""
    rows = []
    for report in _kind(reports, "engine"):
        pack, growth = report["pack"], report["growth"]
        for name, speed in report["engine"].items():
            parts = [_number(speed["ms"].get(part), 1) for part in ("motion", "denoise", "commit", "decode")]
            rows.append(
                (
                    f"{pack['name']}{' (untrained)' if pack['untrained'] else ''}",
                    "x".join(map(str, pack["size_px"])),
                    name[1:],
                    _number(speed["fps"], 1),
                    _number(pack.get("rate_hz"), 1),
                    f"{_number(speed['ms_p50'], 1)} / {_number(speed['ms_p99'], 1)}",
                    *parts,
                    f"{_number(growth['frame_time_ratio'])} at {growth['frames']:,}",
                    _place(report),
                )
            )
    head = (
        "pack", "size", "K", "fps", "wants", "frame ms p50 / p99", "motion ms", "denoise", "commit", "decode",
        "time of late frames", "on",
    )  # fmt: skip
    return _table(head, rows) if rows else ""


def clients(reports: Sequence[Report]) -> str:
    """What a player gets through a sidecar."""
    rows = []
    for report in _kind(reports, "client"):
        client, bridge = report["client"], report["bridge"]
        points = client["input_to_frame_ms"]
        rows.append(
            (
                report["pack"]["name"],
                f"{_number(client['fps'], 1)} of {_number(client['rate_hz'], 1)}",
                *(_number(points[p], 0) for p in ("p50", "p95", "p99")),
                *(_number(bridge["overhead_ms"][p]) for p in ("p50", "p99")),
                _place(report),
            )
        )
    head = ("pack", "fps", "input to frame ms p50", "p95", "p99", "bridge ms p50", "p99", "on")
    return _table(head, rows) if rows else ""


def prompts(reports: Sequence[Report]) -> str:
    """Whether a world does what words say."""
    rows = []
    for report in _kind(reports, "prompt"):
        told = report["prompt"]
        for name in ("start", "switch", "held_out", "rest_kept"):
            others = (told[who].get(name) for who in ("no_prompt", "copy", "simulator"))
            rows.append((*_who(report), name, _ranged(told, name), *(_number(value) for value in others)))
        rows.append((*_who(report), "frames_to_show", _ranged(told, "frames_to_show", 0), "-", "-", "-"))
    head = ("pack", "K", "measure", "figure (95 %)", "no prompt", "copy", "simulator")
    return _table(head, rows) if rows else ""


def revisits(reports: Sequence[Report]) -> str:
    """What is still there when one comes back."""
    rows = [
        (
            *_who(report),
            away,
            _ranged(figures, "psnr_db", 1),
            _ranged(figures, "gain_db", 1),
            *(_number(figures[name], 1) for name in ("no_memory_psnr_db", "copy_psnr_db", "codec_psnr_db")),
        )
        for report in _kind(reports, "revisit")
        for away, figures in report["revisit"].items()
    ]
    head = ("pack", "K", "frames away", "PSNR dB (95 %)", "gained by memory dB", "without memory", "copy", "codec")
    return _table(head, rows) if rows else ""


def senses(reports: Sequence[Report]) -> str:
    """Sound and the thrown ball."""
    rows = []
    for report in _kind(reports, "physics"):
        who, ball = _who(report), report["physics"]
        if "sound" in report:
            sound = report["sound"]
            beside = ("copy", "codec", "knowable", "simulator")
            f1, level = ([sound.get(one, {}).get(name) for one in beside] for name in ("f1", "level_db"))
            rows.append((*who, "sound.f1", _ranged(sound, "f1"), *map(_number, f1)))
            rows.append((*who, "sound.offset_frames", _ranged(sound, "offset_frames", 0), "-", "-", "-", "-"))
            rows.append((*who, "sound.level_db", _ranged(sound, "level_db", 1), *(_number(one, 1) for one in level)))
        copy, codec, simulator = (_number(ball[name], 1) for name in ("copy", "codec", "simulator"))
        rows.append((*who, "physics.path_error, px", _ranged(ball, "path_error", 1), copy, codec, "-", simulator))
    head = ("pack", "K", "measure", "figure (95 %)", "copy", "codec", "knowable", "simulator")
    return _table(head, rows) if rows else ""


def endurance(reports: Sequence[Report]) -> str:
    """Dreams of thousands of frames beside the simulator's."""
    rows = []
    for report in _kind(reports, "revisit"):
        drift = report["drift"]
        for name in (name for name in drift["psnr_like"] if name != "ci95"):
            others = (drift[who][name] for who in ("elsewhere", "still"))
            rows.append((*_who(report), name, _ranged(drift["psnr_like"], name, 1),
                         *(_number(value, 1) for value in others), _ranged(drift["obedience"], name),
                         _number(drift["obedience_simulator"][name])))  # fmt: skip
    head = ("pack", "K", "frame", "psnr_like dB (95 %)", "another island", "still", "obedience (95 %)", "simulator")
    return _table(head, rows) if rows else ""


def kinds(reports: Sequence[Report]) -> str:
    """Objects of each kind, found in dreams."""
    rows = [
        (*_who(report), name, str(report["objects"]["kinds_after_frames"]), _number(figures["recall"]),
         _number(figures["precision"]), str(figures["present"]))
        for report in _kind(reports, "objects")
        for name, figures in report["objects"].get("kinds", {}).items()
    ]  # fmt: skip
    head = ("pack", "K", "objects", "after frames", "recall", "precision", "present")
    return _table(head, rows) if rows else ""


def modes(reports: Sequence[Report]) -> str:
    """What sampling steps give and cost."""
    rows = []
    for report in _kind(reports, "modes"):
        for name, mode in report["modes"].items():
            each = [mode.get(what, {}) for what in ("skill", "object_recall")]
            figures = [_number(part.get("16")) for part in each] + [_number(part.get("4")) for part in each]
            rows.append((report["pack"]["name"], name, str(mode["steps"]), _number(mode["fps"], 1), *figures,
                         _place(report)))  # fmt: skip
    head = ("pack", "mode", "K", "fps", "skill 16", "object recall 16", "skill 4", "object recall 4", "on")
    return _table(head, rows) if rows else ""


def transfer(reports: Sequence[Report]) -> str:
    """How long agents survive in the game that learnt in a dream of it."""
    rows: list[Sequence[str]] = []
    for report in _kind(reports, "transfer_ratio"):
        rows.append(("chance", _ranged(report["random"], "mean_tics", 0), "-", "-"))
        rows += [
            (f"dream, temperature {t}", _ranged(dream, "mean_tics", 0), _number(dream["imagined_mean_tics"], 0),
             _number(dream["transfer_ratio"]))
            for t, dream in report["dream"].items()
        ]  # fmt: skip
        rows.append(("Doom", _ranged(report["real"], "mean_tics", 0), "-", "1"))
    return _table(("learnt in", "tics in Doom (95 %)", "in the dream", "transfer ratio"), rows) if rows else ""


def machines(reports: Sequence[Report]) -> str:
    """The machines that figures were measured on."""
    return "\n".join(_machines(reports))


TABLES: dict[str, Callable[[Sequence[Report]], str]] = {
    "figures": figures,
    "fidelity": fidelity,
    "long-runs": long_runs,
    "heads": heads,
    "engines": engines,
    "clients": clients,
    "prompts": prompts,
    "revisits": revisits,
    "senses": senses,
    "endurance": endurance,
    "kinds": kinds,
    "modes": modes,
    "transfer": transfer,
    "machines": machines,
}


def _kind(reports: Sequence[Report], key: str) -> list[Report]:
    return [report for report in reports if key in report]


def _who(report: Report) -> tuple[str, str]:
    return report["pack"]["name"], str(report["steps"])


def _place(report: Report) -> str:
    """The machine in a word or two; the whole of it is under the tables."""
    machine = report["machine"]
    return machine.get("gpu") or f"CPU, {machine.get('threads', '?')} of {machine['cores']} cores"


def _machines(reports: Sequence[Report]) -> list[str]:
    """Each kind of machine once; what else was not said of it, such as torch, another report may say."""
    said: list[str] = []
    where = [one for report in reports for one in (report.get("machine"), *report.get("again", {}).values()) if one]
    for m in where:
        name = f"{m['gpu']}, " if m.get("gpu") else ""
        vectors = f" with {m['vectors']}" if "vectors" in m else ""
        system = m["system"].split("-")[0]  # what follows is one build of it
        line = f"Measured on: {name}{m['cpu']}{vectors}, {m['cores']} cores, {system}, Python {m['python']}"
        said.append(line + (f", torch {m['torch']}" if "torch" in m else ""))
    alone = [one for one in dict.fromkeys(said) if not any(other.startswith(f"{one},") for other in said)]
    return [f"{one}." for one in alone]


def _ranged(figures: Mapping[str, Any], name: str, digits: int = 2) -> str:
    interval = figures["ci95"]
    low, high = interval[name] if isinstance(interval, Mapping) else interval
    return f"{_number(figures[name], digits)} ({_number(low, digits)} to {_number(high, digits)})"


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _fail(message: str) -> int:
    print(f"inhabit: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
