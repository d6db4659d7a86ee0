"""What is heard: the speaker on SDL's own thread, and the sound of a clip."""

import os
import subprocess
import sys
import time
from contextlib import closing

import av
import numpy as np
import pytest

from inhabit.bindings.window.clip import CLIP_SOUND_HZ, Clip
from inhabit.bindings.window.speaker import VOLUMES, Speaker
from inhabit.bridge.controls import Controls
from inhabit.bridge.frames import Frame
from inhabit.bridge.toy import ToyWorld

RATE_HZ = 16_000
FIRE = Controls(held=frozenset({"Space"}))


def test_a_world_that_keeps_its_rate_is_heard_without_a_gap(dummy_display):
    with closing(Speaker()) as speaker:
        world = ToyWorld(sound_rate_hz=RATE_HZ)
        frame = world.reset(seed=1)
        begun, late_s = time.monotonic(), 0.0
        while frame.index < 45:
            speaker.play(frame, RATE_HZ)
            frame = world.step(FIRE)
            late_s = max(late_s, time.monotonic() - begun - frame.index / 30)
            time.sleep(max(0.0, begun + frame.index / 30 - time.monotonic()))
        queue = speaker.queue
        assert queue is not None
        assert not speaker.trouble
        if late_s > 0.03:
            pytest.skip(f"this machine is too busy: the world was held up for {1000 * late_s:.0f} ms")
        assert queue.underruns == 0
        assert queue.taken > 0.8 * RATE_HZ


def test_closing_never_waits_for_the_thread_that_waits_for_us():
    program = (
        "from inhabit.bindings.window.speaker import Speaker; from inhabit.bridge.toy import ToyWorld\n"
        "import time\n"
        "frame = ToyWorld(sound_rate_hz=48000).reset(seed=1)\n"
        "for number in range(40):\n"
        "    speaker = Speaker(); speaker.play(frame, 48000)\n"
        "    end = time.monotonic() + 0.02 + number / 4000\n"
        "    while time.monotonic() < end: pass\n"  # it does not sleep: the filling thread waits for the interpreter
        "    speaker.close()\n"
        "print('closed')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=dict(os.environ, SDL_AUDIODRIVER="dummy"),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "closed" in done.stdout, done.stderr


def test_without_a_device_it_is_silent_and_says_why():
    program = (
        "from inhabit.bindings.window.speaker import Speaker; from inhabit.bridge.toy import ToyWorld\n"
        "speaker = Speaker(); speaker.play(ToyWorld(sound_rate_hz=16000).reset(seed=1), 16000)\n"
        "print(speaker.trouble); speaker.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=dict(os.environ, SDL_AUDIODRIVER="no-such-driver"),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "No sound: " in done.stdout


def test_the_volume_has_ends():
    speaker = Speaker()
    assert [speaker.turn_volume(False) for _ in range(9)][-1] == VOLUMES[0]
    assert [speaker.turn_volume(True) for _ in range(9)][-1] == VOLUMES[-1]


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 16_030])
def test_a_clip_has_the_sound_at_its_picture(tmp_path, dummy_display, rate_hz):
    import pygame

    world = ToyWorld(sound_rate_hz=rate_hz)
    path = tmp_path / "clip.mp4"
    with Clip(path, (64, 48), 30, sound_rate_hz=rate_hz, sound_channels=2) as clip:
        frame = world.reset(seed=1)
        while frame.index < 60:
            if frame.index % 7 or frame.index == 0:  # some frames never arrive
                clip.add(pygame.Surface((64, 48)), frame)
            frame = world.step(FIRE if 30 <= frame.index + 1 < 40 else Controls())
    with av.open(str(path)) as container:
        sound = np.concatenate([part.to_ndarray() for part in container.decode(audio=0)], axis=1)
    assert sound.shape[1] / CLIP_SOUND_HZ == pytest.approx(2.0, abs=0.1)
    level = np.abs(sound[0][: len(sound[0]) // 192 * 192]).reshape(-1, 192).max(1)
    fired = np.flatnonzero(level > 0.1) * 192 / CLIP_SOUND_HZ
    assert fired.min() == pytest.approx(30 / 30, abs=0.08)
    assert fired.max() == pytest.approx(40 / 30, abs=0.08)


def test_a_frame_without_sound_changes_nothing():
    speaker = Speaker()
    speaker.play(Frame(pixels=np.zeros((8, 8, 3), np.uint8), index=0), RATE_HZ)
    assert speaker.queue is None
