"""A generation beside the one in use: made, guarded by a lock, put into use or removed.

The lock is one document in an index of its own. Its owner writes it again and again; one that has
been silent for `SILENT` seconds has lost it to whoever takes it over.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterable, Mapping

from isocenter.adapters.index.elasticsearch.client import (
    ElasticsearchClient,
    Json,
    Place,
    State,
    Write,
    encoded,
)
from isocenter.adapters.index.elasticsearch.errors import AlreadyThere, IndexMissing
from isocenter.adapters.index.elasticsearch.schema import (
    KINDS,
    STUDIES,
    Generation,
    Use,
    alias,
    definition,
    index_pattern,
    other_schemas,
    schema_of,
    uses,
)
from isocenter.adapters.settings import ElasticsearchSettings
from isocenter.core.errors import IsocenterError, Unavailable

logger = logging.getLogger(__name__)

SILENT = 300.0  # seconds
BEAT = 20.0
_ID = "rebuild"


async def make_indices(
    client: ElasticsearchClient,
    generation: Generation,
    settings: ElasticsearchSettings,
    kinds: Iterable[str],
    *,
    in_use: bool,
) -> list[str]:
    """Make the indices of these kinds, as far as they are not there; their names."""
    wanted = list(kinds)

    async def make(kind: str) -> bool:
        body = definition(generation, kind, settings, in_use=in_use)
        return await create(client, generation.index(kind), body)

    made = await asyncio.gather(*(make(kind) for kind in wanted))
    return [generation.index(kind) for kind, new in zip(wanted, made, strict=True) if new]


async def create(client: ElasticsearchClient, index: str, body: Json) -> bool:
    """Make an index; whether there was none."""
    try:
        await client.request("PUT", f"/{index}", body)
    except AlreadyThere:
        return False
    return True


async def delete(client: ElasticsearchClient, indices: Iterable[str]) -> None:
    """Remove indices, as far as they are there."""
    if names := ",".join(indices):
        params = {"ignore_unavailable": "true"}
        await client.request("DELETE", f"/{names}", params=params)


class Lock:
    """The right to rebuild, for one at a time."""

    def __init__(self, client: ElasticsearchClient, owner: str) -> None:
        self._client = client
        self._owner = owner
        self._prefix = client.address.prefix
        self._state: State | None = None
        self._beating: asyncio.Task[None] | None = None

    @property
    def _place(self) -> Place:
        return Place(f"{self._prefix}-rebuild.lock", _ID, _ID)

    async def take(self, settings: ElasticsearchSettings) -> None:
        """Raises `Unavailable` if another has it."""
        fields: Json = {"owner": {"type": "keyword"}, "at": {"type": "double"}}
        await create(
            self._client,
            f"{self._prefix}-rebuild",
            {
                "aliases": {self._place.index: {}},
                "settings": {"number_of_shards": 1, "number_of_replicas": settings.replicas},
                "mappings": {
                    "_meta": {"isocenter": "rebuild"}, "dynamic": "strict", "properties": fields,
                },
            },
        )  # fmt: skip
        (held,) = await self._client.get([self._place])
        # Clocks differ by less than that, or else by so much that the log would tell.
        if held and held.source["at"] > time.time() - SILENT:
            raise _under_way()
        self._state = held.state if held else None
        await self._beat()
        self._beating = asyncio.create_task(self._keep())

    async def check(self) -> None:
        """Raises `Unavailable` if it has been lost."""
        if self._beating is None or self._beating.done():
            raise Unavailable(
                "the rebuild has been silent for so long that another has taken its place",
                fix="run `isocenter rebuild` again when no other is under way",
            )
        await self._beat()

    async def give_back(self) -> None:
        """Let others rebuild."""
        beating, self._beating = self._beating, None
        if beating is None:
            return
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        if self._state is not None:
            await self._client.write([self._write(None)])

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            try:
                await self._beat()
            except IsocenterError as error:
                if self._state is None:
                    return
                logger.warning("a rebuild cannot renew its lock", extra={"error": error.message})

    async def _beat(self) -> None:
        doc = encoded({"owner": self._owner, "at": time.time()})
        (self._state,) = await self._client.write([self._write(doc)])
        if self._state is None:
            # An answer that got lost leaves what it was the answer to.
            (held,) = await self._client.get([self._place])
            if held is None or held.source["owner"] != self._owner:
                raise _under_way()
            self._state = held.state

    def _write(self, doc: bytes | None) -> Write:
        return Write(self._place.index, _ID, _ID, doc, self._state)


def _under_way() -> Unavailable:
    return Unavailable(
        "another rebuild of the search index is under way", fix="wait until it is done"
    )


class Rebuild:
    """A generation that is being filled, and the lock that guards it."""

    def __init__(
        self, client: ElasticsearchClient, settings: ElasticsearchSettings, generation: Generation
    ) -> None:
        self._client = client
        self._settings = settings
        self.generation = generation
        self._lock = Lock(client, generation.suffix)
        self._discarded = False

    @classmethod
    async def begin(cls, client: ElasticsearchClient, settings: ElasticsearchSettings) -> Rebuild:
        """An empty generation. What interrupted rebuilds have left is removed."""
        suffix = f"{time.time_ns():x}{secrets.token_hex(2)}"
        made = cls(client, settings, Generation(client.address.prefix, suffix))
        await made._lock.take(settings)
        try:
            in_use = await uses(client)
            _refuse_foreign(client.address.prefix, in_use)
            await delete(client, await _others(client, _indices(in_use)))
            await make_indices(client, made.generation, settings, KINDS, in_use=False)
        except BaseException:
            await made.discard()
            raise
        return made

    async def promote(self) -> None:
        """Put it into use for everyone of this schema at once, and remove what was in use. The
        schema before stays, to go back to; older ones go."""
        await self._lock.check()
        before = await uses(self._client)
        _refuse_foreign(self._client.address.prefix, before)
        actions: list[Json] = []
        for kind in KINDS:
            name = alias(self._client.address.prefix, kind)
            actions += [{"remove": {"index": use.index, "alias": name}} for use in before[kind]]
            actions.append({"add": {"index": self.generation.index(kind), "alias": name}})
        await self._client.request("POST", "/_aliases", {"actions": actions})
        self._discarded = True
        await delete(self._client, _indices(before))
        for schema, indices in (await other_schemas(self._client)).items():
            if schema < schema_of(STUDIES) - 1:
                await delete(self._client, indices)
        await self._lock.give_back()

    async def discard(self) -> None:
        """Remove it, unless it is in use."""
        if self._discarded:
            return
        self._discarded = True
        indices = _indices(await uses(self._client))
        await delete(self._client, {self.generation.index(kind) for kind in KINDS} - indices)
        await self._lock.give_back()


def _indices(found: Mapping[str, list[Use]]) -> set[str]:
    return {use.index for kind in found for use in found[kind]}


def _refuse_foreign(prefix: str, found: Mapping[str, list[Use]]) -> None:
    for kind, some in found.items():
        if any(use.kind != kind or not use.suffix for use in some):
            raise Unavailable(
                f"index: {alias(prefix, kind)} is not an index of isocenter",
                fix="set another prefix in index: elasticsearch://host:port/prefix",
            )


async def _others(client: ElasticsearchClient, in_use: set[str]) -> set[str]:
    """Our indices of this version's schema that no alias of everyone's leads to."""
    prefix = client.address.prefix
    pattern = index_pattern(prefix)
    patterns = ",".join(f"{prefix}-{kind}-v{schema_of(kind)}-*" for kind in KINDS)
    try:
        answer = await client.request(
            "GET", f"/{patterns}", params={"filter_path": "*.mappings._meta"}
        )
    except IndexMissing:
        return set()
    return {
        index
        for index, facts in answer.items()
        if (named := pattern.fullmatch(index))
        and facts["mappings"].get("_meta", {}).get("isocenter") == named[1]
        and index not in in_use
    }
