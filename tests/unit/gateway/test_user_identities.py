"""User identities (PS3.7 D.3.3.7): who is taken at their word, for how long, and what they get."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from isocenter.core.access import Caller, Kind, Right
from isocenter.core.errors import Unauthenticated, Unavailable
from isocenter.core.events import AuditAction, AuditOutcome, Source
from isocenter.dimse.contexts import (
    Accepted,
    Admission,
    AssociationOffer,
    OfferedContext,
    ProposedContext,
    Rejected,
    UserIdentity,
)
from isocenter.dimse.negotiation import request_pdu
from isocenter.gateway.contexts import STUDY_ROOT, VERIFICATION
from isocenter.gateway.identities import Users
from isocenter.gateway.settings import GatewaySettings
from isocenter.runtime.access.accounts import Account
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.settings import AccessSettings
from isocenter.runtime.access.tokens import new_token
from isocenter.runtime.aes import KnownAE, Verb
from support.dimse_peers import RawPeer
from support.gateway_fakes import FakeAudit, FakeEnv, FakeStorage, series
from support.gateway_parts import admissions_of
from support.harness import wait_until
from support.live_gateway import CT, Live, at, dcmtk, in_thread, live, live_in

CT_FILE = get_testdata_file("CT_small.dcm", download=False)
IMPLICIT = "1.2.840.10008.1.2"
PASSWORD, GUESS = "correct horse battery staple", "xk-guessed-38"
TOKEN = b"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJldmEifQ.c2lnbmVk"
NOT_AUTHORIZED = 0x0124
BY = Source("CLI", user="operator")
REFUSED, LATER = Rejected(1, 2, 1), Rejected(2, 3, 1)
WORKSTATION = KnownAE(title="WS1", host="127.0.0.1")


class Provider:
    """An identity provider that knows one token."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def program(self, token: str) -> Caller:
        if self.error is not None:
            raise self.error
        if token.encode() != TOKEN:
            raise Unauthenticated("the key that the token is signed with is not known")
        return Caller(Kind.PROGRAM, "reader", ("viewer",))


class Known:
    """Users, and what is recorded of them."""

    def __init__(self, **settings: Any) -> None:
        storage: Any = FakeStorage([])
        self.audit: Any = FakeAudit()
        self.provider: Any = Provider()
        doors = Doors.of(storage, AccessSettings(follow_seconds=0.01, **settings))
        self.doors = replace(doors, provider=self.provider)
        self.users = Users(self.doors, self.audit)

    async def admit(self, claim: UserIdentity | None, ae: KnownAE = WORKSTATION) -> Admission:
        settings = GatewaySettings(known_aes=(ae,), unknown_callers="never")
        contexts = (OfferedContext(1, STUDY_ROOT.find, (IMPLICIT,)),)
        asked = AssociationOffer(
            ae.title, "ISOCENTER", "127.0.0.1", 40000, contexts, user_identity=claim
        )
        answer = admissions_of(settings, users=self.users)(asked)
        return await answer() if callable(answer) else answer

    @property
    def sign_ins(self) -> list[tuple[str, AuditOutcome]]:
        return sign_ins(self.audit.records)


def sign_ins(records: Iterable[dict[str, Any]]) -> list[tuple[str, AuditOutcome]]:
    return [
        (one["source"].user, one["outcome"])
        for one in records
        if one["action"] is AuditAction.SIGN_IN
    ]


async def keep_account(doors: Doors, name: str = "eva", **more: Any) -> Account:
    account = Account(name=name, **{"roles": ("viewer",), **more})
    account = await doors.accounts.with_password(account, PASSWORD)
    await doors.accounts.keep(account, BY)
    return account


async def keep_token(doors: Doors, **more: Any) -> str:
    token, secret = new_token("robot", ("integrator",), 1, **more)
    return await doors.tokens.make(token, secret, BY)


@pytest.fixture
def known() -> Known:
    return Known()


def password_of(name: str = "eva", password: str = PASSWORD, **more: Any) -> UserIdentity:
    return UserIdentity(2, name.encode(), password.encode(), **more)


# --- what is true --------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [True, False])
async def test_an_account_and_its_password(known, asked):
    await keep_account(known.doors)
    answer = await known.admit(password_of(" Eva ", response_requested=asked))
    assert isinstance(answer, Accepted)
    assert (answer.user, answer.identity_response) == ("eva", b"" if asked else None)
    assert answer.user_now is not None
    assert await answer.user_now() == Caller(Kind.PERSON, "eva", ("viewer",))
    assert known.sign_ins == [("eva", AuditOutcome.SUCCESS)]


async def test_a_token_of_ours_as_the_passcode_of_its_program(known):
    token = await keep_token(known.doors)
    answer = await known.admit(password_of("robot", token))
    assert isinstance(answer, Accepted)
    assert answer.user == "robot"
    assert await known.admit(password_of("eva", token)) == REFUSED
    outcomes = [("robot", AuditOutcome.SUCCESS), ("", AuditOutcome.FAILURE)]
    assert known.sign_ins == outcomes


