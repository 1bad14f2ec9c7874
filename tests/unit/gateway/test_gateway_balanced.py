"""The gateway behind load balancers: haproxy before it, unchanged clients before haproxy, and what
a balancer must not do."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from pydicom.data import get_testdata_file
from pynetdicom import AE

from isocenter.dimse.proxy_protocol import SIGNATURE
from support.authority import Authority
from support.dimse_peers import RawPeer, associate_rq
from support.haproxy import ADDRESS, haproxy
from support.live_gateway import Live, dcmtk, in_thread, live
from support.ports import free_ports

MODALITY = "192.0.2.7"  # as haproxy is told to see its clients
SEEN_FROM_ELSEWHERE = f"tcp-request connection set-src ipv4({MODALITY})"
CT_FILE = get_testdata_file("CT_small.dcm", download=False)
TESTER = {"title": "TESTER", "host": MODALITY}
SENDERS = [
    "send-proxy",
    "send-proxy-v2",
    "send-proxy-v2-ssl-cn",
    "send-proxy-v2 proxy-v2-options crc32c",
]


@asynccontextmanager
async def behind(**settings) -> AsyncIterator[Live]:
    """A gateway that only balancers at haproxy's address may speak for."""
    async with live(proxy_protocol_from=[ADDRESS], **settings) as gateway:
        yield gateway


def header(source: str = MODALITY, *, command: int = 1, version: int = 2) -> bytes:
    """A header of version 2 that names an IPv4 address."""
    packed = bytes(map(int, source.split(".")))
    block = packed + bytes([127, 0, 0, 1]) + struct.pack(">HH", 50000, 11112)
    return SIGNATURE + struct.pack(">BBH", version * 16 + command, 0x11, len(block)) + block


async def raw(gateway: Live, *, host: str = ADDRESS) -> RawPeer:
    """A connection from an address of this machine."""
    return RawPeer(*await asyncio.open_connection("127.0.0.1", gateway.port, local_addr=(host, 0)))


# --- haproxy -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", SENDERS)
async def test_the_caller_is_who_called_the_balancer(tmp_path, options):
    async with (
        behind(unknown_callers="never", known_aes=[TESTER]) as gateway,
        haproxy(tmp_path, gateway.port, options, rules=SEEN_FROM_ELSEWHERE) as balancer,
    ):
        called = ("-aet", "TESTER", "-aec", "ISOCENTER", "127.0.0.1", balancer.port)
        stored = await dcmtk("storescu", *called, CT_FILE)
        assert stored.code == 0, stored.text
        [(announcement, _)] = gateway.env.fake_ingest.taken
    source = announcement.source
    assert (source.host, source.ae_title, source.known) == (MODALITY, "TESTER", True)


async def test_an_ae_is_known_by_its_own_address_and_not_by_the_balancers(tmp_path):
    for host, admitted in ((MODALITY, True), (ADDRESS, False), ("127.0.0.1", False)):
        known = [{"title": "TESTER", "host": host}]
        async with (
            behind(unknown_callers="never", known_aes=known) as gateway,
            haproxy(tmp_path, gateway.port, "send-proxy-v2", rules=SEEN_FROM_ELSEWHERE) as balancer,
        ):
            called = ("-aet", "TESTER", "-aec", "ISOCENTER", "127.0.0.1", balancer.port)
            outcome = await dcmtk("echoscu", *called)
            assert (outcome.code == 0) is admitted, outcome.text
            assert admitted or "Calling AE Title Not Recognized" in outcome.text


async def test_only_who_really_calls_from_this_machine_is_trusted_for_that(tmp_path):
    for rules, admitted in (("", True), (SEEN_FROM_ELSEWHERE, False)):
        async with (
            behind(unknown_callers="loopback") as gateway,
            haproxy(tmp_path, gateway.port, "send-proxy-v2", rules=rules) as balancer,
        ):
            outcome = await dcmtk("echoscu", "-aec", "ISOCENTER", "127.0.0.1", balancer.port)
            assert (outcome.code == 0) is admitted, outcome.text


