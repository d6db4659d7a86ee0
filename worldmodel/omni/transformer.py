"""The block-causal transformer: space layers within a frame, time layers along each token's own column.

Factorised as in Dreamer 4 (arXiv 2509.24527, sec. 3.2): most layers mix the tokens of one frame, every third one lets
each token look back at itself. Only time layers need a cache, so a frame costs the same for ever.
Conventions: x is (b, t, n, d): batch, frames, tokens of a frame, width. Norms run in fp32.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.omni.norm import Norm

ROPE_BASE_SPACE = 100.0
ROPE_BASE_TIME = 1000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerConfig:
    """The transformer's sizes."""

    width: int = 256
    """Features of a token."""

    layers: int = 8
    """Layers in all."""

    heads: int = 4
    """Attention heads; width must be a multiple of 2 * heads."""

    hidden: int = 688
    """Hidden features of the SwiGLU."""

    time_every: int = 3
    """Every n-th layer is a time layer, from the first: what was done before must be known before it is drawn."""

    context: int = 24
    """Frames that a time layer looks back."""

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    def is_time(self, layer: int) -> bool:
        return layer % self.time_every == 0

    @property
    def time_layers(self) -> int:
        return sum(self.is_time(layer) for layer in range(self.layers))


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """What one time layer may look back at: keys and values of committed frames, and which frames those are.

    Keys are rotated by their frame's number, which only differences of show: a frame is rotated once, not in each pass.
    """

    keys: Tensor
    """(b, n, heads, slots, head_width), rotated."""

    values: Tensor
    """(b, n, heads, slots, head_width)."""

    frame: Tensor
    """(b, slots) int64: number of the frame in each slot; negative marks an empty slot."""

    newest: Tensor
    """(b,) int64: number of the newest frame of this pass."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """What space layers may look at beside their own frame: keys and values of prompts, and which frame has which."""

    keys_values: Tensor
    """(space layers, 2, p, heads, tokens, head_width)."""

    gist: Tensor
    """(p, d) what each prompt says as a whole."""

    filled: Tensor
    """(p, tokens) bool."""

    of_frame: Tensor
    """(b, t) int64: the prompt of each frame."""


class Transformer(nn.Module):
    """A stack of space and time layers; with `words`, space layers also look at a prompt."""

    def __init__(self, config: TransformerConfig, *, words: bool = False):
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(Layer(config, time=config.is_time(i), words=words) for i in range(config.layers))
        self.norm = Norm(config.width)

    def read(self, text: Tensor) -> Tensor:
        """Turn prompts into what Words holds of them.

        Shapes: (p, tokens, d) -> (space layers, 2, p, heads, tokens, head_width).
        """
        return torch.stack([layer.read(text) for layer in self.layers if not layer.is_time])

    def forward(
        self,
        x: Tensor,
        space_angles: Tensor,
        past: list[Past] | None = None,
        words: Words | None = None,
        *,
        newest: int | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Run all layers.

        Args:
            x: (b, t, n, d) tokens; the last token of a frame is the agent token, which reads all and is read by none.
            space_angles: (n, head_width / 2) rotation of each token by its place in the frame.
            past: one entry for each time layer, or None when x holds its whole past (training).
            words: prompts, for a network that was built to listen to them.
            newest: how many of the last frames features are wanted of. The others only leave their keys and values,
                and go no further than the last time layer, where those are made. None wants all.

        Returns:
            (b, newest or t, n, d) normed features, and for each time layer the unrotated keys and values of all of
            x's frames, stacked: (2, b, n, heads, t, head_width).
        """
        made: list[Tensor] = []
        said = _gather(words) if words else None
        space = 0
        for layer in self.layers:
            if layer.is_time:
                last = len(made) + 1 == self.config.time_layers
                wanted = newest if last else None
                x, keys_values = layer.attend_time(x, past[len(made)] if past else None, wanted)
                made.append(keys_values)
                if words and last and newest is not None:
                    said = _gather(replace(words, of_frame=words.of_frame[:, -newest:]))
            else:
                x = layer.attend_space(x, space_angles, said and (said[0][space], said[1]))
                space += 1
            x = layer.think(x)
        return self.norm(x), made


