"""Objects as Composite Instance Retrieve Without Bulk Data sends them (PS3.4 Z.1.3): with the SOP
class and SOP Instance UID that they have."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable

from isocenter.core import bulk_data
from isocenter.core.apis import StoredInstance, Transcoding
from isocenter.core.ports import Buffer
from isocenter.core.transfer_syntax import EXPLICIT_VR_LITTLE_ENDIAN, lookup


class WithoutBulkData:
    """A rendition without what is large; so what was encapsulated needs no codec, and goes out in
    Explicit VR Little Endian where the receiver does not take its transfer syntax."""

    def __init__(self, transcoding: Transcoding) -> None:
        self._transcoding = transcoding

    def syntaxes(self, stored: StoredInstance) -> Iterable[str]:
        """As it is stored, unless that is deflated; then what its other elements are written in."""
        plain = _plain(stored.transfer_syntax)
        own = () if lookup(stored.transfer_syntax).deflated else (stored.transfer_syntax,)
        return dict.fromkeys((*own, plain, *self._transcoding.targets(plain)))

    def changes(self, stored: StoredInstance, target: str) -> bool:
        """Always: what can be left out is not known before it is read."""
        del stored, target
        return True

    def data_set(
        self, chunks: AsyncIterable[Buffer], stored: StoredInstance, target: str
    ) -> AsyncIterator[Buffer]:
        """The data set without bulk data."""
        syntax = stored.transfer_syntax
        if lookup(syntax).deflated:
            syntax = EXPLICIT_VR_LITTLE_ENDIAN
            chunks = self._transcoding.data_set(chunks, stored.transfer_syntax, syntax)
        kept = _without(chunks, syntax)
        if target in (syntax, _plain(syntax)):
            return kept
        return self._transcoding.data_set(kept, _plain(syntax), target)


def _plain(syntax: str) -> str:
    """The transfer syntax of a data set of this one that has no pixel data."""
    known = lookup(syntax)
    return EXPLICIT_VR_LITTLE_ENDIAN if known.encapsulated or known.deflated else syntax


async def _without(chunks: AsyncIterable[Buffer], syntax: str) -> AsyncIterator[Buffer]:
    remover = bulk_data.WithoutBulkData(syntax)
    async for chunk in chunks:
        if kept := remover.feed(chunk):
            yield kept
    if kept := remover.end():
        yield kept
