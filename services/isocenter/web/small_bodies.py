"""Bodies of requests that are small: JSON objects and forms."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qsl

import orjson

from isocenter.core.errors import Invalid
from isocenter.web.exchange import Exchange
from isocenter.web.negotiation import JSON
from isocenter.web.problems import Problem

FORM = "application/x-www-form-urlencoded"

_MAX_BODY = 256 * 1024  # bytes
_MAX_FIELDS = 200


async def fields(exchange: Exchange) -> Mapping[str, Any]:
    """The JSON object of a request; of an empty body an empty one. Raises `Invalid`, and
    `Problem`s of HTTP."""
    body = await _read(exchange)
    if not body:
        return {}
    _check(exchange, JSON)
    try:
        found = orjson.loads(body)
    except ValueError as error:
        raise Invalid("the body is not JSON", fix="send a JSON object") from error
    if not isinstance(found, dict):
        raise Invalid("the body is no JSON object", fix='send {"name": ...}')
    return found


async def form(exchange: Exchange) -> list[tuple[str, str]]:
    """The fields of a form. Raises `Invalid`, and `Problem`s of HTTP."""
    body = await _read(exchange)
    if body:
        _check(exchange, FORM)
    try:
        return parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError as error:
        raise Invalid("the form cannot be read", fix="send UTF-8, percent-encoded") from error


def _check(exchange: Exchange, media: str) -> None:
    given = exchange.header(b"content-type").partition(";")[0].strip().lower()
    if given != media:
        raise Problem(415, f"send this as {media}")


async def _read(exchange: Exchange) -> bytes:
    body = bytearray()
    async with aclosing(exchange.body()) as arriving:
        async for chunk in arriving:
            body += chunk
            if len(body) > _MAX_BODY:
                raise Problem(413, f"the body has more than {_MAX_BODY} bytes")
    return bytes(body)
