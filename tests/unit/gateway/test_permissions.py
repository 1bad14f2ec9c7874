"""What an AE of the directory may do: who it is, which contexts it gets, which requests."""

from __future__ import annotations

import asyncio
import logging
import re

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pynetdicom import AE
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from isocenter.dimse.contexts import (
    Accepted,
    AssociationOffer,
    OfferedContext,
    ProposedContext,
    Rejected,
)
from isocenter.dimse.negotiation import request_pdu
from isocenter.gateway import contexts
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.aes import Directory, KnownAE, Verb
from support.dimse_peers import RawPeer
from support.gateway_parts import admissions_of
from support.live_gateway import CT, MR, at, dcmtk, in_thread, live

ADDRESS = "192.0.2.7"
PRIVATE = "1.3.6.1.4.1.9999.1"
EXPLICIT, IMPLICIT, J2K = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.90"
FINGERPRINT = "0f" * 32
CT_FILE = get_testdata_file("CT_small.dcm", download=False)
STRANGER = Rejected(1, 1, 3)


def offer(*proposed: OfferedContext, **fields) -> AssociationOffer:
    base = {
        "calling_ae_title": "CT1",
        "called_ae_title": "ISOCENTER",
        "peer_host": ADDRESS,
        "peer_port": 40000,
        "contexts": proposed or (OfferedContext(1, CT, (IMPLICIT,)),),
    }
    return AssociationOffer(**{**base, **fields})


def admit(asked: AssociationOffer, users=None, **fields):
    """`fields` of the AE CT1."""
    known = KnownAE(**{"title": "CT1", "host": ADDRESS, **fields})
    settings = GatewaySettings(known_aes=(known,), unknown_callers="never")
    return admissions_of(settings, users=users)(asked)


# --- who it is -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "host", "admitted"),
    [
        ({}, ADDRESS, True),
        ({}, "192.0.2.8", False),
        ({"host": "ct1.example"}, "198.51.100.1", True),
        ({"addresses": ("192.0.2.0/24", "fd00::/64")}, "192.0.2.99", True),
        ({"addresses": ("192.0.2.0/24", "fd00::/64")}, "::ffff:192.0.2.99", True),
        ({"addresses": ("192.0.2.0/24", "fd00::/64")}, "fd00::1", True),
        ({"addresses": ("198.51.100.1",)}, ADDRESS, False),
        ({"host": "ct1.example", "addresses": ("198.51.100.1",)}, "198.51.100.1", True),
    ],
)
def test_an_ae_calls_from_its_addresses(fields, host, admitted):
    answer = admit(offer(peer_host=host), **fields)
    assert isinstance(answer, Accepted) if admitted else answer == STRANGER


@pytest.mark.parametrize(
    ("certificate", "subject", "fingerprint", "admitted"),
    [
        ("CN=ct1,O=Hospital", "CN=ct1,O=Hospital", FINGERPRINT, True),
        ("CN=ct1,O=Hospital", "CN=ct2,O=Hospital", FINGERPRINT, False),
        ("CN=ct1,O=Hospital", "", "", False),
        (f"sha256:{FINGERPRINT}", "CN=any", FINGERPRINT, True),
        (f"SHA256:{':'.join(['0F'] * 32)}", "CN=any", FINGERPRINT, True),
        (f"sha256:{FINGERPRINT}", "CN=any", "00" * 32, False),
        (f"sha256:{FINGERPRINT}", "", "", False),
        ("", "CN=any", FINGERPRINT, True),
    ],
)
def test_an_ae_shows_its_certificate(certificate, subject, fingerprint, admitted):
    asked = offer(tls_subject=subject, tls_fingerprint=fingerprint)
    answer = admit(asked, certificate=certificate)
    assert isinstance(answer, Accepted) if admitted else answer == STRANGER


