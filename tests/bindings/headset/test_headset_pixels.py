"""What a real compositor makes of our layers, pixel by pixel, against cast rays, for heads that a program moves."""

import math
import time

import numpy as np
import pytest

pytest.importorskip("xr", reason="pyopenxr is not installed")
from PIL import ImageGrab

from inhabit.bindings.headset import Headset, HeadsetOptions
from inhabit.bindings.headset.geometry import Pose, turned
from inhabit.bindings.headset.stage import Stage

pytestmark = [pytest.mark.openxr, pytest.mark.display, pytest.mark.slow]

WHITE = np.full((96, 128, 3), 255, np.uint8)
SETTLE_FRAMES, SETTLE_S = 6, 0.5
EDGE_PX = 2
CENTRE = Pose(position=(0.0, 1.6, 0.0))


def tilted(roll_deg):
    return (0.0, 0.0, math.sin(math.radians(roll_deg) / 2), math.cos(math.radians(roll_deg) / 2))


HEADS = {
    "ahead": Pose(position=(0.0, 1.6, 0.0)),
    "a metre nearer": Pose(position=(0.0, 1.6, -1.0)),
    "20 degrees to the right": Pose(turned(20.0), (0.0, 1.6, 0.0)),
    "down and to the left": Pose(turned(-12.0, -15.0), (0.0, 1.6, 0.0)),
    "beside and above": Pose(turned(-15.0), (0.4, 1.8, -0.2)),
    "tilted": Pose(tilted(20.0), (0.0, 1.6, 0.0)),
}


