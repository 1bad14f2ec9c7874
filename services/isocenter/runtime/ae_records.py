"""What administrators keep in the AE directory, as records in the object store."""

from __future__ import annotations

from isocenter.core.apis import Storage
from isocenter.core.identity import AES
from isocenter.runtime.aes import Directory, KnownAE, fields_of, parsed
from isocenter.runtime.named_records import Follower, NamedRecords

FOLLOW_SECONDS = 3.0


def ae_records(storage: Storage) -> NamedRecords[KnownAE]:
    """The records, by title."""
    return NamedRecords(storage, AES, parse=parsed, write=fields_of)


class DirectoryFollower(Follower[KnownAE]):
    """Keeps a directory up with the records; before the first answer it is not complete."""

    def __init__(self, directory: Directory, storage: Storage, every: float) -> None:
        """`every`: seconds between two looks."""
        super().__init__(ae_records(storage), directory.keep, every, "AE directory")
        self.directory = directory

    async def start(self) -> None:
        """Returns after the first look, or when that takes too long."""
        self.directory.complete = False
        await super().start()
