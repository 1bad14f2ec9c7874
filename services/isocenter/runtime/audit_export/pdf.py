"""A report to hand over: what was asked, how whole the trail is, then every record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from isocenter.core.audit import Entry
from isocenter.core.audit_api import Verification
from isocenter.runtime.audit_export.cells import HEADS, asked, cells_of, time_words
from isocenter.runtime.audit_export.heading import Heading, heads_digest
from isocenter.runtime.audit_export.sheet import ROOM, Sheet
from isocenter.runtime.audit_records import time_text
from isocenter.runtime.audit_texts import text

_TITLE, _SECTION, _BODY, _TABLE = 18.0, 11.0, 8.5, 6.5  # sizes of letters, points
_LABEL = 170.0  # points
_COLUMNS = (104.0, 100.0, 54.0, 232.0, ROOM - 490)
_FINDINGS = 100  # that are told; all are counted

Row = tuple[str, str]


class PdfWriter:
    """Keeps its pages until the end."""

    def __init__(self, heading: Heading) -> None:
        self._heading = heading
        self._language = heading.language
        self._count = 0
        self._sheet = Sheet(
            title=text("title", heading.language),
            author=heading.by.who,
            language=heading.language,
            foot=f"SHA-256 {heads_digest(heading.state.heads)}",
        )

    def begin(self) -> bytes:
        """The first pages: nothing of them is given out yet."""
        sheet, words = self._sheet, self._words
        sheet.heading(words("title"), _TITLE)
        sheet.columns((_LABEL, ROOM - _LABEL), _BODY)
        for section, rows in (
            ("asked", self._asked()),
            ("integrity", self._integrity()),
            ("keys", self._keys()),
            ("heads", self._heads()),
        ):
            sheet.heading(words(section), _SECTION)
            for label, value in rows:
                sheet.row(([label], [value]))
        sheet.columns(_COLUMNS, _TABLE, [words(head) for head in HEADS])
        return b""

    def add(self, entries: Sequence[Entry]) -> bytes:
        """Rows: nothing of them is given out yet."""
        for entry in entries:
            self._sheet.row(cells_of(entry, self._language), ruled=True)
        self._count += len(entries)
        return b""

    def end(self) -> bytes:
        """The whole file."""
        self._sheet.columns((ROOM,), _BODY)
        self._sheet.row([[self._words("end", count=self._count)]])
        return self._sheet.finish()

    def _words(self, key: str, /, **values: str | int) -> str:
        return text(key, self._language, **values)

    def _asked(self) -> Iterator[Row]:
        heading, words = self._heading, self._words
        by = heading.by
        from_where = f" ({by.protocol}, {by.host})" if by.host else f" ({by.protocol})"
        yield words("by"), f"{by.who}{from_where}"
        if by.purpose:
            yield words("purpose"), by.purpose
        yield words("at"), time_words(time_text(heading.at))
        if heading.site:
            yield words("site"), heading.site
        yield from asked(heading.which, self._language) or [("", words("everything"))]
        yield words("total"), words("order", total=heading.total)
        yield "", words("unshown")

    def _integrity(self) -> Iterator[Row]:
        words, state = self._words, self._heading.state
        verification = self._heading.verification
        if verification is None:
            yield words("result"), words("not_verified")
        else:
            yield from self._verified(verification)
        yield "", words("held", records=state.records, sealed=state.sealed)
        if state.waiting:
            yield "", words("waiting", waiting=state.waiting)
        for problem in state.problems:
            yield words("problem"), problem
        yield "", words("heads_digest")

    def _verified(self, result: Verification) -> Iterator[Row]:
        words = self._words
        sound = "failed" if result.findings else "verified"
        if result.of_nothing:
            sound = "nothing_verified"
        yield (
            words("result"),
            words(
                sound,
                records=result.records,
                segments=result.segments,
                findings=len(result.findings),
            ),
        )
        for finding in result.findings[:_FINDINGS]:
            yield "", str(finding)
        if (more := len(result.findings) - _FINDINGS) > 0:
            yield "", words("more_findings", count=more)
        if result.expired:
            yield "", words("expired", expired=result.expired)
        yield from self._rests_on(result)

    def _rests_on(self, result: Verification) -> Iterator[Row]:
        if self._heading.trust:
            for trusted in self._heading.trust:
                yield self._words("rests_on"), self._words("on_trusted", key=trusted)
        elif result.keys:
            yield self._words("rests_on"), self._words("on_first", key=result.keys[0].id)

    def _keys(self) -> Iterator[Row]:
        for key in self._heading.state.keys:
            told = f"{key.id}, {self._words('key_since', since=time_words(key.since))}"
            if key.introduced_by != key.id:
                told += f", {self._words('introduced', key=key.introduced_by)}"
            yield self._words("key", number=key.number), told

    def _heads(self) -> Iterator[Row]:
        for head in self._heading.state.heads:
            yield head.chain, self._words("head", last=head.last, at=time_words(head.at))
            yield "", self._words("head_digest", digest=head.head)
            yield "", self._words("seal_digest", digest=head.seal)
        if not self._heading.state.heads:
            yield "", self._words("no_heads")
