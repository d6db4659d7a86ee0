"""Measure what docs/reliability.md promises, on real processes and sockets.

soak    a sidecar and clients that come, go, dawdle and step, for minutes or hours: memory, handles, latency
kills   a sidecar that is killed again and again while somebody plays
room    many clients in one room
fuzz    messages that are none, or nearly, through codec and session
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from inhabit.bridge.client import LiveWorld, RemoteWorld
from inhabit.bridge.codec import WireError, decode_from_client, decode_from_server
from inhabit.bridge.controls import IDLE, Controls
from inhabit.bridge.errors import WorldError
from inhabit.bridge.look import look
from inhabit.bridge.report import machine, rss_mb, tidy, write_report
from inhabit.bridge.sidecar import Sidecar
from inhabit.bridge.supervisor import Patience, Supervisor
from inhabit.bridge.toy import ToyWorld
from inhabit.bridge.transport import ZmqClient

FAULTY = Path(__file__).parents[1] / "tests" / "bridge" / "faulty_sidecar.py"
QUICK = Patience(hang_s=2.0, grace_s=0.2, first_delay_s=0.02, longest_delay_s=0.02, deaths=100_000)
HELD = Controls(held=frozenset({"ArrowRight"}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["soak", "kills", "room", "fuzz"])
    parser.add_argument("--minutes", type=float, default=60.0, help="of soak")
    parser.add_argument("--count", type=int, default=0, help="of kills (200), clients (50) or messages (1,000,000)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of room")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    found = {"soak": soak, "kills": kills, "room": room, "fuzz": fuzz}[options.what](options)
    for name, value in found.items():
        if not isinstance(value, list | dict):
            print(f"{name:28} {value:.4g}" if isinstance(value, float) else f"{name:28} {value}")
    if options.report:
        write_report(options.report, tidy({"measure": options.what, "machine": machine(), **found}))


# ----------------------------------------------------------------------------------------------------------------- soak


def soak(options: argparse.Namespace) -> dict[str, Any]:
    """Memory, handles and latency over time, with clients that come and go."""
    dice = random.Random(options.seed)
    samples: list[dict[str, float]] = []
    sessions, lost = 0, list[str]()
    with Supervisor(["serve", "toy", "--max-sessions", "8"]) as supervisor:
        endpoint = supervisor.wait_until_listening()
        pid = supervisor.poll().pid
        assert pid is not None
        process = psutil.Process(pid)
        begun, due = time.monotonic(), 0.0
        end = begun + options.minutes * 60
        with LiveWorld(endpoint, client="stays") as stays, LiveWorld(endpoint, room="den", name="slow") as slow:
            slow_due = 0.0
            while time.monotonic() < end:
                supervisor.poll()
                try:
                    _visit(endpoint, dice)
                except WorldError as error:  # told in the report; whoever comes next must be served
                    lost.append(f"{error} - after {time.monotonic() - begun:.0f} s")
                sessions += 1
                until = time.monotonic() + 0.5
                while time.monotonic() < until:
                    stays.send(HELD if dice.random() < 0.5 else IDLE)
                    stays.poll(0.03)
                    if time.monotonic() > slow_due:
                        slow.poll()
                        slow_due = time.monotonic() + 0.2
                for live in (stays, slow):
                    if live.state in ("lost", "failed"):
                        lost.append(f"{live.reason} - after {time.monotonic() - begun:.0f} s")
                        live.reconnect(supervisor.wait_until_listening())
                if time.monotonic() >= due and supervisor.poll().pid == pid:
                    due = time.monotonic() + 10.0
                    with contextlib.suppress(WorldError):
                        samples.append(_sample(process, endpoint, stays))
            frames, restarts = stays.stats()["frames"], supervisor.poll().restarts
    return {
        "minutes": options.minutes,
        "sessions": sessions,
        "lost": len(lost),
        "why_lost": lost[:10],
        "frames": frames,
        "restarts": restarts,
        **_slopes(samples),
    }


def _visit(endpoint: str, dice: random.Random) -> None:
    """An agent that comes, makes a few steps and goes."""
    with RemoteWorld(endpoint, client="comes and goes") as guest:
        guest.reset(seed=dice.randrange(1000))
        for _ in range(20):
            guest.step(HELD if dice.random() < 0.5 else IDLE)


def _sample(process: psutil.Process, endpoint: str, live: LiveWorld) -> dict[str, float]:
    transport = ZmqClient(endpoint, ("ctl",))
    figures = look(transport).figures
    transport.close()
    return {
        "at_s": time.monotonic(), "rss_mb": process.memory_info().rss / 1e6, "handles": process.num_fds(),
        "threads": process.num_threads(), "shared": len(list(Path("/dev/shm").glob("inhabit-*"))),
        "client_rss_mb": rss_mb() or 0.0, "response_ms_p99": figures.get("response_ms_p99_now", float("nan")),
        "input_to_frame_ms_p99": live.stats()["input_to_frame_ms_p99"], "fps": live.stats()["fps"],
    }  # fmt: skip


def _slopes(samples: list[dict[str, float]]) -> dict[str, Any]:
    """First and last of each measure, and the slope of memory over the second half."""
    half = samples[len(samples) // 2 :]
    hours = np.array([sample["at_s"] for sample in half]) / 3600
    told: dict[str, Any] = {}
    for name in ("rss_mb", "client_rss_mb", "handles", "threads", "shared", "response_ms_p99", "fps"):
        told[f"{name}_begin"], told[f"{name}_end"] = samples[min(2, len(samples) - 1)][name], samples[-1][name]
    if len(half) > 2:
        told["rss_mb_per_hour"] = float(np.polyfit(hours, [sample["rss_mb"] for sample in half], 1)[0])
    return {**told, "samples": samples}


# ---------------------------------------------------------------------------------------------------------------- kills


def kills(options: argparse.Namespace) -> dict[str, Any]:
    """Kill the sidecar while frames flow; every frame must be whole, every session must go on."""
    count, dice = options.count or 200, random.Random(options.seed)
    noticed, back, torn, backwards, resumed, frames = [], [], 0, 0, 0, 0
    program = (sys.executable, str(FAULTY))
    arguments = ["serve", "stripes", "--snapshot-every-s", "0.1"]
    with (
        Supervisor(arguments, patience=QUICK, program=program) as supervisor,
        LiveWorld(supervisor.wait_until_listening()) as live,
    ):
        epoch = 0
        for _ in range(count):
            end, shown = time.monotonic() + dice.uniform(0.15, 0.6), 0
            while time.monotonic() < end or shown < 3:
                supervisor.poll()
                frame = live.poll(0.02)
                if frame is not None:
                    shown += 1
                    torn += not (frame.pixels == frame.index % 251).all()
                    backwards += frame.epoch < epoch
                    epoch = max(epoch, frame.epoch)
            frames += shown
            pid = supervisor.poll().pid
            if pid is None:
                continue
            os.kill(pid, signal.SIGKILL)
            killed, before = time.monotonic(), live.epoch
            while live.state == "running":
                live.poll(0.005)
            noticed.append(time.monotonic() - killed)
            while not (live.state == "running" and live.epoch > before):
                supervisor.poll()
                live.poll(0.01)
                if live.state in ("lost", "failed"):
                    raise SystemExit(f"not resumed: {live.reason}")
                if time.monotonic() - killed > 60:
                    raise SystemExit(f"not back after 60 s: {live.state} {live.reason}")
            back.append(time.monotonic() - killed)
            resumed += live.resumed == "snapshot"
    return {
        "kills": len(noticed), "resumed": resumed, "frames": frames, "torn": torn, "epochs_backwards": backwards,
        "noticed_s_p50": float(np.median(noticed)), "noticed_s_max": max(noticed),
        "back_s_p50": float(np.median(back)), "back_s_max": max(back),
    }  # fmt: skip


# ----------------------------------------------------------------------------------------------------------------- room

CROWD = """
import sys, time
from inhabit.bridge.client import LiveWorld
endpoint, count, seconds, share = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4] == "share"
lives = [LiveWorld(endpoint, room="den", share=share) for _ in range(count)]
while not all(live.stats()["frames"] > 2 for live in lives):
    for live in lives:
        live.poll()
    time.sleep(0.002)
