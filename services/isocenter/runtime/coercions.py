"""Settings of coercion rules: what is corrected in the objects of one source."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from isocenter.core.coercion import CHANGES, SET_IF_ABSENT, Rule, rule
from isocenter.core.errors import Invalid


class CoercionRule(BaseModel):
    """One attribute, and one thing that is done with it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attribute: str = Field(description="Its keyword, as `PatientID`.")
    set_if_absent: str | None = Field(
        None, min_length=1, description="Value where there is none, or an empty one."
    )
    trim: bool | None = Field(None, description="`true`: without spaces at both ends.")
    trim_leading: str | None = Field(
        None, min_length=1, description="Without these characters at the beginning, as `0`."
    )
    map: dict[str, str] | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Old values and what becomes of them; one `*` in both stands for any text.",
    )
    prefix: str | None = Field(None, min_length=1, description="Text that values begin with.")
    suffix: str | None = Field(None, min_length=1, description="Text that values end with.")

    @property
    def rule(self) -> Rule:
        """It, ready to be applied."""
        ((operation, argument),) = self._given()
        return rule(self.attribute, operation, argument)

    def _given(self) -> list[tuple[str, Any]]:
        operations = (SET_IF_ABSENT, *CHANGES)
        return [(one, getattr(self, one)) for one in operations if getattr(self, one)]

    @model_validator(mode="after")
    def _may_be(self) -> Self:
        if len(self._given()) != 1:
            one_of = ", ".join((SET_IF_ABSENT, *CHANGES))
            raise ValueError(f"a rule for {self.attribute} has exactly one of {one_of}")
        for old, new in (self.map or {}).items():
            if old.count("*") > 1 or new.count("*") > old.count("*"):
                raise ValueError(
                    f"{old!r} = {new!r}: write one * at most, in the new if in the old"
                )
        try:
            _ = self.rule
        except Invalid as error:
            raise ValueError(str(error)) from error
        return self
