"""Passwords: what is kept of them, and which are good enough (NIST SP 800-63B 3.1.1).

Only length and how easily it is guessed count; nobody has to mix letters, digits and signs.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import unicodedata
from collections.abc import Iterable
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION

from isocenter.core.errors import Invalid

SHORTEST, LONGEST = 12, 256  # characters
_STRENGTH = 3  # of 4, as zxcvbn has it: 10^8 guesses and more
_JUDGED = 72  # characters that zxcvbn looks at: its work grows with the square
_OF_ITS_OWN = 6  # letters and digits that are none of the words about whose it is
_AT_ONCE = 2  # each takes 64 MiB and a core for some 50 ms


@cache
def _hasher() -> PasswordHasher:
    """RFC 9106 4, second recommended option."""
    return PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)


class Passwords:
    """Makes and compares what is kept of passwords, a few at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def kept(self, password: str) -> str:
        """What is kept of a password."""
        async with self._turn:
            return await asyncio.to_thread(_hasher().hash, _normal(password))

    async def is_right(self, kept: str, password: str) -> bool:
        """Whether it is the password of which this is kept. It takes as long where nothing is."""
        if len(password) > LONGEST:
            return False
        async with self._turn:
            same = await asyncio.to_thread(_matches, kept or _nobodys(), _normal(password))
        return same and bool(kept)


def check_password(password: str, about: Iterable[str]) -> None:
    """Raises `Invalid` for one that is too short, too long, or easily guessed by somebody who knows
    the words `about` whose it is."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Invalid(f"a password has {SHORTEST} to {LONGEST} characters")
    from zxcvbn import zxcvbn  # noqa: PLC0415 - its lists of words take time and memory

    known = [word for word in about if word]
    judged = zxcvbn(password[:_JUDGED], user_inputs=known, max_length=_JUDGED)
    if judged["score"] < _STRENGTH or len(_without(known, password)) < _OF_ITS_OWN:
        raise Invalid("this password is easily guessed", fix="take several unrelated words")


def _without(known: Iterable[str], password: str) -> str:
    """What is left of a password without the words that everybody knows, and what joins them."""
    left = password.lower()
    for word in re.findall(r"\w{3,}", " ".join(known).lower()):
        left = left.replace(word, "")
    return re.sub(r"[\W_]", "", left)


def _normal(password: str) -> str:
    """As it is compared: however a keyboard composes its characters (RFC 8265 4.2.2)."""
    return unicodedata.normalize("NFC", password)


def _nobodys() -> str:
    """What is kept of a password that nobody has, in the form and at the cost of others."""
    hasher = _hasher()
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    salt, digest = (_base64(os.urandom(size)) for size in (hasher.salt_len, hasher.hash_len))
    return f"$argon2id$v={ARGON2_VERSION}${cost}${salt}${digest}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii").rstrip("=")


def _matches(kept: str, password: str) -> bool:
    try:
        return _hasher().verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False
