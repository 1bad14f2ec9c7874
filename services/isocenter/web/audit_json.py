"""The audit trail as JSON tells it, below `/api/audit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from isocenter.core.audit import By, Entry, Tally
from isocenter.core.audit_api import (
    Finding,
    Head,
    Hold,
    SavedSearch,
    TrailState,
    Verification,
)
from isocenter.core.events import Source
from isocenter.runtime.audit_ids import name_of
from isocenter.runtime.audit_records import fields_of
from isocenter.web.audit_filters import REPEATED, written

Told = Mapping[str, Any]


def record(entry: Entry) -> Told:
    """A record: its fields as segments hold them, its place, and its name in addresses."""
    place = {"chain": entry.place.chain, "sequence": entry.place.sequence}
    return {"name": name_of(entry.event), **fields_of(entry.event), **place}


def tallies(found: Sequence[Tally], by: Sequence[By]) -> Told:
    """Counts, each with what it was counted by."""
    names = [one.value for one in by]
    return {
        "by": names,
        "tallies": [
            {**dict(zip(names, one.keys, strict=True)), "count": one.count} for one in found
        ],
    }


def state(trail: TrailState) -> Told:
    """The trail at one glance."""
    return asdict(trail)


def verification(report: Verification) -> Told:
    """How far a verification is, or its result."""
    return {**asdict(report), "findings": [_finding(one) for one in report.findings]}


def _finding(found: Finding) -> Told:
    return {name: value for name, value in asdict(found).items() if value}


def head(fields: Mapping[str, Any]) -> Head:
    """What was published of a chain, as `state` tells it. Raises `AttributeError`,
    `KeyError`, `TypeError`, `ValueError`."""
    texts = {name: str(fields.get(name, "")) for name in ("seal", "at")}
    return Head(str(fields["chain"]), int(fields["last"]), str(fields["head"]), **texts)


def saved(search: SavedSearch) -> Told:
    """A saved search."""
    told: dict[str, Any] = {"name": search.name, "filter": _filter(search)}
    if search.days:
        told["days"] = search.days
    return {**told, "by": search.by.who, "at": _time(search.at)}


def _filter(search: SavedSearch) -> Told:
    found: dict[str, Any] = {}
    for name, value in written(search.which):
        if name in REPEATED:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found


def held(hold: Hold) -> Told:
    """A legal hold."""
    return {"name": hold.name, "reason": hold.reason, **_by(hold.by), "at": _time(hold.at)}


def _by(source: Source) -> Told:
    return {"by": source.who}


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
