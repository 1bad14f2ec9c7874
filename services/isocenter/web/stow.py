"""STOW-RS (PS3.18 10.5): objects go to ingest as they arrive."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import orjson

from isocenter.core.apis import Announcement, Ingest, Stored
from isocenter.core.errors import Code, Invalid, IsocenterError
from isocenter.core.part10 import FileMeta, split
from isocenter.core.transfer_syntax import TRANSFER_SYNTAXES
from isocenter.web import negotiation
from isocenter.web.exchange import Disconnected, Exchange
from isocenter.web.multipart import BrokenBody, MultipartReader, Part
from isocenter.web.negotiation import DICOM, DICOM_JSON, MULTIPART
from isocenter.web.problems import Problem
from isocenter.web.retrieving import resource

logger = logging.getLogger(__name__)

# Failure Reason (0008,1197), PS3.18 table I.2-2.
PROCESSING_FAILURE = 0x0110
TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122
FAILURE_REASONS: Mapping[Code, int] = {
    Code.INVALID: 0xC000,
    Code.MISMATCH: 0xA900,
    Code.UNPROCESSABLE: 0xC000,
    Code.NOT_FOUND: PROCESSING_FAILURE,
    Code.CONFLICT: 0x0111,
    Code.REFUSED: 0x0124,
    Code.UNSUPPORTED: 0x0122,
    Code.OUT_OF_RESOURCES: 0xA700,
    Code.UNAVAILABLE: 0xA700,
    Code.CORRUPTED: PROCESSING_FAILURE,
    Code.CANCELLED: PROCESSING_FAILURE,
    Code.DEADLINE: 0xA700,
    Code.INTERNAL: PROCESSING_FAILURE,
}

# If nothing could be stored for one of these reasons, the request as a whole is answered so.
_WHOLE_REQUEST = {
    Code.OUT_OF_RESOURCES: Problem(507, "no room: the disk reserve is reached; free some space"),
    Code.UNAVAILABLE: Problem(
        503, "something this depends on is down; send again", [(b"retry-after", b"5")]
    ),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """A part that is not kept."""

    code: Code
    reason: int
    meta: FileMeta | None  # None: it is not even a DICOM file


@dataclass(slots=True)
class Outcome:
    """What became of the parts of one request."""

    stored: list[Stored] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)

    @property
    def status(self) -> int:
        """PS3.18 table 10.5.3-1."""
        if not self.failed:
            return 200
        return 202 if self.stored else 409

    def document(self, root: str, study: str) -> dict[str, Any]:
        """The Store Instances Response (PS3.18 table I.2-1) in the DICOM JSON Model."""
        answer: dict[str, Any] = {}
        study = study or (self.stored[0].name.study if self.stored else "")
        if study and all(one.name.study == study for one in self.stored):
            answer["00081190"] = _value("UR", f"{root}/studies/{study}")
        known = [one for one in self.failed if one.meta and one.meta.instance]
        others = [one for one in self.failed if not (one.meta and one.meta.instance)]
        answer["00081198"] = [_failed(one) for one in known]
        answer["00081199"] = [_referenced(one, root) for one in self.stored]
        answer["0008119A"] = [{"00081197": _value("US", one.reason)} for one in others]
        return {
            tag: {"vr": "SQ", "Value": value} if isinstance(value, list) else value
            for tag, value in answer.items()
            if value
        }


def _value(vr: str, value: str | int) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]} if value else {"vr": vr}


def _referenced(stored: Stored, root: str) -> dict[str, Any]:
    return {
        "00081150": _value("UI", stored.sop_class),
        "00081155": _value("UI", stored.name.instance),
        "00081190": _value("UR", resource(root, stored.name)),
    }


def _failed(failure: Failure) -> dict[str, Any]:
    assert failure.meta is not None
    return {
        "00081150": _value("UI", failure.meta.sop_class),
        "00081155": _value("UI", failure.meta.instance),
        "00081197": _value("US", failure.reason),
    }


class Stow:
    """The store transaction."""

    def __init__(self, *, ingest: Ingest) -> None:
        self._ingest = ingest

    async def store(self, exchange: Exchange) -> None:
        """Answers when every part is durable or has failed."""
        boundary = _boundary(exchange)
        negotiation.json_only(exchange)
        exchange.parameters("accept")
        _check_length(exchange)
        study, root = exchange.path.get("study", ""), exchange.root
        outcome = Outcome()
        async with aclosing(exchange.body()) as body:
            reader = MultipartReader(body, boundary)
            async with aclosing(reader.parts()) as parts:
                async for part in parts:
                    _check_count(exchange, outcome)
                    await self._part(exchange, part, study, outcome)
        if not outcome.stored and not outcome.failed:
            raise Invalid("the body has no parts", fix="send each object as a part")
        codes = {failure.code for failure in outcome.failed}
        if not outcome.stored and len(codes) == 1 and (problem := _WHOLE_REQUEST.get(codes.pop())):
            raise Problem(problem.status, problem.detail, problem.headers)
        headers = [(b"content-type", DICOM_JSON.encode("ascii"))]
        document = orjson.dumps(outcome.document(root, study))
        await exchange.answer(outcome.status, headers, document)

    async def _part(self, exchange: Exchange, part: Part, study: str, outcome: Outcome) -> None:
        meta: FileMeta | None = None
        try:
            _check_media_type(part)
            meta, data_set = await split(part.body)
            # The data set names the instance. File Meta Information of other writers often does
            # not agree with it, and nothing of it but the transfer syntax is kept.
            announcement = Announcement(
                source=exchange.source, transfer_syntax=meta.transfer_syntax, study=study
            )
            async with aclosing(data_set):
                outcome.stored.append(await self._ingest.store(announcement, data_set))
        except (BrokenBody, Disconnected):
            raise
        except IsocenterError as error:
            fields = {"request_id": exchange.request_id, "error": str(error)}
            logger.warning("a part is not kept", extra=fields)
            outcome.failed.append(Failure(error.code, _reason(error, meta), meta))


def _reason(error: IsocenterError, meta: FileMeta | None) -> int:
    if error.code is Code.UNSUPPORTED and meta and meta.transfer_syntax not in TRANSFER_SYNTAXES:
        return TRANSFER_SYNTAX_NOT_SUPPORTED
    return FAILURE_REASONS[error.code]


def _boundary(exchange: Exchange) -> str:
    """The boundary of a body that we can take. Raises a 415 `Problem`, or `Invalid`."""
    text = exchange.header(b"content-type")
    media, parameters = negotiation.media_type(text) if text else ("", {})
    if media != MULTIPART or parameters.get("type", "").lower() != DICOM:
        takes = f'{MULTIPART}; type="{DICOM}"; boundary=...'
        raise Problem(
            415, f"send {takes}", [(b"accept-post", f'{MULTIPART}; type="{DICOM}"'.encode())]
        )
    if exchange.header(b"content-encoding").lower() not in ("", "identity"):
        raise Problem(415, "send the body without Content-Encoding")
    if "boundary" not in parameters:
        raise Invalid("Content-Type has no boundary", fix="see RFC 2046 5.1.1")
    return parameters["boundary"]


def _check_media_type(part: Part) -> None:
    media, _ = negotiation.media_type(part.headers.get("content-type", DICOM))
    if media != DICOM:
        raise Invalid("a part is not of type application/dicom")


def _check_length(exchange: Exchange) -> None:
    length = exchange.header(b"content-length")
    most = exchange.settings.max_upload
    if length.isdigit() and int(length) > most:
        raise Problem(413, f"the body has more than {most} bytes; send fewer objects")


def _check_count(exchange: Exchange, outcome: Outcome) -> None:
    most = exchange.settings.max_parts
    if len(outcome.stored) + len(outcome.failed) >= most:
        raise Problem(413, f"the body has more than {most} parts; send fewer objects")
