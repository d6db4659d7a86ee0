"""Measure what the OpenGL view and the pygame window add to a frame here: upload and drawing, at several sizes.

.venv/bin/python scripts/view_rate.py [--report FILE] [--frames N]
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import moderngl
import numpy as np
import tyro

from inhabit.bindings.view import UPSCALERS, FrameStream, Presenter, headless_context
from inhabit.bridge.report import machine, write_report

CASES = (((1280, 720), (1280, 720)), ((128, 96), (1280, 720)), ((128, 96), (1920, 1080)))
"""Size of the world and of the screen, pixels."""

WARM_UP = 5


@dataclass(frozen=True, kw_only=True)
class Options:
    frames: int = 60
    """Frames of each case."""

    report: Path | None = None
    """Write the figures to this JSON file too."""


def times_ms(ctx: moderngl.Context, world: tuple[int, int], screen: tuple[int, int], upscaler: str, frames: int):
    """From a frame in memory to the finished picture, ms each; the first few are left out."""
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (world[1], world[0], 3), np.uint8) for _ in range(4)]
    stream, presenter = FrameStream(ctx), Presenter(ctx, upscaler=cast("Any", upscaler))
    target = ctx.simple_framebuffer(screen)
    measured = []
    for number in range(frames + WARM_UP):
        started = time.perf_counter()
        presenter.draw(stream.show(pictures[number % 4]), target)
        ctx.finish()
        measured.append((time.perf_counter() - started) * 1e3)
    for thing in (stream, presenter, target):
        thing.release()
    return measured[WARM_UP:]


def window_ms(size: tuple[int, int], frames: int) -> list[float]:
    """The pygame window without an upscaler's work: a frame of the window's own size, ms each."""
    os.environ.update(SDL_VIDEODRIVER="dummy", PYGAME_HIDE_SUPPORT_PROMPT="1")
    from inhabit.bindings.window.screen import Screen

    screen, measured = Screen("", size), []
    picture = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    for _ in range(frames + WARM_UP):
        started = time.perf_counter()
        screen.draw([picture], size)
        screen.flip()
        measured.append((time.perf_counter() - started) * 1e3)
    screen.close()
    return measured[WARM_UP:]


def main(options: Options) -> None:
    ctx = headless_context()
    cases: list[dict[str, Any]] = []
    for world, screen in CASES:
        for upscaler in UPSCALERS:
            p50, p99 = np.percentile(times_ms(ctx, world, screen, upscaler, options.frames), (50, 99))
            cases.append({"world": world, "screen": screen, "upscaler": upscaler, "p50_ms": p50, "p99_ms": p99})
            sizes = f"{world[0]}x{world[1]} on {screen[0]}x{screen[1]}"
            print(f"{sizes:22} {upscaler:9} p50 {p50:6.2f} ms, p99 {p99:6.2f} ms")
    p50, p99 = np.percentile(window_ms(CASES[0][0], options.frames), (50, 99))
    print(f"pygame window 1280x720          p50 {p50:6.2f} ms, p99 {p99:6.2f} ms")
    if options.report:
        renderer = ctx.info["GL_RENDERER"]
        write_report(
            options.report,
            {
                "view": {"renderer": renderer, "cases": cases},
                "window": {"p50_ms": p50, "p99_ms": p99},
                "machine": machine(),
            },
        )


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
