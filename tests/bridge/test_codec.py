"""Bytes: what a message looks like for ever, and that nothing else gets through."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inhabit.bridge import messages as wire
from inhabit.bridge.codec import WireError, decode_from_client, decode_from_server, encode
from inhabit.bridge.errors import LocalProtocolError
from inhabit.bridge.fields import MAX_HEADER_BYTES, MAX_PARTS, WireControls
from inhabit.bridge.messages import FROM_CLIENT, FROM_SERVER, PROTOCOL_VERSION

CONTROLS = WireControls(held=("KeyW",), pressed=("Space",), mouse_dx=1.5)
GOLDEN = [
    (
        wire.Input(seq=7, epoch=1, t_ns=1_000_000, controls=CONTROLS),
        (
            "01 02 94 07 01 ce 00 0f 42 40 97 91 a4 4b 65 79 57 91 a5 53 70 61 63 65 80 cb 3f f8 00 00 00 00 00 00"
            " cb 00 00 00 00 00 00 00 00 cb 00 00 00 00 00 00 00 00 c0"
        ),
    ),
    (wire.Credit(upto=3), "01 04 91 03"),
    (wire.Ping(t_ns=5), "01 0c 81 a4 74 5f 6e 73 05"),
    (wire.Pause(request=1), "01 07 81 a7 72 65 71 75 65 73 74 01"),
    (wire.Bye(), "01 7f 81 a6 72 65 61 73 6f 6e a0"),
    (
        wire.Error(code="busy", message="full"),
        (
            "01 47 85 a4 63 6f 64 65 a4 62 75 73 79 a7 6d 65 73 73 61 67 65 a4 66 75 6c 6c"
            " a7 72 65 71 75 65 73 74 00 a8 69 6e 63 69 64 65 6e 74 a0 a8 76 65 72 73 69 6f 6e 73 92 01 01"
        ),
    ),
    (
        wire.FrameHeader(epoch=1, number=2, index=9, input_seq=7, input_t_ns=8, width=1, height=2),
        (
            "01 44 dc 00 17 01 02 09 07 08 00 00 00 00 a4 72 67 62 38 01 02 00 00 cb 00 00 00 00 00 00 00 00 c2 c2 00"
            " 00 00 00 c3 a3 73 31 36"
        ),
    ),
]

BAD = [
    pytest.param([], "1 to 4 parts", id="no part"),
    pytest.param([b"\x01\x0c\x80"] * 5, "1 to 4 parts", id="too many parts"),
    pytest.param([b""], "got 0", id="empty"),
    pytest.param([b"\x01\x0c"], "got 2", id="no header"),
    pytest.param([b"\x02\x0c\x80"], "Expected wire version 1, got 2", id="other version"),
    pytest.param([b"\x01\x41\x80"], "got 0x41", id="a server's message from a client"),
    pytest.param([b"\x01\x99\x80"], "got 0x99", id="unknown type"),
    pytest.param([b"\x01\x01\x80"], "missing required field `client`", id="missing field"),
    pytest.param([b"\x01\x01\x81\xa6client\xa2\xff\xfe"], "utf-8", id="bad UTF-8"),
    pytest.param([b"\x01\x01\x81\xa1x" + b"\x91" * 60_000 + b"\xc0"], "recursion", id="depth"),
    pytest.param([b"\x01\x0c\x80\x80"], "trailing", id="trailing bytes"),
    pytest.param([b"\x01\x0c\x81\xa4t_ns"], "truncated", id="truncated"),
    pytest.param([b"\x01\x0c\xdf\xff\xff\xff\xff"], "truncated", id="length bomb"),
    pytest.param([b"\x01\x0c\x81\xa4t_ns\xff"], ">= 0", id="out of bounds"),
    pytest.param([b"\x01\x0c\x81\xa4t_ns\xc3"], "Expected `int`, got `bool`", id="bool for int"),
    pytest.param([b"\x01\x0c" + b"\x80" * MAX_HEADER_BYTES], f"got {MAX_HEADER_BYTES + 2}", id="too long"),
    pytest.param([b"\x01\x0c\x80", b"payload"], "no part after the header of Ping", id="unexpected payload"),
    pytest.param([b"\x01\x0a\x81\xa7request\x01"], "1 to 1 part", id="missing payload"),
    pytest.param([b"\x01\x01\x82\xa6client\xa1x\xa7session\xc4\x01a"], "16 bytes each", id="half an identity"),
    pytest.param([b"\x01\x02\x94\x01\x00\x00\x91\x91\xa4Jump"], "got 'Jump'", id="unknown key"),
    pytest.param([b"\x01\x02\x94\x01\x00\x00\x93\x90\x90\x81\xa5PadLX\xcb\x7f\xf8" + bytes(6)], ">= -1", id="NaN axis"),
]


@pytest.mark.parametrize(("message", "golden"), GOLDEN, ids=lambda value: type(value).__name__)
def test_golden_bytes(message, golden):
    payload = [bytes(6)] if isinstance(message, wire.FrameHeader) else []
    parts = encode(message, *payload)
    assert bytes(parts[0]).hex(" ") == golden, "an old peer would not understand this: see the bump rules"
    decode = decode_from_client if parts[0][1] in FROM_CLIENT else decode_from_server
    assert decode([bytes.fromhex(golden), *payload]).message == message


def test_type_bytes_are_for_ever():
    names = {byte: kind.__name__ for table in (FROM_CLIENT, FROM_SERVER) for byte, kind in table.items()}
    assert names == {
        0x01: "Hello", 0x02: "Input", 0x03: "Step", 0x04: "Credit", 0x05: "Set", 0x06: "Reset", 0x07: "Pause",
        0x08: "Resume", 0x09: "Save", 0x0A: "Restore", 0x0B: "Prompt", 0x0C: "Ping", 0x0D: "Chat", 0x0E: "Drive",
        0x0F: "Moderate", 0x10: "List", 0x11: "Look", 0x12: "Attached", 0x13: "Key", 0x41: "Welcome", 0x42: "State",
        0x43: "Stepped", 0x44: "FrameHeader", 0x45: "Ack", 0x46: "Pong", 0x47: "Error", 0x49: "Roster", 0x4A: "Event",
        0x4B: "Listed", 0x4C: "Queued", 0x4D: "Figures", 0x4E: "Ring", 0x7F: "Bye",
    }  # fmt: skip
    assert PROTOCOL_VERSION == 1


@pytest.mark.parametrize(("parts", "reason"), BAD)
def test_what_is_no_message_is_refused_with_its_reason(parts, reason):
    with pytest.raises(WireError, match=reason):
        decode_from_client(parts)


def test_other_version_has_its_own_code():
    with pytest.raises(WireError) as caught:
        decode_from_client([b"\x07\x01\x80"])
    assert caught.value.code == "version"


def test_newer_peer_may_say_more():
    parts = [b"\x01\x0c" + msgspec.msgpack.encode({"t_ns": 4, "colour": ["green"]})]
    assert decode_from_client(parts).message == wire.Ping(t_ns=4)
    assert decode_from_client([b"\x01\x04" + msgspec.msgpack.encode([3, "more"])]).message == wire.Credit(upto=3)


def test_frame_parts_must_have_the_sizes_that_the_header_says():
    header = wire.FrameHeader(epoch=1, number=1, index=0, width=4, height=2, sound_samples=10, sound_channels=2)
    assert len(encode(header, bytes(24), bytes(40))) == 3
    for payload in ([bytes(24)], [bytes(23), bytes(40)], [bytes(24), bytes(41)], [bytes(24), bytes(40), b"x"], []):
        with pytest.raises(LocalProtocolError, match=r"Expected parts of \[24, 40\] bytes"):
            encode(header, *payload)


def test_we_cannot_send_what_a_peer_must_refuse():
    with pytest.raises(LocalProtocolError, match="Cannot send Ping: Expected `int` >= 0"):
        encode(wire.Ping(t_ns=-1))
    with pytest.raises(LocalProtocolError, match="Cannot send Set"):
        encode(wire.Set(request=1, settings={"steps": object()}))  # type: ignore[dict-item]
    with pytest.raises(LocalProtocolError, match="64"):
        encode(wire.Hello(client="x" * 65))
    with pytest.raises(LocalProtocolError, match=r"Cannot send Prompt"):
        encode(wire.Prompt(request=1, text="\ud800"))


@given(st.lists(st.binary(max_size=200), max_size=MAX_PARTS + 2))
@example([b"\x01\x06\x81\xa7options\x81\xa1a" + b"\x81\xa1a" * 5000 + b"\xc0"])
def test_any_bytes_give_a_message_or_a_wire_error(parts):
    for decode in (decode_from_client, decode_from_server):
        with contextlib.suppress(WireError):
            assert decode(parts).message is not None


@given(
    st.sampled_from(sorted(FROM_CLIENT)),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["request", "t_ns", "client", "seed"]), inner),
        max_leaves=8,
    ),
    st.binary(max_size=3),
    st.integers(0, 60),
)
def test_mutated_headers_give_a_message_or_a_wire_error(byte, value, noise, at):
    header = bytearray(bytes((1, byte)) + msgspec.msgpack.encode(value))
    header[2 + at : 2 + at + len(noise)] = noise
    try:
        message = decode_from_client([bytes(header)]).message
    except WireError:
        return
    assert type(message) is FROM_CLIENT[byte]
