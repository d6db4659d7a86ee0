"""The state of a batch of isles: frozen tensors with the batch first, made from seeds.

Axes: x east, y up, z north, metres. Yaw 0 looks north and grows to the right; pitch grows upwards; both in radians.
Every random number is hashed from (island, frame, purpose), so an island is the same in any batch and on any device.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inhabit.worldmodel.response.noise import uniform
from inhabit.worldmodel.worlds.isle.attributes import COLOURS, LANDMARKS, VALUES, Attributes, encode

RATE_HZ = 16.0
STEP_S = 1 / RATE_HZ
SHORE_M = 28.0
"""Distance from the middle at which the water begins."""
REACH_M = 29.2
"""How far from the middle one can go."""
EYE_M = 1.7

EACH = 3
"""Places for each kind of landmark and for creatures."""
CREATURES = range(len(LANDMARKS) * EACH, len(LANDMARKS) * EACH + 3)
AVATARS = range(CREATURES.stop, CREATURES.stop + 2)
BALL = AVATARS.stop
SLOTS = BALL + 1
WALKERS = range(CREATURES.start, AVATARS.stop)

RADIUS_M = {"tower": 1.75, "house": 2.75, "tree": 0.5, "rock": 1.75, "pillar": 0.8}
HEIGHT_M = {"tower": 8.0, "house": 5.0, "tree": 5.0, "rock": 2.5, "pillar": 4.0}
WALKER_RADIUS_M, PLAYER_RADIUS_M, BALL_RADIUS_M = 0.5, 0.4, 0.3

EVENTS = ("step", "jump", "land", "throw", "bounce", "pickup", "splash", "call", "lightning", "thunder", "bump")
VOICES = ("step", "hand", "bounce", "splash", "thunder", "call-0", "call-1", "call-2")
"""Sounds that can be heard at once, each by itself."""
SILENT = 1 << 20
"""Age in frames of a voice that says nothing."""
NEVER = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """b islands at one moment. A new one is made for each step; nothing in it is ever changed."""

    key: Tensor
    """(b,) int64: the seeds."""
    frame: Tensor
    """(b,) int64: frames since the start."""
    goal: Tensor
    """(b, len(VALUES)) int64: the attributes in force, as encode() gives them."""
    time: Tensor
    """(b, 4) how much of each time of day there is now; the next three likewise. Each fades to its goal."""
    weather: Tensor
    ground: Tensor
    style: Tensor
    presence: Tensor
    """(b, SLOTS) 0 to 1: how far each thing has grown out of the ground."""
    tint: Tensor
    """(b, SLOTS, 3) colour of each thing, 0 to 1."""
    place: Tensor
    """(b, SLOTS, 3) m: where each thing's foot is; the ball's centre."""
    yaw: Tensor
    """(b, SLOTS) rad: where each thing faces; for the ball the way that it rolls."""
    gait: Tensor
    """(b, SLOTS) rad: phase of a walker's hop; for the ball how far it has rolled."""
    aim: Tensor
    """(b, 5) rad: where each walker wants to go."""
    player: Tensor
    """(b, 3) m: the player's feet."""
    velocity: Tensor
    """(b, 3) m/s."""
    look: Tensor
    """(b, 2) rad: yaw and pitch."""
    spin: Tensor
    """(b, 2) rad/s: how fast yaw and pitch change."""
    stride: Tensor
    """(b,) m walked since the last step was heard."""
    pressed: Tensor
    """(b, 2) bool: JUMP and THROW in the last frame."""
    ball_velocity: Tensor
    """(b, 3) m/s."""
    ball_held: Tensor
    """(b,) bool."""
    ball_age: Tensor
    """(b,) int64 frames since it was thrown."""
    lightning: Tensor
    """(b,) int64 frames since the last lightning."""
    bolt: Tensor
    """(b,) rad: in which direction it struck."""
    thunder_in: Tensor
    """(b,) int64 frames until its thunder is heard."""
    traits: Tensor
    """(b, 8) in (0, 1]: what makes this island its own (the sun's direction, the skyline, the clouds)."""
    events: Tensor
    """(b, len(EVENTS)) bool: what happened in this frame."""
    voice_age: Tensor
    """(b, len(VOICES)) int64 frames since each voice began."""
    voice_sound: Tensor
    """(b, len(VOICES)) int64: which sound it says."""
    voice_gain: Tensor
    """(b, len(VOICES), 2) left and right."""
    level: Tensor
    """(b, 3, 2, 2) wind, rain and water: at the frame's start and end, left and right."""

    def __len__(self) -> int:
        return len(self.key)


