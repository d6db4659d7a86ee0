"""Sound as Opus: what arrives is what was played, in few bytes, and nothing but sound comes of garbage."""

from __future__ import annotations

import time

import numpy as np
import pytest

from inhabit.bridge import sounds
from inhabit.bridge.client import LiveWorld
from inhabit.bridge.codec import WireError, decode_from_server, encode
from inhabit.bridge.errors import LocalProtocolError
from inhabit.bridge.line import sounds_for
from inhabit.bridge.messages import FrameHeader
from inhabit.bridge.server import Server
from inhabit.bridge.toy import TONE_HZ, ToyWorld

pytest.importorskip("av")
PATIENCE_S = 20.0


def tone(seconds, rate_hz, channels=2):
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.repeat((8000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)[:, None], channels, 1)


def pitch_hz(samples, rate_hz):
    """The strongest frequency."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate_hz / len(samples))


@pytest.mark.parametrize(("rate_hz", "channels"), [(16_000, 1), (11_025, 2), (48_000, 2)])
def test_a_tone_comes_back_as_it_was(rate_hz, channels):
    encoder, decoder = sounds.OpusEncoder(rate_hz, channels), sounds.OpusDecoder(rate_hz, channels)
    played, heard, size = tone(2.0, rate_hz, channels), [], 0
    step = rate_hz // 17  # not a whole number of packets
    for at in range(0, len(played), step):
        part = played[at : at + step]
        data = encoder.encode(part.tobytes())
        size += len(data)
        heard.append(decoder.decode(data, len(part)))
    whole = np.concatenate(heard)
    late = len(played) - len(whole)
    assert 0 <= late <= 0.017 * rate_hz, "no more is kept back than what is said"
    steady = whole[rate_hz // 2 :, 0].astype(float)
    assert pitch_hz(steady, rate_hz) == pytest.approx(440, abs=2)
    assert np.abs(steady).max() == pytest.approx(8000, rel=0.1)
    assert 8 * size / 2.0 < 1.5 * sounds.BITS_PER_CHANNEL * channels


def test_garbage_is_silence_and_no_bomb_goes_off():
    decoder = sounds.OpusDecoder(16_000, 2)
    for data in (b"\x05", b"\xff\xff\x00", b"\x02\x00\xff\xff" * 8, b"\x00\x00"):
        assert not decoder.decode(data, 320).any()
    longest = bytes((0x03,)) + bytes((0x0C,))  # a packet that claims to hold many frames
    bomb = (len(longest).to_bytes(2, "little") + longest) * 10_000
    assert len(decoder.decode(bomb, 320)) < 16_000


def test_size_of_encoded_sound_is_bounded():
    header = FrameHeader(epoch=1, number=1, index=0, width=8, height=8, sound_samples=100, sound_channels=2)
    opus = header.__class__(**{**_fields(header), "sound_format": "opus"})
    parts = [bytes(part) for part in encode(opus, bytes(192), b"")]
    assert decode_from_server(parts).payload == (bytes(192), b"")
    with pytest.raises(WireError, match="0 to 65536"):
        decode_from_server([*parts[:2], bytes(70_000)])


def _fields(header):
    return {name: getattr(header, name) for name in header.__struct_fields__}


@pytest.mark.parametrize(("sound", "video"), [("opus", "raw"), ("opus", "jpeg"), ("pcm", "raw")])
def test_world_is_heard_over_a_real_wire(sound, video):
    with (
        Server(lambda: ToyWorld(sound_rate_hz=16_000)) as server,
        LiveWorld(server.endpoint, sound=sound, video=video) as live,
    ):
        heard, deadline = [], time.monotonic() + PATIENCE_S
        while sum(map(len, heard)) < 16_000:
            frame = live.poll(0.05)
            if frame is not None:
                heard.append(frame.sound)
            assert time.monotonic() < deadline, (live.state, live.reason)
        whole = np.concatenate(heard).astype(float).sum(1)
        assert pitch_hz(whole[-12_000:], 16_000) == pytest.approx(TONE_HZ, abs=4)


def test_opus_from_other_machines_and_pcm_on_this_one(monkeypatch):
    assert sounds_for("tcp://127.0.0.1:1", "auto") == ()
    assert sounds_for("tcp://10.0.0.7:1", "auto") == ("opus",)
    assert sounds_for("tcp://10.0.0.7:1", "pcm") == ()
    monkeypatch.setattr("inhabit.bridge.line.has_opus", lambda: False)
    assert sounds_for("tcp://10.0.0.7:1", "auto") == (), "PCM is always there"
    with pytest.raises(LocalProtocolError, match="remote"):
        sounds_for("tcp://10.0.0.7:1", "opus")


def test_sidecar_speaks_opus_only_to_who_takes_it_and_of_what_opus_can_be():
    assert sounds.speaks_opus({"opus"}, 16_000, 2)
    assert not sounds.speaks_opus({"shm"}, 16_000, 2)
    assert not sounds.speaks_opus({"opus"}, 16_000, 6)
    assert not sounds.speaks_opus({"opus"}, 0, 0)