async def test_a_json_web_token_of_the_identity_provider(known):
    answer = await known.admit(UserIdentity(5, TOKEN, response_requested=True))
    assert isinstance(answer, Accepted)
    assert (answer.user, answer.identity_response) == ("reader", b"")


async def test_a_name_alone_changes_nothing(known):
    await keep_account(known.doors)
    answer = await known.admit(UserIdentity(1, b"eva", response_requested=True))
    assert isinstance(answer, Accepted)
    assert (answer.user, answer.user_now, answer.identity_response) == ("", None, None)
    assert known.sign_ins == []


async def test_who_signed_in_is_out_when_the_account_or_the_token_is(known):
    account = await keep_account(known.doors)
    token = await keep_token(known.doors)
    person = await known.admit(password_of())
    program = await known.admit(password_of("robot", token))
    assert isinstance(person, Accepted)
    assert isinstance(program, Accepted)
    assert person.user_now is not None
    assert program.user_now is not None
    await known.doors.accounts.keep(await known.doors.accounts.with_password(account, PASSWORD), BY)
    with pytest.raises(Unauthenticated):
        await person.user_now()
    await known.doors.tokens.revoke(token.split("_")[1], BY)
    with pytest.raises(Unauthenticated):
        await program.user_now()


# --- what is not ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claim",
    [
        UserIdentity(1, b""),
        UserIdentity(1, b"  "),
        UserIdentity(1, b"\xff\xfe"),
        UserIdentity(1, b"eva\n"),
        UserIdentity(2, b"eva"),
        UserIdentity(2, b"eva", b"\xff\xfe"),
        UserIdentity(5, b"no token"),
        UserIdentity(5, b"a.b"),
        UserIdentity(3, b"ticket"),
        UserIdentity(4, b"<assertion/>"),
        UserIdentity(0, b"eva"),
        UserIdentity(9, b"eva"),
    ],
)
async def test_a_claim_that_is_malformed_or_of_another_type_is_refused(known, claim, caplog):
    assert await known.admit(claim) == REFUSED
    assert not known.sign_ins
    for secret in filter(None, (claim.primary, claim.secondary)):
        assert secret.decode(errors="replace") not in str([vars(one) for one in caplog.records])


@pytest.mark.parametrize(
    ("claim", "who"),
    [
        (password_of(password=GUESS), "eva"),
        (password_of("nobody"), "nobody"),
        (password_of("out"), "out"),
        (password_of("factor"), "factor"),
        (password_of("robot", f"iso_{'0' * 16}_{'A' * 43}"), ""),
        (UserIdentity(5, b"e.e.e"), ""),
    ],
    ids=["wrong", "nobody", "disabled", "with a second factor", "no token", "no web token"],
)
async def test_a_false_claim_is_refused_and_recorded(known, claim, who, caplog):
    await keep_account(known.doors)
    await keep_account(known.doors, "out", disabled=True)
    await keep_account(known.doors, "factor", factor="JBSWY3DPEHPK3PXP")
    assert await known.admit(claim) == REFUSED
    assert known.sign_ins == [(who, AuditOutcome.FAILURE)]
    told = str([vars(one) for one in caplog.records]) + str(known.audit.records)
    assert (claim.secondary or claim.primary).decode() not in told


async def test_whoever_guesses_is_not_looked_at_any_more(known):
    await keep_account(known.doors)
    for _ in range(5):
        assert await known.admit(password_of(password=GUESS)) == REFUSED
    assert await known.admit(password_of()) == LATER
    assert [outcome for _, outcome in known.sign_ins] == [AuditOutcome.FAILURE] * 6


async def test_there_are_no_passwords_where_the_provider_knows_everybody():
    known = Known(local_accounts=False)
    await keep_account(known.doors)
    assert await known.admit(password_of()) == REFUSED


async def test_while_the_provider_is_away_a_caller_is_asked_to_come_again(known):
    known.provider.error = Unavailable("the provider does not answer")
    assert await known.admit(UserIdentity(5, TOKEN)) == LATER


async def test_nobody_may_try_a_password_from_where_they_may_not_call(known):
    answer = await known.admit(password_of(), KnownAE(title="WS1", host="192.0.2.1"))
    assert answer == Rejected(1, 1, 3)
    assert not known.sign_ins


# --- what they get -------------------------------------------------------------------------------


def finding(gateway: Live, claim: UserIdentityNegotiation, calling: str) -> list[int]:
    """The statuses of a C-FIND, or the three numbers of a rejection."""
    ae, received = AE(calling), []
    ae.add_requested_context(STUDY_ROOT.find)
    ae.add_requested_context(VERIFICATION)
    association = ae.associate(
        "127.0.0.1",
        gateway.port,
        ae_title="ISOCENTER",
        ext_neg=[claim],
        evt_handlers=[(evt.EVT_PDU_RECV, lambda event: received.append(event.pdu))],
    )
    # pynetdicom itself now and then ends a rejected association as one that it aborted.
    if isinstance(received[0], A_ASSOCIATE_RJ):
        answer = received[0]
        return [answer.result, answer.source, answer.reason_diagnostic]
    assert isinstance(received[0], A_ASSOCIATE_AC)
    asked = Dataset()
    asked.QueryRetrieveLevel, asked.StudyInstanceUID = "STUDY", ""
    statuses = [one.Status for one, _ in association.send_c_find(asked, STUDY_ROOT.find)]
    association.release()
    return statuses


