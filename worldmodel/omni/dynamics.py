"""The world's dynamics: given the past and an action, predict the clean next frame from a noised one.

A frame is a block of tokens:  [action | level | video 1..N | registers | agent]
`level` holds the noise level tau and the step size d of shortcut forcing; the agent token feeds the reward and
ending heads. tau runs on a grid of 1/K_MAX: 0 is noise, 1 is clean; K steps are steps of size 1/K.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from inhabit.worldmodel.omni.autoencoder import Block as ConvBlock
from inhabit.worldmodel.omni.transformer import Past, Transformer, TransformerConfig, space_angles

K_MAX = 8
"""The finest schedule that is trained; tau lives on multiples of 1/K_MAX."""

CONTEXT_LEVEL = K_MAX - 1
"""The level (in 1/K_MAX) at which finished frames enter the context: a little noise keeps errors from piling up."""

DETAIL_NOTES = 64
"""Channels in which the transformer tells the detail convolutions what happens at a latent."""

REWARD_BINS = 41
REWARD_LIMIT = 20.0
"""Rewards are read as two-hot over REWARD_BINS values, evenly spaced in symlog up to this many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DynamicsConfig:
    """The dynamics' sizes."""

    transformer: TransformerConfig = field(default_factory=TransformerConfig)

    latent_channels: int = 32
    """Channels of the codec's latents."""

    grid: tuple[int, int] = (6, 8)
    """Latent rows and columns of the size that is trained most."""

    patch: int = 2
    """Latents along one side of a token: 1 gives fine tokens, 2 a quarter as many."""

    actions: int = 3
    """Numbers in an action."""

    registers: int = 2
    """Tokens without a meaning of their own, for the network's notes."""

    detail_width: int = 96
    """Channels of the convolutions that carry detail over from the frame before."""

    @property
    def token_channels(self) -> int:
        return self.latent_channels * self.patch**2

    @property
    def video_tokens(self) -> int:
        return self.grid[0] * self.grid[1] // self.patch**2

    @property
    def tokens(self) -> int:
        """Tokens of one frame of the usual size, all kinds."""
        return 2 + self.video_tokens + self.registers + 1


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    clean: Tensor
    """(b, t, c, h, w) float32."""

    reward_logits: Tensor
    """(b, t, REWARD_BINS)."""

    ending_logit: Tensor
    """(b, t)."""

    made: list[Tensor]
    """For each time layer the keys and values of these frames, (2, b, n, heads, t, head_width)."""


class Dynamics(nn.Module):
    """Predict clean frames, rewards and endings."""

    def __init__(self, config: DynamicsConfig):
        super().__init__()
        self.config = config
        width = config.transformer.width
        self.video_in = nn.Linear(2 * config.token_channels, width)
        self.action_in = nn.Linear(config.actions, width)
        self.level_in = nn.Embedding(K_MAX + 1, width)
        self.step_in = nn.Embedding(K_MAX.bit_length(), width)
        self.kinds = nn.Parameter(torch.randn(4 + config.registers, width) * 0.02)
        self.transformer = Transformer(config.transformer)
        self.video_out = nn.Linear(width, DETAIL_NOTES * config.patch**2)
        self.detail = Detail(config.latent_channels, config.detail_width)
        self.reward_head = _head(width, REWARD_BINS)
        self.ending_head = _head(width, 1)
        self.register_buffer("reward_values", reward_values(), persistent=False)

    def forward(self, block: Block, past: list[Past] | None = None) -> Prediction:
        """Predict the clean frames of a block, given its own earlier frames or a cache of them."""
        rows, columns = block.noised.shape[-2] // self.config.patch, block.noised.shape[-1] // self.config.patch
        tokens = self._tokens(block)
        features, made = self.transformer(tokens, self._angles(rows, columns, tokens.device), past)
        notes = unpatch(self.video_out(features[:, :, 2 : 2 + rows * columns]), rows, columns, self.config.patch)
        clean = self.detail(notes, block.noised, block.previous)
        with torch.autocast(notes.device.type, enabled=False):
            agent = features[:, :, -1].float()
            return Prediction(
                clean=clean,
                reward_logits=self.reward_head(agent),
                ending_logit=self.ending_head(agent).squeeze(-1),
                made=made,
            )

    def expected_reward(self, logits: Tensor) -> Tensor:
        """Shapes: (..., REWARD_BINS) -> (...)."""
        return (logits.softmax(-1) * self.reward_values).sum(-1)

    def _tokens(self, block: Block) -> Tensor:
        patch = self.config.patch
        action = self.action_in(block.actions)[:, :, None]  # (b, t, 1, d)
        level = (self.level_in(block.level) + self.step_in(block.step))[:, :, None]
        video = self.video_in(torch.cat([patched(block.noised, patch), patched(block.previous, patch)], dim=-1))
        # the action also goes straight into every video token: a small network must not have to look for it
        video = video + action + level + self.kinds[2]
        notes = self.kinds[3:].expand(*level.shape[:2], -1, -1)  # registers and the agent token
        return torch.cat([action + self.kinds[0], level + self.kinds[1], video, notes], dim=2)

    def _angles(self, rows: int, columns: int, device: torch.device) -> Tensor:
        row, column = torch.meshgrid(
            torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij"
        )
        # video tokens sit at 1.. so that the tokens without a place, at 0, are at a place of their own
        place = torch.stack([row.flatten(), column.flatten()]).float() + 1
        place = nn.functional.pad(place, (2, self.config.registers + 1))
        return space_angles(place[0], place[1], self.config.transformer)


