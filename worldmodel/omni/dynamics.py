"""The world's dynamics: given the past and an action, predict the clean next frame from a noised one.

A frame is a block of tokens:  [action | level | video 1..N | sound | registers | agent], sound where the world has it.
`level` holds the noise level tau and the step size d of shortcut forcing; the agent token feeds the reward and
ending heads. tau runs on a grid of 1/K_MAX: 0 is noise, 1 is clean; K steps are steps of size 1/K.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor, nn

from inhabit.worldmodel.memory.recall import RecallConfig
from inhabit.worldmodel.omni.autoencoder import Block as ConvBlock
from inhabit.worldmodel.omni.motion import MotionConfig, place_of
from inhabit.worldmodel.omni.sound import SoundConfig
from inhabit.worldmodel.omni.text import TextConfig, TextEncoder, Tokens
from inhabit.worldmodel.omni.transformer import Norm, Past, Transformer, TransformerConfig, Words, space_angles

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

    text: TextConfig | None = None
    """How prompts are read; None for a world that does not listen to words."""

    sound: SoundConfig | None = None
    """How sound is coded; None for a silent world."""

    motion: MotionConfig | None = None
    """How the frame before is carried to where it will be; None for a world that is not shown that."""

    keeps: bool = False
    """Whether a place stays exactly what was there, was carried there, or is remembered, where painting pays little."""

    normed: bool = False
    """Whether the convolutions and what they hand to the transformer are kept at one scale. Without that a training can
    run away, until nothing but the largest numbers is heard; older packs are without."""

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

    def select(self, *where: slice | Tensor) -> Block:
        """Some rows, or some rows and frames."""
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "words"}
        words = self.words and replace(self.words, of_frame=self.words.of_frame[where])
        return Block(words=words, **{name: value if value is None else value[where] for name, value in chosen.items()})


@dataclass(frozen=True, kw_only=True, slots=True)
class Painting:
    """A frame as it was painted, and what it would be if nothing were."""

    painted: Tensor
    """(b, t, c, h, w) float32, the best guess of every latent."""

    kept: Tensor | None = None
    """(b, t, c, h, w) float32, at each place the likeliest of what was there, was carried there, is remembered."""

    pays: Tensor | None = None
    """(b, t, h, w) float32: logit of that painting is much nearer to what is right than that picture."""

    def chosen(self) -> Tensor:
        """Shape (b, t, c, h, w). What is painted is the mean of what may be, and pales when it is painted anew in every
        frame; so what a picture shows nearly as well stays what it was. (Video codecs skip such blocks.)"""
        if self.kept is None or self.pays is None:
            return self.painted
        return torch.where(self.pays[:, :, None] > 0, self.painted, self.kept)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    clean: Tensor
    """(b, t, c, h, w) float32: at each place what was painted, or what was kept."""

    painting: Painting
    """What that was chosen from."""

    reward_logits: Tensor
    """(b, t, REWARD_BINS)."""

    ending_logit: Tensor
    """(b, t)."""

    sound: Tensor | None
    """(b, t, latent) float32, clean; None in a silent world."""

    made: list[Tensor]
    """For each time layer the keys and values of all frames of the block, (2, b, n, heads, t, head_width)."""


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
        notes = unpatch(self.video_out(features[:, :, 2 : 2 + rows * columns]), rows, columns, self.config.patch)
        painting = self.detail(notes, seen, block, told)
        with torch.autocast(notes.device.type, enabled=False):
            agent = features[:, :, -1].float()
            sound = self.sound_out(features[:, :, 2 + rows * columns].float()) if self.config.sound else None
            return Prediction(
                clean=painting.chosen(),
                painting=painting,
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
        words = tokens.filled[..., None].to(text.dtype)
        mean = (text * words).sum(1) / words.sum(1).clamp(min=1)
        return self.transformer.read(text), self.gist_in(mean)

    def expected_reward(self, logits: Tensor) -> Tensor:
        """Shapes: (..., REWARD_BINS) -> (...)."""
        return (logits.softmax(-1) * self.reward_values).sum(-1)

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


class NormedBlock(nn.Module):
    """A residual block that starts as the identity, does not care how large its input is, and is told of the frame.

    What a frame is told scales and shifts every channel (FiLM, arXiv 1709.07871): words that change a whole picture
    need not find their way through the transformer first.
    """

    def __init__(self, width: int, told: int):
        super().__init__()
        self.norm = ChannelNorm(width)
        self.told = nn.Linear(told, 2 * width)
        self.inner = nn.Conv2d(width, width, 3, padding=1)
        self.outer = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.outer.weight)

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Shapes: (n, c, h, w), (n, told) -> (n, c, h, w)."""
        scale, shift = self.told(told)[..., None, None].chunk(2, 1)
        h = self.norm(x) * (1 + scale) + shift
        return x + self.outer(nn.functional.silu(self.inner(h)))


def residual_blocks(config: DynamicsConfig, count: int) -> nn.ModuleList:
    """Normed blocks, or those of older packs, which are told nothing."""
    width, told = config.detail_width, config.transformer.width
    return nn.ModuleList(NormedBlock(width, told) if config.normed else ConvBlock(width) for _ in range(count))


