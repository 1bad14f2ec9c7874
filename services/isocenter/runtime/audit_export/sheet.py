"""Pages of a report: rows of columns that go on over pages, with a head and a foot on each."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from reportlab.lib.pagesizes import A4, landscape
from reportlab.pdfgen.canvas import Canvas

from isocenter.runtime.audit_export.glyphs import FONT, Line, glyphs
from isocenter.runtime.audit_texts import number, text

WIDTH, HEIGHT = landscape(A4)
MARGIN = 36.0  # points
ROOM = WIDTH - 2 * MARGIN
_LEADING = 1.3  # of the size of the letters
_GAP = 6.0  # between columns
_FOOT = MARGIN + 14
_SMALL = 6.5
_TOGETHER = 20  # lines: a longer row may be divided though a page has room for all of it
_TOTAL = WIDTH - MARGIN - 34  # where the number of pages stands
_PAGES = "pages"  # the form that says how many there are: each page shows it before that is known


class Sheet:
    """Draws from the top of the first page to the bottom of the last."""

    def __init__(self, *, title: str, author: str, language: str, foot: str) -> None:
        self._file = BytesIO()
        self._canvas = Canvas(
            self._file, pagesize=(WIDTH, HEIGHT), pageCompression=1, lang=language
        )
        self._canvas.setTitle(title)
        self._canvas.setSubject(title)
        self._canvas.setAuthor(author)
        self._canvas.setCreator("Isocenter")
        self._glyphs = glyphs()
        self._language = language
        self._title = title
        self._foot = foot
        self._head: Sequence[str] = ()
        self._columns: Sequence[float] = (ROOM,)
        self._size = _SMALL
        self._page = 0
        self._begin()

    def columns(self, widths: Sequence[float], size: float, head: Sequence[str] = ()) -> None:
        """What the next rows are made of. With a `head` they begin on a new page, and it stands on
        top of each."""
        self._columns, self._size, self._head = widths, size, head
        if head:
            self._break()

    def row(self, cells: Sequence[Sequence[str]], *, ruled: bool = False) -> None:
        """One row; `ruled`: with a line below it."""
        columns = [self._wrapped(texts, at) for at, texts in enumerate(cells)]
        count = max(map(len, columns))
        leading = self._size * _LEADING
        if count <= _TOGETHER and self._y - count * leading < _FOOT:
            self._break()
        for at in range(count):
            if self._y - leading < _FOOT:
                self._break()
            self._y -= leading
            left = MARGIN
            for width, lines in zip(self._columns, columns, strict=True):
                if at < len(lines):
                    self._draw(left, self._y, lines[at], self._size)
                left += width
        if ruled:
            self._y -= leading / 3
            self._rule(self._y)

    def heading(self, words: str, size: float) -> None:
        """A line of larger letters, with room above and a rule below."""
        if self._y - 5 * size < _FOOT:  # not alone at the bottom
            self._break()
        self._y -= size
        rows = self._columns, self._size
        self._columns, self._size = (ROOM,), size
        self.row([[words]], ruled=True)
        self._columns, self._size = rows
        self._y -= _GAP / 2

    def finish(self) -> bytes:
        """The whole file."""
        self._end()
        self._canvas.beginForm(_PAGES, 0, 0, WIDTH, HEIGHT)
        self._canvas.setFont(FONT, _SMALL)
        self._canvas.drawString(_TOTAL, MARGIN, number(self._page, self._language))
        self._canvas.endForm()
        self._canvas.save()
        return self._file.getvalue()

    def _break(self) -> None:
        self._end()
        self._begin()

    def _begin(self) -> None:
        self._page += 1
        self._y = HEIGHT - MARGIN
        self._letters = self._canvas.beginText()
        self._font = ("", 0.0)
        if head := self._head:
            self._head = ()
            self.row([[words] for words in head], ruled=True)
            self._head = head

    def _end(self) -> None:
        """Draw what the page has, and its foot."""
        page = text("page", self._language, page=self._page)
        for words, left, width in (
            (self._title, MARGIN, ROOM / 4),
            (self._foot, MARGIN + ROOM / 4, ROOM / 2),
            (page, _TOTAL, 0),
        ):
            lines = self._glyphs.wrapped(words, width or ROOM, _SMALL)
            back = 0 if width else self._glyphs.width(lines[0], _SMALL) + _GAP / 2
            self._draw(left - back, MARGIN, lines[0], _SMALL)
        self._canvas.drawText(self._letters)
        self._rule(MARGIN + _SMALL * _LEADING)
        self._canvas.doForm(_PAGES)
        self._canvas.showPage()

    def _wrapped(self, texts: Sequence[str], column: int) -> list[Line]:
        """Texts below each other, in lines that fit into a column."""
        width = self._columns[column] - _GAP
        return [line for one in texts for line in self._glyphs.wrapped(one, width, self._size)]

    def _draw(self, left: float, y: float, line: Line, size: float) -> None:
        self._letters.setTextOrigin(left, y)
        for name, letters in line:
            if self._font != (name, size):
                self._font = (name, size)
                self._letters.setFont(name, size)
            self._letters.textOut(letters)

    def _rule(self, y: float) -> None:
        self._canvas.setLineWidth(0.3)
        self._canvas.line(MARGIN, y, WIDTH - MARGIN, y)
