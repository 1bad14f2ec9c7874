"""Marks: patients and studies that are confidential, as administrators keep them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from isocenter.core.access import Marks, Patient
from isocenter.core.apis import Storage
from isocenter.core.events import Source
from isocenter.core.identity import ACCESS, is_uid
from isocenter.runtime.named_records import NamedRecords

MARKS = f"{ACCESS}marks/"

_Id = Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)]
_Reason = Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)]


class Mark(BaseModel):
    """A patient, or a study."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patient: _Id = ""
    issuer: _Id = ""  # of the Patient ID; empty: any
    study: _Id = ""
    reason: _Reason = ""

    @model_validator(mode="after")
    def _is_about_one(self) -> Mark:
        if bool(self.patient) == bool(self.study) or (self.issuer and not self.patient):
            raise ValueError("name either a patient or a study")
        if self.study and not is_uid(self.study):
            raise ValueError("this is no Study Instance UID")
        return self

    @property
    def name(self) -> str:
        """By which it is kept; it tells nothing of the patient."""
        about = f"{self.patient}\n{self.issuer}\n{self.study}"
        return sha256(about.encode()).hexdigest()[:32]


class MarkRecords:
    """The marks of an installation."""

    def __init__(self, storage: Storage) -> None:
        self.records = NamedRecords[Mark](storage, MARKS, parse=Mark.model_validate, write=_written)

    async def all(self) -> Sequence[Mark]:
        """All of them. Raises `Unavailable`."""
        latest = await self.records.latest()
        return [one.value for one in latest.values() if one.value is not None]

    async def put(self, mark: Mark, by: Source) -> None:
        """Durable on return; it counts everywhere within seconds."""
        await self.records.append(mark.name, mark, by)

    async def remove(self, mark: Mark, by: Source) -> None:
        """Take it off; it is a success if there is none."""
        await self.records.append(mark.name, None, by)


def marks_of(found: Iterable[Mark]) -> Marks:
    """For the policy."""
    found = sorted(found, key=lambda one: one.name)
    return Marks(
        tuple(Patient(one.patient, one.issuer) for one in found if one.patient),
        tuple(one.study for one in found if one.study),
    )


def _written(mark: Mark) -> Mapping[str, Any]:
    return mark.model_dump(mode="json")
