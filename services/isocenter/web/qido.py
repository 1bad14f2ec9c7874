"""QIDO-RS (PS3.18 10.6): searches for studies, series and instances."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace

import orjson

from isocenter.core.apis import Query
from isocenter.core.attributes import BY_TAG, DEPTH, Attributes
from isocenter.core.identity import DEFAULT_PARTITION
from isocenter.core.key_text import text_of
from isocenter.core.matching import JsonAttributes, Level, Search
from isocenter.core.packs import BULK_BASE
from isocenter.core.ports import Match
from isocenter.runtime.audit_log import AuditLog
from isocenter.web.chunks import Chunks, closing
from isocenter.web.exchange import Exchange, Handler
from isocenter.web.model_answers import Framing, framing
from isocenter.web.problems import warning
from isocenter.web.qido_keys import PATIENT_ID, Asked, read

_Write = Callable[[Sequence[Match]], bytes]  # answers, between `Framing.begin` and its end

_BULK_BASE = BULK_BASE.encode("ascii")
_STUDY_UID, _SERIES_UID, _INSTANCE_UID = "0020000D", "0020000E", "00080018"
_FIXED = {"study": _STUDY_UID, "series": _SERIES_UID}
_LEVELS = {"study": Level.STUDY, "series": Level.SERIES}
# PS3.18 tables 10.6.3-3 and -4: attributes that answers have, without a value where there is none,
_REQUIRED: Mapping[Level, Sequence[str]] = {
    Level.STUDY: (
        "00080020", "00080030", "00080050", "00080061", "00080090", "00100010", "00100020",
        "00100030", "00100040", _STUDY_UID, "00200010", "00201206", "00201208",
    ),
    Level.SERIES: ("00080060", _SERIES_UID, "00200011", "00201209"),
    Level.INSTANCE: (),  # only what an instance has
}  # fmt: skip
# those that they have where there is one,
_CONDITIONAL: Mapping[Level, Sequence[str]] = {
    Level.STUDY: (),
    Level.SERIES: ("0008103E", "00400244", "00400245", "00400275"),
}
# and one that they have at every level.
_TIMEZONE = "00080201"
_ONLINE = {"vr": "CS", "Value": ["ONLINE"]}
_NAMES = {Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}

# Of the resources above and of the one found: its segment in RetrieveURL and its UID's tag.
_PATHS: dict[Level, tuple[tuple[str, str], ...]] = {
    Level.STUDY: (("studies", _STUDY_UID),),
    Level.SERIES: (("studies", _STUDY_UID), ("series", _SERIES_UID)),
    Level.INSTANCE: (
        ("studies", _STUDY_UID), ("series", _SERIES_UID), ("instances", _INSTANCE_UID),
    ),
}  # fmt: skip


class Qido:
    """The search transaction."""

    def __init__(self, *, query: Query, audit_log: AuditLog, attributes: Attributes) -> None:
        self._query = query
        self._attributes = attributes
        self._audit_log = audit_log

    def search(self, level: Level) -> Handler:
        """The handler of the routes that search this level."""

        async def handle(exchange: Exchange) -> None:
            await self._handle(exchange, level)

        return handle

    async def _handle(self, exchange: Exchange, level: Level) -> None:
        frame = framing(exchange)
        fixed = {_FIXED[name]: uid for name, uid in exchange.path.items()}
        most = exchange.settings.max_results
        asked = read(level, exchange.query, fixed, most, self._attributes)
        above = [
            one
            for name, one in _LEVELS.items()
            if DEPTH[one] < DEPTH[level] and name not in exchange.path
        ]  # PS3.18 10.6.3.3: answers have theirs too, unless the address names it
        if level is not Level.STUDY:
            asked.include[_TIMEZONE] = None
        for one in above:
            asked.include |= dict.fromkeys((*_REQUIRED[one], *_CONDITIONAL[one]))
        write = _writer(level, exchange.root, frame, above)
        search = asked.search()
        await self._record(exchange, asked, search)
        if asked.added:  # before the search, for they may be filled when it ends
            asked.unfilled = sorted((await self._query.unfilled()).keys() & asked.added.keys())
        async with closing(self._query.search(exchange.caller, search)) as batches:
            await self._answer(exchange, asked, search, batches, write, frame)

    async def _answer(
        self,
        exchange: Exchange,
        asked: Asked,
        search: Search,
        batches: AsyncIterator[Sequence[Match]],
        write: _Write,
        frame: Framing,
    ) -> None:
        first = await _next(batches) if search.limit else ()
        second = await _next(batches) if first else ()
        total = await self._total(exchange, search, len(first), more=bool(second))
        kind = (b"content-type", frame.content_type)
        headers = [kind, (b"x-total-count", b"%d" % total), *_warnings(exchange, asked, total)]
        if not second:
            await exchange.answer(200, headers, frame.begin + write(first) + frame.end)
            return
        await exchange.stream(200, headers, _array(first, second, batches, write, frame))

    async def _total(self, exchange: Exchange, search: Search, found: int, *, more: bool) -> int:
        """How many answers there are; not counted where what was found tells it."""
        complete = not more and search.limit and found < search.limit
        if complete and (found or not search.offset):
            return search.offset + found
        return await self._query.count(exchange.caller, replace(search, limit=None, offset=0))

    async def _record(self, exchange: Exchange, asked: Asked, search: Search) -> None:
        """What was searched by. HEAD too: its X-Total-Count tells who has been examined here."""
        narrowing = {tag: key for tag, key in asked.keys.items() if any(key.values)}
        names = " ".join([*narrowing, *asked.sequences])
        await self._audit_log.searched(
            exchange.source,
            partition=DEFAULT_PARTITION,
            patient_ids=asked.values(PATIENT_ID),
            studies=asked.values(_STUDY_UID)[:8],
            detail=f"QIDO-RS {_NAMES[asked.level]} {names}".rstrip(),
            query=text_of(search.keys),
        )


def _writer(level: Level, root: str, frame: Framing, above: Sequence[Level]) -> _Write:
    """Writes answers with what only the edge knows (PS3.18 tables 10.6.3-3 to -5). They also have
    the attributes of the levels `above`."""
    path, bulk_base = _PATHS[level], root.encode("ascii")
    required = (tag for one in (level, *above) for tag in _REQUIRED[one])
    empty = {tag: {"vr": BY_TAG[tag].vr} for tag in required}

    def present(match: Match) -> JsonAttributes:
        attributes = match.attributes
        url = root
        for segment, tag in path:
            url = f"{url}/{segment}/{attributes[tag]['Value'][0]}"
        return {
            **empty,
            **attributes,
            "00080056": _ONLINE,
            "00081190": {"vr": "UR", "Value": [url]},
        }

    def write(batch: Sequence[Match]) -> bytes:
        found = [present(match) for match in batch]
        elements = orjson.dumps(found, option=orjson.OPT_SORT_KEYS)[1:-1]  # PS3.18 F.2.2
        return elements.replace(_BULK_BASE, bulk_base)

    def write_xml(batch: Sequence[Match]) -> bytes:
        elements = orjson.loads(b"[" + write(batch) + b"]")
        return b"".join([frame.part(one) for one in elements])

    return write_xml if frame.parts else write


async def _array(
    first: Sequence[Match],
    second: Sequence[Match],
    rest: AsyncIterator[Sequence[Match]],
    write: _Write,
    frame: Framing,
) -> Chunks:
    """All answers, a batch at a time."""
    yield frame.begin + write(first)
    yield frame.between + write(second)
    async for batch in rest:
        if batch:
            yield frame.between + write(batch)
    yield frame.end


def _warnings(exchange: Exchange, asked: Asked, total: int) -> list[tuple[bytes, bytes]]:
    """Warning header fields, in the words of PS3.18 8.3.4.4.1 and 8.3.4.5 where it has any."""
    texts = []
    if asked.ignored:
        names = ", ".join(ascii(name[:64])[1:-1] for name in list(asked.ignored)[:16])
        texts.append(f"These attributes are not supported and were ignored: {names}")
    if asked.unfilled:
        names = ", ".join(asked.added[tag] for tag in asked.unfilled)
        texts.append(f"{_UNFILLED}: {names}")
    if asked.empty_values:
        texts.append(_NO_EMPTY_VALUES)
    rest = total - asked.offset - (asked.limit or 0)
    if rest > 0:
        texts.append(f"There are {rest} additional results that can be requested")
    return [warning(exchange.root, text) for text in texts]


_UNFILLED = (
    "These attributes are being filled for what was stored before they were added; "
    "matches may be missing"
)
_NO_EMPTY_VALUES = (
    "The emptyvaluematching parameter is not supported. "
    "Empty Value Matching has not been performed."
)


async def _next(batches: AsyncIterator[Sequence[Match]]) -> Sequence[Match]:
    """The next batch that is not empty; an empty one at the end."""
    async for batch in batches:
        if batch:
            return batch
    return ()
