"""Compare the view's upscalers: a picture to look at, and how near each comes to the truth.

.venv/bin/python scripts/upscalers.py [--out docs/images/upscalers.png] [--report FILE]

The truth is ViZDoom at 640 x 480. It is reduced to 128 x 96 (what a small world shows) and magnified again, for the
figures to its own size, for the picture to 1440 x 1080, of which a detail is shown at full size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
import vizdoom
from PIL import Image, ImageDraw, ImageFont

from inhabit.bindings.view import UPSCALERS, FrameStream, Presenter, headless_context, read_pixels
from inhabit.bridge.report import machine, write_report

TRUTH, SMALL, SCREEN = (640, 480), (128, 96), (1440, 1080)
DETAIL = (420, 330, 1020, 780)
"""Left, top, right, bottom of what the picture shows, of SCREEN."""

SCENES = ("deadly_corridor", "health_gathering", "my_way_home", "defend_the_center")
TICS = 20


@dataclass(frozen=True, kw_only=True)
class Options:
    out: Path = Path("docs/images/upscalers.png")
    """The picture."""

    report: Path | None = None
    """Write the figures to this JSON file too."""


def scenes() -> dict[str, np.ndarray]:
    """A frame of each scene, (480, 640, 3) uint8."""
    pictures = {}
    for name in SCENES:
        game = vizdoom.DoomGame()
        game.load_config(str(Path(vizdoom.scenarios_path) / f"{name}.cfg"))
        game.set_window_visible(False)
        game.set_screen_resolution(vizdoom.ScreenResolution.RES_640X480)
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_seed(7)
        game.init()
        game.make_action([0.0] * game.get_available_buttons_size(), TICS)
        state = game.get_state()
        assert state is not None
        pictures[name] = np.asarray(state.screen_buffer).copy()
        game.close()
    return pictures


def psnr_db(one: np.ndarray, other: np.ndarray) -> float:
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float(10 * np.log10(255.0**2 / error))


def edges_db(one: np.ndarray, other: np.ndarray) -> float:
    """PSNR of the gradients: what happens at edges, which a mean over flat walls hides."""
    grey = [picture.astype(float).mean(2) for picture in (one, other)]
    return psnr_db(*(np.stack(np.gradient(picture)) for picture in grey))


def main(options: Options) -> None:
    ctx = headless_context()
    figures: dict[str, dict[str, list[float]]] = {name: {"psnr_db": [], "edges_db": []} for name in UPSCALERS}
    details: list[tuple[str, Image.Image]] = []
    for scene, truth in scenes().items():
        small = np.asarray(Image.fromarray(truth).resize(SMALL, Image.Resampling.BOX))
        stream = FrameStream(ctx)
        for name in UPSCALERS:
            presenter = Presenter(ctx, upscaler=name)
            shown = {}
            for size in (TRUTH, SCREEN):
                target = ctx.simple_framebuffer(size)
                presenter.draw(stream.show(small), target)
                shown[size] = read_pixels(target)
            figures[name]["psnr_db"].append(psnr_db(shown[TRUTH], truth))
            figures[name]["edges_db"].append(edges_db(shown[TRUTH], truth))
            if scene == SCENES[0]:
                details.append((name, Image.fromarray(shown[SCREEN]).crop(DETAIL)))
    width, height = details[0][1].size
    page = Image.new("RGB", (2 * width, 2 * height))
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(24)
    for place, (name, detail) in enumerate(details):
        corner = (place % 2 * width, place // 2 * height)
        page.paste(detail, corner)
        draw.text((corner[0] + 12, corner[1] + 8), name, font=font, fill="white", stroke_width=2, stroke_fill="black")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    page.save(options.out, optimize=True)
    means = {name: {kind: round(float(np.mean(all_)), 2) for kind, all_ in of.items()} for name, of in figures.items()}
    for name, of in means.items():
        print(f"{name:9} {of['psnr_db']:.2f} dB, at edges {of['edges_db']:.2f} dB")
    print(options.out)
    if options.report:
        write_report(options.report, {"upscalers": means, "machine": machine()})


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
