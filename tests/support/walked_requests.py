"""A request of a walk over all routes, and what came back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

PREPARING = "preparation of the walk"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"


@dataclass
class Asked:
    """One request."""

    values: dict[str, str]  # of the placeholders of the path
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    media: str = ""
    accept: str = "*/*"
    cookie: str = ""
    token: str = ""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    cookie: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case


Prepare = Callable[[Any, Asked], None]  # of `walked_routes.Routes`
