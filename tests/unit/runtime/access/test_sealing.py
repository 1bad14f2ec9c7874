"""Secrets of a session are readable with the session's own secret alone."""

from __future__ import annotations

import base64

import pytest

from isocenter.core.errors import Corrupted
from isocenter.runtime.access.sealing import sealed, unsealed

TEXT = "eyJhbGciOi.\u00e9.x"


@pytest.mark.parametrize("text", [TEXT, "x" * 10_000])
def test_what_is_sealed_is_read_with_the_secret(text: str) -> None:
    kept = sealed("secret", text)
    assert unsealed("secret", kept) == text
    assert text not in kept
    assert text.encode() not in base64.urlsafe_b64decode(kept)


def test_nothing_is_sealed_as_nothing() -> None:
    assert sealed("secret", "") == unsealed("secret", "") == ""


def test_the_same_is_never_sealed_the_same() -> None:
    assert len({sealed("secret", TEXT) for _ in range(10)}) == 10


def _changed(kept: str) -> str:
    data = bytearray(base64.urlsafe_b64decode(kept))
    data[20] ^= 1
    return base64.urlsafe_b64encode(bytes(data)).decode()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda _: sealed("another", TEXT),
        _changed,
        lambda kept: kept[:-8],
        lambda kept: kept[:8],
        lambda _: "x",
        lambda _: "not base64, \u00e9",
    ],
)
def test_what_is_not_as_it_was_sealed_is_not_read(wrong) -> None:
    with pytest.raises(Corrupted, match="cannot be read") as error:
        unsealed("secret", wrong(sealed("secret", TEXT)))
    assert "secret" not in str(error.value)
