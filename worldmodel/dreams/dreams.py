"""Dreams: a pack as a functional, batched simulator. Planners use it as it is; environments are shells over it.

    dreams = open_dreams("doom-center")
    state = dreams.begin([1, 2, 3])                       # three sessions, each from its own seed
    state, outcome = dreams.step(state, actions)          # (3, a) actions; the given state stays as it was
    branches = state.select(torch.tensor([0, 0, 0, 0]))   # the first one, four times
    branches = dreams.reseed(branches, [5, 6, 7, 8])      # ... with futures of their own

A state is a value: keep it, step from it again, join it with others. What a session becomes depends on its seed, its
start and its actions, never on who else is in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from inhabit.bridge.errors import WorldError
from inhabit.worldmodel.catalog import find_pack
from inhabit.worldmodel.dreams.temperature import Tempered
from inhabit.worldmodel.engine import Engine, Outcome
from inhabit.worldmodel.neural_world import NeuralWorld, choose_device
from inhabit.worldmodel.neural_world import _mixed as mixed
from inhabit.worldmodel.omni.text import words_of
from inhabit.worldmodel.pack import Pack, load_pack
from inhabit.worldmodel.state import State

BEGIN_TOGETHER = 64
"""Sessions that begin in one pass on a GPU. On a CPU each begins alone: most of a group would be padding."""

_DRAW = 7
"""Salt of the keys of further draws."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DreamConfig:
    """How a pack is dreamt."""

    steps: int | None = None
    """Sampling steps a frame, 1, 2 or 4; None takes the pack's own choice."""

    temperature: float = 1.0
    """0 to 3, 1 is what was learnt."""

    device: str = "auto"
    """auto, cpu or cuda."""


class Beginning(NamedTuple):
    """What one session begins with."""

    key: int
    """Where its noise comes from."""
    start: int
    """Which of the pack's recorded moments."""
    prompt: str


