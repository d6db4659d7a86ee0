"""A TCP proxy that does to a connection what networks do: stall, cut, narrow."""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import time
from threading import Thread


class Proxy:
    """Stands between a client and a sidecar, in a thread of its own.

    stalled: nothing passes, connections stay open.   bytes_per_s: towards the client; 0 for no bound.
    jitter_s: each piece towards the client is held back for up to that, by seed.
    """

    def __init__(self, endpoint: str):
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self.stalled = False
        self.bytes_per_s = 0
        self.jitter_s = 0.0
        self._dice = random.Random(1)
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._cut = self._closing = False
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Break every connection, once."""
        self._cut = True

    def close(self) -> None:
        self._closing = True
        self._thread.join()

    def _run(self) -> None:
        with self._listener, selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            budget, filled = 0.0, time.monotonic()
            while not self._closing:
                now = time.monotonic()
                budget = min(self.bytes_per_s * 0.05, budget + (now - filled) * self.bytes_per_s)
                filled = now
                if self._cut:
                    self._cut = False
                    self._drop_all(selector)
                if self.stalled:
                    time.sleep(0.01)
                    continue
                for key, _ in selector.select(0.01):
                    if key.fileobj is self._listener:
                        self._accept(selector)
                        continue
                    source, sink, towards_client = key.data
                    if towards_client and self.jitter_s:
                        time.sleep(self._dice.uniform(0, self.jitter_s))
                    if towards_client and self.bytes_per_s:
                        if budget < 1:
                            time.sleep(0.002)
                            continue
                        budget -= self._pass(selector, source, sink, int(max(1, min(budget, 4096))))
                    else:
                        self._pass(selector, source, sink, 65536)
            self._drop_all(selector)

    def _accept(self, selector) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self._target, timeout=1.0)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        for one in (client, server):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self._pairs.append((client, server))
        selector.register(client, selectors.EVENT_READ, (client, server, False))
        selector.register(server, selectors.EVENT_READ, (server, client, True))

    def _pass(self, selector, source, sink, size) -> int:
        if source.fileno() < 0:  # its pair was dropped earlier in the same round
            return 0
        try:
            data = source.recv(size)
            if data:
                sink.sendall(data)
                return len(data)
        except OSError:
            pass
        self._drop(selector, next(pair for pair in self._pairs if source in pair))
        return 0

    def _drop(self, selector, pair) -> None:
        self._pairs.remove(pair)
        for one in pair:
            with contextlib.suppress(KeyError):
                selector.unregister(one)
            one.close()

    def _drop_all(self, selector) -> None:
        for pair in list(self._pairs):
            self._drop(selector, pair)
