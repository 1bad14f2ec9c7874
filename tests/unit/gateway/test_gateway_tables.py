"""Settings, callers, presentation contexts and statuses of the gateway."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from isocenter.core.errors import BY_CODE, Code, Invalid, Unavailable
from isocenter.core.matching import Level
from isocenter.core.transfer_syntax import TRANSFER_SYNTAXES
from isocenter.dimse.contexts import Accepted, AssociationOffer, OfferedContext, Rejected
from isocenter.dimse.sop_classes import STORAGE_SOP_CLASSES
from isocenter.gateway import contexts, statuses
from isocenter.gateway.settings import GatewaySettings, UnknownCallers
from isocenter.runtime.aes import KnownAE
from support.gateway_parts import admissions_of, callers_of

CT = "1.2.840.10008.5.1.4.1.1.2"
HANGING_PROTOCOL = "1.2.840.10008.5.1.4.38.1"
MODALITY_WORKLIST = "1.2.840.10008.5.1.4.31"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
J2K = "1.2.840.10008.1.2.4.90"
PRIVATE = "1.3.6.1.4.1.9999.1"


def test_settings_need_no_arguments_and_listen_on_loopback():
    settings = GatewaySettings()
    assert (settings.host, settings.port, settings.ae_title) == ("127.0.0.1", 11112, "ISOCENTER")
    assert settings.called_ae_titles == {"ISOCENTER"}


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"ae_title": "SEVENTEEN_LETTERS"}, "shorten or respell"),
        ({"ae_title": "   "}, "shorten or respell"),
        ({"known_aes": [{"title": "A", "port": 104}]}, "give both"),
        ({"known_aes": [{"title": "A"}, {"title": "A"}]}, "keep one of each"),
        ({"max_pud": 1}, "Extra inputs"),
        ({"tls_port": 2762}, "needs certificate_file and key_file"),
        ({"tls_port": 2762, "certificate_file": "c"}, "needs certificate_file and key_file"),
        ({"certificate_file": "c"}, "are given together"),
        ({"tls_only": True}, "set it, 2762 by convention"),
        ({"tls_port": 11112, "certificate_file": "c", "key_file": "k"}, "each needs its own"),
        ({"proxy_protocol_from": ["balancer"]}, "write 10.0.0.7"),
        ({"proxy_protocol_from": ["10.0.0.7/24"]}, "write 10.0.0.7"),
    ],
)
def test_mistaken_settings_name_the_fix(values, hint):
    with pytest.raises(ValidationError, match=hint):
        GatewaySettings(**values)


KNOWN = (KnownAE(title="CT1", host="192.0.2.7", port=104), KnownAE(title="WS", host="ws.example"))


@pytest.mark.parametrize(
    ("policy", "calling", "host", "admitted", "known"),
    [
        (UnknownCallers.LOOPBACK, "CT1", "192.0.2.7", True, True),
        (UnknownCallers.LOOPBACK, "CT1", "192.0.2.8", False, False),
        (UnknownCallers.LOOPBACK, "CT1", "::ffff:192.0.2.7", True, True),
        (UnknownCallers.LOOPBACK, "WS", "198.51.100.1", True, True),
        (UnknownCallers.LOOPBACK, "NEW", "127.0.0.1", True, False),
        (UnknownCallers.LOOPBACK, "NEW", "::1", True, False),
        (UnknownCallers.LOOPBACK, "NEW", "192.0.2.9", False, False),
        (UnknownCallers.LOOPBACK, "CT1", "127.0.0.1", False, False),
        (UnknownCallers.ALWAYS, "CT1", "192.0.2.8", False, False),
        (UnknownCallers.NEVER, "NEW", "127.0.0.1", False, False),
        (UnknownCallers.ALWAYS, "NEW", "192.0.2.9", True, False),
    ],
)
def test_callers_are_admitted_by_title_and_address(policy, calling, host, admitted, known):
    settings = GatewaySettings(known_aes=KNOWN, unknown_callers=policy)
    callers, peer = (
        callers_of(settings),
        offer(calling=calling, host=host),
    )
    assert callers.may_call(peer) is admitted
    assert (callers.known(peer) is not None) is known


def test_storage_classes_are_accepted_in_every_transfer_syntax_that_is_kept():
    assert contexts.transfer_syntaxes(CT, storage=True) == tuple(TRANSFER_SYNTAXES)
    assert len(TRANSFER_SYNTAXES) > 40


def test_every_storage_class_of_the_standard_that_belongs_to_a_study_is_accepted():
    assert len(STORAGE_SOP_CLASSES) >= 199
    assert HANGING_PROTOCOL not in STORAGE_SOP_CLASSES


@pytest.mark.parametrize(
    ("sop_class", "by_default", "by_policy"),
    [
        (CT, True, True),
        (PRIVATE, False, True),
        ("1.2.840.10008.5.1.4.1.1.99999", False, True),
        (HANGING_PROTOCOL, False, False),
        (MODALITY_WORKLIST, False, False),
        ("not a uid", False, False),
    ],
)
def test_unknown_sop_classes_are_accepted_only_by_policy(sop_class, by_default, by_policy):
    assert contexts.is_storage(sop_class, accept_unknown=False) is by_default
    assert contexts.is_storage(sop_class, accept_unknown=True) is by_policy


def test_models_have_their_levels():
    assert contexts.MODELS[contexts.STUDY_ROOT.find].levels[0] is Level.STUDY
    assert contexts.MODELS[contexts.PATIENT_ROOT.get].levels[0] is Level.PATIENT
    assert contexts.MODELS[contexts.PATIENT_STUDY_ONLY.move].levels[-1] is Level.STUDY


@pytest.mark.parametrize("service", statuses.Service)
def test_every_error_has_a_status_of_failure_in_every_service(service):
    for code in Code:
        answer = statuses.failure(service, BY_CODE[code]("why"))
        assert answer.status not in (statuses.SUCCESS, statuses.PENDING)
        assert answer.comment == "why"


def test_an_index_that_is_down_is_out_of_resources():
    down = Unavailable("index does not answer")
    assert statuses.failure(statuses.Service.FIND, down).status == 0xA700
    assert statuses.failure(statuses.Service.MOVE, down).status == 0xA701


def test_comments_fit_into_an_lo():
    answer = statuses.failure(statuses.Service.STORE, Invalid("ä\\b" + "x" * 100))
    assert answer.comment.startswith("??b")
    assert len(answer.comment) == 64


@pytest.mark.parametrize(
    ("status", "kept"),
    [(0xB000, True), (0xB006, True), (0x0107, True), (0xA700, False), (0, False)],
)
def test_warnings_of_a_storage_scp_are_told_from_failures(status, kept):
    assert statuses.is_warning(status) is kept


def offer(*proposed: OfferedContext, called="ISOCENTER", calling="NEW", host="127.0.0.1"):
    return AssociationOffer(calling, called, host, 40000, proposed)


def admit(settings: GatewaySettings, asked: AssociationOffer):
    return admissions_of(settings)(asked)


def test_what_is_supported_is_accepted_in_the_proposers_order():
    asked = offer(
        OfferedContext(1, CT, (J2K, "1.2.3.4", EXPLICIT)),
        OfferedContext(3, CT, (IMPLICIT,)),
        OfferedContext(5, contexts.STUDY_ROOT.find, (J2K, IMPLICIT)),
        OfferedContext(7, MODALITY_WORKLIST, (IMPLICIT,)),
        OfferedContext(9, contexts.VERIFICATION, (IMPLICIT,)),
        OfferedContext(11, PRIVATE, (IMPLICIT,)),
    )
    accepted = admit(GatewaySettings(known_aes=[KnownAE(title="NEW")]), asked)
    assert accepted.contexts == {
        CT: (J2K, EXPLICIT, IMPLICIT),
        contexts.STUDY_ROOT.find: (IMPLICIT,),
        contexts.VERIFICATION: (IMPLICIT,),
    }
    assert set(accepted.roles) == {CT}


def test_what_is_proposed_in_other_transfer_syntaxes_is_told_from_what_is_not_supported():
    asked = offer(
        OfferedContext(1, contexts.VERIFICATION, (J2K,)),
        OfferedContext(3, MODALITY_WORKLIST, (J2K,)),
    )
    assert admit(GatewaySettings(), asked).contexts == {
        contexts.VERIFICATION: contexts.MESSAGE_TRANSFER_SYNTAXES
    }


def test_where_objects_are_to_be_received_what_they_can_become_comes_first():
    wanting = OfferedContext(1, CT, (J2K, IMPLICIT, EXPLICIT), scu=False, scp=True)
    as_kept = OfferedContext(3, CT, (J2K,), scu=False, scp=True)
    accepted = admit(GatewaySettings(), offer(as_kept, wanting))
    assert accepted.contexts == {CT: (IMPLICIT, EXPLICIT, J2K)}


def test_private_sop_classes_are_accepted_where_the_setting_says_so():
    asked = offer(OfferedContext(1, PRIVATE, (IMPLICIT,)))
    accepted = admit(GatewaySettings(accept_unknown_sop_classes=True), asked)
    assert accepted.contexts == {PRIVATE: (IMPLICIT,)}


def test_another_called_title_is_rejected_as_the_standard_says():
    assert admit(GatewaySettings(), offer(called="ELSEWHERE")) == Rejected(1, 1, 7)
    settings = GatewaySettings(extra_ae_titles=("ELSEWHERE",))
    assert isinstance(admit(settings, offer(called="ELSEWHERE")), Accepted)


def test_an_unknown_caller_from_outside_is_rejected_as_the_standard_says():
    assert admit(GatewaySettings(), offer(host="192.0.2.1")) == Rejected(1, 1, 3)
