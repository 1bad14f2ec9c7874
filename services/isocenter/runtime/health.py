"""Whether a process can do its work: the problems of its roles, for probes and for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from isocenter.runtime.role import Role


@dataclass(frozen=True, slots=True)
class Report:
    """An answer to a probe."""

    ok: bool
    problems: Mapping[str, tuple[str, ...]]  # role -> why it cannot do its work now


class Health:
    """Gathers the problems of roles."""

    def __init__(self, roles: Iterable[Role]) -> None:
        self._roles = tuple(roles)
        self._draining = False

    def drain(self) -> None:
        """Not ready from now on: the process is about to stop."""
        self._draining = True

    def problems(self) -> dict[str, tuple[str, ...]]:
        """Why roles cannot do their work now; empty when all are ready."""
        found = {role.name: tuple(role.problems()) for role in self._roles}
        if self._draining:
            found["process"] = ("it is stopping",)
        return {name: why for name, why in found.items() if why}

    def ready(self) -> Report:
        """For /readyz: whether to send work here."""
        problems = self.problems()
        return Report(not problems, problems)

    def live(self) -> Report:
        """For /livez: a process that answers is alive; a restart would cure no dependency."""
        return Report(True, self.problems())
