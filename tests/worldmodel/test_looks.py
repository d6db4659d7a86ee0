"""Looks: fading counts, being a pixel aside hardly does, and what is learnt flows into the prediction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inhabit.bridge.controls import ActionMap, ActionSource
from inhabit.bridge.world import WorldInfo
from inhabit.worldmodel.evaluate.detector import DetectorConfig, train_detector
from inhabit.worldmodel.recordings import Box, Recorder
from inhabit.worldmodel.train.footage import load_footage
from inhabit.worldmodel.train.looks import Looks
from inhabit.worldmodel.train.schedule import Budget

SIDE = 64


class Plain(torch.nn.Module):
    """A codec whose latents are the pixels."""

    def decode(self, latents):
        return latents


def picture(x: int, strength: float = 1.0) -> torch.Tensor:
    pixels = torch.full((1, 3, SIDE, SIDE), -0.2)
    pixels[:, 0, 28:38, x : x + 8] += 1.1 * strength
    return pixels


@pytest.fixture(scope="module")
def looks(tmp_path_factory):
    """Looks through a detector of a red block on grey."""
    folder = tmp_path_factory.mktemp("blocks") / "recording"
    info = WorldInfo(
        name="blocks", width=SIDE, height=SIDE, rate_hz=10.0, actions=ActionMap(sources=(ActionSource(name="A"),))
    )
    rng = np.random.default_rng(0)
    with Recorder(folder, info, source="test") as recorder:
        for step in range(400):
            x = int(rng.integers(0, SIDE - 8))
            pixels = ((picture(x)[0].permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8)
            pixels = pixels + rng.integers(0, 12, pixels.shape, dtype=np.uint8)
            recorder.add(
                pixels, action=(0,), first=step % 10 == 0, objects=[Box(name="block", x=x, y=28, width=8, height=10)]
            )
    detector = train_detector(
        load_footage(folder), Budget(seconds=120), torch.device("cpu"), DetectorConfig(width=16, steps=120, batch=16)
    )
    return Looks(Plain(), detector)  # pyright: ignore[reportArgumentType]


def test_what_fades_looks_worse_than_what_is_a_pixel_aside(looks):
    right, care = picture(20), torch.ones(1, 16, 16)
    aside, faded = picture(21), picture(20, 0.4)
    by_pixels = [float((one - right).square().mean()) for one in (aside, faded)]
    assert by_pixels[0] < 2 * by_pixels[1]  # to a squared error both are much alike
    by_looks = [float(looks(one, right, care)) for one in (aside, faded)]
    print(by_pixels, by_looks)
    assert by_looks[1] > 2 * by_looks[0]
    assert float(looks(right, right, care)) == 0.0


def test_only_what_one_cares_for_is_looked_at(looks):
    care = torch.zeros(1, 16, 16)
    care[:, :, :3] = 1
    assert float(looks(picture(40), picture(20), care)) < 0.2
    assert float(looks(picture(40), picture(20), torch.ones(1, 16, 16))) > 0.5


def test_a_pale_cloud_is_drawn_together_again(looks):
    right, care = picture(20), torch.ones(1, 16, 16)
    guess = picture(20, 0.3).requires_grad_()
    optimizer = torch.optim.Adam([guess], 0.03)
    for _ in range(40):
        loss = looks(guess, right, care)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    guess = guess.detach()
    assert float(looks(guess, right, care)) < 0.3 * float(looks(picture(20, 0.3), right, care))
