"""Frames on their way to one client each: raw, encoded, or through shared memory; and what is measured of them."""

from __future__ import annotations

import logging
from collections.abc import Callable

from inhabit.bridge.codec import Packet
from inhabit.bridge.figures import Measures, ms
from inhabit.bridge.messages import FrameHeader, Ring, replace
from inhabit.bridge.pictures import choose
from inhabit.bridge.ring import FrameRing, can_share
from inhabit.bridge.session import Session
from inhabit.bridge.sounds import speaks_opus
from inhabit.bridge.studio import Studio

log = logging.getLogger(__name__)

RING_FRAME_BYTES = 4_000_000
"""Larger frames go over the wire, which was faster for them: scripts/bridge_speed measures both."""


class Delivery:
    """Rings and studios of the sessions. Called by the thread that owns the transport."""

    def __init__(self, figures: Measures, wake: Callable[[], None]):
        self._figures, self._wake = figures, wake
        self._studios: dict[bytes, Studio | None] = {}
        self._rings: dict[bytes, FrameRing] = {}

    def forget(self, session: Session) -> None:
        """A session is over: nothing of it stays."""
        self._close_ring(session)
        studio = self._studios.pop(session.identity, None)
        if studio is not None:
            studio.close()

    def next_frame(self, session: Session, now_ns: int) -> Packet | None:
        """The frame to send now, encoded if the client wants that. One at a time: what is encoded is sent."""
        studio = self._studio_of(session)
        if studio is None:
            return session.frame(now_ns)
        made = studio.take()
        if session.wants_key:
            session.wants_key = False
            studio.begin_anew()
        if not studio.busy and (raw := session.frame(now_ns)) is not None:
            studio.submit(raw)
        return made

    def _studio_of(self, session: Session) -> Studio | None:
        if session.identity in self._studios:
            return self._studios[session.identity]
        info = session.info
        if info is None:
            return None
        encoding = choose(session.takes, info.width, info.height)
        opus = speaks_opus(session.takes, info.sound_rate_hz, info.sound_channels)
        studio = None
        if encoding is not None or opus:
            studio = Studio(info, encoding, opus=opus, wake=self._wake)
            session.takes -= {"shm"}
        self._studios[session.identity] = studio
        return studio

    def through_ring(self, session: Session, frame: Packet) -> Packet:
        """Put the pixels into the memory that this client shares with us; the wire says where."""
        ring = self._rings[session.identity]
        ring.forget_name()
        assert isinstance(frame.message, FrameHeader)
        slot, generation = ring.write(frame.message.number, frame.payload[0])
        return Packet(replace(frame.message, slot=slot, generation=generation), frame.payload[1:])

    def offer_ring(self, session: Session) -> None:
        """Offer shared memory to a client that takes it. Where there is none, frames go over the wire."""
        info = session.info
        there = info is not None and session.routes.vid is not None and session.state in ("running", "paused")
        if "shm" not in session.takes or session.ring_offered or info is None or not there:
            return
        self._close_ring(session)
        try:
            size = info.width * info.height * 3
            ring = FrameRing(size) if can_share() and size <= RING_FRAME_BYTES else None
        except OSError as error:
            log.info("session %s: no shared memory: %s", session.identity.hex()[:8], error)
            ring = None
        if ring is None:
            session.takes -= {"shm"}
        else:
            self._rings[session.identity] = ring
            session.offer_ring(Ring(name=ring.name, slots=ring.slots, slot_bytes=ring.slot_bytes))

    def _close_ring(self, session: Session) -> None:
        ring = self._rings.pop(session.identity, None)
        if ring is not None:
            ring.close()

    def measure(self, session: Session, header: FrameHeader, now_ns: int) -> None:
        """Take a frame that goes out into the figures."""
        if header.number == 1 and not session.revival:
            self._figures.first_response.add(ms(now_ns - session.begun_ns), now_ns)
        if header.input_seq > session.measured_seq and header.received_ns:
            session.measured_seq = header.input_seq
            self._figures.response.add(ms(now_ns - header.received_ns), now_ns)
        self._figures.step.add(ms(header.done_ns - header.sampled_ns), now_ns)
        self._figures.count("frames_sent")
        self._figures.count("frames_skipped", header.skipped)
