"""The TLS port of the gateway before unchanged clients, and what it refuses."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from unittest.mock import Mock

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pynetdicom import AE

from isocenter.core.errors import Invalid
from isocenter.dimse.tls import PROFILE, subject
from isocenter.runtime.tls_files import Tls
from support.authority import Authority
from support.live_gateway import CT, Live, dcmtk, in_thread, live
from support.ports import free_ports

CT_FILE = get_testdata_file("CT_small.dcm", download=False)
VERIFICATION = "1.2.840.10008.1.1"


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path / "ca")


@asynccontextmanager
async def encrypted(files: Tls, **settings) -> AsyncIterator[Live]:
    """A gateway with a port of TLS too."""
    named = {"certificate_file": files.certificate, "key_file": files.key, "ca_file": files.ca}
    [tls_port] = free_ports(1)
    async with live(**{**named, "tls_port": tls_port, **settings}) as gateway:
        yield gateway


def to(gateway: Live) -> tuple[object, ...]:
    return "-aec", "ISOCENTER", "127.0.0.1", gateway.tls_port


def shown(files: Tls) -> tuple[object, ...]:
    """dcmtk's options for a client with this certificate."""
    return "+tls", files.key, files.certificate, "+cf", files.ca


def client_context(files: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.certificate, files.key)
    return context


# --- who gets in ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ec", "rsa"])
async def test_storescu_stores_and_the_certificate_says_who_it_was(authority, kind):
    modality = authority.issue("CT1")
    async with encrypted(authority.issue("gateway", kind=kind)) as gateway:
        outcome = await dcmtk("storescu", *shown(modality), *to(gateway), CT_FILE)
        assert outcome.code == 0, outcome.text
        [(announcement, _)] = gateway.env.fake_ingest.taken
    assert announcement.source.tls_subject == "CN=CT1,O=Hospital"


async def test_pynetdicom_stores(authority):
    modality = authority.issue("CT1")

    def work() -> list[int]:
        ae = AE("TESTER")
        ae.add_requested_context(CT)
        association = ae.associate(
            "127.0.0.1",
            gateway.tls_port,
            ae_title="ISOCENTER",
            tls_args=(client_context(modality), "127.0.0.1"),
        )
        statuses = [association.send_c_store(dcmread(CT_FILE)).Status for _ in range(3)]
        association.release()
        return statuses

    async with encrypted(authority.issue("gateway")) as gateway:
        assert await in_thread(work) == [0, 0, 0]


@pytest.mark.parametrize("profile", ["+px", "+py", "+pz"])
async def test_clients_of_the_older_profiles_get_in(authority, profile):
    for kind in ("ec", "rsa"):
        async with encrypted(authority.issue("gateway", kind=kind)) as gateway:
            outcome = await dcmtk(
                "echoscu", *shown(authority.issue("CT1", kind=kind)), profile, *to(gateway)
            )
            assert outcome.code == 0, outcome.text


async def test_without_a_certificate_of_the_authority_nobody_gets_in(authority, tmp_path, caplog):
    strange = Authority(tmp_path / "strange").issue("CT1")
    async with encrypted(authority.issue("gateway")) as gateway:
        anonymous = ("+tla", "+cf", authority.certificate)
        stranger = ("+tls", strange.key, strange.certificate, "+cf", authority.certificate)
        for identity, why in ((anonymous, "did not return a cert"), (stranger, "verify failed")):
            caplog.clear()
            assert (await dcmtk("echoscu", *identity, *to(gateway))).code != 0
            assert why in str([getattr(one, "problem", "") for one in caplog.records])
        assert (await dcmtk("echoscu", *shown(authority.issue("CT1")), *to(gateway))).code == 0


async def test_without_an_authority_anyone_may_connect_and_has_no_subject(authority):
    async with encrypted(authority.issue("gateway"), ca_file=None) as gateway:
        identity = ("+tla", "+cf", authority.certificate)
        outcome = await dcmtk("storescu", *identity, *to(gateway), CT_FILE)
        assert outcome.code == 0, outcome.text
        [(announcement, _)] = gateway.env.fake_ingest.taken
    assert announcement.source.tls_subject == ""


