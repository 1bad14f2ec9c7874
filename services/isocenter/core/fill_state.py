"""Which added attributes an index holds, and how far those are filled for what it held before.

An index keeps this beside its documents (`ports.StudyIndex`), so it is true of that index: a new
one is whole, a restored one as it was. An attribute that is taken off the table is forgotten here,
and is another one when it comes back, for what was indexed meanwhile lacks it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from isocenter.core.attributes import Attribute, Attributes
from isocenter.core.matching import Level


@dataclass(frozen=True, slots=True)
class Held:
    """An added attribute as an index holds it."""

    tag: str
    vr: str
    level: str  # name of the `Level`
    number: int  # of this index: never given again
    filled: bool = False

    def is_of(self, row: Attribute) -> bool:
        """Whether it is what a row of the table says."""
        return (self.tag, self.vr, Level[self.level]) == (row.tag, row.vr, row.level)


@dataclass(frozen=True, slots=True)
class FillState:
    """What an index says of itself. Times are seconds since 1970."""

    held: tuple[Held, ...] = ()
    next_number: int = 1
    since: float = 0.0  # when an attribute was added last
    again: bool = False  # everything was looked at, but for what came since then
    after: str = ""  # key of the last object that was looked at
    looked: int = 0  # objects
    total: int = 0  # objects, about: when it began
    owner: str = ""  # who fills
    until: float = 0.0  # how long it is the owner's
    revision: str = ""  # of this content: empty of none

    @property
    def unfilled(self) -> frozenset[str]:
        """Tags of the table that are not filled yet."""
        return frozenset(one.tag for one in self.held if not one.filled)

    def lacks(self, attributes: Attributes) -> frozenset[str]:
        """The added attributes of a table by which searches do not find everything."""
        filled = [one for one in self.held if one.filled]
        return frozenset(
            row.tag for row in attributes.added if not any(one.is_of(row) for one in filled)
        )

    def numbers(self, attributes: Attributes) -> Mapping[str, int]:
        """The number of every attribute that a table and the index have in common, by tag."""
        return {
            row.tag: one.number for row in attributes.added for one in self.held if one.is_of(row)
        }

    def revised(self, **changes: Any) -> FillState:  # noqa: ANN401 (fields)
        """The same with changes, as another revision."""
        return replace(self, **changes, revision=secrets.token_hex(8))

    def with_table(
        self, attributes: Attributes, *, now: float, total: int, forget: bool
    ) -> FillState:
        """The state after the table has changed: what is new is filled from the beginning;
        `forget`: what is not in the table is dropped. The same object if nothing has."""
        kept = [one for one in self.held if not forget or _row_of(one, attributes.added)]
        known = [row for row in attributes.added for one in kept if one.is_of(row)]
        new = [row for row in attributes.added if row not in known]
        if not new and len(kept) == len(self.held):
            return self
        kept = [one for one in kept if not any(one.tag == row.tag for row in new)]
        begun = [
            Held(row.tag, row.vr, row.level.name, number)
            for number, row in enumerate(new, self.next_number)
        ]
        state = self.revised(held=(*kept, *begun), next_number=self.next_number + len(begun))
        if not begun:
            return state
        return replace(
            state, since=now, again=False, after="", looked=0, total=total, owner="", until=0.0
        )

    def all_filled(self) -> FillState:
        """The state when everything has been looked at."""
        held = tuple(replace(one, filled=True) for one in self.held)
        return self.revised(held=held, again=False, after="", owner="", until=0.0)

    def encoded(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))


def _row_of(one: Held, rows: Sequence[Attribute]) -> Attribute | None:
    return next((row for row in rows if one.is_of(row)), None)


def decoded(text: str) -> FillState:
    """A state from its JSON."""
    fields = json.loads(text)
    held = tuple(Held(**one) for one in fields.pop("held"))
    return FillState(held, **fields)


def whole(attributes: Attributes) -> FillState:
    """The state of an index that gets everything with all of a table's attributes."""
    empty = FillState()
    return empty.with_table(attributes, now=0.0, total=0, forget=True).all_filled()


class HoldsAttributes(Protocol):
    """An index, as far as its table goes. Keys of attributes that it does not hold are matched all
    the same, by what its documents have."""

    @property
    def attributes(self) -> Attributes:
        """The table of what is searchable, as this index was opened with it."""
        ...

    async def fill_state(self) -> FillState:
        """What this index says of the attributes that were added to its table."""
        ...

    async def replace_fill_state(self, state: FillState, before: FillState) -> bool:
        """Keep a state, durable on return, unless it is no longer as it was `before`: then False,
        and nothing has changed."""
        ...
