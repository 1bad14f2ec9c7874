"""Links and marks and emergencies: what people do with the access to studies. Each deed is in the
audit trail before it is done."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from isocenter.core.access import NOBODY, Kind, Right
from isocenter.core.access_api import Asker, Guard
from isocenter.core.errors import Invalid, IsocenterError, NotFound, Refused
from isocenter.core.events import AuditAction, AuditOutcome, Source
from isocenter.core.identity import DEFAULT_PARTITION
from isocenter.runtime.access.doors import Doors
from isocenter.runtime.access.links import MAX_DAYS, KnownLink, Link, ends_after
from isocenter.runtime.access.passwords import LONGEST
from isocenter.runtime.access.sessions import EmergencyAccess, KnownSession, Session
from isocenter.runtime.audit_log import AuditLog

logger = logging.getLogger(__name__)

EMERGENCY = "emergency access until"  # how the detail of its record begins
SHORTEST_REASON, LONGEST_REASON = 10, 200  # characters
SHORTEST_PASSCODE = 6
_LONGEST_ID = 64  # characters of an LO (PS3.5 6.2)


@dataclass(frozen=True, slots=True)
class Sharing:
    """What people do."""

    doors: Doors
    guard: Guard
    audit_log: AuditLog

    # --- links -----------------------------------------------------------------------------------

    async def share(
        self,
        asker: Asker,
        study: str,
        label: str,
        *,
        days: float,
        passcode: str = "",
        openings: int = 0,
        download: bool = False,
    ) -> str:
        """The secret of a link to a study. Raises `Refused`, `NotFound` for a study that the asker
        may not see, `Invalid`."""
        await self._may(asker, Right.SHARE, study)
        if download:
            await self._may(asker, Right.DOWNLOAD, study)
        if not 0 < days <= MAX_DAYS:
            raise Invalid(f"a link lasts up to {MAX_DAYS} days")
        if openings < 0:
            raise Invalid("a link is opened any number of times, or once and more")
        if passcode and not SHORTEST_PASSCODE <= len(passcode) <= LONGEST:
            raise Invalid(f"a passcode has {SHORTEST_PASSCODE} to {LONGEST} characters")
        if not label.strip() or len(label) > 100:
            raise Invalid("say for whom the link is, in up to 100 characters")
        link = Link(
            study=study,
            label=label,
            made_by=asker.caller.name,
            kind=asker.caller.kind,
            ends_at=ends_after(days),
            openings=openings,
            download=download,
        )
        bounds = [f"until {link.ends_at:%Y-%m-%d %H:%M} UTC"]
        bounds += ["with a passcode"] if passcode else []
        bounds += [f"{openings} openings"] if openings else []
        bounds += ["with download"] if download else ["to look at"]
        await self.audit_log.record(
            AuditAction.SECURITY,
            asker.source,
            partition=DEFAULT_PARTITION,
            studies=(study,),
            detail=f"link made for {link.label}: {', '.join(bounds)}",
        )
        return await self.doors.links.make(link, passcode, asker.source)

    async def links(self, asker: Asker) -> Sequence[KnownLink]:
        """Those that the asker made, or all where they administer access. Raises `Refused`."""
        found = await self._of(asker)
        await self.audit_log.record(
            AuditAction.QUERY,
            asker.source,
            partition=DEFAULT_PARTITION,
            studies=tuple(dict.fromkeys(one.link.study for one in found)),
            detail="links to studies",
        )
        return found

    async def _of(self, asker: Asker) -> Sequence[KnownLink]:
        everybody = Right.ACCESS in asker.caller.rights
        if not everybody:
            self.guard.require(asker.caller, Right.SHARE)
        found = await self.doors.links.all()
        return [one for one in found if everybody or one.link.is_of(asker.caller)]

    async def revoke(self, asker: Asker, identifier: str) -> None:
        """End a link, one's own or anybody's. Raises `Refused`, `NotFound`."""
        known = [one for one in await self._of(asker) if one.id == identifier]
        if not known:
            raise NotFound("there is no such link")
        await self.audit_log.record(
            AuditAction.SECURITY,
            asker.source,
            studies=(known[0].link.study,),
            detail=f"link for {known[0].link.label}: revoked",
        )
        await self.doors.links.revoke(identifier, asker.source)

    async def open_link(
        self, secret: str, passcode: str, browser: str, by: Source
    ) -> tuple[KnownLink, str]:
        """The link, and the secret of a session by it. Raises `NotFound`, `Refused`,
        `TooMany`."""
        known = await self.doors.links.behind(secret)
        by = replace(by, user=known.caller.name)
        try:
            await self._open(known, passcode, by)
        except IsocenterError as error:
            await self._opened(known, by, str(error))
            raise
        await self._opened(known, by)
        session = Session(person=known.caller.name, link=known.id, address=by.host, browser=browser)
        return known, await self.doors.sessions.begin(session, by)

    async def _open(self, known: KnownLink, passcode: str, by: Source) -> None:
        if not known.link.passcode:  # there is nothing to guess
            await self.doors.links.open(known, "")
            return
        attempt = await self.doors.attempts.begin(known.id, by.host)
        await self.doors.links.open(known, passcode)
        await self.doors.attempts.succeeded(attempt)

    async def _opened(self, known: KnownLink, by: Source, error: str = "") -> None:
        await self.audit_log.record(
            AuditAction.SIGN_IN,
            by,
            outcome=AuditOutcome.FAILURE if error else AuditOutcome.SUCCESS,
            partition=DEFAULT_PARTITION,
            studies=(known.link.study,),
            detail=f"link of {known.link.made_by} for {known.link.label} opened",
            error=error,
        )

    # --- emergencies -----------------------------------------------------------------------------

    async def in_emergency(
        self,
        asker: Asker,
        session: KnownSession | None,
        secret: str,
        patient: str,
        issuer: str,
        reason: str,
    ) -> str:
        """See a patient's studies for a while, whatever the rules grant; the secret by which the
        session goes on. Raises `Refused`, `Invalid`."""
        self.guard.require(asker.caller, Right.EMERGENCY)
        if session is None or asker.caller.kind is not Kind.PERSON or asker.caller is NOBODY:
            raise Refused("emergency access is for people who have signed in")
        patient, issuer, reason = patient.strip(), issuer.strip(), reason.strip()
        if not patient or len(patient) > _LONGEST_ID or len(issuer) > _LONGEST_ID:
            raise Invalid("name the patient by the Patient ID")
        if not SHORTEST_REASON <= len(reason) <= LONGEST_REASON:
            raise Invalid(f"say why, in {SHORTEST_REASON} to {LONGEST_REASON} characters")
        ends_at = datetime.now(UTC) + self.doors.emergency
        await self.audit_log.record(
            AuditAction.SECURITY,
            replace(asker.source, purpose=asker.source.purpose or reason),
            patient_ids=(patient,),
            detail=f"{EMERGENCY} {ends_at:%H:%M} UTC: {reason}",
        )
        logger.warning("emergency access", extra={"who": asker.caller.name})
        one = EmergencyAccess(patient_id=patient, issuer=issuer, reason=reason, ends_at=ends_at)
        now = datetime.now(UTC)
        others = [other for other in session.session.emergencies if other.ends_at > now]
        changed = session.session.model_copy(update={"emergencies": (*others, one)})
        return await self.doors.sessions.go_on(secret, changed, asker.source)

    async def _may(self, asker: Asker, right: Right, study: str) -> None:
        """Whether the asker may do something with a study, and see it."""
        await self.guard.check(asker.caller, right, DEFAULT_PARTITION, study)
        await self.guard.check(asker.caller, Right.READ, DEFAULT_PARTITION, study)
