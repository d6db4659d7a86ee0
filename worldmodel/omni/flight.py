"""Flight: where something goes that was held in the view, such as a ball that is thrown.

It is one point in the space before the eye. What the eye does moves it exactly, since the travel of each frame is
known; what it does by itself, how it leaves the hand, falls, bounces, rolls, lies and is picked up again, is learnt
from the boxes that a recording has of it. It is where it is, whether or not one looks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

RADIUS = 0.15
"""Half the width of the thing is the measure of all its lengths: it is so many of them."""

NEAREST = 0.02
"""What is less far ahead than this is not seen."""

TOO_FAR = 8.0
"""A length further away than one reaches, it is picked up so much less likely."""

FAST = 0.2
"""A speed, in lengths a frame, that is 1 to the network."""

FELT = 8
"""Numbers that tell what may be heard of it."""

ANYWHERE = 5e4
"""Further, in a world's own unit, than any eye is low or high."""

REST = 3.0
"""So sure a network that knows nothing yet is that what moves goes on moving, and that what is held stays held."""


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
    """(b, 3) right, up, ahead of the eye, as who stands upright and looks level has them; in lengths, see RADIUS."""
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
    """Follow it.

    What it does by itself is told in parts, so that nothing that the eye does can push it or take it away: when and
    how fast it is thrown, by what is pressed; how it falls, bounces and slows down, by how high and how fast it is; and
    when it is picked up, by how far away it is and for how long.
    """

    grip: Tensor
    eye: Tensor
    unit: Tensor

    def __init__(self, config: FlightConfig):
        super().__init__()
        self.config = config
        told = 2 * config.actions + 2 + 3
        self.throws = _layers(told, config.width, 4)
        self.falls = _layers(3, config.width, 2)
        self.takes = _layers(5 + config.memory, config.width, 1)
        self.memory = nn.GRUCell(2, config.memory)
        self.hand = nn.Parameter(torch.tensor([0.1, -0.1, 0.0]))
        """Where it leaves the hand, as the view has it: right and up for each length ahead, and the logarithm of
        that."""
        self.stride = nn.Parameter(torch.zeros(()))
        """Logarithm of the lengths that one walks in about a second."""
        self.reach = nn.Parameter(torch.zeros(()))
        """Logarithm of the length from which on it is too far away to be picked up."""
        self.again = nn.Parameter(torch.zeros(()))
        """Whether who throws has it at once, wherever it is: the logit of that."""
        self.register_buffer("grip", torch.zeros(3))
        """Where it is seen in the hand: column, row and half its width, in pixels from the view's middle. It may be
        held nearer, or drawn smaller, than it flies off."""
        self.register_buffer("eye", torch.tensor([-ANYWHERE, ANYWHERE]))
        """How low and how high the eye may be, in the world's own unit: what is believed of that drifts."""
        self.register_buffer("unit", torch.ones(()))
        """What one walks in about a second, in the world's own unit."""

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

    def forward(
        self, thing: Thing, actions: Tensor, travel: Tensor, pose: Tensor, in_hand: Tensor | None = None
    ) -> tuple[Thing, Tensor]:
        """One frame on.

        Args:
            actions: (b, 2, a) what led to the frame before, and what leads to this one.
            travel: (b, 5) from the one to the other, see memory.pose.
            pose: (b, 5) of this one.
            in_hand: (b,) 1 or 0 where one sees whether it is in the hand, less than 0 elsewhere; nowhere by default.

        Returns:
            The thing, and (b,) the chance that it is in the hand, as it is believed.
        """
        free, thrown, lets_go, takes = self._moved(thing, actions, travel, pose)
        was = thing.in_hand
        believed = (1 - lets_go) * (was + (1 - was) * takes)
        in_hand = believed if in_hand is None else torch.where(in_hand < 0, believed, in_hand)
        out = torch.maximum(was, lets_go * self.again.sigmoid())[:, None]
        held, hand = in_hand[:, None], self._hand(pose[:, 4])
        place = torch.lerp(free.place, thrown.place, out)
        speed = torch.lerp(free.speed, thrown.speed, out) * (1 - held)
        memory = self._count(thing, in_hand, lets_go)
        return replace(free, place=torch.lerp(place, hand, held), speed=speed, in_hand=in_hand, memory=memory), believed

    def step(self, thing: Thing, actions: Tensor, travel: Tensor, pose: Tensor) -> Thing:
        """forward(), made up its mind: it is in the hand or it is not."""
        free, thrown, lets_go, takes = self._moved(thing, actions, travel, pose)
        was, throws = thing.in_hand > 0.5, lets_go > 0.5
        holds = ~throws & (was | (takes > 0.5))
        out = (throws & (was | (self.again > 0)))[:, None]
        hand = self._hand(pose[:, 4])
        place, speed = (torch.where(out, getattr(thrown, name), getattr(free, name)) for name in ("place", "speed"))
        return replace(
            free,
            place=torch.where(holds[:, None], hand, place),
            speed=torch.where(holds[:, None], 0.0, speed),
            in_hand=holds.to(takes),
            loose=torch.maximum(thing.loose, (~holds).to(thing.loose)),
            memory=self._count(thing, holds.to(takes), lets_go),
        )

    def _moved(
        self, thing: Thing, actions: Tensor, travel: Tensor, pose: Tensor
    ) -> tuple[Thing, Thing, Tensor, Tensor]:
        """The thing one frame on if nobody holds it, and if it is thrown in this frame, and (b,) the chances that who
        has it throws it, and that who has not picks it up."""
        lengths = self.stride.exp() / self.unit
        steps, turn, pitch = travel[:, :3] * lengths, travel[:, 3], pose[:, 4]
        eye = self._eye(pose)
        place, speed = _turned(thing.place - steps, turn), _turned(thing.speed, turn)
        high, level = place[:, 1] + eye, speed[:, [0, 2]].norm(dim=1)
        motion = torch.stack([high, speed[:, 1] / FAST, level / FAST], 1)
        pull, lasts = self.falls(motion).unbind(1)
        lasts = (REST + lasts).sigmoid()
        speed = torch.stack([speed[:, 0] * lasts, speed[:, 1] + FAST * pull, speed[:, 2] * lasts], 1)
        away = place[:, [0, 2]].norm(dim=1)
        near = torch.cat([motion, torch.stack([away, place[:, 1]], 1), thing.memory], 1)
        takes = (self.takes(near)[:, 0] - TOO_FAR * (away - self.reach.exp()).clamp(min=0)).sigmoid()
        told = torch.cat([actions.flatten(1), torch.stack([pitch, eye], 1), steps / FAST], 1)
        throw = self.throws(told)
        off = steps + 2 * FAST * throw[:, :3]
        free = replace(thing, place=place + speed, speed=speed)
        thrown = replace(thing, place=self._hand(pitch) + off, speed=off)
        return free, thrown, (throw[:, 3] - REST).sigmoid(), takes

    def _count(self, thing: Thing, in_hand: Tensor, lets_go: Tensor) -> Tensor:
        """How long ago what happened. Shape (b, memory)."""
        return self.memory(torch.stack([in_hand, lets_go], 1), thing.memory)

    def seen_at(self, thing: Thing, pitch: Tensor) -> Tensor:
        """Where it is seen when it is not in the hand.

        Returns:
            (b, 4) column and row of its middle in pixels from the view's, half its width in pixels, and how far ahead
            it is; what is NEAREST or less is not in view.
        """
        right, up, ahead = thing.place.unbind(1)
        sin, cos = pitch.sin(), pitch.cos()
        depth = ahead * cos + up * sin
        scale = self.config.focal / depth.clamp(min=NEAREST)
        return torch.stack([right * scale, (ahead * sin - up * cos) * scale, RADIUS * scale, depth], 1)

    def felt(self, thing: Thing, pose: Tensor) -> Tensor:
        """What may be heard of it. Shapes: b sessions, (b, 5) poses -> (b, FELT).

        Whether it is held, whether it ever left, how high it is, how fast it rises and goes, how far away it is (twice:
        as it is, and how loud), and on which side.
        """
        right, up, ahead = thing.place.unbind(1)
        high = up + self._eye(pose)
        away, level = torch.hypot(right, ahead), thing.speed[:, [0, 2]].norm(dim=1)
        flies = 1 - thing.in_hand
        told = [high, thing.speed[:, 1] / FAST, level / FAST, away.log1p(), 1 / (1 + away), right / (1 + away)]
        return torch.stack([thing.in_hand, thing.loose, *(flies * part for part in told)], 1)

    def _eye(self, pose: Tensor) -> Tensor:
        """How high the eye is, in lengths. Shapes: (b, 5) -> (b,)."""
        return pose[:, 1].clamp(self.eye[0], self.eye[1]) * self.stride.exp() / self.unit

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


def _layers(enter: int, width: int, leave: int) -> nn.Sequential:
    """A small network that says 0 at first."""
    last = nn.Linear(width, leave)
    for part in last.parameters():
        nn.init.zeros_(part)
    return nn.Sequential(nn.Linear(enter, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last)
