"""The loop turned by hand over a world in this process: keys in, frames out, and what is shown when things go wrong."""

import av
import numpy as np
import pygame
import pytest
from PIL import Image

from inhabit.bindings.window import HeadlessOptions, Pane, PlayLoop, WindowOptions, make_report, record
from inhabit.bridge.errors import InhabitError, WorldError


@pytest.fixture
def loop(fake_connection, clock, dummy_display, tmp_path):
    loop = PlayLoop([Pane(fake_connection)], WindowOptions(folder=tmp_path, scale=5), clock_ns=clock)
    loop.turn()
    yield loop
    if pygame.display.get_init():
        loop.close()


def tap(scancode: int) -> None:
    press(scancode)
    release(scancode)


def press(scancode: int) -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, scancode=scancode, key=0, mod=0))


def release(scancode: int) -> None:
    pygame.event.post(pygame.event.Event(pygame.KEYUP, scancode=scancode, key=0, mod=0))


def turns(loop, count: int = 1) -> None:
    for _ in range(count):
        loop.turn()


def screen(loop) -> np.ndarray:
    return pygame.surfarray.array3d(loop.screen.surface).swapaxes(0, 1)


def square_x(pixels: np.ndarray) -> float:
    """Where the toy's square stands in a picture, 0 to 1."""
    columns = np.nonzero((pixels[pixels.shape[0] // 2] > 60).any(axis=1))[0]
    return float(columns.mean()) / pixels.shape[1]


def test_the_window_takes_the_worlds_size_times_the_scale(loop):
    assert loop.screen.size == (320, 240)


def test_a_held_key_moves_the_world_until_it_is_let_go(loop, fake_connection):
    loop.face._hint_until_ns = 0
    turns(loop)
    start = square_x(screen(loop))
    press(pygame.KSCAN_RIGHT)
    turns(loop, 8)
    assert square_x(screen(loop)) > start + 0.1
    release(pygame.KSCAN_RIGHT)
    turns(loop, 2)
    rest = square_x(screen(loop))
    turns(loop, 4)
    assert square_x(screen(loop)) == rest
    assert [sorted(sent.held) for sent in fake_connection.live.sent] == [["ArrowRight"], []]


def test_each_input_is_listed_with_the_frame_that_answered_it(loop):
    turns(loop)
    index = loop.panes[0].frame.index
    tap(pygame.KSCAN_SPACE)
    turns(loop)
    row = loop.panes[0].log.rows[-1]
    assert (row.text, row.frame) == ("Space tap", index + 1)
    assert row.latency_ms == pytest.approx(37.0)


def test_window_keys_do_not_reach_the_world(loop, fake_connection):
    for scancode in (pygame.KSCAN_F1, pygame.KSCAN_F2, pygame.KSCAN_H):
        tap(scancode)
    turns(loop, 2)
    assert fake_connection.live.sent == []
    assert loop.face.statistics


def test_steps_pause_and_reset_by_key(loop, fake_connection):
    for scancode in (pygame.KSCAN_F3, pygame.KSCAN_2, pygame.KSCAN_F6):
        tap(scancode)
        turns(loop)
    assert loop.panes[0].notice(0).title == "Paused"
    tap(pygame.KSCAN_P)
    tap(pygame.KSCAN_F5)
    turns(loop)
    assert fake_connection.live.calls == ["steps=1", "steps=2", "pause", "resume", "reset"]


def test_a_refusal_is_shown_and_play_goes_on(loop):
    tap(pygame.KSCAN_4)
    turns(loop)
    assert loop.face.toast == "Expected fewer steps, got 4"
    assert not loop.done


def test_page_down_turns_to_the_next_world_and_round_to_the_first(fake_connection, clock, dummy_display, tmp_path):
    made = [fake_connection]

    def remake() -> list[Pane]:
        made.append(type(fake_connection)(clock))
        made[-1].name = f"world {len(made)}"
        return [Pane(made[-1])]

    loop = PlayLoop([Pane(fake_connection)], WindowOptions(folder=tmp_path), channels=(remake, remake), clock_ns=clock)
    try:
        press(pygame.KSCAN_RIGHT)
        turns(loop, 3)
        tap(pygame.KSCAN_PAGEDOWN)
        turns(loop, 3)
        assert fake_connection.live.calls == ["close"]
        assert loop.screen.title == "world 2 - Inhabit"
        assert loop.panes[0].frame is not None
        assert not any(sent.held for sent in made[1].live.sent), "what was held in one world is not held in the next"
        tap(pygame.KSCAN_F9)
        turns(loop, 2)
        tap(pygame.KSCAN_PAGEUP)
        turns(loop, 3)
        assert loop.face.toast.startswith("Saved"), "a clip ends with its world"
        assert [one.live.calls for one in made] == [["close"], ["close"], []]
    finally:
        loop.close()


def test_a_window_with_one_world_leaves_page_down_to_it(loop):
    tap(pygame.KSCAN_PAGEDOWN)
    turns(loop)
    assert loop.panes[0].connection.live.calls == []


def test_escape_frees_the_mouse_then_closes_the_help_then_asks_then_leaves(loop, clock):
    tap(pygame.KSCAN_F4)
    tap(pygame.KSCAN_F2)
    turns(loop)
    assert loop.devices.captured
    assert loop.face.helping
    tap(pygame.KSCAN_ESCAPE)
    turns(loop)
    assert not loop.devices.captured
    tap(pygame.KSCAN_ESCAPE)
    turns(loop)
    assert not loop.face.helping
    tap(pygame.KSCAN_ESCAPE)
    turns(loop)
    assert not loop.done
    clock.advance(4)
    tap(pygame.KSCAN_ESCAPE)
    turns(loop)
    assert not loop.done, "an Escape long after the first one asks again"
    tap(pygame.KSCAN_ESCAPE)
    turns(loop)
    assert loop.done


def test_losing_focus_lets_everything_go(loop, fake_connection):
    press(pygame.KSCAN_RIGHT)
    turns(loop)
    pygame.event.post(pygame.event.Event(pygame.WINDOWFOCUSLOST))
    turns(loop)
    assert fake_connection.live.sent[-1].held == frozenset()


def test_a_lost_sidecar_dims_the_picture_says_why_and_enter_reconnects(loop, fake_connection, tmp_path):
    turns(loop, 3)
    bright = screen(loop).mean()
    fake_connection.lose("Its process was killed.", mending=False)
    turns(loop, 30)
    pygame.image.save(loop.screen.surface, tmp_path / "lost.png")
    notice = loop.panes[0].notice(0)
    assert (notice.title, notice.lines) == ("The sidecar was lost", ("Its process was killed.",))
    assert screen(loop)[:20].mean() < bright
    tap(pygame.KSCAN_RETURN)
    turns(loop, 2)
    assert fake_connection.retried == 1
    assert loop.panes[0].notice(loop.panes[0].last_ns) is None


def test_a_sidecar_that_is_being_mended_says_so(loop, fake_connection):
    fake_connection.lose("It hung.", mending=True)
    turns(loop)
    assert "started again" in loop.panes[0].notice(0).way_out


def test_a_silent_world_is_called_out(loop, clock):
    turns(loop)
    clock.advance(3)
    assert loop.panes[0].notice(clock()).title == "Waiting for the world"


def test_nothing_is_drawn_while_nothing_changes(loop, fake_connection, clock):
    fake_connection.live.state = "paused"
    turns(loop, 2)
    clock.advance(20)
    turns(loop)
    loop.screen.surface.set_at((1, 1), (255, 0, 255))
    turns(loop, 20)
    assert loop.screen.surface.get_at((1, 1))[:3] == (255, 0, 255)


def test_f12_saves_the_world_without_hints(loop, tmp_path):
    tap(pygame.KSCAN_F12)
    turns(loop)
    (picture,) = tmp_path.glob("toy-*.png")
    with Image.open(picture) as image:
        assert image.size == (320, 240)
    assert "Saved" in loop.face.toast


def test_f9_records_a_clip_with_one_picture_for_each_frame(loop, tmp_path):
    turns(loop)
    tap(pygame.KSCAN_F9)
    press(pygame.KSCAN_RIGHT)
    turns(loop, 12)
    tap(pygame.KSCAN_F9)
    turns(loop)
    (path,) = tmp_path.glob("toy-*.mp4")
    with av.open(str(path)) as clip:
        pictures = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
        assert clip.streams.video[0].average_rate == 30
    assert len(pictures) == 12
    assert square_x(pictures[-1]) > square_x(pictures[0]) + 0.1


def test_two_worlds_get_the_same_inputs(fake_connection, clock, dummy_display, tmp_path):
    other = type(fake_connection)(clock)
    panes = [Pane(fake_connection, label="dreamt"), Pane(other, label="real")]
    loop = PlayLoop(panes, WindowOptions(scale=5), clock_ns=clock)
    turns(loop)
    press(pygame.KSCAN_LEFT)
    turns(loop, 3)
    pygame.image.save(loop.screen.surface, tmp_path / "compare.png")
    loop.close()
    assert fake_connection.live.sent == other.live.sent != []
    assert loop.screen.title == "toy | toy - Inhabit"


def test_a_headless_run_plays_the_script_and_writes_clip_and_sheet(fake_connection, clock, dummy_display, tmp_path):
    seen = []
    loop = PlayLoop([Pane(fake_connection)], WindowOptions(scale=4), clock_ns=clock)
    out = tmp_path / "deep" / "clip.mp4"
    sheet = record(loop, HeadlessOptions(seconds=4, out=out, seed=3), seen.append)
    assert sheet == out.with_suffix(".png")
    assert max(seen) >= 4
    with av.open(str(out)) as clip:
        places = {round(square_x(frame.to_ndarray(format="rgb24")), 2) for frame in clip.decode(video=0)}
    assert len(places) > 5, "the script moved the square"
    with Image.open(sheet) as image:
        assert image.width > 6 * 200
    report = make_report(loop.panes[0])
    assert report["frames"] == loop.panes[0].frames
    assert report["inputs"] > 0
    assert set(report["input_to_frame_ms"]) == {"p50", "p95", "p99"}
    assert not list(out.parent.glob("*.partial"))


def test_a_headless_run_ends_with_the_reason_when_the_world_fails(fake_connection, clock, dummy_display, tmp_path):
    fake_connection.live.state, fake_connection.reason = "failed", "The pack is broken"
    loop = PlayLoop([Pane(fake_connection)], clock_ns=clock)
    with pytest.raises(WorldError, match="The pack is broken"):
        record(loop, HeadlessOptions(out=tmp_path / "clip.mp4"), lambda seconds: None)


def test_a_clip_that_cannot_be_written_says_where(fake_connection, clock, dummy_display, tmp_path):
    (tmp_path / "file").touch()
    loop = PlayLoop([Pane(fake_connection)], clock_ns=clock)
    with pytest.raises(InhabitError, match="Cannot write"):
        record(loop, HeadlessOptions(out=tmp_path / "file" / "clip.mp4"), lambda seconds: None)


def test_a_moment_is_kept_in_a_file_and_gone_back_to(loop, fake_connection, tmp_path):
    tap(pygame.KSCAN_HOME)
    turns(loop, 2)
    assert "No moment was kept yet" in loop.face.toast
    tap(pygame.KSCAN_INSERT)
    turns(loop, 3)
    kept = list(tmp_path.glob("toy-*.moment"))
    assert [path.read_bytes() for path in kept] == [b"moment"]
    tap(pygame.KSCAN_HOME)
    turns(loop, 2)
    assert fake_connection.live.calls[-1] == "restore b'moment'"


def test_a_window_may_begin_with_a_moment(fake_connection, clock, dummy_display, tmp_path):
    loop = PlayLoop([Pane(fake_connection)], WindowOptions(folder=tmp_path, moment=b"then"), clock_ns=clock)
    turns(loop, 4)
    assert fake_connection.live.calls.count("restore b'then'") == 1
    assert loop.returning  # nothing has been heard of it
    fake_connection.live.restored = ""
    turns(loop)
    assert not loop.returning
    loop.close()


def test_a_moment_that_the_world_refuses_ends_the_window_with_the_reason(fake_connection, clock, dummy_display):
    fake_connection.live.restored = "Expected a state, got 5 bytes"
    loop = PlayLoop([Pane(fake_connection)], WindowOptions(moment=b"then"), clock_ns=clock)
    with pytest.raises(InhabitError, match="kept in toy, the world refused it: Expected a state, got 5 bytes"):
        turns(loop, 4)
    loop.close()


def test_steps_that_the_world_does_not_have_are_refused(fake_connection, clock, dummy_display):
    loop = PlayLoop([Pane(fake_connection)], WindowOptions(steps=3), clock_ns=clock)
    with pytest.raises(InhabitError, match=r"sampling steps that the world has \(1, 2, 4\), got 3"):
        turns(loop, 4)
    loop.close()
