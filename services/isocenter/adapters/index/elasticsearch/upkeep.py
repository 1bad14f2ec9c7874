"""Looking after the indices of the search index and of the audit trail on Elasticsearch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, Self

from isocenter.adapters.index.elasticsearch.client import ElasticsearchClient, Json, Write
from isocenter.adapters.index.elasticsearch.rebuild import make_indices
from isocenter.adapters.index.elasticsearch.schema import (
    AUDIT,
    FIRST,
    KINDS,
    STUDIES,
    Generation,
    Use,
    alias,
    other_schemas,
    problem,
    uses,
)
from isocenter.adapters.settings import ElasticsearchSettings
from isocenter.core.errors import IsocenterError
from isocenter.core.upkeep import Finding

_NEARLY_FULL = 0.85  # of a disk; no new shards beyond it (cluster.routing.allocation.disk.*)
_HEALTH = {
    "green": "",
    "yellow": "add nodes for the copies of the indices, or lower their index.number_of_replicas"
    " and [elasticsearch] replicas",
    "red": "look at the log of Elasticsearch: a part of an index has no copy that answers",
}
_INCOMPLETE = "run `isocenter rebuild`"
_UNFILLED = "fill it from the objects with `isocenter check --prepare`; other versions go on"
_NOTHING = (0, 1)  # a state of no document, since the id below is never written


class ElasticsearchUpkeep:
    """Checks and makes the indices behind the setting `index`."""

    def __init__(self, client: ElasticsearchClient, settings: ElasticsearchSettings) -> None:
        self._client = client
        self._settings = settings
        self._prefix = client.address.prefix

    @classmethod
    async def open(cls, url: str, settings: ElasticsearchSettings) -> Self:
        """Nothing is asked: the cluster may be away."""
        return cls(ElasticsearchClient.open(url, settings), settings)

    async def check(self) -> Sequence[Finding]:
        """See `Upkeep`."""
        what = f"Elasticsearch at {self._client.address}"
        try:
            version = str((await self._client.request("GET", "/"))["version"]["number"])
            found = [_version(what, version)]
            if found[0].fix:
                return found  # what another version answers need not mean what it says
            found += await self._health()
            found += await self._disks()
            found += await self._indices()
        except IsocenterError as error:
            return [Finding(what, error.message, error.fix or "look at its log")]
        return found

    async def prepare(self) -> Sequence[str]:
        """See `Upkeep`. What is missing beside indices that hold something is not made: an index
        that lacks a part must be rebuilt."""
        found = await uses(self._client, (*KINDS, AUDIT))
        made: list[str] = []
        missing = [kind for kind in KINDS if not found[kind]]
        if missing and (generation := await self._to_complete(found)):
            made += await self._make(generation, missing)
        if not found[AUDIT]:
            made += await self._make(Generation(self._prefix, FIRST), [AUDIT])
        return [f"index {name}" for name in made]

    async def close(self) -> None:
        """Release everything."""
        await self._client.close()

    async def _make(self, generation: Generation, kinds: Sequence[str]) -> list[str]:
        return await make_indices(self._client, generation, self._settings, kinds, in_use=True)

    async def _to_complete(self, found: Mapping[str, list[Use]]) -> Generation | None:
        """The generation that the missing indices belong to, if there is nothing in it yet."""
        present = {kind: found[kind] for kind in KINDS if found[kind]}
        if not present:
            # Beside that of another version it is filled before it is put into use.
            beside = await other_schemas(self._client)
            return None if beside else Generation(self._prefix, FIRST)
        suffixes = {use.suffix for some in present.values() for use in some}
        if len(suffixes) > 1 or any(problem(self._prefix, k, some) for k, some in present.items()):
            return None
        names = ",".join(alias(self._prefix, kind) for kind in present)
        await self._client.refresh(names)
        counted = await self._client.request("GET", f"/{names}/_count")
        return None if counted["count"] else Generation(self._prefix, suffixes.pop())

    # --- findings --------------------------------------------------------------------------------

    async def _health(self) -> list[Finding]:
        answer = await self._client.request("GET", f"/_cluster/health/{self._prefix}-*")
        health = str(answer["status"])
        return [Finding("health of the indices", health, _HEALTH[health])]

    async def _disks(self) -> list[Finding]:
        answer = await self._client.request(
            "GET", "/_nodes/stats/fs", params={"filter_path": "nodes.*.fs.total"}
        )
        used = 0.0
        for node in answer.get("nodes", {}).values():
            total: Json = node.get("fs", {}).get("total", {})
            if total.get("total_in_bytes"):
                free = total["available_in_bytes"] / total["total_in_bytes"]
                used = max(used, 1 - free)
        full = used > _NEARLY_FULL and await self._stops_on_full_disks()
        fix = "make room: at 95 % Elasticsearch makes its indices read-only" if full else ""
        return [Finding("disks of the cluster", f"at most {used:.0%} full", fix)]

    async def _stops_on_full_disks(self) -> bool:
        """Whether its watermarks are on, as they are by default: an administrator may trust other
        limits instead."""
        disk = "cluster.routing.allocation.disk.threshold_enabled"
        params = {"include_defaults": "true", "filter_path": f"*.{disk}"}
        found = await self._client.request("GET", "/_cluster/settings", params=params)
        for level in ("transient", "persistent", "defaults"):  # the first one that says it counts
            said: Any = found.get(level)
            for name in disk.split(".") if said else ():
                said = said[name]
            if said is not None:
                return str(said) == "true"
        return True

    async def _indices(self) -> list[Finding]:
        found = await uses(self._client, (*KINDS, AUDIT))
        missing = [kind for kind in (*KINDS, AUDIT) if not found[kind]]
        others = await other_schemas(self._client)
        findings = [_kept(schema, names) for schema, names in sorted(others.items())]
        unfilled = others and not any(found[kind] for kind in KINDS)
        completable = await self._to_complete(found) is not None
        for kind, some in found.items():
            name = f"index {alias(self._prefix, kind)}"
            wrong = problem(self._prefix, kind, some)
            if wrong is None:
                findings.append(Finding(name, "is there"))
            elif unfilled and kind != AUDIT:
                state = "does not exist yet for this version"
                findings.append(Finding(name, state, _UNFILLED, preparable=True))
            elif kind in missing and not completable and kind != AUDIT:
                findings.append(Finding(name, "is missing beside others in use", _INCOMPLETE))
            else:
                state = wrong.message.removeprefix("index: ")
                findings.append(Finding(name, state, wrong.fix, preparable=kind in missing))
        if not missing:
            findings.append(await self._writable())
        return findings

    async def _writable(self) -> Finding:
        """Tries a write that cannot succeed, since it replaces a document that is not there."""
        name = alias(self._prefix, STUDIES)
        try:
            await self._client.write([Write(name, "check", "check", b"{}", _NOTHING)])
        except IsocenterError as error:
            return Finding("writing to the indices", error.message, error.fix or _INCOMPLETE)
        return Finding("writing to the indices", "is allowed")


def _kept(schema: int, indices: Sequence[str]) -> Finding:
    return Finding(
        f"search index of schema {schema}",
        f"is there for another version of isocenter: {', '.join(sorted(indices))}",
    )


def _version(what: str, server: str) -> Finding:
    ours = metadata.version("elasticsearch")
    major = server.partition(".")[0]
    if major == ours.partition(".")[0]:
        return Finding(what, f"answers, version {server}")
    return Finding(
        what,
        f"has version {server}, the client library {ours}",
        f"run a server of version {ours.partition('.')[0]}, or install the library for this one:"
        f" pip install 'elasticsearch[async]=={major}.*'",
    )
