"""A JSON array, element by element, whatever the pieces it comes in."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.core.errors import Invalid
from isocenter.web.json_array import MAX_ELEMENT, MAX_NESTED, JsonArray

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=10,
)


def elements(text: bytes, size: int = 7) -> list[bytes]:
    array = JsonArray()
    found = [one for at in range(0, len(text), size) for one in array.feed(text[at : at + size])]
    array.finish()
    return found


@given(
    values=st.lists(JSON, max_size=5),
    size=st.integers(1, 60),
    indent=st.sampled_from([None, 2]),
    blank=st.sampled_from(["", " \r\n\t"]),
)
def test_the_elements_are_those_of_the_array(
    values: list[Any], size: int, indent: int | None, blank: str
) -> None:
    text = blank + json.dumps(values, indent=indent) + blank
    assert [orjson.loads(one) for one in elements(text.encode(), size)] == values


@given(values=st.dictionaries(st.text(max_size=4), JSON), size=st.integers(1, 60))
def test_one_object_is_its_only_element(values: dict[str, Any], size: int) -> None:
    assert [orjson.loads(one) for one in elements(json.dumps(values).encode(), size)] == [values]


@given(
    values=st.lists(JSON, max_size=4),
    cut=st.integers(0, 100),
    extra=st.sampled_from([b"", b"]", b"}", b'"', b",", b"[", b"{}", b"x"]),
    size=st.integers(1, 60),
)
def test_what_is_no_array_is_refused_or_its_elements_are(
    values: list[Any], cut: int, extra: bytes, size: int
) -> None:
    text = orjson.dumps(values)
    text = text[: cut % (len(text) + 1)] + extra
    try:
        expected = orjson.loads(text)
    except ValueError:
        expected = None
    try:
        found = [orjson.loads(one) for one in elements(text, size)]
    except (Invalid, ValueError):
        assert not isinstance(expected, list | dict)
        return
    assert found == (expected if isinstance(expected, list) else [expected])


@pytest.mark.parametrize(
    "text", [b"", b"null", b'"x"', b"x[]", b"[", b"]", b"[]]", b"[] []", b"{}{}", b"[] x", b'["']
)
def test_other_texts_are_refused(text: bytes) -> None:
    with pytest.raises(Invalid):
        elements(text)


def test_an_element_that_is_missing_is_an_element_that_cannot_be_read() -> None:
    assert elements(b"[1,]") == [b"1", b""]
    assert elements(b"[]") == []


def test_depth_is_bounded() -> None:
    assert elements(b"[" * MAX_NESTED + b"]" * MAX_NESTED)
    with pytest.raises(Invalid, match="deep"):
        elements(b"[" * (MAX_NESTED + 1))


def test_memory_is_that_of_one_element() -> None:
    array = JsonArray()
    assert list(array.feed(b"[")) == []
    count = 0
    for _ in range(500):
        count += len(list(array.feed(b'{"a": "' + b"x" * 10_000 + b'"}, ')))
        assert len(array._buffer) < 20_000
    assert count == 500
    blanks = (b" " * 2**20 for _ in range(MAX_ELEMENT // 2**20 + 1))
    with pytest.raises(Invalid, match="bytes"):
        [one for blank in blanks for one in array.feed(blank)]
