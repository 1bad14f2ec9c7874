"""`core.apis.Query`: validates and completes a search, and lets the index answer it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import replace

import orjson

from isocenter.core.access import SYSTEM, Caller, Right
from isocenter.core.access_api import Guard
from isocenter.core.apis import FillProgress, Storage
from isocenter.core.attributes import ORDERS, TABLE, Derivation
from isocenter.core.cached import cached
from isocenter.core.dictionary import creator_of
from isocenter.core.errors import Invalid, IsocenterError, Unavailable
from isocenter.core.identity import KEY_COMPONENT
from isocenter.core.matching import JsonAttributes, Key, Level, Search, criterion_of, joined
from isocenter.core.ports import Match, StudyIndex
from isocenter.core.scope import EVERYTHING
from isocenter.query.private_names import PrivateNames, creators_asked, names_in
from isocenter.query.settings import QuerySettings
from isocenter.runtime.role import Env

_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_OF_PATIENTS = frozenset(
    row.tag for row in TABLE if row.level is Level.PATIENT and row.derivation is Derivation.COUNT
)
_SEPARATORS = str.maketrans("", "", "(), ")


class QueryService:
    """DICOM matching over the index."""

    def __init__(
        self, *, index: StudyIndex, storage: Storage, settings: QuerySettings, guard: Guard
    ) -> None:
        self._guard = guard
        self._index = index
        self._attributes = index.attributes
        self._storage = storage
        self._settings = settings

    async def search(self, caller: Caller, search: Search) -> AsyncIterator[Sequence[Match]]:
        """See `Query`. Raises `Refused`, `Invalid`, `Unavailable`."""
        search = self._seen_by(caller, self._canonical(search))
        names = names_in(search, self._attributes)
        asked = self._checked(search, names)
        beyond = self._beyond_the_index(asked, names)
        answers: AsyncIterator[Sequence[Match]] | None = None
        try:
            answers = self._index.search(asked)
            async for batch in answers:
                found = [_less(search, names.outward(match)) for match in batch]
                yield found if beyond is None else await self._completed(search, found, beyond)
        except IsocenterError as error:
            raise _seen_from_outside(error) from error
        finally:
            # Closing stops the index's work; iterators without it have none to stop.
            if isinstance(answers, AsyncGenerator):
                await answers.aclose()

    async def count(self, caller: Caller, search: Search) -> int:
        """See `Query`. Raises `Refused`, `Invalid`, `Unavailable`."""
        search = self._seen_by(caller, self._canonical(search))
        try:
            names = names_in(search, self._attributes)
            return await self._index.count(self._checked(search, names))
        except IsocenterError as error:
            raise _seen_from_outside(error) from error

    async def unfilled(self) -> Mapping[str, FillProgress]:
        """See `Query`. Raises `Unavailable`."""
        try:
            state = await self._index.fill_state()
        except IsocenterError as error:
            raise _seen_from_outside(error) from error
        progress = FillProgress(state.looked, state.total)
        return dict.fromkeys(state.lacks(self._attributes), progress)

    # --- the search ------------------------------------------------------------------------------

    def _seen_by(self, caller: Caller, search: Search) -> Search:
        """Of what the caller may find."""
        self._guard.require(caller, Right.SEARCH)
        return replace(search, scope=self._guard.scope(caller, Right.SEARCH))

    def _canonical(self, search: Search) -> Search:
        """With tags of eight upper-case digits."""
        return replace(
            search,
            keys=tuple([self._key(key) for key in search.keys]),
            include=tuple([_tag(tag) for tag in search.include]),
        )

    def _checked(self, search: Search, names: PrivateNames) -> Search:
        """As it is put to the index, with the VRs by which its attributes are matched."""
        if not KEY_COMPONENT.fullmatch(search.partition):
            raise Invalid("the partition's name is malformed", fix="use letters, digits and .-_")
        if search.offset < 0 or (search.limit is not None and search.limit < 0):
            raise Invalid("limit and offset of a search must not be negative")
        if len(search.keys) > self._settings.max_keys:
            raise Invalid(
                f"a search may have {self._settings.max_keys} keys, not {len(search.keys)}",
                fix="leave keys out or raise [query] max_keys",
            )
        if search.order and search.level is not Level.STUDY:
            raise Invalid("only searches for studies can be put in another order")
        if not {order.tag for order in search.order} <= set(ORDERS):
            raise Invalid(f"studies can be put in order by {', '.join(ORDERS)} only")
        asked = names.inward(search)
        keys = tuple([self._matched(key) for key in asked.keys])
        for key in keys:
            if self._attributes.searchable(key.tag, search.level) is None:
                criterion_of(search, key)  # the index ignores the key, malformed or not
        return replace(asked, keys=keys, limit=self._limit(search.limit))

    def _matched(self, key: Key) -> Key:
        row = self._attributes.get(key.tag)
        vr = row.vr if row else key.vr
        items = tuple([self._matched(item) for item in key.items])
        return key if (vr, items) == (key.vr, key.items) else Key(key.tag, vr, key.values, items)

    def _limit(self, asked: int | None) -> int | None:
        allowed = self._settings.max_results or None
        if asked is None or allowed is None:
            return asked if allowed is None else allowed
        return min(asked, allowed)

    def _key(self, key: Key) -> Key:
        """The key with a canonical tag."""
        tag = _tag(key.tag)
        if len(key.values) > self._settings.max_values:
            raise Invalid(
                f"key ({tag[:4]},{tag[4:]}) has {len(key.values)} values, more than "
                f"{self._settings.max_values}",
                fix="ask in several searches or raise [query] max_values",
            )
        if tag == key.tag and not key.items:
            return key
        return Key(tag, key.vr, key.values, tuple([self._key(item) for item in key.items]))

    # --- attributes that are not in the index ----------------------------------------------------

    def _beyond_the_index(self, asked: Search, names: PrivateNames) -> frozenset[str] | None:
        """Tags that only the metadata packs hold; empty: all of an instance's; None: nothing.

        All attributes of a study or series are those of the index: more are answered by name only.
        """
        if asked.include_all and asked.level is Level.INSTANCE:
            return frozenset()
        if not asked.include or asked.level is Level.PATIENT:
            return None
        beyond = frozenset([tag for tag in asked.include if self._attributes.get(tag) is None])
        if names.tags and beyond <= names.creators.keys():
            return None  # they are answered with the attributes that they have created
        return beyond or None

    async def _completed(
        self, search: Search, batch: Sequence[Match], beyond: frozenset[str]
    ) -> Sequence[Match]:
        """The matches with further attributes; of instances all of them if `beyond` is empty."""
        if search.level is Level.INSTANCE:
            return await self._completed_instances(search, batch, beyond)
        completed = []
        for match in batch:
            study, series, _ = _names(match.attributes)
            agreed = await self._agreed(search, study, series, beyond)
            completed.append(Match({**agreed, **match.attributes}, match.trace))
        return completed

    async def _agreed(
        self, search: Search, study: str, series: str, beyond: frozenset[str]
    ) -> JsonAttributes:
        """Further attributes of a study or series: those that all its instances agree on, apart
        from instances without them. One in which they differ is theirs, not its own."""
        found: JsonAttributes = {}
        differ: set[str] = set()
        creators = creators_asked(search)
        async for document in self._storage.metadata(SYSTEM, search.partition, study, series):
            attributes = _owned(orjson.loads(document), creators)
            for tag in beyond & attributes.keys():
                element = attributes[tag]
                if len(element) > 1 and found.setdefault(tag, element) != element:
                    differ.add(tag)
        return {tag: element for tag, element in found.items() if tag not in differ}

    async def _completed_instances(
        self, search: Search, batch: Sequence[Match], beyond: frozenset[str]
    ) -> Sequence[Match]:
        series: dict[tuple[str, str], set[str]] = {}
        for match in batch:
            study, uid, instance = _names(match.attributes)
            series.setdefault((study, uid), set()).add(instance)
        found: dict[tuple[str, str, str], JsonAttributes] = {}
        creators = creators_asked(search)
        for (study, uid), instances in series.items():
            one = next(iter(instances)) if len(instances) == 1 else ""
            async for document in self._storage.metadata(SYSTEM, search.partition, study, uid, one):
                attributes = _owned(orjson.loads(document), creators)
                name = _names(attributes)
                if name[2] in instances:
                    found[name] = {t: v for t, v in attributes.items() if not beyond or t in beyond}
        return [
            Match({**found.get(_names(match.attributes), {}), **match.attributes})
            for match in batch
        ]


def _less(search: Search, match: Match) -> Match:
    """Without the counts of a patient of whom not all studies may be in scope."""
    if search.level is not Level.PATIENT or search.scope == EVERYTHING:
        return match
    told = {tag: value for tag, value in match.attributes.items() if tag not in _OF_PATIENTS}
    return Match(told, match.trace)


def _owned(attributes: JsonAttributes, creators: Mapping[str, str]) -> JsonAttributes:
    """The attributes without the private ones of other creators than those asked for."""
    others = {tag for tag, name in creators.items() if joined(attributes.get(tag)).strip() != name}
    if not others:
        return attributes
    return {tag: element for tag, element in attributes.items() if creator_of(tag) not in others}


def _names(attributes: JsonAttributes) -> tuple[str, str, str]:
    study, series, instance = (joined(attributes.get(t)) for t in (_STUDY, _SERIES, _INSTANCE))
    return study, series, instance


@cached(4096)
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
        guard=await env.guard(),
    )
