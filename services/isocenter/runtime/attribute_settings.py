"""Settings of the attributes that are searchable beside the built-in ones."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from isocenter.core.added import added
from isocenter.core.attributes import Attribute
from isocenter.core.errors import Invalid


class AddedAttribute(BaseModel):
    """One attribute, and the level whose searches it narrows, with those below."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        description="Keyword or tag; of a private one the group, xx for the block, and the element,"
        " as `0029xx10`."
    )
    level: Literal["STUDY", "SERIES", "INSTANCE"] = Field(description="Whose attribute it is.")
    creator: str = Field("", description="Private Creator of a private one.")
    vr: str = Field("", description="VR of a private one.")

    @property
    def row(self) -> Attribute:
        """Its row of the table."""
        return added(self.name, self.level, self.creator, self.vr)

    @model_validator(mode="after")
    def _has_a_row(self) -> Self:
        try:
            _ = self.row
        except Invalid as error:
            raise ValueError(str(error)) from error
        return self


def _distinct(some: tuple[AddedAttribute, ...]) -> tuple[AddedAttribute, ...]:
    seen: set[str] = set()
    for one in some:
        if one.row.tag in seen:
            raise ValueError(f"{one.name} is listed twice; leave one out")
        seen.add(one.row.tag)
    return some


AddedAttributes = Annotated[tuple[AddedAttribute, ...], AfterValidator(_distinct)]
