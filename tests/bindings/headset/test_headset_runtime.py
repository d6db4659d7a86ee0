"""The headset on a real OpenXR runtime (Monado), its head and hands moved from outside."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("xr", reason="pyopenxr is not installed")
from inhabit.bindings.headset import Headset, HeadsetLoop, HeadsetOptions
from inhabit.bindings.headset.runtime import HeadsetError
from inhabit.bindings.headset.stage import Stage
from inhabit.bindings.input.tables import INDEX, LEFT, RIGHT
from inhabit.bridge.client import LiveWorld
from inhabit.bridge.controls import Controls
from inhabit.bridge.supervisor import Supervisor

pytestmark = pytest.mark.openxr

PATIENCE_S = 10.0


def turn_until(headset, happened, draw=lambda moment: ()):
    """Go on until something is true of the newest moment."""
    seen = []

    def look(moment):
        seen.append(moment)
        return draw(moment)

    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if not headset.turn(look):
            raise AssertionError(f"the session ended: {headset.reason}")
        if seen and happened(seen[-1]):
            return seen[-1]
    raise AssertionError(f"it did not happen in {PATIENCE_S:g} s; the last moment: {seen[-1] if seen else None}")


@pytest.fixture
def headset(monado, body):
    with Headset() as headset:
        yield headset


def test_a_session_comes_to_focus_and_leaves_when_asked(headset):
    assert "Monado" in headset.runtime.name
    turn_until(headset, lambda moment: moment.focused)
    headset.ask_to_end()
    while headset.turn(lambda moment: ()):
        pass
    assert (headset.state, headset.reason) == ("closed", "")
    assert headset.frames > 0
    headset.close()


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 12])
def test_it_can_be_closed_in_every_state(monado, body, turns):
    headset = Headset()
    for _ in range(turns):
        headset.turn(lambda moment: ())
    if turns == 12:
        headset.ask_to_end()
    headset.close()
    headset.close()
    assert headset.state == "closed"


def test_buttons_and_sticks_arrive_exactly(headset, body):
    turn_until(headset, lambda moment: moment.focused)
    assert headset.actions.profiles == {LEFT: INDEX, RIGHT: INDEX} or turn_until(
        headset, lambda moment: headset.actions.profiles == {LEFT: INDEX, RIGHT: INDEX}
    )
    body.right.stick, body.right.trigger = (0.25, -0.75), 0.5
    body.left.stick = (-1.0, 0.5)
    body.right.buttons |= {"a_click", "thumbstick_click"}
    body.left.buttons |= {"b_click"}
    body.send()
    moment = turn_until(headset, lambda moment: "PadY" in moment.controls.held and "PadA" in moment.controls.held)
    assert moment.controls.held == {"PadA", "PadR3", "PadY"}
    # OpenXR's sticks point up, those of Controls down
    assert dict(moment.controls.axes) == pytest.approx(
        {"PadRX": 0.25, "PadRY": 0.75, "PadRT": 0.5, "PadLX": -1.0, "PadLY": -0.5}, abs=1e-6
    )
    moment = turn_until(headset, lambda moment: True)
    assert moment.controls.pressed == frozenset()  # a press is said once
    body.right.buttons -= {"active"}
    body.send()
    moment = turn_until(headset, lambda moment: "PadA" not in moment.controls.held)
    assert moment.controls.held == {"PadY"}
    assert set(moment.controls.axes) == {"PadLX", "PadLY"}


def test_hands_and_head_are_where_they_are(headset, body):
    body.position, body.orientation = (0.1, 1.7, -0.4), (0.0, np.sin(np.radians(-15)), 0.0, np.cos(np.radians(15)))
    body.right.position = (0.2, 1.2, -0.7)
    body.send()
    moment = turn_until(headset, lambda moment: moment.focused and abs(moment.head.position[2] + 0.4) < 0.01)
    assert moment.head.yaw_pitch_deg == pytest.approx((30.0, 0.0), abs=0.1)
    assert moment.eyes[0].pose.position[0] < moment.eyes[1].pose.position[0]
    headset.actions.pulse("right_pulse")
    hand = headset.actions.hand("right_hand", headset.local, moment.time)
    assert hand is not None
    body.right.buttons -= {"active"}
    body.send()
    turn_until(headset, lambda moment: headset.actions.hand("right_hand", headset.local, moment.time) is None)


@pytest.fixture
def play(monado, body):
    """Play the toy: give it options, get a loop that has frames and its sidecar."""
    with contextlib.ExitStack() as stack:

        def play(*, mended=False, **options):
            sidecar = stack.enter_context(Supervisor(["serve", "toy"]))
            world = stack.enter_context(LiveWorld(sidecar.wait_until_listening()))
            headset = stack.enter_context(Headset(HeadsetOptions(**{"sound": False, **options})))
            loop = HeadsetLoop(headset, world, supervisor=sidecar if mended else None)
            stack.callback(loop.close)
            until = time.monotonic() + PATIENCE_S
            while loop.world_frames < 10 and time.monotonic() < until:
                assert loop.turn(), loop.headset.reason
            return loop, sidecar

        yield play


@pytest.mark.slow
@pytest.mark.parametrize("layers", ["auto", "projection"])
def test_a_world_that_stops_does_not_stop_the_display(play, layers):
    loop, sidecar = play(layers=layers)
    headset, pid = loop.headset, sidecar.poll().pid
    os.kill(pid, signal.SIGSTOP)
    try:
        while loop.turn() and loop.world.poll(0.0) is not None:
            pass
        frames, seen, began = headset.frames, loop.world_frames, time.monotonic()
        headset.longest_gap_ns = 0
        while time.monotonic() - began < 5.0:
            assert loop.turn()
        assert loop.world_frames == seen
    finally:
        os.kill(pid, signal.SIGCONT)
    # this compositor shows 20 frames a second; half of them would already be a stall on a busy machine
    assert headset.frames - frames > 50
    assert headset.longest_gap_ns / 1e9 < 0.5


@pytest.mark.slow
def test_the_head_turns_a_world_that_can_only_be_turned_left_and_right(play, body):
    loop, _ = play(mode="inhabit", turn_deg=5.0)
    before = square_x(loop.frame.pixels)
    body.orientation = (0.0, np.sin(np.radians(-10)), 0.0, np.cos(np.radians(10)))
    body.send()
    began = time.monotonic()
    while time.monotonic() - began < 2.0:
        loop.turn()
    # 20 degrees to the right are four frames of RIGHT, 2 pixels each
    assert square_x(loop.frame.pixels) - before == pytest.approx(8, abs=2)
    assert loop.look.picture_deg[0] == pytest.approx(20.0, abs=0.1)


def square_x(pixels):
    return float(np.nonzero((pixels[24] > 60).any(1))[0].mean())


def test_a_runtime_that_dies_in_mid_session_is_survived(mortal_monado):
    service, new_body = mortal_monado
    body = new_body()
    body.send()
    headset = Headset()
    turn_until(headset, lambda moment: moment.focused)
    service.process.kill()
    service.process.wait(10)
    began = time.monotonic()
    while headset.turn(lambda moment: ()):
        assert time.monotonic() - began < PATIENCE_S
    assert headset.state == "lost"
    assert "runtime was lost" in headset.reason
    headset.close()
    assert headset.state == "lost"
    body.close()


class PausingWorld:
    """Only what follow-the-focus asks of a world."""

    def __init__(self):
        self.state, self.calls = "running", []

    def poll(self, timeout_s):
        return None

    @property
    def info(self):
        from inhabit.bridge.toy import ToyWorld

        return ToyWorld().info

    def send(self, controls):
        self.calls.append(sorted(controls.held))
        return 1

    def pause(self):
        self.state = "paused"
        self.calls.append("pause")

    def resume(self):
        self.state = "running"
        self.calls.append("resume")


@pytest.mark.slow
def test_a_world_that_dies_is_explained_and_comes_back(play):
    loop, sidecar = play(layers="projection", mended=True)
    loop.stage.keep = True
    turn_loop_until(loop, lambda: loop.stage.kept)
    os.kill(sidecar.poll().pid, signal.SIGKILL)
    turn_loop_until(loop, lambda: loop.world.state == "lost")
    frames = loop.headset.frames
    turn_loop_until(loop, lambda: loop.headset.frames > frames + 2)
    assert loop._told == "The world was lost"
    words = loop.stage.kept[0].min(2) > 100  # white letters, and nothing else is as bright
    assert words.sum() > 30
    seen = loop.world_frames
    turn_loop_until(loop, lambda: loop.world_frames > seen + 5)
    assert loop._told == ""


@pytest.mark.slow
def test_a_world_is_heard(play):
    loop, _ = play(sound=True)
    turn_loop_until(loop, lambda: loop._speaker.queue is not None and loop._speaker.queue.taken > 0)
    assert loop._speaker.trouble == ""


OTHER_APP = """
import sys
from inhabit.bindings.headset import Headset
with Headset() as headset:
    while headset.state != "focused":
        headset.turn(lambda moment: ())
    print("focused", flush=True)
    while headset.turn(lambda moment: ()):
        pass
