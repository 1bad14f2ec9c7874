"""Heads of chains as they are published: what others hold so that nobody can cut the end off.

A publication is one line of JSON: `{"at":"<when, ISO 8601 in UTC>","heads":[{"chain":"audit-0",
"last":1200,"head":"<64 hex>","seal":"<64 hex>"}],"key":"<id>","signature":"<Base64>"}`. `last` is
the number of the last record that is sealed, `head` its digest, `seal` the SHA-256 of the file of
its seal. The signature (Ed25519, RFC 8032) is of the line without it: of the same JSON up to `key`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson

from isocenter.audit.keys import PrivateKey
from isocenter.audit.segments import Sealed
from isocenter.core.audit_api import Head
from isocenter.core.errors import Invalid
from isocenter.runtime.audit_records import time_text

_DIGEST = re.compile(r"[0-9a-f]{64}")
_BEGINNING = '{"at":'


class Newest:
    """The newest seal of each chain that somebody is still to be told of."""

    def __init__(self) -> None:
        self._seals: dict[str, Sealed] = {}

    def __bool__(self) -> bool:
        return bool(self._seals)

    def add(self, seals: Iterable[Sealed]) -> None:
        """Seals, each behind those of its chain that were added before."""
        self._seals |= {sealed.seal.chain: sealed for sealed in seals}

    def all(self) -> Sequence[Sealed]:
        """Of every chain the newest one."""
        return list(self._seals.values())

    def told(self, seals: Iterable[Sealed]) -> None:
        """These are known now; newer ones are still to be told."""
        for sealed in seals:
            if self._seals.get(sealed.seal.chain) is sealed:
                del self._seals[sealed.seal.chain]


def publication(seals: Sequence[Sealed], key: PrivateKey, at: datetime) -> bytes:
    """The line of heads, without the newline behind it."""
    heads = [sealed.published for sealed in seals]
    content: dict[str, Any] = {
        "at": time_text(at),
        "heads": [
            {"chain": one.chain, "last": one.last, "head": one.head, "seal": one.seal}
            for one in heads
        ],
        "key": key.id,
    }
    signature = key.private.sign(orjson.dumps(content))
    return orjson.dumps({**content, "signature": base64.b64encode(signature).decode()})


def read_heads(text: Iterable[str]) -> list[Head]:
    """The heads in lines that were published, as they are in a file of heads, or behind the header
    of a syslog message. Raises `Invalid`; signatures are not looked at."""
    found: list[Head] = []
    for number, line in enumerate(text, 1):
        if line.strip():
            found += _heads_in(line, number)
    if not found:
        raise Invalid("there are no heads in it", fix=_FIX)
    return found


def _heads_in(line: str, number: int) -> list[Head]:
    begin = line.find(_BEGINNING)
    try:
        if begin < 0:
            raise ValueError("heads do not begin in it")
        content = orjson.loads(line[begin:])
        heads = [
            Head(one["chain"], one["last"], one["head"], one["seal"], content["at"])
            for one in content["heads"]
        ]
        if not all(map(_is_head, heads)):
            raise ValueError("a value is not what it should be")
    except (KeyError, TypeError, ValueError) as error:
        raise Invalid(f"line {number} holds no heads: {error}", fix=_FIX) from error
    return heads


def _is_head(head: Head) -> bool:
    texts = (head.chain, head.head, head.seal, head.at)
    if not all(isinstance(one, str) for one in texts) or not isinstance(head.last, int):
        return False
    datetime.fromisoformat(head.at)
    return bool(_DIGEST.fullmatch(head.head) and _DIGEST.fullmatch(head.seal))


_FIX = "give the file of audit.heads_file, or the lines with ISOCENTER-HEADS of a collector's file"
