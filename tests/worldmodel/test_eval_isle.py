"""What is measured of an isle: with the simulator in the dream's place each figure comes out near its best."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from inhabit.bridge.errors import InhabitError
from inhabit.worldmodel.evaluate import hearing
from inhabit.worldmodel.evaluate.attribute_judge import (
    AttributeJudgeConfig,
    areas_of,
    draw_lesson,
    read,
    train_attribute_judge,
)
from inhabit.worldmodel.evaluate.ball import BallConfig, measure_ball
from inhabit.worldmodel.evaluate.dreamers import SimulatorDreamer, dream, open_islands, what_happens
from inhabit.worldmodel.evaluate.endurance import CAP_DB, EnduranceConfig, measure_endurance, psnr_like
from inhabit.worldmodel.evaluate.hearing import HEARD, HearingConfig, measure_sound, train_sound_judge
from inhabit.worldmodel.evaluate.intervals import ci95
from inhabit.worldmodel.evaluate.patches import patches_of
from inhabit.worldmodel.evaluate.prompt_file import measure_file, read_prompts
from inhabit.worldmodel.evaluate.prompts import HORIZON, PromptConfig, cases_of, measure_prompts
from inhabit.worldmodel.evaluate.revisit import RevisitConfig, measure_revisit, turn_script
from inhabit.worldmodel.worlds.isle.attributes import SCENE, VALUES, Attributes, is_held_out
from inhabit.worldmodel.worlds.isle.motion import ACTIONS
from inhabit.worldmodel.worlds.isle.scene import replaced

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = (64, 64)


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """Learnt in a few seconds: it knows the scene, not much of landmarks."""
    torch.set_num_threads(1)
    config = AttributeJudgeConfig(frames=400, steps=90, most_seconds=25)
    return train_attribute_judge(SIZE, config, torch.device("cpu"), keep=tmp_path_factory.mktemp("judge"))


class Deaf(SimulatorDreamer):
    """A simulator that hears no words, and plays another island's sound: what measures must find fault with."""

    def say(self, state, prompts):
        return state


class Forgetful(SimulatorDreamer):
    """A simulator whose landmarks are elsewhere once it has forgotten them."""

    def forget(self, state, sessions):
        shift = torch.zeros_like(state.place)
        shift[:, :15, 0] = 3.0
        away = state.look[:, 0].cos() < -0.2
        return replaced(
            state, place=state.place + shift * (sessions & away & (state.place[:, 0, 0] < 40))[:, None, None]
        )


def test_intervals_hold_the_figure_and_shrink_with_cases():
    values = np.random.default_rng(0).normal(1, 1, 400)
    low, high = ci95(values)
    assert low < values.mean() < high
    wide = ci95(values[:20])
    assert wide[1] - wide[0] > 2 * (high - low)
    assert all(math.isnan(x) for x in ci95(np.full(4, np.nan)))


def test_patches_hang_together_by_edges():
    marked = np.zeros((6, 6), bool)
    marked[0, :3] = marked[3:5, 4] = marked[5, 5] = True
    assert sorted(len(rows) for rows, _ in patches_of(marked)) == [1, 2, 3]
    assert len(patches_of(marked, least=2)) == 2


def test_a_dream_by_the_simulator_is_what_happens():
    opening = open_islands([3, 4], [Attributes(), Attributes(time="night")], size=(32, 32))
    script = np.random.default_rng(0).uniform(-1, 1, (6, 2, len(ACTIONS))).astype(np.float32)
    film, real = dream(SimulatorDreamer((32, 32)), opening, script, listen=True), what_happens(opening, script)
    assert np.array_equal(film.pixels, real.film.pixels)
    assert np.array_equal(film.sound, real.film.sound)


@pytest.mark.slow
def test_the_judge_reads_the_scene(judge):
    lesson = draw_lesson(96, size=SIZE, seed=99)
    reading, names = read(judge, lesson.pixels.numpy()), list(VALUES)
    right = {n: float((reading.value(n) == lesson.goal[:, names.index(n)].numpy()).mean()) for n in SCENE}
    assert min(right["time"], right["style"], right["ground"]) > 0.6, right
    assert right["weather"] > 0.3, right


def test_areas_are_shares_of_the_frame():
    labels = np.zeros((1, 10, 10), np.uint8)
    labels[0, :5] = 1  # the first tower
    labels[0, 5, :3] = 16  # a creature
    assert areas_of(labels)[0].tolist() == pytest.approx([0.5, 0, 0, 0, 0])


