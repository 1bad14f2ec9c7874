"""The routes of access: signing in, sharing, administration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from isocenter.runtime.access.administration import AccessAdministration
from isocenter.runtime.access.marks import MarkRecords
from isocenter.runtime.access.own_account import OwnAccount
from isocenter.runtime.access.sharing import Sharing
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
    AccessPages,
)
from isocenter.web.access_rest import CONFIDENTIAL, LINKS, ONE_LINK, ONE_MARK, AccessRest
from isocenter.web.account import ACCOUNT, FACTOR, NO_FACTOR, PASSWORD, SESSION, AccountPages
from isocenter.web.admission import SIGN_IN
from isocenter.web.audit_page import in_pages
from isocenter.web.emergency import EMERGENCY, EmergencyPages
from isocenter.web.exchange import Handler
from isocenter.web.provider_sign_in import ANSWER, BEGIN, ProviderPages
from isocenter.web.routes import Route
from isocenter.web.services import Services
from isocenter.web.sharing import LINK, REVOKED, SHARE, SharingPages
from isocenter.web.shell import Shell
from isocenter.web.sign_in import INVITATION, SIGN_OUT, SignInPages


def access_routes(services: Services) -> Sequence[Route]:
    """All of them."""
    shell = Shell(site=services.site)
    pages = SignInPages(services.doors, services.audit_log, shell)
    provider = ProviderPages(services.doors, services.audit_log, pages)
    shares = Sharing(services.doors, services.guard, services.audit_log)
    sharing, emergency = SharingPages(shares, shell), EmergencyPages(shares, shell)
    account = AccountPages(OwnAccount(services.doors, services.audit_log), shell)
    administration = AccessAdministration(
        services.doors, services.guard, services.audit_log, MarkRecords(services.storage)
    )
    people = AccessPages(administration, shell)
    rest = AccessRest(shares, administration)
    programs: Mapping[str, Mapping[str, Handler]] = {
        LINKS: {"GET": rest.links, "POST": rest.make_link},
        ONE_LINK: {"DELETE": rest.revoke_link},
        CONFIDENTIAL: {"GET": rest.marks, "POST": rest.mark},
        ONE_MARK: {"DELETE": rest.unmark},
    }
    pages_ = {
        SIGN_IN: {"GET": pages.shown, "POST": pages.sign_in},
        BEGIN: {"GET": provider.begin},
        ANSWER: {"GET": provider.answer},
        ACCESS: {"GET": people.shown},
        ACCOUNTS: {"POST": people.add},
        ACCOUNT_CHANGED: {"POST": people.change},
        ACCOUNT_REMOVED: {"POST": people.remove},
        INVITED: {"POST": people.invite},
        TOKENS: {"POST": people.make_token},
        TOKEN_REVOKED: {"POST": people.revoke_token},
        SESSION_ENDED: {"POST": people.end_session},
        MARKS: {"POST": people.mark},
        MARK_REMOVED: {"POST": people.unmark},
        ACCOUNT: {"GET": account.shown},
        PASSWORD: {"POST": account.password},
        FACTOR: {"GET": account.begin_factor, "POST": account.set_factor},
        NO_FACTOR: {"POST": account.drop_factor},
        SESSION: {"POST": account.end_session},
        EMERGENCY: {"GET": emergency.shown, "POST": emergency.begin},
        SHARE: {"GET": sharing.shown, "POST": sharing.make},
        REVOKED: {"POST": sharing.revoke},
        LINK: {"GET": sharing.opening, "POST": sharing.open},
        SIGN_OUT: {"POST": pages.sign_out},
        INVITATION: {"GET": pages.invited, "POST": pages.accept},
    }
    return [
        *(Route(path, methods) for path, methods in programs.items()),
        *in_pages(shell, "door.html", pages_),
    ]
