"""Rules, callers and studies for tests of who may do what, and what is known of the studies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from isocenter.core.access import (
    ISSUER,
    MODALITIES,
    PATIENT_ID,
    STUDY,
    Caller,
    Kind,
    Marks,
    Policy,
    Right,
    Rule,
)
from isocenter.core.apis import FillProgress
from isocenter.core.attributes import SITES
from isocenter.core.errors import Withheld
from isocenter.core.identity import objects_prefix
from isocenter.core.matching import JsonAttributes, Search
from isocenter.core.ports import BlobInfo, Match
from isocenter.runtime.access.facts import Facts
from isocenter.runtime.access.guard import PolicyGuard


def study(
    uid: str = "1.2",
    *,
    patient: str = "",
    issuer: str = "",
    modalities: Sequence[str] = (),
    sites: Sequence[str] = (),
) -> JsonAttributes:
    """What rules look at of a study."""
    values = {
        STUDY: ("UI", [uid]),
        PATIENT_ID: ("LO", [patient] if patient else []),
        ISSUER: ("LO", [issuer] if issuer else []),
        MODALITIES: ("CS", list(modalities)),
        SITES.tag: (SITES.vr, list(sites)),
    }
    return {tag: {"vr": vr, "Value": some} for tag, (vr, some) in values.items() if some}


def person(*roles: str, name: str = "eva", **more: Any) -> Caller:
    """Somebody of these roles."""
    return Caller(Kind.PERSON, name, roles, **more)


def allow(*rights: Right, name: str = "allowing", **more: Any) -> Rule:
    """A rule that allows this, for everybody where it does not say for whom."""
    return Rule(name, True, frozenset(rights or Right), more.pop("who", ("*",)), **more)


def deny(*rights: Right, name: str = "denying", **more: Any) -> Rule:
    """A rule that denies this."""
    return Rule(name, False, frozenset(rights or Right), more.pop("who", ("*",)), **more)


class KnownStudies:
    """A query service that knows these studies, as far as rules look at them."""

    def __init__(self, *studies: JsonAttributes, partition: str = "main") -> None:
        self.partition = partition
        self.studies = {one[STUDY]["Value"][0]: one for one in studies}
        self.asked: list[tuple[Caller, Search]] = []
        self.error: Exception | None = None
        self.kept: set[str] = set()  # studies of which storage has an object

    async def search(self, caller: Caller, search: Search) -> AsyncIterator[Sequence[Match]]:
        self.asked.append((caller, search))
        if self.error:
            raise self.error
        ((uid,),) = (key.values for key in search.keys)
        if search.partition == self.partition and uid in self.studies:
            yield [Match(self.studies[uid])]

    async def count(self, caller: Caller, search: Search) -> int:
        return sum([len(batch) async for batch in self.search(caller, search)])

    async def unfilled(self) -> dict[str, FillProgress]:
        return {}

    async def opened(self) -> KnownStudies:
        """What `Facts` asks for when it needs the query service, or storage."""
        return self

    async def list(self, prefix: str) -> AsyncIterator[BlobInfo]:
        for uid in self.kept:
            if prefix == objects_prefix(self.partition, uid):
                yield BlobInfo(f"{prefix}1.2.3/1.2.3.4/x.dcm", 1, datetime.now(UTC))


def facts_of(known: KnownStudies, **more: Any) -> Facts:
    """What is known of them."""
    return Facts(known.opened, known.opened, **more)  # type: ignore[arg-type]


def guard_of(rules: Iterable[Rule], *studies: JsonAttributes, marks: Marks | None = None) -> Any:
    """A guard by these rules, which knows these studies."""
    policy = Policy(tuple(rules), marks or Marks())
    return PolicyGuard(lambda: policy, facts_of(KnownStudies(*studies)))


def withheld(why: str) -> pytest.RaisesExc[Withheld]:
    """That something is withheld for a reason, of which the text says nothing."""
    return pytest.raises(
        Withheld, check=lambda error: why in error.message and why not in str(error)
    )
