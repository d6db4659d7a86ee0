"""Several people in one world, on a fake clock."""

from __future__ import annotations

from typing import Any

import pytest

from inhabit.bridge.client import LiveWorld
from inhabit.bridge.controls import Controls
from inhabit.bridge.people import clean, colour_of, unique, without
from inhabit.bridge.room import RoomOptions
from inhabit.bridge.toy import ToyWorld

LEFT = Controls(held=frozenset({"ArrowLeft"}))
RIGHT = Controls(held=frozenset({"ArrowRight"}))


@pytest.fixture
def stage(make_stage):
    return make_stage(lambda: ToyWorld(words=True))


def effect(live, request) -> Any:
    """What came of a request; None while nothing did."""
    return live.effect(request)


def shown(live) -> Any:
    """The frame that it shows next."""
    return live.poll(0.2)


def enter(stage, *names, **options) -> list[LiveWorld]:
    people = [stage.live(room="den", name=name, **options) for name in names]
    stage.run(200, *people)
    assert [person.state for person in people] == ["running"] * len(people)
    return people


def play(stage, ms, hands, *others):
    """Let people hold controls for a while; the position of the square at the end, as the first of them sees it."""
    seen = None
    for _ in range(ms):
        for live, controls in hands.items():
            if stage.clock.now_ns % 50_000_000 < 1_000_000:
                live.send(controls)
        stage.run(1, *others)
        for live in hands:
            seen = live.poll() or seen if live is next(iter(hands)) else (live.poll(), seen)[1]
    assert seen is not None
    return int((seen.pixels != seen.pixels[0, 0]).any(axis=(0, 2)).argmax())


def test_all_see_the_same_world_and_know_each_other(stage):
    ann, ben = enter(stage, "Ann", "Ben")
    assert [person.name for person in ann.room.people] == ["Ann", "Ben"]
    assert (ann.room.me, ben.room.me) == (1, 2)
    assert ann.room.people[0].colour != ann.room.people[1].colour
    assert len(stage.sidecar.seats) == 1, "one world for both"
    frames = {}
    for _ in range(300):
        stage.run(1)
        for who, live in (("ann", ann), ("ben", ben)):
            frame = live.poll()
            if frame is not None:
                frames.setdefault(frame.index, {})[who] = frame.pixels.tobytes()
    both = [seen for seen in frames.values() if len(seen) == 2]
    assert len(both) >= 8
    assert all(seen["ann"] == seen["ben"] for seen in both)


def test_only_the_driver_moves_the_world_until_the_token_is_handed_on(stage):
    ann, ben = enter(stage, "Ann", "Ben")
    assert ann.room.driving
    assert not ben.room.driving
    begun = play(stage, 100, {ann: Controls(), ben: Controls()})
    assert play(stage, 400, {ann: RIGHT, ben: LEFT}) > begun + 8
    ann.drive("grant", ben.room.me)
    stage.run(100, ann, ben)
    assert ben.room.driving
    assert [event.kind for event in ann.room.news()][-1] == "drive"
    here = play(stage, 50, {ann: RIGHT, ben: Controls()})
    assert play(stage, 400, {ann: RIGHT, ben: LEFT}) < here - 8


def test_token_is_asked_for_and_goes_to_who_waits_longest_when_the_driver_idles(make_stage):
    stage = make_stage(ToyWorld, rooms=RoomOptions(drive_idle_s=2.0))
    ann, ben, cid = enter(stage, "Ann", "Ben", "Cid")
    asked = cid.drive("ask")
    stage.run(50, ann, ben, cid)
    ben.drive("ask")
    stage.run(100, ann, ben, cid)
    assert ann.room.waiting == (cid.room.me, ben.room.me)
    assert effect(cid, asked).note == f"driver: {ann.room.me}"
    play(stage, 2500, {ann: RIGHT}, ben, cid)
    assert ann.room.driver == ann.room.me, "who plays keeps it"
    ann.send(Controls())
    stage.run(2500, ann, ben, cid)
    assert ann.room.driver == cid.room.me
    assert ann.room.events[-1].text == "the driver did nothing"


def test_driver_who_leaves_frees_the_wheel_for_whoever_touches_it(stage):
    ann, ben = enter(stage, "Ann", "Ben")
    ann.close()
    stage.run(200, ben)
    assert ben.room.driver == 0
    assert [person.name for person in ben.room.people] == ["Ben"]
    ben.send(LEFT)
    stage.run(100, ben)
    assert ben.room.driving


def test_silent_driver_loses_the_token_and_the_others_go_on(stage):
    _ann, ben = enter(stage, "Ann", "Ben")
    stage.run(2200, ben)
    assert ben.room.driver == 0
    assert ben.stats()["fps"] == pytest.approx(30, rel=0.1)


def test_reset_and_pause_are_the_drivers(stage):
    ann, ben = enter(stage, "Ann", "Ben")
    ben.pause()
    stage.run(50, ann, ben)
    assert ben.reason == "Expected PAUSE of the driver, which is Ann: ask for the token with DRIVE"
    assert ann.state == "running"
    ann.pause()
    stage.run(50, ann, ben)
    assert (ann.state, ben.state) == ("paused", "paused")
    ann.resume()
    ann.reset(seed=3)
    stage.run(50, ann, ben)
    assert (ann.state, ben.state) == ("running", "running")
    assert ann.epoch == ben.epoch == 2