print("all in", flush=True)
before, begun = [live.stats()["frames"] for live in lives], time.monotonic()
while time.monotonic() - begun < seconds:
    for live in lives:
        live.poll()
    time.sleep(0.002)
took = time.monotonic() - begun
print(*[(live.stats()["frames"] - one) / took for live, one in zip(lives, before)], flush=True)
"""


def room(options: argparse.Namespace) -> dict[str, Any]:
    """Frames a second of each of many clients in one room of 320x240 at 30."""
    count = options.count or 50
    server = (
        "import sys\nfrom inhabit.bridge.server import Server\nfrom inhabit.bridge.toy import ToyWorld\n"
        "sys.setswitchinterval(0.0005)\n"
        "server = Server(lambda: ToyWorld(width=320, height=240, rate_hz=30.0), hang_after_s=20.0).start()\n"
        "print(server.endpoint, flush=True)\nsys.stdin.read()\nserver.stop()\n"
    )
    found: dict[str, Any] = {"clients": count}
    for way in ("share", "wire"):
        command = [sys.executable, "-c", server]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            endpoint = process.stdout.readline().strip()
            crowd = [sys.executable, "-c", CROWD, endpoint, str(count), str(options.seconds), way]
            lines = subprocess.run(crowd, capture_output=True, text=True, check=True, timeout=300).stdout.splitlines()
            process.stdin.close()
        rates = [float(rate) for rate in lines[-1].split()]
        found |= {f"fps_mean_{way}": float(np.mean(rates)), f"fps_least_{way}": min(rates)}
    return found


# ----------------------------------------------------------------------------------------------------------------- fuzz


def fuzz(options: argparse.Namespace) -> dict[str, Any]:
    """Broken messages through the codec and through a living sidecar; nothing but WireError may come out."""
    from inhabit.bridge import messages as wire
    from inhabit.bridge.codec import encode

    count, dice = options.count or 1_000_000, random.Random(options.seed)
    seeds = [
        bytes(encode(message)[0])
        for message in (
            wire.Hello(client="x"), wire.Hello(client="x", room="den", name="n", takes=("rooms", "shm")), wire.Ping(),
            wire.Credit(upto=3), wire.Reset(request=1, seed=4), wire.Prompt(request=2, text="snow"),
            wire.Chat(text="hello"), wire.Drive(request=3, what="ask"), wire.Set(request=4, settings={"steps": 2}),
            wire.Moderate(request=5, what="kick", member=2), wire.Save(request=6), wire.List(), wire.Look(),
            wire.Attached(ok=True), wire.Key(), wire.State(state="running"), wire.Ack(request=1),
            wire.Queued(position=1), wire.Error(code="busy"),
        )
    ]  # fmt: skip
    now_ns, refused, unhandled = 1_000_000_000, 0, []
    sidecar = Sidecar(ToyWorld, clock=lambda: now_ns, max_sessions=8)
    sidecar.prepare()
    begun, memory = time.monotonic(), rss_mb()
    for number in range(count):
        data = _mutated(dice, dice.choice(seeds))
        parts = [data, *[dice.randbytes(dice.randrange(40)) for _ in range(dice.choice((0, 0, 0, 1, 4)))]]
        for decode in (decode_from_client, decode_from_server):
            try:
                decode(parts)
            except WireError:
                refused += 1
            except Exception as error:
                unhandled.append(f"{error!r} at message {number}")
        now_ns += 200_000
        try:
            sidecar.receive(number % 5, parts, now_ns)
            if number % 50 == 0:
                for seat in list(sidecar.seats):
                    for _ in range(4):
                        if not seat.turn():
                            break
                sidecar.outgoing(now_ns)
        except Exception as error:
            unhandled.append(f"{error!r} at message {number}")
        if number == count // 10:
            memory = rss_mb()
    after = rss_mb()
    return {
        "messages": count, "refused": refused, "unhandled": len(unhandled), "seconds": time.monotonic() - begun,
        "growth_mb": (after or 0.0) - (memory or 0.0), "sessions_left": len(sidecar._sessions),
        "first_unhandled": unhandled[:5],
    }  # fmt: skip


def _mutated(dice: random.Random, data: bytes) -> bytes:
    broken = bytearray(data)
    for _ in range(dice.choice((0, 1, 1, 2, 8))):
        position = dice.randrange(len(broken)) if broken else 0
        match dice.randrange(4):
            case 0 if broken:
                broken[position] = dice.randrange(256)
            case 1:
                broken[position:position] = dice.randbytes(dice.randrange(1, 6))
            case 2:
                del broken[position : position + dice.randrange(1, 6)]
            case _ if broken:
                broken[position] ^= 1 << dice.randrange(8)
    return bytes(broken)


if __name__ == "__main__":
    main()
