"""Encoding beside the wire: one frame of a session and its sound at a time, in a thread that nobody waits for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from inhabit.bridge.codec import Packet
from inhabit.bridge.messages import FrameHeader, replace
from inhabit.bridge.pictures import Encoder, Encoding, make_encoder
from inhabit.bridge.sounds import OpusEncoder
from inhabit.bridge.world import WorldInfo


class Studio:
    """Makes pictures and sound of one session's frames. Called by the thread that owns the transport.

    Args:
        encoding: of the pictures; None leaves them raw.
        opus: encode the sound too.
    """

    def __init__(self, info: WorldInfo, encoding: Encoding | None, *, opus: bool, wake: Callable[[], None]):
        self.encoding = encoding
        self._info = info
        self._voice = OpusEncoder(info.sound_rate_hz, info.sound_channels) if opus else None
        self._wake = wake
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inhabit-pictures")
        self._encoder: Encoder | None = None
        self._work: Future[Packet] | None = None

    @property
    def busy(self) -> bool:
        return self._work is not None

    def begin_anew(self) -> None:
        """The next picture shall stand alone."""
        self._encoder = None

    def submit(self, packet: Packet) -> None:
        """Encode a raw frame. Only when not busy: what is encoded is sent."""
        if self._encoder is None and self.encoding is not None:
            info = self._info
            self._encoder = make_encoder(self.encoding, info.width, info.height, info.rate_hz)
        self._work = self._thread.submit(self._encoded, self._encoder, packet)
        self._work.add_done_callback(lambda work: self._wake())

    def take(self) -> Packet | None:
        """The encoded frame, once, when it is there."""
        if self._work is None or not self._work.done():
            return None
        work, self._work = self._work, None
        return work.result()

    def close(self) -> None:
        self._thread.shutdown(wait=False)

    def _encoded(self, encoder: Encoder | None, packet: Packet) -> Packet:
        header, (pixels, *sound) = packet.message, packet.payload
        assert isinstance(header, FrameHeader)
        if encoder is not None and self.encoding is not None:
            pixels, key = encoder.encode(pixels)
            header = replace(header, format=self.encoding, key=key)
        if self._voice is not None and sound and header.sound_channels == self._info.sound_channels:
            sound, header = [self._voice.encode(sound[0])], replace(header, sound_format="opus")
        return Packet(header, (pixels, *sound))
