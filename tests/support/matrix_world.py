"""An installation for the matrix of access: studies of two sites, a policy by which everybody sees
those of their own, and somebody of every role."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlencode

from pydicom.uid import generate_uid
from typer.testing import CliRunner

from isocenter.cli.main import app
from isocenter.core.access import ROLES, Right
from isocenter.core.identity import InstanceName, ObjectName
from support.files import Series, write_series
from support.harness import Isocenter, wait_until
from support.walked_access import PASSWORD
from support.walked_dimse import DESTINATION
from support.walked_requests import FORM, PREPARING, Answer, Asked
from support.walked_routes import Routes

OWN, OTHER = "south", "north"
POLICY = """
[[rules]]
name = "everybody, with what their own site made"
allow = ["*"]
sites = ["own"]

[[rules]]
name = "chiefs, with everything"
allow = ["*"]
who = ["group:chiefs"]
"""
CHIEF, GUEST, NOBODY, FORGER = "chief", "guest", "nobody", "forger"
_SECRET = re.compile(rb"/(?:invitation|share)/([A-Za-z0-9_-]{20,})")
_TOKEN = re.compile(rb"(iso_[0-9a-f]{16}_[A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class Who:
    """Somebody, by what they show."""

    name: str
    rights: frozenset[str] = frozenset()
    cookie: str = ""
    token: str = ""
    everywhere: bool = False
    hidden: Sequence[Series] = field(default=(), repr=False)  # studies that they may not see

    @property
    def known(self) -> bool:
        """Whether they show anything that is worth something."""
        return self.name not in (NOBODY, FORGER)


@dataclass(frozen=True)
class Device:
    """An AE."""

    title: str
    site: str = ""
    verbs: tuple[str, ...] = ("echo", "store", "find", "move", "get", "commit")
    is_known: bool = True

    def sees(self, series: Series) -> bool:
        """Whether a study is of its site."""
        return bool(self.site) and series.patient_id.startswith(self.site.upper())


DEVICES = (
    Device("SOUTHERN", OWN),
    Device("NORTHERN", OTHER),
    Device("LOOKING", OWN, ("find",)),
    Device("SENDING", OWN, ("echo", "store", "commit")),
    Device("STRANGER", verbs=("echo", "store", "commit"), is_known=False),
)


def known_aes(port: int) -> Sequence[Mapping[str, object]]:
    """The AE directory. `port`: of the one that takes what is moved to it."""
    known = [
        {"title": one.title, "site": one.site, "verbs": one.verbs}
        for one in DEVICES
        if one.is_known
    ]
    return [*known, {"title": DESTINATION, "host": "127.0.0.1", "port": port}]


def rights_of(role: str, *but: Right) -> frozenset[str]:
    """What a role allows, by value."""
    return frozenset(one.value for one in ROLES[role] - set(but))


class World:
    """The installation, which runs, and everybody."""

    def __init__(self, isocenter: Isocenter, folder: Path) -> None:
        self.isocenter = isocenter
        self._runner = CliRunner()
        self.own = write_series(folder / "own", 2, rows=8, patient_id="SOUTH-1")
        self.neighbour = write_series(folder / "neighbour", 2, rows=8, patient_id="SOUTH-2")
        self.other = write_series(folder / "other", 2, rows=8, patient_id="NORTH-1")
        self.nowhere = Series(
            folder, generate_uid(), generate_uid(), "NOWHERE-1", {generate_uid(): folder}
        )
        self.preparing = self.by_operator("preparing", *ROLES, group=["chiefs"])
        self.routes = Routes(isocenter, self.own, folder / "sent", self.preparing)
        self.store(self.own, self.preparing)
        self.store(self.neighbour, self.preparing)
        self.store(self.other, self.token("integrator", sites=OTHER))
        self.tokens = self._tokens()
        self.callers = {one.name: one for one in self._callers()}

    # --- what is there ---------------------------------------------------------------------------

    def cli(self, verb: str, *arguments: str) -> tuple[int, str]:
        """Exit code and output of a verb, as operators of the machine run it."""
        words = [*verb.split(), "--data", str(self.isocenter.data), *arguments]
        result = self._runner.invoke(app, words)
        return result.exit_code, result.output

    def explained(self, who: str, right: str, series: Series) -> bool:
        """What `access explain` says."""
        options = [
            f"--set={name}={value if isinstance(value, str) else json.dumps(value)}"
            for name, value in self.isocenter.settings.items()
            if name.startswith(("access.", "gateway."))
        ]
        code, told = self.cli("access explain", who, right, series.study, *options)
        assert told.startswith(("yes: ", "no: ")), told
        assert (code == 0) is told.startswith("yes"), (code, told)
        return code == 0

    def by_operator(self, name: str, *roles: str, **options: Sequence[str]) -> str:
        """A new token, made on the machine itself."""
        given = {"role": roles, "site": [OWN], **options}
        words = [f"--{key}={one}" for key, values in given.items() for one in values]
        code, told = self.cli("token create", name, *words)
        assert code == 0, told
        return told.strip()

    def token(self, role: str, **more: str) -> str:
        """A new token, made by an administrator."""
        asked = self._form(name=more.pop("name", role), role=role, **{"sites": OWN, **more})
        asked.token = self.preparing
        return _found(_TOKEN, self._sent("/access/tokens", asked))

    def store(self, series: Series, token: str) -> None:
        """Store a series by somebody's token."""
        asked = Asked({})
        self.routes.store(asked, series)
        asked.token = token
        answer = self.routes.send("POST", "/dicomweb/studies", asked, PREPARING)
        assert answer.status == 200, answer

    def wait(self) -> None:
        """Until everything that is stored can be found."""
        for series in (self.own, self.neighbour, self.other):
            wait_until(lambda one=series: self.count(one) == one.count, 30, "a study is found")

    def key(self, series: Series) -> str:
        """Of an object of it, or where one would be."""
        if kept := self.isocenter.objects.contents(series.study):
            return min(kept)
        name = InstanceName("main", series.study, series.series, next(iter(series.files)))
        return ObjectName(name, "0" * 64).key

    def count(self, series: Series) -> int:
        """How many instances a study has."""
        asked = Asked(
            {"study": series.study}, accept="application/dicom+json", token=self.preparing
        )
        found = self.routes.send("GET", "/dicomweb/studies/{study}/instances", asked, PREPARING)
        return int(found.headers["x-total-count"])

    # --- everybody -------------------------------------------------------------------------------

    def _tokens(self) -> Mapping[str, Who]:
        """Programs."""
        found = {}
        for role in ROLES:
            found[role] = Who(role, rights_of(role), token=self.token(role))
        only = [Right.SEARCH.value, Right.READ.value]
        reading = self.by_operator("reader", "integrator", only=only)
        found["reader"] = Who("reader", frozenset(only), token=reading)
        found[CHIEF] = Who(
            CHIEF,
            rights_of("administrator"),
            token=self.token("administrator", name=CHIEF, groups="chiefs", sites=OTHER),
            everywhere=True,
        )
        found[NOBODY] = Who(NOBODY)
        forged = found["viewer"].token[:-43] + "A" * 43
        found[FORGER] = Who(FORGER, token=forged)
        return {name: self._hiding(who) for name, who in found.items()}

    def _callers(self) -> Sequence[Who]:
        """People by their sessions, programs where people are none, guests, and nobody."""
        people = [
            Who(role, rights_of(role), cookie=self._signed_in(role, role))
            for role in ("viewer", "technologist", "administrator", "auditor")
        ]
        people.append(Who("no role", cookie=self._signed_in("nothing")))
        looking = frozenset({Right.SEARCH.value, Right.READ.value})
        taking = looking | {Right.DOWNLOAD.value}
        people.append(Who(GUEST, looking, cookie=self._guest()))
        people.append(Who("guest with download", taking, cookie=self._guest(download="yes")))
        programs = [self.tokens[name] for name in ("integrator", "reader", CHIEF, NOBODY, FORGER)]
        return [*map(self._hiding, people), *programs]

    def _hiding(self, who: Who) -> Who:
        guests = [self.neighbour] if who.name.startswith(GUEST) else []
        return replace(who, hidden=() if who.everywhere else (self.other, *guests))

    def _signed_in(self, name: str, role: str = "") -> str:
        """The cookie of somebody new."""
        asked = self._form(name=f"person-{name}", role=role, sites=OWN)
        asked.token = self.preparing
        secret = _found(_SECRET, self._sent("/access/accounts", asked))
        asked = self._form(secret=secret, password=PASSWORD, again=PASSWORD)
        return self._sent("/invitation/{secret}", asked).cookie

    def _guest(self, download: str = "") -> str:
        asked = self._form(study=self.own.study, label="guest", days="1", download=download)
        asked.token = self.preparing
        secret = _found(_SECRET, self._sent("/share", asked))
        return self._sent("/share/{secret}", self._form(secret=secret)).cookie

    def _form(self, *, secret: str = "", **fields: str) -> Asked:
        given = {name: value for name, value in fields.items() if value}
        return Asked({"secret": secret}, body=urlencode(given).encode(), media=FORM)

    def _sent(self, template: str, asked: Asked) -> Answer:
        answer = self.routes.send("POST", template, asked, PREPARING)
        assert answer.status < 400, answer
        return answer


def names_of(series: Series) -> Sequence[str]:
    """What tells of a study."""
    return (series.study, series.series, *series.files, series.patient_id)


def _found(pattern: re.Pattern[bytes], answer: Answer) -> str:
    found = pattern.search(answer.body)
    assert found, answer
    return found[1].decode()
