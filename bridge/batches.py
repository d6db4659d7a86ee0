"""The wire of batches: a vector environment calls, the sidecar that has its worlds answers. `inhabit envs` serves it.

Beside the wire of worlds (docs/protocol.md), over the same sockets: a call is one message, its answer another. Part 1
is a version byte, a kind byte and a msgpack map; the arrays that it names follow as parts of raw little-endian bytes.
Here are the messages alone; nothing knows a socket or a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
import numpy as np

from inhabit.bridge.codec import Part
from inhabit.bridge.errors import RemoteProtocolError

BATCH_VERSION = 1
CALL, ANSWER = 0x61, 0x62
"""Kinds, none of which the wire of worlds has."""

DTYPES = ("<f4", "<f8", "|u1", "|b1", "<i2", "<i8")
MOST_ARRAYS = 8
MOST_NUMBERS = 2**28


class Array(msgspec.Struct, frozen=True, array_like=True):
    """What an array part is."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    dtype: Annotated[str, msgspec.Meta(max_length=4)]
    shape: Annotated[tuple[Annotated[int, msgspec.Meta(ge=0)], ...], msgspec.Meta(max_length=6)]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What a client wants done."""

    number: Annotated[int, msgspec.Meta(ge=1)]
    """Grows by one with each call."""
    name: Annotated[str, msgspec.Meta(max_length=32)]
    values: dict[str, Any] = {}
    arrays: Annotated[tuple[Array, ...], msgspec.Meta(max_length=MOST_ARRAYS)] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the call of that number."""

    number: int
    error: Annotated[str, msgspec.Meta(max_length=512)] = ""
    """Why it was not done, for people; empty when it was."""
    values: dict[str, Any] = {}
    arrays: Annotated[tuple[Array, ...], msgspec.Meta(max_length=MOST_ARRAYS)] = ()


def write(message: Call | Answer, arrays: Mapping[str, np.ndarray]) -> list[Part]:
    """A message and its arrays as parts."""
    given = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    told = tuple(Array(name, array.dtype.str, array.shape) for name, array in given.items())
    header = msgspec.msgpack.encode(msgspec.structs.replace(message, arrays=told))
    kind = CALL if isinstance(message, Call) else ANSWER
    return [bytes((BATCH_VERSION, kind)) + header, *(array.reshape(-1).view(np.uint8).data for array in given.values())]


def read_call(parts: Sequence[Part]) -> tuple[Call, dict[str, np.ndarray]]:
    """Raises RemoteProtocolError for anything that is not a call."""
    return _read(parts, CALL, Call)


def read_answer(parts: Sequence[Part]) -> tuple[Answer, dict[str, np.ndarray]]:
    """Raises RemoteProtocolError for anything that is not an answer."""
    return _read(parts, ANSWER, Answer)


def _read(parts: Sequence[Part], kind: int, type_: Any) -> tuple[Any, dict[str, np.ndarray]]:
    header = memoryview(parts[0]) if parts else memoryview(b"")
    if len(header) < 2 or header[0] != BATCH_VERSION or header[1] != kind:
        raise RemoteProtocolError(
            f"Expected a batch message (version {BATCH_VERSION}, kind 0x{kind:02x}), got {bytes(header[:2])!r}: "
            f"is it `inhabit envs` of the same release at the other end?"
        )
    try:
        message = msgspec.msgpack.decode(header[2:], type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"Expected a batch message, got: {error}") from error
    if len(parts) != 1 + len(message.arrays):
        raise RemoteProtocolError(f"Expected {len(message.arrays)} arrays, got {len(parts) - 1} parts")
    return message, {told.name: _array(told, part) for told, part in zip(message.arrays, parts[1:], strict=True)}


def _array(told: Array, part: Part) -> np.ndarray:
    count = int(np.prod(told.shape, dtype=object)) if told.shape else 1
    if told.dtype not in DTYPES or count > MOST_NUMBERS or len(part) != count * int(told.dtype[2]):
        raise RemoteProtocolError(f"Expected the bytes of {told.dtype} {told.shape}, got {len(part)} - at {told.name}")
    return np.frombuffer(part, told.dtype).reshape(told.shape)
