"""Encoded pictures over real sockets: close to the raw ones, small, fresh, and mended when one is lost."""

from __future__ import annotations

import time

import numpy as np
import pytest

from inhabit.bridge.client import LiveWorld
from inhabit.bridge.line import encodings_for
from inhabit.bridge.pictures import H264Decoder, H264Encoder, JpegDecoder, PictureError, choose, make_encoder
from inhabit.bridge.server import Server
from inhabit.bridge.toy import ToyWorld

pytest.importorskip("av")
pytest.importorskip("PIL")
PATIENCE_S = 20.0


def scene(index, width=160, height=120):
    """A picture with something in it that moves."""
    y, x = np.mgrid[:height, :width]
    return np.stack([(x + 4 * index) % 256, y * 2 % 256, (x + y) % 256], axis=-1).astype(np.uint8)


def psnr_db(one, other):
    error = np.mean((one.astype(float) - other) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-9))


def frames_of(live, count):
    deadline, frames = time.monotonic() + PATIENCE_S, []
    while len(frames) < count:
        frame = live.poll(0.05)
        if frame is not None:
            frames.append(frame)
        assert time.monotonic() < deadline, (live.state, live.reason)
    return frames


@pytest.mark.parametrize("video", ["h264", "jpeg"])
def test_pictures_arrive_as_they_were_drawn(video):
    with Server(lambda: ToyWorld(width=160, height=120)) as server:
        with LiveWorld(server.endpoint, video=video, seed=3) as live:
            frames = frames_of(live, 30)
        raw = ToyWorld(width=160, height=120).reset(seed=3)
        assert psnr_db(raw.pixels, frames[-1].pixels) > 30
        assert [frame.index for frame in frames] == sorted({frame.index for frame in frames})


def test_no_picture_waits_for_a_later_one_and_none_is_a_burst():
    encoder, decoder = H264Encoder(160, 120, 30), H264Decoder()
    sizes = []
    for index in range(120):
        data, key = encoder.encode(scene(index).tobytes())
        assert key == (index == 0)
        sizes.append(len(data))
        shown = decoder.decode(data, 160, 120)
        assert psnr_db(scene(index), shown) > 20, index
    assert max(sizes[30:]) < 4 * np.mean(sizes[30:])
    assert np.mean(sizes) < 160 * 120 * 3 / 10


def test_lost_picture_is_asked_for_again():
    with Server(lambda: ToyWorld(width=160, height=120)) as server, LiveWorld(server.endpoint, video="h264") as live:
        frames_of(live, 5)
        live._line._decoder = H264Decoder()  # it knows nothing of what came before
        frame = frames_of(live, 20)[-1]
        raw = ToyWorld(width=160, height=120)
        ground = raw.reset().pixels[0, 0]
        assert np.abs(frame.pixels[0, 0].astype(int) - ground).max() < 12


def test_odd_sides_come_as_jpeg_and_without_encodings_raw():
    assert choose({"h264", "jpeg"}, 161, 120) == "jpeg"
    assert choose({"h264"}, 161, 120) is None
    assert choose({"rooms"}, 160, 120) is None


def test_raw_on_this_machine_encoded_from_others():
    assert encodings_for("tcp://127.0.0.1:1", "auto") == ()
    assert encodings_for("ipc:///x", "auto") == ()
    assert encodings_for("tcp://10.0.0.7:1", "auto") == ("h264", "jpeg")


def test_garbage_and_other_sizes_give_no_picture():
    with pytest.raises(PictureError):
        JpegDecoder().decode(b"no jpeg", 16, 16)
    data, _ = make_encoder("jpeg", 32, 32, 30).encode(bytes(32 * 32 * 3))
    with pytest.raises(PictureError, match="Expected a picture of 16x16, got 32x32"):
        JpegDecoder().decode(data, 16, 16)
    with pytest.raises(PictureError):
        H264Decoder().decode(b"\x00" * 100, 16, 16)
