"""The world's dynamics: given the past and an action, predict the clean next frame from a noised one.

A frame is a block of tokens:  [action | level | video 1..N | sound | registers | agent], sound where the world has it.
`level` holds the noise level tau and the step size d of shortcut forcing; the agent token feeds the reward and
ending heads. tau runs on a grid of 1/K_MAX: 0 is noise, 1 is clean; K steps are steps of size 1/K.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from inhabit.worldmodel.omni.block import K_MAX, Block, DynamicsConfig, Prediction
from inhabit.worldmodel.omni.chance import Chance
from inhabit.worldmodel.omni.detail import DETAIL_NOTES, Detail, Stem
from inhabit.worldmodel.omni.norm import Norm
from inhabit.worldmodel.omni.rewards import REWARD_BINS, reward_values
from inhabit.worldmodel.omni.text import TextEncoder, Tokens
from inhabit.worldmodel.omni.transformer import Past, Transformer, space_angles


class Dynamics(nn.Module):
    """Predict clean frames, rewards and endings."""

    def __init__(self, config: DynamicsConfig):
        super().__init__()
        self.config = config
        width = config.transformer.width
        self.stem = Stem(config)
        self.video_in = nn.Linear(config.detail_width * config.patch**2, width)
        self.video_norm = Norm(width) if config.normed else nn.Identity()
        self.action_in = nn.Linear(config.actions, width)
        self.level_in = nn.Embedding(K_MAX + 1, width)
        self.step_in = nn.Embedding(K_MAX.bit_length(), width)
        if config.text:
            self.text = TextEncoder(config.text, width)
            self.gist_in = nn.Sequential(nn.Linear(width, width), Norm(width))
            self.strength_in = nn.Linear(1, width)
        if config.sound:
            self.sound_in = nn.Linear(2 * config.sound.latent, width)
            self.sound_out = _head(width, config.sound.latent)
        self.kinds = nn.Parameter(torch.randn(4 + config.registers, width) * 0.02)
        self.transformer = Transformer(config.transformer, words=config.text is not None)
        self.video_out = nn.Linear(width, DETAIL_NOTES * config.patch**2)
        self.detail = Detail(config)
        if config.chance:
            self.chance = Chance(config)
        self.reward_head = _head(width, REWARD_BINS)
        self.ending_head = _head(width, 1)
        self.register_buffer("reward_values", reward_values(), persistent=False)

    def forward(self, block: Block, past: list[Past] | None = None, *, newest: int | None = None) -> Prediction:
        """Predict the clean frames of a block, given its own earlier frames or a cache of them.

        Args:
            newest: predict only so many of the last frames; the others leave their keys and values, no more.
        """
        rows, columns = block.noised.shape[-2] // self.config.patch, block.noised.shape[-1] // self.config.patch
        action, level = self._told(block)
        told = action + level
        seen = self.stem(block, told)
        tokens = self._tokens(block, seen, action, level)
        angles = self._angles(rows, columns, tokens.device)
        features, made = self.transformer(tokens, angles, past, block.words, newest=newest)
        if newest is not None:
            seen, told = seen[:, -newest:], told[:, -newest:]
            block = block.select(slice(None), slice(-newest, None))
        places = features[:, :, 2 : 2 + rows * columns]
        notes = unpatch(self.video_out(places), rows, columns, self.config.patch)
        sight, draw = self.chance(places, block, rows, columns) if self.config.chance else (None, None)
        painting = self.detail(notes, seen, block, told, sight)
        with torch.autocast(notes.device.type, enabled=False):
            agent = features[:, :, -1].float()
            sound = self.sound_out(features[:, :, 2 + rows * columns].float()) if self.config.sound else None
            return Prediction(
                clean=painting.chosen(),
                painting=painting,
                draw=draw,
                sound=sound,
                reward_logits=self.reward_head(agent),
                ending_logit=self.ending_head(agent).squeeze(-1),
                made=made,
            )

    def read(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Read prompts, once for as long as they hold.

        Shapes: (space layers, 2, p, heads, tokens, head_width) for attention, and (p, d), their gist.
        """
        text = self.text(tokens)
        return self.transformer.read(text), self._gist(text, tokens)

    def gist(self, tokens: Tokens) -> Tensor:
        """What prompts say as a whole, and no more of them. Shape (p, d)."""
        return self._gist(self.text(tokens), tokens)

    def _gist(self, text: Tensor, tokens: Tokens) -> Tensor:
        words = tokens.filled[..., None].to(text.dtype)
        return self.gist_in((text * words).sum(1) / words.sum(1).clamp(min=1))

    def reading(self) -> Iterator[nn.Parameter]:
        """The parameters that only prompts need until attention and convolutions come to them."""
        yield from self.text.parameters()
        yield from self.gist_in.parameters()

    def expected_reward(self, logits: Tensor) -> Tensor:
        """Shapes: (..., REWARD_BINS) -> (...)."""
        return (logits.softmax(-1) * self.reward_values).sum(-1)

    @torch.no_grad()
    def shift_endings(self, by: float) -> None:
        """Add to the log-odds of every ending."""
        self.ending_head[-1].bias += by

    def _told(self, block: Block) -> tuple[Tensor, Tensor]:
        """What is known of each frame as a whole, (b, t, 1, d) twice: the action, and what shall be made of it."""
        action = self.action_in(block.actions)[:, :, None]
        level = (self.level_in(block.level) + self.step_in(block.step))[:, :, None]
        if block.strength is not None:
            level = level + self.strength_in(block.strength[..., None])[:, :, None]
        if block.words is not None:
            level = level + block.words.gist[block.words.of_frame][:, :, None]
        return action, level

    def _tokens(self, block: Block, seen: Tensor, action: Tensor, level: Tensor) -> Tensor:
        video = self.video_norm(self.video_in(patched(seen, self.config.patch)))
        # action and gist also go straight into every video token: a small network must not have to look for them
        video = video + action + level + self.kinds[2]
        notes = self.kinds[3:].expand(*level.shape[:2], -1, -1)  # registers and the agent token
        heard = []
        if block.sound is not None:
            heard = [self.sound_in(block.sound.flatten(2))[:, :, None] + action + level]
        return torch.cat([action + self.kinds[0], level + self.kinds[1], video, *heard, notes], dim=2)

    def _angles(self, rows: int, columns: int, device: torch.device) -> Tensor:
        row, column = torch.meshgrid(
            torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij"
        )
        # video tokens sit at 1.. so that the tokens without a place, at 0, are at a place of their own; at another size
        # the middle of the view stays where it is
        usual = torch.tensor(self.config.grid, device=device) / self.config.patch
        moved = (usual - torch.tensor((rows, columns), device=device)) / 2
        place = torch.stack([row.flatten(), column.flatten()]) + moved[:, None] + 1
        place = nn.functional.pad(place, (2, self.config.other_tokens - 2))
        return space_angles(place[0], place[1], self.config.transformer)


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


def _head(width: int, outputs: int) -> nn.Sequential:
    last = nn.Linear(width, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, width), nn.SiLU(), last)
