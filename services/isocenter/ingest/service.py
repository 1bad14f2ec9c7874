"""Admission and announcement, and deletion: the ingest service."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial

from isocenter.core.access import FACTS, Caller, Right
from isocenter.core.access_api import Guard
from isocenter.core.apis import Announcement, Storage, Stored
from isocenter.core.attributes import SITES
from isocenter.core.entries import facts_of_header, patient_id_of
from isocenter.core.errors import Conflict, IsocenterError
from isocenter.core.events import (
    MAX_INLINE_HEADER,
    AuditAction,
    AuditOutcome,
    ConflictPolicy,
    InstanceRejected,
    InstanceStored,
)
from isocenter.core.identity import InstanceName, ObjectName, objects_prefix
from isocenter.core.matching import JsonAttributes
from isocenter.core.overlays import Overlay
from isocenter.core.ports import Buffer, EventBus, Record
from isocenter.core.reader import Header
from isocenter.core.sites import with_sites
from isocenter.ingest import admission
from isocenter.ingest.announcing import Announcer
from isocenter.ingest.coercing import Coercer
from isocenter.ingest.intake import Intake, Taken
from isocenter.ingest.removing import Remover
from isocenter.ingest.settings import IngestSettings
from isocenter.runtime.aes import Directory, KnownAE
from isocenter.runtime.audit_log import AuditLog
from isocenter.runtime.event_codec import encode
from isocenter.runtime.instruments import STORE_STAGE_DURATION
from isocenter.runtime.outbox import Outbox
from isocenter.runtime.role import Env
from isocenter.runtime.streams import generator
from isocenter.runtime.study_sites import StudySites
from isocenter.runtime.telemetry import OFF, Stages, Telemetry

logger = logging.getLogger(__name__)


class IngestService:
    """`core.apis.Ingest` over storage, the log and the audit trail."""

    def __init__(
        self,
        *,
        storage: Storage,
        bus: EventBus,
        outbox: Outbox,
        audit_log: AuditLog,
        settings: IngestSettings,
        directory: Directory,
        guard: Guard,
        site: str = "",
        telemetry: Telemetry = OFF,
    ) -> None:
        self._storage = storage
        self._audit_log = audit_log
        self._settings = settings
        self._telemetry = telemetry
        self._directory = directory
        self._guard = guard
        self._site = site
        self._coercer = Coercer(storage)
        self._sites = StudySites(storage)
        self._announcer = Announcer(bus, outbox, settings)
        self._remover = Remover(
            storage=storage,
            announcer=self._announcer,
            audit_log=audit_log,
            settings=settings,
            guard=guard,
        )
        self.delete = self._remover.delete
        self.deletions = self._remover.deletions
        self.restore = self._remover.restore

    async def store(self, announcement: Announcement, data_set: AsyncIterable[Buffer]) -> Stored:
        """Take in one data set: durable, announced and audited on return."""
        received_at = datetime.now(UTC)
        ae = self._directory.sender(announcement.source)
        named = ae.conflict if ae is not None else None
        policy = named or self._settings.policy_of(announcement.source.ae_title)
        stages = Stages(self._telemetry, STORE_STAGE_DURATION, "receive")
        site = self._site_of(announcement.caller, ae)
        news = _News(announcement, received_at, policy, site)

        may_come = partial(self._check_may_come, news)

        def admit(header: Header) -> InstanceName:
            news.header = header
            name = admission.check(header, announcement, self._settings)
            if ae is None or ae.coercing is None:
                may_come({})
            return name

        async def guard(taken: Taken) -> None:
            news.digest = taken.digest
            if policy is ConflictPolicy.REJECT:
                await self._reject_other(taken, announcement)
            stages.enter("commit")
            news.overlay = await self._coercer.overlay(
                taken, announcement, ae, received_at, may_come
            )
            await self._join(news, taken.name)
            news.prepare(taken)

        try:
            intake = Intake(self._storage, self._settings, announcement, admit, guard)
            taken = await intake.take(data_set)
            stages.enter("announce")
            await self._announcer.until_durable([news.record(taken)])
            stages.end()
        except IsocenterError as error:
            await self._record_refusal(news, error)
            raise
        return Stored(
            name=taken.name,
            sop_class=taken.header.sop_class,
            transfer_syntax=announcement.transfer_syntax,
            digest=taken.digest,
            size=taken.size,
            coerced=news.overlay.tags if news.overlay else (),
        )

    def _check_may_come(self, news: _News, changed: JsonAttributes) -> None:
        """Raises `Refused`; `changed` is what is corrected: rules see what will be shown."""
        assert news.header is not None
        facts = facts_of_header(news.header, news.site)
        news.facts = facts | {tag: changed[tag] for tag in FACTS if tag in changed}
        self._guard.check_new(news.announcement.caller, Right.STORE, news.facts)

    async def _join(self, news: _News, name: InstanceName) -> None:
        """Of an object that may come in: its site will see the study. So who brings it must be
        allowed to store into the study as it is there. Raises `Refused`."""
        place = name.partition, name.study
        if not news.site or news.site in (there := await self._sites.of(*place)):
            return
        if there or await self._is_kept(*place):
            there = await self._sites.now(*place)  # sites are noted before their objects are kept
            if news.site not in there:
                plain = {tag: one for tag, one in news.facts.items() if tag != SITES.tag}
                caller = news.announcement.caller
                self._guard.check_new(caller, Right.STORE, with_sites(plain, there))
        await self._sites.note(*place, news.site)

    async def _is_kept(self, partition: str, study: str) -> bool:
        found = self._storage.list(objects_prefix(partition, study))
        async with aclosing(generator(found)) as infos:
            return await anext(infos, None) is not None

    def _site_of(self, caller: Caller, ae: KnownAE | None) -> str:
        """Where an object comes from: where its sender is, or else where this process is."""
        if ae is not None and ae.site:
            return ae.site
        return caller.sites[0] if caller.sites else self._site

    async def _reject_other(self, taken: Taken, announcement: Announcement) -> None:
        """Raises `Conflict` if another object is kept under the same name."""
        name = taken.name
        prefix = objects_prefix(name.partition, name.study, name.series, name.instance)
        async for info in self._storage.list(prefix):
            if info.key == taken.key or ObjectName.from_key(info.key) is None:
                continue
            reason = "another object is kept under this name"
            event = InstanceRejected(name, taken.digest, reason, announcement.source)
            await self._announcer.until_durable([encode(event)])
            raise Conflict(
                f"instance {name.instance} is kept already with other content",
                fix="give a changed object a new SOP Instance UID",
            )

    async def _record_refusal(self, news: _News, error: IsocenterError) -> None:
        """An object that does not come in leaves a record too; its reason goes on anyway."""
        source = news.announcement.source
        logger.warning(
            "object refused",
            extra={
                "code": error.code.value,
                "reason": str(error),
                "protocol": source.protocol,
                "host": source.host,
                "ae_title": source.ae_title,
            },
        )
        try:
            await self._audit_log.record(
                AuditAction.IMPORT if source.protocol == "CLI" else AuditAction.STORE,
                source,
                outcome=AuditOutcome.FAILURE,
                partition=self._settings.partition,
                patient_ids=news.named("patient_id"),
                studies=news.named("study"),
                series=news.named("series"),
                instances=news.named("instance"),
                digests=(news.digest,) if news.digest else (),
                detail=source.store_verb,
                error=str(error),
            )
        except IsocenterError:
            logger.exception("refusal of an object could not be recorded")


class _News:
    """The one event that tells everybody of an object, the audit trail too. It is encoded while
    the object store is at work, when there is nothing else to do for this object."""

    def __init__(
        self,
        announcement: Announcement,
        received_at: datetime,
        policy: ConflictPolicy,
        site: str,
    ) -> None:
        self.site = site
        self.facts: JsonAttributes = {}  # what rules look at, once it is known
        self.announcement = announcement
        self._received_at = received_at
        self._policy = policy
        self.header: Header | None = None  # once it is read, also of what may not come in
        self.digest = ""  # once the object is whole
        self.overlay: Overlay | None = None
        self._record: Record | None = None

    def named(self, field: str) -> tuple[str, ...]:
        """What the object says in its header, or else was announced as; nothing if that is not
        known."""
        said: str = getattr(self.header, field, "") or getattr(self.announcement, field, "")
        return (said,) if said else ()

    def prepare(self, taken: Taken) -> None:
        """Encode the event as soon as whoever calls this waits for something."""
        asyncio.get_running_loop().call_soon(self.record, taken)

    def record(self, taken: Taken) -> Record:
        """The event, which is not to be appended before the object is durable."""
        if self._record is None:
            self._record = encode(self._event(taken))
        return self._record

    def _event(self, taken: Taken) -> InstanceStored:
        header = taken.header
        return InstanceStored(
            name=taken.name,
            sop_class=header.sop_class,
            transfer_syntax=self.announcement.transfer_syntax,
            key=taken.key,
            digest=taken.digest,
            size=taken.size,
            data_set_offset=len(taken.meta),
            header_length=header.length,
            header=taken.header_bytes if header.length <= MAX_INLINE_HEADER else None,
            source=self.announcement.source,
            received_at=self._received_at,
            policy=self._policy,
            patient_id=patient_id_of(header, self.overlay),
            checksum=taken.checksum,
            overlay=self.overlay.key if self.overlay else "",
            site=self.site,
        )


async def create(env: Env) -> IngestService:
    """The service of this process."""
    return IngestService(
        storage=await env.storage(),
        bus=await env.bus(),
        outbox=await env.outbox(),
        audit_log=await env.audit_log(),
        settings=env.section(IngestSettings),
        directory=await env.directory(),
        guard=await env.guard(),
        site=env.site,
        telemetry=env.telemetry,
    )
