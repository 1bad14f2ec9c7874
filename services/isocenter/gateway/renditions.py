"""What of an object goes out in a sub-operation: the whole, or less."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Protocol

from isocenter.core.apis import StoredInstance, Transcoding
from isocenter.core.ports import Buffer


class Rendition(Protocol):
    """What of an object goes out."""

    def syntaxes(self, stored: StoredInstance) -> Iterable[str]:
        """The transfer syntaxes in which it can go out, best first."""
        ...

    def changes(self, stored: StoredInstance, target: str) -> bool:
        """Whether that is not the data set as it is stored."""
        ...

    def data_set(
        self, chunks: AsyncIterable[Buffer], stored: StoredInstance, target: str
    ) -> AsyncIterator[Buffer]:
        """What goes out in a transfer syntax, from the data set as it is stored."""
        ...


class AsStored:
    """The whole object, in another transfer syntax only where the receiver wants that."""

    def __init__(self, transcoding: Transcoding) -> None:
        self._transcoding = transcoding

    def syntaxes(self, stored: StoredInstance) -> Iterable[str]:
        """As it is stored, or else with the least change."""
        return (stored.transfer_syntax, *self._transcoding.targets(stored.transfer_syntax))

    def changes(self, stored: StoredInstance, target: str) -> bool:
        """See `Rendition`."""
        return target != stored.transfer_syntax

    def data_set(
        self, chunks: AsyncIterable[Buffer], stored: StoredInstance, target: str
    ) -> AsyncIterator[Buffer]:
        """See `Rendition`."""
        return self._transcoding.data_set(chunks, stored.transfer_syntax, target)
