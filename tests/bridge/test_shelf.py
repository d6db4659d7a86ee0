"""One model for many sessions, several worlds on one sidecar, and who gets in."""

from __future__ import annotations

import numpy as np
import pytest

from inhabit.bridge.client import LiveWorld, RemoteWorld
from inhabit.bridge.controls import Controls
from inhabit.bridge.server import Server
from inhabit.bridge.shelf import Shelf
from inhabit.bridge.toy import ToyWorld


class Heavy(ToyWorld):
    """Loads something once."""

    loaded = 0

    def __init__(self, model=None):
        super().__init__()
        if model is None:
            Heavy.loaded += 1
        self.model = model or object()

    def another(self):
        return Heavy(self.model)


def test_sessions_of_a_pack_share_its_model_and_nothing_else():
    Heavy.loaded = 0
    with Server(Shelf(Heavy), max_sessions=3) as server:
        with RemoteWorld(server.endpoint) as one, RemoteWorld(server.endpoint) as two:
            first = one.reset(seed=1).pixels
            assert not np.array_equal(two.reset(seed=2).pixels, first)
        assert Heavy.loaded == 1


class Batched(ToyWorld):
    """Says whether it was asked to step alone."""

    def __init__(self):
        super().__init__()
        self.alone = None

    def step_alone(self, alone):
        self.alone = alone


@pytest.mark.parametrize(
    ("mode", "traced", "alone"), [("free", False, False), ("free", True, True), ("lockstep", False, True)]
)
def test_agents_and_traces_have_frames_that_no_neighbour_changes(mode, traced, alone, tmp_path):
    worlds = []

    def make():
        worlds.append(Batched())
        return worlds[-1]

    with Server(make, traces=tmp_path if traced else None) as server:
        if mode == "lockstep":
            with RemoteWorld(server.endpoint) as world:
                world.reset(seed=1)
                world.step(Controls())
        else:
            with LiveWorld(server.endpoint) as world:
                while world.poll(0.1) is None:
                    assert world.state not in ("lost", "failed"), world.reason
        assert worlds[0].alone is alone


def test_world_that_cannot_be_shared_is_opened_each_time():
    shelf = Shelf(ToyWorld)
    assert shelf() is not shelf()


def test_clients_choose_from_the_list_and_no_path(make_stage):
    stage = make_stage(ToyWorld, name="small", worlds={"large": lambda: ToyWorld(width=128, height=96)}, max_sessions=2)
    small, large, neither = stage.live(), stage.live(world="large"), stage.live(world="/etc/passwd")
    stage.run(200, small, large, neither)
    assert (small.info.width, large.info.width) == (64, 128)
    assert (neither.state, neither.reason) == ("failed", "Expected a world (small, large), got '/etc/passwd'")
    small.close()
    large.close()
    stage.run(20)
    again = [stage.live(world="large"), stage.live(world="large")]
    stage.run(200, *again)
    assert [live.info.width for live in again] == [128, 128], "a place is fitted out anew for another world"


def test_line_moves_up_and_tells_honestly_how_long(make_stage):
    stage = make_stage(ToyWorld, max_sessions=1)
    first = stage.live()
    stage.run(3000, first)
    first.close()
    stage.run(20)
    second, third, fourth = stage.live(), stage.live(), stage.live()
    stage.run(600, second, third, fourth)
    assert second.state == "running"
    assert third.reason == "waiting for a place, number 1 in line, about 3 s"
    assert fourth.reason == "waiting for a place, number 2 in line, about 6 s"
    second.close()
    stage.run(700, third, fourth)
    assert third.state == "running"
    assert fourth.reason.startswith("waiting for a place, number 1 in line")
    fourth.close()
    stage.run(20, third)
    assert stage.sidecar.places.line == {}
