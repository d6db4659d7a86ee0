"""Whatever sound messages come, in whatever order and from whomever: the sidecar keeps its rules."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from inhabit.bridge import messages as wire
from inhabit.bridge.codec import decode_from_server, encode
from inhabit.bridge.fields import WireControls
from inhabit.bridge.messages import State, Welcome
from inhabit.bridge.sidecar import Sidecar
from inhabit.bridge.toy import ToyWorld

MS = 1_000_000
PLACES = 2
requests = st.integers(1, 8)
keys = st.lists(st.sampled_from(["KeyA", "ArrowRight", "Space"]), max_size=2).map(tuple)
texts = st.sampled_from(["red", "blue on white", "nonsense", "\u202e\x00"])

MESSAGES = st.one_of(
    st.builds(
        wire.Hello, client=st.just("x"), mode=st.sampled_from(["free", "lockstep", "monitor"]),
        room=st.sampled_from(["", "", "den", "attic"]), role=st.sampled_from(["player", "viewer", "admin"]),
        takes=st.sampled_from([(), ("rooms",), ("rooms", "queue"), ("h264", "jpeg", "shm")]),
        world=st.sampled_from(["", "", "world", "../x"]),
    ),
    st.builds(wire.Reset, request=requests, seed=st.one_of(st.none(), st.integers(0, 5))),
    st.builds(wire.Step, request=requests),
    st.builds(wire.Prompt, request=requests, text=texts),
    st.builds(wire.Pause, request=requests), st.builds(wire.Resume, request=requests),
    st.builds(wire.Save, request=requests),
    st.builds(wire.Drive, request=requests, what=st.sampled_from(["ask", "release", "grant"]), member=requests),
    st.builds(wire.Moderate, request=requests, what=st.sampled_from(["mute", "kick"]), member=requests),
    st.builds(wire.Chat, text=texts.filter(bool)), st.builds(wire.Credit, upto=st.integers(0, 9)),
    st.builds(
        wire.Input, seq=st.integers(1, 9), epoch=st.integers(0, 4), t_ns=st.just(0),
        controls=st.builds(WireControls, held=keys, pressed=keys),
    ),
    st.builds(wire.Attached, ok=st.booleans()), st.just(wire.Key()), st.just(wire.List()), st.just(wire.Look()),
    st.just(wire.Ping()), st.just(wire.Bye()),
)  # fmt: skip
TURNS = st.lists(st.tuples(st.integers(0, 4), MESSAGES, st.sampled_from([1, 40, 700, 4000])), max_size=30)


@settings(max_examples=150, deadline=None)
@given(TURNS)
def test_no_order_of_messages_breaks_a_rule(turns):
    now_ns = 10_000 * MS
    sidecar = Sidecar(lambda: ToyWorld(words=True), max_sessions=PLACES, clock=lambda: now_ns)
    sidecar.prepare()
    epochs: dict[object, tuple[bytes, int]] = {}
    for peer, message, wait_ms in turns:
        sidecar.receive(peer, encode(message), now_ns)
        for _ in range(2):
            now_ns += wait_ms * MS
            for seat in list(sidecar.seats):
                for _ in range(6):
                    if not seat.turn():
                        break
            for route, parts in sidecar.outgoing(now_ns):
                told = decode_from_server(parts).message  # what goes out can be read
                if isinstance(told, Welcome):
                    epochs[route] = (told.session, told.epoch)
                elif isinstance(told, State) and route in epochs:
                    session, epoch = epochs[route]
                    if any(one.identity == session for one in sidecar._sessions.values()):
                        assert told.epoch >= epoch, "epochs never go down"
                    epochs[route] = (session, max(epoch, told.epoch))
        sitting = [seat.session for seat in sidecar.seats if seat.session is not None]
        assert len(sidecar.seats) <= PLACES
        assert len(sitting) == len(set(map(id, sitting)))
        assert all(seat.failure is None for seat in sidecar.seats), "no message breaks a world"
    sidecar.close("over")
    sidecar.outgoing(now_ns)
    assert sidecar._sessions == {}
    assert sidecar._delivery._rings == {}