async def test_the_address_of_pynetdicoms_ae_comes_through(tmp_path):
    known = [{"title": "TESTER", "host": "127.0.0.77"}]
    async with (
        behind(unknown_callers="never", known_aes=known) as gateway,
        haproxy(tmp_path, gateway.port, "send-proxy") as balancer,
    ):

        def admitted(address: str) -> bool:
            ae = AE("TESTER")
            ae.add_requested_context("1.2.840.10008.1.1")
            association = ae.associate(
                "127.0.0.1", balancer.port, ae_title="ISOCENTER", bind_address=(address, 0)
            )
            established = association.is_established
            if established:
                assert association.send_c_echo().Status == 0
                association.release()
            return established

        assert await in_thread(lambda: admitted("127.0.0.77"))
        assert not await in_thread(lambda: admitted("127.0.0.78"))


async def test_tls_follows_the_header(tmp_path):
    [tls_port] = free_ports(1)
    files = Authority(tmp_path / "ca").issue("CT1", section="gateway")
    settings = {
        "tls_port": tls_port,
        "tls_only": True,
        "certificate_file": files.certificate,
        "key_file": files.key,
        "ca_file": files.ca,
        "known_aes": [TESTER],
    }
    async with (
        behind(**settings) as gateway,
        haproxy(tmp_path, tls_port, "send-proxy-v2", rules=SEEN_FROM_ELSEWHERE) as balancer,
    ):
        stored = await dcmtk(
            "storescu", "+tls", files.key, files.certificate, "+cf", files.ca,
            "-aet", "TESTER", "-aec", "ISOCENTER", "127.0.0.1", balancer.port, CT_FILE,
        )  # fmt: skip
        assert stored.code == 0, stored.text
        [(announcement, _)] = gateway.env.fake_ingest.taken
    assert announcement.source.host == MODALITY
    assert announcement.source.tls_subject == "CN=CT1,O=Hospital"


async def test_behind_a_balancer_an_ae_is_who_shows_its_certificate(tmp_path):
    [tls_port] = free_ports(1)
    authority = Authority(tmp_path / "ca")
    files = authority.issue("gateway", section="gateway")
    settings = {
        "tls_port": tls_port,
        "certificate_file": files.certificate,
        "key_file": files.key,
        "ca_file": files.ca,
        "known_aes": [{**TESTER, "certificate": "CN=CT1,O=Hospital"}],
        "unknown_callers": "never",
    }
    async with (
        behind(**settings) as gateway,
        haproxy(tmp_path, tls_port, "send-proxy-v2", rules=SEEN_FROM_ELSEWHERE) as balancer,
    ):
        for name, why in (("CT1", ""), ("CT2", "Calling AE Title Not Recognized")):
            own = authority.issue(name)
            outcome = await dcmtk(
                "storescu", "+tls", own.key, own.certificate, "+cf", own.ca,
                "-aet", "TESTER", "-aec", "ISOCENTER", "127.0.0.1", balancer.port, CT_FILE,
            )  # fmt: skip
            assert (outcome.code != 0) is bool(why), outcome.text
            assert why in outcome.text
        [(announcement, _)] = gateway.env.fake_ingest.taken
    assert (announcement.source.host, announcement.source.known) == (MODALITY, True)


DICOM_CHECK = f"""option tcp-check
    tcp-check connect send-proxy
    tcp-check send-binary {associate_rq().hex()}
    tcp-check expect binary 02"""
CHECKS = {
    "without-a-byte": ("send-proxy-v2 check inter 50", "", "L4OK"),
    "local": ("send-proxy-v2 check check-send-proxy inter 50", "", "L4OK"),
    "v1": ("send-proxy check check-send-proxy inter 50", "", "L4OK"),
    "association": ("send-proxy-v2 check inter 50", DICOM_CHECK, "L7OK"),
}


