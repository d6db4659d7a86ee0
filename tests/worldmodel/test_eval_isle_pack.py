"""inhabit eval of a small untrained pack whose source is isle: every key is there, drawn, printed and in the tables."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import pytest
import torch

from inhabit.commands.__main__ import main
from inhabit.worldmodel.catalog import read_header
from inhabit.worldmodel.evaluate import evaluation, tables
from inhabit.worldmodel.evaluate.attribute_judge import AttributeJudgeConfig
from inhabit.worldmodel.evaluate.ball import BallConfig
from inhabit.worldmodel.evaluate.endurance import EnduranceConfig
from inhabit.worldmodel.evaluate.fidelity import FidelityConfig
from inhabit.worldmodel.evaluate.hearing import HearingConfig
from inhabit.worldmodel.evaluate.isle_measures import IsleMeasuresConfig
from inhabit.worldmodel.evaluate.judges import JudgesConfig
from inhabit.worldmodel.evaluate.modes import ModesConfig
from inhabit.worldmodel.evaluate.prompts import PromptConfig
from inhabit.worldmodel.evaluate.revisit import RevisitConfig
from inhabit.worldmodel.memory.recall import Recall, RecallConfig
from inhabit.worldmodel.omni.dynamics import Dynamics
from inhabit.worldmodel.omni.motion import Motion
from inhabit.worldmodel.omni.sound import SoundCodec, SoundConfig
from inhabit.worldmodel.omni.text import TextConfig
from inhabit.worldmodel.pack import save_pack
from inhabit.worldmodel.worlds.isle import record
from inhabit.worldmodel.worlds.isle.world import IsleConfig, info

TINY = IsleMeasuresConfig(
    judge=AttributeJudgeConfig(frames=32, steps=4, batch=8),
    prompts=PromptConfig(start=2, switch=2, held_out=2),
    revisit=RevisitConfig(away_frames=(16,), islands=2),
    hearing=HearingConfig(islands=2, frames=24, lesson_islands=8, lesson_frames=64, steps=4),
    ball=BallConfig(throws=2),
    endurance=EnduranceConfig(frames=150, window=32, every=8, real_frames=16),
)


@pytest.fixture
def isle_pack(small_pack, tmp_path):
    """Words, sound, motion and memory, all of random weights."""
    torch.manual_seed(5)
    old = small_pack.file
    sound, recall = (
        SoundConfig(hop=250, latent=6, bands=12, width=24),
        RecallConfig(latent_channels=8, width=8, blocks=1),
    )
    motion = replace(old.dynamics.motion, travels=True, actions=6)
    text = TextConfig(tokens=16, buckets=64, width=16, layers=1, heads=2)
    config = replace(old.dynamics, text=text, sound=sound, motion=motion, recall=recall, actions=6)
    networks = Dynamics(config), Motion(motion), Recall(recall), SoundCodec(sound)
    for network in networks[:3]:
        for weight in network.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.1 if weight.ndim == 2 else 0.02)
    file = type(old)(
        info=msgspec.structs.replace(info(IsleConfig(width=64, height=64)), steps=old.info.steps), source="isle",
        autoencoder=old.autoencoder, dynamics=config,
        vocabulary=("night", "tower", "red"), start_prompts=("night",) * 4,
    )  # fmt: skip
    starts = replace(
        small_pack.starts, actions=torch.zeros(4, 5, 6), sound=torch.zeros(4, 5, 6).half(), pose=torch.zeros(4, 5),
        prompts=("night",) * 4,
    )  # fmt: skip
    pack = replace(
        small_pack, file=file, starts=starts, dynamics=networks[0], motion=networks[1], recall=networks[2],
        sound=networks[3],
    )  # fmt: skip
    save_pack(pack, tmp_path / "isle-small")
    return tmp_path / "isle-small"


@pytest.fixture
def tiny(monkeypatch):
    def smallest(self):
        return replace(
            self,
            seeds=self.seeds[:2],
            judge_seeds=2,
            judges=JudgesConfig(glimpses=32, glimpse_steps=2, inverse_dynamics_steps=2),
            fidelity=FidelityConfig(windows=3, far_windows=2, shuffled=3, codec_frames=8, action_triples=9),
            isle=TINY,
            mode=ModesConfig(windows=2, timed_frames=2, timed_s=1),
        )

    monkeypatch.setattr(evaluation.EvalConfig, "quick", smallest)
    monkeypatch.setattr(record, "EPISODE_FRAMES", (64, 90))


@pytest.mark.slow
def test_everything_is_measured_of_an_isle(isle_pack, tiny, tmp_path, capsys):
    prompts = tmp_path / "prompts.tsv"
    prompts.write_text("night\ttime=night\na red tower\tobject=tower,colour=red\n")
    path, out = tmp_path / "report.json", tmp_path / "out"
    main(["eval", str(isle_pack), "--quick", "--report", str(path), "--out", str(out), "--prompts", str(prompts),
          "--cache", str(tmp_path / "cache"), "--device", "cpu", "--write"])  # fmt: skip
    report = json.loads(path.read_text())
    assert {"start", "switch", "held_out", "frames_to_show", "rest_kept"} <= set(report["prompt"]["ci95"])
    assert len(report["prompt"]["file"]["lines"]) == 2
    assert {"psnr_db", "gain_db", "ci95", "codec_psnr_db", "copy_psnr_db"} <= set(report["revisit"]["16"])
    assert {"f1", "offset_frames", "level_db", "ci95"} <= set(report["sound"])
    assert {"path_error", "copy", "codec", "simulator", "ci95"} <= set(report["physics"])
    assert set(report["drift"]["psnr_like"]) == {"64", "150", "ci95"}
    assert [mode["steps"] for mode in report["modes"].values()] == [1, 2, 4]
    assert set(report["objects"]["kinds"]) <= {
        "tower", "house", "tree", "rock", "pillar", "creature", "avatar", "ball",
    }  # fmt: skip
    drawn = {"horizon.png", "dreams.png", "prompts.png", "revisit.png", "ball.png", "endurance.png"}
    assert drawn == {picture.name for picture in out.iterdir()}
    said = capsys.readouterr().out
    assert "prompt.held_out" in said
    assert "physics.path_error" in said
    page = "".join(f"<!-- {name}: begin -->\n<!-- {name}: end -->\n" for name in tables.TABLES)
    filled = tables.fill(page, [report], "page")
    assert filled.count("isle") >= 15
    assert read_header(isle_pack).quality["revisit"] == report["revisit"]
    main(["worlds", str(isle_pack)])
    main(["eval", str(isle_pack), "--quick", "--report", str(path), "--cache", str(tmp_path / "cache"),
          "--device", "cpu", "--only", "sound", "physics"])  # fmt: skip
    again = json.loads(path.read_text())
    assert again["revisit"] == report["revisit"]
    assert set(again["again"]) == {"sound", "physics"}


def test_prompts_for_a_world_without_words_are_refused_before_anything_is_measured(pack_folder, tmp_path, capsys):
    prompts = tmp_path / "prompts.tsv"
    prompts.write_text("night\ttime=night\n")
    with pytest.raises(SystemExit) as exit_:
        main(["eval", str(pack_folder), "--prompts", str(prompts), "--device", "cpu"])
    assert exit_.value.code == 2
    assert "Expected a pack that learnt isle with words" in capsys.readouterr().err


def test_one_measure_alone_is_refused_where_it_means_nothing(pack_folder, isle_pack, capsys):
    for folder, name, wrong in ((pack_folder, "sound", "'test'"), (isle_pack, "smell", "'smell'")):
        with pytest.raises(SystemExit) as exit_:
            main(["eval", str(folder), "--only", name, "--device", "cpu"])
        assert exit_.value.code == 2
        said = capsys.readouterr().err
        assert "Expected prompt, revisit, sound, physics, drift" in said
        assert wrong in said