def test_strangers_learn_neither_who_is_known_nor_who_is_called(caplog):
    caplog.set_level(logging.WARNING)
    answers = {
        admit(offer(**fields), certificate="CN=ct1")
        for fields in (
            {"calling_ae_title": "NOBODY"},
            {},  # without the certificate
            {"peer_host": "192.0.2.8", "tls_subject": "CN=ct1"},
            {"calling_ae_title": "NOBODY", "called_ae_title": "ELSEWHERE"},
            {"called_ae_title": "ELSEWHERE"},
        )
    }
    assert answers == {STRANGER}
    # Ours to know, and in the audit trail: what was not right.
    assert [record.reason for record in caplog.records] == [
        "caller not in the AE directory",
        "the certificate is not the one that the AE directory has for this title",
        "the address is not the one that the AE directory has for this title",
        "caller not in the AE directory",
        "the certificate is not the one that the AE directory has for this title",
    ]
    known = offer(called_ae_title="ELSEWHERE", tls_subject="CN=ct1")
    assert admit(known, certificate="CN=ct1") == Rejected(1, 1, 7)


def test_before_the_directory_is_read_strangers_are_asked_to_come_again():
    settings = GatewaySettings(unknown_callers="never")
    directory = Directory(())
    directory.complete = False
    admission = admissions_of(settings, directory)
    assert admission(offer()) == Rejected(2, 3, 1)
    directory.keep({"CT1": KnownAE(title="CT1")})
    assert isinstance(admission(offer()), Accepted)
    directory.keep({})
    assert admission(offer()) == STRANGER


# --- contexts ------------------------------------------------------------------------------------

OF_VERBS = {
    Verb.ECHO: contexts.VERIFICATION,
    Verb.STORE: CT,
    Verb.FIND: contexts.STUDY_ROOT.find,
    Verb.MOVE: contexts.PATIENT_ROOT.move,
    Verb.GET: contexts.STUDY_ROOT.get,
    Verb.COMMIT: contexts.STORAGE_COMMITMENT,
}


@pytest.mark.parametrize("verb", Verb)
def test_contexts_are_those_of_the_verbs_and_others_are_refused_to_this_user(verb):
    proposed = [OfferedContext(1, uid, (IMPLICIT,)) for uid in OF_VERBS.values()]
    accepted = admit(offer(*proposed), verbs=(verb,))
    assert set(accepted.contexts) == {OF_VERBS[verb]}
    assert set(accepted.refused) == set(OF_VERBS.values()) - {OF_VERBS[verb]}


def test_what_nobody_may_propose_is_not_refused_to_this_user():
    accepted = admit(offer(OfferedContext(1, PRIVATE, (IMPLICIT,))), verbs=("echo",))
    assert (dict(accepted.contexts), set(accepted.refused)) == ({}, set())


def test_an_ae_that_may_get_receives_but_does_not_store():
    receiving = OfferedContext(1, CT, (IMPLICIT,), scu=False, scp=True)
    accepted = admit(offer(receiving), verbs=("get",))
    assert (set(accepted.contexts), set(accepted.roles)) == ({CT}, {CT})
    accepted = admit(offer(receiving), verbs=("store",))
    assert (set(accepted.contexts), set(accepted.roles)) == ({CT}, set())


def test_sop_classes_restrict_what_is_stored_and_may_be_private():
    proposed = [OfferedContext(1, uid, (IMPLICIT,)) for uid in (CT, MR, PRIVATE)]
    accepted = admit(offer(*proposed), sop_classes=(MR, PRIVATE))
    assert set(accepted.contexts) == {MR, PRIVATE}
    assert not accepted.refused  # abstract syntax not supported
    assert set(admit(offer(*proposed)).contexts) == {CT, MR}


def test_preferred_transfer_syntaxes_come_first():
    asked = offer(OfferedContext(1, CT, (IMPLICIT, EXPLICIT, J2K)))
    preferred = admit(asked, transfer_syntaxes=(J2K, "1.2.840.10008.1.2.4.70", EXPLICIT))
    assert preferred.contexts == {CT: (J2K, EXPLICIT, IMPLICIT)}
    assert admit(asked).contexts == {CT: (IMPLICIT, EXPLICIT, J2K)}


# --- unchanged clients ---------------------------------------------------------------------------


def named_tester(**fields) -> list[KnownAE]:
    return [KnownAE(**{"title": "TESTER", "host": "127.0.0.1", **fields})]


