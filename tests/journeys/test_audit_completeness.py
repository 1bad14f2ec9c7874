"""Every route, verb and gRPC method that touches patient data leaves its audit record.

What there is to be walked is read from the code's own tables, each of which says what is recorded
or why nothing is: what is added without saying so fails here. Each that records is called on a
running archive, by whoever nobody else is: its records are told by the purpose of its request, or
by the title of the AE. They are read from the log, which is where they are durable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest
from pynetdicom import AE

from isocenter.app import CONSUMER_ROLES, REQUEST_ROLES
from isocenter.cli.audited import VERBS
from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome
from isocenter.dimse.messages import CommandField
from isocenter.gateway.contexts import VERIFICATION
from isocenter.gateway.permissions import _REQUESTS
from isocenter.gateway.services import AUDITED, SOP_CLASSES
from isocenter.runtime.rpc_audited import METHODS
from isocenter.web.operations import OPERATIONS
from support.clients import storescp
from support.files import Series, find_instances, write_series
from support.harness import Isocenter, running, wait_until
from support.ports import free_ports
from support.recorded import Record, Recorded
from support.walked_calls import Calls, Ports, every_method
from support.walked_dimse import DESTINATION
from support.walked_dimse import Verbs as DimseVerbs
from support.walked_dimse import cases as dimse_cases
from support.walked_requests import PREPARING
from support.walked_routes import Routes
from support.walked_verbs import Verbs, every_verb

pytestmark = pytest.mark.xdist_group("walk")  # one archive for all

COUNT = 2
HTTP = [(method, path) for path, methods in OPERATIONS.items() for method in methods]
# What an action comes with: reading for a verification, the objects of a restored deletion, and
# what a page lists that says what was done.
WITH: Mapping[AuditAction, frozenset[AuditAction]] = {
    AuditAction.VERIFY: frozenset({AuditAction.AUDIT}),
    AuditAction.DELETE: frozenset({AuditAction.STORE}),
    AuditAction.SECURITY: frozenset({AuditAction.QUERY}),
}
SIGNED_IN = frozenset({AuditAction.SIGN_IN})
UNASKED = frozenset({"/sign-in/answer"})  # an identity provider's to nothing that was asked
SEARCHED = "PatientName=WALK*"


class Walk:
    """A running archive with a series in it, and everything that calls it."""

    def __init__(self, isocenter: Isocenter, folder: Path) -> None:
        self.isocenter = isocenter
        self.recorded = Recorded(isocenter.data)
        self.series: Series = write_series(folder / "series", COUNT)
        self.routes = Routes(isocenter, self.series, folder / "sent")
        self.dimse = DimseVerbs(isocenter, self.series)
        self.verbs = Verbs(isocenter, self.series, self.routes, folder)
        self._calls: Calls | None = None

    def begin(self) -> None:
        """Store the series."""
        asked = self.routes.asked("GET", "/dicomweb")
        self.routes.store(asked, self.series)
        answer = self.routes.send("POST", "/dicomweb/studies", asked, PREPARING)
        assert answer.status == 200, answer
        found = lambda: find_instances(self.isocenter, self.series.study)  # noqa: E731
        wait_until(lambda: len(found()) == COUNT, 30, "the series is found")

    @property
    def calls(self) -> Calls:
        """Those of gRPC; the ports that `up` does not open are of processes beside it."""
        if self._calls is None:
            ports = self.isocenter.ports
            for role in ("storage", "ingest"):
                self.isocenter.start_one(role)
            for role in ("storage", "ingest"):
                wait_until(lambda role=role: self.isocenter.listens(ports[role]), 60, role)  # type: ignore[misc]
            key = min(self.isocenter.objects.contents(self.series.study))
            where = Ports(self.isocenter.grpc_port, ports["ingest"])
            self._calls = Calls(where, self.series, key, self.routes)
        return self._calls

    def close(self) -> None:
        """Close connections."""
        if self._calls is not None:
            self._calls.close()


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    folder = tmp_path_factory.mktemp("walk")
    (port,) = free_ports(1)
    settings = {
        "process.workers": 1,
        "gateway.known_aes": [{"title": DESTINATION, "host": "127.0.0.1", "port": port}],
        "gateway.commitment_proof_seconds": 0,
        "audit.seal_seconds": 1,
    }
    with (
        storescp(folder / "moved", port=port),
        running(folder / "data", settings=settings) as isocenter,
    ):
        walk = Walk(isocenter, folder)
        walk.begin()
        try:
            yield walk
        finally:
            walk.close()


def check(
    records: list[Record],
    action: AuditAction,
    *,
    protocol: str,
    study: str = "",
    query: str = "",
    with_: AbstractSet[AuditAction] = frozenset(),
) -> AuditEvent:
    """That these are exactly the records of something that was done once; the one that tells of
    it as a whole."""
    events = [one.event for one in records if one.is_event]
    told = [one.event for one in records if not one.is_event]
    mine = events if action in (AuditAction.STORE, AuditAction.IMPORT) and not told else told
    (record,) = (one for one in mine if one.action is action)
    others = {one.action for one in (*events, *told)} - {action}
    assert others <= WITH.get(action, frozenset()) | with_, records
    assert record.outcome is AuditOutcome.SUCCESS
    assert record.source.protocol == protocol
    assert record.source.host
    assert record.id
    assert record.detail
    if study:
        assert record.studies == (study,)
        assert record.partition == "main" or action is AuditAction.SECURITY
        assert all(one.studies == (study,) for one in events)
    assert query in record.query
    return record


# --- the tables ----------------------------------------------------------------------------------


def test_everything_says_what_it_leaves_in_the_trail_or_why_nothing() -> None:
    undecided = [one for one in HTTP if not OPERATIONS[one[1]][one[0]].audited]
    assert undecided == []
    assert sorted(METHODS) == sorted(every_method())
    assert set(AUDITED) == set(_REQUESTS)
    assert sorted(VERBS) == sorted(every_verb())
    assert all([*AUDITED.values(), *METHODS.values(), *VERBS.values()])


# --- HTTP ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "template"), HTTP)
def test_an_operation_of_http_leaves_its_record(walk: Walk, method: str, template: str) -> None:
    operation = OPERATIONS[template][method]
    purpose = f"walk {method} {template}"
    asked = walk.routes.asked(method, template)
    answer = walk.routes.send(method, template, asked, purpose)
    assert answer.status < 500, answer
    if isinstance(operation.audited, str):
        # Another request later its own would be there.
        after = f"after {purpose}"
        barrier = walk.routes.asked("GET", "/dicomweb/studies")
        walk.routes.send("GET", "/dicomweb/studies", barrier, after)
        walk.recorded.some_of(lambda one: one.source.purpose == after, after)
        assert walk.recorded.of(lambda one: one.source.purpose == purpose) == []
        return
    records = walk.recorded.some_of(lambda one: one.source.purpose == purpose, purpose)
    if template in UNASKED:
        (record,) = (one.event for one in records if one.event.action is operation.audited)
        assert record.outcome is AuditOutcome.FAILURE
        assert 400 <= answer.status < 500
        return
    assert answer.status < 400, answer
    of_study = "{study}" in template or template in ("/wado", "/dicomweb/studies")
    searched = operation.audited is AuditAction.QUERY and template.startswith("/dicomweb")
    study = asked.values["study"] if of_study else ""
    if template == "/dicomweb/studies" and searched:
        study = ""
    record = check(
        records,
        operation.audited,
        protocol="DICOMweb",
        study=study,
        query=SEARCHED if searched else "",
        with_=SIGNED_IN if template == "/invitation/{secret}" else frozenset(),
    )
    if "{series}" in template:
        assert record.series == (asked.values["series"],) or searched
    if operation.audited is not AuditAction.STORE:
        assert record.process.endswith("/requests-1")


def test_a_study_as_a_zip_file_is_an_export(walk: Walk) -> None:
    template, purpose = "/dicomweb/studies/{study}", "walk ZIP"
    asked = walk.routes.asked("GET", template)
    asked.accept = "application/zip"
    assert walk.routes.send("GET", template, asked, purpose).status == 200
    records = walk.recorded.some_of(lambda one: one.source.purpose == purpose, purpose)
    record = check(records, AuditAction.EXPORT, protocol="DICOMweb", study=walk.series.study)
    assert record.instance_count == COUNT


# --- DIMSE ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "sop_class"),
    dimse_cases(SOP_CLASSES, AUDITED),
    ids=lambda one: one if isinstance(one, str) else CommandField(one).name,
)
def test_a_dimse_verb_leaves_its_record(walk: Walk, field: int, sop_class: str) -> None:
    title = f"{CommandField(field).name}{sop_class[-8:]}".replace("_", "")
    stored = walk.routes.files()
    assert walk.dimse.ask(field, sop_class, title, stored) == 0
    action = AUDITED[field]
    if isinstance(action, str):
        assert walk.recorded.of(lambda one: one.source.ae_title == title) == []
        return
    records = walk.recorded.some_of(lambda one: one.source.ae_title == title, title)
    of_study = {CommandField.C_STORE: stored.study, CommandField.N_ACTION: ""}
    record = check(records, action, protocol="DIMSE", study=of_study.get(field, walk.series.study))
    assert record.source.called_ae_title == walk.isocenter.ae_title
    if field in (CommandField.C_FIND, CommandField.C_MOVE, CommandField.C_GET):
        assert f"StudyInstanceUID={walk.series.study}" in record.query
    if field == CommandField.C_MOVE:
        assert record.destination == DESTINATION
    if field == CommandField.N_ACTION:
        assert record.instances == (next(iter(walk.series.files)),)


# --- gRPC ----------------------------------------------------------------------------------------


RECORDING = [method for method, kind in METHODS.items() if not isinstance(kind, str)]


@pytest.mark.parametrize("method", RECORDING)
def test_a_method_of_grpc_leaves_its_record(walk: Walk, method: str) -> None:
    purpose = f"walk {method}"
    study = walk.calls.call(method, purpose)
    records = walk.recorded.some_of(lambda one: one.source.purpose == purpose, purpose)
    action = METHODS[method]
    assert isinstance(action, AuditAction)
    searched = SEARCHED if method.endswith(("SearchArchive", "CountArchive")) else ""
    check(records, action, protocol="gRPC", study=study, query=searched)


# --- the command line ----------------------------------------------------------------------------


# Those of `run` are looked at when the archive stops.
RUN = [verb for verb, kind in VERBS.items() if not isinstance(kind, str) and verb != "run"]


@pytest.mark.parametrize("verb", RUN)
def test_a_verb_leaves_its_record(walk: Walk, verb: str) -> None:
    before = {one.event.id for one in walk.recorded.all()}
    ran = walk.verbs.run(verb)
    recorded = Recorded(ran.data)
    records = [
        one
        for one in recorded.of(lambda one: one.source.protocol == "CLI")
        if one.event.id not in before
    ]
    action = VERBS[verb]
    assert isinstance(action, AuditAction)
    own_events = action is AuditAction.IMPORT and verb != "restore"  # of the objects
    told = [one for one in records if one.event.action is action and one.is_event is own_events]
    for one in told if own_events else told[-1:]:
        check([one], action, protocol="CLI", study=ran.study)
        assert one.event.source.user
    assert told


# --- processes and strangers ---------------------------------------------------------------------


def test_a_refused_association_leaves_a_record(walk: Walk) -> None:
    title = "STRANGER"
    ae = AE(title)
    ae.add_requested_context(VERIFICATION)
    isocenter = walk.isocenter
    association = ae.associate(isocenter.host, isocenter.dicom_port, ae_title="ELSEWHERE")
    assert association.is_rejected
    (one,) = walk.recorded.some_of(lambda one: one.source.ae_title == title, "the refusal")
    assert (one.event.action, one.event.outcome) == (AuditAction.NETWORK, AuditOutcome.FAILURE)
    assert one.event.source.called_ae_title == "ELSEWHERE"


def test_processes_record_their_start_and_their_stop(walk: Walk) -> None:
    """The last one: nothing runs any more afterwards."""
    assert set(walk.isocenter.stop().values()) == {0}
    of = [one.event for one in walk.recorded.of(lambda one: one.source.protocol == "process")]
    for roles in (REQUEST_ROLES, CONSUMER_ROLES):
        mine = [one for one in of if one.detail.startswith(f"{' '.join(roles)}, version ")]
        assert [one.action for one in mine] == [AuditAction.START, AuditAction.STOP]
        assert all(one.outcome is AuditOutcome.SUCCESS for one in mine)
        assert len({one.process for one in mine}) == 1
