"""C-STORE: what goes to ingest, and how its outcome is answered."""

from __future__ import annotations

import pytest

from isocenter.core.errors import (
    Conflict,
    IsocenterError,
    Mismatch,
    OutOfResources,
    Refused,
    Unavailable,
    Unprocessable,
)
from isocenter.gateway.c_store import CStore
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.aes import Directory, KnownAE
from support.gateway_fakes import EXPLICIT, FakeIngest, FakeRequest
from support.gateway_parts import callers_of, lanes_of

CT = "1.2.840.10008.5.1.4.1.1.2"


def request(**fields) -> FakeRequest:
    command = {"affected_sop_class": CT, "affected_sop_instance": "1.2.3", **fields}
    return FakeRequest(CT, b"data set", fields=command)


def store(ingest: FakeIngest, *known: KnownAE) -> CStore:
    settings = GatewaySettings(known_aes=known)
    callers = callers_of(settings, Directory(known))
    return CStore(ingest=ingest, callers=callers, lanes=lanes_of(settings))


async def test_the_data_set_goes_to_ingest_with_what_the_command_announced():
    ingest, asked = FakeIngest(), request()
    await store(ingest)(asked)
    [(announcement, data)] = ingest.taken
    assert data == b"data set"
    assert (announcement.sop_class, announcement.instance) == (CT, "1.2.3")
    assert announcement.transfer_syntax == EXPLICIT
    assert (announcement.source.ae_title, announcement.source.host) == ("SCANNER", "127.0.0.1")
    assert announcement.source.known is False
    assert asked.statuses == [0x0000]


async def test_what_is_coerced_is_listed_in_the_answer():
    ingest, asked = FakeIngest(), request()
    ingest.coerced = (0x00081010, 0x00100021)
    await store(ingest)(asked)
    [(status, data_set, fields)] = asked.answers
    assert (status, data_set) == (0xB000, None)
    assert fields["offending_elements"] == (0x00081010, 0x00100021)
    assert len(fields["error_comment"]) <= 64


@pytest.mark.parametrize(("host", "known"), [("127.0.0.1", True), ("192.0.2.7", False)])
async def test_the_source_is_known_where_it_is_really_the_ae(host, known):
    ingest = FakeIngest()
    await store(ingest, KnownAE(title="SCANNER", host=host))(request())
    [(announcement, _)] = ingest.taken
    assert announcement.source.known is known


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OutOfResources("disk reserve reached"), 0xA700),
        (Unavailable("log does not answer"), 0xA700),
        (Mismatch("SOP Instance UID differs"), 0xA900),
        (Unprocessable("cut off"), 0xC000),
        (Conflict("another object"), 0x0111),
        (Refused("not for this AE"), 0x0124),
        (IsocenterError("bug"), 0x0110),
    ],
)
async def test_errors_of_ingest_have_their_status_and_a_comment(error, status):
    ingest, asked = FakeIngest(), request()
    ingest.error = error
    await store(ingest)(asked)
    assert asked.answers == [(status, None, {"error_comment": error.message})]


@pytest.mark.parametrize("uid", ["", "1.2.03", "../../etc/passwd", "1." * 40 + "1", "1.2.a"])
async def test_an_invalid_instance_uid_never_reaches_ingest(uid):
    ingest, asked = FakeIngest(), request(affected_sop_instance=uid)
    await store(ingest)(asked)
    assert (asked.statuses, ingest.taken) == ([0x0117], [])


async def test_another_sop_class_than_negotiated_is_refused():
    ingest, asked = FakeIngest(), request(affected_sop_class="1.2.840.10008.5.1.4.1.1.4")
    await store(ingest)(asked)
    assert (asked.statuses, ingest.taken) == ([0xA900], [])
