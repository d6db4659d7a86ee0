"""A client in a process of its own, for tests: joins a room, plays, prints a JSON line every quarter of a second."""

from __future__ import annotations

import argparse
import json
import time

from inhabit.bridge.client import LiveWorld
from inhabit.bridge.controls import Controls


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("--room", default="")
    parser.add_argument("--name", default="")
    parser.add_argument("--hold", default="")
    parser.add_argument("--slow-s", type=float, default=0.0)
    parser.add_argument("--prompt", default="")
    options = parser.parse_args()
    held = Controls(held=frozenset({options.hold} if options.hold else ()))
    said = False
    with LiveWorld(options.endpoint, client="player", room=options.room, name=options.name) as live:
        told_s = 0.0
        while live.state not in ("failed", "closed"):
            live.send(held)
            live.poll(0.02)
            if options.slow_s:
                time.sleep(options.slow_s)
            if options.prompt and live.state == "running" and not said:
                live.prompt(options.prompt)
                said = True
            if time.monotonic() - told_s > 0.25:
                told_s = time.monotonic()
                stats = live.stats()
                print(json.dumps({"state": live.state, "fps": stats["fps"], "frames": stats["frames"]}), flush=True)


if __name__ == "__main__":
    main()
