"""The decoder that draws: what it may change, what it looks at, and that it draws what cannot be known."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from inhabit.bridge.controls import ActionMap, ActionSource  # noqa: E402
from inhabit.bridge.world import WorldInfo  # noqa: E402
from inhabit.worldmodel.omni.autoencoder import Autoencoder, AutoencoderConfig, to_float  # noqa: E402
from inhabit.worldmodel.recordings import Meta  # noqa: E402
from inhabit.worldmodel.train.autoencoder import AutoencoderTraining, train_autoencoder  # noqa: E402
from inhabit.worldmodel.train.decoder import DecoderTraining, train_decoder, windows  # noqa: E402
from inhabit.worldmodel.train.footage import Footage  # noqa: E402
from inhabit.worldmodel.train.schedule import Budget  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
CODEC = AutoencoderConfig(latent_channels=4, widths=(16, 16), blocks=(1, 1))


class Steps:
    """A budget of so many steps instead of seconds: pass `count` as on_step."""

    def __init__(self, steps: int):
        self._done = 0
        self.budget = Budget(seconds=steps, clock=lambda: self._done)

    def count(self, step: int, figures: Mapping[str, float]) -> None:
        self._done = step


def draw(codec: Autoencoder, footage: Footage, steps: int, config: DecoderTraining) -> Autoencoder:
    """What train_decoder makes of a codec in so many steps."""
    limit = Steps(steps)
    return train_decoder(codec, footage, limit.budget, CPU, config, AutoencoderTraining(), on_step=limit.count)


@pytest.fixture
def footage() -> Footage:
    """Half of each frame is one grey, the other noise that no latent can tell."""
    rng = np.random.default_rng(0)
    frames = np.full((64, 32, 32, 3), 90, np.uint8)
    frames[:, :, 16:] = rng.choice([60, 160], (64, 32, 16, 1)).astype(np.uint8)
    actions = ActionMap(sources=(ActionSource(name="LEFT"),))
    return Footage(
        meta=Meta(world=WorldInfo(name="noise", width=32, height=32, rate_hz=20.0, actions=actions), source="test"),
        frames=frames,
        actions=np.zeros((64, 1), np.float32),
        rewards=np.zeros(64, np.float32),
        terminated=np.zeros(64, bool),
        first=np.arange(64) == 0,
        seeds=np.zeros(64, np.int64),
        boxes=np.array([(row, 0, 20, 4, 8, 8) for row in range(64)], np.int32),
        names=("Square",),
    )


def contrast(autoencoder: Autoencoder, footage: Footage, columns: slice) -> float:
    """Spread of the pixels in some columns of what the codec shows."""
    with torch.inference_mode():
        shown = autoencoder.decode(autoencoder.encode(to_float(torch.from_numpy(footage.frames))))
    return float(shown[..., columns].std())


def test_a_window_shows_what_counts_and_lies_on_whole_latents():
    torch.manual_seed(0)
    places = torch.arange(48.0 * 64).reshape(48, 64).expand(9, 3, -1, -1)
    weight = torch.zeros(9, 1, 48, 64)
    weight[..., 24:32, 40:48] = 1
    pixels, counted = windows(places, weight, 3, 8)
    assert pixels.shape == (9, 3, 24, 24)
    assert counted.shape == (9, 1, 24, 24)
    torch.testing.assert_close(counted.sum((1, 2, 3)), torch.full((9,), 64.0))
    first = pixels[:, 0, 0, 0].long()
    assert not (first // 64 % 8).any()
    assert not (first % 64 % 8).any()
    assert len(first.unique()) > 1


def test_a_frame_that_is_smaller_than_a_window_is_seen_whole():
    frames, weight = torch.randn(2, 3, 16, 24), torch.ones(2, 1, 16, 24)
    pixels, _ = windows(frames, weight, 8, 8)
    torch.testing.assert_close(pixels, frames)


def test_only_the_decoder_learns(footage):
    torch.manual_seed(0)
    before = Autoencoder(CODEC)
    kept = copy.deepcopy(before.state_dict())
    after = draw(before, footage, 3, DecoderTraining(batch=4, warmup=1))
    for name, value in after.state_dict().items():
        same = torch.equal(value, kept[name])
        assert same or name.startswith("decoder."), name
    assert not torch.equal(after.decoder.head.weight, kept["decoder.head.weight"])
    for name, value in before.state_dict().items():
        torch.testing.assert_close(value, kept[name], msg=name)


@pytest.mark.slow
def test_what_cannot_be_known_is_drawn_instead_of_averaged(footage):
    torch.manual_seed(0)
    limit, training = Steps(150), AutoencoderTraining(batch=16)
    smooth = train_autoencoder(Autoencoder(CODEC), footage, limit.budget, CPU, training, on_step=limit.count)
    noise, grey = slice(18, 32), slice(0, 14)
    real = float(to_float(torch.from_numpy(footage.frames))[..., noise].std())
    before = contrast(smooth, footage, noise)
    config = DecoderTraining(warmup=50, rate=2e-3, critic_weight=0.1)
    drawing = draw(smooth, footage, 600, config)
    unheard = draw(smooth, footage, 200, replace(config, warmup=10_000))
    after = contrast(drawing, footage, noise)

    assert before < 0.5 * real
    assert after > 0.7 * real
    assert contrast(unheard, footage, noise) < 0.6 * real
    assert contrast(drawing, footage, grey) < 0.25 * real
