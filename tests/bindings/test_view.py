"""The OpenGL view on a real OpenGL: what it draws is read back and compared pixel by pixel."""

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

moderngl = pytest.importorskip("moderngl", reason="moderngl is not installed")
from inhabit.bindings.view import (  # noqa: E402
    UPSCALERS,
    Blend,
    Film,
    FrameStream,
    Overlay,
    Presenter,
    WorldView,
    fit,
    headless_context,
    read_pixels,
    text_image,
)
from inhabit.bridge.errors import InhabitError, LocalProtocolError  # noqa: E402
from inhabit.bridge.frames import Frame  # noqa: E402


@pytest.fixture(scope="module")
def ctx():
    try:
        context = headless_context()
    except InhabitError as error:
        pytest.skip(str(error))
    yield context
    context.release()


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def shown(ctx, pixels, size, **options):
    drawing = {name: options.pop(name) for name in ("room", "bars", "linear_out") if name in options}
    target = ctx.simple_framebuffer(size)
    target.clear(0.0, 1.0, 0.0)
    presenter, stream = Presenter(ctx, **options), FrameStream(ctx)
    presenter.draw(stream.show(pixels), target, **drawing)
    return read_pixels(target)


@pytest.mark.parametrize("upscaler", UPSCALERS)
@pytest.mark.parametrize("size", [(64, 48), (333, 101)])
def test_at_its_own_size_a_frame_is_drawn_byte_for_byte(ctx, upscaler, size):
    pixels = noise(*size)
    assert np.array_equal(shown(ctx, pixels, size, upscaler=upscaler), pixels)


def test_many_frames_in_a_row_are_never_mixed_up(ctx):
    stream, presenter = FrameStream(ctx), Presenter(ctx)
    target = ctx.simple_framebuffer((40, 30))
    for seed in range(20):
        pixels = noise(40, 30, seed)
        presenter.draw(stream.show(pixels), target)
        assert np.array_equal(read_pixels(target), pixels)


def test_a_frame_of_another_size_gets_another_texture(ctx):
    stream = FrameStream(ctx)
    assert stream.show(noise(40, 30)).size == (40, 30)
    assert stream.show(noise(64, 48)).size == (64, 48)
    stream.release()
    stream.release()
    with pytest.raises(LocalProtocolError, match="before the first frame"):
        stream.texture.use()


@pytest.mark.parametrize("upscaler", UPSCALERS)
def test_a_picture_lies_in_the_middle_between_bars(ctx, upscaler):
    pixels = np.full((48, 64, 3), (200, 100, 50), np.uint8)
    screen = shown(ctx, pixels, (400, 150), upscaler=upscaler, bars=(0.0, 0.0, 1.0))
    assert fit((64, 48), (0, 0, 400, 150)) == (100, 0, 200, 150)
    assert (screen[:, :100] == (0, 0, 255)).all()
    assert (screen[:, 300:] == (0, 0, 255)).all()
    assert (screen[:, 100:300] == (200, 100, 50)).all()


def test_a_room_of_the_target_is_drawn_and_nothing_else(ctx):
    screen = shown(ctx, np.full((48, 64, 3), 255, np.uint8), (100, 100), room=(10, 20, 64, 48))
    assert (screen[32:80, 10:74] == 255).all()
    screen[32:80, 10:74] = (0, 255, 0)
    assert (screen == (0, 255, 0)).all()


@pytest.mark.parametrize("upscaler", UPSCALERS)
def test_up_is_up_and_left_is_left(ctx, upscaler):
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:12, :16] = 255
    screen = shown(ctx, pixels, (640, 480), upscaler=upscaler)
    assert (screen[:90, :130] > 240).all()  # Lanczos rings a little
    assert (screen[150:, :] < 15).all()
    assert (screen[:, 190:] < 15).all()


@pytest.mark.parametrize("upscaler", ["edge", "bilinear", "nearest"])
def test_nothing_rings(ctx, upscaler):
    pixels = np.full((48, 64, 3), 60, np.uint8)
    pixels[:, 32:] = 180
    screen = shown(ctx, pixels, (1280, 960), upscaler=upscaler)
    assert (screen.min(), screen.max()) == (60, 180)


def slope(size, scale):
    """A bright half plane with a slanted edge, as an ideal camera of this size would see it."""
    fine = 4
    y, x = np.mgrid[0 : size[1] * fine, 0 : size[0] * fine] / fine / scale
    inside = (x - 20 > (y - 24) * 0.35) * 200.0 + 20.0
    return inside.reshape(size[1], fine, size[0], fine).mean((1, 3))


def test_a_slanted_edge_is_nearer_to_the_truth_than_bilinear(ctx):
    small = np.repeat(slope((64, 48), 1)[..., None], 3, axis=2).round().astype(np.uint8)
    truth = slope((640, 480), 10)[60:-60, 60:-60]
    error = {
        name: np.abs(shown(ctx, small, (640, 480), upscaler=name)[60:-60, 60:-60, 0] - truth).mean()
        for name in UPSCALERS
    }
    assert error["edge"] < 0.8 * error["bilinear"]
    assert error["edge"] < error["lanczos"]


