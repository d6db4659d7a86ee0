"""The head as a look control, sound that stays in place, and options: no OpenXR needed to reason about them."""

from collections import deque

import numpy as np
import pytest

pytest.importorskip("xr", reason="pyopenxr is not installed")
from inhabit.bindings.headset import HeadsetOptions
from inhabit.bindings.headset.geometry import Pose, turned, unwound_deg, wrapped_deg
from inhabit.bindings.headset.head_look import HeadLook
from inhabit.bindings.headset.sound import turn_sound
from inhabit.bridge.controls import ActionMap, ActionSource, Controls
from inhabit.bridge.errors import InhabitError

SMOOTH = ActionMap(
    sources=(
        ActionSource(name="LOOK_X", kind="axis", mouse="+x"),
        ActionSource(name="LOOK_Y", kind="axis", mouse="-y"),
    )
)
ON_OFF = ActionMap(sources=(ActionSource(name="LEFT", mouse="-x"), ActionSource(name="RIGHT", mouse="+x")))


class TurningWorld:
    """A camera that really turns, and whose frames come three frames after their input."""

    def __init__(self, actions: ActionMap, turn_deg: float, delay: int = 3):
        self.actions, self.turn_deg = actions, turn_deg
        self.yaw_deg = self.pitch_deg = 0.0
        self._on_the_way = deque([(0, 0.0, 0.0)] * delay)

    def tick(self, sequence: int, dx: float, dy: float) -> tuple[int, float, float]:
        values = self.actions.action(Controls(mouse_dx=dx, mouse_dy=dy))
        if len(values) == 2 and self.actions.names[0] == "LOOK_X":
            self.yaw_deg += values[0] * self.turn_deg
            self.pitch_deg += values[1] * self.turn_deg
        else:
            self.yaw_deg += (values[1] - values[0]) * self.turn_deg
        self._on_the_way.append((sequence, self.yaw_deg, self.pitch_deg))
        return self._on_the_way.popleft()


def play(look, world, heads):
    """Move the head, one direction for each frame; returns how far the picture was put from where the camera looked."""
    slips = []
    for sequence, (yaw, pitch) in enumerate(heads, start=1):
        look.head(yaw, pitch)
        dx, dy = look.push()
        look.sent(sequence)
        answers, true_yaw, true_pitch = world.tick(sequence, dx, dy)
        look.shown(answers)
        slips.append(np.subtract(look.picture_deg, (true_yaw + look.yaw_of_zero_deg, true_pitch)))
    return np.abs(slips).max(0)


def wander(frames=200):
    steps = np.random.default_rng(3).normal(0, 4, (frames, 2)).cumsum(0)
    return [(yaw, float(np.clip(pitch, -80, 80))) for yaw, pitch in steps]


def test_every_late_picture_is_put_where_its_camera_looked():
    look, world = HeadLook(SMOOTH, 6.0, 6.0), TurningWorld(SMOOTH, 6.0)
    assert play(look, world, wander()) == pytest.approx((0, 0), abs=1e-3)


def test_the_world_follows_the_head():
    look, world = HeadLook(SMOOTH, 6.0, 6.0), TurningWorld(SMOOTH, 6.0)
    play(look, world, [(50.0, -20.0)] * 30)
    assert (world.yaw_deg, world.pitch_deg) == pytest.approx((50.0, -20.0), abs=0.01)


def test_on_off_controls_come_within_half_a_turn_and_rest_there():
    look, world = HeadLook(ON_OFF, 6.0, 6.0), TurningWorld(ON_OFF, 6.0)
    assert play(look, world, [(50.0, 0.0)] * 30)[0] == pytest.approx(0, abs=1e-6)
    assert abs(world.yaw_deg - 50.0) <= 3.0
    before = world.yaw_deg
    play(look, world, [(50.0, 0.0)] * 10)
    assert world.yaw_deg == before