def replaced(state: State, **fields: Tensor) -> State:
    """The state with some fields replaced."""
    return dataclasses.replace(state, **fields)


def pick(state: State, rows: Tensor | slice | list[int]) -> State:
    """Some islands of the batch."""
    return State(**{field.name: getattr(state, field.name)[rows] for field in dataclasses.fields(state)})


def join(states: Sequence[State]) -> State:
    """One batch out of several."""
    names = [field.name for field in dataclasses.fields(State)]
    return State(**{name: torch.cat([getattr(state, name) for state in states]) for name in names})


def draws(key: Tensor, frame: Tensor, purpose: int, count: int) -> Tensor:
    """(b, count) numbers in (0, 1], equal on every device."""
    keys = key[:, None] * 4096 + torch.arange(count, device=key.device)
    return uniform(keys.reshape(-1), frame.repeat_interleave(count), purpose).view(-1, count).float()


def create(
    seeds: Sequence[int], attributes: Sequence[Attributes], *, avatars: int = 1, device: torch.device | str = "cpu"
) -> State:
    """Make a batch of islands, one for each seed, as they are at frame 0.

    Args:
        avatars: other people on each island, 0 to 2.
    """
    if len(seeds) != len(attributes) or not 0 <= avatars <= len(AVATARS):
        raise ValueError(
            f"Expected attributes for {len(seeds)} seeds and 0-2 avatars, got {len(attributes)}, {avatars}"
        )
    b = len(seeds)
    key = torch.tensor([int(seed) % 2**40 for seed in seeds], dtype=torch.int64, device=device)
    frame = torch.zeros(b, dtype=torch.int64, device=device)
    zeros, whole = (lambda *shape: torch.zeros(b, *shape, device=device)), frame
    place, yaw = _places(key, frame)
    goal = torch.tensor([encode(one) for one in attributes], dtype=torch.int64, device=device)
    presence, tint = wanted(goal, key, torch.full((b,), avatars, device=device))
    look = zeros(2)
    look[:, 0] = _first_look(place, presence)
    silent = torch.full((b, len(VOICES)), SILENT, dtype=torch.int64, device=device)
    return State(
        key=key,
        frame=frame,
        goal=goal,
        **{name: goal_weights(goal, name) for name in ("time", "weather", "ground", "style")},
        presence=presence,
        tint=tint,
        place=place,
        yaw=yaw,
        gait=zeros(SLOTS),
        aim=draws(key, frame, 6, len(WALKERS)) * (2 * math.pi),
        player=zeros(3),
        velocity=zeros(3),
        look=look,
        spin=zeros(2),
        stride=zeros(),
        pressed=zeros(2).bool(),
        ball_velocity=zeros(3),
        ball_held=whole == 0,
        ball_age=whole,
        lightning=whole + NEVER,
        bolt=zeros(),
        thunder_in=whole + NEVER,
        traits=draws(key, frame, 7, 8),
        events=zeros(len(EVENTS)).bool(),
        voice_age=silent,
        voice_sound=torch.zeros_like(silent),
        voice_gain=zeros(len(VOICES), 2),
        level=zeros(3, 2, 2),
    )


def with_attributes(state: State, attributes: Sequence[Attributes]) -> State:
    """Set what the words now ask for; step() lets light, weather and ground fade to it."""
    goal = torch.tensor([encode(one) for one in attributes], dtype=torch.int64, device=state.key.device)
    if len(goal) != len(state):
        raise ValueError(f"Expected attributes for {len(state)} islands, got {len(goal)}")
    return replaced(state, goal=goal)


