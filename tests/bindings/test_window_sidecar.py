"""The window over a real sidecar process: recorded headless by the command line, and killed in the middle of play."""

import json
import os
import signal
import subprocess
import sys
import time

import av
import numpy as np
import pygame
import pytest
from PIL import Image

from inhabit.bindings.window import Connection, Pane, PlayLoop, WindowOptions
from inhabit.bridge.supervisor import Supervisor

PATIENCE_S = 30.0


def inhabit(*arguments: str, program: tuple[str, ...] = ("-m", "inhabit.commands")) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.run(
        [sys.executable, *program, *arguments], env=environment, capture_output=True, text=True, timeout=60
    )


def turn_until(loop, happened) -> None:
    until = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < until, f"it is {loop.panes[0].state}: {loop.panes[0].connection.reason}"
        loop.turn()


@pytest.fixture
def supervised(dummy_display, tmp_path):
    supervisor = Supervisor(["serve", "toy"])
    loop = PlayLoop([Pane(Connection("toy", supervisor=supervisor))], WindowOptions(folder=tmp_path, scale=5))
    yield loop, supervisor
    loop.close()


def test_the_window_is_there_before_the_world_and_says_that_it_loads(supervised):
    loop, _ = supervised
    loop.turn()
    assert loop.panes[0].frame is None
    notice = loop.panes[0].notice(0)
    assert notice is not None
    assert notice.title == "Loading toy"
    turn_until(loop, lambda: loop.panes[0].notice(loop.panes[0].last_ns) is None)
    assert loop.panes[0].frame is not None
    assert loop.screen.size == (320, 240)


def test_a_killed_sidecar_shows_why_and_comes_back_with_what_is_held(supervised, tmp_path):
    loop, supervisor = supervised
    pane = loop.panes[0]
    turn_until(loop, lambda: pane.frames > 5)
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, scancode=pygame.KSCAN_RIGHT, key=0, mod=0))
    turn_until(loop, lambda: pane.log.count > 0)
    epoch = pane.frame.epoch
    os.kill(supervisor.poll().pid, signal.SIGKILL)
    turn_until(loop, lambda: pane.state == "lost" and pane.notice(0).lines)
    assert "SIGKILL" in pane.notice(0).lines[0]
    assert "by itself" in pane.notice(0).way_out
    pygame.time.wait(40)
    loop.turn()
    pygame.image.save(loop.screen.surface, tmp_path / "lost.png")
    turn_until(loop, lambda: pane.frame.epoch > epoch and pane.state == "running")
    before = pane.frame.pixels
    turn_until(loop, lambda: not np.array_equal(pane.frame.pixels, before))  # the key that is held moves it again
    assert pane.notice(pane.last_ns) is None


