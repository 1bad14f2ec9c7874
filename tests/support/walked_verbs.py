"""How every verb that leaves a record is run for the walk of the audit trail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer.main
from typer.testing import CliRunner

from isocenter.adapters.bus.log import LogBus
from isocenter.cli.main import app
from isocenter.core.events import DEAD_SUFFIX, TOPIC_INSTANCES
from isocenter.core.ports import Record
from support.files import Series
from support.harness import Isocenter, wait_until
from support.walked_access import person
from support.walked_requests import Asked
from support.walked_routes import Routes

STUDY_OF_LETTER = "1.2.3.4.5"


def every_verb() -> list[str]:
    """All of them, as one types them."""
    found: list[str] = []

    def collect(command: Any, above: tuple[str, ...]) -> None:
        for name, one in getattr(command, "commands", {}).items():
            collect(one, (*above, name))
        if not hasattr(command, "commands"):
            found.append(" ".join(above))

    collect(typer.main.get_command(app), ())
    return found


@dataclass
class Ran:
    """Where a verb left its record, and what it is about."""

    data: Path
    study: str = ""


class Verbs:
    """Runs them in this process, as operators do on the machine of a running archive."""

    def __init__(self, isocenter: Isocenter, series: Series, routes: Routes, folder: Path) -> None:
        self.isocenter, self.series, self.routes = isocenter, series, routes
        self.folder = folder
        self.data = isocenter.data
        self._runner = CliRunner()
        self._letters = 0

    def run(self, verb: str) -> Ran:
        """Run it; whatever it needs is there."""
        return _VERBS[verb](self)

    def invoke(self, verb: str, *arguments: object, data: Path | None = None) -> str:
        """What a verb prints, which has to succeed."""
        words = [*verb.split(), "--data", str(data or self.data), *map(str, arguments)]
        result = self._runner.invoke(app, words)
        assert result.exit_code == 0, (words, result.output, result.exception)
        return result.stdout

    def plain(self, verb: str, *arguments: object, study: str = "") -> Ran:
        """A verb that needs nothing but arguments."""
        self.invoke(verb, *arguments)
        return Ran(self.data, study)

    # --- bring in and send -----------------------------------------------------------------------

    def imported(self) -> Ran:
        series = self.routes.files()
        return self.plain("import", series.folder, study=series.study)

    def fetched(self) -> Ran:
        elsewhere = self.folder / "fetched"
        peer = self.isocenter.dicomweb
        self.invoke("fetch", peer, self.series.study, data=elsewhere)
        return Ran(elsewhere, self.series.study)

    # --- take care -------------------------------------------------------------------------------

    def backed_up(self) -> Ran:
        return self.plain("backup", "--to", self.folder / "backups")

    def restored(self) -> Ran:
        self.backed_up()
        elsewhere = self.folder / "restored"
        self.invoke("restore", "--from", self.folder / "backups", data=elsewhere)
        return Ran(elsewhere)

    def deleted(self) -> Ran:
        asked = Asked({})
        self.routes.stored(asked)
        return self.plain("delete", asked.values["study"], study=asked.values["study"])

    def undeleted(self) -> Ran:
        asked = Asked({})
        self.routes.deleted(asked)
        return self.plain("undelete", asked.values["deletion"], study=asked.values["study"])

    def letter(self) -> str:
        """The id of a new dead letter."""

        async def bury() -> None:
            bus = await LogBus.open(self.data / "log")
            try:
                headers = {"error": "nobody can read it"}
                buried = Record(STUDY_OF_LETTER, "isocenter.v1.Walked", b"\xff", headers)
                await bus.append(TOPIC_INSTANCES + DEAD_SUFFIX, [buried])
            finally:
                await bus.close()

        asyncio.run(bury())
        *_, last = self.invoke("dead list").splitlines()
        return next(word for word in last.split() if word.startswith(f"{TOPIC_INSTANCES}/"))

    def of_letter(self, verb: str, *arguments: object) -> Ran:
        return self.plain(verb, self.letter(), *arguments, study=STUDY_OF_LETTER)

    # --- the AE directory ------------------------------------------------------------------------

    def aes_set(self) -> Ran:
        return self.plain("aes set", "VERB", "host=127.0.0.1", "port=104")

    def aes_removed(self) -> Ran:
        self.invoke("aes set", "VERB", "host=127.0.0.1", "port=104")
        return self.plain("aes remove", "VERB")

    def aes_imported(self) -> Ran:
        file = self.folder / "aes.json"
        file.write_text(json.dumps({"aes": [{"title": "FILED", "host": "127.0.0.1"}]}))
        return self.plain("aes import", file)

    # --- access ---------------------------------------------------------------------------------

    def of_account(self, verb: str) -> Ran:
        name, _ = person(self.routes)
        return self.plain(verb, name, *(["--site", "north"] if verb == "account set" else []))

    def token_revoked(self) -> Ran:
        self.invoke("token create", "verb")
        return self.plain("token revoke", self._last("token list")["id"])

    def session_ended(self) -> Ran:
        person(self.routes)
        return self.plain("access end-session", self._last("access sessions")["id"])

    def unmarked(self) -> Ran:
        self.invoke("access mark", "--patient", "VERB-2")
        return self.plain("access unmark", "--patient", "VERB-2")

    def _last(self, verb: str) -> dict[str, str]:
        told: dict[str, str] = json.loads(self.invoke(verb, "--json").splitlines()[-1])
        return told

    # --- the trail -------------------------------------------------------------------------------

    def record(self) -> str:
        """The id of a record of the trail."""

        def found() -> str:
            listed = self.invoke("audit list", "--json", "--limit", 1, "--action", "store")
            return listed.strip()

        return str(json.loads(wait_until(found, 30, "a record is in the trail"))["id"])

    def shown(self) -> Ran:
        return self.plain("audit show", self.record())

    def proven(self) -> Ran:
        """The newest record can be proved once it is sealed."""
        record, words = self.record(), ["audit", "prove", "--data", str(self.data)]
        sealed = lambda: self._runner.invoke(app, [*words, record]).exit_code == 0  # noqa: E731
        wait_until(sealed, 30, "the record is sealed")
        return Ran(self.data)

    def of_search(self, verb: str) -> Ran:
        self.invoke("audit saved add", "walked", "--who", "WALK")
        return self.plain(verb, "walked")

    def of_hold(self) -> Ran:
        self.invoke("audit hold add", "freed", "--reason", "walked")
        return self.plain("audit hold release", "freed")


Run = Callable[[Verbs], Ran]


def _run(verb: str, *arguments: object) -> Run:
    return lambda verbs: verbs.plain(verb, *arguments)


def _in_folder(verb: str, name: str, *before: str) -> Run:
    return lambda verbs: verbs.plain(verb, *before, verbs.folder / name)


def _names(prefix: str, verbs: Sequence[str], run: Callable[[str], Run]) -> Mapping[str, Run]:
    return {f"{prefix} {verb}": run(f"{prefix} {verb}") for verb in verbs}


def _of_account(verb: str) -> Run:
    return lambda verbs: verbs.of_account(verb)


_VERBS: Mapping[str, Run] = {
    "account add": _run("account add", "verb", "--role", "viewer"),
    **_names("account", ["set", "invite", "remove", "drop-factor"], _of_account),
    "token create": _run("token create", "verb"),
    "token revoke": Verbs.token_revoked,
    "access end-session": Verbs.session_ended,
    "access marks": _run("access marks"),
    "access mark": _run("access mark", "--patient", "VERB-1", "--reason", "walked"),
    "access unmark": Verbs.unmarked,
    "import": Verbs.imported,
    "fetch": Verbs.fetched,
    **{verb: _run(verb) for verb in ("verify", "drill", "rebuild", "replay", "sweep", "deleted")},
    "backup": Verbs.backed_up,
    "restore": Verbs.restored,
    "delete": Verbs.deleted,
    "undelete": Verbs.undeleted,
    "dead show": lambda verbs: verbs.of_letter("dead show"),
    "dead replay": lambda verbs: verbs.of_letter("dead replay"),
    "dead discard": lambda verbs: verbs.of_letter("dead discard", "--reason", "walked"),
    "aes set": Verbs.aes_set,
    "aes remove": Verbs.aes_removed,
    "aes import": Verbs.aes_imported,
    **_names("audit", ["list", "count", "verify", "rotate-key", "rebuild"], _run),
    "audit show": Verbs.shown,
    "audit prove": Verbs.proven,
    "audit object": lambda verbs: verbs.plain("audit object", next(iter(verbs.series.files))),
    "audit export": _in_folder("audit export", "trail.csv", "--form", "csv", "--output"),
    "audit evidence": _in_folder("audit evidence", "evidence"),
    **_names("audit saved", ["list"], _run),
    "audit saved add": _run("audit saved add", "added", "--who", "WALK"),
    **_names("audit saved", ["run", "remove"], lambda verb: lambda verbs: verbs.of_search(verb)),
    **_names("audit hold", ["list"], _run),
    "audit hold add": _run("audit hold add", "added", "--reason", "walked"),
    "audit hold release": Verbs.of_hold,
}
