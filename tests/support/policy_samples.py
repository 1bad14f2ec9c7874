"""Policies, callers and studies to draw from."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from isocenter.core.access import (
    DEVICE,
    EVERYONE,
    GUEST,
    OF_STUDIES,
    OWN,
    ROLES,
    Caller,
    Kind,
    Marks,
    Patient,
    Patients,
    Policy,
    Rule,
)
from isocenter.core.matching import JsonAttributes
from support.policies import study

RIGHTS_OF_STUDIES = sorted(OF_STUDIES, key=lambda one: one.value)
_IDS, _ISSUERS = ["P1", "P2", "P*", "EMP7"], ["", "HR", "HOSPITAL"]
_SITES, _MODALITIES, _UIDS = ["north", "south"], ["CT", "MR", "PR"], ["1.2", "1.3"]
_ROLES = [*ROLES, DEVICE, GUEST, "physician"]
_WHO = ["*", "person:*", "person:eva", "role:viewer", "role:administrator", "group:ward",
        "program:*", "ae:eva", "role:device", "link:*"]  # fmt: skip


def _some_of(values: list[Any], most: int = 2, least: int = 0) -> st.SearchStrategy[Any]:
    drawn = st.lists(st.sampled_from(values), min_size=least, max_size=most, unique=True)
    return drawn.map(tuple)


_rights = st.frozensets(st.sampled_from(RIGHTS_OF_STUDIES), max_size=4)
_patients = st.builds(Patient, st.sampled_from(_IDS), st.sampled_from(_ISSUERS))
_groups = st.builds(
    Patients,
    _some_of(["P1", "P?", "*", "EMP*", "?*7"], least=1),
    st.sampled_from(_ISSUERS),
)
_rules = st.builds(
    Rule,
    st.text(max_size=3),
    st.booleans(),
    _rights,
    _some_of(_WHO, 3),
    sites=st.just(()) | _some_of([OWN, *_SITES]),
    modalities=st.just(()) | _some_of(_MODALITIES),
    patients=st.just(()) | st.lists(_groups, max_size=2).map(tuple),
    studies=st.just(()) | _some_of(_UIDS),
    confidential=st.booleans(),
)
_marks = st.builds(Marks, st.lists(_patients, max_size=2).map(tuple), _some_of(_UIDS))
_policies = st.builds(
    Policy, st.lists(st.just(EVERYONE) | _rules, max_size=4).map(tuple), st.just(Marks()) | _marks
)
_callers = st.builds(
    Caller,
    st.sampled_from(Kind),
    st.sampled_from(["eva", "otto"]),
    _some_of(_ROLES),
    groups=_some_of(["ward", "clinic"]),
    sites=_some_of(_SITES),
    only=st.none() | _rights,
    studies=st.none() | st.none() | _some_of(_UIDS),
    emergencies=st.just(()) | st.lists(_patients, max_size=2).map(tuple),
)
_studies = st.builds(
    study,
    st.sampled_from([*_UIDS, "1.4"]),
    patient=st.sampled_from(["", *_IDS]),
    issuer=st.sampled_from(_ISSUERS),
    modalities=_some_of(_MODALITIES),
    sites=_some_of(_SITES),
)


def policies() -> st.SearchStrategy[Policy]:
    return _policies


def callers() -> st.SearchStrategy[Caller]:
    return _callers


def studies() -> st.SearchStrategy[JsonAttributes]:
    """What rules look at of them."""
    return _studies
