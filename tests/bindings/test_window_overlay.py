"""What is drawn where: layout, statistics, help and notices, at small and large sizes. PNGs go to the test's folder."""

import numpy as np
import pygame
import pytest

from inhabit.bindings.window.help import draw_help, help_pages, help_sections
from inhabit.bindings.window.keys import COMMANDS, action_title, keys_for, label, window_keys
from inhabit.bindings.window.latency import InputEvent
from inhabit.bindings.window.overlay import (
    Notice,
    Statistics,
    draw_label,
    draw_line,
    draw_notice,
    draw_recording,
    draw_statistics,
    draw_strip,
)
from inhabit.bindings.window.paint import Painter
from inhabit.bindings.window.screen import fit, opening_size, split
from inhabit.bridge.controls import BUTTONS, IDLE, ActionMap, ActionSource
from inhabit.bridge.world import WorldInfo

SIZES = ((320, 240), (640, 480), (1920, 1080))
DOOM = ActionMap(
    sources=(
        ActionSource(name="MOVE_FORWARD", keys=("KeyW", "ArrowUp"), pad=("-PadLY",)),
        ActionSource(name="TURN_LEFT", keys=("KeyA", "ArrowLeft"), pad=("-PadRX",), mouse="-x"),
        ActionSource(name="TURN_RIGHT", keys=("KeyD", "ArrowRight"), pad=("+PadRX",), mouse="+x"),
        ActionSource(name="ATTACK", keys=("Space", "ControlLeft", "Mouse0", "PadA"), pad=("+PadRT",)),
    )
)
TEXTS = ("ArrowLeft down", "ArrowLeft up", "Space down", "Space up", "mouse +34 -2", "PadLX +0.55")
EVENTS = tuple(InputEvent(n, text, IDLE, 0, False, 1200 + 3 * n, 38.0 + n) for n, text in enumerate(TEXTS))
STATISTICS = Statistics(
    title="doom-center", state="running", fps=34.8, rate_hz=35, latency_ms=(41.3, 58.9),
    facts=(("frame", "1215"), ("dropped", "3"), ("steps", "2"), ("made in", "24.1 ms")), events=EVENTS,
)  # fmt: skip
LOST = Notice(title="The sidecar was lost", lines=("Its process was killed.",), way_out="F5 reconnects", busy_s=1.0)


@pytest.fixture(scope="module")
def painter():
    return Painter()


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def surface(request):
    surface = pygame.Surface(request.param)
    surface.fill((90, 140, 60))
    return surface


def changed(surface) -> pygame.Rect:
    """The smallest rectangle around every pixel that is not the ground any more."""
    different = np.any(pygame.surfarray.array3d(surface) != (90, 140, 60), axis=2)
    xs, ys = np.nonzero(different.any(axis=1))[0], np.nonzero(different.any(axis=0))[0]
    assert len(xs), "nothing was drawn"
    return pygame.Rect(xs[0], ys[0], xs[-1] - xs[0] + 1, ys[-1] - ys[0] + 1)


@pytest.mark.parametrize(
    ("content", "room", "expected", "smooth"),
    [
        ((64, 48), (640, 480), (0, 0, 640, 480), False),
        ((64, 48), (660, 500), (10, 10, 640, 480), False),
        ((64, 48), (700, 525), (30, 22, 640, 480), False),
        ((160, 120), (300, 225), (0, 0, 300, 225), True),
        ((160, 120), (80, 60), (0, 0, 80, 60), True),
        ((64, 48), (1000, 96), (436, 0, 128, 96), False),
    ],
)
def test_pictures_keep_their_shape_and_stay_sharp_where_whole_pixels_fit(content, room, expected, smooth):
    assert fit(content[0], content[1], pygame.Rect((0, 0), room)) == (pygame.Rect(expected), smooth)


def test_two_panes_are_equal_and_apart():
    left, right = split(pygame.Rect(0, 0, 1008, 300), 2)
    assert (left.width, right.width, right.left - left.right) == (500, 500, 8)


def test_a_new_window_leaves_some_desktop_free():
    assert opening_size((160, 120), (1920, 1080)) == (1120, 840)
    assert opening_size((160, 120), (1920, 1080), scale=2) == (320, 240)
    assert opening_size((4000, 3000), (1920, 1080)) == (4000, 3000)


def test_statistics_stay_in_their_corner(painter, surface, tmp_path):
    rect = draw_statistics(painter, surface, surface.get_rect(), STATISTICS)
    pygame.image.save(surface, tmp_path / "statistics.png")
    assert surface.get_rect().contains(rect)
    assert rect.contains(changed(surface))
    assert rect.width * rect.height < 0.55 * surface.get_width() * surface.get_height()


def info_of(actions: ActionMap, *, steps: tuple[int, ...] = (1, 2, 4), **fields) -> WorldInfo:
    return WorldInfo(name="x", width=128, height=96, rate_hz=17.5, actions=actions, steps=steps, **fields)