"""


def control(monado, *arguments) -> str:
    """Speak to the service as its user would."""
    from inhabit.bindings.headset.monado import monado_folder

    told = subprocess.run(
        [monado_folder() / "bin" / "monado-ctl", *arguments], capture_output=True, text=True, timeout=20, check=True
    )
    return told.stdout


@pytest.mark.slow
def test_the_world_rests_while_another_app_has_the_headset(play, monado, body):
    loop, _ = play()
    other = subprocess.Popen([sys.executable, "-c", OTHER_APP], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        turn_loop_until(loop, lambda: loop.headset.state != "focused")
        turn_loop_until(loop, lambda: loop.world.state == "paused")
        frames = loop.headset.frames
        turn_loop_until(loop, lambda: loop.headset.frames > frames + 5)  # the session itself goes on
        line = next(line for line in control(monado).splitlines() if f"pid: {os.getpid()}\t" in line)
        control(monado, "-p", line.split("id:")[1].split()[0])
        turn_loop_until(loop, lambda: loop.headset.state == "focused")
        turn_loop_until(loop, lambda: loop.world.state == "running")
        seen = loop.world_frames
        turn_loop_until(loop, lambda: loop.world_frames > seen + 5)
    finally:
        other.kill()
        other.communicate(timeout=10)


@pytest.mark.slow
def test_the_runtimes_own_recentring_is_followed(play, monado, body):
    loop, _ = play(mode="inhabit")
    body.orientation = (0.0, np.sin(np.radians(-20)), 0.0, np.cos(np.radians(20)))
    body.send()
    turn_loop_until(loop, lambda: loop.look is not None and abs(loop.look._head_deg - 40.0) < 0.5)
    control(monado, "-c")
    turn_loop_until(loop, lambda: abs(loop.look.picture_deg[0] - loop.look._head_deg) < 7.0)
    assert not loop.headset.moved


def turn_loop_until(loop, happened):
    until = time.monotonic() + PATIENCE_S
    while not happened():
        assert loop.turn(), loop.headset.reason
        assert time.monotonic() < until, f"it did not happen in {PATIENCE_S:g} s, {loop.headset.state}"


def test_snap_turns_and_recentring_come_from_the_sticks(headset):
    world: Any = PausingWorld()
    object.__setattr__(headset.options, "snap_turn_deg", 30.0)
    loop = HeadsetLoop(headset, world)
    turn_until(headset, lambda moment: moment.focused, loop._draw)
    loop.turn()
    assert loop.look is not None
    for tilt in (0.9, 1.0, 0.0, 0.9):  # two pushes, the first held for two frames
        loop._say(Controls(axes=MappingProxyType({"PadRX": tilt, "PadLX": 1.0})))
    assert loop.look.yaw_of_zero_deg == -60.0
    assert set(loop._said.axes) == {"PadLX"}
    loop._say(Controls(held=frozenset({"PadL3", "PadR3"})))
    turn_until(headset, lambda moment: True, loop._draw)
    assert loop.look.picture_deg[0] == pytest.approx(loop.look._head_deg)
    loop.close()


def test_without_a_runtime_one_line_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("XR_RUNTIME_JSON", str(tmp_path / "none.json"))
    with pytest.raises(HeadsetError, match=r"Cannot read XR_RUNTIME_JSON=.*none.json: No such file"):
        Headset()
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{}")
    monkeypatch.setenv("XR_RUNTIME_JSON", str(wrong))
    with pytest.raises(HeadsetError, match="Expected an OpenXR runtime manifest, got something else"):
        Headset()
    wrong.write_text('{"file_format_version": "1.0.0", "runtime": {"library_path": "./gone.so"}}')
    with pytest.raises(HeadsetError, match=r"Expected the OpenXR runtime .*gone.so, got no such file"):
        Headset()


def test_without_any_runtime_the_way_out_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("XR_RUNTIME_JSON", raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    with pytest.raises(HeadsetError, match=r"There is no OpenXR runtime: install one .*XR_RUNTIME_JSON"):
        Headset()


def test_a_service_that_does_not_run_is_named(shared_monado, monkeypatch, tmp_path):
    monkeypatch.setenv("XR_RUNTIME_JSON", shared_monado[0].environment["XR_RUNTIME_JSON"])
    monkeypatch.setenv("OXR_NO_PRINTING", "1")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(HeadsetError, match=r"does not answer.*start its service"):
        Headset()


VALIDATED = """
import sys
import numpy as np
from inhabit.bindings.headset import Headset, HeadsetOptions
from inhabit.bindings.headset.geometry import Pose
from inhabit.bindings.headset.stage import Stage
mode, layers, curved = sys.argv[1], sys.argv[2], sys.argv[3] == "curved"
with Headset(HeadsetOptions(mode=mode, layers=layers, curved=curved)) as headset:
    stage = Stage(headset)
    while headset.frames < 12:
        stage.show(np.full((48, 64, 3), headset.frames * 10, np.uint8))
        assert headset.turn(lambda moment: stage.layers(moment, Pose(), (10.0, 5.0)))
    headset.ask_to_end()
    while headset.turn(lambda moment: ()):
        pass
    stage.release()
