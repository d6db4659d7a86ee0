"""Scripted players for isle recordings. A model obeys only what it saw done, and remembers only what came back.

So they walk to things, look away and return, turn once around, circle, throw and fetch, and at least a fifth of all
frames are random. Some press keys (all or nothing), others push sticks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from inhabit.worldmodel.worlds.isle.motion import ACTIONS
from inhabit.worldmodel.worlds.isle.scene import BALL, CREATURES, State

RANDOM_SHARE = 0.24
Move = dict[str, float]
Mind = Callable[[], Iterator[Move]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """What a player knows of its island."""

    x: float
    z: float
    yaw: float
    """rad."""
    pitch: float
    landmarks: tuple[tuple[float, float], ...]
    """(x, z) of each that stands now."""
    ball: tuple[float, float]
    ball_held: bool


def sights(state: State) -> list[Sight]:
    """What the player of each island knows."""
    player, look = state.player.tolist(), state.look.tolist()
    there = (state.presence[:, : CREATURES.stop] > 0.5).tolist()
    place, held = state.place[..., [0, 2]].tolist(), state.ball_held.tolist()
    return [
        Sight(
            x=player[i][0],
            z=player[i][2],
            yaw=look[i][0],
            pitch=look[i][1],
            landmarks=tuple((at[0], at[1]) for at, on in zip(place[i], there[i]) if on),
            ball=(place[i][BALL][0], place[i][BALL][1]),
            ball_held=held[i],
        )
        for i in range(len(state))
    ]


class IslePlayer:
    """Chooses actions frame by frame, from a seed."""

    def __init__(self, seed: int):
        self._rng = np.random.default_rng([seed, 77])
        self._keys = self._rng.random() < 0.4
        self._sight: Sight | None = None
        self._moves: Iterator[Move] = iter(())
        self._frames = self._random_frames = 0
        self._is_random = False

    @property
    def random_share(self) -> float:
        """Share of the frames so far that were random."""
        return self._random_frames / max(self._frames, 1)

    def action(self, sight: Sight) -> np.ndarray:
        """The next action, (6,) float32 in the order of ACTIONS."""
        self._sight = sight
        move = next(self._moves, None)
        while move is None:
            self._moves = self._next_mind()()
            move = next(self._moves, None)
        self._frames += 1
        self._random_frames += self._is_random
        values = np.array([move.get(name, 0.0) for name in ACTIONS])
        if not self._is_random:
            values[:4] = self._by_hand(values[:4])
        return np.clip(values, -1, 1).astype(np.float32)

    def _by_hand(self, axes: np.ndarray) -> np.ndarray:
        if self._keys:
            return np.where(np.abs(axes) > 0.3, np.sign(axes), 0.0)
        return axes + (axes != 0) * self._rng.normal(0, 0.04, 4)

    def _next_mind(self) -> Mind:
        self._is_random = self._random_frames < RANDOM_SHARE * (self._frames + 1)
        if self._is_random:
            return self._random
        minds: list[tuple[Mind, float]] = [
            (self._approach, 4), (self._look_around, 2), (self._turn_round, 1.5), (self._look_away, 3),
            (self._circle, 2), (self._throw, 3), (self._hop, 1), (self._rest, 0.6), (self._stroll, 3),
        ]  # fmt: skip
        if not self._now().ball_held:
            minds.append((self._fetch, 4))
        weights = np.array([weight for _, weight in minds])
        return minds[int(self._rng.choice(len(minds), p=weights / weights.sum()))][0]

    def _now(self) -> Sight:
        assert self._sight is not None
        return self._sight

    def _bearing(self, x: float, z: float) -> tuple[float, float]:
        """Angle by which a place lies to the right of the view (rad), and how far it is (m)."""
        s = self._now()
        return _wrapped(math.atan2(x - s.x, z - s.z) - s.yaw), math.hypot(x - s.x, z - s.z)

    def _goal(self) -> tuple[float, float]:
        landmarks = self._now().landmarks
        if not landmarks:
            angle = self._rng.uniform(0, 2 * math.pi)
            return 15 * math.sin(angle), 15 * math.cos(angle)
        return landmarks[int(self._rng.integers(len(landmarks)))]

    def _level(self) -> float:
        """Bring the view back to the horizon."""
        return float(np.clip(-self._now().pitch * 2, -1, 1))

    def _turn_to(self, yaw: float, speed: float, frames: int = 60) -> Iterator[Move]:
        for _ in range(frames):
            left = _wrapped(yaw - self._now().yaw)
            if abs(left) < 0.08:
                return
            yield {"LOOK_X": float(np.clip(left * 1.8, -speed, speed)), "LOOK_Y": self._level()}

    def _hold(self, frames: int) -> Iterator[Move]:
        for _ in range(frames):
            yield {}

    def _approach(self) -> Iterator[Move]:
        yield from self._walk_to(*self._goal(), stop_m=self._rng.uniform(2.5, 6), frames=110)

    def _walk_to(self, x: float, z: float, *, stop_m: float, frames: int) -> Iterator[Move]:
        speed = self._rng.uniform(0.6, 1.0)
        for _ in range(frames):
            angle, away = self._bearing(x, z)
            if away < stop_m:
                return
            ahead = speed if abs(angle) < 0.6 else 0.0
            yield {"LOOK_X": float(np.clip(angle * 1.6, -1, 1)), "MOVE_Y": ahead, "LOOK_Y": self._level()}

    def _look_around(self) -> Iterator[Move]:
        for _ in range(int(self._rng.integers(2, 5))):
            turn, tilt = self._rng.uniform(-0.9, 0.9), self._rng.uniform(-0.5, 0.6)
            for _ in range(int(self._rng.integers(8, 26))):
                yield {"LOOK_X": turn, "LOOK_Y": tilt}
            yield from self._hold(int(self._rng.integers(0, 12)))
        for _ in range(12):
            yield {"LOOK_Y": self._level()}

    def _turn_round(self) -> Iterator[Move]:
        """Once around and, half the time, back again."""
        start, way = self._now().yaw, self._rng.choice([-1, 1]) * self._rng.uniform(0.5, 1.0)
        for sign in (1, -1)[: int(self._rng.integers(1, 3))]:
            turned, before = 0.0, self._now().yaw
            for _ in range(120):
                if abs(turned) > 2 * math.pi - 0.35:
                    break
                yield {"LOOK_X": sign * way, "LOOK_Y": self._level()}
                turned, before = turned + _wrapped(self._now().yaw - before), self._now().yaw
            yield from self._turn_to(start, 0.6)
            yield from self._hold(int(self._rng.integers(4, 16)))

    def _look_away(self) -> Iterator[Move]:
        """Face something, look elsewhere for 1 to 10 s, and come back to it."""
        angle, _ = self._bearing(*self._goal())
        home = _wrapped(self._now().yaw + angle)
        yield from self._turn_to(home, 0.8)
        yield from self._hold(int(self._rng.integers(4, 20)))
        aside = home + self._rng.choice([-1, 1]) * self._rng.uniform(1.3, math.pi)
        speed = self._rng.uniform(0.6, 1.0)
        yield from self._turn_to(aside, speed)
        for frame in range(int(16 * np.exp(self._rng.uniform(0, math.log(10))))):
            yield {"LOOK_X": 0.25 * math.sin(frame * 0.15), "LOOK_Y": self._level()}
        yield from self._turn_to(home, speed)
        yield from self._hold(int(self._rng.integers(8, 24)))

    def _circle(self) -> Iterator[Move]:
        x, z = self._goal()
        yield from self._walk_to(x, z, stop_m=7.0, frames=90)
        way = self._rng.choice([-1, 1]) * self._rng.uniform(0.6, 1.0)
        for _ in range(int(self._rng.integers(40, 110))):
            angle, away = self._bearing(x, z)
            yield {
                "MOVE_X": way,
                "LOOK_X": float(np.clip(angle * 2.2, -1, 1)),
                "MOVE_Y": float(np.clip((away - 6) * 0.4, -0.6, 0.6)),
            }

    def _throw(self) -> Iterator[Move]:
        """Aim, throw, watch, and mostly fetch the ball."""
        angle, _ = self._bearing(*self._goal())
        yield from self._turn_to(self._now().yaw + angle, 0.9)
        for _ in range(int(self._rng.integers(0, 8))):
            yield {"LOOK_Y": self._rng.uniform(0.0, 0.5)}
        for _ in range(int(self._rng.integers(1, 4))):
            yield {"THROW": 1.0}
        yield from self._hold(int(self._rng.integers(14, 34)))
        if self._rng.random() < 0.6:
            yield from self._fetch()

    def _fetch(self) -> Iterator[Move]:
        for _ in range(110):
            if self._now().ball_held:
                return
            yield next(self._walk_to(*self._now().ball, stop_m=0.2, frames=1), {})

    def _hop(self) -> Iterator[Move]:
        ahead = float(self._rng.choice([0.0, 1.0]))
        for _ in range(int(self._rng.integers(1, 4))):
            yield {"JUMP": 1.0, "MOVE_Y": ahead}
            for _ in range(int(self._rng.integers(8, 20))):
                yield {"MOVE_Y": ahead}

    def _rest(self) -> Iterator[Move]:
        yield from self._hold(int(self._rng.integers(10, 40)))

    def _stroll(self) -> Iterator[Move]:
        """Walk on, veering a little, sometimes sideways or backwards."""
        back = self._rng.random() < 0.2
        side = self._rng.uniform(-1, 1) if self._rng.random() < 0.3 else 0.0
        phase = self._rng.uniform(0, 6)
        for frame in range(int(self._rng.integers(30, 100))):
            s = self._now()
            # turn inward before the water
            inward = _wrapped(math.atan2(-s.x, -s.z) - s.yaw) if math.hypot(s.x, s.z) > 25 and not back else 0.0
            turn = 0.35 * math.sin(frame * 0.07 + phase) + float(np.clip(inward, -0.8, 0.8))
            yield {"MOVE_Y": -1.0 if back else 1.0, "MOVE_X": side, "LOOK_X": turn, "LOOK_Y": self._level()}

    def _random(self) -> Iterator[Move]:
        """Bursts of anything, each held for 1 to 8 frames."""
        for _ in range(int(self._rng.integers(3, 9))):
            axes = self._rng.uniform(-1, 1, 4) if self._rng.random() < 0.5 else self._rng.choice([-1.0, 0.0, 1.0], 4)
            axes = axes * (self._rng.random(4) < [0.5, 0.6, 0.6, 0.3])
            buttons = (self._rng.random(2) < [0.12, 0.12]).astype(float)
            for _ in range(int(self._rng.integers(1, 9))):
                yield dict(zip(ACTIONS, [*axes.tolist(), *buttons.tolist()], strict=True))


def _wrapped(angle: float) -> float:
    return (angle + math.pi) % (2 * math.pi) - math.pi
