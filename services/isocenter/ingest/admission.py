"""What may come in: the checks every object passes, and the name it gets."""

from __future__ import annotations

from isocenter.core.apis import Announcement
from isocenter.core.errors import Mismatch, Refused, Unprocessable
from isocenter.core.identity import InstanceName, is_uid
from isocenter.core.reader import Header
from isocenter.dimse.sop_classes import STORAGE_SOP_CLASSES
from isocenter.ingest.settings import IngestSettings

# What each identifier is called in messages, by its name in `Header`.
_IDENTIFIERS = {
    "sop_class": "SOP Class UID (0008,0016)",
    "instance": "SOP Instance UID (0008,0018)",
    "study": "Study Instance UID (0020,000D)",
    "series": "Series Instance UID (0020,000E)",
}
_ANNOUNCED = ("sop_class", "instance", "study")

# Not instances of a study (PS3.4 annex B): a media directory has none of the identifiers.
_NEVER = frozenset(("1.2.840.10008.1.3.10",))


def check(header: Header, announcement: Announcement, settings: IngestSettings) -> InstanceName:
    """The name of an object that may come in.

    Raises `Unprocessable` for identifiers that are missing or no UIDs, `Mismatch` for those that
    are not as announced, `Refused` for a SOP class that is not taken in.
    """
    for field, title in _IDENTIFIERS.items():
        value: str = getattr(header, field)
        if not value:
            raise Unprocessable(f"{title} is missing", fix="send the object with its identifiers")
        if not is_uid(value):
            raise Unprocessable(
                f"{title} is no UID", fix="use digits and dots, at most 64 characters (PS3.5 9.1)"
            )
    for field in _ANNOUNCED:
        announced: str = getattr(announcement, field)
        if announced and announced != getattr(header, field):
            raise Mismatch(
                f"{_IDENTIFIERS[field]} of the data set is not the one that was announced",
                fix="send the data set that the command or the address names",
            )
    _check_class(header.sop_class, announcement.general_sop_class, settings)
    return InstanceName(settings.partition, header.study, header.series, header.instance)


def _check_class(uid: str, general: str, settings: IngestSettings) -> None:
    if uid in _NEVER:
        raise Refused(
            "a Media Storage Directory is not an instance of a study",
            fix="send the files that it lists",
        )
    if settings.sop_classes == "any" or uid in settings.more_sop_classes:
        return
    if uid not in STORAGE_SOP_CLASSES and general not in STORAGE_SOP_CLASSES:
        raise Refused(f"SOP class {uid} is not taken in", fix="add it to [ingest] more_sop_classes")