class Dreams:
    """Sessions of one world, as many as you like, on one device."""

    def __init__(self, pack: Pack, config: DreamConfig = DreamConfig()):
        self.info = pack.file.info
        if config.steps is not None and config.steps not in self.info.steps:
            raise WorldError(f"Expected steps to be one of {self.info.steps}, got {config.steps!r}")
        self.steps = config.steps or pack.file.steps
        self.temperature = config.temperature
        self.starts = pack.starts
        self.engine = tempered_engine(pack, config)
        self.latent_shape: tuple[int, int, int] = tuple(pack.starts.latents.shape[2:])  # type: ignore[assignment]

    @property
    def device(self) -> torch.device:
        return self.engine.device

    def begin(
        self,
        seeds: Sequence[int],
        *,
        starts: Sequence[int | None] | None = None,
        prompts: Sequence[str | None] | None = None,
        places: Sequence[int] | None = None,
    ) -> State:
        """Begin a session for each seed, at the start that the seed chooses or at a named one.

        Equal seeds begin equally here and in NeuralWorld.reset(). Raises WorldError for a start or prompt that the
        world does not have.

        Args:
            seeds: one number for each session.
            starts: which of the pack's recorded moments; None lets the seed choose.
            prompts: what each session is told; None means what held when its start was recorded.
            places: where each will stand in its batch. Equal places give equal bits on a GPU; 0, 1, ... by default.
        """
        return self.begin_chosen(self.choose(seeds, starts=starts, prompts=prompts), places=places)

    def choose(
        self,
        seeds: Sequence[int],
        *,
        starts: Sequence[int | None] | None = None,
        prompts: Sequence[str | None] | None = None,
    ) -> list[Beginning]:
        """What begin() begins with; the arguments are the same."""
        chosen = []
        for index, seed in enumerate(seeds):
            key = mixed(int(seed), 0)
            start = self._start(key, None if starts is None else starts[index])
            chosen.append(Beginning(key, start, self._prompt(start, None if prompts is None else prompts[index])))
        return chosen

    def begin_chosen(self, chosen: Sequence[Beginning], *, places: Sequence[int] | None = None) -> State:
        """Begin sessions that choose() chose."""
        if self.device.type == "cpu":
            return State.join([self._begin([one]) for one in chosen])
        return self._begin_grouped(chosen, list(range(len(chosen)) if places is None else places))

    def step(self, state: State, actions: Tensor | np.ndarray, *, donate: bool = False) -> tuple[State, Outcome]:
        """Advance every session by one frame. Shapes: (b, a) actions; Outcome's are (b,).

        Args:
            actions: a tensor or an array.
            donate: `state` is used up, which saves a copy of all that the sessions remember; see Engine.step().
        """
        actions = torch.as_tensor(actions, dtype=torch.float32, device=self.device)
        return self.engine.step(state, actions, steps=self.steps, donate=donate)

    def reseed(self, state: State, seeds: Sequence[int]) -> State:
        """The same sessions with other futures: from here on their noise comes from these seeds."""
        keys = torch.tensor([mixed(int(seed), 0) for seed in seeds], dtype=torch.int64, device=self.device)
        return replace(state, key=keys)

    def uncertainty(self, before: State, actions: Tensor, after: State, *, draws: int) -> Tensor:
        """How far `draws` further draws of the frame `after` lie apart: the spread over all 1 + draws of each latent,
        averaged. Latents have unit variance over the recording, so 1 means: as far apart as any two real frames.

        Shapes: State of b, (b, a) -> (b,) float32. Costs `draws` steps.
        """
        drawn = [after.latents]
        for draw in range(1, draws + 1):
            other, _ = self.step(replace(before, key=other_keys(before.key, draw)), actions)
            drawn.append(other.latents)
        return spread(torch.stack(drawn))

    def residual(self, state: State, frames: Tensor) -> Tensor:
        """How much of each frame the codec cannot say: encode(decode(z)) - z, root mean square. Shape (b,) float32.

        Cheaper than further draws, and blind to a dream that is wrong but looks right.
        """
        return (self.encode(frames) - state.latents).square().mean((1, 2, 3)).sqrt()

    def encode(self, frames: Tensor) -> Tensor:
        """Real frames as this world would remember them. Shapes: (b, h, w, 3) uint8 -> (b, c, h', w') float32."""
        return self.engine.look(frames)

    def show(self, state: State) -> Tensor:
        """Shape (b, h, w, 3) uint8."""
        return self.engine.show(state)

    def hear(self, state: State) -> Tensor:
        """Shape (b, samples, channels) int16."""
        return self.engine.hear(state)

    def _begin(self, chosen: Sequence[Beginning]) -> State:
        rows = torch.tensor([one.start for one in chosen])
        return self.engine.begin(
            self.starts.latents[rows],
            self.starts.actions[rows],
            torch.tensor([one.key for one in chosen], dtype=torch.int64),
            prompts=[one.prompt for one in chosen],
            held=[self._prompt(one.start, None) for one in chosen],
            **{
                name: part[rows] for name in ("sound", "pose") if (part := getattr(self.starts, name, None)) is not None
            },
        )

    def _begin_grouped(self, chosen: Sequence[Beginning], places: list[int]) -> State:
        """Groups of one size, each session at its own place in its group: equal shapes give equal bits."""
        groups: dict[int, dict[int, int]] = {}
        for index, place in enumerate(places):
            groups.setdefault(place // BEGIN_TOGETHER, {})[place % BEGIN_TOGETHER] = index
        begun: dict[int, State] = {}
        for members in groups.values():
            anyone = next(iter(members.values()))
            state = self._begin([chosen[members.get(place, anyone)] for place in range(BEGIN_TOGETHER)])
            for place, index in members.items():
                begun[index] = state.select(torch.tensor([place], device=self.device))
        return State.join([begun[index] for index in range(len(chosen))])

    def _start(self, key: int, named: int | None) -> int:
        if named is None:
            return mixed(key, 1) % len(self.starts)
        if isinstance(named, bool) or not isinstance(named, int) or not 0 <= named < len(self.starts):
            raise WorldError(f"Expected a start from 0 to {len(self.starts) - 1}, got {named!r}")
        return named

    def _prompt(self, start: int, told: str | None) -> str:
        if told is None:
            return self.starts.prompts[start] if self.starts.prompts else ""
        if not self.engine.listens:
            raise WorldError(f"Expected no prompt: {self.info.name!r} was learnt without words")
        if not isinstance(told, str):
            raise WorldError(f"Expected a prompt as text, got {told!r}")
        return " ".join(words_of(told))


def open_dreams(pack: str | Path, config: DreamConfig = DreamConfig()) -> Dreams:
    """Open a pack by name or folder. Raises PackError, WorldError."""
    return Dreams(load_pack(find_pack(str(pack))), config)


def open_world(pack: str | Path, config: DreamConfig = DreamConfig()) -> NeuralWorld:
    """One session of a pack as a World, with a temperature. Raises PackError, WorldError."""
    loaded = load_pack(find_pack(str(pack)))
    world = NeuralWorld(loaded, tempered_engine(loaded, config))
    if config.steps is not None:
        world.configure(steps=config.steps)
    return world


def tempered_engine(pack: Pack, config: DreamConfig) -> Engine:
    """An engine of the pack; at temperature 1 a plain one."""
    if config.temperature != 1:
        pack = replace(pack, dynamics=Tempered(pack.dynamics, config.temperature))  # type: ignore[arg-type]
    return Engine.of(pack, choose_device(config.device))


def other_keys(key: Tensor, draw: int) -> Tensor:
    """Keys of further draws, the same wherever they are asked for. Shape (b,) int64."""
    drawn = [other_key(value, draw) for value in key.tolist()]
    return torch.tensor(drawn, dtype=torch.int64, device=key.device)


def other_key(key: int, draw: int) -> int:
    """The key of one session's further draw."""
    return mixed(key, _DRAW + draw)


def spread(drawn: Tensor) -> Tensor:
    """Standard deviation over draws, averaged over latents. Shapes: (draws, b, ...) -> (b,)."""
    return drawn.float().std(0, correction=0).flatten(1).mean(1)