def test_the_command_records_a_clip_a_sheet_and_a_report(tmp_path):
    out, report = tmp_path / "clip.mp4", tmp_path / "report.json"
    arguments = ("play", "toy", "--seconds", "2", "--seed", "4", "--out", str(out), "--report", str(report))
    done = inhabit(*arguments)
    assert done.returncode == 0, done.stderr
    assert "no display here" in done.stderr
    with av.open(str(out)) as clip:
        pictures = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    middle = pictures[0].shape[0] // 2
    places = {int(np.nonzero((picture[middle] > 60).any(axis=1))[0].mean()) for picture in pictures}
    assert 30 <= len(pictures) <= 61
    assert len(places) > 5, "the scripted keys moved the square"
    with Image.open(out.with_suffix(".png")) as sheet:
        assert sheet.width > 1000
    told = json.loads(report.read_text())
    assert told["frames"] >= 30
    assert told["client"]["fps"] > 0
    assert told["first_frame_s"] > 0
    assert set(told["input_to_frame_ms"]) == {"p50", "p95", "p99"}
    assert told["machine"]["cores"] == os.cpu_count()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("play", "no-such-world"), "got 'no-such-world'"),
        (("play", "--seconds", "0"), "above 0"),
        (("play", "--out", "clip.avi"), "end in .mp4"),
        (("play", "toy", "--report", "/dev/null/report.json"), "Cannot write to /dev/null: "),
        (("serve", "toy", "--snapshots", "/dev/null/kept"), "Cannot write to /dev/null/kept: "),
        (("record", "isle", "-o", "/dev/null/island"), "Cannot write to /dev/null/island: "),
        (("record", "isl", "-o", "x"), "did you mean 'isle'?"),
        (("serve", "doom-centre"), "did you mean 'doom-center'?"),
        (("serve", "toy", "--also", "isl"), "did you mean 'isle'?"),
        (("play", "toy", "--connect", "tcp://127.0.0.1:9", "--compare", "toy"), "Expected --connect alone"),
        (("play", "doom:no-such-level", "--headless"), "no-such-level"),
    ],
)
def test_a_users_mistake_is_one_line(arguments, words, tmp_path):
    done = inhabit(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_without_pygame_the_way_out_is_told():
    program = "import sys; sys.modules['pygame'] = None; from inhabit.commands.__main__ import main; main()"
    done = inhabit("play", "toy", program=("-c", program))
    assert done.returncode == 2
    assert done.stderr.strip() == 'inhabit: pygame-ce is not installed, run `pip install "inhabit[window]"`'


def test_a_prompt_is_typed_sent_and_answered_in_mid_stream(supervised):
    loop, _ = supervised
    pane = loop.panes[0]
    turn_until(loop, lambda: pane.frames > 5)
    epoch = pane.frame.epoch
    ground = tuple(pane.frame.pixels[0, 0])
    post_key(pygame.KSCAN_T, pygame.K_t)
    pygame.event.post(pygame.event.Event(pygame.TEXTINPUT, text="t"))
    loop.turn()
    assert loop.line.is_open
    for letter in "red on mild white":
        pygame.event.post(pygame.event.Event(pygame.TEXTINPUT, text=letter))
    loop.turn()
    assert loop.line.text == "red on mild white"
    post_key(pygame.KSCAN_RETURN, pygame.K_RETURN)
    turn_until(loop, lambda: tuple(pane.frame.pixels[0, 0]) != ground)
    turn_until(loop, lambda: "unknown: mild" in loop.face.toast)
    assert "from frame" in loop.face.toast
    assert pane.frame.epoch == epoch
    post_key(pygame.KSCAN_3, pygame.K_3)
    turn_until(loop, lambda: pane.prompt == "yellow on purple" and tuple(pane.frame.pixels[0, 0]) == (0xA0, 0x50, 0xD0))


def test_a_prompt_that_is_refused_says_what_is_expected(supervised):
    loop, _ = supervised
    turn_until(loop, lambda: loop.panes[0].frames > 5)
    loop.say("gibberish")
    turn_until(loop, lambda: "Expected a colour" in loop.face.toast)


def test_the_world_is_heard(supervised):
    loop, _ = supervised
    turn_until(loop, lambda: loop.speaker.queue is not None and loop.speaker.queue.playing)
    post_key(pygame.KSCAN_F7, pygame.K_F7)
    loop.turn()
    assert loop.speaker.volume < 0.75


def post_key(scancode: int, key: int) -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, scancode=scancode, key=key, mod=0))
    pygame.event.post(pygame.event.Event(pygame.KEYUP, scancode=scancode, key=key, mod=0))


def test_the_real_game_beside_a_dream_has_its_size_and_rate(tmp_path):
    """Or the two would part at once under the same inputs: the agents' pack is square, and half as fast."""
    pytest.importorskip("torch")
    pytest.importorskip("vizdoom")
    out, report = tmp_path / "both.mp4", tmp_path / "both.json"
    done = inhabit("play", "doom-take-cover", "--compare", "doom:take_cover", "--headless", "--seconds", "3",
                   "--out", str(out), "--report", str(report))  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(report.read_text())
    assert told["rate_hz"] == told["compared"]["rate_hz"] == 8.75
    assert told["size_px"] == told["compared"]["size_px"] == [64, 64]
