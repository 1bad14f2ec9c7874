"""What is wrong with the answers of gRPC and DIMSE: of every method and verb, by everybody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import grpc

from isocenter.dimse.messages import CommandField
from support.files import Series
from support.matrix_doors import ANSWERED, NOT_THERE, REFUSED, WHO, expected
from support.matrix_expected import methods, verbs
from support.matrix_world import Device, Who, World, names_of
from support.walked_calls import Calls, Ports
from support.walked_dimse import SUCCESS
from support.walked_dimse import Verbs as DimseVerbs

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
    ports = Ports(world.isocenter.grpc_port, 1)
    return Calls(ports, series, world.key(series), world.routes, who.token, world.preparing)


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


def changes_over_grpc(world: World, who: Who) -> Iterator[str]:
    """Data of the changes that a call is told of."""
    calls = calls_of(world, who, world.own)
    try:
        yield from (change.data for change in calls.changes("matrix"))
    finally:
        calls.close()


# --- DIMSE ---------------------------------------------------------------------------------------

VERBS = verbs()
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
