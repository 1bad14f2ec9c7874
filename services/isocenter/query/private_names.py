"""Private attributes of the table in searches: asked for by the tag in the block that the search
gives to their creator, known to the index by a name without a block (`core.private`), answered in
the block asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from isocenter.core.attributes import DEPTH, Attribute, Attributes
from isocenter.core.dictionary import creator_of
from isocenter.core.matching import JsonAttributes, Level, Search
from isocenter.core.ports import Match
from isocenter.core.private import free_block, in_block


@dataclass(frozen=True, slots=True)
class PrivateNames:
    """Those of one search."""

    tags: Mapping[str, str]  # where an attribute is answered, by its name
    creators: Mapping[str, str]  # of these attributes, by the tag of the Private Creator
    hidden: frozenset[str]  # names that are not answered

    def inward(self, search: Search) -> Search:
        """The search as the index understands it."""
        names = {tag: name for name, tag in self.tags.items()}
        return replace(
            search,
            keys=tuple([replace(key, tag=names.get(key.tag, key.tag)) for key in search.keys]),
            include=tuple([names.get(tag, tag) for tag in search.include]),
        )

    def outward(self, match: Match) -> Match:
        """An answer of the index as the search asked for it, with the Private Creators."""
        if not (self.tags or self.hidden):
            return match
        found: JsonAttributes = {}
        for name, element in match.attributes.items():
            if name in self.hidden:
                continue
            tag = self.tags.get(name, name)
            found[tag] = element
            if tag != name:
                creator = creator_of(tag)
                found[creator] = {"vr": "LO", "Value": [self.creators[creator]]}
        return replace(match, attributes=found)


def creators_asked(search: Search) -> Mapping[str, str]:
    """Whose private elements a search is about, by the tag of the Private Creator."""
    return {
        key.tag: key.values[0].strip()
        for key in search.keys
        if key.values and creator_of(key.tag) == key.tag
    }


def names_in(search: Search, table: Attributes) -> PrivateNames:
    """The private attributes of a table that a search asks for; with `include_all`, the others too
    where the index answers (of instances, the metadata packs answer everything)."""
    private = [row for row in table.added if row.creator]
    if not private:
        return PrivateNames({}, {}, frozenset())
    creators = dict(creators_asked(search))
    tags: dict[str, str] = {}
    for tag in (*(key.tag for key in search.keys), *search.include):
        row = table.named(tag, creators.get(creator_of(tag), ""))
        if row and row.creator:
            tags[row.tag] = tag
    others = [row for row in private if row.tag not in tags]
    if search.include_all and search.level is not Level.INSTANCE:
        for row in others:
            if DEPTH[row.level] <= DEPTH[search.level]:
                tags[row.tag] = in_block(row.tag, _block(row, creators))
    return PrivateNames(tags, creators, frozenset(row.tag for row in others) - tags.keys())


def _block(row: Attribute, creators: dict[str, str]) -> str:
    """The Private Creator's tag for an attribute that was not asked for, added if it is new."""
    group = row.tag[:4]
    same = (tag for tag, name in creators.items() if tag[:4] == group and name == row.creator)
    tag = next(same, "") or free_block(group, creators)
    creators[tag] = row.creator
    return tag
