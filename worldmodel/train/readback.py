"""Reading back: a prompt's gist must tell what was said.

Few frames need their prompt: most of what it says can be seen in the frame before. Early in training what words say is
noise to everything else, and the quickest way to less of it is a text encoder that answers all prompts alike. It never
recovers: once all gists are the same, nothing tells it how they should differ. So the encoder also learns to name the
words, and the pairs of neighbouring words, of the prompts that it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inhabit.worldmodel.omni.text import Tokens

LEAST = 4
"""Words and pairs in fewer prompts than this are not asked for."""

RATE = 2e-3
"""Peak learning rate while nothing but words is learnt."""

PRIME = 1_000_003


class Reader(Protocol):
    """A network that reads prompts: the dynamics, or the edit."""

    def gist(self, tokens: Tokens) -> Tensor:
        """What prompts say as a whole. Shape (p, width)."""
        ...

    def reading(self) -> Iterator[nn.Parameter]:
        """The parameters that read."""
        ...

    def zero_grad(self, set_to_none: bool = True) -> None: ...


class Readback(nn.Module):
    """Asks a network what prompts said. It belongs to training, and no pack holds it.

    Args:
        prompts: (p, ...) all that a recording says.
        width: features of a gist.
    """

    def __init__(self, prompts: Tokens, width: int):
        super().__init__()
        self._prompts = prompts
        words = prompts.triples[:, 1:, 0]  # a word's own row of the table; 0 where there is none
        pairs = torch.where(words[:, 1:] > 0, words[:, :-1] * PRIME + words[:, 1:], 0)
        parts = torch.cat([words, pairs], 1)
        found, times = parts[parts > 0].unique(return_counts=True)
        vocabulary = found[times >= LEAST]
        self._said = torch.stack([torch.isin(vocabulary, row) for row in parts]) if len(vocabulary) else None
        self.out = nn.Linear(width, max(1, len(vocabulary)), device=words.device)
        if self._said is not None:
            usual = self._said.float().mean(0).clamp(1e-3, 1 - 1e-3)
            self._blind = F.binary_cross_entropy(usual.expand(len(self._said), -1), self._said.float())
            with torch.no_grad():  # at first every prompt says what is said most
                self.out.weight.zero_()
                self.out.bias.copy_(usual.logit())

    @property
    def useful(self) -> bool:
        """Whether there is anything to ask for."""
        return self._said is not None

    def teach(self, network: Reader, steps: int, *, encoder: bool) -> float:
        """Learn to name words before anything else is learnt, and return the last loss.

        Args:
            encoder: let the network's text encoder learn it too: a new one that nothing depends on yet.
        """
        learners = [*self.parameters(), *(network.reading() if encoder else ())]
        optimizer = torch.optim.AdamW(learners, RATE, betas=(0.9, 0.95))
        loss = torch.zeros(())
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1.0, (step + 1) / 50, 3 * (steps - step) / steps)
            loss = self(network, 64)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(learners, 1.0)
            optimizer.step()
        network.zero_grad(set_to_none=True)
        return float(loss.detach())

    def forward(self, network: Reader, count: int) -> Tensor:
        """The loss of naming what some `count` prompts say: 1 for who knows no more than how often each is said."""
        assert self._said is not None
        chosen = torch.randint(len(self._said), (count,), device=self._said.device)
        tokens = Tokens(triples=self._prompts.triples[chosen], filled=self._prompts.filled[chosen])
        named = self.out(network.gist(tokens).float())
        return F.binary_cross_entropy_with_logits(named, self._said[chosen].float()) / self._blind
