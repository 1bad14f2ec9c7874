"""The AE directory over HTTP and gRPC: one description of an AE, checked alike; every change is
recorded first."""

from __future__ import annotations

import json

import grpc
import pytest

from isocenter.core.errors import Unavailable
from isocenter.v1 import aes_pb2 as pb
from isocenter.v1.aes_pb2_grpc import AEDirectoryServiceStub
from isocenter.web.settings import WebSettings
from support.archive_calls import channel_to
from support.web_fakes import Web

CT1 = {"host": "192.0.2.7", "port": 104, "verbs": ["echo", "store"], "conflict": "reject"}
FIXED = {"ae": {"title": "FIXED", "site": "of the settings"}, "source": "settings"}


async def test_an_ae_is_added_changed_and_removed_and_all_of_it_is_recorded() -> None:
    web = Web()
    async with web.client() as client:
        added = await client.put("/api/aes/CT1", json=CT1)
        assert added.status_code == 201
        entry = added.json()
        assert entry["ae"] == {"title": "CT1", **CT1}
        assert entry["source"] == "directory"
        assert entry["at"].endswith("Z")
        assert (await client.put("/api/aes/CT1", json=CT1)).status_code == 200
        changed = await client.put("/api/aes/CT1", json={"title": "CT1", "port": 105, "host": "h"})
        assert (changed.status_code, changed.json()["ae"]["port"]) == (200, 105)
        assert (await client.get("/api/aes/CT1")).json() == changed.json()
        assert (await client.get("/api/aes")).json() == {"aes": [changed.json(), FIXED]}
        assert (await client.delete("/api/aes/CT1")).status_code == 204
        for answer in (await client.get("/api/aes/CT1"), await client.delete("/api/aes/CT1")):
            assert answer.status_code == 404
        assert (await client.get("/api/aes")).json() == {"aes": [FIXED]}
    told = [(action, fields["detail"]) for action, fields in web.audit.records]
    assert [action for action, _ in told] == ["security"] * 3  # what is as it was is no change
    assert told[0][1].startswith("AE directory: set CT1 {")
    assert '"port": 104' in told[0][1]
    assert told[2][1] == "AE directory: removed CT1"
    assert {fields["source"].protocol for _, fields in web.audit.records} == {"DICOMweb"}


async def test_titles_may_hold_what_addresses_do_not() -> None:
    web = Web()
    async with web.client() as client:
        assert (await client.put("/api/aes/A%2FB%20%231", json={})).status_code == 201
        assert (await client.get("/api/aes/A%2FB%20%231")).json()["ae"] == {"title": "A/B #1"}


@pytest.mark.parametrize(
    ("body", "status", "hint"),
    [
        (b"{", 400, "not JSON"),
        (b"[]", 400, "no JSON object"),
        (b'{"prot": 104}', 400, "prot: Extra inputs"),
        (b'{"port": 104}', 400, "give both"),
        (b'{"verbs": ["print"]}', 400, "verbs.0"),
        (b'{"title": "CT2"}', 400, "leave the title out"),
        (b" " * 300_000, 413, "more than"),
    ],
)
async def test_what_is_wrong_is_named_and_changes_nothing(body, status, hint) -> None:
    web = Web()
    async with web.client() as client:
        headers = {"content-type": "application/json; charset=utf-8"}
        answer = await client.put("/api/aes/CT1", content=body, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (
            status,
            "application/problem+json",
        )
        assert hint in answer.json()["detail"]
        assert (await client.get("/api/aes/CT1")).status_code == 404
    assert not web.audit.records


async def test_other_media_titles_and_parameters_are_refused() -> None:
    async with Web().client() as client:
        assert (await client.put("/api/aes/CT1", content=b"{}")).status_code == 415
        assert (await client.put("/api/aes/SEVENTEEN_LETTERS", json={})).status_code == 400
        assert (await client.put("/api/aes/", json={})).status_code == 400
        assert (await client.put("/api/aes/CT1?x=y", json={})).status_code == 400
        assert (await client.get("/api/aes?x=y")).status_code == 400


async def test_entries_of_the_settings_stay() -> None:
    web = Web()
    async with web.client() as client:
        for answer in (
            await client.put("/api/aes/FIXED", json={}),
            await client.delete("/api/aes/FIXED"),
        ):
            assert answer.status_code == 409
            assert "known_aes" in answer.json()["detail"]
        assert (await client.get("/api/aes/FIXED")).json() == FIXED


async def test_a_change_that_cannot_be_recorded_is_not_made() -> None:
    web = Web()
    web.audit.error = Unavailable("the log does not answer")
    async with web.client() as client:
        assert (await client.put("/api/aes/CT1", json=CT1)).status_code == 503
        assert (await client.get("/api/aes/CT1")).status_code == 404


async def test_where_it_is_forbidden_nothing_changes() -> None:
    web = Web(settings=WebSettings(port=0, ae_directory=False))
    async with web.client() as client:
        for answer in (
            await client.put("/api/aes/CT1", json={}),
            await client.delete("/api/aes/CT1"),
        ):
            assert answer.status_code == 403
            assert "[web] ae_directory" in answer.json()["detail"]
        assert (await client.get("/api/aes")).status_code == 200
    async with channel_to(web) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await AEDirectoryServiceStub(channel).SetAE(pb.SetAERequest(ae='{"title": "CT1"}'))
        assert raised.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_programs_do_the_same_over_grpc() -> None:
    web = Web()
    async with channel_to(web) as channel:
        stub = AEDirectoryServiceStub(channel)
        added = await stub.SetAE(pb.SetAERequest(ae=json.dumps({"title": "CT1", **CT1})))
        assert (added.title, added.source) == ("CT1", "directory")
        assert json.loads(added.ae) == {"title": "CT1", **CT1}
        assert added.changed_at.seconds
        assert await stub.GetAE(pb.GetAERequest(title="CT1")) == added
        listed = [entry async for entry in stub.ListAEs(pb.ListAEsRequest())]
        assert [entry.title for entry in listed] == ["CT1", "FIXED"]
        assert not listed[1].HasField("changed_at")
        await stub.RemoveAE(pb.RemoveAERequest(title="CT1"))
        for call, code in (
            (stub.GetAE(pb.GetAERequest(title="CT1")), grpc.StatusCode.NOT_FOUND),
            (stub.RemoveAE(pb.RemoveAERequest(title="FIXED")), grpc.StatusCode.ALREADY_EXISTS),
            (stub.SetAE(pb.SetAERequest(ae="{")), grpc.StatusCode.INVALID_ARGUMENT),
            (stub.SetAE(pb.SetAERequest(ae="{}")), grpc.StatusCode.INVALID_ARGUMENT),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await call
            assert raised.value.code() is code
    assert {fields["source"].protocol for _, fields in web.audit.records} == {"gRPC"}
