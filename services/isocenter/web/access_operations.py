"""What the routes of access take and answer: rows of `web.operations`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from isocenter.core.access import Right
from isocenter.core.events import AuditAction
from isocenter.web.access_page import (
    ACCESS,
    ACCOUNT_CHANGED,
    ACCOUNT_REMOVED,
    ACCOUNTS,
    INVITED,
    MARK_REMOVED,
    MARKS,
    SESSION_ENDED,
    TOKEN_REVOKED,
    TOKENS,
)
from isocenter.web.access_rest import CONFIDENTIAL, LINKS, ONE_LINK, ONE_MARK
from isocenter.web.account import ACCOUNT, FACTOR, NO_FACTOR, PASSWORD, SESSION
from isocenter.web.admission import NEXT, SIGN_IN
from isocenter.web.audit_operations import HTML, LANGUAGE, NO_PATIENT_DATA
from isocenter.web.emergency import EMERGENCY
from isocenter.web.negotiation import JSON
from isocenter.web.operation import UID, Door, Operation, Parameter
from isocenter.web.provider_sign_in import ANSWER, BEGIN
from isocenter.web.sharing import LINK, REVOKED, SHARE
from isocenter.web.sign_in import INVITATION, SIGN_OUT
from isocenter.web.small_bodies import FORM

PATH_PARAMETERS: Sequence[Parameter] = (
    Parameter("secret", "what a one-time link ends with"),
    Parameter("link", "id of a link"),
    Parameter("mark", "id of a mark"),
)

_FORM_ERRORS = (408, 413, 415)
_ANSWER = (
    Parameter("state", "what it was sent with"),
    Parameter("code", "authorization code (RFC 6749 4.1.2)"),
    Parameter("iss", "issuer (RFC 9207)"),
    Parameter("session_state", "of OpenID Connect Session Management"),
    Parameter("error", "why nobody was let in"),
    Parameter("error_description", "the same for people"),
)
_PATIENT = Parameter("patient", "Patient ID")
_STUDY = Parameter("study", "Study Instance UID", UID)
_WANTED = Parameter(NEXT, "path to go on to")


def _page(
    id_: str,
    summary: str,
    *parameters: Parameter,
    needs: Right | Door = Door.OPEN,
    audited: AuditAction | str = NO_PATIENT_DATA,
    errors: Sequence[int] = (),
) -> Operation:
    return Operation(
        id_, summary, parameters=(*parameters, LANGUAGE), answers={200: [HTML]}, errors=errors,
        audited=audited, needs=needs, errors_in=HTML,
    )  # fmt: skip


def _deed(
    id_: str,
    summary: str,
    audited: AuditAction,
    answers: Sequence[int] = (),
    needs: Right | Door = Door.OPEN,
) -> Operation:
    return Operation(
        id_, summary, parameters=(LANGUAGE,), takes=[FORM],
        answers={303: [], **{status: [HTML] for status in answers}}, errors=_FORM_ERRORS,
        audited=audited, needs=needs, errors_in=HTML,
    )  # fmt: skip


def _administer(id_: str, summary: str, *answers: int, needs: Right = Right.ACCESS) -> Operation:
    return _deed(id_, summary, AuditAction.SECURITY, answers, needs)


def _rest(
    id_: str,
    summary: str,
    needs: Right,
    audited: AuditAction | str = AuditAction.SECURITY,
    *,
    status: int = 200,
    schema: str = "",
    takes: Sequence[str] = (),
    errors: Sequence[int] = (),
) -> Operation:
    return Operation(
        id_, summary, takes=takes, answers={status: [JSON] if schema else []}, schema=schema,
        errors=errors, audited=audited, needs=needs,
    )  # fmt: skip


_BODY = (408, 413, 415)

_PROGRAMS: Mapping[str, Mapping[str, Operation]] = {
    LINKS: {
        "GET": _rest(
            "listLinks", "Links to studies", Right.SHARE, AuditAction.QUERY, schema="Links"
        ),
        "POST": _rest(
            "makeLink", "Make a link to a study", Right.SHARE,
            status=201, schema="MadeLink", takes=[JSON], errors=(404, *_BODY),
        ),
    },
    ONE_LINK: {
        "DELETE": _rest("removeLink", "End a link", Right.SHARE, status=204, errors=(404,)),
    },
    CONFIDENTIAL: {
        "GET": _rest(
            "listMarks", "What is confidential", Right.ACCESS, AuditAction.QUERY, schema="Marks"
        ),
        "POST": _rest(
            "addMark", "Mark a patient or a study", Right.MARK,
            status=201, schema="Mark", takes=[JSON], errors=_BODY,
        ),
    },
    ONE_MARK: {
        "DELETE": _rest("removeMark", "Take a mark off", Right.MARK, status=204, errors=(404,)),
    },
}  # fmt: skip

_PAGES: Mapping[str, Mapping[str, Operation]] = {
    SIGN_IN: {
        "GET": _page("signInPage", "Sign in, for people", _WANTED),
        "POST": _deed("signIn", "Begin a session", AuditAction.SIGN_IN, (429,)),
    },
    BEGIN: {
        "GET": Operation(
            "signInByProvider",
            "To the identity provider",
            parameters=(_WANTED, LANGUAGE),
            answers={303: [], 503: [HTML]},
            errors=(404,),
            audited=NO_PATIENT_DATA,
            needs=Door.OPEN,
            errors_in=HTML,
        )
    },
    ANSWER: {
        "GET": Operation(
            "answerOfProvider",
            "Back from the identity provider",
            parameters=(*_ANSWER, LANGUAGE),
            answers={303: [], 403: [HTML], 503: [HTML]},
            errors=(404,),
            audited=AuditAction.SIGN_IN,
            needs=Door.OPEN,
            errors_in=HTML,
        )
    },
    ACCESS: {
        "GET": _page("accessPage", "Who has access", needs=Right.ACCESS, audited=AuditAction.QUERY)
    },
    ACCOUNTS: {"POST": _administer("addAccount", "Make an account", 200, 400)},
    ACCOUNT_CHANGED: {"POST": _administer("changeAccount", "Change an account", 400, 404)},
    ACCOUNT_REMOVED: {"POST": _administer("removeAccount", "Forget an account", 404)},
    INVITED: {"POST": _administer("inviteAccount", "Make a one-time link", 200, 404)},
    TOKENS: {"POST": _administer("makeToken", "Make a token", 200, 400)},
    TOKEN_REVOKED: {"POST": _administer("revokeToken", "End a token", 404)},
    SESSION_ENDED: {"POST": _administer("endSession", "End a session", 404)},
    MARKS: {"POST": _administer("mark", "Mark as confidential", 400, needs=Right.MARK)},
    MARK_REMOVED: {"POST": _administer("unmark", "Take a mark off", 404, needs=Right.MARK)},
    ACCOUNT: {"GET": _page("accountPage", "One's own account", needs=Door.KNOWN, errors=(404,))},
    PASSWORD: {
        "POST": _deed(
            "setPassword",
            "Set another password",
            AuditAction.SECURITY,
            (400, 404),
            Door.KNOWN,
        )
    },
    FACTOR: {
        "GET": _page("factorPage", "Set up a second factor", needs=Door.KNOWN, errors=(404,)),
        "POST": _deed(
            "setFactor",
            "Take a second factor",
            AuditAction.SECURITY,
            (200, 400, 404),
            Door.KNOWN,
        ),
    },
    NO_FACTOR: {
        "POST": _deed(
            "dropFactor",
            "Do without it",
            AuditAction.SECURITY,
            (400, 404),
            Door.KNOWN,
        )
    },
    SESSION: {
        "POST": _deed(
            "endOwnSession",
            "End one of one's own sessions",
            AuditAction.SIGN_OUT,
            (404,),
            Door.KNOWN,
        )
    },
    EMERGENCY: {
        "GET": _page("emergencyPage", "Emergency access", _PATIENT, needs=Right.EMERGENCY),
        "POST": _deed(
            "beginEmergency",
            "See a patient for a while, with a reason",
            AuditAction.SECURITY,
            (400,),
            needs=Right.EMERGENCY,
        ),
    },
    SHARE: {
        "GET": _page(
            "sharingPage", "Links to studies", _STUDY, needs=Right.SHARE, audited=AuditAction.QUERY
        ),
        "POST": replace(
            _deed(
                "shareStudy",
                "Make a link to a study",
                AuditAction.SECURITY,
                (200, 400, 404),
                needs=Right.SHARE,
            ),
            errors=(408, 413, 415),
        ),
    },
    REVOKED: {
        "POST": _deed(
            "revokeLink",
            "End a link",
            AuditAction.SECURITY,
            (404,),
            needs=Right.SHARE,
        )
    },
    LINK: {
        "GET": _page("openingPage", "What a link leads to", errors=(404,)),
        "POST": _deed("openLink", "Open it", AuditAction.SIGN_IN, (404, 429)),
    },
    SIGN_OUT: {"POST": _deed("signOut", "End the session", AuditAction.SIGN_OUT, (200,))},
    INVITATION: {
        "GET": _page("invitationPage", "Set a password by a one-time link", errors=(404,)),
        "POST": _deed("acceptInvitation", "The same", AuditAction.SECURITY, (400, 404)),
    },
}

ROUTES: Mapping[str, Mapping[str, Operation]] = {**_PROGRAMS, **_PAGES}
