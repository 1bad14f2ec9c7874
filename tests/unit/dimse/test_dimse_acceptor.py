"""Association requests that come again: answered from memory, and still as they should be."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_items import UserIdentitySubItemAC
from pynetdicom.pdu_primitives import UserIdentityNegotiation

from isocenter.dimse.contexts import Accepted, AssociationOffer, ProposedContext
from isocenter.dimse.negotiation import KEPT_REQUESTS, Acceptor, request_pdu
from isocenter.dimse.pdu import PDU_HEADER
from support.dimse_peers import CT, IMPLICIT, VERIFICATION, RawPeer, associate_rq, port

MAX_LENGTH = 16384
EVERYTHING = Accepted({VERIFICATION: (IMPLICIT,), CT: (IMPLICIT,)})


def _body(title: str = "CALLER", identity: UserIdentityNegotiation | None = None) -> bytes:
    proposed = [ProposedContext(uid, (IMPLICIT,)) for uid in (VERIFICATION, CT)]
    primitive, pdu = request_pdu(title, "ISOCENTER", proposed, MAX_LENGTH)
    if identity is not None:
        primitive.user_information.append(identity)
        encoder = A_ASSOCIATE_RQ()
        encoder.from_primitive(primitive)
        pdu = encoder.encode()
    return pdu[PDU_HEADER.size :]


def test_a_known_request_is_offered_as_from_the_peer_that_sends_it_now():
    acceptor = Acceptor(MAX_LENGTH)
    acceptor.decode(_body(), ("192.0.2.1", 1), "CN=one", "")
    again = acceptor.decode(_body(), ("192.0.2.2", 2), "", "")
    fresh = Acceptor(MAX_LENGTH).decode(_body(), ("192.0.2.2", 2), "", "")
    assert again.offer == fresh.offer
    assert (again.offer.peer_host, again.offer.peer_port) == ("192.0.2.2", 2)


def test_a_known_request_gets_the_answer_of_the_admission_of_now():
    acceptor = Acceptor(MAX_LENGTH)
    request = acceptor.decode(_body(), ("192.0.2.1", 1), "", "")
    first = acceptor.accept(_body(), request, EVERYTHING)
    less, _ = acceptor.accept(_body(), request, Accepted({CT: (IMPLICIT,)}))
    assert [context.abstract_syntax for context in less.contexts.values()] == [CT]
    assert acceptor.accept(_body(), request, EVERYTHING) == first
    assert acceptor.accept(_body(), request, EVERYTHING) is acceptor.accept(
        _body(), request, EVERYTHING
    )


def test_a_request_with_a_passcode_is_never_kept():
    identity = UserIdentityNegotiation()
    identity.user_identity_type = 2
    identity.primary_field, identity.secondary_field = b"user", b"passcode"
    acceptor, body = Acceptor(MAX_LENGTH), _body(identity=identity)
    first, second = (acceptor.decode(body, ("192.0.2.1", 1), "", "") for _ in range(2))
    assert first.offer == second.offer
    assert first.offer.user_identity is not None
    assert first.offer.user_identity.secondary == b"passcode"
    assert first.primitive is not second.primitive
    assert "passcode" not in repr(first.offer)


@pytest.mark.parametrize("response", [b"", b"token"])
def test_a_verified_identity_is_confirmed_with_a_server_response(response):
    acceptor, body = Acceptor(MAX_LENGTH), _body()
    request = acceptor.decode(body, ("192.0.2.1", 1), "", "")
    for given, expected in ((None, []), (response, [response])):
        _, pdu = acceptor.accept(body, request, replace(EVERYTHING, identity_response=given))
        answer = A_ASSOCIATE_AC()
        answer.decode(pdu)
        items = [
            item.server_response
            for item in answer.user_information.user_data
            if isinstance(item, UserIdentitySubItemAC)
        ]
        assert items == expected


def test_what_is_not_for_this_requestor_is_rejected_by_the_user():
    acceptor, body = Acceptor(MAX_LENGTH), _body()
    request = acceptor.decode(body, ("192.0.2.1", 1), "", "")
    _, pdu = acceptor.accept(body, request, Accepted({}, refused=frozenset([CT])))
    answer = A_ASSOCIATE_AC()
    answer.decode(pdu)
    by_syntax = {
        one.abstract_syntax: answer.presentation_context[number].result
        for number, one in enumerate(request.primitive.presentation_context_definition_list)
    }
    assert by_syntax.pop(CT) == 1  # user-rejection (PS3.8 table 9-18)
    assert set(by_syntax.values()) == {3}


def test_only_so_many_requests_are_kept():
    acceptor, peer = Acceptor(MAX_LENGTH), ("192.0.2.1", 1)
    first = acceptor.decode(_body("FIRST"), peer, "", "")
    assert acceptor.decode(_body("FIRST"), peer, "", "").primitive is first.primitive
    for number in range(KEPT_REQUESTS):
        acceptor.decode(_body(f"OTHER{number}"), peer, "", "")
    assert acceptor.decode(_body("FIRST"), peer, "", "").primitive is not first.primitive


async def test_admission_is_asked_each_time_and_the_same_pdu_answers():
    offers: list[AssociationOffer] = []

    def admit(offer: AssociationOffer) -> Accepted:
        offers.append(offer)
        return EVERYTHING

    async with port(admit=admit) as server:
        answers = []
        for _ in range(2):
            peer = await RawPeer.connect(server)
            peer.send(associate_rq())
            answers.append(await peer.receive())
            peer.close()
    assert answers[0] == answers[1]
    assert answers[0][0] == 2
    assert [offer.calling_ae_title for offer in offers] == ["RAW", "RAW"]
    assert offers[0].peer_port != offers[1].peer_port
