"""A batch of sessions in a sidecar (`inhabit envs`). No torch here."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from inhabit.bridge.batches import Answer, Call, read_answer, write
from inhabit.bridge.errors import RemoteProtocolError, WorldError
from inhabit.bridge.transport import ZmqClient
from inhabit.bridge.world import WorldInfo

CONNECT_S = 3.0
"""How long a sidecar may take to be there at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stepped:
    """What a step brought. Arrays of (n,)."""

    reward: np.ndarray
    terminated: np.ndarray
    ending_chance: np.ndarray
    uncertainty: np.ndarray | None = None


class Line:
    """Calls and answers, one at a time. Raises WorldError for what the sidecar refuses, or when it is gone."""

    def __init__(self, endpoint: str, timeout_s: float):
        self.endpoint, self._timeout_s = endpoint, timeout_s
        self._client = ZmqClient(endpoint, ("ctl",))
        self._number = 0
        self._broken = False
        self._users = 0
        self.dropped: list[int] = []

    def call(self, name: str, *, arrays: dict[str, np.ndarray] | None = None, **values: Any) -> tuple[Answer, Any]:
        self._number += 1
        parts = write(Call(number=self._number, name=name, values=values), arrays or {})
        began = time.monotonic()
        while self._lost() or self._client.send("ctl", parts) != "sent":
            if self._broken or time.monotonic() > began + min(self._timeout_s, CONNECT_S):
                raise self._gone()
            self._client.wait(0.02)
        while True:
            arrived = self._client.receive()
            if arrived is not None:
                answer, told = self._read(arrived[1])
                if answer.number in (0, self._number):  # 0: it did not understand
                    return self._checked(answer), told
            elif self._lost() or time.monotonic() > began + self._timeout_s:
                raise self._gone()
            else:
                self._client.wait(0.1)

    def _lost(self) -> bool:
        """Whether the connection has ever broken: what was dreamt at the other end is then lost."""
        self._broken |= any(news.what == "down" for news in self._client.news())
        return self._broken

    def share(self) -> Line:
        """One more batch uses this line."""
        self._users += 1
        return self

    def leave(self) -> None:
        """The last one to leave closes it."""
        self._users -= 1
        if self._users == 0:
            with contextlib.suppress(WorldError):
                self._client.send("ctl", write(Call(number=self._number + 1, name="bye"), {}))
            self._client.close()

    def _read(self, parts: Any) -> tuple[Answer, Any]:
        try:
            return read_answer(parts)
        except RemoteProtocolError as error:
            raise WorldError(f"{error} - at {self.endpoint}; start `inhabit envs PACK` there") from error

    def _checked(self, answer: Answer) -> Answer:
        if answer.error:
            raise WorldError(answer.error)
        return answer

    def _gone(self) -> WorldError:
        return WorldError(
            f"Nothing answers at {self.endpoint}: start `inhabit envs PACK`, or mend the address; "
            f"what was dreamt there is lost"
        )


class RemoteState:
    """A kept state; it lies in the sidecar until nobody here has it any more."""

    __slots__ = ("_line", "count", "number")

    def __init__(self, line: Line, number: int, count: int):
        self._line, self.number, self.count = line, number, count

    def __len__(self) -> int:
        return self.count

    def __del__(self) -> None:
        self._line.dropped.append(self.number)  # told with the next one that is kept


class RemoteBatch:
    """`count` sessions in a sidecar; the contract is in batch.py."""

    on_device = False

    def __init__(self, line: Line, number: int, count: int, info: WorldInfo, latent_shape: tuple[int, ...]):
        self.count, self.info, self.latent_shape = count, info, latent_shape
        self._line, self._number = line.share(), number
        self._seen: dict[str, np.ndarray] = {}
        self._look: tuple[str, ...] = ()
        """What was looked at before comes along with the next answer."""

    @classmethod
    def open(cls, endpoint: str, count: int, *, timeout_s: float, **how: Any) -> RemoteBatch:
        """Raises WorldError when the sidecar is not there, is of another kind, or refuses."""
        line = Line(endpoint, timeout_s)
        try:
            answer, _ = line.call("open", count=count, **how)
        except BaseException:
            line.share().leave()
            raise
        info = msgspec.convert(answer.values["info"], WorldInfo)
        return cls(line, answer.values["batch"], count, info, tuple(answer.values["latent_shape"]))

    def begin(
        self,
        rows: np.ndarray,
        seeds: Sequence[int],
        *,
        starts: Sequence[int | None] | None = None,
        prompts: Sequence[str | None] | None = None,
    ) -> Sequence[str]:
        none = [None] * len(rows)
        answer, self._seen = self._call(
            "begin", {"rows": rows.astype(np.int64)}, seeds=list(seeds), starts=list(starts or none),
            prompts=list(prompts or none), look=self._look,
        )  # fmt: skip
        return answer.values["prompts"]

    def step(self, actions: np.ndarray) -> Stepped:
        _, told = self._call("step", {"actions": actions.astype(np.float32)}, look=self._look)
        self._seen = {name: told.pop(name) for name in self._look}
        return Stepped(**told)

    def frames(self, rows: np.ndarray | None = None) -> np.ndarray:
        return self._looked("frames", rows)

    def latents(self, rows: np.ndarray | None = None) -> np.ndarray:
        return self._looked("latents", rows)

    def sound(self, rows: np.ndarray | None = None) -> np.ndarray:
        return self._looked("sound", rows)

    def array(self, values: np.ndarray) -> np.ndarray:
        return values

    def keep(self, rows: np.ndarray) -> RemoteState:
        drop, self._line.dropped = self._line.dropped, []
        answer, _ = self._call("keep", {"rows": rows.astype(np.int64)}, drop=drop)
        return RemoteState(self._line, answer.values["kept"], len(rows))

    def put(self, rows: np.ndarray, kept: RemoteState, *, seeds: Sequence[int] | None = None) -> None:
        self._seen = {}
        self._call("put", {"rows": rows.astype(np.int64)}, kept=kept.number, seeds=None if seeds is None else [*seeds])

    def fork(self, kept: RemoteState, seeds: Sequence[int] | None) -> RemoteBatch:
        answer, _ = self._call("fork", {}, kept=kept.number, seeds=None if seeds is None else list(seeds))
        return RemoteBatch(self._line, answer.values["batch"], len(kept), self.info, self.latent_shape)

    def close(self) -> None:
        with contextlib.suppress(WorldError):
            self._call("close", {})
        self._line.leave()

    def _looked(self, what: str, rows: np.ndarray | None) -> np.ndarray:
        if what not in self._look:
            self._look = (*self._look, what)
        if what not in self._seen:
            _, told = self._call("observe", {}, look=self._look)
            self._seen = told
        seen = self._seen[what]
        return np.array(seen if rows is None else seen[rows])  # the caller's own

    def _call(self, name: str, arrays: dict[str, np.ndarray], **values: Any) -> tuple[Answer, dict[str, np.ndarray]]:
        return self._line.call(name, arrays=arrays, batch=self._number, **values)
