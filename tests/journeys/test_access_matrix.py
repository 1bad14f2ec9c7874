"""Everybody asks for everything: every role at every route, method of gRPC and DIMSE verb, for a
study of its own site and for one of another site.

What there is to be asked for is read from the code's own tables, and what is expected from tables
of `support.matrix_expected`, so that what is added without an expectation fails here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest
from pydicom.dataset import Dataset

from isocenter.dimse.messages import CommandField
from isocenter.gateway.contexts import PATIENT_ROOT, STUDY_ROOT, InformationModel
from isocenter.gateway.services import AUDITED, SOP_CLASSES
from isocenter.runtime.rpc_admission import NEEDS
from isocenter.web.operations import OPERATIONS
from support.clients import storescp
from support.files import Series
from support.harness import running
from support.logging_state import logging_as_before
from support.matrix_expected import ANYBODY, KNOWN, VARIANTS, Line, methods, routes, verbs
from support.matrix_world import (
    CHIEF,
    DEVICES,
    FORGER,
    NOBODY,
    POLICY,
    Device,
    Who,
    World,
    known_aes,
    names_of,
)
from support.ports import free_ports
from support.walked_calls import Calls, Ports, every_method
from support.walked_dimse import SUCCESS
from support.walked_dimse import Verbs as DimseVerbs
from support.walked_dimse import cases as dimse_cases
from support.walked_requests import FORM, Answer, Asked

__all__ = ["logging_as_before"]

pytestmark = pytest.mark.xdist_group("matrix")  # one archive for all

HTTP = [(method, path) for path, methods in OPERATIONS.items() for method in methods]
ROUTES = routes()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("matrix")
    policy = folder / "policy.toml"
    policy.write_text(POLICY)
    (port,) = free_ports(1)
    settings = {
        "process.workers": 1,
        "gateway.known_aes": known_aes(port),
        "gateway.commitment_proof_seconds": 0,
        "gateway.commitment_wait_seconds": 0,
        "access.trust_loopback": False,
        "access.policy": str(policy),
        "audit.seal_seconds": 1,
    }
    with (
        storescp(folder / "moved", port=port),
        running(folder / "data", settings=settings) as isocenter,
    ):
        world = World(isocenter, folder)
        world.wait()
        yield world


# --- HTTP ----------------------------------------------------------------------------------------

ANSWERED, WHO, REFUSED, NOT_THERE = "answered", "asked who it is", "refused", "not there"
PAGES = ("/audit", "/access", "/account", "/share", "/emergency", "/sign-", "/invitation")


def verdict(answer: Answer) -> str:
    """What was answered, in a word."""
    if answer.status == 303 and answer.headers.get("location", "").startswith("/sign-in?"):
        return WHO
    if answer.status < 400:
        return ANSWERED
    return {401: WHO, 403: REFUSED, 404: NOT_THERE}.get(answer.status, str(answer.status))


def expected(who: Who, line: Line) -> frozenset[str]:
    """What may be answered, to somebody who asks for what they may see."""
    if who.name == FORGER or (line.needs != ANYBODY and not who.known):
        return frozenset({WHO})
    if line.needs not in (ANYBODY, KNOWN, *who.rights):
        return frozenset({REFUSED})
    match line.about:
        case "everywhere":
            return frozenset({ANSWERED if who.everywhere else REFUSED})
        case "own":
            return frozenset({ANSWERED, NOT_THERE, "400"})
        case "nothing":
            return frozenset({ANSWERED, NOT_THERE, "503", *([WHO] * (line.needs == ANYBODY))})
        case _:
            return frozenset({ANSWERED})


def what_is_wrong_with_the_form(template: str, method: str, answer: Answer) -> str:
    """Of an error (RFC 9457, RFC 6750 3)."""
    if answer.status < 400:
        return ""
    if answer.status == 401 and "Bearer" not in answer.headers.get("www-authenticate", ""):
        return "no WWW-Authenticate"
    kind = "application/problem+json"
    if template.startswith(PAGES):
        kind = "text/html"
    elif template.startswith("/fhir"):
        kind = "application/fhir+json"
    if not answer.headers.get("content-type", "").startswith(kind):
        return f"it is {answer.headers.get('content-type')}"
    if method != "HEAD" and kind == "application/problem+json":
        return "" if json.loads(answer.body)["status"] == answer.status else "another status"
    return ""


@dataclass(frozen=True)
class Door:
    """A route and method, or a variant of it."""

    world: World
    method: str
    template: str
    line: Line

    @property
    def ways(self) -> Sequence[Series | None]:
        """How what is of another study is named: as such, or below the own one."""
        below = "{series}" in self.template or self.template == "/wado"
        return (None, self.world.own) if below else (None,)

    def prepared(self) -> Asked:
        """What it needs to succeed, on the own study."""
        if self.line.about in ("own", "study?"):
            asked = Asked(self.world.routes.values(self.world.own), media=FORM)
        else:
            asked = self.world.routes.asked(self.method, self.template)
        return self.narrowed(asked, self.world.own)

    def aimed(self, series: Series, within: Series | None = None) -> Asked:
        """The same on another study, or on what is of a series but said to be of another study."""
        values = self.world.routes.values(series)
        if within is not None:
            values["study"] = within.study
        asked = Asked(values, media=FORM if self.line.about == "study?" else "")
        if self.line.about == "study?":
            asked.body = f"study={series.study}&label=matrix&days=1".encode()
        if self.line.about == "store":
            self.world.routes.store(asked, self.world.routes.files(series))
        return self.narrowed(asked, series)

    def narrowed(self, asked: Asked, series: Series) -> Asked:
        """The request, with the query and the media type of a variant."""
        if self.template == "/wado":
            asked.query = {
                "requestType": "WADO", "studyUID": asked.values["study"],
                "seriesUID": series.series, "objectUID": next(iter(series.files)),
            }  # fmt: skip
        if self.line.about in ("search", "change"):
            asked.query = {} if self.line.about == "search" else {"since": "oldest", "limit": "1000"}
        if self.line.accept != "*/*":
            asked.accept = self.line.accept
        names = {"study": series.study, "patient": series.patient_id}
        more = {name: value.format(**names) for name, value in self.line.query.items()}
        asked.query = {**asked.query, **more}
        return asked

    def ask(self, who: Who, asked: Asked) -> Answer:
        """Ask as somebody."""
        asked = replace(asked, cookie=who.cookie, token=who.token)
        return self.world.routes.send(self.method, self.template, asked, f"matrix {who.name}")

    # --- what is wrong ---------------------------------------------------------------------------

    def problems(self, who: Who, refused: Asked) -> Iterator[str]:
        """Of everything that somebody asks for here. `refused`: the request of who is refused."""
        right = expected(who, self.line)
        asked = self.prepared() if ANSWERED in right else refused
        answer = self.ask(who, asked)
        if self.line.about == "study?" and ANSWERED in right:
            right = frozenset({"400"})  # an empty form
        if verdict(answer) not in right:
            yield f"{verdict(answer)} {answer.status} instead of {' or '.join(right)}"
        yield from self._leaks(who, asked, answer)
        if wrong := what_is_wrong_with_the_form(self.template, self.method, answer):
            yield f"in a wrong form: {wrong}"
        if not right & {ANSWERED, "400"} or self.line.needs in (ANYBODY, KNOWN):
            return
        if self.line.about in ("search", "change"):
            yield from self._search_problems(who, asked, answer)
        if self.line.about in ("study", "study?", "store"):
            for series in who.hidden:
                yield from self._hidden_problems(who, series)
            if who.everywhere and self.method != "DELETE" and self.line.about != "store":
                seen = self.ask(who, self.aimed(self.world.other))
                if verdict(seen) != ANSWERED:
                    yield f"{seen.status} for the other study, which they may see"

    def _leaks(self, who: Who, asked: Asked, answer: Answer) -> Iterator[str]:
        """What is told of a study that they may not see, beyond what they said themselves."""
        if self.line.about == "trail" and self.line.needs in who.rights:
            return
        said = f"{asked.values} {asked.query} {asked.body!r}"
        told = answer.body + repr(answer.headers).encode()
        for series in who.hidden:
            for name in names_of(series):
                if name not in said and name.encode() in told:
                    yield f"{answer.status} tells {name}"

    def _search_problems(self, who: Who, asked: Asked, answer: Answer) -> Iterator[str]:
        mine, others = self.world.own.study.encode(), self.world.other.study.encode()
        if self.method == "GET" and mine not in answer.body:
            yield "their own study is not found"
        narrow = set(self.line.query) & {"StudyInstanceUID", "PatientID"}
        if self.method == "GET" and who.everywhere and not narrow and others not in answer.body:
            yield "the other study, which they may see, is not found"
        if self.line.about == "change" or self.line.accept != "*/*":
            return
        total = int(answer.headers["x-total-count"])
        found = Door(self.world, "GET", self.template, self.line).ask(who, asked)
        if total != len(json.loads(found.body)):
            yield f"a count of {total}, but {len(json.loads(found.body))} are found"
        for series in who.hidden if narrow else ():
            there = self.ask(who, self.narrowed(self.aimed(series), series))
            if there.headers["x-total-count"] != "0":
                yield "the other study is counted"

    def _hidden_problems(self, who: Who, series: Series) -> Iterator[str]:
        """What they may not see is as if it were not there, also as a part of what they may."""
        world, before = self.world, self.world.count(series)
        there = self.ask(who, asked := self.aimed(series))
        yield from self._leaks(who, asked, there)
        if self.line.about == "store":
            if there.status != 409:  # PS3.18 table 10.5.3-1: no instance was stored
                yield f"{there.status} for an object of a study that they may not see"
        else:
            for within in self.ways:
                there = self.ask(who, self.aimed(series, within))
                nowhere = self.ask(who, self.aimed(world.nowhere, within))
                if (one := told(there, series)) != (other := told(nowhere, world.nowhere)):
                    yield f"{one}, but of a study that is not there {other}"
        if world.count(series) != before:
            yield "the study is not what it was"


def told(answer: Answer, series: Series) -> tuple[int, bytes, Mapping[str, str]]:
    """All that an answer tells, but for the names that were asked for and its own."""
    body, headers = answer.body, {**answer.headers}
    for name in ("date", "content-length"):
        headers.pop(name, None)
    for name in names_of(series):
        body = body.replace(name.encode(), b"?")
    if headers.get("content-type") == "application/problem+json" and body:
        problem = {**json.loads(body), "instance": ""}
        body = json.dumps(problem).encode()
    return answer.status, body, headers


def test_every_route_has_an_expectation() -> None:
    assert sorted(ROUTES) == sorted(HTTP)


@pytest.mark.parametrize(("method", "template"), HTTP)
def test_a_route_answers_whom_it_should(world: World, method: str, template: str) -> None:
    door = Door(world, method, template, ROUTES[method, template])
    assert problems_of(door) == []


@pytest.mark.parametrize("name", VARIANTS)
def test_a_route_asked_otherwise_answers_whom_it_should(world: World, name: str) -> None:
    template, line = VARIANTS[name]
    for method in ("GET", "HEAD"):
        assert problems_of(Door(world, method, template, line)) == []


def problems_of(door: Door) -> Sequence[str]:
    """What is wrong, of everybody. Who signs in by an open door is nobody yet."""
    refused = door.prepared()
    callers = door.world.callers.values()
    if door.line.needs == ANYBODY and door.method == "POST":
        callers = [door.world.callers[NOBODY]]
    return [f"{who.name}: {problem}" for who in callers for problem in door.problems(who, refused)]


# --- gRPC ----------------------------------------------------------------------------------------

METHODS = methods()
STATUSES: Mapping[grpc.StatusCode, str] = {
    grpc.StatusCode.UNAUTHENTICATED: WHO,
    grpc.StatusCode.PERMISSION_DENIED: REFUSED,
    grpc.StatusCode.NOT_FOUND: NOT_THERE,
}
OF_INSTANCES = ("ArchiveService/RetrieveFrames", "ArchiveService/RetrieveBulkData")


@dataclass
class Heard:
    """What a call was answered."""

    verdict: str
    text: str  # of the error
    body: bytes  # of all messages


def calls_of(world: World, who: Who, series: Series) -> Calls:
    """Calls about a series, as somebody."""
    ports = Ports(world.isocenter.grpc_port, 1, 1)
    return Calls(ports, series, "", world.routes, who.token, world.preparing)


def call(
    world: World, method: str, who: Who, series: Series, patient: str = "", *, into: bool = False
) -> Heard:
    """Call a method. `patient`: who is searched for; `into`: whether it is stored into."""
    calls = calls_of(world, who, series)
    calls.match = ("PatientID", patient) if patient else ("StudyDate", "19000101-")
    calls.into = series if into else None
    verdict, text = ANSWERED, ""
    try:
        calls.call(method, f"matrix {who.name}")
    except grpc.RpcError as error:
        verdict, text = STATUSES.get(error.code(), str(error.code())), error.details()
    except AssertionError as error:
        verdict = f"answered with a failure: {error}"
    finally:
        calls.close()
    return Heard(verdict, text, b"".join(one.SerializeToString() for one in calls.heard))


def grpc_problems(world: World, method: str, who: Who) -> Iterator[str]:
    line = METHODS[method]
    heard = call(world, method, who, world.own)
    right = expected(who, line)
    if heard.verdict not in right:
        yield f"{heard.verdict} ({heard.text}) instead of {' or '.join(right)}"
    if line.about != "trail":
        yield from (
            f"tells {name}"
            for series in who.hidden
            for name in names_of(series)
            if name.encode() in heard.body
        )
    if ANSWERED not in right:
        return
    if line.about == "search" and world.own.study.encode() not in heard.body:
        yield "their own study is not found"
    for series in who.hidden:
        yield from grpc_hidden_problems(world, method, who, series)
    if who.everywhere and line.about == "study":
        there = call(world, method, who, world.other)
        if there.verdict != ANSWERED:
            yield f"{there} for the other study, which they may see"


def grpc_hidden_problems(world: World, method: str, who: Who, series: Series) -> Iterator[str]:
    about, nowhere = METHODS[method].about, world.nowhere
    pairs = []
    if about in ("search", "count"):
        pairs = [[call(world, method, who, one, one.patient_id) for one in (series, nowhere)]]
    if about == "study":
        pairs = [[call(world, method, who, one) for one in (series, nowhere)]]
    if method in OF_INSTANCES:
        below = [replace(one, study=world.own.study) for one in (series, nowhere)]
        pairs.append([call(world, method, who, one) for one in below])
    for there, of_nothing in pairs:
        if there != of_nothing or (about == "study" and there.verdict != NOT_THERE):
            yield f"{there}, but of a study that is not there {of_nothing}"
    if about == "store":
        there = call(world, method, who, series, into=True)
        if "failure" not in there.verdict:
            yield f"{there} for an object of a study that they may not see"


def test_every_method_of_grpc_has_an_expectation_or_is_not_for_programs() -> None:
    assert sorted(METHODS) == sorted(NEEDS)
    assert set(METHODS) <= set(every_method())


@pytest.mark.parametrize("method", METHODS)
def test_a_method_of_grpc_answers_whom_it_should(world: World, method: str) -> None:
    problems = [
        f"{who.name}: {problem}"
        for who in world.tokens.values()
        for problem in grpc_problems(world, method, who)
    ]
    assert problems == []


@pytest.mark.parametrize("name", ["viewer", "reader", CHIEF])
def test_changes_over_grpc_are_of_studies_that_somebody_may_see(world: World, name: str) -> None:
    who, last = world.tokens[name], world.routes.files()
    world.store(last, world.preparing)
    calls = calls_of(world, who, world.own)
    seen = set()
    for change in calls.changes("matrix"):
        told = json.loads(change.data or "{}")
        seen.add(told.get("study", ""))
        if last.study in seen and world.own.study in seen:
            break
    calls.close()
    assert (world.other.study in seen) is who.everywhere


def test_what_is_not_for_programs_is_not_answered_to_them(world: World) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{world.isocenter.grpc_port}") as channel:
        for method in sorted(set(every_method()) - set(METHODS)):
            ask = channel.unary_unary(f"/isocenter.v1.{method}")
            with pytest.raises(grpc.RpcError) as refused:
                ask(b"", metadata=[("authorization", f"Bearer {world.preparing}")])
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED, method


# --- DIMSE ---------------------------------------------------------------------------------------

VERBS = verbs()
CASES = dimse_cases(SOP_CLASSES, AUDITED)
NOT_AUTHORIZED, NOT_ASKED = 0x0124, -1


def dimse_problems(world: World, field: int, sop_class: str, ae: Device) -> Iterator[str]:
    line = VERBS[CommandField(field).name]
    for series in (world.own, world.other):
        may, into = ae.sees(series), series if series is world.other else None
        asking = DimseVerbs(world.isocenter, series)
        told = asking.told(field, sop_class, ae.title, world.routes.files(into))
        seen = told.completed or sum(series.study in str(one) for one in told.data)
        if field == CommandField.N_ACTION:
            seen = sum("ReferencedSOPSequence" in one for one in told.data)
        if line.needs not in ae.verbs:
            if told.status not in (NOT_ASKED, NOT_AUTHORIZED) or told.data:
                yield f"{told} instead of a refusal"
        elif line.about == "store":
            right = SUCCESS if (may if into else ae.site) else NOT_AUTHORIZED
            if told.status != right:
                yield f"0x{told.status:04X} instead of 0x{right:04X}, into {into}"
        elif told.status != SUCCESS:
            yield f"0x{told.status:04X} instead of success"
        elif line.about == "search" and bool(seen) is not may:
            yield f"{told}, which it {'may' if may else 'may not'} see"


def test_every_dimse_verb_has_an_expectation() -> None:
    assert sorted(VERBS) == sorted(CommandField(field).name for field in AUDITED)


@pytest.mark.parametrize(
    ("field", "sop_class"),
    CASES,
    ids=lambda one: one if isinstance(one, str) else CommandField(one).name,
)
def test_a_dimse_verb_answers_whom_it_should(world: World, field: int, sop_class: str) -> None:
    problems = [
        f"{ae.title}: {problem}"
        for ae in DEVICES
        for problem in dimse_problems(world, field, sop_class, ae)
    ]
    assert problems == []


def test_a_dimse_search_for_everything_finds_what_an_ae_may_see(world: World) -> None:
    for ae in (one for one in DEVICES if "find" in one.verbs):
        for level, tag in (("PATIENT", "PatientID"), ("STUDY", "StudyInstanceUID")):
            identifier = Dataset()
            identifier.QueryRetrieveLevel = level
            setattr(identifier, tag, "")
            asking = DimseVerbs(world.isocenter, world.own)
            told = asking.told(
                CommandField.C_FIND, PATIENT_ROOT.find, ae.title, world.own, identifier
            )
            found = {one.get(tag) for one in told.data}
            for series in (world.own, world.neighbour, world.other):
                value = series.study if level == "STUDY" else series.patient_id
                assert (value in found) is ae.sees(series), (ae, level, series)


@pytest.mark.parametrize("model", [PATIENT_ROOT, STUDY_ROOT])
def test_a_retrieve_of_much_gives_what_an_ae_may_see(
    world: World, model: InformationModel
) -> None:
    """By patients, and by lists of UIDs in which what it may see is among others."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    identifier.StudyInstanceUID = [world.other.study, world.own.study]
    patient = Dataset()
    patient.QueryRetrieveLevel = "PATIENT"
    patient.PatientID = world.other.patient_id
    asked = [identifier, *([patient] if model is PATIENT_ROOT else [])]
    for ae in (one for one in DEVICES if "get" in one.verbs):
        for one in asked:
            asking = DimseVerbs(world.isocenter, world.own)
            told = asking.told(CommandField.C_GET, model.get, ae.title, world.own, one)
            there = {data.get("StudyInstanceUID") for data in told.data}
            wanted = [world.other] if one is patient else [world.own, world.other]
            assert there == {series.study for series in wanted if ae.sees(series)}, (ae, one)


# --- what is explained ---------------------------------------------------------------------------

DOORS = {"read": "/dicomweb/studies/{study}/metadata", "download": "/dicomweb/studies/{study}"}
EXPLAINED = {"viewer": "person:person-viewer", "reader": "program:reader", CHIEF: "program:chief"}


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("name", EXPLAINED)
def test_what_is_explained_is_what_the_doors_of_http_do(world: World, name: str) -> None:
    for right, template in DOORS.items():
        door = Door(world, "GET", template, ROUTES["GET", template])
        for series in (world.own, world.other):
            answer = door.ask(world.callers[name], door.aimed(series))
            said = world.explained(EXPLAINED[name], right, series)
            assert said is (verdict(answer) == ANSWERED), (right, series, answer)


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("title", ["SOUTHERN", "LOOKING", "STRANGER"])
def test_what_is_explained_is_what_the_gateway_does(world: World, title: str) -> None:
    for series in (world.own, world.other):
        asking = DimseVerbs(world.isocenter, series)
        told = asking.told(CommandField.C_GET, STUDY_ROOT.get, title, series)
        assert world.explained(f"ae:{title}", "download", series) is (told.completed > 0)
