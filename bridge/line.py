"""A link and the transport under it: one client's end of one session, with pixels fetched and decoded."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec
import numpy as np

from inhabit.bridge.codec import Packet, WireError, decode_from_server, encode
from inhabit.bridge.entry import ANYWHERE, Place, Ticket
from inhabit.bridge.errors import LocalProtocolError
from inhabit.bridge.fields import Channel, Mode
from inhabit.bridge.link import Link
from inhabit.bridge.messages import Attached, FrameHeader, Key
from inhabit.bridge.pacing import NS_PER_S, Clock
from inhabit.bridge.pictures import Decoder, PictureError, decodable, make_decoder
from inhabit.bridge.ring import RingReader
from inhabit.bridge.sounds import OpusDecoder, has_opus
from inhabit.bridge.transport import ClientTransport

log = logging.getLogger(__name__)

Connect = Callable[[str], ClientTransport]

WAIT_S = 0.02
"""Longest sleep while something is awaited: keep-alives must go out in between."""

MISSES = 3
"""Frames that were gone from shared memory before it is given up for the wire."""


class Line:
    """A link and the transport under it."""

    def __init__(
        self,
        endpoint: str,
        *,
        mode: Mode,
        client: str,
        timeout_s: float,
        connect: Connect,
        clock: Clock,
        epoch: int = 0,
        place: Place = ANYWHERE,
        resume: Ticket | None = None,
    ):
        self.clock = clock
        self._transport = connect(endpoint)
        self._ring: RingReader | None = None
        self._missed = 0
        self._decoder: Decoder | None = None
        self._ear: OpusDecoder | None = None
        self.link = Link(
            endpoint=endpoint, mode=mode, client=client, timeout_ns=round(timeout_s * NS_PER_S), now_ns=clock(),
            epoch=epoch, place=place, resume=resume,
        )  # fmt: skip

    def pump(self) -> int:
        """Hear everything that has arrived, say everything that is due. Returns the time."""
        for channel, what in self._transport.news():
            self.link.connection(channel, what, self.clock())
        while self.link.state != "closed" and (arrived := self._transport.receive()) is not None:
            try:
                packet = decode_from_server(arrived[1])
            except WireError as error:
                self.link.breach(str(error))
                break
            whole = self._fetched(packet)
            if whole is not None:
                self.link.receive(whole, self.clock())
        if self.link.ring is not None:
            self._attach(self.link.ring.name)
            self.link.ring = None
        now_ns = self.clock()
        self.link.flush(self._send, now_ns)
        return now_ns

    def _attach(self, name: str) -> None:
        """Look whether the memory that is offered is on this machine, and say so."""
        self._detach()
        try:
            self._ring = RingReader(name)
        except (OSError, ValueError):
            self._ring = None
        self.link.say(Attached(ok=self._ring is not None))

    def _detach(self) -> None:
        ring, self._ring = self._ring, None
        if ring is not None:
            ring.close()

    def _fetched(self, packet: Packet) -> Packet | None:
        """A message with all its parts. None for a frame whose pixels were gone before we came."""
        header = packet.message
        if not isinstance(header, FrameHeader):
            return packet
        if header.sound_format != "s16" and header.sound_bytes:
            header, packet = self._heard(header, packet)
        if header.format != "rgb8":
            return self._decoded(header, packet)
        if not header.slot:
            return packet
        pixels = self._ring.read(header.slot, header.generation, header.pixel_bytes) if self._ring else None
        if pixels is not None:
            return Packet(header, (pixels, *packet.payload))
        self._missed += 1
        if self._missed >= MISSES:
            self._detach()
            self.link.say(Attached(ok=False))
        self.link.miss_frame(header.number)
        return None

    def _decoded(self, header: FrameHeader, packet: Packet) -> Packet | None:
        """An encoded frame as pixels. None for one that cannot be read, such as the first ones after a key was lost."""
        assert header.format != "rgb8"
        if header.key or self._decoder is None:
            self._decoder = make_decoder(header.format)
        try:
            pixels = self._decoder.decode(packet.payload[0], header.width, header.height)
        except PictureError:
            self._decoder = None
            self.link.say(Key())
            self.link.miss_frame(header.number)
            return None
        raw = np.ascontiguousarray(pixels).data.cast("B")
        return Packet(msgspec.structs.replace(header, format="rgb8"), (raw, *packet.payload[1:]))

    def _heard(self, header: FrameHeader, packet: Packet) -> tuple[FrameHeader, Packet]:
        """The same frame with its sound as plain samples; without, where it is of a kind that cannot be heard."""
        rate_hz = self.link.info.sound_rate_hz if self.link.info is not None else 0
        sound = b""
        try:
            if self._ear is None or self._ear.channels != header.sound_channels:
                self._ear = OpusDecoder(rate_hz, header.sound_channels)
            sound = self._ear.decode(packet.payload[-1], header.sound_samples).tobytes()
        except ValueError as error:
            log.debug("%s - at frame %d", error, header.index)
        samples = len(sound) // (2 * header.sound_channels)
        header = msgspec.structs.replace(header, sound_format="s16", sound_samples=samples)
        return header, Packet(header, packet.payload[:-1] + ((sound,) if sound else ()))

    def wait(self, timeout_s: float) -> None:
        """Sleep until something arrives, or for a short while."""
        self._transport.wait(min(WAIT_S, max(0.0, timeout_s)))

    def close(self) -> None:
        self.link.close(self._send)
        self.drop()

    def drop(self) -> None:
        """Break the connection without a farewell: the session shall be found again."""
        self._detach()
        self._transport.close()

    def _send(self, channel: Channel, packet: Packet) -> bool:
        return self._transport.send(channel, encode(packet.message, *packet.payload)) == "sent"


def is_remote(endpoint: str) -> bool:
    """Whether that is on another machine, as far as its name tells."""
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    return endpoint.startswith("tcp://") and host not in ("localhost", "::1") and not host.startswith("127.")


def encodings_for(endpoint: str, video: str) -> tuple[str, ...]:
    """What to take from there. Raises LocalProtocolError for an encoding that cannot be read here."""
    if video == "raw":
        return ()
    if video == "auto":
        return decodable() if is_remote(endpoint) else ()
    if video not in decodable():
        raise LocalProtocolError(f'Cannot read {video} pictures here: run `pip install "inhabit[remote]"`')
    return (video,)


def sounds_for(endpoint: str, sound: str) -> tuple[str, ...]:
    """The same for sound. Raises LocalProtocolError where Opus is asked for and cannot be heard here."""
    if sound == "pcm" or (sound == "auto" and not is_remote(endpoint)):
        return ()
    if has_opus():
        return ("opus",)
    if sound == "auto":
        return ()
    raise LocalProtocolError(f'Cannot hear {sound} here: run `pip install "inhabit[remote]"`')
