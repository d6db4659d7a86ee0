"""LiveWorld: a world in a sidecar that runs on its own clock, for people. What it says and hears is link.py's."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from inhabit.bridge.beginnings import split_picture
from inhabit.bridge.controls import Controls
from inhabit.bridge.entry import Place, Ticket
from inhabit.bridge.errors import WorldError
from inhabit.bridge.fields import Role
from inhabit.bridge.frames import Frame
from inhabit.bridge.line import Connect, Line, encodings_for, sounds_for
from inhabit.bridge.link import LinkState
from inhabit.bridge.messages import (
    Ack,
    Chat,
    Drive,
    Error,
    Message,
    Moderate,
    Pause,
    Prompt,
    Reset,
    Restore,
    Resume,
    Save,
    Set,
)  # fmt: skip
from inhabit.bridge.pacing import NS_PER_MS, NS_PER_S, Clock, Recent, monotonic_ns
from inhabit.bridge.remote import checked_controls
from inhabit.bridge.room_view import RoomView
from inhabit.bridge.transport import ZmqClient
from inhabit.bridge.world import WorldInfo

FPS_WINDOW_NS = 2 * NS_PER_S


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """What came of a request to a LiveWorld."""

    epoch: int = 0
    frame: int = 0
    """Index, within `epoch`, of the first frame that can show it."""

    note: str = ""
    """What the world remarks, such as words that it does not know."""

    refused: str = ""
    """Why it was refused; "" when it was carried out."""

    state: bytes = b""
    """The world's state, after save()."""