class Watched:
    """A headset whose composed picture is looked at."""

    size: tuple[int, int]

    def __init__(self, display: str, new_body, options: HeadsetOptions):
        self._display = display
        self.body = new_body()
        self.body.send()
        self.headset = Headset(options)
        self.stage = Stage(self.headset)
        self.picture_deg, self.moment = (0.0, 0.0), None

    def look(self, head):
        """Turn the head, let the compositor follow, and return its two eyes, (2, height, width) of brightness."""
        self.body.position, self.body.orientation = head.position, head.orientation
        self.body.send()
        until, last = time.monotonic() + SETTLE_S, self.headset.frames + SETTLE_FRAMES
        while time.monotonic() < until or self.headset.frames < last:
            assert self.headset.turn(self._draw), self.headset.reason
        shot = np.asarray(ImageGrab.grab(xdisplay=self._display).convert("L")).astype(int)
        width, height = self.size
        return np.stack([shot[:height, : width // 2], shot[:height, width // 2 : width]])

    def find_size(self):
        """The compositor's window is as large as what is bright when all is bright."""
        self.size = (1280, 720)
        both = np.concatenate(list(self.look(HEADS["ahead"])), 1) > 128
        rows, columns = np.nonzero(both)
        self.size = (int(columns.max()) + 1, int(rows.max()) + 1)
        return self.size

    def rays(self, eye, height, width):
        """Direction of every pixel of an eye, in the room."""
        left, right, up, down = np.tan(eye.fov)
        x = left + (np.arange(width) + 0.5) / width * (right - left)
        y = up + (np.arange(height) + 0.5) / height * (down - up)
        own = np.stack([*np.meshgrid(x, y), np.full((height, width), -1.0)], -1)
        return own @ eye.pose.matrix.T

    def _draw(self, moment):
        self.moment = moment
        return self.stage.layers(moment, CENTRE, self.picture_deg)

    def close(self):
        self.stage.release()
        self.headset.close()
        self.body.close()


@pytest.fixture(scope="module")
def size(composed_monado):
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in composed_monado[0].environment.items():
            monkeypatch.setenv(name, value)
        watched = Watched(composed_monado[1], composed_monado[2], HeadsetOptions(mode="dome", fov_deg=150.0))
        watched.stage.show(WHITE)
        size = watched.find_size()
        watched.close()
    return size


@pytest.fixture
def watch(composed_monado, size, monkeypatch):
    for name, value in composed_monado[0].environment.items():
        monkeypatch.setenv(name, value)
    opened = []

    def watch(**options):
        opened.append(Watched(composed_monado[1], composed_monado[2], HeadsetOptions(**options)))
        opened[0].size = size
        return opened[0]

    yield watch
    opened[0].close()


def meets_screen(origin, rays, options, aspect):
    """Which rays meet the screen: a reference that shares nothing with the shader."""
    width, distance = options.screen_width_m, options.screen_distance_m
    height = width / aspect
    origin = np.subtract(origin, CENTRE.position)
    with np.errstate(divide="ignore", invalid="ignore"):
        if not options.curved:
            reach = (-distance - origin[2]) / rays[..., 2]
            hit = origin + rays * reach[..., None]
            return (reach > 0) & (np.abs(hit[..., 0]) <= width / 2) & (np.abs(hit[..., 1]) <= height / 2)
        flat = rays[..., [0, 2]]
        a, b = (flat**2).sum(-1), flat @ origin[[0, 2]]
        reach = (-b + np.sqrt(b**2 - a * ((origin[[0, 2]] ** 2).sum() - distance**2))) / a
        hit = origin + rays * reach[..., None]
        along = np.arctan2(hit[..., 0], -hit[..., 2]) * distance
    return (np.abs(along) <= width / 2) & (np.abs(hit[..., 1]) <= height / 2)


def grown(mask, by_px):
    """The mask and everything within so many pixels of it."""
    padded = np.pad(mask, by_px)
    height, width = mask.shape
    shifts = range(2 * by_px + 1)
    return np.any([padded[y : y + height, x : x + width] for y in shifts for x in shifts], 0)


@pytest.mark.parametrize(
    ("curved", "layers", "kind"),
    [(False, "auto", "quad"), (True, "auto", "cylinder"), (False, "projection", "projection"),
     (True, "projection", "projection")],
)  # fmt: skip
def test_a_screen_stands_where_it_should_for_every_head(watch, curved, layers, kind):
    watched = watch(mode="screen", curved=curved, layers=layers, screen_width_m=2.0)
    watched.stage.show(WHITE)
    assert watched.stage.kind == kind
    for name, head in HEADS.items():
        eyes = watched.look(head)
        for number, seen in enumerate(eyes):
            eye = watched.moment.eyes[number]
            expected = meets_screen(
                eye.pose.position, watched.rays(eye, *seen.shape), watched.headset.options, 128 / 96
            )
            assert expected.mean() > 0.03, name
            assert seen[expected].mean() > 230, name  # a white world is white
            bright = seen > 128
            assert not (bright & ~grown(expected, EDGE_PX)).any(), f"{name}, eye {number}: it reaches too far"
            assert not (expected & ~grown(bright, EDGE_PX)).any(), f"{name}, eye {number}: something is missing"


def stripe():
    """Black, with a white line through its middle and another a quarter from the top."""
    pixels = np.zeros((96, 128, 3), np.uint8)
    pixels[:, 62:66] = 255
    pixels[22:26] = 255
    return pixels


def place(eye, direction, shape):
    """Where a direction in the room lies in an eye, pixels from its left and upper edge."""
    left, right, up, down = np.tan(eye.fov)
    own = eye.pose.matrix.T @ np.asarray(direction)
    x, y = own[0] / -own[2], own[1] / -own[2]
    return (x - left) / (right - left) * shape[1], (y - up) / (down - up) * shape[0]


@pytest.mark.parametrize("layers", ["auto", "projection"])
@pytest.mark.parametrize(("head_deg", "picture_deg"), [((20.0, 0.0), (30.0, 0.0)), ((0.0, 10.0), (-8.0, 5.0))])
def test_a_late_picture_lies_where_its_camera_looked(watch, layers, head_deg, picture_deg):
    watched = watch(mode="inhabit", layers=layers, fov_deg=80.0)
    watched.stage.show(stripe())
    watched.picture_deg = picture_deg
    eyes = watched.look(Pose(turned(*head_deg), (0.3, 1.5, 0.2)))
    picture = Pose(turned(*picture_deg))
    half = math.tan(math.radians(40.0))
    for number, seen in enumerate(eyes):
        eye = watched.moment.eyes[number]
        level = picture.matrix @ (0.0, 0.25 * half * 96 / 128, -1.0)  # between the stripe and the middle
        x, y = place(eye, level, seen.shape)
        row = seen[round(y)]
        assert abs(bright_middle(row) - x) <= EDGE_PX
        upper = picture.matrix @ (0.25 * half, 0.5 * half * 96 / 128, -1.0)  # on the line a quarter from the top
        x, y = place(eye, upper, seen.shape)
        assert abs(bright_middle(seen[:, round(x)]) - y) <= EDGE_PX


@pytest.mark.parametrize("layers", ["auto", "projection"])
def test_a_dome_goes_with_the_head(watch, layers):
    watched = watch(mode="dome", layers=layers, fov_deg=80.0)
    watched.stage.show(stripe())
    for head in (HEADS["ahead"], HEADS["20 degrees to the right"], HEADS["down and to the left"]):
        for number, seen in enumerate(watched.look(head)):
            eye = watched.moment.eyes[number]
            x, y = place(eye, head.matrix @ (0.0, -0.1, -1.0), seen.shape)
            assert abs(bright_middle(seen[round(y)]) - x) <= EDGE_PX


def bright_middle(line):
    """Middle of what is bright in a line of pixels."""
    weights = np.where(line > 100, line, 0)
    assert weights.any()
    return float((weights * (np.arange(len(line)) + 0.5)).sum() / weights.sum())
