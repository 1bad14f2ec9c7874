"""Whether a process can do its work: the problems of its roles, for probes and for people."""

from __future__ import annotations

from collections.abc import Iterable

from isocenter.runtime.role import Role


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