def test_colours_for_a_lit_scene_are_linear_light(ctx):
    grey = np.full((8, 8, 3), 128, np.uint8)
    linear = round(255 * ((128 / 255 + 0.055) / 1.055) ** 2.4)
    assert linear == 55
    for upscaler in UPSCALERS:
        assert np.abs(shown(ctx, grey, (80, 80), upscaler=upscaler, linear_out=True).astype(int) - linear).max() <= 1
    target = ctx.simple_framebuffer((8, 8))
    Presenter(ctx).draw(FrameStream(ctx, srgb=True).show(grey), target)
    assert np.abs(read_pixels(target).astype(int) - linear).max() <= 1


def test_your_framebuffer_and_flags_stay_yours(ctx):
    mine = ctx.framebuffer([ctx.texture((32, 32), 4)], ctx.depth_renderbuffer((32, 32)))
    mine.use()
    mine.viewport = (0, 0, 16, 16)
    mine.clear(depth=0.5, viewport=(0, 0, 32, 32))
    ctx.enable(moderngl.DEPTH_TEST)
    view = WorldView(ctx)
    view.show(Frame(pixels=noise(8, 8), index=0))
    view.draw(ctx.simple_framebuffer((100, 100)))
    assert ctx.fbo is mine
    assert mine.viewport == (0, 0, 16, 16)
    program = ctx.program(
        vertex_shader="#version 330\nin vec3 p; void main() { gl_Position = vec4(p, 1.0); }",
        fragment_shader="#version 330\nout vec4 c; void main() { c = vec4(1.0); }",
    )
    behind = np.array([-1, -1, 0.9, 3, -1, 0.9, -1, 3, 0.9], "f4")
    ctx.simple_vertex_array(program, ctx.buffer(behind), "p").render()
    assert not read_pixels(mine).any()  # the depth test is still on, and hides it
    ctx.disable(moderngl.DEPTH_TEST)


def test_a_framebuffer_that_was_released_meanwhile_is_forgotten(ctx):
    gone = ctx.simple_framebuffer((8, 8))
    gone.use()
    gone.release()
    assert shown(ctx, noise(8, 8), (8, 8)).any()


def test_blending_fades_within_one_frame_of_the_world_and_says_what_it_costs(ctx):
    presenter = Presenter(ctx)
    blend = Blend(presenter, rate_hz=20.0)
    assert blend.added_latency_ms == 50.0
    seen = []
    for pixels, now_ns in ((40, 0), (240, 50_000_000)):
        blend.show(np.full((8, 8, 3), pixels, np.uint8), now_ns)
    for now_ns in (50_000_000, 75_000_000, 100_000_000, 900_000_000):
        target = ctx.simple_framebuffer((8, 8))
        presenter.draw(blend.texture(now_ns), target)
        seen.append(int(read_pixels(target)[4, 4, 0]))
    assert seen == [40, 140, 240, 240]


def test_blending_is_off_unless_asked_for(ctx):
    assert WorldView(ctx).added_latency_ms == 0.0
    assert WorldView(ctx, blend_hz=17.5).added_latency_ms == pytest.approx(57.14, abs=0.01)


def test_an_overlay_lies_over_the_picture_at_its_own_size(ctx):
    target = ctx.simple_framebuffer((64, 48))
    presenter = Presenter(ctx)
    presenter.draw(FrameStream(ctx).show(np.full((48, 64, 3), 200, np.uint8)), target)
    image = np.zeros((4, 6, 4), np.uint8)
    image[..., 0], image[..., 3] = 100, 128
    image[0, 0] = (255, 255, 255, 255)
    overlay = Overlay(presenter)
    overlay.draw(0, 0, target)  # nothing yet
    overlay.show(image)
    overlay.draw(10, 5, target)
    pixels = read_pixels(target).astype(int)
    assert (pixels[5, 10] == 255).all()
    assert np.abs(pixels[8, 15] - (150, 100, 100)).max() <= 1
    assert (pixels[9, 15] == 200).all()
    assert (pixels[5, 16] == 200).all()


