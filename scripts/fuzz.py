"""Coverage-guided fuzzing of the codec and of a living sidecar with atheris.

    mkdir corpus && python scripts/fuzz.py -max_total_time=60 corpus

Options are libFuzzer's; an empty corpus is given messages to begin with. Needs `pip install atheris` (Linux). A crash
is written to a file, which as the only argument runs it again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["inhabit.bridge"]):
    from inhabit.bridge import messages as wire
    from inhabit.bridge.codec import WireError, decode_from_client, decode_from_server, encode
    from inhabit.bridge.fields import WireControls
    from inhabit.bridge.sidecar import Sidecar
    from inhabit.bridge.toy import ToyWorld

MS = 1_000_000
PEERS = 3
BETWEEN = b"\xfa\xfb\xfc"
"""Stands between the parts of a message in an input."""

SEEDS = (
    wire.Hello(client="x"), wire.Hello(client="x", room="den", name="n", takes=("rooms", "shm", "queue")), wire.Ping(),
    wire.Credit(upto=3), wire.Reset(request=1, seed=4), wire.Prompt(request=2, text="snow"), wire.Chat(text="hello"),
    wire.Drive(request=3, what="ask"), wire.Set(request=4, settings={"steps": 2}), wire.Save(request=6), wire.List(),
    wire.Moderate(request=5, what="kick", member=2), wire.Look(), wire.Attached(ok=True), wire.Key(), wire.Bye(),
    wire.Step(request=7), wire.Pause(request=8), wire.Resume(request=9), wire.State(state="running"),
    wire.Input(seq=1, epoch=1, t_ns=5, controls=WireControls(held=("KeyW",), axes={"PadLX": 0.5})),
)  # fmt: skip


class Fuzzed:
    """A sidecar that lives on from input to input, as a real one does."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000 * MS
        self.sidecar = Sidecar(lambda: ToyWorld(width=16, height=16), clock=lambda: self.now_ns)
        self.sidecar.prepare()

    def __call__(self, data: bytes) -> None:
        """The first byte says who sends it, then come the parts of one message."""
        route = data[0] % PEERS if data else 0
        parts = data[1:].split(BETWEEN)
        for decode in (decode_from_client, decode_from_server):
            try:
                packet = decode(parts)
            except WireError:
                continue
            assert decode(encode(packet.message, *packet.payload)).message == packet.message, "not what was read"
        self.now_ns += MS
        self.sidecar.receive(route, parts, self.now_ns)
        for seat in list(self.sidecar.seats):
            for _ in range(3):
                if not seat.turn():
                    break
        self.sidecar.outgoing(self.now_ns)


def main() -> None:
    folders = [Path(argument) for argument in sys.argv[1:] if Path(argument).is_dir()]
    if folders and not any(folders[0].iterdir()):
        for number, message in enumerate(SEEDS):
            (folders[0] / f"seed-{number}").write_bytes(bytes([number % PEERS]) + bytes(encode(message)[0]))
    atheris.Setup(sys.argv, Fuzzed())
    atheris.Fuzz()


if __name__ == "__main__":
    main()