async def test_the_plain_port_is_there_beside_it_and_can_be_switched_off(authority):
    files = authority.issue("gateway")
    async with encrypted(files) as gateway:
        assert (await dcmtk("echoscu", "-aec", "ISOCENTER", "127.0.0.1", gateway.port)).code == 0
        assert (await dcmtk("echoscu", *to(gateway))).code != 0, "it speaks without TLS"
    [plain] = free_ports(1)
    async with encrypted(files, port=plain, tls_only=True) as gateway:
        assert gateway.role.problems() == ()
        assert (await dcmtk("echoscu", *shown(files), *to(gateway))).code == 0
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", plain)


# --- the profile ---------------------------------------------------------------------------------


async def s_client(gateway: Live, files: Tls, *options: str) -> str:
    """What `openssl s_client` tells of a handshake in which it would take anything."""
    process = await asyncio.create_subprocess_exec(
        "openssl", "s_client", "-connect", f"127.0.0.1:{gateway.tls_port}",
        "-cert", files.certificate, "-key", files.key, "-CAfile", files.ca, *options,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    return output.decode(errors="replace")


async def test_no_version_before_1_2_is_spoken(authority, caplog):
    files = authority.issue("gateway")
    async with encrypted(files) as gateway:
        for version in ("-tls1", "-tls1_1"):
            told = await s_client(gateway, files, version, "-cipher", "ALL:@SECLEVEL=0")
            assert "Cipher is (NONE)" in told, told
            assert "unsupported protocol" in caplog.records[-1].problem
        for version, name in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
            told = await s_client(gateway, files, version)
            assert f"New, {name}, Cipher is" in told, told
            assert "Verify return code: 0" in told, told
        assert "New, TLSv1.3" in await s_client(gateway, files), "1.3 is preferred"


async def test_of_tls_1_2_the_profiles_suites_are_spoken_and_no_others(authority):
    context = ssl.create_default_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    offered = {
        cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"
    }
    assert offered > set(PROFILE.cipher_suites.values())
    found = set()
    for kind in ("ec", "rsa"):
        files = authority.issue("gateway", kind=kind)
        async with encrypted(files) as gateway:
            for name in sorted(offered):
                options = ("-tls1_2", "-cipher", f"{name}:@SECLEVEL=0")
                if f"Cipher is {name}" in await s_client(gateway, files, *options):
                    found.add(name)
    assert found == set(PROFILE.cipher_suites.values())


async def test_a_client_that_begins_no_handshake_is_not_waited_for(authority, caplog):
    async with encrypted(authority.issue("gateway"), association_timeout=0.3) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.tls_port)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    assert "TLS handshake failed" in caplog.text


async def test_a_connection_that_only_looks_is_nothing_to_warn_of(authority, caplog):
    caplog.set_level("INFO")
    files = authority.issue("gateway")
    async with encrypted(files) as gateway:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.tls_port)
        writer.close()
        assert (await dcmtk("echoscu", *shown(files), *to(gateway))).code == 0
    assert not [one for one in caplog.records if one.levelname == "WARNING"]


# --- certificates that are replaced --------------------------------------------------------------


async def test_certificates_are_replaced_under_an_open_association(authority):
    files = authority.issue("gateway")
    async with encrypted(files) as gateway:
        ae = AE("TESTER")
        ae.add_requested_context(VERIFICATION)
        association = await in_thread(
            lambda: ae.associate(
                "127.0.0.1",
                gateway.tls_port,
                ae_title="ISOCENTER",
                tls_args=(client_context(files), "127.0.0.1"),
            )
        )
        assert association.is_established
        before = replace(files, certificate=files.certificate.with_suffix(".old"))
        before.certificate.write_bytes(files.certificate.read_bytes())
        old_ca = files.ca.with_suffix(".old")
        old_ca.write_bytes(files.ca.read_bytes())
        old_key = files.key.with_suffix(".old")
        old_key.write_bytes(files.key.read_bytes())
        # An authority that has nothing to do with the one before.
        assert Authority(authority.directory).issue("gateway") == replace(files, section="rpc")
        assert (await dcmtk("echoscu", *shown(files), *to(gateway))).code == 0
        outdated = Tls(old_ca, before.certificate, old_key, "gateway")
        assert (await dcmtk("echoscu", *shown(outdated), *to(gateway))).code != 0
        trusting = ("+tls", outdated.key, outdated.certificate, "+cf", files.ca)
        assert (await dcmtk("echoscu", *trusting, *to(gateway))).code != 0, "the old CA is trusted"
        assert (await in_thread(association.send_c_echo)).Status == 0
        await in_thread(association.release)


