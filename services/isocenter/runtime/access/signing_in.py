"""Signing in with a local account, and signing out; each attempt is in the audit trail."""

from __future__ import annotations

from dataclasses import replace

from isocenter.core.errors import Invalid, Refused, TooMany
from isocenter.core.events import AuditAction, AuditOutcome, Source
from isocenter.runtime.access.accounts import Account, name_of
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.sessions import KnownSession, Session
from isocenter.runtime.audit_log import AuditLog

_SHOWN = 64  # characters of a name that nobody has


class SigningIn:
    """What the pages of signing in do."""

    def __init__(self, doors: Doors, audit_log: AuditLog) -> None:
        self._doors = doors
        self._audit_log = audit_log

    async def sign_in(self, name: str, password: str, code: str, browser: str, by: Source) -> str:
        """The secret of a new session. Raises as `whose`."""
        return await self.begin(await self.whose(name, password, code, by), browser, by)

    async def whose(self, name: str, password: str, code: str, by: Source) -> Account:
        """The account of which these are. Raises `Refused`, without saying what was wrong, and
        `TooMany` after too many attempts; both are recorded."""
        account_name = _named(name)
        by = replace(by, user=account_name or name[:_SHOWN])
        attempts = self._doors.attempts
        try:
            attempt = await attempts.begin(by.user, by.host)
        except TooMany as error:
            await self.record(by, error.message)
            raise
        account = await self._right(account_name, password, code, by)
        if account is None:
            await self.record(by, "wrong name, password or code")
            raise Refused("the name, the password or the code is wrong")
        await attempts.succeeded(attempt)
        return account

    async def begin(self, account: Account, browser: str, by: Source) -> str:
        """The secret of a new session of somebody who is known by now."""
        by = replace(by, user=account.name)
        await self.record(by)
        session = Session.of(account, by, browser)
        return await self._doors.sessions.begin(session, by)

    async def sign_out(self, session: KnownSession, by: Source) -> None:
        """End a session."""
        await self._audit_log.record(AuditAction.SIGN_OUT, by, detail="signed out")
        await self._doors.sessions.end(session.id)

    async def record(self, by: Source, error: str = "") -> None:
        """That somebody signed in, or why not."""
        await self._audit_log.record(
            AuditAction.SIGN_IN,
            by,
            outcome=AuditOutcome.FAILURE if error else AuditOutcome.SUCCESS,
            detail="signed in" if not error else "sign-in refused",
            error=error,
        )

    async def _right(self, name: str, password: str, code: str, by: Source) -> Account | None:
        """The account, if all is right. It takes as long where there is none."""
        accounts = self._doors.accounts
        account = await accounts.find(name) if name else None
        if not await accounts.has_password(account, password) or account is None:
            return None
        if account.disabled:
            return None
        if account.factor and not await accounts.has_code(account, code, by):
            return None
        return account


def _named(text: str) -> str:
    try:
        return name_of(text)
    except Invalid:
        return ""
