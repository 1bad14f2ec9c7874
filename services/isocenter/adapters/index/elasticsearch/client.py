"""One Elasticsearch cluster: where it is, requests, bulk writes, errors translated.

Every write names the state of the document that it replaces (`State`), or that there was none:
nothing is overwritten unseen. No attribute but UIDs goes into a URL, since those end up in logs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from elastic_transport import OrjsonSerializer
from elasticsearch import ApiError, AsyncElasticsearch, TransportError

from isocenter.adapters.index.elasticsearch.errors import item_error, passes, translated
from isocenter.adapters.settings import ElasticsearchSettings
from isocenter.core.errors import Invalid, Unavailable, Unprocessable

Json = dict[str, Any]
State = tuple[int, int]  # sequence number and primary term of a document

SEARCH_SECONDS = 10.0
WRITE_SECONDS = 30.0
CONNECTIONS = 32
_PORT = 9200
_PREFIX = "isocenter"
_PAUSES = (0.1, 0.3, 1.0)  # before what did not get through is sent again
_BULK_BYTES = 8 * 1024 * 1024
_MGET = 1000
_ROUTING = 2000  # characters in a URL, of which a server takes 4096; else all shards are asked

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_CONFLICT = 409


@dataclass(frozen=True, slots=True)
class Address:
    """Where the cluster is, and what the names of our indices begin with."""

    hosts: tuple[str, ...]  # "host:port"
    prefix: str
    encrypted: bool

    @classmethod
    def of(cls, url: str, settings: ElasticsearchSettings) -> Address:
        """The address in the setting `index`. Raises `Invalid`; the URL is not in the message,
        since it may hold a secret that should be elsewhere."""
        places, _, prefix = url.partition("://")[2].partition("/")
        found = [_HOST.fullmatch(place) for place in places.split(",")]
        prefix = prefix.removesuffix("/") or _PREFIX
        hosts = [(host[1], int(host[2] or _PORT)) for host in found if host]
        ports = all(0 < port < 2**16 for _, port in hosts)
        if len(hosts) != len(found) or not ports or not _NAME.fullmatch(prefix):
            raise Invalid(
                "index: the URL is not the hosts and the prefix of an Elasticsearch cluster",
                fix="write elasticsearch://host:port,host:port/prefix (a-z, 0-9, '-' and '_' for"
                " the prefix), and the user as [elasticsearch] username and password",
            )
        return cls(
            tuple(f"{host}:{port}" for host, port in hosts),
            prefix,
            settings.encrypted([host for host, _ in hosts]),
        )

    def __str__(self) -> str:
        return ", ".join(self.hosts)


@dataclass(frozen=True, slots=True)
class Held:
    """A document as the cluster has it."""

    state: State
    source: Json


@dataclass(frozen=True, slots=True)
class Write:
    """A document to create, replace or (no `doc`) delete."""

    index: str  # an alias of one index
    id: str
    routing: str
    doc: bytes | None
    state: State | None = None  # of the document it takes the place of; None: there is none


@dataclass(frozen=True, slots=True)
class Place:
    """A document to get, and which fields of it (None: all)."""

    index: str
    id: str
    routing: str
    fields: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()


class ElasticsearchClient:
    """Requests to one cluster."""

    def __init__(self, address: Address, settings: ElasticsearchSettings) -> None:
        self.address = address
        self._closed = False
        scheme = "https" if address.encrypted else "http"
        options: dict[str, Any] = {}
        if address.encrypted and settings.ca_file:
            options["ca_certs"] = str(settings.ca_file)
        self._client = AsyncElasticsearch(
            [f"{scheme}://{host}" for host in address.hosts],
            serializers={"application/json": OrjsonSerializer()},
            connections_per_node=CONNECTIONS,
            max_retries=0,
            **options,
        )
        self._settings = settings
        self._patient: Mapping[float, AsyncElasticsearch] = {}
        self._shown: Json | None = None

    @classmethod
    def open(cls, url: str, settings: ElasticsearchSettings) -> ElasticsearchClient:
        """Nothing is asked: the cluster may be away. Raises `Invalid`."""
        address = Address.of(url, settings)
        if settings.username and settings.has("api_key"):
            raise Invalid(
                "[elasticsearch] has a username and an api_key", fix="leave one of them empty"
            )
        try:
            return cls(address, settings)
        except (ValueError, OSError) as error:
            raise Invalid(
                f"[elasticsearch] ca_file cannot be used: {type(error).__name__}",
                fix="name a file of certificates in PEM form",
            ) from error

    async def close(self) -> None:
        """Drop the connections; requests under way end with an error."""
        self._closed = True
        await self._client.close()

    # --- requests --------------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, str] | None = None,
        seconds: float = WRITE_SECONDS,
    ) -> Json:
        """What the cluster answers; repeated while that may help, so it must do no harm."""
        headers = {"accept": "application/json"}
        if body is not None:
            many = isinstance(body, bytes)
            headers["content-type"] = f"application/{'x-ndjson' if many else 'json'}"
            body = body if many else encoded(body)
        for pause in (*_PAUSES, None):
            try:
                return await self._perform(method, path, body, params, headers, seconds)
            except (ApiError, TransportError) as error:
                if pause is None or not passes(error):
                    raise translated(error, str(self.address)) from error
            await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _perform(
        self,
        method: str,
        path: str,
        body: object,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
        seconds: float,
    ) -> Json:
        if self._closed:
            raise _closed()
        try:
            response = await self._asking(seconds).perform_request(
                method, path, params=params, headers=headers, body=body
            )
        except RuntimeError as error:  # of the library, for a session that is closed meanwhile
            if self._closed:
                raise _closed() from error
            raise
        answer: Json = response.body
        return answer

    def _asking(self, seconds: float) -> AsyncElasticsearch:
        """The client that waits so long, and shows what lets us in now. Raises `Unavailable`."""
        shown = _credentials(self._settings)
        if shown != self._shown:
            self._patient = {
                patience: self._client.options(request_timeout=patience, **shown)
                for patience in (SEARCH_SECONDS, WRITE_SECONDS)
            }
            self._shown = shown
        return self._patient[seconds]

    async def refresh(self, *indices: str) -> None:
        """Everything written to these indices before is found from now on."""
        _whole(await self.request("POST", f"/{','.join(indices)}/_refresh"))

    async def search(self, index: str, body: Json, *, routing: Sequence[str] = ()) -> Json:
        """A search that answers wholly or not at all. No index: one of a point in time."""
        params = {"allow_partial_search_results": "false"}
        if routing and len(where := ",".join(routing)) < _ROUTING:
            params["routing"] = where
        path = f"/{index}/_search" if index else "/_search"
        return _whole(await self.request("POST", path, body, params=params, seconds=SEARCH_SECONDS))

    async def get(self, places: Sequence[Place]) -> list[Held | None]:
        """Documents as they are now, whether or not searches find them yet."""
        found: list[Held | None] = []
        for start in range(0, len(places), _MGET):
            docs = [_get(place) for place in places[start : start + _MGET]]
            answer = await self.request("POST", "/_mget", {"docs": docs})
            found += [self._held(doc) for doc in answer["docs"]]
        return found

    def _held(self, doc: Json) -> Held | None:
        if "error" in doc:
            raise item_error(doc.get("status", 0), doc["error"], str(self.address))
        if not doc["found"]:
            return None
        return Held((doc["_seq_no"], doc["_primary_term"]), doc.get("_source", {}))

    # --- writing ---------------------------------------------------------------------------------

    async def write(self, writes: Sequence[Write]) -> list[State | None]:
        """The new state of each document, or None where it was no longer as `Write.state` says.

        All writes are tried; raises the worst of what went wrong with any."""
        states: dict[int, State | None] = {}
        left = list(range(len(writes)))
        for pause in (*_PAUSES, None):
            left = await self._write(writes, left, states, last=pause is None)
            if not left:
                break
            await asyncio.sleep(pause or 0)
        return [states[at] for at in range(len(writes))]

    async def _write(
        self,
        writes: Sequence[Write],
        places: Sequence[int],
        states: dict[int, State | None],
        *,
        last: bool,
    ) -> list[int]:
        """The places of writes that the cluster was too busy for."""
        busy: list[int] = []
        wrong: list[Exception] = []
        for chunk, body in _bodies(writes, places):
            answer = await self.request("POST", "/_bulk", body, params={"require_alias": "true"})
            for at, item in zip(chunk, answer["items"], strict=True):
                (result,) = item.values()
                if "error" not in result:
                    states[at] = (result["_seq_no"], result["_primary_term"])
                elif result["status"] == _CONFLICT:
                    states[at] = None
                elif _is_busy(result) and not last:
                    busy.append(at)
                else:
                    wrong.append(item_error(result["status"], result["error"], str(self.address)))
        if wrong:
            # What may succeed later is told first: then nothing is blamed on a document.
            raise min(wrong, key=lambda error: not isinstance(error, Unavailable))
        return busy


def _credentials(settings: ElasticsearchSettings) -> Json:
    """What the client shows of us; nothing where no sign-in is set."""
    if settings.username:
        return {"basic_auth": (settings.username, settings.secret("password"))}
    return {"api_key": settings.secret("api_key")} if settings.has("api_key") else {}


def _closed() -> Unavailable:
    return Unavailable("the search index is closed", fix="this process is stopping")


def _get(place: Place) -> Json:
    doc: Json = {"_index": place.index, "_id": place.id, "routing": place.routing}
    if place.fields is not None:
        doc["_source"] = list(place.fields) or False
    if place.without:
        doc["_source"] = {"excludes": list(place.without)}
    return doc


def encoded(value: object) -> bytes:
    """JSON. Raises `Unprocessable` for what has none."""
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise Unprocessable(
            "an attribute's value cannot be told to the search index: it is no valid Unicode text,"
            " or a number of more than 64 bits",
            fix="correct the character set of the data set, or of the key",
        ) from error


def _bodies(writes: Sequence[Write], places: Sequence[int]) -> Iterator[tuple[list[int], bytes]]:
    """Bodies of bounded size, each with the places of its writes."""
    chunk: list[int] = []
    lines: list[bytes] = []
    size = 0
    for at in places:
        write = writes[at]
        chunk.append(at)
        lines.append(_action(write))
        if write.doc is not None:
            lines.append(write.doc)
            size += len(write.doc)
        if size > _BULK_BYTES:
            yield chunk, b"\n".join(lines) + b"\n"
            chunk, lines, size = [], [], 0
    if chunk:
        yield chunk, b"\n".join(lines) + b"\n"


def _action(write: Write) -> bytes:
    meta: Json = {"_index": write.index, "_id": write.id, "routing": write.routing}
    if write.state is None:
        return encoded({"create": meta})
    meta["if_seq_no"], meta["if_primary_term"] = write.state
    return encoded({"delete" if write.doc is None else "index": meta})


def _is_busy(result: Json) -> bool:
    kind = result["error"].get("type", "")
    return kind in {"es_rejected_execution_exception", "unavailable_shards_exception"}


def _whole(answer: Json) -> Json:
    """The answer, if all shards have contributed: half a result is none."""
    if answer.get("timed_out") or answer["_shards"].get("failed"):
        raise Unavailable(
            "a part of the search index does not answer", fix="look at the cluster's health"
        )
    return answer
