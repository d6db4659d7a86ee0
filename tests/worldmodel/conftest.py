"""A small untrained pack: random weights show every path that trained ones take."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def one_thread():
    """On a machine that others use too, two threads wait for each other at every layer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def small_pack():
    """A pack of a 64x64 world with a network of a few thousand weights, none of them zero."""
    from inhabit.bridge.controls import ActionMap, ActionSource
    from inhabit.bridge.world import WorldInfo
    from inhabit.worldmodel.omni.autoencoder import Autoencoder, AutoencoderConfig
    from inhabit.worldmodel.omni.block import DynamicsConfig
    from inhabit.worldmodel.omni.dynamics import Dynamics
    from inhabit.worldmodel.omni.motion import Motion, MotionConfig
    from inhabit.worldmodel.omni.transformer import TransformerConfig
    from inhabit.worldmodel.pack import Pack, Starts, WorldFile

    torch.manual_seed(0)
    codec = AutoencoderConfig(latent_channels=8, widths=(8, 16, 16), blocks=(1, 1, 1))
    sizes = TransformerConfig(width=32, layers=4, heads=2, hidden=48, time_every=2, context=6)
    motion = MotionConfig(latent_channels=8, actions=3, width=8, blocks=1)
    dynamics = DynamicsConfig(transformer=sizes, motion=motion, latent_channels=8, grid=(4, 4), actions=3)
    info = WorldInfo(
        name="small",
        width=64,
        height=64,
        rate_hz=20.0,
        steps=(1, 2, 4),
        actions=ActionMap(
            sources=(
                ActionSource(name="LEFT", keys=("ArrowLeft",)),
                ActionSource(name="RIGHT", keys=("ArrowRight",)),
                ActionSource(name="FIRE", keys=("Space",)),
            )
        ),
    )
    networks = Autoencoder(codec), Dynamics(dynamics), Motion(motion)
    for network in networks:
        for weight in network.parameters():
            if weight.ndim > 1:  # convolutions feed back into themselves frame after frame: keep that from exploding
                torch.nn.init.normal_(weight, std=0.1 if weight.ndim == 2 else 0.02)
    file = WorldFile(info=info, source="test", autoencoder=codec, dynamics=dynamics)
    starts = Starts(latents=torch.randn(4, 5, 8, 4, 4).half(), actions=torch.zeros(4, 5, 3))
    return Pack(file=file, autoencoder=networks[0], dynamics=networks[1], motion=networks[2], starts=starts)


@pytest.fixture(scope="session")
def codec():
    """A small sound codec."""
    from inhabit.worldmodel.omni.sound import SoundCodec, SoundConfig

    torch.manual_seed(0)
    return SoundCodec(SoundConfig(hop=32, latent=6, bands=12, width=24)).eval().requires_grad_(False)


@pytest.fixture(scope="session")
def sounding_pack(small_pack, codec):
    """The same world with sound."""
    from inhabit.worldmodel.omni.dynamics import Dynamics

    torch.manual_seed(4)
    config = replace(small_pack.file.dynamics, sound=codec.config)
    dynamics = Dynamics(config)
    for weight in dynamics.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.1 if weight.ndim == 2 else 0.02)
    old = small_pack.file
    info = type(old.info)(
        name="sounding", width=64, height=64, rate_hz=20.0, actions=old.info.actions, steps=(1, 2, 4),
        sound_rate_hz=codec.config.samples * 20, sound_channels=2,
    )  # fmt: skip
    file = type(old)(info=info, autoencoder=old.autoencoder, dynamics=config)
    starts = replace(small_pack.starts, sound=torch.randn(4, 5, codec.config.latent).half())
    return replace(small_pack, file=file, dynamics=dynamics, starts=starts, sound=codec)


@pytest.fixture
def engine(small_pack):
    from inhabit.worldmodel.engine import Engine

    return Engine.of(small_pack)


@pytest.fixture
def pack_folder(small_pack, tmp_path: Path) -> Path:
    from inhabit.worldmodel.pack import save_pack

    folder = tmp_path / "small"
    save_pack(small_pack, folder)
    return folder


@pytest.fixture
def steps_clock():
    """A clock for budgets that counts how often it is asked: training then takes the same steps on every machine."""
    return partial(next, count())
