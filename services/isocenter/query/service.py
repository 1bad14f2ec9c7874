"""`core.apis.Query`: validates and completes a search, and lets the index answer it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import replace
from typing import cast

import orjson

from isocenter.core.apis import Storage
from isocenter.core.attributes import BY_TAG
from isocenter.core.errors import Invalid, IsocenterError, Unavailable
from isocenter.core.identity import KEY_COMPONENT
from isocenter.core.matching import JsonAttributes, Key, Level, Search, joined, parse
from isocenter.core.ports import Match, StudyIndex
from isocenter.query.settings import QuerySettings
from isocenter.runtime.role import Env

_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_SEPARATORS = str.maketrans("", "", "(), ")


class QueryService:
    """DICOM matching over the index."""

    def __init__(self, *, index: StudyIndex, storage: Storage, settings: QuerySettings) -> None:
        self._index = index
        self._storage = storage
        self._settings = settings

    async def search(self, search: Search) -> AsyncIterator[Sequence[Match]]:
        """See `Query`. Raises `Invalid`, `Unavailable`."""
        search = self._checked(search)
        beyond = _beyond_the_index(search)
        answers = self._index.search(search)
        try:
            async for batch in answers:
                yield batch if beyond is None else await self._completed(search, batch, beyond)
        except IsocenterError as error:
            raise _seen_from_outside(error) from error
        finally:
            # Closing stops the index's work; iterators without it have none to stop.
            if isinstance(answers, AsyncGenerator):
                await answers.aclose()

    async def count(self, search: Search) -> int:
        """See `Query`. Raises `Invalid`, `Unavailable`."""
        try:
            return await self._index.count(self._checked(search))
        except IsocenterError as error:
            raise _seen_from_outside(error) from error

    # --- the search ------------------------------------------------------------------------------

    def _checked(self, search: Search) -> Search:
        if not KEY_COMPONENT.fullmatch(search.partition):
            raise Invalid("the partition's name is malformed", fix="use letters, digits and .-_")
        if search.offset < 0 or (search.limit is not None and search.limit < 0):
            raise Invalid("limit and offset of a search must not be negative")
        if len(search.keys) > self._settings.max_keys:
            raise Invalid(
                f"a search may have {self._settings.max_keys} keys, not {len(search.keys)}",
                fix="leave keys out or raise [query] max_keys",
            )
        keys = tuple(self._key(key) for key in search.keys)
        for key in keys:
            parse(key, fuzzy=search.fuzzy)  # also where the index ignores the key
        return replace(
            search,
            keys=keys,
            include=tuple(_tag(tag) for tag in search.include),
            limit=self._limit(search.limit),
        )

    def _limit(self, asked: int | None) -> int | None:
        allowed = self._settings.max_results or None
        return min((n for n in (asked, allowed) if n is not None), default=None)

    def _key(self, key: Key) -> Key:
        """The key with a canonical tag and the VR by which its attribute is matched."""
        tag = _tag(key.tag)
        if len(key.values) > self._settings.max_values:
            raise Invalid(
                f"key ({tag[:4]},{tag[4:]}) has {len(key.values)} values, more than "
                f"{self._settings.max_values}",
                fix="ask in several searches or raise [query] max_values",
            )
        row = BY_TAG.get(tag)
        items = tuple(self._key(item) for item in key.items)
        return Key(tag, row.vr if row else key.vr, key.values, items)

    # --- attributes that are not in the index ----------------------------------------------------

    async def _completed(
        self, search: Search, batch: Sequence[Match], beyond: frozenset[str]
    ) -> Sequence[Match]:
        """The matches with further attributes from the series' metadata; all of them if `beyond`
        is empty."""
        series: dict[tuple[str, str], set[str]] = {}
        for match in batch:
            study, uid, instance = _names(match.attributes)
            series.setdefault((study, uid), set()).add(instance)
        found: dict[tuple[str, str, str], JsonAttributes] = {}
        for (study, uid), instances in series.items():
            one = next(iter(instances)) if len(instances) == 1 else ""
            async for document in self._storage.metadata(search.partition, study, uid, one):
                attributes = cast("JsonAttributes", orjson.loads(document))
                name = _names(attributes)
                if name[2] in instances:
                    found[name] = {t: v for t, v in attributes.items() if not beyond or t in beyond}
        return [
            Match({**found.get(_names(match.attributes), {}), **match.attributes})
            for match in batch
        ]


def _beyond_the_index(search: Search) -> frozenset[str] | None:
    """Tags that only the metadata packs hold; empty: all that there are; None: nothing."""
    if search.level is not Level.INSTANCE:
        return None
    tags = frozenset(tag for tag in search.include if tag not in BY_TAG)
    if search.include_all:
        return frozenset()
    return tags or None


def _names(attributes: JsonAttributes) -> tuple[str, str, str]:
    study, series, instance = (joined(attributes.get(t)) for t in (_STUDY, _SERIES, _INSTANCE))
    return study, series, instance


def _tag(text: str) -> str:
    tag = text.translate(_SEPARATORS).upper()
    if len(tag) != 8 or set(tag) - set("0123456789ABCDEF"):
        raise Invalid(f"{text!r} is no tag", fix="write eight hexadecimal digits: 00100020")
    return tag


def _seen_from_outside(error: IsocenterError) -> IsocenterError:
    """A damaged index is an outage to those who ask, and mended by the administrator."""
    if isinstance(error, (Invalid, Unavailable)):
        return error
    return Unavailable(f"the search cannot be answered: {error.message}", fix=error.fix)


async def create(env: Env) -> QueryService:
    """The service of this process."""
    return QueryService(
        index=await env.index(),
        storage=await env.storage(),
        settings=env.section(QuerySettings),
    )
