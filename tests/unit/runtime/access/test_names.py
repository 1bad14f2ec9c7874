"""Names of roles and sites, and what is told of wrong ones."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from isocenter.core.access import ROLES
from isocenter.core.sites import MAX_SITE
from isocenter.runtime.access.names import RoleName, SiteName, Text, told_of


class Named(BaseModel):
    model_config = ConfigDict(extra="forbid")

    roles: tuple[RoleName, ...] = ()
    site: SiteName = ""
    text: Text = ""


def told(**fields: object) -> str:
    with pytest.raises(ValidationError) as error:
        Named.model_validate(fields)
    return told_of(error.value)


@pytest.mark.parametrize("role", ROLES)
def test_these_are_roles(role: str) -> None:
    assert Named(roles=(role,)).roles == (role,)


@pytest.mark.parametrize("wrong", ["king", "Viewer", "viewer ", "", "guest", "device", "*"])
def test_others_are_not(wrong: str) -> None:
    assert "is no role; roles are viewer, technologist" in told(roles=["viewer", wrong])


@pytest.mark.parametrize("site", ["north", 'Ä "1"', "x" * MAX_SITE])
def test_a_site_is_called_as_people_call_it(site: str) -> None:
    assert Named(site=f" {site} ").site == site


@pytest.mark.parametrize("wrong", ["own", "x" * (MAX_SITE + 1), "ä" * MAX_SITE, "a\nb", "a\0b"])
def test_what_no_site_is_called_is_told(wrong: str) -> None:
    assert f"a site's name has up to {MAX_SITE} bytes, and is not 'own'" in told(site=wrong)


def test_all_that_is_wrong_is_told_with_its_place_and_without_values() -> None:
    said = told(roles=["viewer", "king"], text="secret" * 20, other=1)
    places = [one.split(": ")[0] for one in said.split("; ") if ": " in one]
    assert places == ["roles.1", "text", "other"]
    assert "secret" not in said