class Detail(nn.Module):
    """Write the frame: what the transformer decided for each place, carried out on the frame before.

    A token of 128 numbers passes a transformer of this size only in outline: the common survives, and a monster of ten
    pixels is gone within a frame. So the transformer only notes what happens where, and convolutions that see every
    latent of the previous and of the noised frame move, change or keep what is there. The result is the previous frame
    plus what they say.
    """

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.join = nn.Conv2d(DETAIL_NOTES + 2 * channels, width, 3, padding=1)
        self.blocks = nn.Sequential(ConvBlock(width), ConvBlock(width))
        self.out = nn.Conv2d(width, channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, notes: Tensor, noised: Tensor, previous: Tensor) -> Tensor:
        """Shapes: (b, t, DETAIL_NOTES, h, w), two of (b, t, c, h, w) -> (b, t, c, h, w) float32."""
        b, t = notes.shape[:2]
        seen = torch.cat([notes, noised.to(notes.dtype), previous.to(notes.dtype)], dim=2).flatten(0, 1)
        h = self.blocks(self.join(seen.contiguous(memory_format=torch.channels_last)))
        with torch.autocast(notes.device.type, enabled=False):  # the last layer stays fp32: it sets the picture
            change = self.out(nn.functional.silu(h.float()))
            return previous.float() + change.unflatten(0, (b, t))


def patched(latents: Tensor, patch: int) -> Tensor:
    """Shapes: (b, t, c, h, w) -> (b, t, h/patch * w/patch, c * patch^2)."""
    b, t, c, h, w = latents.shape
    x = latents.reshape(b, t, c, h // patch, patch, w // patch, patch)
    return x.permute(0, 1, 3, 5, 2, 4, 6).reshape(b, t, (h // patch) * (w // patch), c * patch * patch)


def unpatch(tokens: Tensor, rows: int, columns: int, patch: int) -> Tensor:
    """The inverse of patched(), with `rows` and `columns` of tokens."""
    b, t, _, features = tokens.shape
    c = features // patch**2
    x = tokens.reshape(b, t, rows, columns, c, patch, patch)
    return x.permute(0, 1, 4, 2, 5, 3, 6).reshape(b, t, c, rows * patch, columns * patch)


def symlog(x: Tensor) -> Tensor:
    return x.sign() * x.abs().log1p()


def reward_values() -> Tensor:
    """The rewards that the bins stand for, (REWARD_BINS,)."""
    edge = symlog(torch.tensor(REWARD_LIMIT))
    grid = torch.linspace(-1, 1, REWARD_BINS) * edge
    return grid.sign() * grid.abs().expm1()


def two_hot(rewards: Tensor) -> Tensor:
    """Spread each reward over its two nearest bins, in symlog. Shapes: (...) -> (..., REWARD_BINS)."""
    edge = symlog(torch.tensor(REWARD_LIMIT))
    place = (symlog(rewards) / edge).clamp(-1, 1).add(1).mul((REWARD_BINS - 1) / 2)
    low = place.floor().clamp(max=REWARD_BINS - 2)
    share = (place - low)[..., None]
    low = low.long()
    hot = nn.functional.one_hot
    return hot(low, REWARD_BINS) * (1 - share) + hot(low + 1, REWARD_BINS) * share


def _head(width: int, outputs: int) -> nn.Sequential:
    last = nn.Linear(width, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, width), nn.SiLU(), last)
