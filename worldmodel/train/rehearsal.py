"""Rehearsal: the network's own dreams as the past that it learns from.

A world lives for hours in what it has made itself. Who only ever saw real pasts does not know what its small errors
become when they are seen, moved and painted again, and cannot mend them. So the network plays on from real moments,
under the recorded actions, by the engine that people run; and some lessons show it those frames as the past and ask for
what really came. (DAgger: Ross et al. 2011, arXiv 1011.0686.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inhabit.worldmodel.engine import Engine
from inhabit.worldmodel.train.latents import Latents, goes_on


@dataclass(frozen=True, kw_only=True, slots=True)
class RehearsalConfig:
    """How much is rehearsed."""

    share: float = 0.5
    """Share of the steps that learn from rehearsed pasts."""

    begin_at: float = 0.3
    """Share of the budget before that begins; 0 for a settled network."""

    every_steps: int = 100
    """Steps between two rehearsals."""

    sessions: int = 16
    """Dreams of one rehearsal."""

    kept: int = 8
    """Rehearsals that are learnt from, the newest."""

    context: int = 8
    """Real frames that each begins with."""

    spoken_share: float = 0.06
    """Share of the frames after that at which the next words are said, in recordings that show what comes of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """What frames look like once they are past, (b, t) of them: as they really were, or as they were dreamt."""

    rows: Tensor
    """(b, t) of the recording."""

    video: Tensor
    """(b, t + 1, c, h, w): first the frame before them, zeros where there is none."""

    carried: Tensor | None = None
    """(b, t, c, h, w) for each frame the one before, as motion carries it there."""

    recalled: Tensor | None = None
    """(b, t, c + 1, h, w) what the album shows of each."""

    sound: Tensor | None = None
    """(b, t + 1, latent), as the video."""

    age: Tensor
    """(b, t) int64 frames since the last real one; 0 where it is real."""

    told: Tensor
    """(b, t) bool: whether what was past does not show yet what a frame is told, which the recording says elsewhere."""

    there: Tensor
    """(b, t) bool: which frames there are; what comes after an episode's end is nothing to learn from."""


class Rehearsal:
    """Plays, and remembers the last plays."""

    def __init__(
        self,
        data: Latents,
        starts: Tensor,
        config: RehearsalConfig,
        *,
        frames: int,
        texts: Sequence[str] = (),
        seed: int = 0,
    ):
        """Args:
        starts: (n,) rows to play on from, for `frames` rows or until their episode ends.
        texts: what the recording's prompts say, for a world that listens to words.
        """
        self.config, self.data = config, data
        self._starts, self._frames, self._texts = starts, frames, texts
        self._random = torch.Generator(starts.device).manual_seed(seed)
        self._plays: list[Past] = []
        self._played = 0

    @property
    def ready(self) -> bool:
        """Whether there is anything to learn from yet."""
        return bool(self._plays)

    def play(self, engine: Engine) -> None:
        """Dream on from real moments; the oldest play is forgotten."""
        config, data = self.config, self.data
        device = self._starts.device
        chosen = torch.randint(len(self._starts), (config.sessions,), generator=self._random, device=device)
        rows = data.windows(self._starts[chosen], self._frames)
        there = goes_on(rows)
        now = (torch.rand(rows.shape, generator=self._random, device=device) < config.spoken_share) & there
        now[:, : config.context] = False
        rows, told = data.speak(rows, now)
        play = self._real(rows, told, there)
        key = torch.arange(config.sessions, device=device) + self._played * config.sessions
        said, begin = self._said(rows, config.context - 1), rows[:, : config.context]
        state = engine.begin(
            data.z[begin],
            data.actions[begin],
            key,
            sound=None if data.sound is None else data.sound[begin],
            prompts=said or None,
            pose=None if data.pose is None else data.pose[begin[:, 0]],
        )
        steps = engine.taught[self._played % len(engine.taught)]
        for index in range(config.context, self._frames):
            if (now := self._said(rows, index)) != said:
                state, said = engine.say(state, now), now
                play.video[:, index - 1] = state.latents  # as words have changed it
            # the objects that really came, so that what really came next is what a dream with them must go on with
            shown = None if data.faces is None else data.faces[rows[:, index]].flatten(1).long()
            state, _ = engine.step(state, data.actions[rows[:, index]], steps=steps, donate=True, shown=shown)
            play.video[:, index] = state.latents
            if play.carried is not None:
                play.carried[:, index] = state.carried
            if play.recalled is not None:
                play.recalled[:, index] = state.recalled
            if play.sound is not None:
                play.sound[:, index] = state.sound[:, -1]
        self._plays = [*self._plays, play][-config.kept :]
        self._played += 1

    def draw(self, batch: int, window: int, random: torch.Generator) -> Past:
        """Windows of what was played."""
        parts = []

        def number(below: int) -> int:
            return int(torch.randint(below, (), generator=random, device=random.device))

        for _ in range(batch):
            play = self._plays[number(len(self._plays))]
            session = number(len(play.rows))
            # the first frame of a play only serves as the one before
            first = 1 + number(self._frames - window)
            parts.append((play, slice(session, session + 1), slice(first, first + window)))

        def gather(name: str, *, before: int = 0) -> Tensor:
            cut = [getattr(play, name)[one, slice(at.start - before, at.stop)] for play, one, at in parts]
            return torch.cat([part.float() if part.is_floating_point() else part for part in cut])

        has = self._plays[0]
        return Past(
            rows=gather("rows"),
            video=gather("video", before=1),
            carried=None if has.carried is None else gather("carried"),
            recalled=None if has.recalled is None else gather("recalled"),
            sound=None if has.sound is None else gather("sound", before=1),
            age=gather("age"),
            told=gather("told"),
            there=gather("there"),
        )

    def _real(self, rows: Tensor, told: Tensor, there: Tensor) -> Past:
        """A play before anything of it is dreamt; video and sound without the frame before."""
        data = self.data
        age = (torch.arange(self._frames, device=rows.device) - (self.config.context - 1)).clamp(min=0)
        return Past(
            rows=rows,
            video=data.z[rows],
            carried=None if data.carried is None else data.carried[rows],
            recalled=None if data.recalled is None else data.recalled[rows],
            sound=None if data.sound is None else data.sound[rows],
            age=age.expand(len(rows), -1),
            told=told,
            there=there,
        )

    def _said(self, rows: Tensor, index: int) -> list[str]:
        if self.data.prompt is None:
            return []
        return [self._texts[text] for text in self.data.prompt[rows[:, index]].tolist()]
