"""What the bridge adds to a frame, from the moment that the world has made it to the moment that the client holds it.

Sidecar and client are two processes on one machine, so both read one monotonic clock.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from inhabit.bridge.client import LiveWorld
from inhabit.bridge.report import machine, tidy, write_report

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}
SIDECAR = """
import sys
from inhabit.bridge import delivery
from inhabit.bridge.server import Server
from inhabit.bridge.toy import ToyWorld
delivery.RING_FRAME_BYTES = 10**9
sys.setswitchinterval(0.0005)
server = Server(lambda: ToyWorld(width={width}, height={height}, rate_hz=30.0), hang_after_s=10.0).start()
print(server.endpoint, flush=True)
sys.stdin.read()
server.stop()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    report = {"machine": machine(), "frames": options.frames, "rate_hz": 30}
    for name, (width, height) in SIZES.items():
        for way, share in (("wire", False), ("memory", True)):
            found = measure(width, height, options.frames, share=share)
            report[f"{name}_{way}"] = found
            print(f"{name} {way:6}  p50 {found['p50_ms']:.2f} ms  p99 {found['p99_ms']:.2f} ms", flush=True)
    if options.report:
        write_report(options.report, tidy(report))


def measure(width: int, height: int, frames: int, *, share: bool) -> dict[str, float]:
    command = [sys.executable, "-c", SIDECAR.format(width=width, height=height)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ages = []
        with LiveWorld(process.stdout.readline().strip(), share=share) as live:
            deadline = time.monotonic() + 30 + frames / 5
            while len(ages) < frames + 30 and time.monotonic() < deadline:
                frame = live.poll(0.1)
                if frame is not None:
                    # With credit granted before the frame is made, all that follows is the bridge's own time.
                    ages.append((frame.stamps.client_arrived_ns - frame.stamps.server_done_ns) / 1e6)
        process.stdin.close()
    ages = ages[30:]
    return {"p50_ms": float(np.percentile(ages, 50)), "p99_ms": float(np.percentile(ages, 99)), "measured": len(ages)}


if __name__ == "__main__":
    main()
