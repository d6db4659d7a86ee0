"""Prompts: words to tokens that the transformer's space layers may look at.

A word is the mean of its letter triples, hashed into a table (as in fastText, arXiv 1607.04606): a word that was never
seen still lies near those that are spelt like it. The encoder is small and learnt with the world.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LONGEST_WORD = 24
"""Letters of a word that are read."""

MOST_TOKENS = 96
"""No world reads more of a prompt, one token being the mark at its beginning."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextConfig:
    """The text encoder's sizes."""

    tokens: int = 24
    """Words of a prompt that are read, one of them taken by the mark at its beginning; 0 for a world without words."""

    buckets: int = 2048
    """Rows of the table that letter triples are hashed into."""

    width: int = 128
    """Features of a word."""

    layers: int = 2
    """Layers in which words look at each other."""

    heads: int = 4
    """Attention heads."""

    def longer(self, prompts: Iterable[str]) -> TextConfig:
        """The same with room for the longest of these prompts, but for no more than MOST_TOKENS."""
        longest = max((len(words_of(prompt)) for prompt in prompts), default=0)
        return replace(self, tokens=max(self.tokens, min(MOST_TOKENS, longest + 1)))


def words_of(text: str) -> list[str]:
    """The words of a prompt, in lower case, without punctuation."""
    return re.findall(r"[^\W_]+", text.lower())


def unread_words(text: str, config: TextConfig) -> list[str]:
    """Words at the end of a prompt that are not read, because it is too long."""
    return words_of(text)[config.tokens - 1 :]


def unknown_words(text: str, vocabulary: Iterable[str]) -> list[str]:
    """Words of a prompt that are not in a vocabulary, each once, in order."""
    known = set(vocabulary)
    return [word for word in dict.fromkeys(words_of(text)) if word not in known]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tokens:
    """Prompts ready for the encoder."""

    triples: Tensor
    """(p, tokens, LONGEST_WORD + 1) int64 rows of the table, 0 where there is none."""

    filled: Tensor
    """(p, tokens) bool: which words there are; the mark at the beginning always is."""

    def to(self, device: torch.device) -> Tokens:
        return Tokens(triples=self.triples.to(device), filled=self.filled.to(device))


def tokenise(prompts: Sequence[str], config: TextConfig) -> Tokens:
    """Prepare prompts; words beyond `config.tokens` - 1 are not read."""
    triples = torch.zeros(len(prompts), config.tokens, LONGEST_WORD + 1, dtype=torch.int64)
    filled = torch.zeros(len(prompts), config.tokens, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        words = words_of(prompt)[: config.tokens - 1]
        filled[row, : len(words) + 1] = True
        triples[row, 0, 0] = 1  # the mark at the beginning; an empty prompt is only that
        for place, word in enumerate(words, start=1):
            rows = [2 + _hash(part) % (config.buckets - 2) for part in _parts(word[:LONGEST_WORD])]
            triples[row, place, : len(rows)] = torch.tensor(rows)
    return Tokens(triples=triples, filled=filled)


class TextEncoder(nn.Module):
    """Prompts to tokens of the transformer's width."""

    def __init__(self, config: TextConfig, width: int):
        super().__init__()
        self.table = nn.Embedding(config.buckets, config.width, padding_idx=0)
        self.places = nn.Parameter(torch.randn(config.tokens, config.width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            2 * config.width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.out = nn.Sequential(nn.LayerNorm(config.width), nn.Linear(config.width, width))

    def forward(self, tokens: Tokens) -> Tensor:
        """Shapes: -> (p, tokens, width); rows that are not filled hold nothing of use."""
        count = (tokens.triples > 0).sum(-1, keepdim=True).clamp(min=1)
        rows, size = tokens.triples.flatten(0, 1), tokens.triples.shape[:2]
        words = F.embedding_bag(rows, self.table.weight, mode="sum", padding_idx=0).unflatten(0, size) / count
        return self.out(self.layers(words + self.places, src_key_padding_mask=~tokens.filled))


def _parts(word: str) -> list[str]:
    """The word itself and its letter triples; "<" and ">" mark its ends."""
    marked = f"<{word}>"
    return [marked, *(marked[index : index + 3] for index in range(len(marked) - 2))][: LONGEST_WORD + 1]


def _hash(text: str) -> int:
    """FNV-1a, 64 bits: the same in every process."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value
