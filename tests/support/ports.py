"""Free ports for servers of tests, below those that the system gives to outgoing connections: one
of these could take the port before the server does, or a probe of it could meet itself there."""

from __future__ import annotations

import random
import socket

_FIRST, _END = 20_000, 32_000


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.randrange(_FIRST, _END)
        if port not in ports and _is_free(port):
            ports.append(port)
    return ports


def pair_of_ports() -> int:
    """A port that is free together with the next one: servers talk to themselves there."""
    while True:
        port = random.randrange(_FIRST, _END, 2)
        if all(_is_free(one) for one in (port, port + 1)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
