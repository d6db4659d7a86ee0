"""The proxy that the tests of faults stand on: a fault of its own would look like ours."""

from __future__ import annotations

import socket


def test_both_ends_may_hang_up_at_once(proxied):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        proxy = proxied(f"tcp://127.0.0.1:{server.getsockname()[1]}")
        host, _, port = proxy.endpoint.removeprefix("tcp://").rpartition(":")
        for _ in range(3):
            client = socket.create_connection((host, int(port)), timeout=5)
            far, _ = server.accept()
            proxy.stalled = True
            client.close()
            far.close()
            proxy.stalled = False
        with socket.create_connection((host, int(port)), timeout=5) as client, server.accept()[0] as far:
            client.sendall(b"still there")
            assert far.recv(64) == b"still there"