def test_prompts_queue_up_with_their_names_and_a_cooldown(stage):
    ann, ben = enter(stage, "Ann", "Ben")
    first, second = ann.prompt("red on white"), ben.prompt("blue on black")
    stage.run(50, ann, ben)
    assert effect(ann, first) is not None
    assert [wish.text for wish in ann.room.prompts] == ["blue on black"]
    stage.run(1100, ann, ben)
    assert ann.room.prompts == ()
    answer = effect(ben, second)
    assert answer.refused == ""
    told = [(event.name, event.text) for event in ann.room.news() if event.kind == "prompt"]
    assert told == [("Ann", "red on white"), ("Ben", "blue on black")]
    assert tuple(shown(ben).pixels[0, 0]) == (0x10, 0x10, 0x10)


def test_refused_prompt_costs_nobody_the_world(stage):
    ann, ben = enter(stage, "Ann", "Ben")
    wish = ben.prompt("nonsense")
    stage.run(100, ann, ben)
    assert "Expected a colour" in effect(ben, wish).refused
    assert ann.state == "running"


def test_late_joiner_gets_the_picture_and_the_history_even_of_a_paused_world(stage):
    (ann,) = enter(stage, "Ann")
    ann.chat("hello \u202e\n there")
    ann.prompt("green")
    stage.run(300, ann)
    ann.pause()
    stage.run(50, ann)
    ben = stage.live(room="den", name="Ann")
    stage.run(50, ann)
    for _ in range(20):
        stage.run(5, ann)
    frame = shown(ben)
    assert ben.state == "paused"
    assert frame.epoch == ann.epoch
    assert ben.room.person(ben.room.me).name == "Ann 2"
    said = [(event.kind, event.name, event.text) for event in ben.room.news()]
    assert ("chat", "Ann", "hello there") in said
    assert ("prompt", "Ann", "green") in said
    assert min(event.age_ms for event in ben.room.events if event.kind == "chat") >= 300


def test_majority_steers_by_vote(make_stage):
    stage = make_stage(ToyWorld, rooms=RoomOptions(steering="vote"))
    ann, ben, cid, dot = enter(stage, "Ann", "Ben", "Cid", "Dot")
    assert cid.room.by_vote
    begun = play(stage, 100, {ann: Controls()}, ben, cid, dot)
    moved = play(stage, 600, {ann: RIGHT, ben: RIGHT, cid: LEFT}, dot)
    assert moved > begun + 8, "two of three; who does nothing does not count"
    assert play(stage, 600, {ann: RIGHT, ben: LEFT}, cid, dot) <= moved + 14, "a tie moves nothing"


def test_viewers_see_and_talk_but_touch_nothing(stage):
    (ann,) = enter(stage, "Ann")
    (eve,) = enter(stage, "Eve", role="viewer")
    eve.send(RIGHT)
    eve.reset()
    eve.chat("nice")
    stage.run(200, ann, eve)
    assert eve.reason == "Expected a player, got RESET of a viewer"
    assert ann.room.driver == ann.room.me
    assert ann.room.events[-1].text == "nice"
    assert eve.stats()["frames"] > 3


def test_words_can_be_kept_out(make_stage):
    stage = make_stage(lambda: ToyWorld(words=True), moderate=without(["purple"]))
    ann, ben = enter(stage, "Ann", "Ben")
    ann.chat("purple rain")
    wish = ann.prompt("purple on white")
    stage.run(100, ann, ben)
    assert effect(ann, wish).refused == "This prompt was not passed on"
    assert not any(event.kind in ("chat", "prompt") for event in ben.room.events)


def test_world_of_a_room_that_breaks_is_told_to_all(make_stage):
    class Fragile(ToyWorld):
        def step(self, controls):
            if controls.held:
                raise ZeroDivisionError
            return super().step(controls)

    stage = make_stage(Fragile)
    ann, ben = enter(stage, "Ann", "Ben")
    ann.send(LEFT)
    stage.run(200, ann, ben)
    assert ann.state == ben.state == "failed"
    assert "see incident" in ben.reason


def test_empty_room_is_closed_and_its_place_given_to_others(make_stage):
    stage = make_stage(ToyWorld, max_sessions=1)
    (ann,) = enter(stage, "Ann")
    ann.close()
    stage.run(31_000)
    other = stage.live()
    stage.run(200, other)
    assert other.state == "running"
    assert other.room.name == ""


def test_lobby_takes_clients_that_know_nothing_of_rooms(make_stage):
    stage = make_stage(ToyWorld, lobby="lobby")
    old, new = stage.live(), stage.live()
    stage.run(200, old, new)
    assert old.state == new.state == "running"
    assert old.room.name == "lobby"
    assert old.epoch == new.epoch == 1


def test_full_room_and_lockstep_are_refused(make_stage):
    stage = make_stage(ToyWorld, rooms=RoomOptions(members_max=1))
    enter(stage, "Ann")
    ben = stage.live(room="den")
    stage.run(100, ben)
    assert (ben.state, ben.reason) == ("failed", "All 1 places in the room 'den' are taken")


def test_chat_in_a_world_of_ones_own_is_told(stage):
    live = stage.live()
    stage.run(200, live)
    live.chat("anybody?")
    stage.run(50, live)
    assert live.reason == "Expected CHAT in a room, this is a world of your own"


def test_names_and_colours():
    assert clean("  a\tb\x00\u200b\u202ec  ", 32) == "a bc"
    assert unique("Ann", ["Ann", "Ann 2"]) == "Ann 3"
    assert len({colour_of(number) for number in range(1, 65)}) == 64