def test_held_out_prompts_ask_for_held_out_combinations():
    assert all(is_held_out(case.after) and not is_held_out(case.before) for case in cases_of("held_out", 12))
    assert not any(is_held_out(case.after) for case in cases_of("switch", 12))


@pytest.mark.slow
def test_prompts_reach_the_simulators_own_figure_and_a_deaf_world_does_not(judge):
    config = PromptConfig(start=4, switch=6, held_out=4, batch=6)
    obeys, sheet = measure_prompts(SimulatorDreamer(SIZE), judge, config, size=SIZE)
    for kind in ("start", "switch", "held_out", "rest_kept"):
        assert obeys[kind] == pytest.approx(obeys["simulator"][kind], nan_ok=True)
        assert math.isnan(obeys[kind]) or obeys["ci95"][kind][0] <= obeys[kind] <= obeys["ci95"][kind][1]
    assert obeys["start"] > obeys["no_prompt"]["start"]
    assert obeys["held_out"] > obeys["no_prompt"]["held_out"]
    assert len(sheet) == 14
    deaf, _ = measure_prompts(Deaf(SIZE), judge, config, size=SIZE)
    assert deaf["start"] == deaf["no_prompt"]["start"]
    assert deaf["frames_to_show"] >= obeys["frames_to_show"]
    assert deaf["frames_to_show"] <= HORIZON


def test_turning_away_and_back_leads_home():
    opening = open_islands([5], [Attributes(creatures=0)], size=(16, 16), avatars=0)
    for away in (16, 64):
        real = what_happens(opening, turn_script(away, 1), look=[17, len(turn_script(away, 1)) - 1])
        assert torch.allclose(real.state.look, opening.state.look, atol=0.01)


@pytest.mark.slow
def test_coming_back_is_perfect_in_the_simulator_and_memory_gains_what_forgetting_costs():
    config = RevisitConfig(away_frames=(16,), islands=3)
    report, _ = measure_revisit(SimulatorDreamer((32, 32)), config, size=(32, 32))
    perfect = report["16"]
    assert perfect["psnr_db"] == 60
    assert perfect["gain_db"] == 0
    assert perfect["copy_psnr_db"] < 25
    forgetful, _ = measure_revisit(Forgetful((32, 32)), config, size=(32, 32))
    assert forgetful["16"]["psnr_db"] == 60
    assert forgetful["16"]["gain_db"] > 2


@pytest.mark.slow
def test_sound_is_heard_where_it_happened():
    config = HearingConfig(islands=6, frames=64, lesson_islands=32, lesson_frames=256, steps=400)
    ears = train_sound_judge(config)
    report = measure_sound(SimulatorDreamer((16, 16)), ears, config, size=(16, 16))
    assert report["f1"] > 0.55
    assert report["offset_frames"] == 0
    assert report["level_db"] == 0
    assert report["copy"]["f1"] < report["f1"] - 0.2
    assert report["copy"]["level_db"] > 1
    assert report["copy"]["f1"] < report["knowable"]["f1"] <= report["simulator"]["f1"]


def test_with_other_luck_all_else_sounds_alike(monkeypatch):
    track = hearing.play_track([9_000_000, 9_000_001, 9_000_002], 40, size=(16, 16))
    later = track.actions[hearing.CONTEXT_FRAMES :]
    assert track.opening is not None
    other = hearing.with_other_luck(track.opening, later)
    real = track.sound[:, hearing.CONTEXT_FRAMES :]
    assert other.shape == real.shape
    assert (other != real).any()
    monkeypatch.setattr(hearing, "OTHER_LUCK_FRAMES", 0)
    assert np.array_equal(hearing.with_other_luck(track.opening, later), real)


def test_events_pair_with_events_of_their_kind_within_reach():
    happened, heard = np.zeros((1, 20, len(HEARD)), bool), np.zeros((1, 20, len(HEARD)), bool)
    happened[0, [3, 10], 0] = True
    heard[0, [4, 14], 0] = heard[0, 3, 1] = True
    scored = hearing.score(heard, happened)
    assert (scored.right[0], scored.claimed[0], scored.present[0]) == (1, 3, 2)
    assert scored.offsets[0].tolist() == [1]
    assert scored.f1 == pytest.approx(2 / 5)