def through(blocks: Iterable[nn.Module], x: Tensor, told: Tensor) -> Tensor:
    """Shapes: (n, c, h, w), (n, told) -> (n, c, h, w)."""
    for block in blocks:
        x = block(x, told) if isinstance(block, NormedBlock) else block(x)
    return x


class ChannelNorm(Norm):
    """RMSNorm over the channels of each place, (n, c, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Stem(nn.Module):
    """Read the noised frame and the frame before it latent by latent, before whole patches become tokens."""

    def __init__(self, config: DynamicsConfig):
        super().__init__()
        width, pictures = config.detail_width, 2 + (config.motion is not None) + (config.recall is not None)
        known = 2 + (config.recall is not None)
        self.grid = config.grid
        self.join = nn.Conv2d(pictures * config.latent_channels + known, width, 3, padding=1)
        self.blocks = residual_blocks(config, config.detail_blocks[0])
        self.norm = ChannelNorm(width) if config.normed else nn.Identity()

    def forward(self, block: Block, told: Tensor) -> Tensor:
        """Shapes: (b, t, 1, d) -> (b, t, detail_width, h, w)."""
        # convolutions do not know where they are, and turning the view moves its edges twice as far as its middle
        shape = block.noised.shape[:2]
        pictures = [block.noised, block.previous, block.carried, block.recalled]
        pictures = [picture for picture in pictures if picture is not None]
        place = place_of(block.noised, self.grid).expand(*shape, -1, -1, -1)
        both = torch.cat([*pictures, place], dim=2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return self.norm(through(self.blocks, self.join(both), told.flatten(0, 2))).unflatten(0, shape)


class Detail(nn.Module):
    """Write the frame: what the transformer decided for each place, carried out on the frame before.

    A token that stands for hundreds of numbers passes a transformer of this size only in outline: the common survives,
    and a monster of ten pixels is gone within a frame. So the transformer only notes what happens where, and
    convolutions at full resolution do it: each place begins as what it was, as what motion carried there, or as what
    is remembered of it, and they write what changes.
    """

    def __init__(self, config: DynamicsConfig):
        super().__init__()
        width, channels = config.detail_width, config.latent_channels
        self.keeps = config.keeps
        self.join = nn.Conv2d(DETAIL_NOTES + width, width, 3, padding=1)
        (self.first,) = residual_blocks(config, 1)
        self.begin_norm = ChannelNorm(width) if config.normed else nn.Identity()
        self.norm = ChannelNorm(width) if config.normed else nn.Identity()
        if config.motion:
            self.choice = nn.Conv2d(width, 2 + (config.recall is not None), 1)
            nn.init.zeros_(self.choice.weight)
            assert self.choice.bias is not None
            with torch.no_grad():  # at first everything is where motion carried it, or nearly
                self.choice.bias.copy_(torch.tensor([0.0, 3.0, 0.0])[: len(self.choice.bias)])
        if config.keeps:
            self.pays = nn.Conv2d(width, 1, 3, padding=1)
        self.begin_in = nn.Conv2d(channels, width, 3, padding=1)
        self.blocks = residual_blocks(config, config.detail_blocks[1] - 1)
        self.out = nn.Conv2d(width, channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, notes: Tensor, seen: Tensor, block: Block, told: Tensor) -> Painting:
        """Shapes: (b, t, DETAIL_NOTES, h, w), (b, t, detail_width, h, w), (b, t, 1, d)."""
        told = told.flatten(0, 2)
        both = torch.cat([notes, seen.to(notes.dtype)], dim=2).flatten(0, 1)
        h = self.join(both.contiguous(memory_format=torch.channels_last))
        h = through([self.first], h, told)
        begin, kept = self._begin(self.begin_norm(h), block)
        h = h + self.begin_in(begin.contiguous(memory_format=torch.channels_last))
        h = self.norm(through(self.blocks, h, told))
        with torch.autocast(notes.device.type, enabled=False):  # the last layer stays fp32: it sets the picture
            change = self.out(nn.functional.silu(h.float()))
            painted = (begin.float() + change).unflatten(0, notes.shape[:2])
            if not self.keeps:
                return Painting(painted=painted)
            pays = self.pays(nn.functional.silu(h.float()))[:, 0]
        size = notes.shape[:2]
        return Painting(painted=painted, kept=kept.float().unflatten(0, size), pays=pays.unflatten(0, size))

    def _begin(self, h: Tensor, block: Block) -> tuple[Tensor, Tensor]:
        """What each place begins as, a mixture of pictures, and the likeliest of them: (b * t, c, h, w) each."""
        begin = block.previous.flatten(0, 1)
        if block.carried is None:
            return begin, begin
        share = self.choice(h).float()
        pictures = [begin, block.carried.flatten(0, 1)]
        if block.recalled is not None:
            pictures.append(block.recalled[:, :, :-1].flatten(0, 1))
            unknown = block.recalled[:, :, -1].flatten(0, 1) < 0.5
            share = torch.cat([share[:, :2], share[:, 2:].masked_fill(unknown[:, None], -1e4)], 1)
        shown = torch.stack(pictures, 1)
        likeliest = nn.functional.one_hot(share.argmax(1), len(pictures)).movedim(-1, 1).to(shown.dtype)
        return (shown * share.softmax(1)[:, :, None]).sum(1), (shown * likeliest[:, :, None]).sum(1)


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