def test_turning_round_and_round_has_no_jump():
    look, world = HeadLook(SMOOTH, 6.0, 6.0), TurningWorld(SMOOTH, 6.0)
    play(look, world, [(wrapped_deg(3.0 * step), 0.0) for step in range(250)])
    assert world.yaw_deg == pytest.approx(3.0 * 249, abs=6.1)


def test_recentring_puts_the_picture_ahead():
    look, world = HeadLook(SMOOTH, 6.0, 6.0), TurningWorld(SMOOTH, 6.0)
    play(look, world, [(30.0, 0.0)] * 20)
    look.head(90.0, 0.0)
    look.recentre()
    assert look.picture_deg[0] == pytest.approx(90.0)
    play(look, world, [(90.0, 0.0)] * 20)
    assert world.yaw_deg == pytest.approx(30.0)


def test_a_snap_turns_the_world_about_its_viewer():
    look, world = HeadLook(SMOOTH, 6.0, 6.0), TurningWorld(SMOOTH, 6.0)
    play(look, world, [(0.0, 0.0)] * 5)
    look.snap(30.0)
    play(look, world, [(0.0, 0.0)] * 20)
    assert world.yaw_deg == pytest.approx(30.0)
    assert look.picture_deg[0] == pytest.approx(0.0)


def test_a_world_without_a_look_control_is_never_pushed():
    look = HeadLook(ActionMap(sources=(ActionSource(name="JUMP", keys=("Space",)),)), 6.0, 6.0)
    look.head(40.0, 10.0)
    assert not look.looks
    assert look.push() == (0.0, 0.0)


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (30, 0), (-120, 40), (179, -60)])
def test_directions_survive_being_a_quaternion(yaw, pitch):
    assert Pose(turned(yaw, pitch)).yaw_pitch_deg == pytest.approx((yaw, pitch), abs=1e-6)


def test_yaw_is_to_the_right_and_pitch_is_up():
    ahead = Pose(turned(90.0)).matrix @ (0, 0, -1)
    assert ahead == pytest.approx((1, 0, 0), abs=1e-9)
    assert Pose(turned(0.0, 90.0)).matrix @ (0, 0, -1) == pytest.approx((0, 1, 0), abs=1e-9)
    assert unwound_deg(-170.0, 175.0) == 190.0


def energy(sound):
    return (sound.astype(float) ** 2).mean(0) ** 0.5


def tone(left, right):
    wave = 8000 * np.sin(np.arange(4000) * 0.1)
    return np.stack([wave * left, wave * right], 1).astype(np.int16)


def test_sound_stays_in_place_while_the_head_turns():
    ahead = tone(1.0, 0.3)
    assert np.abs(turn_sound(ahead, 0.0).astype(int) - ahead).max() <= 1
    left, right = energy(turn_sound(tone(1, 1), 60.0))
    assert right > 3 * left  # the picture lies to the right of the head
    assert energy(turn_sound(tone(1, 1), -60.0)) == pytest.approx((right, left), rel=1e-3)
    assert energy(turn_sound(ahead, 180.0)) == pytest.approx(energy(ahead)[::-1], rel=1e-3)
    both = energy(turn_sound(tone(1, 1), 25.0))
    assert (both**2).sum() == pytest.approx((energy(tone(1, 1)) ** 2).sum(), rel=1e-2)


def test_mono_and_silence_are_left_alone():
    mono, silence = np.ones((10, 1), np.int16), np.zeros((0, 2), np.int16)
    assert turn_sound(mono, 40.0) is mono
    assert turn_sound(silence, 40.0) is silence


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "window"}, "Expected a mode of screen, dome, inhabit, got 'window'"),
        ({"layers": "quad"}, "Expected layers to be auto or projection, got 'quad'"),
        ({"upscaler": "best"}, "Expected an upscaler of edge, .*got 'best'"),
        ({"fov_deg": 5.0}, "Expected fov_deg from 20 to 150, got 5.0"),
        ({"vignette": 2.0}, "Expected vignette from 0 to 1, got 2.0"),
    ],
)
def test_a_wrong_option_is_one_clear_line(options, message):
    with pytest.raises(InhabitError, match=message):
        HeadsetOptions(**options)