def test_words_become_an_image(ctx):
    image = text_image(["17.5 fps", "64 ms"], px=20)
    assert image.shape[0] == 66
    assert (image[..., :3][image[..., 3] > 200] > 200).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ctx: Presenter(ctx, upscaler=cast("Any", "fsr")), "Expected an upscaler of edge, .*, got 'fsr'"),
        (lambda ctx: Presenter(ctx, sharpness=2.0), "Expected sharpness from 0 to 1, got 2.0"),
        (lambda ctx: FrameStream(ctx).show(np.zeros((4, 4), np.uint8)), "Expected pixels of shape"),
        (lambda ctx: FrameStream(ctx).show(np.zeros((4, 4, 3))), "got .4, 4, 3., float64"),
        (lambda ctx: Overlay(Presenter(ctx)).show(np.zeros((4, 4, 3), np.uint8)), "Expected an image of"),
        (lambda ctx: WorldView(ctx).texture, "before the first frame"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_one_clear_line(ctx, call, message):
    with pytest.raises(LocalProtocolError, match=message):
        call(ctx)


def test_without_opengl_one_line_says_what_to_install(monkeypatch):
    def refuse(**settings):
        raise Exception("(standalone) egl library not loaded")

    monkeypatch.setattr(moderngl, "create_context", refuse)
    with pytest.raises(
        InhabitError, match=r"Expected OpenGL 3.3 without a window, got: .*not loaded; on Debian `apt-get"
    ):
        headless_context()


def test_before_the_first_frame_nothing_is_drawn(ctx):
    assert WorldView(ctx).draw(ctx.simple_framebuffer((8, 8))) is None


PYGAME_WINDOW = """
import moderngl, numpy, pygame
from inhabit.bindings.view import WorldView, read_pixels
from inhabit.bridge.frames import Frame
pygame.display.init()
pygame.display.gl_set_attribute(pygame.GL_CONTEXT_MAJOR_VERSION, 3)
pygame.display.gl_set_attribute(pygame.GL_CONTEXT_MINOR_VERSION, 3)
pygame.display.gl_set_attribute(pygame.GL_CONTEXT_PROFILE_MASK, pygame.GL_CONTEXT_PROFILE_CORE)
pygame.display.set_mode((128, 96), pygame.OPENGL | pygame.DOUBLEBUF)
ctx = moderngl.create_context()
view = WorldView(ctx)
pixels = numpy.random.default_rng(1).integers(0, 256, (96, 128, 3), numpy.uint8)
view.show(Frame(pixels=pixels, index=0))
view.draw()
assert numpy.array_equal(read_pixels(ctx.screen), pixels)
pygame.display.flip()
print(ctx.info["GL_RENDERER"])
"""

MODERNGL_WINDOW_APP = """
import numpy, moderngl_window
from inhabit.bindings.view import WorldView, read_pixels
from inhabit.bridge.frames import Frame
class App(moderngl_window.WindowConfig):
    gl_version, window_size, aspect_ratio, vsync = (3, 3), (128, 96), None, False
    def __init__(self, **settings):
        super().__init__(**settings)
        self.view = WorldView(self.ctx)
        self.pixels = numpy.random.default_rng(1).integers(0, 256, (96, 128, 3), numpy.uint8)
        self.view.show(Frame(pixels=self.pixels, index=0))
    def on_render(self, time, frame_time):
        self.wnd.fbo.clear(1.0, 0.0, 0.0)
        self.view.draw()
        assert numpy.array_equal(read_pixels(self.wnd.fbo), self.pixels)
        print(self.ctx.info["GL_RENDERER"])
        self.wnd.close()
moderngl_window.run_window_config(App, args=["--window", "headless", "--backend", "egl"])
"""


@pytest.mark.parametrize(("program", "needs"), [(PYGAME_WINDOW, "pygame"), (MODERNGL_WINDOW_APP, "moderngl_window")])
def test_it_draws_in_windows_of_others(ctx, program, needs, monkeypatch):
    pytest.importorskip(needs)
    monkeypatch.setenv("SDL_VIDEODRIVER", "offscreen")
    monkeypatch.setenv("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == ctx.info["GL_RENDERER"]


def test_a_film_is_a_page_of_moments_or_an_mp4(tmp_path):
    from PIL import Image

    with Film(tmp_path / "page.png", 10.0) as film:
        for number in range(60):
            film.add(np.full((20, 30, 3), number * 4, np.uint8))
    page = np.asarray(Image.open(tmp_path / "page.png"))
    assert page.shape == (40, 90, 3)
    corners = [int(page[y, x, 0]) for y in (0, 20) for x in (0, 30, 60)]
    assert corners[0] == 0
    assert corners == sorted(corners)
    assert corners[-1] > 180
    Film(tmp_path / "nothing.png", 10.0).close()
    assert not (tmp_path / "nothing.png").exists()
    with pytest.raises(InhabitError, match=r"Expected a file that ends in .mp4 or .png, got film.avi"):
        Film(Path("film.avi"), 10.0)


def test_a_film_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InhabitError, match=r"Cannot write to .*file: "):
        Film(tmp_path / "file" / "page.png", 10.0)


@pytest.mark.parametrize(("package", "binding", "extra"), [("moderngl", "view", "gl"), ("xr", "headset", "xr")])
def test_without_its_extra_a_binding_says_what_to_install(package, binding, extra):
    program = f"import sys; sys.modules[{package!r}] = None; import inhabit.bindings.{binding}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert f'pip install "inhabit[{extra}]"' in done.stderr.splitlines()[-1]
