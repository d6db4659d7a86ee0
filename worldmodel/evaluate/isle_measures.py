"""What is measured of a pack that was learnt from isle, beside what is measured of every pack. One linear script.

The simulator can be asked for anything, so dreams are held against it under the same actions and words: prompts,
places that one comes back to, sound, a thrown ball, and thousands of frames on end.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from inhabit.worldmodel.evaluate.attribute_judge import AttributeJudgeConfig, train_attribute_judge
from inhabit.worldmodel.evaluate.ball import BallConfig, measure_ball
from inhabit.worldmodel.evaluate.dreamers import Dreamer, Size
from inhabit.worldmodel.evaluate.endurance import EnduranceConfig, measure_endurance
from inhabit.worldmodel.evaluate.hearing import HearingConfig, measure_sound, train_sound_judge
from inhabit.worldmodel.evaluate.prompt_file import Wanted, measure_file
from inhabit.worldmodel.evaluate.prompts import PromptConfig, measure_prompts
from inhabit.worldmodel.evaluate.revisit import RevisitConfig, measure_revisit
from inhabit.worldmodel.evaluate.sheets import contact_sheet
from inhabit.worldmodel.evaluate.stages import Stages

MEASURES = ("prompt", "revisit", "sound", "physics", "drift")
"""What is measured of an isle alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IsleMeasuresConfig:
    """How much is measured."""

    only: tuple[str, ...] = MEASURES
    """Which of MEASURES."""

    judge: AttributeJudgeConfig = field(default_factory=AttributeJudgeConfig)
    prompts: PromptConfig = field(default_factory=PromptConfig)
    revisit: RevisitConfig = field(default_factory=RevisitConfig)
    hearing: HearingConfig = field(default_factory=HearingConfig)
    ball: BallConfig = field(default_factory=BallConfig)
    endurance: EnduranceConfig = field(default_factory=EnduranceConfig)

    def quick(self) -> IsleMeasuresConfig:
        """The same, small: to see that everything runs. Its figures are rough."""
        return IsleMeasuresConfig(
            judge=replace(self.judge, frames=480, steps=60),
            prompts=PromptConfig(start=4, switch=6, held_out=4),
            revisit=RevisitConfig(away_frames=(16, 64), islands=2),
            hearing=replace(self.hearing, islands=3, frames=48, lesson_islands=16, steps=200),
            ball=BallConfig(throws=4),
            endurance=replace(self.endurance, frames=256, window=96, real_frames=80),
        )


def measure_isle(
    dreamer: Dreamer,
    config: IsleMeasuresConfig,
    clock: Stages,
    *,
    size: Size,
    device: torch.device,
    cache: Path | None,
    listens: bool = True,
    wanted: list[Wanted] | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """The figures `prompt`, `revisit`, `sound`, `physics` and `drift` (`drift.psnr_like`).

    Args:
        cache: folder to keep judges in.
        listens: whether the world was learnt with words; else `prompt` is left out.
        wanted: prompts of one's own.
        out: folder for contact sheets.
    """
    keep = None if cache is None else cache / "judges-isle"
    report: dict[str, Any] = {}
    sheets = {}
    only = set(config.only)
    if only & {"prompt", "drift"}:
        with clock.stage("attribute judge"):
            judge = train_attribute_judge(size, config.judge, device, keep=keep)
    if listens and "prompt" in only:
        with clock.stage("prompts"):
            report["prompt"], sheets["prompts"] = measure_prompts(dreamer, judge, config.prompts, size=size)
        if wanted:
            with clock.stage("own prompts"):
                report["prompt"]["file"] = measure_file(dreamer, judge, wanted, size=size)
    if "revisit" in only:
        with clock.stage("revisit"):
            report["revisit"], sheets["revisit"] = measure_revisit(dreamer, config.revisit, size=size)
    if dreamer.sounds and "sound" in only:
        with clock.stage("sound"):
            ears = train_sound_judge(config.hearing, keep=keep)
            report["sound"] = measure_sound(dreamer, ears, config.hearing, size=size)
    if "physics" in only:
        with clock.stage("ball"):
            report["physics"], sheets["ball"] = measure_ball(dreamer, config.ball, size=size)
    if "drift" in only:
        with clock.stage("long dream"):
            report["drift"], sheets["endurance"] = measure_endurance(
                dreamer,
                judge,
                config.endurance,
                size=size,
                on_frame=lambda frame: clock.show(frame, config.endurance.frames, "frames"),
            )
    if out is not None:
        for name, rows in sheets.items():
            contact_sheet(rows, out / f"{name}.png")
    return report