def claimed(kind: int, primary: bytes, secondary: bytes = b"") -> UserIdentityNegotiation:
    claim = UserIdentityNegotiation()
    claim.user_identity_type, claim.primary_field, claim.secondary_field = kind, primary, secondary
    return claim


def env_of(*aes: KnownAE, unknown_callers: str = "never") -> FakeEnv:
    settings = GatewaySettings(port=0, known_aes=aes, unknown_callers=unknown_callers)
    return FakeEnv(settings, series(2), access=AccessSettings(follow_seconds=0.01))


@pytest.mark.parametrize(
    ("verbs", "left"),
    [
        (tuple(Verb), {Right.SEARCH, Right.READ, Right.DOWNLOAD}),
        ((Verb.FIND,), {Right.SEARCH}),
    ],
)
async def test_a_workstation_asks_as_whoever_signed_in_and_no_more_than_it_may(verbs, left):
    env = env_of(KnownAE(title="WS1", host="127.0.0.1", site="north", verbs=verbs))
    await keep_account(await env.doors(), sites=("south",))
    async with live_in(env) as gateway:
        claim = claimed(2, b"eva", PASSWORD.encode())
        statuses = await in_thread(lambda: finding(gateway, claim, "WS1"))
        anonymous = await in_thread(lambda: finding(gateway, claimed(1, b"eva"), "WS1"))
    assert statuses == anonymous == [0xFF00, 0]
    person, ae = env.fake_query.callers
    assert (str(person), person.sites, person.rights) == ("person:eva", ("south",), left)
    assert (str(ae), ae.sites) == ("ae:WS1", ("north",))
    searches = [one for one in env.fake_audit.records if one["action"] is AuditAction.QUERY]
    assert [one["source"].user for one in searches] == ["eva", ""]


async def test_who_signs_in_needs_no_entry_where_strangers_are_let_in():
    env = env_of(unknown_callers="loopback")
    await keep_account(await env.doors())
    async with live_in(env) as gateway:
        claim = claimed(2, b"eva", PASSWORD.encode())
        assert await in_thread(lambda: finding(gateway, claim, "LAPTOP")) == [0xFF00, 0]
        wrong = claimed(2, b"eva", GUESS.encode())
        assert await in_thread(lambda: finding(gateway, wrong, "LAPTOP")) == [1, 2, 1]
        options = ("-usr", "eva", "-pwd", PASSWORD)
        outcome = await dcmtk("storescu", *options, *at(gateway), CT_FILE)
        assert outcome.code == 0, outcome.text
    ((announced, _),) = env.fake_ingest.taken
    assert (str(announced.caller), announced.source.user) == ("person:eva", "eva")
    assert str(env.fake_query.callers[0]) == "person:eva"


async def test_who_is_not_let_in_any_more_is_refused_on_an_open_association():
    env = env_of(WORKSTATION)
    doors = await env.doors()
    account = await keep_account(doors)

    def work() -> None:
        ae = AE("WS1")
        ae.add_requested_context(STUDY_ROOT.find)
        association = ae.associate(
            "127.0.0.1",
            gateway.port,
            ae_title="ISOCENTER",
            ext_neg=[claimed(2, b"eva", PASSWORD.encode())],
        )
        asked = Dataset()
        asked.QueryRetrieveLevel, asked.StudyInstanceUID = "STUDY", ""

        def status() -> int:
            return [one.Status for one, _ in association.send_c_find(asked, STUDY_ROOT.find)][-1]

        assert status() == 0
        kept = doors.accounts.keep(account.model_copy(update={"disabled": True}), BY)
        asyncio.run_coroutine_threadsafe(kept, loop).result(30)
        wait_until(lambda: status() == NOT_AUTHORIZED, 20, "not authorized")
        assert association.is_established
        association.release()

    loop = asyncio.get_running_loop()
    async with live_in(env) as gateway:
        await in_thread(work)


# --- on the wire ---------------------------------------------------------------------------------


def associate_rq_as(*kinds: int) -> bytes:
    """An A-ASSOCIATE-RQ with a username for each kind, whatever the kind demands."""
    primitive, _ = request_pdu("TESTER", "ISOCENTER", [ProposedContext(CT, (IMPLICIT,))], 16384)
    for _ in kinds:
        primitive.user_information.append(claimed(1, b"mallory"))
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


@pytest.mark.parametrize("kind", [2, 3, 4])
async def test_pynetdicom_is_told_that_a_claim_is_refused(kind, caplog):
    caplog.set_level(logging.DEBUG, logger="isocenter")
    claim = claimed(kind, b"mallory", b"passcode" if kind == 2 else b"")
    async with live() as gateway:
        assert await in_thread(lambda: finding(gateway, claim, "TESTER")) == [1, 2, 1]
    ours = [vars(one) for one in caplog.records if one.name.startswith("isocenter")]
    assert "passcode" not in str(ours)
    assert "mallory" not in str(ours)
