"""Whether a process can do its work: the problems of its roles, for probes and for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus

import orjson

from isocenter.runtime.role import Role

ALIVE = b'{"status":"ok"}'


def readiness(problems: Sequence[str]) -> tuple[int, bytes]:
    """What `/readyz` answers, wherever it is asked: the status, and JSON with what is wrong."""
    status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
    word = "not ready" if problems else "ok"
    return status, orjson.dumps({"status": word, "problems": list(problems)})


class Health:
    """Gathers the problems of roles."""

    def __init__(self, roles: Iterable[Role]) -> None:
        self._roles = tuple(roles)
        self.draining = False

    def drain(self) -> None:
        """Not ready from now on: the process is about to stop."""
        self.draining = True

    def problems(self) -> dict[str, tuple[str, ...]]:
        """Role -> why it cannot do its work now; empty when work may be sent here."""
        found = {role.name: tuple(role.problems()) for role in self._roles}
        if self.draining:
            found["process"] = ("it is stopping",)
        return {name: why for name, why in found.items() if why}