def wanted(goal: Tensor, key: Tensor, avatars: Tensor) -> tuple[Tensor, Tensor]:
    """Presence and tint that the goal asks for. Shapes: (b, SLOTS), (b, SLOTS, 3)."""
    names, device = list(VALUES), goal.device
    colours = torch.tensor([[v >> 16, v >> 8 & 255, v & 255] for v in COLOURS.values()], device=device) / 255
    nth = torch.arange(EACH, device=device)
    counts = [goal[:, names.index(f"{kind}_count")] for kind in LANDMARKS] + [goal[:, names.index("creatures")]]
    presence = [nth < count[:, None] for count in counts]
    presence.append(torch.arange(len(AVATARS), device=device) < avatars[:, None])
    presence.append(torch.ones_like(presence[0][:, :1]))
    tints = [colours[goal[:, names.index(f"{kind}_colour")]][:, None].expand(-1, EACH, -1) for kind in LANDMARKS]
    own = draws(key, torch.zeros_like(key), 9, len(WALKERS))
    tints.append(colours[creature_colours(own)])
    ball = torch.tensor([1.0, 0.42, 0.1], device=device)
    return torch.cat(presence, 1).float(), torch.cat([*tints, ball.expand(len(goal), 1, 3)], 1)


def creature_colours(own: Tensor) -> Tensor:
    """Which of COLOURS a walker has: never white or black, which the grounds would hide."""
    return (own * 5.999).long()


def goal_weights(goal: Tensor, name: str) -> Tensor:
    """One-hot (b, values) float32 of one attribute of the goal."""
    return torch.nn.functional.one_hot(goal[:, list(VALUES).index(name)], len(VALUES[name])).float()


def _places(key: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
    """Where things stand: landmarks on a jittered hexagonal grid around the middle, so that none overlap."""
    b, device = len(key), key.device
    cells = _grid(device)
    order = draws(key, frame, 1, len(cells)).argsort(1)[:, : CREATURES.start]
    jitter = (draws(key, frame, 2, 2 * CREATURES.start).view(b, -1, 2) - 0.5) * 3.2
    flat = cells[order] + jitter
    turn = draws(key, frame, 3, 1) * (2 * math.pi)
    x = flat[..., 0] * turn.cos() - flat[..., 1] * turn.sin()
    z = flat[..., 0] * turn.sin() + flat[..., 1] * turn.cos()
    away = draws(key, frame, 4, 2 * len(WALKERS)).view(b, -1, 2)
    radius, angle = 4 + 10 * away[..., 0], away[..., 1] * (2 * math.pi)
    place = torch.zeros(b, SLOTS, 3, device=device)
    place[:, : CREATURES.start, 0], place[:, : CREATURES.start, 2] = x, z
    place[:, WALKERS.start : WALKERS.stop, 0] = radius * angle.sin()
    place[:, WALKERS.start : WALKERS.stop, 2] = radius * angle.cos()
    return place, draws(key, frame, 5, SLOTS) * (2 * math.pi)


def _grid(device: torch.device) -> Tensor:
    """The 18 cells around the middle of a hexagonal grid 9 m wide. Shape (18, 2)."""
    cells = [
        (9.0 * (q + r / 2), 9.0 * r * math.sqrt(3) / 2)
        for q in range(-2, 3)
        for r in range(-2, 3)
        if abs(q + r) <= 2 and (q, r) != (0, 0)
    ]
    return torch.tensor(cells, device=device)


def _first_look(place: Tensor, presence: Tensor) -> Tensor:
    """Face the first landmark that is there, for a first picture with something in it. Shape (b,) rad."""
    first = presence[:, : CREATURES.start].argmax(1)
    at = place[torch.arange(len(place), device=place.device), first]
    return torch.atan2(at[:, 0], at[:, 2])
