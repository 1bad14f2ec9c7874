"""The pages about the audit trail, as tests ask for them and read them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from lxml import html

from isocenter.core.events import AuditAction, AuditOutcome
from isocenter.runtime.audit_ids import name_of
from isocenter.web import audit_routes
from isocenter.web.shell import Shell
from support import audit_scene
from support.audit_web import AT, ask, record, serving
from support.memory_trail import MemoryTrail
from support.web_fakes import Web

STUDY, OBJECT = "1.2.3", "1.2.3.4.5"
PAGES = [
    "/audit", "/audit/search", "/audit/search?who=eva", "/audit/patient?id=P1",
    "/audit/person?id=eva", f"/audit/study?id={STUDY}", f"/audit/object?id={OBJECT}",
    f"/audit/records/{name_of(record(1))}", "/audit/verification",
]  # fmt: skip


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the time of the newest record, and a little later."""
    set_clock(monkeypatch, AT + timedelta(minutes=7))


def set_clock(monkeypatch: pytest.MonkeyPatch, now: datetime) -> None:
    monkeypatch.setattr(audit_routes, "Shell", partial(Shell, now=lambda: now))


def some() -> Web:
    return serving(
        *(record(number) for number in range(5)),
        record(6, action=AuditAction.VERIFY, detail="audit trail: 4 records of 1 chains"),
        record(8, action=AuditAction.EXPORT, destination="SURGERY2", detail="C-MOVE"),
        record(9, action=AuditAction.NETWORK, outcome=AuditOutcome.FAILURE, error="not known"),
    )


async def page(web: Web, path: str, **headers: str) -> Any:
    """A page, parsed; it is whole."""
    answer = await web.get(path, **headers)
    assert answer.status_code == 200, answer.text
    return parsed(answer)


def parsed(answer: httpx.Response) -> Any:
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.rstrip().endswith("</html>")
    return html.document_fromstring(answer.content)


def text(node: Any) -> str:
    """As it is heard."""
    return re.sub(r" ([,.:])", r"\1", " ".join(" ".join(node.itertext()).split()))


async def submit(web: Web, path: str, fields: list[tuple[str, str]]) -> httpx.Response:
    return await ask(
        web, "POST", path, content=urlencode(fields),
        headers={"content-type": "application/x-www-form-urlencoded", "origin": "http://pacs.test"},
    )  # fmt: skip


@cache
def hospital() -> MemoryTrail:
    return audit_scene.scene()


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Web:
    set_clock(monkeypatch, audit_scene.NOW)
    return Web(trail=hospital())