class LiveWorld:
    """A world in a sidecar that runs on its own clock, for people. Nothing here blocks for longer than you allow.

    The constructor returns at once; call poll() in your loop and look at `state`:
    connecting, loading, ready, running, paused, then perhaps failed (the sidecar says so), lost (it says nothing more)
    or closed. `reason` tells why, in a line for people. After failed or lost, reconnect() begins a new session.

    Args:
        endpoint: where the sidecar listens, such as "tcp://127.0.0.1:5555".
        client: our name in the sidecar's log.
        timeout_s: how long a sidecar may take to answer at all, seconds. Loading a world may take longer.
        seed: of the first episode, which begins by itself.
        options: of that episode, as reset() takes them.
        room: name of a shared world to join, letters, digits, "_" and "-"; "" for a world of one's own.
        name: what the others in the room call us.
        video: how pictures travel: "raw", "h264" or "jpeg" (which need inhabit[remote] on both sides); "auto" takes raw
            on this machine and the best of the others from elsewhere. What the sidecar cannot make comes raw.
        sound: how sound travels: "pcm", or "opus" (which needs inhabit[remote] on both sides; 48 kbit/s a channel);
            "auto" takes pcm on this machine and opus from elsewhere. It is the same samples a second to you.
        share: read frames from memory where the sidecar is on this machine and offers it.
        world: a name out of the sidecar's list; "" for its first one.
        role: "player", or "viewer" to look on only; "admin" if our key allows that.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        client: str = "inhabit",
        timeout_s: float = 30.0,
        seed: int | None = None,
        options: Mapping[str, Any] | None = None,
        room: str = "",
        name: str = "",
        role: Role = "player",
        world: str = "",
        share: bool = True,
        video: Literal["auto", "raw", "jpeg", "h264"] = "auto",
        sound: Literal["auto", "pcm", "opus"] = "auto",
        connect: Connect = ZmqClient,
        clock: Clock = monotonic_ns,
    ):
        self.endpoint = endpoint
        encoded = (*encodings_for(endpoint, video), *sounds_for(endpoint, sound))
        takes = ("rooms", "queue", *(("shm",) if share else ()), *encoded)
        self._place = Place(room=room, name=name, role=role, takes=takes, world=world)
        self._client, self._timeout_s, self._seed = client, timeout_s, seed
        self._begin, self._begin_part = split_picture(options or {})
        self.beginning = 0
        """The number, for effect(), of the newest request to begin an episode; 0 where none was made."""
        self._connect, self._clock = connect, clock
        self._info: WorldInfo | None = None
        self._latency_ms, self._server_ms, self._arrivals = Recent(), Recent(), deque[int](maxlen=512)
        self._frames = self._answered = 0
        self._line = self._open(epoch=0)

    @property
    def info(self) -> WorldInfo:
        """What world it is. Waits for it, at most `timeout_s`. Raises WorldError when it does not come."""
        deadline_ns = self._clock() + round(self._timeout_s * NS_PER_S)
        while self._line.link.info is None and self._info is None:
            now_ns = self._line.pump()
            if self._line.link.over or now_ns > deadline_ns:
                raise WorldError(self.reason or f"Expected a world within {self._timeout_s:g} s, it is {self.state}")
            self._line.wait((deadline_ns - now_ns) / NS_PER_S)
        self._info = self._line.link.info or self._info
        assert self._info is not None
        return self._info

    @property
    def state(self) -> LinkState:
        return self._line.link.state

    @property
    def reason(self) -> str:
        """Why the state is what it is, or why the last reset(), configure() or prompt() was refused."""
        return self._line.link.reason

    @property
    def epoch(self) -> int:
        """Grows with each reset and reconnect."""
        return self._line.link.epoch

    def send(self, controls: Controls) -> int:
        """Say what is done now. Returns the number that the frames which show it carry in `answers`.

        Call it as often as you like: held keys are repeated for you while you poll, taps and travel are sent once.
        """
        checked_controls(controls)
        seq = self._line.link.put(controls, self._clock())
        self._line.pump()
        return seq

    def poll(self, timeout_s: float = 0.0) -> Frame | None:
        """Do what is due, and return the newest frame that has not been returned, or None. Never raises for the peer.

        With 0, the next frame travels between two calls and is at most one call old. With more, a frame is asked for
        when none is there and awaited for that long, so that a client which draws slowly gets a fresh one.
        """
        link = self._line.link
        deadline_ns = self._clock() + round(timeout_s * NS_PER_S)
        link.want_frame()
        while True:
            now_ns = self._line.pump()
            frame = link.take_frame()
            if frame is not None or link.over or now_ns >= deadline_ns:
                break
            self._line.wait((deadline_ns - now_ns) / NS_PER_S)
        if frame is None:
            return None
        self._note(frame)
        if timeout_s <= 0:
            link.want_frame()
            self._line.pump()
        return frame

    def reset(self, seed: int | None = None, *, options: Mapping[str, Any] | None = None) -> int:
        """Begin a new episode; frames of it carry a higher epoch. Returns a number for effect().

        Options are the world's own, such as {"image": bytes of a PNG file} to begin in a picture. Raises WorldError
        for a picture that cannot be sent.
        """
        plain, part = split_picture(options or {})
        self.beginning = self._request(Reset, *([part] if part else []), seed=seed, options=plain)
        return self.beginning

    def pause(self) -> None:
        """Stop the world's clock."""
        self._request(Pause)

    def resume(self) -> None:
        """Let the world's clock go on."""
        self._request(Resume)

    def configure(self, **settings: Any) -> None:
        """Change settings of the world, such as steps=2. A refusal comes as `reason`."""
        self._request(Set, settings=settings)

    def save(self) -> int:
        """Ask for the whole state of the world. Returns a number for effect(), which then has it."""
        return self._request(Save)

    def restore(self, state: bytes) -> int:
        """Go back to a state that save() gave. Returns a number for effect(). A refusal comes as `reason` too."""
        return self._request(Restore, state)

    def prompt(self, text: str) -> int:
        """Say to the world what it shall be. Returns a number for effect(). A refusal comes as `reason` too."""
        return self._request(Prompt, text=text)

    def effect(self, request: int) -> Effect | None:
        """What came of a request, once; None while there is no answer."""
        if not self._line.link.has_answer(request):
            return None
        answer = self._line.link.take_answer(request)
        match answer.message:
            case Ack(epoch=epoch, frame=frame, note=note):
                state = bytes(answer.payload[0]) if answer.payload else b""
                return Effect(epoch=epoch, frame=frame, note=note, state=state)
            case Error(message=text):
                return Effect(refused=text)
        return Effect()

    @property
    def room(self) -> RoomView:
        """Who else is here, who drives, what was said. Its `name` is "" in a world of one's own."""
        return self._line.link.room

    def chat(self, text: str) -> None:
        """Say something to everybody in the room; it comes back as an event of `room`."""
        self._line.link.say(Chat(text=text))
        self._line.pump()

    def drive(self, what: Literal["ask", "release", "grant"] = "ask", member: int = 0) -> int:
        """Ask for the driver token, give it back, or hand it to a member. Returns a number for effect()."""
        return self._request(Drive, what=what, member=member)

    def moderate(self, what: Literal["mute", "unmute", "kick"], member: int, reason: str = "") -> int:
        """As an admin, quieten or remove a member of the room. Returns a number for effect()."""
        return self._request(Moderate, what=what, member=member, reason=reason)

    def stats(self) -> dict[str, float]:
        """Measures of the last frames. NaN where nothing was measured yet.

        Units: `*_ms` milliseconds, `fps` frames a second that arrived here within the last 2 s.
        """
        now_ns = self._clock()
        recent = [arrived for arrived in self._arrivals if now_ns - arrived <= FPS_WINDOW_NS]
        told, trip_ns = self._line.link.told, self._line.link.round_trip_ns
        span_s = (recent[-1] - recent[0]) / NS_PER_S if len(recent) > 1 else float("nan")
        return {
            "frames": self._frames,
            "fps": (len(recent) - 1) / span_s if len(recent) > 1 else 0.0,
            "made": told.made if told else 0,
            "late": told.late if told else 0,
            "input_to_frame_ms_p50": self._latency_ms.percentile(50),
            "input_to_frame_ms_p99": self._latency_ms.percentile(99),
            "world_ms_p50": self._server_ms.percentile(50),
            "world_ms_p99": self._server_ms.percentile(99),
            "round_trip_ms": float("nan") if trip_ns is None else trip_ns / NS_PER_MS,
        }

    @property
    def resumed(self) -> str:
        """How the session went on after its connection broke: "live", or "snapshot": what came after that is lost."""
        return self._line.link.resumed

    def reconnect(self, endpoint: str | None = None) -> None:
        """Go back to the session that was lost, here or at a new address; begin a new one if it is no more.

        Epochs go on above those before, whichever it is.
        """
        link = self._line.link
        resume = link.resume if link.state in ("lost", "connecting") else None
        epoch = self.epoch - (resume.epoch if resume else -1)
        self._line.drop() if resume else self._line.close()
        self.endpoint = endpoint or self.endpoint
        self._info = link.info or self._info
        self._answered = 0
        self._line = self._open(epoch=epoch, resume=resume)

    def close(self) -> None:
        """Give the place back. Calling it twice is fine."""
        self._line.close()

    def _open(self, *, epoch: int, resume: Ticket | None = None) -> Line:
        line = Line(
            self.endpoint, mode="free", client=self._client, timeout_s=self._timeout_s, connect=self._connect,
            clock=self._clock, epoch=epoch, place=self._place, resume=resume,
        )  # fmt: skip
        if not self._place.room and resume is None:  # a room's world lives already, or begins by itself
            part = [self._begin_part] if self._begin_part else []
            self.beginning = line.link.request(Reset, *part, seed=self._seed, options=self._begin)
        return line

    def _request(self, kind: type[Message], *payload: bytes, **fields: object) -> int:
        request = self._line.link.request(kind, *payload, **fields)
        self._line.pump()
        return request

    def _note(self, frame: Frame) -> None:
        """Take a frame into the measures. Only the first one that shows an input measures that input's latency."""
        stamps = frame.stamps
        self._frames += 1
        self._arrivals.append(stamps.client_arrived_ns)
        self._server_ms.add((stamps.server_done_ns - stamps.server_sampled_ns) / NS_PER_MS)
        if frame.answers > self._answered and stamps.client_input_ns:
            self._answered = frame.answers
            self._latency_ms.add((stamps.client_arrived_ns - stamps.client_input_ns) / NS_PER_MS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
