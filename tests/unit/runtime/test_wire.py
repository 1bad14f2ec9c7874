"""A caller as a message: what arrives is who asked."""

from __future__ import annotations

import pytest
from hypothesis import given

from isocenter.core.access import NOBODY, SYSTEM, Caller, Kind, Patient, Right
from isocenter.core.errors import Invalid
from isocenter.core.matching import Key, Level, Search
from isocenter.runtime.wire import CALLER_KINDS, caller_from, caller_to, search_from, search_to
from isocenter.v1 import common_pb2, query_pb2
from support.policies import person
from support.policy_samples import callers


def arrived(caller: Caller) -> Caller:
    """What a process makes of the bytes that another one sent."""
    return caller_from(common_pb2.Caller.FromString(caller_to(caller).SerializeToString()))


@given(callers())
def test_a_caller_arrives_as_it_is(caller: Caller) -> None:
    assert arrived(caller) == caller


@pytest.mark.parametrize(
    "caller",
    [
        SYSTEM,
        NOBODY,
        person("viewer", only=frozenset()),
        person("viewer", only=frozenset(Right)),
        Caller(Kind.LINK, "L1", ("guest",), studies=()),
        Caller(Kind.AE, "CT 1", ("device",), sites=("Köln", "")),
        person("viewer", groups=("b", "a", "b"), emergencies=(Patient("P*", "ÄH"), Patient(""))),
    ],
)
def test_what_is_empty_is_told_from_what_is_not_there(caller) -> None:
    assert arrived(caller) == caller


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_caller_has_a_number_of_its_own(kind) -> None:
    assert CALLER_KINDS[kind] != common_pb2.Caller.KIND_UNSPECIFIED
    assert arrived(Caller(kind, "x")).kind is kind


def test_a_message_without_a_caller_is_of_the_installation_itself() -> None:
    assert caller_from(query_pb2.SearchRequest().caller) == SYSTEM


def test_a_right_that_only_a_newer_version_knows_is_none_here() -> None:
    message = caller_to(person("viewer", only=frozenset({Right.READ})))
    message.only.names.append("teleport")
    assert caller_from(message).only == {Right.READ}
    message.only.names[:] = ["teleport"]
    assert caller_from(message).only == frozenset()


def test_a_kind_that_only_a_newer_version_knows_is_nobody_here() -> None:
    message = caller_to(person("administrator"))
    message.kind = 77  # type: ignore[assignment]
    with pytest.raises(Invalid):
        caller_from(message)


def test_a_search_says_who_searches() -> None:
    caller = person("viewer", sites=("north",))
    search = Search(Level.STUDY, (Key("00100020", "LO", ("P1",)),), limit=3)
    message = search_to(caller, search)
    assert caller_from(message.caller) == caller
    assert search_from(message) == search
