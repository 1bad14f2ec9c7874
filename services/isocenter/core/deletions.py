"""What was deleted: its names, and the record of who deleted it.

Nothing is destroyed at once. A deleted object moves from its key to one below `DELETED`, where no
search and no retrieval looks, and waits there until the time of its deletion is over:

- `deletions/{partition}/{deletion}`: the record of a deletion, JSON, until all of it is gone.
- `deleted/{partition}/{study}/{deletion}/{series}/{instance}/{digest}.dcm`: an object of it.
- the same with `.spared`: the object was stored or restored after the deletion, which is over for
  it, whatever is delivered again.

Whether an object is there follows from what the log tells of it: the later one of its deletion
(the time in the deletion's name) and its last store (`InstanceStored.received_at`) counts.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from isocenter.core.errors import Corrupted
from isocenter.core.events import Source
from isocenter.core.identity import DELETED, DELETIONS, InstanceName, ObjectName

_ID = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})-[0-9a-f]{8}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OBJECT, _SPARED = ".dcm", ".spared"


@dataclass(frozen=True, slots=True)
class Deletion:
    """What somebody deleted together: a study, a series or an instance."""

    id: str
    partition: str
    study: str
    series: str  # empty: the whole study
    instance: str  # empty: the whole series
    by: Source
    reason: str
    instances: int
    objects: int  # all versions of the instances
    size: int  # of the objects, bytes
    kept: int = 0  # of these objects, so many are deleted now and can be restored

    @property
    def who(self) -> str:
        """By whom, for people: the user, else the AE title, else the address."""
        return self.by.who

    @property
    def at(self) -> datetime:
        """When it was deleted, UTC."""
        return deleted_at(self.id)

    @property
    def keep_until(self) -> datetime:
        """Until when it can be restored, UTC."""
        return kept_until(self.id)


def deletion_id(at: datetime, keep_until: datetime, random: int) -> str:
    """The id of a deletion; sorts by the end of the time in which it can be undone."""
    return f"{_micros(keep_until):016x}-{_micros(at):016x}-{random:08x}"


def is_deletion_id(text: str) -> bool:
    """Whether `text` is the id of a deletion."""
    return _ID.fullmatch(text) is not None


def kept_until(deletion: str) -> datetime:
    """Until when a deletion can be undone, by its id."""
    return _moment(deletion, 1)


def deleted_at(deletion: str) -> datetime:
    """When a deletion was ordered, by its id."""
    return _moment(deletion, 2)


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _moment(deletion: str, part: int) -> datetime:
    found = _ID.fullmatch(deletion)
    if found is None:
        raise Corrupted(f"{deletion!r} is not the id of a deletion")
    return _EPOCH + timedelta(microseconds=int(found[part], 16))


@dataclass(frozen=True, slots=True)
class DeletedObject:
    """One object of a deletion."""

    deletion: str
    object: ObjectName

    @property
    def key(self) -> str:
        """Where it is while it is deleted."""
        return self._stem + _OBJECT

    @property
    def spared_key(self) -> str:
        """The mark that the deletion is over for it."""
        return self._stem + _SPARED

    @property
    def _stem(self) -> str:
        name = self.object.name
        prefix = deleted_prefix(name.partition, name.study, self.deletion)
        return f"{prefix}{name.series}/{name.instance}/{self.object.digest}"


def deleted_from_key(key: str) -> tuple[DeletedObject, bool] | None:
    """What a key below `DELETED` names, and whether it is the mark that it is spared; or None."""
    match key.split("/"):
        case ["deleted", partition, study, deletion, series, instance, file]:
            digest, dot, kind = file.rpartition(".")
            if dot + kind in (_OBJECT, _SPARED) and is_deletion_id(deletion):
                name = InstanceName(partition, study, series, instance)
                return DeletedObject(deletion, ObjectName(name, digest)), dot + kind == _SPARED
    return None


def deleted_prefix(partition: str, study: str, deletion: str = "") -> str:
    """Prefix of the keys of the objects of a deletion, or of all deletions in a study."""
    parts = [partition, study, *([deletion] if deletion else [])]
    return f"{DELETED}{'/'.join(parts)}/"


def deletions_prefix(partition: str) -> str:
    """Prefix of the keys of the records of a partition."""
    return f"{DELETIONS}{partition}/"


def record_key(partition: str, deletion: str) -> str:
    """The key of the record of a deletion."""
    return deletions_prefix(partition) + deletion


_SOURCE_FIELDS = ("protocol", "host", "ae_title", "called_ae_title", "user", "tls_subject")
_FIELDS = (
    "id", "partition", "study", "series", "instance", "reason", "instances", "objects", "size",
)  # fmt: skip


def record_of(deletion: Deletion) -> bytes:
    """The record of a deletion."""
    by = {field: getattr(deletion.by, field) for field in _SOURCE_FIELDS}
    fields = {field: getattr(deletion, field) for field in _FIELDS}
    return json.dumps({**fields, "by": by}).encode()


def from_record(key: str, record: bytes) -> Deletion:
    """A deletion by its record. Raises `Corrupted`."""
    try:
        fields: dict[str, Any] = json.loads(record)
        return Deletion(**{**fields, "by": Source(**fields["by"])})
    except (ValueError, TypeError, KeyError) as error:
        raise Corrupted(f"{key} is no record of a deletion", fix="remove it") from error
