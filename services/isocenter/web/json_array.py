"""The elements of a JSON array as they arrive, without reading the array as a whole: an array of
thousands of instances takes the memory of one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from isocenter.core.errors import Invalid
from isocenter.core.limits import MAX_DEPTH

MAX_ELEMENT = 32 * 1024**2  # bytes of one element; enhanced multi-frame images reach 10 MiB
# A sequence is an attribute, its Value and its items; an instance stands in the array.
MAX_NESTED = 3 * MAX_DEPTH + 4
_BLANK = b" \t\r\n"

_OUTSIDE = re.compile(rb'["\[\]{},]')
_WITHIN = re.compile(rb'["\\]')


class JsonArray:
    """Cuts the text at the commas of the outermost array. What is between them may be no JSON:
    that is for its reader to find. A text that is one object is its only element."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0  # of the first byte not looked at
        self._depth = 0
        self._in_string = False
        self._array = False  # whether the outermost value is an array
        self._begun = self._ended = False
        self._commas = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The elements that end within this chunk. To be exhausted before the next call. Raises
        `Invalid`."""
        self._buffer += chunk
        while True:
            pattern = _WITHIN if self._in_string else _OUTSIDE
            found = pattern.search(self._buffer, self._position)
            if found is None:
                self._position = len(self._buffer)
                break
            sign, at = found[0], found.end()
            del found  # it holds the buffer, which is to shrink
            if sign == b"\\":
                if at == len(self._buffer):
                    self._position = at - 1
                    break
                self._position = at + 1
                continue
            self._position = at
            element = self._look(sign, at)
            if element is not None:
                yield element
        self._check()

    def finish(self) -> None:
        """Raises `Invalid` unless the text ends here."""
        if not self._ended or self._buffer.strip(_BLANK):
            raise _invalid("it is cut off, or something stands behind it")

    def _look(self, sign: bytes, at: int) -> bytes | None:
        """Take note of one sign, that ends at `at`; the element that it ends."""
        if sign == b'"':
            self._in_string = not self._in_string
        elif sign in b"[{":
            self._open(sign, at)
        elif sign in b"]}":
            self._depth -= 1
            if self._depth < 0:
                raise _invalid("it closes what was not opened")
            if not self._depth:
                return self._close(sign, at)
        elif self._depth == 1 and self._array:
            self._commas = True
            return self._cut(at - 1, at)
        return None

    def _open(self, sign: bytes, at: int) -> None:
        if not self._begun:
            if self._buffer[: at - 1].strip(_BLANK):
                raise _invalid("it begins with something else than an array")
            self._begun, self._array = True, sign == b"["
            if self._array:
                self._cut(at, at)
        self._depth += 1
        if self._depth > MAX_NESTED:
            raise _invalid(f"it is nested more than {MAX_NESTED} deep")

    def _close(self, sign: bytes, at: int) -> bytes | None:
        if self._ended:
            raise _invalid("something stands behind it")
        if (sign == b"]") != self._array:
            raise _invalid("it is closed as what it is not")
        self._ended = True
        if not self._array:
            return self._cut(at, at)
        last = self._cut(at - 1, at)
        return last if self._commas or last.strip(_BLANK) else None

    def _cut(self, end: int, rest: int) -> bytes:
        """The buffer up to `end`; it goes on at `rest`."""
        element = bytes(memoryview(self._buffer)[:end])
        del self._buffer[:rest]
        self._position = 0
        return element

    def _check(self) -> None:
        if len(self._buffer) > MAX_ELEMENT:
            raise Invalid(
                f"an instance has more than {MAX_ELEMENT} bytes of metadata",
                fix="send its large values as bulk data",
            )


def _invalid(what: str) -> Invalid:
    return Invalid(f"the metadata is no JSON array: {what}", fix="see PS3.18 F.2.1")
