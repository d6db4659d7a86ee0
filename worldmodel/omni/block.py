"""Blocks: frames on their way into the dynamics, and what it makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from inhabit.worldmodel.memory.recall import RecallConfig
from inhabit.worldmodel.omni.motion import MotionConfig
from inhabit.worldmodel.omni.sound import SoundConfig
from inhabit.worldmodel.omni.text import TextConfig
from inhabit.worldmodel.omni.transformer import TransformerConfig, Words

K_MAX = 8
"""The finest schedule that is trained; tau lives on multiples of 1/K_MAX."""

CONTEXT_LEVEL = K_MAX - 1
"""The level (in 1/K_MAX) at which finished frames enter the context: a little noise keeps errors from piling up."""

SURE = 4.0
"""A logit above which painting pays for sure."""

ALIKE, MOVES_LITTLE = 0.25, 0.08
"""Latents, of about unit variance, that differ by less than this in the mean over channels are nearly the same: where
that is sure, and where it is not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChanceConfig:
    """How what nothing foretells is drawn: by a die at each video token."""

    faces: int = 512
    """Sorts of sight that a token may show; the first is: no object."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DynamicsConfig:
    """The dynamics' sizes."""

    transformer: TransformerConfig = field(default_factory=TransformerConfig)

    text: TextConfig | None = None
    """How prompts are read; None for a world that does not listen to words."""

    sound: SoundConfig | None = None
    """How sound is coded; None for a silent world."""

    motion: MotionConfig | None = None
    """How the frame before is carried to where it will be; None for a world that is not shown that."""

    keeps: bool = False
    """Whether a place stays exactly what was there, was carried there, or is remembered, where painting pays little."""

    normed: bool = False
    """Whether the convolutions and what they hand to the transformer are kept at one scale and are told of each frame,
    and a place may begin as nothing. Without that a training can run away, until nothing but the largest numbers is
    heard; older packs are without."""

    chance: ChanceConfig | None = None
    """How what nothing foretells is drawn; None for a world that makes of it what is likeliest."""

    steps: tuple[int, ...] = (1, 2, 4)
    """Numbers of sampling steps that it is taught. With (1,) alone frames are made from nothing but noise, in training
    as in play: no time goes into halfway frames that are never seen."""

    recall: RecallConfig | None = None
    """How pictures of the same place are turned to where one looks; None for a world that remembers only its ring."""

    latent_channels: int = 32
    """Channels of the codec's latents."""

    grid: tuple[int, int] = (6, 8)
    """Latent rows and columns of the size that is trained most."""

    patch: int = 2
    """Latents along one side of a token: 1 gives fine tokens, 2 a quarter as many."""

    actions: int = 3
    """Numbers in an action."""

    earlier: int = 0
    """Frames before the previous one that the convolutions see too: one picture tells how near a fireball is, several
    where it flies. A world with motion has its network for that."""

    registers: int = 2
    """Tokens without a meaning of their own, for the network's notes."""

    detail_width: int = 64
    """Channels of the convolutions that read and write single latents."""

    detail_blocks: tuple[int, int] = (1, 3)
    """Residual blocks of those that read, before the transformer, and of those that write, after it."""

    @property
    def token_channels(self) -> int:
        return self.latent_channels * self.patch**2

    @property
    def video_tokens(self) -> int:
        return self.grid[0] * self.grid[1] // self.patch**2

    @property
    def tokens(self) -> int:
        """Tokens of one frame of the usual size, all kinds."""
        return self.other_tokens + self.video_tokens

    @property
    def other_tokens(self) -> int:
        """Tokens of one frame that are not video: action, level, sound, registers, agent."""
        return 3 + self.registers + (self.sound is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Frames on their way into the dynamics, (b, t) of them."""

    noised: Tensor
    """(b, t, c, h, w) latents at `level`."""

    previous: Tensor
    """(b, t, c, h, w) the frame before each, slightly noised or zeros: detail to copy need not go through attention."""

    actions: Tensor
    """(b, t, a) what led to each frame."""

    level: Tensor
    """(b, t) int64, 0 .. K_MAX: tau in units of 1/K_MAX."""

    step: Tensor
    """(b, t) int64, log2 of the steps of the schedule that this pass belongs to: 0 (one step) .. log2 K_MAX."""

    earlier: Tensor | None = None
    """(b, t, earlier * c, h, w) frames before the previous one, the newest first, as slightly noised, zeros where there
    are none; None for a network that sees none."""

    carried: Tensor | None = None
    """(b, t, c, h, w) the frame before as motion carries it to where it will be, slightly noised or zeros."""

    recalled: Tensor | None = None
    """(b, t, c + 1, h, w) an older picture of the place, turned to where one looks, and how much of it there is; zeros
    where there is none."""

    sound: Tensor | None = None
    """(b, t, 2, latent) sound latents at `level`, and those of the frame before, for a world with sound."""

    words: Words | None = None
    """Prompts, for a network that listens."""

    strength: Tensor | None = None
    """(b, t) float32: how much further than it would go by itself the picture shall follow its prompt; 0 as it is."""

    dice: Tensor | None = None
    """(b, t, n) uniform in (0, 1]: a roll for each video token; without them the likeliest faces come up."""

    shown: Tensor | None = None
    """(b, t, n) int64: what the dice show, where that is known: in training, there beside `dice`, and after a frame's
    first pass, then without."""

    heat: Tensor | None = None
    """(b, t) the temperature at which dice are rolled; 1 without."""

    def select(self, *where: slice | Tensor) -> Block:
        """Some rows, or some rows and frames."""
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "words"}
        words = self.words and replace(self.words, of_frame=self.words.of_frame[where])
        return Block(words=words, **{name: value if value is None else value[where] for name, value in chosen.items()})


def earlier_frames(previous: Tensor, count: int) -> Tensor | None:
    """What Block.earlier holds, of what Block.previous holds of frames that follow each other from the first on.

    Shapes: (b, t, c, h, w) -> (b, t, count * c, h, w), None for no frames.
    """
    if not count:
        return None
    t = previous.shape[1]
    padded = torch.cat([torch.zeros_like(previous[:, :1]).expand(-1, count, -1, -1, -1), previous], 1)
    return torch.cat([padded[:, count - back : count - back + t] for back in range(1, count + 1)], 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Painting:
    """A frame as it was painted, and what it would be if nothing were."""

    painted: Tensor
    """(b, t, c, h, w) float32, the best guess of every latent."""

    kept: Tensor | None = None
    """(b, t, c, h, w) float32, at each place the likeliest of what was there, was carried there, is remembered."""

    pays: Tensor | None = None
    """(b, t, h, w) float32: logit of that painting is much nearer to what is right than that picture."""

    def alike(self, pays: Tensor) -> Tensor:
        """Where both are so much the same that who stands still is better off with what is there. Shape (b, t, h, w).

        He sees a wall painted some hundred times, and what changes a little in each of them is soon torn. Where it is
        in doubt whether painting pays, there is something that moves: there a little counts.

        Args:
            pays: (b, t, h, w) the logit.
        """
        assert self.kept is not None
        off = (self.painted - self.kept).square().mean(2).sqrt()
        return off < torch.where(pays > SURE, ALIKE, MOVES_LITTLE)

    def chosen(self) -> Tensor:
        """Shape (b, t, c, h, w). What is painted is the mean of what may be, and pales when it is painted anew in every
        frame; so what a picture shows nearly as well stays what it was. (Video codecs skip such blocks.)"""
        if self.kept is None or self.pays is None:
            return self.painted
        return torch.where(self.pays[:, :, None] > 0, self.painted, self.kept)


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """Dice: what came of them, and how probable that was."""

    logits: Tensor
    """(b, t, n, faces) float32, of each face's chance."""

    shown: Tensor
    """(b, t, n) int64 what they show."""

    painted: Tensor
    """(b, t, n) int64 what the convolutions were shown of that; in training now and then something like it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    clean: Tensor
    """(b, t, c, h, w) float32: at each place what was painted, or what was kept."""

    painting: Painting
    """What that was chosen from."""

    draw: Draw | None = None
    """What its dice showed; None in a world without."""

    reward_logits: Tensor
    """(b, t, REWARD_BINS)."""

    ending_logit: Tensor
    """(b, t)."""

    sound: Tensor | None
    """(b, t, latent) float32, clean; None in a silent world."""

    made: list[Tensor]
    """For each time layer the keys and values of all frames of the block, (2, b, n, heads, t, head_width)."""
