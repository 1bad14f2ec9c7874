"""The terms of a record in the full-text index: its words, and a token for each exact name.

A token is `=`, which no word has, a letter for what it names, and a digest of the name: names hold
any characters, and their case counts. Of 96 bits, no two are the same by chance.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

from isocenter.core.audit import AuditFilter, names_of, places_of, words, words_of
from isocenter.core.events import AuditEvent

_DIGEST = 12  # bytes


def digest(text: str) -> bytes:
    """What stands for a text that may be of any length."""
    return _hash(text).digest()


def _hash(text: str) -> blake2b:
    # Half of a surrogate pair is no text, and in no record, but it may be asked for.
    return blake2b(text.encode(errors="surrogatepass"), digest_size=_DIGEST)


@lru_cache(maxsize=16384)
def _token(kind: str, name: str) -> str:
    return f"={kind}{_hash(name).hexdigest()}"


def terms_of(event: AuditEvent) -> str:
    """All terms of a record, separated by spaces."""
    found = words_of(event)
    for kind, names in (
        ("w", names_of(event)),
        ("p", event.patient_ids),
        ("s", event.studies),
        ("i", event.instances),
        ("l", places_of(event)),
    ):
        found += [_token(kind, name) for name in names]
    found.append(_token("a", event.action.value))
    found.append(_token("o", event.outcome.value))
    return " ".join(found)


def expressions_of(which: AuditFilter) -> list[str]:
    """The conditions of a filter on exact names, each as an expression of FTS5; all must hold."""
    exact = (
        ("p", which.patient_id),
        ("i", which.instance),
        ("s", which.study),
        ("w", which.who),
        ("l", which.place),
    )
    found = [f'"{_token(kind, name)}"' for kind, name in exact if name]
    for kind, members in (("a", which.actions), ("o", which.outcomes)):
        if members:
            found.append(any_of(_token(kind, member.value) for member in members))
    return found


def any_of(terms: Iterable[str]) -> str:
    """The expression that one of these terms is there; none has a quotation mark."""
    return "(" + " OR ".join([f'"{term}"' for term in terms]) + ")"


def words_asked(text: str) -> list[str]:
    """The beginnings of words that must be there; what another one says already is left out."""
    asked = sorted(set(words(text)))
    following = zip(asked, [*asked[1:], ""], strict=False)
    return [word for word, after in following if not after.startswith(word)]


def has_words(event: AuditEvent, asked: Iterable[str]) -> bool:
    """Whether a record has words that begin so."""
    there = words_of(event)
    return all(any(word.startswith(beginning) for word in there) for beginning in asked)
