"""The whole protocol on a virtual clock and wire, driven by a seed: what a seed finds, the same seed finds again.

Clients, a sidecar and a wire that loses, repeats, delays and breaks; sidecars that hang and die, clients that sleep.
After a storm everything must be well again. Run it alone for many seeds: python tests/bridge/simulation.py --seeds 2000
"""

from __future__ import annotations

import argparse
import random
import time
from collections import deque
from typing import Any

from inhabit.bridge.client import LiveWorld
from inhabit.bridge.controls import Controls
from inhabit.bridge.loopback import Loopback
from inhabit.bridge.sidecar import Sidecar
from inhabit.bridge.snapshots import Snapshots
from inhabit.bridge.toy import ToyWorld
from inhabit.bridge.transport import Arrival, ConnectionNews

MS = 1_000_000
STEP_MS = 10
STORM_STEPS, CALM_STEPS = 250, 600


class BrokenPromiseError(AssertionError):
    """A promise was not kept; the message has the seed."""


class Counting(ToyWorld):
    """Counts the taps that reach it."""

    taps = 0

    def __init__(self) -> None:
        super().__init__(width=16, height=16, rate_hz=20.0)

    def step(self, controls):
        Counting.taps += "Space" in controls.pressed
        return super().step(controls)


class Wire:
    """One client's connections: messages in both directions are lost, repeated and late, by the seed."""

    def __init__(self, simulation: Simulation):
        self._simulation = simulation
        self._line = simulation.hub.connect()
        self.endpoint = "simulated"
        self._inbox: deque[tuple[int, Any]] = deque()
        self._news: list[ConnectionNews] = []
        simulation.wires.append(self)

    def cut(self) -> None:
        """Break both connections; new ones are there at once."""
        self._line.connect()
        self._inbox.clear()
        self._news += [ConnectionNews("ctl", "down"), ConnectionNews("vid", "down")]

    def send(self, channel, parts):
        if self._simulation.lossy():
            return "sent"
        if self._simulation.lossy():
            self._line.send(channel, parts)
        return self._line.send(channel, parts)

    def receive(self):
        now_ns = self._simulation.now_ns
        while (arrived := self._line.receive()) is not None:
            if not self._simulation.lossy():
                self._inbox.append((now_ns + self._simulation.delay_ns(), arrived))
        return self._inbox.popleft()[1] if self._inbox and self._inbox[0][0] <= now_ns else None

    def news(self):
        news, self._news = self._news, []
        return news

    def wait(self, timeout_s):
        """Time passes for all at once, in Simulation.step()."""

    def close(self):
        self._line.close()
        if self in self._simulation.wires:
            self._simulation.wires.remove(self)