async def test_files_in_the_middle_of_a_replacement_change_nothing(authority, caplog):
    files, other = authority.issue("gateway"), authority.issue("other")
    modality = authority.issue("CT1")
    async with encrypted(files) as gateway:
        files.key.write_bytes(other.key.read_bytes())
        assert (await dcmtk("echoscu", *shown(modality), *to(gateway))).code == 0
        assert "new certificates are not usable yet" in caplog.text
        files.key.unlink()
        assert (await dcmtk("echoscu", *shown(modality), *to(gateway))).code == 0
        files.key.write_bytes(other.key.read_bytes())
        files.certificate.write_bytes(other.certificate.read_bytes())
        assert "CN = other" in await s_client(gateway, modality)


async def test_files_that_cannot_be_used_stop_the_start_and_name_the_setting(authority, tmp_path):
    good, other = authority.issue("gateway"), authority.issue("other")
    text = tmp_path / "text"
    text.write_text("no PEM")
    for files, setting in (
        (replace(good, ca=tmp_path / "none"), "gateway.ca_file: .*/none cannot be read"),
        (replace(good, ca=text), "gateway.ca_file: .* holds no certificates"),
        (replace(good, certificate=text), "gateway.certificate_file .* are not a"),
        (replace(good, key=other.key), "gateway.key_file .* are not a"),
        (replace(good, key=tmp_path / "none"), "gateway.key_file: .*/none cannot be read"),
    ):
        with pytest.raises(Invalid, match=setting):
            async with encrypted(files):
                pass


# --- certificates that belong to AEs -------------------------------------------------------------


def fingerprint_of(files: Tls) -> str:
    der = ssl.PEM_cert_to_DER_cert(files.certificate.read_text())
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


@pytest.mark.parametrize("by", ["subject", "fingerprint"])
async def test_an_ae_is_who_shows_its_certificate(authority, by):
    own, other = authority.issue("CT1"), authority.issue("CT2")
    certificate = "CN=CT1,O=Hospital" if by == "subject" else fingerprint_of(own)
    known = [{"title": "CT1", "certificate": certificate}]
    async with encrypted(
        authority.issue("gateway"), unknown_callers="never", known_aes=known
    ) as gateway:
        titles = ("-aet", "CT1", "-aec", "ISOCENTER", "127.0.0.1")
        stored = await dcmtk("storescu", *shown(own), *titles, gateway.tls_port, CT_FILE)
        assert stored.code == 0, stored.text
        for arguments in (
            (*shown(other), *titles, gateway.tls_port),
            (*titles, gateway.port),  # without TLS
        ):
            outcome = await dcmtk("echoscu", *arguments)
            assert "Calling AE Title Not Recognized" in outcome.text
        [(announcement, _)] = gateway.env.fake_ingest.taken
    assert announcement.source.known


class Shown:
    """A transport over which this subject was shown."""

    def __init__(self, *names: tuple[tuple[str, str], ...]) -> None:
        self._names = names

    def get_extra_info(self, name: str):
        assert name == "ssl_object"
        encrypted = Mock(spec=ssl.SSLObject)
        encrypted.getpeercert.return_value = {"subject": self._names}
        return encrypted


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (((("organizationName", "H"),), (("commonName", "ct1"),)), "CN=ct1,O=H"),
        (((("commonName", "ct1,O=H"),),), r"CN=ct1\,O=H"),
        (((("commonName", " a+b "),),), r"CN=\ a\+b\ "),
        (((("commonName", "a"), ("organizationName", "H")),), "CN=a+O=H"),
    ],
)
def test_a_subject_cannot_be_made_to_look_like_another(names, told):
    assert subject(Shown(*names)) == told