print("done", headset.state)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "layers", "curved"),
    [
        ("screen", "auto", "curved"), ("screen", "auto", "flat"), ("screen", "projection", "curved"),
        ("dome", "auto", "curved"), ("inhabit", "auto", "curved"), ("inhabit", "projection", "curved"),
    ],
)  # fmt: skip
def test_the_validation_layer_has_nothing_to_say(monado, body, tmp_path, mode, layers, curved):
    log = tmp_path / "validation.txt"
    watched = {
        "XR_ENABLE_API_LAYERS": "XR_APILAYER_LUNARG_core_validation", "XR_CORE_VALIDATION_EXPORT_TYPE": "text",
        "XR_CORE_VALIDATION_FILE_NAME": str(log), "XR_LOADER_DEBUG": "error",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", VALIDATED, mode, layers, curved],
        capture_output=True, text=True, timeout=60, env={**os.environ, **watched},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "done closed" in done.stdout
    said = log.read_text() if log.exists() else ""
    assert "XR_APILAYER_LUNARG_core_validation" in said or "Core Validation" in said, (done.stdout, done.stderr)
    complaints = [line for line in said.splitlines() if "ERROR" in line.upper() or "WARNING" in line.upper()]
    assert not complaints


def eyes_of(headset, pixels, *, vignette=0.0):
    """What both eyes are drawn, for a head that looks at the middle of a screen."""
    stage = Stage(headset)
    stage.show(pixels)
    stage.keep, stage.vignette = True, vignette
    turn_until(
        headset, lambda moment: len(stage.kept) == 2, lambda moment: stage.layers(moment, moment.head, (0.0, 0.0))
    )
    kept = stage.kept
    stage.release()
    return [eye.astype(float).mean(2) for eye in kept]


def test_the_vignette_darkens_the_edge_and_leaves_the_middle(monado, body):
    white = np.full((96, 128, 3), 255, np.uint8)
    with Headset(HeadsetOptions(mode="dome", fov_deg=150.0, vignette=1.0)) as headset:
        clear, shaded = eyes_of(headset, white), eyes_of(headset, white, vignette=1.0)
    for before, after in zip(clear, shaded, strict=True):
        assert after[120, 160] == before[120, 160] == 255
        assert before[[0, 0, -1, -1], [0, -1, 0, -1]].min() > 200
        assert after[[0, 0, -1, -1], [0, -1, 0, -1]].max() < 10


def test_a_smaller_world_is_nearer_at_the_same_size(monado, body):
    stripe = np.zeros((96, 128, 3), np.uint8)
    stripe[:, 60:68] = 255
    apart, wide = [], []
    for scale in (1.0, 0.25):
        with Headset(HeadsetOptions(layers="projection", curved=False, world_scale=scale)) as headset:
            eyes = eyes_of(headset, stripe)
        rows = [eye[120] for eye in eyes]
        middles = [float((row * np.arange(len(row))).sum() / row.sum()) for row in rows]
        apart.append(middles[0] - middles[1])
        wide.append(float(rows[0].sum()))
    assert apart[1] == pytest.approx(4 * apart[0], rel=0.1)  # the eyes turn in four times as far
    assert wide[1] == pytest.approx(wide[0], rel=0.1)
