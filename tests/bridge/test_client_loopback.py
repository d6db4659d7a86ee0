"""Clients and sidecar together, on a fake clock."""

from __future__ import annotations

import dataclasses
import random
from collections import deque

import msgspec
import numpy as np
import pytest

from inhabit.bridge.controls import Controls
from inhabit.bridge.errors import LocalProtocolError, WorldError
from inhabit.bridge.fields import Limits
from inhabit.bridge.frames import Frame
from inhabit.bridge.sidecar import Sidecar
from inhabit.bridge.toy import ToyWorld
from inhabit.bridge.world import check_world

RIGHT = Controls(held=frozenset({"ArrowRight"}))


class BrokenWorld(ToyWorld):
    """Breaks at its third frame."""

    def step(self, controls: Controls) -> Frame:
        frame = super().step(controls)
        if frame.index == 3:
            raise RuntimeError("a secret path: /home/me")
        return frame


class CountingWorld(ToyWorld):
    """Remembers every press that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.pressed: list[str] = []
        self.travel = 0.0

    def step(self, controls: Controls) -> Frame:
        self.pressed += sorted(controls.pressed)
        self.travel += controls.mouse_dx
        return super().step(controls)


def playing(stage, **options):
    live = stage.live(**options)
    for _ in range(50):
        stage.run(1, live)
        if live.state == "running":
            return live
    raise AssertionError(f"not running but {live.state}: {live.reason}")


def test_remote_world_keeps_the_contract(stage):
    check_world(stage.remote())


def test_remote_world_gives_the_frames_of_the_world_itself(stage):
    near, far = ToyWorld(), stage.remote()
    assert np.array_equal(near.reset(seed=3).pixels, far.reset(seed=3).pixels)
    for _ in range(5):
        one, other = near.step(RIGHT), far.step(RIGHT)
        assert np.array_equal(one.pixels, other.pixels)
        assert (one.index, one.reward, one.terminated) == (other.index, other.reward, other.terminated)


class SlowPictures:
    """A client's connections, of which `vid` takes 20 ms longer than `ctl`."""

    def __init__(self, inner, clock):
        self._inner, self._clock, self._held = inner, clock, deque()

    def receive(self):
        while (arrived := self._inner.receive()) is not None:
            if arrived[0] == "ctl":
                return arrived
            self._held.append((self._clock() + 20_000_000, arrived))
        return self._held.popleft()[1] if self._held and self._held[0][0] <= self._clock() else None

    def __getattr__(self, name):
        return getattr(self._inner, name)


def test_poll_after_a_reset_waits_for_the_next_frame_and_no_longer(stage, monkeypatch):
    """The frame that was on its way when the reset was made is not the one that the caller waits for."""
    connect = stage.hub.connect
    monkeypatch.setattr(stage.hub, "connect", lambda: SlowPictures(connect(), stage.clock))
    live = playing(stage)
    for ms in range(0, 120, 3):  # at every moment of a frame's time
        stage.run(ms % 40, live)
        live.reset(seed=ms)
        stage.run(2)
        before = stage.clock()
        frame = live.poll(0.5)
        assert frame is not None, ms
        assert frame.epoch == live.epoch
        assert stage.clock() - before < 100_000_000, f"a frame takes 33 ms and 20 on its way, at {ms}"


def test_live_world_runs_by_itself_without_input(stage):
    live = playing(stage)
    indices = []
    for _ in range(500):
        stage.run(1)
        frame = live.poll()
        if frame:
            indices.append(frame.index)
    assert indices == list(range(indices[0], indices[0] + len(indices)))
    assert len(indices) == pytest.approx(0.5 * 30, abs=1)


def test_frame_echoes_the_input_it_shows(stage):
    live = playing(stage)
    stage.run(100, live)
    sent_ns = stage.clock()
    seq = live.send(RIGHT)
    while (frame := live.poll()) is None or frame.answers < seq:
        stage.run(1)
    assert frame.answers == seq
    assert frame.stamps.client_input_ns == sent_ns
    stamps = frame.stamps
    assert sent_ns <= stamps.server_received_ns <= stamps.server_sampled_ns <= stamps.server_done_ns
    assert stamps.server_done_ns <= stamps.server_sent_ns <= stamps.client_arrived_ns <= sent_ns + 40_000_000