def test_digits_say_the_worlds_own_prompts_where_it_has_some():
    plain = ActionMap(sources=(ActionSource(name="JUMP", keys=("Space",)),))
    owned = window_keys(info_of(plain, prompts=("snow", "night")))
    assert (owned["Digit1"], owned["Digit2"], owned["KeyT"]) == ("prompt 1", "prompt 2", "prompt")
    assert "Digit4" not in owned
    assert owned["F3"] == "steps"


@pytest.mark.parametrize("text", ["", "a red tower", "a very long wish " * 20])
def test_the_line_in_which_one_types_stays_inside(painter, surface, text):
    rect = draw_line(painter, surface, text, len(text), ("make it night", "snow", "a red tower in the fog"))
    assert surface.get_rect().contains(rect)


def test_statistics_show_all_eight_rows_at_usual_sizes(painter):
    surface = pygame.Surface((640, 480))
    with_events = draw_statistics(painter, surface, surface.get_rect(), STATISTICS)
    without = draw_statistics(
        painter, surface, surface.get_rect(),
        Statistics(title="x", state="running", fps=1, rate_hz=1, latency_ms=None, facts=STATISTICS.facts),
    )  # fmt: skip
    assert with_events.height > without.height + len(EVENTS) * 10


def test_help_fits_every_window_and_is_one_page_where_there_is_room(painter, surface, tmp_path):
    pages = help_pages(painter, surface, help_sections(DOOM, window_keys(info_of(DOOM))))
    assert len(pages) == (2 if surface.get_width() == 320 else 1)
    for number, page in enumerate(pages):
        rect = draw_help(painter, surface, page)
        pygame.image.save(surface, tmp_path / f"help-{number}.png")
        assert surface.get_rect().contains(rect)


def test_notices_strips_labels_and_the_recording_mark_stay_inside(painter, surface, tmp_path):
    room = surface.get_rect()
    assert room.contains(draw_notice(painter, surface, room, LOST))
    assert draw_notice(painter, surface, room, LOST).center == room.center
    bottom = draw_strip(painter, surface, "F2 help  ·  F1 statistics  ·  Esc leave")
    top = draw_strip(painter, surface, "Saved " + "a-long-name " * 12, top=True)
    assert room.contains(bottom)
    assert room.contains(top)
    assert top.bottom < bottom.top
    draw_label(painter, surface, room, "dreamt: doom-center")
    draw_recording(painter, surface, 73)
    pygame.image.save(surface, tmp_path / "notice.png")


def test_help_tells_what_the_world_listens_to():
    play, window = help_sections(DOOM, window_keys(info_of(DOOM)))
    rows = {row.text: row.caps for row in play.rows}
    assert rows["Turn left"] == ("A", "Left", "Mouse left", "Right stick left")
    assert rows["Attack"] == ("Space", "Left Ctrl", "Left click", "Pad A", "Pad RT")
    assert ("F3", "1", "2", "4") in [row.caps for row in window.rows]


def test_an_analog_action_has_a_row_for_each_direction():
    source = ActionSource(name="YAW", kind="axis", keys=("KeyD",), keys_back=("KeyA",), pad=("+PadRX",), mouse="+x")
    play, _ = help_sections(ActionMap(sources=(source,)), {"F2": "help"})
    assert [(row.text, row.caps) for row in play.rows] == [
        ("Yaw -", ("A", "Mouse left", "Right stick left")),
        ("Yaw +", ("D", "Mouse right", "Right stick right")),
    ]


def test_the_worlds_keys_win_and_every_command_keeps_a_key():
    letters = (*(f"Key{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"), "Digit1", "Digit2", "Digit4")
    greedy = ActionMap(sources=(ActionSource(name="ANYTHING", keys=letters, mouse="+x"),))
    owned = window_keys(info_of(greedy, prompts=("snow",), sound_rate_hz=16_000), worlds=2)
    assert not set(owned) & set(letters)
    for command in COMMANDS:
        optional = not command.text or command.name.startswith("prompt ")
        assert keys_for(command.name, owned) or optional, command.name


def test_a_world_may_take_function_keys_but_never_the_way_out():
    owned = window_keys(info_of(ActionMap(sources=(ActionSource(name="MAP", keys=("F1", "Escape")),))))
    assert "F1" not in owned
    assert owned["Escape"] == "escape"


def test_keys_for_what_the_world_cannot_do_are_not_offered():
    plain = ActionMap(sources=(ActionSource(name="JUMP", keys=("Space",)),))
    assert {"steps", "steps 1", "mouse", "prompt", "prompt 1", "louder"}.isdisjoint(
        window_keys(info_of(plain, steps=())).values()
    )


def test_every_key_has_a_readable_name():
    names = [label(name) for name in BUTTONS]
    assert len(set(names)) == len(names)
    assert not [name for name in names if name.startswith(("Key", "Digit", "Arrow")) and not name.startswith("Keypad")]
    assert action_title("MOVE_FORWARD") == "Move forward"
