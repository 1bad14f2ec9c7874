"""Texts of audit records in a page: whatever they hold, they show what they are, and change nothing
around them.

Records hold what callers and data sets say. What cannot be seen (controls, what turns the direction
of writing) stands as its code point; the rest is isolated from the direction of what is around it.
Escaping is done by the templates.
"""

from __future__ import annotations

import unicodedata

from markupsafe import Markup, escape

SHORT = 120  # characters, in a list
_JOINERS = "\u200c\u200d"  # which some scripts need within words
_CODE = Markup('<span class="code">{}</span>')
_MORE = Markup('<span class="more">…</span>')
_LONG_UID, _UID_HEAD, _UID_TAIL = 30, 14, 12  # characters
_MARKS = 4  # that stand over one letter; more would reach into other lines
_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Cn", "Zl", "Zp"))


def visible(text: str) -> str:
    """The text, with code points in place of what cannot be seen."""
    return "".join(told for told, _ in _parts(text))


def shown(text: str, most: int = 0) -> Markup:
    """The same as HTML. With `most`, no more than so many characters, and that there are more."""
    parts: list[Markup] = []
    room = most or None
    for told, code in _parts(text):
        kept = told if room is None or (len(told) <= room) else ("" if code else told[:room])
        if kept:
            parts.append(_CODE.format(kept) if code else escape(kept))
        if kept != told:
            return Markup("<bdi>{}</bdi>{}").format(Markup("").join(parts), _MORE)
        room = None if room is None else room - len(told)
    return Markup("<bdi>{}</bdi>").format(Markup("").join(parts))


def uid_short(uid: str) -> str:
    """The beginning and the end of a long UID: they tell one from another."""
    return uid if len(uid) <= _LONG_UID else f"{uid[:_UID_HEAD]}…{uid[-_UID_TAIL:]}"


def _parts(text: str) -> list[tuple[str, bool]]:
    """Runs of the text, and code points (True)."""
    if text.isascii() and text.isprintable():
        return [(text, False)]
    parts: list[tuple[str, bool]] = []
    run, marks = "", 0
    for char in text:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if _is_hidden(char) or marks > _MARKS:
            parts += [(run, False)] if run else []
            parts.append((f"U+{ord(char):04X}", True))
            run = ""
        else:
            run += char
    return [*parts, (run, False)] if run else parts


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in _HIDDEN and char not in _JOINERS