async def test_dcmtk_may_echo_but_not_store():
    async with live(known_aes=named_tester(verbs=["echo"])) as gateway:
        assert (await dcmtk("echoscu", *at(gateway))).code == 0
        stored = await dcmtk("storescu", "-v", *at(gateway), CT_FILE)
        assert stored.code != 0
        assert "No Acceptable Presentation Contexts" in stored.text
        assert not gateway.env.fake_ingest.taken


async def test_what_the_directory_forbids_is_over_on_open_associations():
    def work() -> list[int]:
        ae = AE("TESTER")
        ae.add_requested_context(CT)
        ae.add_requested_context(contexts.VERIFICATION)
        association = ae.associate("127.0.0.1", gateway.port, ae_title="ISOCENTER")
        assert association.is_established
        data_set = dcmread(CT_FILE)
        found = [association.send_c_store(data_set).Status, association.send_c_echo().Status]
        for ae in (*changed, KnownAE(title="TESTER", addresses=["192.0.2.1"])):
            directory.keep({"TESTER": ae})
            found.append(association.send_c_store(data_set).Status)
            found.append(association.send_c_echo().Status)
        assert association.is_established
        association.release()
        return found

    changed = [
        *named_tester(verbs=["echo"]),
        *named_tester(verbs=["store"]),
        *named_tester(sop_classes=[MR]),
    ]
    async with live(unknown_callers="never", known_aes=[], directory_seconds=3600) as gateway:
        directory = gateway.role._callers._directory
        directory.keep({"TESTER": named_tester()[0]})
        statuses = await in_thread(work)
    assert statuses[:2] == [0, 0]
    assert statuses[2:4] == [0x0124, 0]
    assert statuses[4:6] == [0, 0x0122]
    assert statuses[6:8] == [0x0122, 0]
    assert statuses[8:] == [0x0124, 0x0122]


async def test_private_objects_are_taken_from_the_ae_that_may_send_them():
    def work() -> int:
        ae = AE("TESTER")
        ae.add_requested_context(PRIVATE)
        association = ae.associate("127.0.0.1", gateway.port, ae_title="ISOCENTER")
        data_set = dcmread(CT_FILE)
        data_set.SOPClassUID = PRIVATE
        status = association.send_c_store(data_set).Status if association.accepted_contexts else -1
        association.release()
        return status

    for fields, status in (({}, -1), ({"sop_classes": [PRIVATE]}, 0)):
        async with live(known_aes=named_tester(**fields)) as gateway:
            assert await in_thread(work) == status


def associate_rq_as(*kinds: int) -> bytes:
    """An A-ASSOCIATE-RQ with a username for each kind, whatever the kind demands."""
    primitive, _ = request_pdu("TESTER", "ISOCENTER", [ProposedContext(CT, (IMPLICIT,))], 16384)
    for _ in kinds:
        claim = UserIdentityNegotiation()
        claim.user_identity_type, claim.primary_field = 1, b"mallory"
        primitive.user_information.append(claim)
    encoder = A_ASSOCIATE_RQ()
    encoder.from_primitive(primitive)
    pdu = bytearray(encoder.encode())
    found = [one.start() for one in re.finditer(rb"\x58\x00", pdu)]
    for start, kind in zip(found, kinds, strict=True):
        pdu[start + 4] = kind
    return bytes(pdu)


@pytest.mark.parametrize(
    ("kinds", "answer"),
    [
        ((1,), (2,)),
        ((2,), (3, 1, 2, 1)),  # without a passcode
        ((3,), (3, 1, 2, 1)),
        ((1, 1), (3, 1, 2, 1)),
        ((0,), (7, 2, 6)),  # no type of the standard: invalid PDU parameter
        ((255,), (7, 2, 6)),
    ],
)
async def test_malformed_identities_are_refused_on_the_wire(kinds, answer):
    async with live() as gateway:
        peer = RawPeer(*await asyncio.open_connection("127.0.0.1", gateway.port))
        peer.send(associate_rq_as(*kinds))
        kind, body = await peer.receive()
        peer.close()
    told = () if kind == 2 else tuple(body[1:4]) if kind == 3 else tuple(body[2:4])
    assert (kind, *told) == answer