class Layer(nn.Module):
    """Attention over space or time, then a SwiGLU. Starts as the identity (zero output projections)."""

    def __init__(self, config: TransformerConfig, *, time: bool, words: bool = False):
        super().__init__()
        self.config = config
        self.is_time = time
        width, hidden = config.width, config.hidden
        self.attention_norm = Norm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.query_norm = Norm(config.head_width)
        self.key_norm = Norm(config.head_width)
        self.attention_out = nn.Linear(width, width, bias=False)
        if words and not time:
            self.text_in = nn.Linear(width, 2 * width, bias=False)
        self.mlp_norm = Norm(width)
        self.mlp_in = nn.Linear(width, 2 * hidden, bias=False)
        self.mlp_out = nn.Linear(hidden, width, bias=False)
        nn.init.zeros_(self.attention_out.weight)
        nn.init.zeros_(self.mlp_out.weight)

    def think(self, x: Tensor) -> Tensor:
        gate, value = self.mlp_in(self.mlp_norm(x)).chunk(2, dim=-1)
        return x + self.mlp_out(F.silu(gate) * value)

    def read(self, text: Tensor) -> Tensor:
        """Keys and values of prompts. Shapes: (p, tokens, d) -> (2, p, heads, tokens, head_width)."""
        p, tokens, _ = text.shape
        pair = self.text_in(text).reshape(p, tokens, 2, self.config.heads, self.config.head_width)
        k, v = pair.permute(2, 0, 3, 1, 4)
        return torch.stack([self.key_norm(k), v])

    def attend_space(self, x: Tensor, angles: Tensor, said: tuple[Tensor, Tensor] | None = None) -> Tensor:
        b, t, n, d = x.shape
        q, k, v = self._project(x.reshape(b * t, n, d))
        q, k = rotate(q, angles), rotate(k, angles)
        # nobody reads the agent token, the last one; it reads the others and keeps itself through the residual
        k, v, mask = k[:, :, :-1], v[:, :, :-1], None
        if said is not None:
            (text_k, text_v), filled = said
            k, v = torch.cat([k, text_k.to(k.dtype)], 2), torch.cat([v, text_v.to(v.dtype)], 2)
            mask = F.pad(filled, (n - 1, 0), value=True)[:, None, None]  # (b t, 1, 1, n - 1 + tokens)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return x + self.attention_out(y.transpose(1, 2).reshape(b, t, n, d))

    def attend_time(self, x: Tensor, past: Past | None, newest: int | None = None) -> tuple[Tensor, Tensor]:
        """Attend along each column; of `newest` frames if only the last ones go on. Keys and values are of all."""
        b, t, n, d = x.shape
        q, k, v = self._project(x.transpose(1, 2).reshape(b * n, t, d))  # (b n, heads, t, head_width)
        unflat = (b, n, *k.shape[1:])
        made = torch.stack([k.reshape(unflat), v.reshape(unflat)])
        wanted = t if newest is None else newest
        offsets = torch.arange(t, device=x.device) - (t - 1)  # the newest frame is 0, those before it negative
        x, q = x[:, t - wanted :], q[:, :, t - wanted :]
        if past is None:
            angles = time_angles(offsets, self.config.head_width)
            ages = offsets[t - wanted :, None] - offsets[None]
            mask = (ages >= 0) & (ages <= self.config.context)
            query = rotate(q, angles[t - wanted :])
            y = F.scaled_dot_product_attention(query, rotate(k, angles), v, attn_mask=mask)
        else:
            y = self._attend_past(q, k, v, past, past.newest[:, None] + offsets)
        y = y.transpose(1, 2).reshape(b, n, wanted, d).transpose(1, 2)
        return x + self.attention_out(y), made

    def _attend_past(self, q: Tensor, k: Tensor, v: Tensor, past: Past, frame: Tensor) -> Tensor:
        """One or two new frames, numbered `frame` (b, t), on top of a cache whose sessions may each be filled
        differently. The cache is read where it lies: to put the new keys behind the old ones would copy it all.
        """
        b, n, _, slots, _ = past.keys.shape
        asks = frame[:, frame.shape[1] - q.shape[2] :]  # (b, w): the newest of them
        angles = time_angles(frame, self.config.head_width)[:, None, None]  # (b, 1, 1, t, head_width / 2)
        query = rotate(q.unflatten(0, (b, n)), angles[:, :, :, -q.shape[2] :])
        keys, values = rotate(k.unflatten(0, (b, n)), angles), v.unflatten(0, (b, n))
        ages = asks[:, :, None] - torch.cat([past.frame, frame], 1)[:, None]  # (b, w, slots + t)
        filled = F.pad(past.frame >= 0, (0, frame.shape[1]), value=True)[:, None]
        mask = filled & (ages >= 0) & (ages <= self.config.context)
        scores = torch.cat([query @ past.keys.mT, query @ keys.mT], -1) * self.config.head_width**-0.5
        share = scores.masked_fill(~mask[:, None, None], float("-inf")).softmax(-1).to(values.dtype)
        y = share[..., :slots] @ past.values + share[..., slots:] @ values  # (b, n, heads, w, head_width)
        return y.flatten(0, 1)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shapes: (b, s, d) -> three of (b, heads, s, head_width), queries and keys normed."""
        b, s, _ = x.shape
        qkv = self.qkv(self.attention_norm(x)).reshape(b, s, 3, self.config.heads, self.config.head_width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return self.query_norm(q), self.key_norm(k), v


def _gather(words: Words) -> tuple[list[Tensor], Tensor]:
    """Each frame's prompt: for each space layer (2, b t, heads, tokens, head_width), and (b t, tokens)."""
    which = words.of_frame.flatten()
    return [layer[:, which] for layer in words.keys_values.unbind(0)], words.filled[which]


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Rotary embedding. Shapes: x (..., s, head_width), angles (..., s, head_width / 2)."""
    one, two = x.chunk(2, dim=-1)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    return torch.cat([one * cos - two * sin, two * cos + one * sin], dim=-1)


def time_angles(frame: Tensor, head_width: int) -> Tensor:
    """Shapes: (...,) frame numbers or offsets -> (..., head_width / 2) float64: after days a number is a large one."""
    return frame[..., None].double() * _frequencies(head_width // 2, ROPE_BASE_TIME, frame.device).double()


def space_angles(rows: Tensor, columns: Tensor, config: TransformerConfig) -> Tensor:
    """Two-dimensional rotation: half of the features turn with the row, half with the column.

    Shapes: two of (n,) positions -> (n, head_width / 2). Source: RoPE-ViT's axial form.
    """
    frequencies = _frequencies(config.head_width // 4, ROPE_BASE_SPACE, rows.device)
    return torch.cat([rows[:, None] * frequencies, columns[:, None] * frequencies], dim=1)


def _frequencies(count: int, base: float, device: torch.device) -> Tensor:
    return base ** (-torch.arange(count, device=device) / count)
