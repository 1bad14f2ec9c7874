"""Letters on paper: which font has a character, how wide it is, and where a line ends.

Noto Sans, which is embedded, has Latin, Greek, Cyrillic and Devanagari. What it lacks of Chinese,
Japanese and Korean comes from the fonts that PDF readers bring along (ISO 32000-1 9.7.5.2). Every
other character, and every one that cannot be seen or that turns the direction of what follows,
stands as its code: nothing is lost, and nothing hides.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import groupby

import fontpkg
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont

FONT = "Noto Sans"
# A font of the reader, and the encoding that has the characters which it is made for.
_OTHERS = (
    ("HeiseiKakuGo-W5", "cp932"),
    ("STSong-Light", "gbk"),
    ("MSung-Light", "big5"),
    ("HYGothic-Medium", "cp949"),
)
_EM = 1000
_HIDDEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})  # categories of Unicode

Run = tuple[str, str]  # font and text
Line = Sequence[Run]


class _Widths(dict[str, float]):
    """Of characters, in thousandths of the size of the letters."""

    def __missing__(self, char: str) -> float:
        self[char] = width = pdfmetrics.stringWidth(char, _font_of(char), _EM)
        return width


class Glyphs:
    """The fonts, registered."""

    def __init__(self) -> None:
        noto = TTFont(FONT, str(fontpkg.path(FONT)))
        pdfmetrics.registerFont(noto)
        for name, _ in _OTHERS:
            pdfmetrics.registerFont(UnicodeCIDFont(name))
        widths: Mapping[int, float] = noto.face.charWidths
        codes = [code for code in noto.face.charToGlyph if not _is_hidden(chr(code))]
        self._widths = _Widths((chr(code), widths[code]) for code in codes)
        self._own = frozenset(self._widths)

    def wrapped(self, text: str, width: float, size: float) -> list[Line]:
        """A text in lines of at most this width, points; empty for an empty text."""
        shown = text if self._own.issuperset(text) else "".join(map(self._shown, text))
        limit = width * _EM / size
        if sum(map(self._widths.__getitem__, shown)) <= limit:
            return [tuple(self._runs(shown))] if shown else []
        return [tuple(self._runs(line)) for line in self._lines(shown, limit)]

    def width(self, line: Line, size: float) -> float:
        """Of a line, points."""
        return sum(self._widths[char] for _, text in line for char in text) * size / _EM

    def _shown(self, char: str) -> str:
        return char if char in self._own or _font_of(char) else f"[U+{ord(char):04X}]"

    def _lines(self, text: str, limit: float) -> Iterator[str]:
        """Between words where that is possible, else within them."""
        width_of = self._widths.__getitem__
        line, used = "", 0.0
        for word in text.split(" "):
            gap = width_of(" ") if line else 0.0
            width = sum(map(width_of, word))
            if used + gap + width <= limit:
                line, used = f"{line} {word}" if line else word, used + gap + width
                continue
            if line:
                yield line
            if width <= limit:
                line, used = word, width
                continue
            line, used = "", 0.0
            for char in word:
                if used + width_of(char) > limit and line:
                    yield line
                    line, used = "", 0.0
                line, used = line + char, used + width_of(char)
        yield line

    def _runs(self, line: str) -> Iterator[Run]:
        if self._own.issuperset(line):
            yield FONT, line
            return
        for font, chars in groupby(line, self._font):
            yield font, "".join(chars)

    def _font(self, char: str) -> str:
        return FONT if char in self._own else _font_of(char)


@lru_cache(maxsize=65_536)
def _font_of(char: str) -> str:
    """The font of the reader that has a character; empty if none has."""
    if _is_hidden(char) or ord(char) > 0xFFFF:
        return ""
    return next((name for name, encoding in _OTHERS if _has(encoding, char)), "")


def _has(encoding: str, char: str) -> bool:
    try:
        char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in _HIDDEN


@cache
def glyphs() -> Glyphs:
    """Those of this process."""
    return Glyphs()
