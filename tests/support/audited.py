"""A data directory with an audit trail, made with the parts that keep the real one, and the verbs
that read it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from isocenter.app import Process
from isocenter.audit.keys import key_folder
from isocenter.audit.records import chain_of, record_of
from isocenter.audit.segments import Segments
from isocenter.audit.trail import Trail
from isocenter.cli.main import main
from isocenter.core.events import (
    TOPIC_AUDIT,
    TOPIC_INSTANCES,
    AuditAction,
    AuditEvent,
    AuditOutcome,
    Source,
)
from isocenter.runtime.event_codec import decode
from isocenter.settings import Settings, load

BEGIN = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOSTILE = "=1+1\t\"<b>&\x1b[31m\u202e\U0001f600\n,;'山田^太郎=やまだ\x00 Ελένη Ñandú Жук"


def event(number: int, **fields: object) -> AuditEvent:
    """A record; every field of it may be another one."""
    values: dict[str, object] = {
        "action": AuditAction.RETRIEVE,
        "outcome": AuditOutcome.SUCCESS,
        "source": Source("DIMSE", host="192.0.2.1", ae_title="CT1"),
        "at": BEGIN + timedelta(minutes=number),
        "id": f"host/up-{number}",
        "partition": "main",
        "patient_ids": (f"P{number % 10}",),
        "studies": (f"1.2.{number % 10}",),
        "detail": "C-MOVE",
        "instance_count": number,
    }
    return AuditEvent(**{**values, **fields})  # type: ignore[arg-type]


@dataclass
class Audited:
    """An installation whose trail has what it is given."""

    data: Path
    assignments: Sequence[str] = ()
    _next: int = field(default=0, init=False)

    @property
    def settings(self) -> Settings:
        """Of it."""
        flags = dict(one.split("=", 1) for one in self.assignments)
        return load(data=self.data, flags=flags)

    async def keep(self, events: Sequence[AuditEvent], *, seal: bool = True) -> None:
        """Put records into the chain `audit-0` and the index, and seal them."""
        await self._keep([("audit-0", one) for one in events], seal=seal)

    async def take_in(self) -> None:
        """Put everything that the log has into the chains, as the role does."""
        env = Process(self.settings)
        records: list[tuple[str, AuditEvent]] = []
        try:
            bus = await env.bus()
            for topic in (TOPIC_AUDIT, TOPIC_INSTANCES):
                records += [
                    (chain_of(one), record)
                    async for one in bus.replay(topic)
                    if (record := record_of(one, decode(one), "here"))
                ]
        finally:
            await env.close()
        await self._keep(records, seal=True)

    async def _keep(self, records: Sequence[tuple[str, AuditEvent]], *, seal: bool) -> None:
        env = Process(self.settings)
        try:
            trail = Trail(
                segments=Segments(await env.audit_store()),
                keys=key_folder(self.settings.audit, self.data),
                index=await env.audit_index(),
            )
            await trail.keep(records)
            if seal:
                await trail.seal()
        finally:
            await env.close()

    async def left(self) -> list[AuditEvent]:
        """The records that verbs left in the log since the last call."""
        env = Process(self.settings)
        try:
            events = [decode(one) async for one in (await env.bus()).replay(TOPIC_AUDIT)]
        finally:
            await env.close()
        records = [one for one in events if isinstance(one, AuditEvent)]
        new, self._next = records[self._next :], len(records)
        return new

    def files(self, end: str) -> list[Path]:
        """Files of the trail in the object store whose names end so."""
        return sorted((self.data / "blobs" / "audit").rglob(f"*{end}"))


class Commands:
    """Runs `isocenter audit VERB ...` on an installation."""

    before: Sequence[str] = ("audit",)

    def __init__(
        self,
        data: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        *assignments: str,
    ) -> None:
        self.trail = Audited(data, assignments)
        self.err = ""
        """What the last verb said on the error stream."""
        self._argv = ["--data", str(data), *(f"--set={one}" for one in assignments)]
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0, on_data: bool = True) -> str:
        """What a verb prints, if it ends with this exit code."""
        argv = ["isocenter", *self.before, *words, *(self._argv if on_data else ())]
        self._monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as ended:
            main()
        told = self._capsys.readouterr()
        self.err = told.err
        assert ended.value.code == code, told
        return told.out

    def keep(self, *events: AuditEvent, seal: bool = True) -> None:
        """Put records into the trail."""
        asyncio.run(self.trail.keep(events, seal=seal))

    def left(self) -> list[AuditEvent]:
        """The records that verbs left since this was asked last."""
        return asyncio.run(self.trail.left())


class AllCommands(Commands):
    """Runs `isocenter VERB ...` on an installation."""

    before = ()


@pytest.fixture
def audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Commands:
    """Verbs on an installation without any record."""
    (tmp_path / "data" / "blobs").mkdir(parents=True)
    return Commands(tmp_path / "data", monkeypatch, capsys)


@pytest.fixture
def isocenter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AllCommands:
    """The same, for whatever verbs."""
    (tmp_path / "data" / "blobs").mkdir(parents=True)
    return AllCommands(tmp_path / "data", monkeypatch, capsys)
