"""Presets: sizes of a world, and how each is trained."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from inhabit.bridge.errors import InhabitError
from inhabit.worldmodel.memory.recall import RecallConfig
from inhabit.worldmodel.omni.autoencoder import AutoencoderConfig
from inhabit.worldmodel.omni.block import DynamicsConfig
from inhabit.worldmodel.omni.motion import MotionConfig
from inhabit.worldmodel.omni.sound import HOPS, SoundConfig
from inhabit.worldmodel.omni.text import TextConfig
from inhabit.worldmodel.omni.transformer import TransformerConfig
from inhabit.worldmodel.train.autoencoder import AutoencoderTraining
from inhabit.worldmodel.train.config import LearnConfig
from inhabit.worldmodel.train.decoder import DecoderTraining
from inhabit.worldmodel.train.dynamics import DynamicsTraining
from inhabit.worldmodel.train.footage import Footage
from inhabit.worldmodel.train.soundtrack import Soundtrack


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """One size of world."""

    about: str
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    autoencoder_training: AutoencoderTraining = field(default_factory=AutoencoderTraining)
    decoder_training: DecoderTraining = field(default_factory=DecoderTraining)
    dynamics_training: DynamicsTraining = field(default_factory=DynamicsTraining)


ATLAS_RECALL = RecallConfig(width=64, blocks=3, fineness=4)
"""What tells distances where every view is made of pictures."""

_CODEC = AutoencoderConfig(blocks=(1, 1, 1))
_GPU_CODEC_TRAINING = AutoencoderTraining(batch=256, rate=2e-3)
_GPU_DECODER_TRAINING = DecoderTraining(batch=128)

PRESETS = {
    "nano": Preset(
        about="agents on a CPU: small and quick, always one sampling step a frame",
        autoencoder=AutoencoderConfig(latent_channels=16, widths=(48, 96), blocks=(1, 1)),
        dynamics=DynamicsConfig(
            patch=4,
            earlier=2,
            transformer=TransformerConfig(width=128, layers=4, heads=2, hidden=344, time_every=2),
            detail_width=48,
            steps=(1,),
        ),
        dynamics_training=DynamicsTraining(batch=8),
    ),
    "tiny": Preset(
        about="people on a 2-core CPU; one token stands for 32x32 pixels",
        autoencoder=AutoencoderConfig(latent_channels=16, widths=(64, 128), blocks=(1, 2)),
        dynamics=DynamicsConfig(
            patch=4,
            motion=MotionConfig(),
            transformer=TransformerConfig(width=192, layers=6, heads=3, hidden=512),
        ),
    ),
    "tiny-fine": Preset(
        about="the same with four times the tokens, one for 16x16 pixels; for a GPU or much patience",
        autoencoder=_CODEC,
        dynamics=DynamicsConfig(patch=1, motion=MotionConfig()),
    ),
    "small": Preset(
        about="one GPU",
        autoencoder=AutoencoderConfig(blocks=(2, 2, 2)),
        dynamics=DynamicsConfig(
            patch=1,
            registers=4,
            motion=MotionConfig(width=96, blocks=3),
            transformer=TransformerConfig(width=512, layers=8, heads=8, hidden=1376, context=96),
        ),
        dynamics_training=DynamicsTraining(batch=48, window=128, rate=4e-4, warmup=300),
    ),
    "large": Preset(
        about="1080p on a GPU; for speed measurements",
        autoencoder=AutoencoderConfig(blocks=(2, 2, 2)),
        dynamics=DynamicsConfig(
            patch=2,
            registers=4,
            motion=MotionConfig(),
            transformer=TransformerConfig(width=768, layers=20, heads=12, hidden=2048, context=32),
        ),
    ),
}


def preset_for(name: str, *, width: int, height: int, actions: int, on_gpu: bool = False) -> Preset:
    """A preset fitted to a world. Raises InhabitError for an unknown name or a size that does not fit.

    Args:
        on_gpu: train with batches that fill a GPU instead of two CPU cores.
    """
    if name not in PRESETS:
        raise InhabitError(f"Expected a preset ({', '.join(PRESETS)}), got {name!r}")
    preset = PRESETS[name]
    cell = preset.autoencoder.factor * preset.dynamics.patch
    if width % cell or height % cell:
        raise InhabitError(
            f"Expected a frame size that {cell} divides (preset {name}), got {width}x{height} - "
            f"record again with another --size"
        )
    grid = (height // preset.autoencoder.factor, width // preset.autoencoder.factor)
    channels, motion = preset.autoencoder.latent_channels, preset.dynamics.motion
    motion = motion and replace(motion, latent_channels=channels, grid=grid, actions=actions)
    dynamics = replace(
        preset.dynamics, grid=grid, actions=actions, latent_channels=channels, motion=motion, keeps=True, normed=True
    )
    fitted = replace(preset, dynamics=dynamics)
    if not on_gpu:
        return fitted
    filled = replace(preset.dynamics_training, batch=max(64, preset.dynamics_training.batch), rate=6e-4)
    return replace(
        fitted,
        autoencoder_training=_GPU_CODEC_TRAINING,
        decoder_training=_GPU_DECODER_TRAINING,
        dynamics_training=filled,
    )


def fitted(config: LearnConfig, footage: Footage, track: Soundtrack | None, *, on_gpu: bool) -> Preset:
    """The preset that is asked for, as a recording wants it: its size and actions, and the senses that it has.

    Raises InhabitError for vistas or an atlas that cannot be.
    """
    for name, count in (("vistas", config.vistas), ("atlas", config.atlas)):
        if count < 0:
            raise InhabitError(f"Expected --{name} of at least 0, got {count}")
    info = footage.meta.world
    preset = preset_for(
        config.preset, width=info.width, height=info.height, actions=info.actions.size, on_gpu=on_gpu
    )  # fmt: skip
    text = TextConfig().longer(footage.texts) if footage.text_of is not None else None
    sound = None
    if track:
        _, samples, channels = track.samples.shape
        sound = SoundConfig(hop=samples // HOPS, channels=channels)
    dynamics = replace(preset.dynamics, text=text, sound=sound)
    if config.atlas:
        _check_atlas(config, footage, preset)
    if dynamics.motion and footage.pose is not None and config.memory_share:
        motion = replace(dynamics.motion, travels=True)
        sizes = ATLAS_RECALL if config.atlas else RecallConfig()
        recall = replace(sizes, latent_channels=dynamics.latent_channels, grid=dynamics.grid)
        dynamics = replace(dynamics, motion=motion, recall=recall)
    return replace(preset, dynamics=dynamics)


def _check_atlas(config: LearnConfig, footage: Footage, preset: Preset) -> None:
    if config.vistas:
        raise InhabitError("Expected --atlas or --vistas, got both; an atlas is for levels that are always the same")
    if footage.text_of is not None:
        raise InhabitError(
            f"Expected a recording without words for --atlas, whose pictures no words change, got one of "
            f"{len(footage.texts) - 1} texts - at {config.recording}; choose --vistas"
        )
    if footage.pose is None:
        raise InhabitError(
            f"Expected a recording with poses for --atlas, got none - at {config.recording}; "
            f"record X, Y, Z, YAW and PITCH as variables (docs/packs.md)"
        )
    if not preset.dynamics.motion or not config.memory_share:
        got = f"preset {config.preset}" if not preset.dynamics.motion else f"--memory-share {config.memory_share:g}"
        way = "choose tiny" if not preset.dynamics.motion else "leave it out"
        raise InhabitError(f"Expected a preset with motion and a memory for --atlas, got {got}; {way}")
