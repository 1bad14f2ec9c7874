"""Another archive over DICOMweb: QIDO-RS and WADO-RS (PS3.18 10.6, 10.4) as user agent."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from email.message import Message

import httpx

from isocenter.core import part10
from isocenter.core.errors import (
    Invalid,
    IsocenterError,
    NotFound,
    Refused,
    Unavailable,
    Unprocessable,
    Unsupported,
)
from isocenter.core.matching import JsonAttributes, Key, Level
from isocenter.core.remote import (
    SERIES_UID,
    STUDY_UID,
    Arrival,
    KeeperFailed,
    Listed,
    Receiver,
)
from isocenter.web.multipart import BrokenBody, MultipartReader

_TIMEOUT = httpx.Timeout(30, read=300)
_PAGE = 1000
_CHUNK = 256 * 1024
_OBJECTS = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_RESOURCES = {Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}
_STUDY, _SERIES = (STUDY_UID, "studies"), (SERIES_UID, "series")
_ABOVE: Mapping[Level, Sequence[tuple[str, str]]] = {
    Level.STUDY: (),
    Level.SERIES: (_STUDY,),
    Level.INSTANCE: (_STUDY, _SERIES),
}
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504, 507})


class WebArchive:
    """See `core.remote.RemoteArchive`."""

    def __init__(
        self,
        root: str,
        *,
        tls: ssl.SSLContext | None = None,
        shown: Mapping[str, str] | None = None,
    ) -> None:
        """`tls` checks an https server, and shows our certificate; None: as the system does.
        `shown`: header fields that say who asks; not told to others that it leads to."""
        self._root = root
        self._client = httpx.AsyncClient(
            timeout=_TIMEOUT,
            verify=True if tls is None else tls,
            follow_redirects=True,
            headers=shown,
        )

    async def find(
        self, level: Level, keys: Sequence[Key], limit: int = 0
    ) -> AsyncGenerator[JsonAttributes, None]:
        """QIDO-RS, page after page."""
        path, query = _search(level, keys)
        count, first = 0, None
        while True:
            size = min(_PAGE, limit - count) if limit else _PAGE
            params = [*query, ("limit", str(size)), ("offset", str(count))]
            page = await self._page(path, params)
            if not page or page[0] == first:  # or a server that knows no offset
                return
            first = page[0]
            for one in page[: size if limit else None]:
                yield one
            count += len(page)
            if limit and count >= limit:
                return

    async def retrieve(
        self, study: str, wanted: Sequence[Listed], receiver: Receiver, *, whole: bool
    ) -> str:
        """WADO-RS, of the whole study or of instance after instance."""
        of_study = f"/studies/{study}"
        if whole:
            return await self._objects(of_study, receiver)
        problem = ""
        for one in wanted:
            path = f"{of_study}/series/{one.series}/instances/{one.instance}"
            try:
                problem = await self._objects(path, receiver) or problem
            except NotFound as error:
                problem = error.message
        return problem

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _page(self, path: str, params: list[tuple[str, str]]) -> list[JsonAttributes]:
        headers = {"Accept": "application/dicom+json"}
        async with self._get(path, headers, params) as response:
            if response.status_code == 204:
                return []
            await response.aread()
            try:
                page = response.json()
            except ValueError:
                page = None
        if not isinstance(page, list) or not all(isinstance(one, dict) for one in page):
            raise Unsupported(
                f"{self._root}{path} answers {response.status_code}, but not in DICOM JSON",
                fix="check that the address is a DICOMweb root",
            )
        return [_row(one) for one in page]

    async def _objects(self, path: str, receiver: Receiver) -> str:
        """Hand every object of an answer on; what could not be taken is the receiver's to know."""
        problem = ""
        async with self._get(path, {"Accept": _OBJECTS}) as response:
            chunks = _bytes(response, self._root)
            reader = MultipartReader(chunks, _boundary(response))
            async with aclosing(reader.parts()) as parts:
                try:
                    async for part in parts:
                        meta, data_set = await part10.split(part.body)
                        arrival = Arrival(meta.sop_class, meta.instance, meta.transfer_syntax)
                        try:
                            await receiver.take(arrival, data_set)
                        except (KeeperFailed, Unavailable, BrokenBody):
                            raise
                        except IsocenterError as error:
                            problem = error.message
                except BrokenBody as error:
                    raise Unavailable(f"{self._root} broke an answer off") from error
        return problem

    @asynccontextmanager
    async def _get(
        self,
        path: str,
        headers: Mapping[str, str],
        params: Sequence[tuple[str, str]] = (),
    ) -> AsyncIterator[httpx.Response]:
        url = f"{self._root}{path}"
        try:
            async with self._client.stream(
                "GET", url, headers=dict(headers), params=list(params) or None
            ) as response:
                if response.status_code not in (200, 204, 206):
                    await response.aread()
                    raise _failure(response, url)
                yield response
        except httpx.HTTPError as error:
            raise _gone(self._root, error) from error


def _row(answer: Mapping[str, object]) -> JsonAttributes:
    """What of an answer has the form of the DICOM JSON Model (PS3.18 F.2.2)."""
    return {
        tag: element
        for tag, element in answer.items()
        if isinstance(element, dict) and isinstance(element.get("Value", []), list)
    }


def _gone(root: str, error: httpx.HTTPError) -> Unavailable:
    return Unavailable(
        f"{root} does not answer: {str(error) or type(error).__name__}",
        fix="check the address and that the peer runs",
    )


def _failure(response: httpx.Response, url: str) -> IsocenterError:
    status = response.status_code
    message = f"{url} answers {status} {response.reason_phrase}".strip()
    if status in _LATER:
        return Unavailable(message)
    if status in (401, 403):
        return Refused(message, fix="check what the peer asks of who calls it")
    if status in (404, 410):
        return NotFound(message, fix="check that the address is a DICOMweb root")
    if status == 400:
        return Invalid(message, fix="check the keys")
    return Unsupported(message, fix="check that the address is a DICOMweb root")


async def _bytes(response: httpx.Response, root: str) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_bytes(_CHUNK):
            yield chunk
    except httpx.HTTPError as error:
        raise _gone(root, error) from error


def _boundary(response: httpx.Response) -> str:
    header = Message()
    header["Content-Type"] = response.headers.get("content-type", "")
    boundary = header.get_param("boundary")
    if header.get_content_maintype() != "multipart" or not isinstance(boundary, str):
        raise Unprocessable(
            f"{response.url} answers with {header.get_content_type()} instead of objects",
            fix="check that the address is a DICOMweb root",
        )
    return boundary


def _search(level: Level, keys: Sequence[Key]) -> tuple[str, list[tuple[str, str]]]:
    """The resource (PS3.18 table 10.6.1-5) and the query of a search."""
    if level is Level.PATIENT:
        raise Unsupported("QIDO-RS does not search patients", fix="search studies")
    single = {key.tag: key.values[0] for key in keys if len(key.values) == 1}
    path, in_path = "", set()
    for tag, resource in _ABOVE[level]:
        if tag not in single:
            break
        path += f"/{resource}/{single[tag]}"
        in_path.add(tag)
    query = [
        (key.tag, ",".join(key.values)) if any(key.values) else ("includefield", key.tag)
        for key in keys
        if key.tag not in in_path
    ]
    return f"{path}/{_RESOURCES[level]}", query
