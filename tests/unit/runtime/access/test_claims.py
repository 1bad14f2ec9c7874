"""Whom the claims of an identity provider's tokens name, and with which roles, groups and sites."""

from __future__ import annotations

from typing import Any

import pytest

from isocenter.core.access import Caller, Kind
from isocenter.core.errors import Unauthenticated
from isocenter.runtime.access.claims import person_of, program_of, roles_of
from isocenter.runtime.access.oidc_settings import OidcSettings

SETTINGS = OidcSettings(
    roles_claim="realm_access.roles", roles={"radiologist": "viewer", "boss": "administrator"}
)
EVA = {"preferred_username": "eva", "sub": "1234"}


def of(**claims: Any) -> dict[str, Any]:
    return {**EVA, **claims}


def test_a_person_is_who_the_token_names() -> None:
    claims = of(realm_access={"roles": ["radiologist"]}, groups=["night"], sites=["north"])
    settings = SETTINGS.model_copy(update={"groups_claim": "groups", "sites_claim": "sites"})
    person = person_of(claims, settings)
    assert (person.name, person.subject) == ("eva", "1234")
    assert (person.roles, person.groups, person.sites) == (("viewer",), ("night",), ("north",))


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "1"},
        {"preferred_username": "eva"},
        of(preferred_username=""),
        of(preferred_username="  "),
        of(preferred_username=7),
        of(preferred_username=["eva"]),
        of(preferred_username="e\nva"),
        of(preferred_username="x" * 64),
        of(preferred_username="ä" * 32),
        of(sub=7),
    ],
)
def test_a_token_that_names_nobody_is_not_taken(claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated, match="no name in the claim preferred_username"):
        person_of(claims, SETTINGS)


@pytest.mark.parametrize(
    ("told", "roles"),
    [
        (["radiologist", "boss"], ("viewer", "administrator")),
        (["viewer", "radiologist"], ("viewer",)),  # each once
        (["auditor", "offline_access", "king"], ("auditor",)),
        ("radiologist auditor", ("viewer", "auditor")),  # as scopes are written
        (["guest", "device", "system", "*"], ()),  # none that people or programs are made
        (["Viewer", " viewer"], ()),
        ([7, None, ["viewer"], {"viewer": 1}], ()),
        ({"viewer": True}, ()),
        (True, ()),
        (None, ()),
        ([], ()),
    ],
)
def test_roles_are_ours_or_stand_for_ours(told: object, roles: tuple[str, ...]) -> None:
    assert roles_of({"realm_access": {"roles": told}}, SETTINGS) == roles


@pytest.mark.parametrize(
    "claims",
    [{}, {"realm_access": None}, {"realm_access": "viewer"}, {"realm_access": ["roles"]}],
)
def test_where_no_role_is_told_there_is_none(claims: dict[str, Any]) -> None:
    assert roles_of(claims, SETTINGS) == ()


def test_a_claim_may_have_the_whole_path_as_its_name() -> None:
    settings = OidcSettings(roles_claim="https://h.example.org/roles")
    assert roles_of({"https://h.example.org/roles": ["viewer"]}, settings) == ("viewer",)
    both = {"realm_access.roles": ["auditor"], "realm_access": {"roles": ["viewer"]}}
    assert roles_of(both, SETTINGS) == ("auditor",)


def test_of_a_claim_so_many_values_count() -> None:
    many = [f"g{number}" for number in range(500)]
    settings = SETTINGS.model_copy(update={"groups_claim": "groups"})
    assert person_of(of(groups=many), settings).groups == tuple(many[:200])


@pytest.mark.parametrize(
    ("claims", "caller"),
    [
        ({"azp": "portal"}, Caller(Kind.PROGRAM, "portal")),
        ({"client_id": "portal", "azp": "other"}, Caller(Kind.PROGRAM, "portal")),
        (
            {"azp": "portal", "preferred_username": "service-account-portal"},
            Caller(Kind.PROGRAM, "portal"),
        ),
        ({"azp": "portal", "preferred_username": "eva"}, Caller(Kind.PERSON, "eva")),
        (
            {"azp": "portal", "realm_access": {"roles": ["boss"]}},
            Caller(Kind.PROGRAM, "portal", ("administrator",)),
        ),
    ],
)
def test_a_program_is_the_client_or_acts_for_a_person(
    claims: dict[str, Any], caller: Caller
) -> None:
    assert program_of(claims, SETTINGS) == caller


@pytest.mark.parametrize(
    "claims",
    [{}, {"azp": ""}, {"azp": 7}, {"azp": "x" * 64}, {"azp": "p", "preferred_username": "a\0"}],
)
def test_a_token_of_no_program_is_not_taken(claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated, match="the token names nobody"):
        program_of(claims, SETTINGS)
