"""Encoding beside the wire: one frame of a session at a time, in a thread that nobody waits for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from inhabit.bridge.codec import Packet
from inhabit.bridge.messages import FrameHeader, replace
from inhabit.bridge.pictures import Encoder, Encoding, make_encoder


class Studio:
    """Makes pictures of one session's frames. Called by the thread that owns the transport."""

    def __init__(self, encoding: Encoding, width: int, height: int, rate_hz: float, wake: Callable[[], None]):
        self.encoding: Encoding = encoding
        self._size = (width, height, rate_hz)
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
        if self._encoder is None:
            self._encoder = make_encoder(self.encoding, *self._size)
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

    def _encoded(self, encoder: Encoder, packet: Packet) -> Packet:
        assert isinstance(packet.message, FrameHeader)
        data, key = encoder.encode(packet.payload[0])
        return Packet(replace(packet.message, format=self.encoding, key=key), (data, *packet.payload[1:]))
