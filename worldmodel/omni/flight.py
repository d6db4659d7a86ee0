"""Flight: where something goes that was held in the view, such as a ball that is thrown.

It is one point in the space before the eye. What the eye does moves it exactly, since the travel of each frame is
known; what it does by itself, how it leaves the hand, falls, bounces, rolls, lies and is picked up again, is learnt
from the boxes that a recording has of it. It is where it is, whether or not one looks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from inhabit.worldmodel.memory.pose import POSE

NEAREST = 0.02
"""What is less far ahead than this, in units, is not seen."""

LETS_GO, TAKES = 0.35, 0.65
"""It has left the hand, and is back in it, when that is believed less than this, and more than that."""

FAST = 0.2
"""A speed, in units a frame, that is 1 to the network."""

FAR = 4.0
"""A distance, in units, that is 1 to the network."""


REST = 3.0
"""So sure a network that knows nothing yet is that a thing does not lie still."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FlightConfig:
    """The network's sizes."""

    name: str
    """What is held, as recordings name it."""

    actions: int = 6
    """Numbers of an action."""

    focal: float = 64.0
    """Pixels to the side of the middle at which one sees what is as far to the side as ahead."""

    width: int = 96
    """Features of the hidden layer."""

    memory: int = 32
    """Features of the recurrent one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """What is known of it in b sessions."""

    place: Tensor
    """(b, 3) right, up, ahead of the eye, as who stands upright and looks level has them; units."""
    speed: Tensor
    """(b, 3) the same, a frame."""
    in_hand: Tensor
    """(b,) how sure it is that it is held."""
    loose: Tensor
    """(b,) 1 from the first time that it has left the hand, until then 0."""
    memory: Tensor
    """(b, memory)."""

    def packed(self) -> Tensor:
        """One row for each session, for a State."""
        parts = (self.place, self.speed, self.in_hand[:, None], self.loose[:, None], self.memory)
        return torch.cat(parts, 1)

    @staticmethod
    def unpacked(rows: Tensor) -> Thing:
        """The inverse of packed()."""
        return Thing(place=rows[:, :3], speed=rows[:, 3:6], in_hand=rows[:, 6], loose=rows[:, 7], memory=rows[:, 8:])


class Flight(nn.Module):
    """Follow it."""

    grip: Tensor
    unit: Tensor

    def __init__(self, config: FlightConfig):
        super().__init__()
        self.config = config
        seen = 3 + 3 + 1 + 2 * config.actions + POSE + 2
        self.seen = nn.Sequential(
            nn.Linear(seen, config.width), nn.SiLU(), nn.Linear(config.width, config.width), nn.SiLU()
        )
        self.memory = nn.GRUCell(config.width, config.memory)
        self.pull = nn.Sequential(
            nn.Linear(config.width + config.memory, config.width), nn.SiLU(), nn.Linear(config.width, 5)
        )
        for part in self.pull[-1].parameters():
            nn.init.zeros_(part)
        self.hand = nn.Parameter(torch.tensor([0.1, -0.1, 0.0]))
        """Where it leaves the hand, as the view has it: right and up for each unit ahead, and the logarithm of that."""
        self.radius = nn.Parameter(torch.tensor(-2.0))
        """Logarithm of half its width, in units."""
        self.register_buffer("grip", torch.zeros(3))
        """Where it is seen in the hand: column, row and half its width, in pixels from the view's middle. It may be
        held nearer, or drawn smaller, than it flies off."""
        self.register_buffer("unit", torch.ones(()))
        """The length that is 1 to the network, in the world's own: what one walks in about a second."""

    @property
    def width(self) -> int:
        """Numbers in a row of Thing.packed()."""
        return 8 + self.config.memory

    def held(self, pitch: Tensor) -> Thing:
        """In the hand of who looks up by `pitch`, (b,) rad."""
        b = len(pitch)
        nothing = pitch.new_zeros(b, 3)
        return Thing(
            place=self._hand(pitch), speed=nothing, in_hand=torch.ones_like(pitch), loose=torch.zeros_like(pitch),
            memory=pitch.new_zeros(b, self.config.memory),
        )  # fmt: skip

    def forward(self, thing: Thing, actions: Tensor, travel: Tensor, pose: Tensor) -> tuple[Thing, Tensor]:
        """One frame on.

        Args:
            actions: (b, 2, a) what led to the frame before, and what leads to this one.
            travel: (b, 5) from the one to the other, see memory.pose.
            pose: (b, 5) of this one.

        Returns:
            The thing, and (b,) logit of whether it is in the hand.
        """
        free, logit = self._freely(thing, actions, travel, pose)
        in_hand = logit.sigmoid()
        held = in_hand[:, None]
        place = torch.lerp(free.place, self._hand(pose[:, 4]), held)
        return replace(free, place=place, speed=free.speed * (1 - held), in_hand=in_hand), logit

    def step(self, thing: Thing, actions: Tensor, travel: Tensor, pose: Tensor) -> Thing:
        """forward(), made up its mind: it is in the hand or it is not."""
        free, logit = self._freely(thing, actions, travel, pose)
        in_hand = logit.sigmoid()
        holds = torch.where(thing.in_hand > 0.5, in_hand > LETS_GO, in_hand > TAKES)
        return replace(
            free,
            place=torch.where(holds[:, None], self._hand(pose[:, 4]), free.place),
            speed=torch.where(holds[:, None], 0.0, free.speed),
            in_hand=holds.to(in_hand),
            loose=torch.maximum(thing.loose, (~holds).to(thing.loose)),
        )

    def _freely(self, thing: Thing, actions: Tensor, travel: Tensor, pose: Tensor) -> tuple[Thing, Tensor]:
        """The thing one frame on if nobody holds it then, and (b,) logit of whether somebody does."""
        steps, turn, pitch = travel[:, :3] / self.unit, travel[:, 3], pose[:, 4]
        place, speed = _turned(thing.place - steps, turn), _turned(thing.speed, turn)
        stance = torch.stack([pitch, pose[:, 1] / self.unit], 1)
        before = [place / FAR, speed / FAST, thing.in_hand[:, None], actions.flatten(1)]
        seen = self.seen(torch.cat([*before, steps / FAST, travel[:, 3:], stance], 1))
        memory = self.memory(seen, thing.memory)
        pull = self.pull(torch.cat([seen, memory], 1))
        speed = (speed + FAST * pull[:, :3]) * (REST - pull[:, 4:]).sigmoid()
        return replace(thing, place=place + speed, speed=speed, memory=memory), pull[:, 3] + 3 * (2 * thing.in_hand - 1)

    def seen_at(self, thing: Thing, pitch: Tensor) -> Tensor:
        """Where it is seen when it is not in the hand.

        Returns:
            (b, 4) column and row of its middle in pixels from the view's, half its width in pixels, and how far ahead
            it is, in units; what is NEAREST or less is not in view.
        """
        right, up, ahead = thing.place.unbind(1)
        sin, cos = pitch.sin(), pitch.cos()
        depth = ahead * cos + up * sin
        scale = self.config.focal / depth.clamp(min=NEAREST)
        return torch.stack([right * scale, (ahead * sin - up * cos) * scale, self.radius.exp() * scale, depth], 1)

    def shown_at(self, thing: Thing, pitch: Tensor) -> Tensor:
        """Likewise of what step() gave, wherever it is. Shape (b, 4)."""
        grip = torch.cat([self.grip, self.grip.new_full((1,), 2 * NEAREST)])
        return torch.where(thing.in_hand[:, None] > 0.5, grip, self.seen_at(thing, pitch))

    def _hand(self, pitch: Tensor) -> Tensor:
        """Shapes: (b,) rad -> (b, 3)."""
        ahead = self.hand[2].exp()
        right, up = self.hand[:2] * ahead
        sin, cos = pitch.sin(), pitch.cos()
        return torch.stack([right.expand_as(pitch), up * cos + ahead * sin, ahead * cos - up * sin], 1)


def _turned(place: Tensor, turn: Tensor) -> Tensor:
    """The same as who has turned clockwise has it. Shapes: (b, 3), (b,) -> (b, 3)."""
    right, up, ahead = place.unbind(1)
    sin, cos = turn.sin(), turn.cos()
    return torch.stack([right * cos - ahead * sin, up, ahead * cos + right * sin], 1)
