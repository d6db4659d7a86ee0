"""What the Take Cover experiment is told. No torch here: the command line reads it before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from inhabit.bridge.errors import InhabitError

SOURCE = "doom:take_cover"
PACK_NAME = "doom-take-cover"
TICS = 4
"""Game tics that an action is held; Doom has 35 a second."""

MOST_TICS = 2100
"""Where an episode is cut, as in World Models (Ha and Schmidhuber 2018)."""

MOST_FRAMES = MOST_TICS // TICS
RATE_HZ = 35 / TICS

RECORDED, COLLECTED, TESTED, CHECKED, REAL_TRAINED = 0, 1_000_000, 2_000_000, 3_000_000, 4_000_000
"""First seeds of the real episodes of each purpose: none is used for two."""

PLAYERS = ("explorer", "random", "scripted")
"""Those that know nothing of the world that will be learnt."""

Scale = Literal["smoke", "cpu", "gpu"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PPOConfig:
    """Proximal policy optimisation (Schulman et al. 2017). The values are usual ones but for the learning rate, the
    weight of the entropy and the length of a walk: with the usual ones a policy hardly learns in 200,000 steps, in Doom
    either."""

    steps: int = 400_000
    """Steps of all environments together."""

    envs: int = 64
    """Environments side by side."""

    length: int = 32
    """Steps of each between two updates."""

    epochs: int = 4
    parts: int = 8
    """Parts that a batch is learnt in, in each epoch."""

    rate: float = 1e-3
    """Learning rate; it falls to 0."""

    gamma: float = 0.99
    lam: float = 0.95
    clip: float = 0.2
    entropy: float = 0.003
    value_weight: float = 0.5
    most_gradient: float = 0.5
    reward_scale: float = 0.025
    """Rewards are tics survived; so scaled, a life is worth some ten."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TakeCoverConfig:
    """The experiment, whole."""

    out: Path
    """Folder for recordings, the world, policies, the report and plots. What is there already is not done again."""

    world: str = ""
    """A pack (its name or folder) to begin with, in place of a world that is learnt first."""

    preset: str = "nano"
    """Size of the world."""

    size: int = 64
    """Width and height of a frame, pixels."""

    episodes: int = 4000
    """Real episodes to learn the first world from."""

    players: tuple[str, ...] = ("explorer", "random", "scripted")
    """Who plays them, as many episodes each: an explorer holds its keys long and gets everywhere, random play presses
    anew all the time. In a world that had never seen the latter, a policy that fidgets does not die."""

    rounds: int = 2
    """How often policies that learnt in the world play the real game, and the world is refined on that; 0 takes the
    first world as it is."""

    collect_episodes: int = 900
    """Real episodes that the policies of one round play."""

    objects: bool = True
    """Record where fireballs and monsters are, so that the codec learns not to lose them."""

    world_minutes: float = 60.0
    refine_minutes: float = 30.0
    gate: float = 0.6
    """Share of the objects found in real frames that the codec must keep. Fireballs far away are a pixel or two at this
    size."""

    steps: int = 1
    """Sampling steps a frame."""

    temperatures: tuple[float, ...] = (0.5, 1.0, 1.15, 1.3)
    main_temperature: float = 1.15
    """Named before anything is measured: the headline figures are of this one, whatever the others do. It is the one
    that carried over best in World Models."""

    seeds: int = 3
    """Policies for each temperature."""

    horizon: int = 100
    """Frames after which a dream is cut."""

    ppo: PPOConfig = field(default_factory=PPOConfig)
    real_envs: int = 8
    """Games side by side when the policy learns in the real one."""

    checkpoints: int = 3
    """How often on its way each policy is tested in both, for the rank correlation."""

    imagined_episodes: int = 16
    """Whole dreamt episodes for each figure of what a policy survives in the dream."""

    longest_dream: int = MOST_FRAMES
    """Frames after which those are cut, as real ones are."""

    checkpoint_episodes: int = 16
    test_episodes: int = 100
    workers: int = 2
    """Processes that play the real game."""

    device: str = "auto"

    def __post_init__(self) -> None:
        if self.main_temperature not in self.temperatures:
            known = ", ".join(f"{value:g}" for value in self.temperatures)
            raise InhabitError(f"Expected the main temperature among {known}, got {self.main_temperature:g}")
        unknown = [player for player in self.players if player not in PLAYERS]
        if unknown or not self.players:
            raise InhabitError(f"Expected players among {', '.join(PLAYERS)}, got {', '.join(unknown) or 'none'}")
        for name in ("episodes", "rounds", "seeds", "test_episodes", "checkpoints", "workers", "horizon"):
            least = 0 if name == "rounds" else 1
            if getattr(self, name) < least:
                raise InhabitError(f"Expected {name} of at least {least}, got {getattr(self, name)}")


def take_cover(scale: Scale, out: Path, *, workers: int) -> TakeCoverConfig:
    """The experiment at a scale: "smoke" (some minutes: that everything runs; its figures mean nothing), "cpu" (some
    hours on two cores) or "gpu" (a larger world and more of everything).
    """
    if scale == "smoke":
        return TakeCoverConfig(
            out=out, episodes=14, rounds=1, collect_episodes=4, world_minutes=0.6, refine_minutes=0.25, objects=False,
            temperatures=(1.0,), main_temperature=1.0, seeds=1, horizon=40, checkpoints=2, checkpoint_episodes=2,
            test_episodes=4, imagined_episodes=4, longest_dream=60, workers=workers, real_envs=2,
            ppo=PPOConfig(steps=2048, envs=16, length=32, parts=4),
        )  # fmt: skip
    if scale == "gpu":
        return TakeCoverConfig(
            out=out, preset="tiny", episodes=3000, collect_episodes=1000, world_minutes=10, refine_minutes=5,
            temperatures=(0.1, 0.5, 1.0, 1.15, 1.3), workers=workers, real_envs=16,
            ppo=PPOConfig(steps=3_000_000, envs=512, length=32, parts=16),
        )  # fmt: skip
    return TakeCoverConfig(out=out, workers=workers)
