"""Accounts, tokens and sessions, as administrators change them, for all the faces of
administration. Every change is in the audit trail before it is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError

from isocenter.core.access import ISSUER, PATIENT_ID, ROLES, SYSTEM, Caller, Right
from isocenter.core.access_api import Asker, Guard
from isocenter.core.errors import Invalid, NotFound, Refused, Withheld
from isocenter.core.events import AuditAction
from isocenter.core.identity import DEFAULT_PARTITION
from isocenter.core.matching import JsonAttributes
from isocenter.runtime.access.accounts import Account, name_of
from isocenter.runtime.access.doors import OPERATOR, Doors
from isocenter.runtime.access.marks import Mark, MarkRecords
from isocenter.runtime.access.names import told_of
from isocenter.runtime.access.sessions import KnownSession
from isocenter.runtime.access.tokens import KnownToken, Token
from isocenter.runtime.audit_log import AuditLog


@dataclass(frozen=True, slots=True)
class AccessAdministration:
    """What administrators do."""

    doors: Doors
    guard: Guard
    audit_log: AuditLog
    marked: MarkRecords

    # --- accounts --------------------------------------------------------------------------------

    async def accounts(self, asker: Asker) -> Sequence[Account]:
        """All of them, by name. Raises `Refused`."""
        self._check(asker)
        return await self.doors.accounts.all()

    async def account(self, asker: Asker, name: str) -> Account:
        """One of them. Raises `Refused`, `NotFound`."""
        self._check(asker)
        return await self.doors.accounts.get(name)

    async def add(self, asker: Asker, account: Account) -> str:
        """Make an account; the secret of the one-time link by which its password is set. Raises
        `Refused`, `Conflict`."""
        self._check(asker)
        self._check_trail(asker, account.roles)
        await self.doors.accounts.check_new(account.name)
        await self._change(asker, f"account {account.name}: added, {_told(account)}")
        await self.doors.accounts.keep(account, asker.source)
        return await self.doors.accounts.invite(account.name, asker.source)

    async def change(self, asker: Asker, account: Account) -> None:
        """Say everything about an account anew, but for what it signs in with. Raises `Refused`,
        `NotFound`."""
        before = await self.account(asker, account.name)
        self._check_trail(asker, set(account.roles) - set(before.roles))
        kept = {name: getattr(before, name) for name in _SECRETS}
        changed = account.model_copy(update=kept)
        if not _administers(changed):
            await self._check_not_last(asker, before)
        await self._change(asker, f"account {account.name}: set, {_told(account)}")
        await self.doors.accounts.keep(changed, asker.source)

    async def remove(self, asker: Asker, name: str) -> None:
        """Forget an account, with its sessions. Raises `Refused`, `NotFound`."""
        account = await self.account(asker, name)
        await self._check_not_last(asker, account)
        await self._change(asker, f"account {account.name}: removed")
        await self.doors.accounts.remove(account.name, asker.source)
        for session in await self.doors.sessions.of(account.name):
            await self.doors.sessions.end(session.id)

    async def invite(self, asker: Asker, name: str) -> str:
        """The secret of a new one-time link, for who has no password or forgot it. Raises
        `Refused`, `NotFound`."""
        account = await self.account(asker, name)
        self._check_trail(asker, account.roles)
        await self._change(asker, f"account {account.name}: one-time link made")
        return await self.doors.accounts.invite(account.name, asker.source)

    async def drop_factor(self, asker: Asker, name: str) -> None:
        """Take the second factor from who lost it, which ends all sessions. Raises `Refused`,
        `NotFound`."""
        account = await self.account(asker, name)
        self._check_trail(asker, account.roles)
        await self._change(asker, f"account {account.name}: second factor removed")
        without = account.model_copy(
            update={"factor": "", "recovery": (), "since": datetime.now(UTC)}
        )
        await self.doors.accounts.keep(without, asker.source)

    # --- tokens ----------------------------------------------------------------------------------

    async def tokens(self, asker: Asker) -> Sequence[KnownToken]:
        """All that are not revoked, the newest first. Raises `Refused`."""
        self._check(asker)
        return await self.doors.tokens.all()

    async def make_token(self, asker: Asker, token: Token, secret: str) -> str:
        """Keep a token; as it is shown, once. Raises `Refused`, `Invalid`."""
        self._check_trail(asker, token.roles)
        only = "" if token.only is None else f", only {' '.join(one.value for one in token.only)}"
        detail = f"token of {token.name}: made, {' '.join(token.roles)}{only}"
        await self._change(asker, f"{detail}, until {token.ends_at:%Y-%m-%d}")
        return await self.doors.tokens.make(token, secret, asker.source)

    async def revoke_token(self, asker: Asker, identifier: str) -> Token:
        """End a token. Raises `Refused`, `NotFound`."""
        self._check(asker)
        token = await self.doors.tokens.get(identifier)
        await self._change(asker, f"token {identifier} of {token.name}: revoked")
        await self.doors.tokens.revoke(identifier, asker.source)
        return token

    # --- sessions --------------------------------------------------------------------------------

    async def sessions(self, asker: Asker) -> Sequence[KnownSession]:
        """All that are not over, the last used first. Raises `Refused`."""
        self._check(asker)
        return await self.doors.sessions.all()

    async def end_session(self, asker: Asker, identifier: str) -> None:
        """End a session. Raises `Refused`, `NotFound`."""
        self._check(asker)
        known = await self.doors.sessions.get(identifier)
        await self._change(asker, f"session of {known.session.person}: ended")
        await self.doors.sessions.end(identifier)

    # --- marks -----------------------------------------------------------------------------------

    async def marks(self, asker: Asker) -> Sequence[Mark]:
        """What is confidential, of what the asker may mark. Raises `Refused`."""
        self._check(asker)
        marks = await self.marked.all()
        found = [one for one in marks if await self._may_mark(asker.caller, one)]
        await self.audit_log.record(
            AuditAction.QUERY,
            asker.source,
            patient_ids=tuple(one.patient for one in found if one.patient),
            studies=tuple(one.study for one in found if one.study),
            detail="what is confidential",
        )
        return found

    async def mark(self, asker: Asker, fields: Mapping[str, str]) -> Mark:
        """Mark a patient or a study. Raises `Refused`, `Invalid`, and `NotFound` for a study that
        the asker may not mark."""
        mark = mark_of(fields)
        await self._marking(asker, mark, "marked as confidential")
        await self.marked.put(mark, asker.source)
        return mark

    async def unmark(self, asker: Asker, name: str) -> None:
        """Take a mark off. Raises `Refused`, `NotFound`."""
        self.guard.require(asker.caller, Right.MARK)
        named = [one for one in await self.marked.all() if one.name == name]
        found = [one for one in named if await self._may_mark(asker.caller, one)]
        if not found:
            raise NotFound("there is no such mark")
        await self._marking(asker, found[0], "not confidential any more")
        await self.marked.remove(found[0], asker.source)

    async def _check_mark(self, caller: Caller, mark: Mark) -> None:
        """A mark on a patient is one on studies of any site and modality."""
        if mark.study:
            await self.guard.check(caller, Right.MARK, DEFAULT_PARTITION, mark.study)
            return
        said = {PATIENT_ID: mark.patient, ISSUER: mark.issuer}
        facts: JsonAttributes = {
            tag: {"vr": "LO", "Value": [value]} for tag, value in said.items() if value
        }
        self.guard.check_new(caller, Right.MARK, facts)

    async def _may_mark(self, caller: Caller, mark: Mark) -> bool:
        try:
            await self._check_mark(caller, mark)
        except (Refused, Withheld):
            return False
        return True

    async def _marking(self, asker: Asker, mark: Mark, what: str) -> None:
        await self._check_mark(asker.caller, mark)
        await self.audit_log.record(
            AuditAction.SECURITY,
            asker.source,
            patient_ids=(mark.patient,) if mark.patient else (),
            studies=(mark.study,) if mark.study else (),
            detail=f"{what}{f': {mark.reason}' if mark.reason else ''}",
        )

    # --- what they share -------------------------------------------------------------------------

    def _check(self, asker: Asker) -> None:
        self.guard.require(asker.caller, Right.ACCESS)

    def _check_trail(self, asker: Asker, roles: Iterable[str]) -> None:
        """Who may not read the audit trail makes nobody who may, and does not come in as one.
        Raises `Refused`."""
        readers = {one for one in roles if Right.AUDIT in ROLES.get(one, ())}
        if readers and Right.AUDIT not in asker.caller.rights:
            raise Refused(
                f"the role {min(readers)} is given by who has it",
                fix="or by the operator of the machine, with `isocenter account` and `token`",
            )

    async def _check_not_last(self, asker: Asker, account: Account) -> None:
        """Raises `Refused` where nobody else could change accounts, unless the asker operates the
        machine, or an identity provider knows more people."""
        operates = asker.caller in (SYSTEM, OPERATOR)
        if operates or self.doors.provider is not None or not _administers(account):
            return
        others = [one for one in await self.doors.accounts.all() if one.name != account.name]
        if not any(map(_administers, others)):
            raise Refused(
                f"{account.name} is the last who administers accounts",
                fix="make another administrator first, who has set a password",
            )

    async def _change(self, asker: Asker, detail: str) -> None:
        self._check(asker)
        await self.audit_log.record(AuditAction.SECURITY, asker.source, detail=detail)


def _administers(account: Account) -> bool:
    """Whether somebody can sign in and change accounts."""
    signs_in = bool(account.password) and not account.disabled
    return signs_in and Right.ACCESS in account.caller.rights


_SECRETS = ("password", "factor", "recovery", "since")


def _told(account: Account) -> str:
    parts = [f"roles {' '.join(account.roles) or 'none'}"]
    parts += [f"groups {' '.join(account.groups)}"] if account.groups else []
    parts += [f"sites {' '.join(account.sites)}"] if account.sites else []
    return ", ".join([*parts, *(["disabled"] if account.disabled else [])])


def mark_of(fields: Mapping[str, str]) -> Mark:
    """A mark. Raises `Invalid`."""
    known = {name: fields.get(name, "") for name in Mark.model_fields}
    try:
        return Mark.model_validate(known)
    except ValidationError as error:
        raise Invalid(f"this cannot be marked: {told_of(error)}") from error


def new_account(name: str, **fields: object) -> Account:
    """An account without a password. Raises `Invalid` for what it cannot have."""
    return _account({**fields, "name": name_of(name)})


def changed_account(account: Account, **fields: object) -> Account:
    """The account with other fields. Raises `Invalid`."""
    return _account({**account.model_dump(), **fields})


def _account(fields: Mapping[str, object]) -> Account:
    try:
        return Account.model_validate(fields)
    except ValidationError as error:
        raise Invalid(f"this is no account: {told_of(error)}") from error
