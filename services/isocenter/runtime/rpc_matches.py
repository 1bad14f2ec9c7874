"""Answers of searches in messages of a bounded size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_MESSAGE_BYTES = 1024 * 1024  # after which a batch goes on in another message


def in_messages(answers: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The answers of one message each; of a batch of very long ones there are several."""
    held: list[bytes] = []
    size = 0
    for answer in answers:
        held.append(answer)
        size += len(answer)
        if size >= _MESSAGE_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held
