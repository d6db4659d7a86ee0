"""A world may begin in a picture: RESET carries it as a part of its own."""

from __future__ import annotations

import numpy as np
import pytest

from inhabit.bridge.beginnings import split_picture, with_picture
from inhabit.bridge.client import LiveWorld, RemoteWorld
from inhabit.bridge.codec import WireError, decode_from_client, encode
from inhabit.bridge.errors import WorldError
from inhabit.bridge.fields import MAX_PICTURE_BYTES
from inhabit.bridge.messages import Reset
from inhabit.bridge.server import Server
from inhabit.bridge.toy import ToyWorld


class Recollecting(ToyWorld):
    """Remembers what it began with."""

    began: list[dict | None]

    def __init__(self):
        super().__init__()
        self.began = []

    def reset(self, *, seed=None, options=None):
        self.began.append(options)
        if options and options.get("image") == b"bad":
            raise WorldError("Expected a picture, got bad")
        return super().reset(seed=seed)


@pytest.fixture
def served():
    world = Recollecting()
    with Server(lambda: world, bind="tcp://127.0.0.1:0").start() as server:
        yield world, server.endpoint


def test_a_picture_is_a_part_of_its_own_on_the_wire():
    plain, part = split_picture({"image": b"\x89PNG...", "fit": "pad"})
    assert plain == {"image": True, "fit": "pad"}
    assert part == b"\x89PNG..."
    assert part is not None
    packet = decode_from_client(encode(Reset(request=1, options=plain), part))
    assert isinstance(packet.message, Reset)
    assert with_picture(packet.message.options, bytes(packet.payload[0])) == {"image": part, "fit": "pad"}


def test_pixels_travel_as_a_file_that_every_reader_knows():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    plain, part = split_picture({"image": pixels})
    assert plain == {"image": True}
    assert part == b"P6 4 2 255\n" + bytes(range(24))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"image": b"a", "clip": b"b"}, "got image and clip"),
        ({"image": "photo.png"}, "got str"),
        ({"image": b""}, "got 0 bytes"),
        ({"image": bytes(MAX_PICTURE_BYTES + 1)}, f"got {MAX_PICTURE_BYTES + 1} bytes"),
        ({"image": np.zeros((4, 4), np.uint8)}, "got ndarray"),
    ],
)
def test_what_cannot_travel_is_refused_before_it_leaves(options, says):
    with pytest.raises(WorldError, match=says):
        split_picture(options)


@pytest.mark.parametrize(
    ("options", "part"), [({"image": True}, None), ({}, b"x"), ({"image": True, "clip": True}, b"x")]
)
def test_a_part_that_is_not_named_and_a_name_without_a_part_are_refused(options, part):
    with pytest.raises(WorldError, match="Expected a part for each"):
        with_picture(options, part)


@pytest.mark.parametrize("parts", [[b"a", b"b"], [b""], [bytes(MAX_PICTURE_BYTES + 1)]])
def test_reset_takes_one_part_at_most(parts):
    with pytest.raises(WireError, match="Expected at most one part"):
        decode_from_client([encode(Reset(request=1))[0], *parts])


def test_a_remote_world_begins_in_a_picture_and_survives_a_bad_one(served):
    world, endpoint = served
    with RemoteWorld(endpoint) as remote:
        remote.reset(seed=1, options={"image": b"good"})
        assert world.began[-1] == {"image": b"good"}
        with pytest.raises(WorldError, match="got bad"):
            remote.reset(seed=1, options={"image": b"bad"})
        assert remote.reset(seed=1).index == 0


def test_a_live_world_begins_its_first_episode_with_its_options(served):
    world, endpoint = served
    live = LiveWorld(endpoint, options={"clip": b"film"})
    try:
        while live.poll(1.0) is None:
            assert live.state in ("connecting", "loading", "ready", "running")
        assert world.began[-1] == {"clip": b"film"}
        live.reset(options={"image": b"good"})
        while world.began[-1] != {"image": b"good"}:
            live.poll(0.2)
    finally:
        live.close()
