"""The web role's application around a trail in memory, and records for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from isocenter.core.events import AuditAction, AuditEvent, AuditOutcome, Source
from isocenter.web.settings import WebSettings
from support.memory_trail import MemoryTrail
from support.web_fakes import Web

AT = datetime(2026, 11, 26, 17, 3, 4, 123456, tzinfo=UTC)
EVA = Source("DICOMweb", "10.0.0.7", user="eva", purpose="TREAT")
CT1 = Source("DIMSE", "10.0.0.31", "CT1", "ISOCENTER")


def record(number: int, **more: Any) -> AuditEvent:
    """A retrieve, so many minutes before `AT`."""
    fields: dict[str, Any] = {
        "action": AuditAction.RETRIEVE, "outcome": AuditOutcome.SUCCESS, "source": EVA,
        "at": AT - timedelta(minutes=number), "id": f"host/web-{number:032x}",
        "partition": "main", "patient_ids": ("P1",), "studies": ("1.2.3",), "series": ("1.2.3.4",),
        "instances": ("1.2.3.4.5",), "instance_count": 1, "detail": "WADO-RS",
        "process": "host/web", "site": "north", "digests": ("a" * 64,),
    }  # fmt: skip
    return AuditEvent(**{**fields, **more})


def serving(*events: AuditEvent, **settings: Any) -> Web:
    """The application with these records."""
    trail = MemoryTrail()
    trail.keep(*events)
    return Web(settings=WebSettings(port=0, **settings), trail=trail)


async def ask(web: Web, method: str, path: str, **how: Any) -> httpx.Response:
    """One request."""
    async with web.client() as client:
        return await client.request(method, path, **how)


def left(web: Web) -> list[tuple[str, str, str]]:
    """The records that requests left: action, detail, what was asked for."""
    return [
        (action, fields["detail"], fields.get("query", "")) for action, fields in web.audit.records
    ]
