"""Lists in header fields (RFC 9110 5.6.1)."""

from __future__ import annotations

import re

# Possessive: what a client sends is read in a time that grows with its length, not its square.
_STRING = r'"(?:[^"\\]|\\.)*+"'
_ELEMENT = re.compile(rf'(?:{_STRING}|[^,"])++', re.DOTALL)
_WELL_QUOTED = re.compile(rf'(?:{_STRING}|[^"])*+', re.DOTALL)


def elements(text: str) -> list[str]:
    """The elements of a list. Commas within strings do not part them; a quotation mark that
    is not closed, and those behind it, are like any other character."""
    found = _WELL_QUOTED.match(text)
    assert found is not None  # it matches nothing, too
    whole, rest = text[: found.end()], text[found.end() :]
    listed = _ELEMENT.findall(whole)
    if rest:
        begun = listed.pop() if listed and not whole.endswith(",") else ""
        first, *others = rest.split(",")
        listed += [begun + first, *others]
    return listed
