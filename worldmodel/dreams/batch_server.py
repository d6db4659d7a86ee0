"""Batches of dreams for clients elsewhere: the work behind `inhabit envs`. One thread; one client's step at a time."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from inhabit.bridge.batches import Answer, Call, read_call, write
from inhabit.bridge.errors import InhabitError, RemoteProtocolError, WorldError
from inhabit.bridge.transport import ServerTransport
from inhabit.worldmodel.dreams.batch import DreamBatch
from inhabit.worldmodel.dreams.dreams import DreamConfig, Dreams
from inhabit.worldmodel.pack import load_pack
from inhabit.worldmodel.state import State

log = logging.getLogger(__name__)

WAIT_S = 0.1
MOST_SESSIONS = 4096
IDLE_S = 600.0
"""A client that said nothing for so long may lose its batches to another."""

Told = tuple[dict[str, Any], dict[str, np.ndarray]]


@dataclass(kw_only=True)
class Client:
    """What one connection has here."""

    batches: dict[int, DreamBatch] = field(default_factory=dict)
    kept: dict[int, State] = field(default_factory=dict)
    heard_s: float = 0.0
    next: int = 1

    @property
    def sessions(self) -> int:
        return sum(batch.count for batch in self.batches.values()) + sum(map(len, self.kept.values()))

    def number(self) -> int:
        self.next += 1
        return self.next - 1


class BatchServer:
    """Serves one pack's batches over a transport.

    Args:
        folder: the pack.
        transport: where calls come from.
        device: auto, cpu or cuda.
    """

    def __init__(
        self,
        folder: Path,
        transport: ServerTransport,
        *,
        device: str = "auto",
        clock: Callable[[], float] = time.monotonic,
    ):
        self._pack = load_pack(folder)
        self._transport, self._device, self._clock = transport, device, clock
        self._clients: dict[Hashable, Client] = {}
        self._dreams: dict[tuple[Any, ...], Dreams] = {}
        self._stopping = False

    def serve_forever(self) -> None:
        """Answer calls until stop()."""
        while not self._stopping:
            self._transport.wait(WAIT_S)
            while self.turn():
                pass
        self._transport.close()

    def stop(self) -> None:
        self._stopping = True
        self._transport.wake()

    def turn(self) -> bool:
        """Answer one call, if there is one."""
        arrival = self._transport.receive()
        if arrival is None:
            return False
        try:
            call, arrays = read_call(arrival.parts)
        except RemoteProtocolError as error:
            log.warning("a message that is no call: %s", error)
            self._transport.send(arrival.route, write(Answer(number=0, error=str(error)[:512]), {}))
            return True
        client = self._clients.setdefault(arrival.route, Client())
        client.heard_s = self._clock()
        parts = write(*self._answer(client, call, arrays))
        if call.name == "bye" or self._transport.send(arrival.route, parts) == "gone":
            self._clients.pop(arrival.route, None)
        return True

    def _answer(self, client: Client, call: Call, arrays: dict[str, np.ndarray]) -> tuple[Answer, dict[str, Any]]:
        try:
            work = CALLS.get(call.name)
            if work is None:
                raise WorldError(f"Expected a call among {', '.join(CALLS)}, got {call.name!r}")
            values, told = work(self, client, call.values, arrays)
            return Answer(number=call.number, values=values), told
        except (InhabitError, KeyError, TypeError, ValueError, IndexError) as error:
            known = isinstance(error, InhabitError)
            incident = secrets.token_hex(4)
            if not known:
                log.exception("incident %s", incident)
            text = str(error) if known else f"The call {call.name!r} does not fit, see incident {incident} in the log"
            return Answer(number=call.number, error=text[:512]), {}

    def _open(self, client: Client, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> Told:
        count = int(values["count"])
        self._make_room(client, count)
        config = DreamConfig(steps=values.get("steps"), temperature=values.get("temperature", 1.0), device=self._device)
        key = (config.steps, config.temperature)
        if key not in self._dreams:
            self._dreams[key] = Dreams(self._pack, config)
        batch = DreamBatch(self._dreams[key], count, doubt=values.get("doubt", "none"), draws=values.get("draws", 2))
        number = client.number()
        client.batches[number] = batch
        info = msgspec.to_builtins(batch.info)
        return {"batch": number, "info": info, "latent_shape": list(batch.latent_shape)}, {}

    def _begin(self, client: Client, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> Told:
        batch = client.batches[values["batch"]]
        said = batch.begin(arrays["rows"], values["seeds"], starts=values["starts"], prompts=values["prompts"])
        return {"prompts": said}, _look(batch, values)

    def _step(self, client: Client, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> Told:
        batch = client.batches[values["batch"]]
        stepped = batch.step(np.array(arrays["actions"]))
        told = {name: _host(getattr(stepped, name)) for name in ("reward", "terminated", "ending_chance")}
        if stepped.uncertainty is not None:
            told["uncertainty"] = _host(stepped.uncertainty)
        return {}, {**told, **_look(batch, values)}

    def _observe(self, client: Client, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> Told:
        return {}, _look(client.batches[values["batch"]], values)

    def _keep(self, client: Client, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> Told:
        for number in values.get("drop", ()):
            client.kept.pop(number, None)
        self._make_room(client, len(arrays["rows"]))
        number = client.number()
        client.kept[number] = client.batches[values["batch"]].keep(arrays["rows"])
        return {"kept": number}, {}

    def _put(self, client: Client, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> Told:
        client.batches[values["batch"]].put(arrays["rows"], client.kept[values["kept"]], seeds=values["seeds"])
        return {}, {}

    def _fork(self, client: Client, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> Told:
        kept = client.kept[values["kept"]]
        self._make_room(client, len(kept))
        number = client.number()
        client.batches[number] = client.batches[values["batch"]].fork(kept, values["seeds"])
        return {"batch": number}, {}

    def _close(self, client: Client, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> Told:
        client.batches.pop(values["batch"], None)
        return {}, {}

    def _bye(self, client: Client, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> Told:
        return {}, {}

    def _make_room(self, client: Client, sessions: int) -> None:
        """Raises WorldError when all places are taken by clients that are still heard of."""
        if not 1 <= sessions <= MOST_SESSIONS:
            raise WorldError(f"Expected 1 to {MOST_SESSIONS} sessions, got {sessions}")
        others = sorted((other.heard_s, route) for route, other in self._clients.items() if other is not client)
        while sum(one.sessions for one in self._clients.values()) + sessions > MOST_SESSIONS:
            if not others or self._clock() - others[0][0] < IDLE_S:
                raise WorldError(f"Expected fewer sessions, {MOST_SESSIONS} are taken: close an environment or state")
            self._clients.pop(others.pop(0)[1], None)


CALLS: dict[str, Callable[..., Told]] = {
    name: getattr(BatchServer, f"_{name}")
    for name in ("open", "begin", "step", "observe", "keep", "put", "fork", "close", "bye")
}


def _look(batch: DreamBatch, values: dict[str, Any]) -> dict[str, np.ndarray]:
    """What the client wants to see of all rows: "frames", "latents", "sound"."""
    looks = {"frames": batch.frames, "latents": batch.latents, "sound": batch.sound}
    return {name: _host(looks[name]()) for name in values.get("look", ())}


def _host(tensor: Any) -> np.ndarray:
    return tensor.cpu().numpy()
