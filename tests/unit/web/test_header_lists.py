"""Lists in header fields, and that reading hostile ones takes no longer than reading others."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.runtime.addresses import networks_of
from isocenter.web.forwarded import forwarded
from isocenter.web.lists import elements
from isocenter.web.negotiation import parse_accept

HOSTILE = ['"\\' * 30_000, '"\\"' + '\\"' * 30_000, '"' * 60_000, "a" * 60_000, "a " * 30_000,
           'a="' + '\\"a=' * 15_000, "a=b;" * 15_000, 'a/b;c="' + "\\" * 60_000]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a, b", ["a", " b"]),
        ('a;b="x,y", c', ['a;b="x,y"', " c"]),
        (r'a;b="x\",y", c', [r'a;b="x\",y"', " c"]),
        ('a;b=", c, d', ['a;b="', " c", " d"]),
        ('a,"', ["a", '"']),
        ('"', ['"']),
    ],
)
def test_commas_part_elements_but_within_strings(text: str, expected: list[str]) -> None:
    assert elements(text) == expected


@given(st.text('",\\a', max_size=30))
def test_nothing_of_a_list_is_lost(text: str) -> None:
    assert "".join(elements(text)).replace(",", "") == text.replace(",", "")


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_fields_are_read_in_no_time(text: str) -> None:
    began = time.process_time()
    parse_accept(text)
    trusted = networks_of(("127.0.0.1",))
    forwarded(lambda name: text if name == b"forwarded" else "", "127.0.0.1", trusted)
    assert time.process_time() - began < 0.5, "was 5 to 20 seconds"


def test_what_a_proxy_adds_counts_behind_a_string_that_is_not_closed() -> None:
    trusted = networks_of(("127.0.0.1",))
    told = {b"forwarded": 'for="203.0.113.9;host=evil.test, for=192.0.2.7;host=pacs.test'}
    found = forwarded(lambda name: told.get(name, ""), "127.0.0.1", trusted)
    assert (found.host, found.authority) == ("192.0.2.7", "pacs.test")
