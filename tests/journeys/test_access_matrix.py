"""Everybody asks for everything: every role at every route, method of gRPC and DIMSE verb, for a
study of its own site and for one of another site.

What there is to be asked for is read from the code's own tables, and what is expected from tables
of `support.matrix_expected`, so that what is added without an expectation fails here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import grpc
import pytest
from pydicom.dataset import Dataset

from isocenter.dimse.messages import CommandField
from isocenter.gateway.contexts import PATIENT_ROOT, STUDY_ROOT, InformationModel
from isocenter.gateway.services import AUDITED, SOP_CLASSES
from isocenter.runtime.rpc_admission import NEEDS
from isocenter.web.operations import OPERATIONS
from support.clients import storescp
from support.harness import running
from support.matrix_calls import (
    METHODS,
    VERBS,
    changes_over_grpc,
    dimse_problems,
    grpc_problems,
)
from support.matrix_doors import ANSWERED, Door, changes_over_http, problems_of, verdict
from support.matrix_expected import VARIANTS, routes
from support.matrix_world import CHIEF, DEVICES, POLICY, Who, World, known_aes, names_of
from support.ports import free_ports
from support.walked_calls import every_method
from support.walked_dimse import Verbs as DimseVerbs
from support.walked_dimse import cases as dimse_cases

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


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        *((changes_over_http, name) for name in ("viewer", CHIEF)),
        *((changes_over_grpc, name) for name in ("reader", CHIEF)),
    ],
)
def test_changes_that_go_on_are_of_studies_that_somebody_may_see(
    world: World, changes: Callable[[World, Who], Iterator[str]], name: str
) -> None:
    callers = world.callers if changes is changes_over_http else world.tokens
    who, last, told = callers[name], world.routes.files(), ""
    world.store(last, world.preparing)
    with closing(changes(world, who)) as found:
        for data in found:
            told += data
            if last.study in told and world.own.study in told:
                break
    assert [one for series in who.hidden for one in names_of(series) if one in told] == []
    assert (world.other.study in told) is who.everywhere


# --- gRPC ----------------------------------------------------------------------------------------


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


def test_what_is_not_for_programs_is_not_answered_to_them(world: World) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{world.isocenter.grpc_port}") as channel:
        for method in sorted(set(every_method()) - set(METHODS)):
            ask = channel.unary_unary(f"/isocenter.v1.{method}")
            with pytest.raises(grpc.RpcError) as refused:
                ask(b"", metadata=[("authorization", f"Bearer {world.preparing}")])
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED, method


# --- DIMSE ---------------------------------------------------------------------------------------

CASES = dimse_cases(SOP_CLASSES, AUDITED)


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
def test_a_retrieve_of_much_gives_what_an_ae_may_see(world: World, model: InformationModel) -> None:
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


@pytest.mark.parametrize("name", EXPLAINED)
def test_what_is_explained_is_what_the_doors_of_http_do(world: World, name: str) -> None:
    for right, template in DOORS.items():
        door = Door(world, "GET", template, ROUTES["GET", template])
        for series in (world.own, world.other):
            answer = door.ask(world.callers[name], door.aimed(series))
            said = world.explained(EXPLAINED[name], right, series)
            assert said is (verdict(answer) == ANSWERED), (right, series, answer)


@pytest.mark.parametrize("title", ["SOUTHERN", "LOOKING", "STRANGER"])
def test_what_is_explained_is_what_the_gateway_does(world: World, title: str) -> None:
    for series in (world.own, world.other):
        asking = DimseVerbs(world.isocenter, series)
        told = asking.told(CommandField.C_GET, STUDY_ROOT.get, title, series)
        assert world.explained(f"ae:{title}", "download", series) is (told.completed > 0)