@pytest.mark.parametrize("case", CHECKS)
async def test_checks_of_the_balancer_succeed_and_are_nothing_to_warn_of(tmp_path, case, caplog):
    options, checks, expected = CHECKS[case]
    caplog.set_level("WARNING")
    async with (
        behind() as gateway,
        haproxy(tmp_path, gateway.port, options, checks=checks) as balancer,
        asyncio.timeout(20),
    ):
        while (told := await balancer.check())["check_status"] != expected:
            assert told["status"] != "DOWN", told
            await asyncio.sleep(0.02)
    assert "PROXY" not in caplog.text


# --- balancers and strangers that do it wrong ----------------------------------------------------


async def test_a_header_of_a_stranger_is_no_pdu():
    async with behind() as gateway:
        for start in (header(), b"PROXY TCP4 192.0.2.7 127.0.0.1 50000 11112\r\n"):
            peer = await raw(gateway, host="127.0.0.1")
            peer.send(start + associate_rq())
            kind, body = await peer.receive()
            assert (kind, body[2]) == (7, 0)


async def test_a_stranger_without_a_header_calls_as_ever():
    async with behind() as gateway:
        peer = await raw(gateway, host="127.0.0.1")
        peer.send(associate_rq())
        assert (await peer.receive())[0] == 2


WRONG = {
    "no-header": associate_rq(),
    "another-version": header(version=3) + associate_rq(),
    "another-command": header(command=7) + associate_rq(),
    "huge": SIGNATURE + b"\x21\x11\xff\xff" + bytes(0xFFFF),
    "endless-line": b"PROXY TCP4 " + b"1" * 1000,
    "no-client": SIGNATURE + b"\x21\x00\x00\x00" + associate_rq(),
}


@pytest.mark.parametrize("case", WRONG)
async def test_a_balancer_that_begins_wrongly_is_cut_off_with_a_line_in_the_log(case, caplog):
    async with behind() as gateway:
        peer = await raw(gateway)
        peer.send(WRONG[case])
        with suppress(ConnectionResetError):  # where more had been sent than was read
            assert await peer.rest() == b""
        [told] = [one for one in caplog.records if "load balancer" in one.message]
        assert told.peer == ADDRESS
        assert "11111" not in told.problem
        assert "PROXY" in told.problem
        peer = await raw(gateway)
        peer.send(header("127.0.0.1") + associate_rq())
        assert (await peer.receive())[0] == 2


@pytest.mark.parametrize("size", [0, 1, 12, 15, 27])
async def test_half_a_header_is_not_waited_for_longer_than_for_an_association(size, caplog):
    async with behind(association_timeout=0.3) as gateway:
        peer = await raw(gateway)
        peer.send(header()[:size])
        assert await peer.rest() == b""
    assert "no whole PROXY header within 0.3 s" in [
        getattr(one, "problem", "") for one in caplog.records
    ]


async def test_a_header_may_come_byte_by_byte():
    for start in (header("127.0.0.1"), b"PROXY TCP4 127.0.0.1 127.0.0.1 50000 11112\r\n"):
        async with behind() as gateway:
            peer = await raw(gateway)
            for byte in start + associate_rq():
                peer.send(bytes([byte]))
                await asyncio.sleep(0)
            assert (await peer.receive())[0] == 2


async def test_a_slow_balancer_delays_nobody_else():
    async with behind() as gateway:
        slow = [await raw(gateway) for _ in range(20)]
        for peer in slow:
            peer.send(header("127.0.0.1")[:14])
        quick = await raw(gateway)
        quick.send(header("127.0.0.1") + associate_rq())
        assert (await quick.receive())[0] == 2
        for peer in slow:
            peer.send(header("127.0.0.1")[14:] + associate_rq())
            assert (await peer.receive())[0] == 2


async def test_a_gateway_stops_while_headers_are_awaited():
    async with behind() as gateway:
        peer = await raw(gateway)
        peer.send(header()[:14])
        quick = await raw(gateway)
        quick.send(header("127.0.0.1") + associate_rq())
        await quick.receive()
        await asyncio.wait_for(gateway.role.stop(), 5)
        assert await peer.rest() == b""