def test_held_key_survives_without_events_and_is_released_without_client(stage):
    live = playing(stage)
    live.send(RIGHT)
    first = column_after(stage, live, 400)
    second = column_after(stage, live, 400)
    assert second > first, "held for 0.8 s by repetition alone"
    stage.run(400)  # nobody polls: the client has vanished
    third = column_after(stage, live, 1)
    stage.run(400)
    assert column_after(stage, live, 1) - third <= 2 * 10, "released after the time-out of 250 ms"


def column_after(stage, live, ms):
    newest = None
    for _ in range(ms):
        stage.run(1)
        newest = live.poll() or newest
    while newest is None:
        stage.run(1)
        newest = live.poll()
    return int(np.argmax(newest.pixels[newest.pixels.shape[0] // 2].sum(axis=-1) > 72))


def test_credit_bounds_the_age_of_frames_for_a_slow_client(stage):
    live = playing(stage)
    ages = []
    for _ in range(20):
        stage.run(150)
        frame = live.poll(timeout_s=0.1)
        assert frame is not None
        ages.append((stage.clock() - frame.stamps.server_done_ns) / 1e6)
    assert max(ages[1:]) <= 1000 / 30 + 2, ages


def test_slow_client_misses_frames_but_not_what_happened_in_them(stage):
    live = playing(stage)
    live.send(Controls(pressed=frozenset({"Space"})))
    stage.run(300)
    frames = [frame for _ in range(3) if (frame := (stage.run(1), live.poll())[1]) is not None]
    assert sum(frame.reward for frame in frames) == 1.0


def test_taps_and_travel_arrive_once_though_the_client_is_faster_than_the_world(make_stage):
    world = CountingWorld()
    stage = make_stage(lambda: world)
    live = playing(stage)
    for number in range(120):
        live.send(Controls(pressed=frozenset({"KeyT"} if number % 40 == 0 else ()), mouse_dx=1.5))
        stage.run(3, live)
    stage.run(100, live)
    assert world.pressed == ["KeyT"] * 3
    assert world.travel == 120 * 1.5


def test_reset_begins_a_higher_epoch(stage):
    live = playing(stage)
    stage.run(100, live)
    before = live.epoch
    live.reset(seed=5)
    while (frame := live.poll()) is None or frame.epoch == before:
        stage.run(1)
    assert frame.epoch == live.epoch == before + 1
    assert frame.index == 0


def test_pause_stops_the_world_and_resume_lets_it_go_on(stage):
    live = playing(stage)
    live.pause()
    stage.run(50, live)
    assert live.state == "paused"
    made = live.stats()["made"]
    stage.run(700, live)
    assert live.stats()["made"] <= made + 1
    live.resume()
    stage.run(700, live)
    assert live.state == "running"
    assert live.stats()["made"] > made + 5


def test_refused_setting_is_told_and_changes_nothing(stage):
    live = playing(stage)
    live.configure(steps=3)
    stage.run(10, live)
    assert live.state == "running"
    assert "Expected steps to be one of (1, 2, 4), got steps=3" in live.reason


def test_unknown_key_is_refused_where_it_is_made(stage):
    live = playing(stage)
    with pytest.raises(LocalProtocolError, match="got 'Jump'"):
        live.send(Controls(held=frozenset({"Jump"})))


def test_hung_world_is_lost_within_its_time_and_says_so(stage):
    live = playing(stage)
    stage.run(500, live)
    stage.hanging = True
    stage.run(1900, live)
    assert live.state == "running"
    stage.run(700, live)
    assert live.state == "lost"
    assert "hangs" in live.reason


def test_vanished_sidecar_is_lost_and_told_apart_from_a_hung_one(stage):
    live = playing(stage)
    for _ in range(3000):
        stage.clock.advance(1)
        live.poll()
    assert live.state == "lost"
    assert "gone" in live.reason


def test_sidecar_started_anew_at_the_same_address_knows_no_old_session(stage):
    live = playing(stage)
    stage.sidecar = Sidecar(ToyWorld, clock=stage.clock)
    stage.run(700, live)
    assert live.state == "lost"
    assert live.reason.startswith("The session is over")
    live.reconnect()
    stage.run(50, live)
    assert live.state == "running"


def test_caller_that_was_away_does_not_call_the_sidecar_lost(stage):
    live = playing(stage)
    stage.clock.advance(2900)  # everything stood still, as in a suspended machine
    live.poll()
    stage.run(50, live)
    assert live.state == "running"


def test_nothing_answers(stage):
    live = stage.live(timeout_s=1.0)
    for _ in range(1100):
        stage.clock.advance(1)
        live.poll()
    assert live.state == "lost"
    assert "Nothing answers at loopback within 1 s" in live.reason
    with pytest.raises(WorldError, match="Nothing answers"):
        _ = live.info


def test_reconnect_begins_a_new_session_above_the_old_epochs(stage):
    live = playing(stage)
    before = live.epoch
    live.reconnect()
    stage.run(50, live)
    assert live.state == "running"
    assert live.epoch > before


def test_broken_connection_goes_on_in_the_same_session(stage):
    transports = []

    def connect(endpoint):
        transports.append(stage.hub.connect())
        return transports[-1]

    from inhabit.bridge.client import LiveWorld

    live = LiveWorld("loopback", connect=connect, clock=stage.clock)
    stage.run(200, live)
    made, epoch = live.stats()["frames"], live.epoch
    transports[0].connect()
    stage.run(1500, live)
    assert live.state == "running"
    assert live.epoch == epoch
    assert live.stats()["frames"] > made + 5


def test_steps_are_done_once_though_connections_break(stage):
    transports = []

    def connect(endpoint):
        transports.append(stage.hub.connect())
        return transports[-1]

    from inhabit.bridge.client import RemoteWorld

    remote = RemoteWorld("loopback", connect=connect, clock=stage.clock)
    remote.reset(seed=1)
    for index in range(1, 10):
        if index % 3 == 0:
            transports[0].connect()
        assert remote.step(RIGHT).index == index


class Lossy:
    """A client's transport that loses and repeats messages and breaks connections, as a seed says."""

    def __init__(self, stage, seed, *, breaks, losses):
        self._line = stage.hub.connect()
        self._dice = random.Random(seed)
        self._breaks, self._losses = breaks, losses
        self.endpoint = self._line.endpoint

    def send(self, channel, parts):
        if self._dice.random() < self._breaks:
            self._line.connect()  # whatever is on its way, in both directions, is lost
        if self._dice.random() < self._losses:
            return "sent"  # so it believes
        if self._dice.random() < 0.2:
            self._line.send(channel, parts)
        return self._line.send(channel, parts)

    def receive(self):
        arrived = self._line.receive()
        return self._line.receive() if arrived and self._dice.random() < self._losses else arrived

    def news(self):
        return self._line.news()

    def wait(self, timeout_s):
        self._line.wait(timeout_s)

    def close(self):
        self._line.close()


@pytest.mark.parametrize("seed", range(8))
def test_every_step_is_done_exactly_once_whatever_the_line_does(stage, seed):
    from inhabit.bridge.client import RemoteWorld

    near = ToyWorld()
    far = RemoteWorld(
        "loopback", connect=lambda endpoint: Lossy(stage, seed, breaks=0.03, losses=0.1), clock=stage.clock
    )
    assert np.array_equal(far.reset(seed=seed).pixels, near.reset(seed=seed).pixels)
    for index in range(1, 31):
        one, other = near.step(RIGHT), far.step(RIGHT)
        assert other.index == index
        assert np.array_equal(one.pixels, other.pixels)


@pytest.mark.parametrize("seed", range(8))
def test_live_world_goes_on_or_says_why_whatever_the_line_does(stage, seed):
    from inhabit.bridge.client import LiveWorld

    line = Lossy(stage, seed, breaks=0.0003, losses=0.001)
    live = LiveWorld("loopback", connect=lambda endpoint: line, clock=stage.clock)
    indices = []
    for _ in range(6000):
        stage.run(1)
        live.send(RIGHT)
        frame = live.poll()
        indices += [(frame.epoch, frame.index)] if frame else []
    assert indices == sorted(set(indices)), "no frame twice, none out of order"
    assert live.state == "running", live.reason
    assert len(indices) > 20


def test_broken_world_fails_its_session_only_and_keeps_its_secrets(make_stage):
    worlds = [BrokenWorld, ToyWorld]
    stage = make_stage(lambda: worlds.pop(0)() if worlds else ToyWorld())
    broken = playing(stage)
    sound = playing(stage)
    stage.run(400, broken, sound)
    assert broken.state == "failed"
    assert "incident" in broken.reason
    assert "secret" not in broken.reason
    assert sound.state == "running"
    broken.reconnect()
    stage.run(50, broken, sound)
    assert broken.state == "running", "a new session gets a new world"


def test_world_that_cannot_be_made_fails_with_its_reason(make_stage):
    def make_world():
        raise WorldError("Expected a pack, got 'x'")

    stage = make_stage(make_world)
    live = stage.live()
    stage.run(20, live)
    assert (live.state, live.reason) == ("failed", "Expected a pack, got 'x'")


def test_full_sidecar_says_so_and_a_farewell_frees_the_place(make_stage):
    stage = make_stage(ToyWorld, max_sessions=1)
    first = playing(stage)
    second = stage.live()
    stage.run(20, first, second)
    assert (second.state, second.reason) == ("loading", "waiting for a place, number 1 in line")
    with pytest.raises(WorldError, match="All 1 places are taken"):
        stage.remote()
    first.close()
    stage.run(50, second)
    assert second.state == "running"


def test_silent_client_loses_its_place_after_the_lease(make_stage):
    stage = make_stage(ToyWorld, max_sessions=1)
    playing(stage)
    stage.run(3200)
    assert playing(stage).state == "running"


def test_agent_that_thinks_long_keeps_its_place(stage):
    remote = stage.remote()
    remote.reset()
    stage.run(20_000)
    assert remote.step(RIGHT).index == 1


def test_settings_of_one_session_are_not_inherited(make_stage):
    made = []

    def make_world():
        made.append(ToyWorld())
        return made[-1]

    stage = make_stage(make_world, max_sessions=1)
    with stage.remote() as remote:
        remote.configure(steps=4)
    stage.run(5)
    with stage.remote() as remote:
        remote.reset()
    assert [world.steps for world in made] == [4, 2]


def test_wrong_action_size_names_the_actions(stage):
    remote = stage.remote()
    remote.reset()
    with pytest.raises(WorldError, match=r"3 numbers \(LEFT, RIGHT, FIRE\), got 2"):
        remote.step(Controls(action=(0.0, 1.0)))
    assert remote.step(Controls(action=(0.0, 1.0, 0.0))).index == 1


def test_bad_state_is_refused_and_the_world_goes_on(stage):
    remote = stage.remote()
    remote.reset()
    with pytest.raises(WorldError, match="Expected a state"):
        remote.restore(b"nonsense")
    assert remote.step(RIGHT).index == 1


def test_too_large_a_state_is_refused(make_stage):
    stage = make_stage(ToyWorld, limits=Limits(state_bytes=10))
    remote = stage.remote()
    remote.reset()
    with pytest.raises(WorldError, match="at most 10 bytes, got 11"):
        remote.restore(bytes(11))


def test_too_large_a_saved_state_is_refused(make_stage):
    stage = make_stage(ToyWorld, limits=Limits(state_bytes=3))
    remote = stage.remote()
    remote.reset()
    with pytest.raises(WorldError, match="at most 3 bytes, got"):
        remote.save()
    assert remote.step(RIGHT).index == 1


@pytest.mark.parametrize(
    "controls",
    [Controls(mouse_dx=float("nan")), Controls(axes={"PadLX": 2.0}), Controls(held=frozenset({"Jump"})),
     Controls(action=(float("inf"),))],
)  # fmt: skip
def test_controls_out_of_bounds_are_our_own_mistake_and_harm_nothing(stage, controls):
    live, remote = playing(stage), stage.remote()
    remote.reset()
    with pytest.raises(LocalProtocolError, match="Cannot send"):
        live.send(controls)
    with pytest.raises(LocalProtocolError, match="Cannot send"):
        remote.step(controls)
    assert remote.step(RIGHT).index == 1
    stage.run(100, live)
    assert live.state == "running"


def test_request_out_of_bounds_is_our_own_mistake_and_harms_nothing(stage):
    live = playing(stage)
    with pytest.raises(LocalProtocolError, match="Cannot send Set"):
        live.configure(steps=object())
    with pytest.raises(LocalProtocolError, match="Cannot send Reset"):
        live.reset(seed=-1)
    live.configure(steps=4)
    stage.run(100, live)
    assert (live.state, live.reason) == ("running", "")


class CarelessWorld(ToyWorld):
    """Draws every frame into the same array, with two samples of sound that tell the index."""

    def __init__(self) -> None:
        super().__init__()
        self.info = msgspec.structs.replace(self.info, sound_rate_hz=60, sound_channels=1)
        self.canvas = np.zeros((self.info.height, self.info.width, 3), np.uint8)

    def step(self, controls: Controls) -> Frame:
        frame = super().step(controls)
        self.canvas[:] = frame.index
        return dataclasses.replace(frame, pixels=self.canvas, sound=np.full((2, 1), frame.index, np.int16))


def test_frames_are_whole_though_the_world_draws_into_one_array(make_stage):
    remote = make_stage(CarelessWorld).remote()
    remote.reset()
    frames = [remote.step(RIGHT) for _ in range(5)]
    assert [int(frame.pixels.max()) for frame in frames] == [1, 2, 3, 4, 5]
    assert [frame.sound.tolist() for frame in frames][2] == [[3], [3]]


def test_sound_of_skipped_frames_is_heard_but_never_more_than_half_a_second(make_stage):
    stage = make_stage(CarelessWorld)
    live = playing(stage)
    stage.run(33 * 4)
    live.poll()
    stage.run(33 * 6)
    frames = [frame for _ in range(40) if (frame := (stage.run(1), live.poll())[1]) is not None]
    heard = [int(sample) for frame in frames for sample in frame.sound[:, 0]]
    assert heard == sorted(heard)
    assert len(heard) == 2 * len(set(heard)), "each frame's two samples, once"
    stage.run(1500)
    live.poll()
    stage.run(1)
    frame = live.poll()
    assert frame is not None
    assert len(frame.sound) <= 30


class WrongWorld(ToyWorld):
    """Gives frames of another size than it promised."""

    def step(self, controls: Controls) -> Frame:
        return dataclasses.replace(super().step(controls), pixels=np.zeros((2, 2, 3), np.uint8))


def test_wrong_frame_fails_its_session_and_is_named(make_stage):
    stage = make_stage(WrongWorld)
    live = playing(stage)
    stage.run(100, live)
    assert live.state == "failed"
    assert live.reason == "Expected pixels (48, 64, 3) uint8, got (2, 2, 3) uint8 - at a frame of toy"


def test_world_that_cannot_be_described_fails_its_own_session_only(make_stage):
    wrong = ToyWorld()
    wrong.info = msgspec.structs.replace(wrong.info, name="x" * 65)
    worlds = [ToyWorld(), wrong]
    stage = make_stage(lambda: worlds.pop(0))
    sound, failing = playing(stage), stage.live()
    stage.run(100, sound, failing)
    assert failing.state == "failed"
    assert "name" in failing.reason
    assert sound.state == "running"


def test_nothing_happens_after_close(stage):
    live = playing(stage)
    live.close()
    live.close()
    assert live.poll() is None
    assert (live.state, live.reason) == ("closed", "closed by this client")


def test_use_after_close_is_our_own_mistake(stage):
    remote = stage.remote()
    remote.close()
    remote.close()
    with pytest.raises(LocalProtocolError, match="after close"):
        remote.reset()
