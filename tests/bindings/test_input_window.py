"""The window plays with a person's own keys, and its help shows them."""

import pygame
import pytest

from inhabit.bindings.input import load_keys
from inhabit.bindings.window import Pane, PlayLoop, WindowOptions
from inhabit.bridge.errors import InhabitError


def keys_from(tmp_path, text):
    path = tmp_path / "keys.toml"
    path.write_text(text)
    return load_keys(path)


def press(scancode):
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, scancode=scancode, key=0, mod=0))


@pytest.fixture
def open_window(fake_connection, clock, dummy_display, tmp_path):
    loops = []

    def open_window(text):
        pane = Pane(fake_connection, keys=keys_from(tmp_path, text))
        loops.append(PlayLoop([pane], WindowOptions(scale=5), clock_ns=clock))
        return loops[0]

    yield open_window
    loops[0].close()


def test_own_keys_move_the_world_and_are_in_the_help(open_window, fake_connection):
    loop = open_window("[toy]\nRIGHT = ['KeyP']\n")
    for _ in range(3):
        loop.turn()
    press(pygame.KSCAN_P)  # would pause, but play comes first
    for _ in range(3):
        loop.turn()
    assert fake_connection.live.sent[-1].held == {"ArrowRight"}
    assert loop.panes[0].state == "running"
    rows = {row.text: row.caps for section in loop.face.sections for row in section.rows}
    assert rows["Right"] == ("P",)
    assert "P" not in rows["Pause or go on"]


def test_a_file_for_another_world_leaves_the_window_with_a_reason(open_window):
    with pytest.raises(InhabitError, match=r"LEFT, RIGHT, FIRE.*got 'SWIM'"):
        open_window("[toy]\nSWIM = ['KeyJ']\n").turn()
