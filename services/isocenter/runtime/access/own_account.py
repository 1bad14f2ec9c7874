"""What people do with their own account and their own sessions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from isocenter.core.access import Kind
from isocenter.core.access_api import Asker
from isocenter.core.errors import Invalid, NotFound, Refused
from isocenter.core.events import AuditAction
from isocenter.runtime.access.accounts import (
    Account,
    new_factor,
    new_recovery_codes,
)
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.sessions import KnownSession, Session
from isocenter.runtime.audit_log import AuditLog

_FACTOR = re.compile(r"[A-Z2-7]{32}")


def is_factor(text: str) -> bool:
    """Whether this may be the secret of a second factor."""
    return _FACTOR.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class OwnAccount:
    """What they do."""

    doors: Doors
    audit_log: AuditLog

    async def account(self, asker: Asker) -> Account:
        """The asker's own. Raises `NotFound` for who has none here."""
        caller = asker.caller
        found = await self.doors.accounts.find(caller.name)
        if caller.kind is not Kind.PERSON or found is None:
            raise NotFound("there is no account here for whoever asks")
        return found

    async def sessions(self, asker: Asker) -> Sequence[KnownSession]:
        """The asker's own, the last used first. Raises `Refused` for whoever came by a link."""
        if asker.caller.kind is Kind.LINK:
            raise Refused("a link leads to a study, and to no account")
        found = await self.doors.sessions.of(asker.caller.name)
        return [one for one in found if one.caller.kind is asker.caller.kind]

    async def end_session(self, asker: Asker, identifier: str) -> None:
        """End one of them. Raises `NotFound`."""
        if all(one.id != identifier for one in await self.sessions(asker)):
            raise NotFound("this session is over")
        await self.audit_log.record(
            AuditAction.SIGN_OUT, asker.source, detail="another session ended"
        )
        await self.doors.sessions.end(identifier)

    async def set_password(
        self,
        asker: Asker,
        session: KnownSession | None,
        current: str,
        password: str,
        browser: str,
    ) -> str:
        """Another password, which ends all sessions; the secret of a new one. Raises `Refused` for
        a wrong current one, `TooMany`, `Invalid` for one that is not good enough."""
        account = await self._known(asker, session)
        if account.password:
            await self._check(asker, account, current)
        changed = await self.doors.accounts.with_password(account, password)
        await self._record(asker, "password changed")
        return await self._keep(asker, changed, browser)

    async def new_factor(self, asker: Asker, session: KnownSession | None) -> str:
        """A secret that may become the second factor."""
        await self._known(asker, session)
        return new_factor()

    async def set_factor(
        self,
        asker: Asker,
        session: KnownSession | None,
        current: str,
        factor: str,
        code: str,
        browser: str,
    ) -> tuple[Sequence[str], str]:
        """Take a second factor, which ends all sessions; its recovery codes, and the secret of a
        new session. Raises `Refused` for a wrong password, `Invalid` for a code that is not of the
        factor."""
        account = await self._known(asker, session)
        await self._check(asker, account, current)
        known = is_factor(factor)
        if not known or not await self.doors.accounts.uses_code(factor, code.strip()):
            raise Invalid("the code is not right", fix="check the clock of the authenticator")
        codes, digests = new_recovery_codes()
        changed = account.model_copy(
            update={"factor": factor, "recovery": digests, "since": datetime.now(UTC)}
        )
        await self._record(asker, "second factor set")
        return codes, await self._keep(asker, changed, browser)

    async def drop_factor(
        self, asker: Asker, session: KnownSession | None, current: str, browser: str
    ) -> str:
        """Do without, which ends all sessions; the secret of a new one. Raises `Refused`,
        `TooMany`."""
        account = await self._known(asker, session)
        await self._check(asker, account, current)
        changed = account.model_copy(
            update={"factor": "", "recovery": (), "since": datetime.now(UTC)}
        )
        await self._record(asker, "second factor removed")
        return await self._keep(asker, changed, browser)

    async def _known(self, asker: Asker, session: KnownSession | None) -> Account:
        """Only who has signed in by the account itself changes it. Raises `Refused`."""
        account = await self.account(asker)
        if session is None or session.session.federated is not None or session.session.link:
            raise Refused("sign in by the account itself to change it")
        return account

    async def _check(self, asker: Asker, account: Account, current: str) -> None:
        attempt = await self.doors.attempts.begin(account.name, asker.source.host)
        if not await self.doors.accounts.has_password(account, current):
            raise Refused("the current password is wrong")
        await self.doors.attempts.succeeded(attempt)

    async def _keep(self, asker: Asker, account: Account, browser: str) -> str:
        await self.doors.accounts.keep(account, asker.source)
        session = Session.of(account, asker.source, browser)
        return await self.doors.sessions.begin(session, asker.source)

    async def _record(self, asker: Asker, what: str) -> None:
        detail = f"account {asker.caller.name}: {what}"
        await self.audit_log.record(AuditAction.SECURITY, asker.source, detail=detail)
