"""Hands for headless runs: what they press, and what they say."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import msgspec
import pytest

from inhabit.bindings.window import HeadlessOptions, Pane, PlayLoop, record
from inhabit.bindings.window.devices import Devices
from inhabit.bindings.window.script import SAID_EVERY, SCRIPTS, Script
from inhabit.bridge.controls import ActionMap, ActionSource
from inhabit.worldmodel.worlds.isle.world import ACTIONS as ISLE

DOOM = ActionMap(
    sources=tuple(
        ActionSource(name=name, keys=(key,))
        for name, key in (("TURN_LEFT", "ArrowLeft"), ("TURN_RIGHT", "ArrowRight"), ("ATTACK", "Space"))
    )
)
TOY = ActionMap(sources=(ActionSource(name="MOVE_X", kind="axis", keys=("ArrowRight",), keys_back=("ArrowLeft",)),))


def moves(name: str, actions: ActionMap, count: int = 60):
    script = SCRIPTS[name](actions, Random(1))
    return [next(script) for _ in range(count)]


@pytest.mark.parametrize(("actions", "wanted"), [(ISLE, "stroll"), (DOOM, "hunt"), (TOY, "bursts")])
def test_what_suits_the_world_is_played(actions, wanted):
    assert moves("auto", actions) == moves(wanted, actions)


def test_who_strolls_walks_and_looks_back_as_far_as_aside():
    played = moves("stroll", ISLE, 64)
    assert {name for move in played for name in move.names} == {"KeyW", "ArrowLeft", "ArrowRight"}
    turned = {key: sum(move.frames for move in played if key in move.names) for key in ("ArrowLeft", "ArrowRight")}
    assert turned["ArrowLeft"] == turned["ArrowRight"] > 0


def test_who_strolls_says_something_every_few_seconds():
    played = moves("stroll", ISLE, 200)
    frames = sum(move.frames for move in played)
    said = sum(move.says for move in played)
    assert frames / (SAID_EVERY + 32) <= said <= frames / SAID_EVERY
    assert not any(move.says for move in moves("hunt", DOOM))


def test_it_is_told_when_to_speak_and_nobody_is_left_with_a_key_held():
    devices, script = Devices(), Script("stroll", ISLE, seed=2)
    said = [index for index in range(400) if script.drive(devices, 0, index)]
    assert 3 <= len(said) <= 400 // SAID_EVERY
    assert min(later - sooner for sooner, later in pairwise(said)) >= SAID_EVERY


def test_a_headless_run_says_the_worlds_own_prompts(fake_connection, clock, dummy_display, tmp_path, monkeypatch):
    monkeypatch.setattr("inhabit.bindings.window.script.SAID_EVERY", 4)
    fake_connection.info = msgspec.structs.replace(fake_connection.info, prompts=("night", "a red tower"))
    said: list[str] = []
    loop = PlayLoop([Pane(fake_connection)], clock_ns=clock)
    monkeypatch.setattr(loop, "say", said.append)
    record(loop, HeadlessOptions(seconds=2, out=tmp_path / "clip.mp4", script="stroll"), lambda seconds: None)
    assert said == ["night", "a red tower", "night", "a red tower", "night"][: len(said)]
    assert len(said) >= 2