class Simulation:
    """One seed's world."""

    def __init__(self, seed: int):
        self.seed, self.dice = seed, random.Random(seed)
        self.now_ns = 1_000_000 * MS
        self.hub = Loopback()
        self.wires: list[Wire] = []
        self.snapshots = Snapshots()
        self.calm = True
        self.loss = self.dice.choice([0.0, 0.02, 0.1])
        self.late_ms = self.dice.choice([0, 0, 30, 120])
        self.sidecar = self.boot()
        self.hanging_steps = 0
        self.asleep: dict[int, int] = {}
        room = self.dice.random() < 0.4
        self.clients = [self.client(room) for _ in range(self.dice.randint(1, 3))]
        self.seen: dict[int, tuple[int, int]] = {}

    def boot(self) -> Sidecar:
        """A new process: all that it has of the one before is its snapshots."""
        self.hub.server.peers.clear()
        self.hub.server.arrivals.clear()
        sidecar = Sidecar(Counting, clock=lambda: self.now_ns, snapshots=self.snapshots, snapshot_every_s=0.2)
        sidecar.prepare()
        return sidecar

    def client(self, room: bool) -> LiveWorld:
        return LiveWorld(
            "simulated", connect=lambda endpoint: Wire(self), clock=lambda: self.now_ns, seed=1,
            room="den" if room else "",
        )  # fmt: skip

    def lossy(self) -> bool:
        return not self.calm and self.dice.random() < self.loss

    def delay_ns(self) -> int:
        return 0 if self.calm else self.dice.randint(0, self.late_ms) * MS

    # --------------------------------------------------------------------------------------------------------- running

    def run(self) -> None:
        for _ in range(40):
            self.step()
        self.calm = False
        for _ in range(STORM_STEPS):
            self.trouble()
            self.step()
        self.calm, self.hanging_steps = True, 0
        self.asleep.clear()
        for _ in range(CALM_STEPS):
            self.step()
        self.check_well()

    def trouble(self) -> None:
        """Now and then, something bad."""
        match self.dice.random():
            case luck if luck < 0.006:
                self.sidecar = self.boot()
                for wire in list(self.wires):
                    wire.cut()
            case luck if luck < 0.02 and self.wires:
                self.dice.choice(self.wires).cut()
            case luck if luck < 0.025:
                self.hanging_steps = self.dice.randint(1, 100)
            case luck if luck < 0.035:
                self.asleep[self.dice.randrange(len(self.clients))] = self.dice.randint(1, 300)

    def step(self) -> None:
        self.now_ns += STEP_MS * MS
        self.serve()
        for number, client in enumerate(self.clients):
            if self.asleep.get(number, 0) > 0:
                self.asleep[number] -= 1
                continue
            if self.dice.random() < 0.3:
                held = frozenset(self.dice.sample(["ArrowLeft", "ArrowRight"], 1))
                client.send(Controls(held=held, mouse_dx=self.dice.uniform(-5, 5)))
            self.look(number, client)
            if client.state == "lost":
                client.reconnect()

    def serve(self) -> None:
        arrivals: list[Arrival] = []
        while (arrival := self.hub.server.receive()) is not None:
            arrivals.append(arrival)
        for arrival in arrivals:
            self.sidecar.receive(arrival.route, arrival.parts, self.now_ns)
        if self.hanging_steps > 0:
            self.hanging_steps -= 1
        else:
            for seat in list(self.sidecar.seats):
                for _ in range(8):
                    if not seat.turn():
                        break
        for outgoing in self.sidecar.outgoing(self.now_ns):
            if self.hub.server.send(outgoing.route, outgoing.parts) == "gone":
                self.sidecar.gone(outgoing.route, self.now_ns)

    def look(self, number: int, client: LiveWorld) -> None:
        frame = client.poll()
        if frame is None:
            return
        epoch, index = self.seen.get(number, (0, -1))
        self.require(frame.epoch >= epoch, f"epochs never go down: {frame.epoch} after {epoch}")
        if frame.epoch == epoch:
            self.require(frame.index > index, f"frames of an epoch go on: {frame.index} after {index}")
        self.require(frame.pixels.shape == (16, 16, 3), "frames are whole")
        self.seen[number] = (frame.epoch, frame.index)

    def check_well(self) -> None:
        for number, client in enumerate(self.clients):
            self.require(client.state == "running", f"client {number} is {client.state}: {client.reason}")
        before = dict(self.seen)
        for _ in range(60):
            self.step()
        for number in range(len(self.clients)):
            self.require(self.seen.get(number) != before.get(number), f"client {number} gets no frames")
        sessions = len(self.sidecar._sessions)
        self.require(sessions == len(self.clients), f"{sessions} sessions for {len(self.clients)} clients")
        taps, driver = Counting.taps, self.clients[0]
        if not driver.room.name or driver.room.driving:
            for _ in range(5):
                driver.send(Controls(pressed=frozenset({"Space"})))
                for _ in range(12):
                    self.step_quietly()
            self.require(Counting.taps - taps == 5, f"each tap once: {Counting.taps - taps} of 5")

    def step_quietly(self) -> None:
        """As step(), but nobody touches anything."""
        self.now_ns += STEP_MS * MS
        self.serve()
        for number, client in enumerate(self.clients):
            self.look(number, client)

    def require(self, holds: bool, text: str) -> None:
        if not holds:
            raise BrokenPromiseError(f"{text} - run again with: python tests/bridge/simulation.py --seed {self.seed}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    seeds = range(options.seeds) if options.seed is None else [options.seed]
    begun = time.perf_counter()
    for seed in seeds:
        Simulation(seed).run()
    took = time.perf_counter() - begun
    simulated_s = len(seeds) * (STORM_STEPS + CALM_STEPS + 100) * STEP_MS / 1000
    print(f"{len(seeds)} seeds, {simulated_s:.0f} simulated s in {took:.1f} s, {60 * len(seeds) / took:.0f} a minute")


if __name__ == "__main__":
    main()