@pytest.mark.slow
def test_the_simulators_ball_is_followed_and_a_ball_that_stays_is_far_off():
    report, _ = measure_ball(SimulatorDreamer((96, 96)), BallConfig(throws=4), size=(96, 96))
    assert report["throws"] == 4
    assert report["path_error"] < 3
    assert report["found"] > 0.8
    assert report["copy"] > 4 * report["path_error"]
    assert report["path_error"] == report["simulator"]


@pytest.mark.slow
def test_a_long_dream_by_the_simulator_does_not_drift(judge):
    config = EnduranceConfig(frames=256, window=96, every=8, real_frames=48)
    report, rows = measure_endurance(SimulatorDreamer(SIZE), judge, config, size=SIZE)
    assert report["psnr_like"]["256"] == report["psnr_like"]["64"] == CAP_DB
    assert report["elsewhere"]["256"] < 30
    assert report["still"]["256"] < 30
    assert report["obedience"]["256"] == report["obedience_simulator"]["256"]
    dreamt, simulated = rows
    assert np.array_equal(np.stack(dreamt), np.stack(simulated))
    deaf, _ = measure_endurance(Deaf(SIZE), judge, config, size=SIZE)
    assert deaf["psnr_like"]["256"] < 30


def test_psnr_like_falls_as_frames_differ():
    real = np.random.default_rng(0).normal(size=(64, 8))
    figures = [psnr_like(real + shift, real, np.ones(8)) for shift in (0, 0.1, 1)]
    assert figures == pytest.approx([CAP_DB, 20, 0], abs=0.1)


GOOD = "a red tower at night\ttime=night,object=tower,colour=red,count=1\n\n# a comment\nneon\tstyle=neon\n"


def test_a_file_of_prompts_is_read(tmp_path):
    path = tmp_path / "prompts.tsv"
    path.write_text(GOOD)
    first, second = read_prompts(path)
    assert (first.line, first.prompt, second.line) == (1, "a red tower at night", 4)
    assert first.pairs[2] == ("colour", "red", "tower")
    granted = first.attributes(Attributes(tower_count=0, tower_colour="blue"))
    assert (granted.time, granted.tower_count, granted.tower_colour) == ("night", 1, "red")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("night\n", "no tab - at .* line 1"),
        ("night\ttime=night\nnight\ttime=evening\n", "dawn, noon, dusk, night, got 'evening' - at .* line 2"),
        ("x\tcolour=red\n", "Expected object=... before colour=red"),
        ("x\tsky=blue\n", "Expected name=value with a name of time"),
        ("x\ttime\n", "got 'time' - at .* line 1"),
        ("x\ttime=night,time=noon\n", "Expected each attribute once"),
        ("x\tobject=tower,count=7\n", "Expected count to be one of 0, 1, 2, 3, got '7'"),
        ("\ttime=night\n", "1 to 512 characters, got 0"),
        ("a" * 600 + "\ttime=night\n", "got 600"),
        ("a\x07b\ttime=night\n", "without control characters"),
        ("a\ttime=night\ttime=noon\n", "got 2 tabs"),
        ("\n# nothing\n", "got none"),
    ],
)  # fmt: skip
def test_a_faulty_line_is_named(tmp_path, text, expected):
    path = tmp_path / "prompts.tsv"
    path.write_text(text)
    with pytest.raises(InhabitError, match=expected):
        read_prompts(path)


def test_a_file_that_is_no_text_is_one_line(tmp_path):
    path = tmp_path / "prompts.tsv"
    with pytest.raises(InhabitError, match="No such file"):
        read_prompts(path)
    path.write_bytes(b"\xff\xfe\x00night")
    with pytest.raises(InhabitError, match="Expected UTF-8"):
        read_prompts(path)


@pytest.mark.slow
def test_prompts_of_ones_own_are_measured(judge, tmp_path):
    path = tmp_path / "prompts.tsv"
    path.write_text("at night\ttime=night\nin neon\tstyle=neon\n")
    wanted = read_prompts(path)
    obeys = measure_file(SimulatorDreamer(SIZE), judge, wanted, size=SIZE)
    assert obeys["accuracy"] == obeys["simulator"] > obeys["no_prompt"]
    assert [line["found"].keys() for line in obeys["lines"]] == [{"time=night"}, {"style=neon"}]
    deaf = measure_file(Deaf(SIZE), judge, [replace(wanted[0])], size=SIZE)
    assert deaf["accuracy"] == deaf["no_prompt"]
