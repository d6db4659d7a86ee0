"""Serve a pack to vector environments elsewhere: gymnasium.make_vec(..., endpoint=...), without torch over there."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from dataclasses import dataclass
from threading import Thread
from typing import Literal

import tyro

from inhabit.bridge.transport import ZmqServer
from inhabit.worldmodel.catalog import DEFAULT_PACK, find_pack, require_torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    pack: tyro.conf.Positional[str] = DEFAULT_PACK
    """A shipped pack's name or a pack's folder."""

    bind: str = "tcp://127.0.0.1:0"
    """Where to listen, on this machine only. Port 0 takes a free one; the line on standard output says which."""

    device: str = "auto"
    """auto, cpu or cuda."""

    threads: int = 0
    """CPU threads; 0 leaves it to torch. Where others compute too, 1 is often fastest."""

    parent: Literal["none", "pipe"] = "none"
    """Who looks after this process: with "pipe" it stops when standard input closes."""


def run(options: Options) -> None:
    """Serve until a signal, or until the parent is gone."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    folder = find_pack(options.pack)
    require_torch()
    import torch

    from inhabit.worldmodel.dreams.batch_server import BatchServer

    if options.threads:
        torch.set_num_threads(options.threads)
    transport = ZmqServer(options.bind)
    server = BatchServer(folder, transport, device=options.device)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    if options.parent != "none":
        Thread(target=_stop_at_end_of_input, daemon=True).start()
    print(json.dumps({"event": "listening", "endpoint": transport.endpoint, "pid": os.getpid()}), flush=True)
    server.serve_forever()


def _stop_at_end_of_input() -> None:
    """Standard input is a pipe that only the parent holds: it ends when the parent does, however that dies."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)
