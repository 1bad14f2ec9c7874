"""Free ports for servers of tests, below those that the system gives to outgoing connections: one
of these could take the port before the server does, or a probe of it could meet itself there.

Nobody may listen on a port yet when it is given out, and servers that share their ports with other
processes take one that another has as well. So none is given out twice until all have been, and
each worker of pytest has ports of its own."""

from __future__ import annotations

import os
import random
import socket
from itertools import cycle, islice

_FIRST, _END = 20_000, 32_000


def _own() -> range:
    """Those of this worker."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = (_END - _FIRST) // workers
    return range(_FIRST + number * size, _FIRST + (number + 1) * size)


def _from_anywhere(ports: range) -> cycle[int]:
    """Round and round. Programs that tests start begin elsewhere than the tests do."""
    start = random.randrange(len(ports))
    return cycle((*ports[start:], *ports[:start]))


_next = _from_anywhere(_own())


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now."""
    return list(islice((port for port in _next if _is_free(port)), count))


def pair_of_ports() -> int:
    """A port that is free together with the next one: servers talk to themselves there."""
    before = None
    for port in _next:
        if not _is_free(port):
            before = None
        elif before is not None and port == before + 1:
            return before
        else:
            before = port
    raise AssertionError("ports go round for ever")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
