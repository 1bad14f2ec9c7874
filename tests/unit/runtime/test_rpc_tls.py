"""Mutual TLS between processes: who gets in, who is believed, certificates that are replaced."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
from contextlib import asynccontextmanager

import pytest

from isocenter.core.access import SYSTEM
from isocenter.core.errors import Invalid, Unavailable
from isocenter.core.matching import Level, Search
from isocenter.query import rpc as query_rpc
from isocenter.runtime import rpc_tls
from isocenter.runtime.rpc_channel import open_channel
from isocenter.runtime.rpc_server import RpcServer
from support.authority import Authority
from support.rpc_copies import SERVICE, Copy, copies
from support.service_pairs import ENOUGH

STUDIES = Search(Level.STUDY)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "ca")


@asynccontextmanager
async def client_of(address, tls=None):
    channel = open_channel(address, service=SERVICE, tls=tls)
    try:
        yield query_rpc.QueryClient(channel)
    finally:
        await channel.close()


async def test_processes_with_certificates_of_one_authority_talk(authority):
    async with (
        copies(Copy(tls=authority.issue("storage"))) as (one,),
        client_of(one.address, authority.issue("gateway", "DNS:gateway")) as client,
    ):
        assert await client.count(SYSTEM, STUDIES) == 2**40


async def test_copies_named_by_address_share_a_certificate_for_the_first(authority):
    tls = authority.issue("storage")
    async with copies(Copy(tls=tls), Copy("127.0.0.2", tls=tls)) as (one, two):
        client_of_both = client_of(f"{one.address},{two.address}", tls)
        async with client_of_both as client, asyncio.timeout(ENOUGH):
            while not (one.asked and two.asked):
                await client.count(SYSTEM, STUDIES)


async def test_nobody_gets_in_without_a_certificate_of_the_authority(authority, tmp_path):
    stranger = Authority(tmp_path / "stranger").issue("storage")
    wanted = dataclasses.replace(stranger, ca=authority.certificate)
    async with copies(Copy(tls=authority.issue("storage"))) as (one,):
        for tls in (None, wanted):
            async with client_of(one.address, tls) as client:
                with pytest.raises(Unavailable):
                    await client.count(SYSTEM, STUDIES)
        assert one.asked == 0


@pytest.mark.parametrize("names", ["DNS:other", "IP:127.0.0.9"])
async def test_a_server_with_a_certificate_for_another_name_is_not_believed(authority, names):
    async with (
        copies(Copy(tls=authority.issue("storage", names))) as (one,),
        client_of(one.address, authority.issue("gateway")) as client,
    ):
        with pytest.raises(Unavailable):
            await client.count(SYSTEM, STUDIES)
        assert one.asked == 0


async def test_certificates_are_replaced_while_calls_go_on(authority, monkeypatch):
    monkeypatch.setattr(rpc_tls, "_LOOK_SECONDS", 0)
    server, client_tls = authority.issue("storage"), authority.issue("gateway")
    async with copies(Copy(tls=server)) as (one,), client_of(one.address, client_tls) as client:
        one.role.service.endless = True
        under_way = client.search(SYSTEM, STUDIES)
        await anext(under_way)
        # An authority that has nothing to do with the one before: nothing old is of any use now.
        renewed = Authority(authority.directory)
        assert (renewed.issue("storage"), renewed.issue("gateway")) == (server, client_tls)
        async with client_of(one.address, client_tls) as newcomer:
            assert await newcomer.count(SYSTEM, STUDIES) == 2**40
        assert await client.count(SYSTEM, STUDIES) == 2**40
        gc.collect()
        for _ in range(20):
            await anext(under_way)
        await under_way.aclose()


async def test_files_in_the_middle_of_a_replacement_change_nothing(authority, monkeypatch, caplog):
    monkeypatch.setattr(rpc_tls, "_LOOK_SECONDS", 0)
    tls = authority.issue("storage")
    async with copies(Copy(tls=tls)) as (one,), client_of(one.address, tls) as client:
        await client.count(SYSTEM, STUDIES)
        tls.key.write_bytes(authority.issue("other").key.read_bytes())
        assert await client.count(SYSTEM, STUDIES) == 2**40
        assert "new certificates are not usable yet" in caplog.text
        tls.key.unlink()
        assert await client.count(SYSTEM, STUDIES) == 2**40


async def test_files_that_cannot_be_used_stop_the_start_and_name_the_setting(authority, tmp_path):
    good, other = authority.issue("storage"), authority.issue("other")
    text = tmp_path / "text"
    text.write_text("no PEM")
    for tls, setting in (
        (dataclasses.replace(good, ca=tmp_path / "none"), "rpc.ca_file: .*/none cannot be read"),
        (dataclasses.replace(good, ca=text), "rpc.ca_file: .* holds no certificates"),
        (dataclasses.replace(good, certificate=text), "rpc.certificate_file .* are not a"),
        (dataclasses.replace(good, key=other.key), "rpc.key_file .* are not a"),
        (dataclasses.replace(good, key=tmp_path / "none"), "rpc.key_file: .*/none cannot be read"),
    ):
        with pytest.raises(Invalid, match=setting):
            await RpcServer([], "127.0.0.1", 0, tls=tls).start()
        with pytest.raises(Invalid, match=setting):
            open_channel("127.0.0.1:1", tls=tls)
