"""Bytes to messages and back. A message is [wire version | type | msgpack header], then its payload parts.

Nothing unchecked passes in either direction: encode() decodes what it wrote (3 us), so that a mistake of ours is raised
here with its name and not refused by the peer without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from inhabit.bridge.errors import LocalProtocolError, RemoteProtocolError
from inhabit.bridge.fields import MAX_HEADER_BYTES, MAX_PARTS, MAX_PICTURE_BYTES, MAX_SOUND_BYTES, MAX_STATE_BYTES
from inhabit.bridge.messages import (
    FROM_CLIENT,
    FROM_SERVER,
    PROTOCOL_VERSION,
    TYPE_BYTES,
    Ack,
    FrameHeader,
    Message,
    Reset,
    Restore,
    Stepped,
    clip_text,
)

Part = bytes | memoryview
PREFIX_BYTES = 2


class WireError(RemoteProtocolError):
    """Bytes that are not a message; `code` is the one to answer with."""

    def __init__(self, code: str, text: str):
        super().__init__(text)
        self.code = code


class Packet(NamedTuple):
    """One message and its payload."""

    message: Message
    payload: tuple[Part, ...] = ()


_decoders: Mapping[type[Message], msgspec.msgpack.Decoder] = MappingProxyType(
    {kind: msgspec.msgpack.Decoder(kind) for kind in TYPE_BYTES}
)


def encode(message: Message, *payload: Part) -> list[Part]:
    """Write a message as its parts. Raises LocalProtocolError when it would break a bound."""
    header = bytes((PROTOCOL_VERSION, TYPE_BYTES[type(message)])) + _written(message)
    try:
        _check_size(header)
        _check_payload(_read(type(message), header), payload)
    except WireError as error:
        raise LocalProtocolError(f"Cannot send {type(message).__name__}: {error}") from error
    return [header, *payload]


def decode_from_client(parts: Sequence[Part]) -> Packet:
    """Read what a client sent. Raises WireError."""
    return _decode(parts, FROM_CLIENT)


def decode_from_server(parts: Sequence[Part]) -> Packet:
    """Read what a server sent. Raises WireError."""
    return _decode(parts, FROM_SERVER)


def _written(message: Message) -> bytes:
    try:
        return msgspec.msgpack.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError, UnicodeEncodeError) as error:
        raise LocalProtocolError(f"Cannot send {type(message).__name__}: {error}") from error


def _decode(parts: Sequence[Part], table: Mapping[int, type[Message]]) -> Packet:
    if not 1 <= len(parts) <= MAX_PARTS:
        raise WireError("bad_message", f"Expected 1 to {MAX_PARTS} parts, got {len(parts)} - at the message")
    header = parts[0]
    _check_size(header)
    version, byte = header[0], header[1]
    if version != PROTOCOL_VERSION:
        raise WireError(
            "version",
            f"Expected wire version {PROTOCOL_VERSION}, got {version} - at the first byte; "
            "use the same release of inhabit on both sides",
        )
    kind = table.get(byte)
    if kind is None:
        known = ", ".join(f"0x{number:02x}" for number in table)
        raise WireError("bad_message", f"Expected a message type ({known}), got 0x{byte:02x} - at the second byte")
    message = _read(kind, header)
    payload = tuple(parts[1:])
    _check_payload(message, payload)
    return Packet(message, payload)


def _read(kind: type[Message], header: Part) -> Message:
    # Three families come out of msgspec: its own, UnicodeDecodeError for text, RecursionError for deep unknown fields.
    try:
        return _decoders[kind].decode(memoryview(header)[PREFIX_BYTES:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError("bad_message", clip_text(f"{error} - at the header of {kind.__name__}", 256)) from error


def _check_size(header: Part) -> None:
    if not PREFIX_BYTES < len(header) <= MAX_HEADER_BYTES:
        raise WireError("bad_message", f"Expected a first part of 3 to {MAX_HEADER_BYTES} bytes, got {len(header)}")


def _frame_parts(frame: FrameHeader) -> list[tuple[int, int]]:
    """Smallest and largest size of each part after a frame's header."""
    bounds = []
    if not frame.slot:
        raw = frame.format == "rgb8"
        bounds.append((frame.pixel_bytes, frame.pixel_bytes) if raw else (1, MAX_PICTURE_BYTES))
    if frame.sound_bytes:
        raw = frame.sound_format == "s16"
        bounds.append((frame.sound_bytes, frame.sound_bytes) if raw else (0, MAX_SOUND_BYTES))
    return bounds


def _check_payload(message: Message, payload: Sequence[Part]) -> None:
    """Hold the payload against what its header says: exact sizes, no part too many or too few."""
    sizes = [len(part) for part in payload]
    name = type(message).__name__
    if isinstance(message, FrameHeader | Stepped):
        frame = message.frame if isinstance(message, Stepped) else message
        bounds = _frame_parts(frame)
        if len(sizes) != len(bounds) or any(not low <= size <= high for size, (low, high) in zip(sizes, bounds)):
            expected = ", ".join(str(low) if low == high else f"{low} to {high}" for low, high in bounds)
            raise WireError("bad_message", f"Expected parts of [{expected}] bytes after {name}, got {sizes}")
    elif isinstance(message, Restore | Ack):
        least = 1 if isinstance(message, Restore) else 0
        if not least <= len(sizes) <= 1 or any(size > MAX_STATE_BYTES for size in sizes):
            raise WireError(
                "bad_message",
                f"Expected {least} to 1 part of at most {MAX_STATE_BYTES} bytes after {name}, got {sizes}",
            )
    elif isinstance(message, Reset):
        if len(sizes) > 1 or any(not 0 < size <= MAX_PICTURE_BYTES for size in sizes):
            expected = f"at most one part of 1 to {MAX_PICTURE_BYTES} bytes"
            raise WireError("bad_message", f"Expected {expected} after {name}, got {sizes}")
    elif sizes:
        raise WireError("bad_message", f"Expected no part after the header of {name}, got {sizes}")
