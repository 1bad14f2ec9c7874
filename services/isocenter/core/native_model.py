"""The Native DICOM Model (PS3.19 A.1; media type application/dicom+xml), to and from the DICOM
JSON Model (PS3.18 F.2).

Both directions keep everything, with these rules where the two models differ:

- A private element is written as (gggg,00ee) with its private creator, as table A.1.5-2 has it.
  Private creator elements are written too, so that a reader knows the blocks; where they are
  missing, blocks are given anew. What no creator element reserves, or a second block of the same
  creator, is written with the tag that it has.
- An empty value among several is an empty Value or PersonName element; nothing but one empty
  value is no value.
- Characters that XML 1.0 cannot hold (2.2: control characters but TAB, LF and CR) are written as
  U+FFFD. Of those, DICOM allows ESC alone, which UTF-8 has no use for (PS3.5 6.1.3).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from xml.parsers import expat

from pydicom.datadict import keyword_for_tag

from isocenter.core.errors import Invalid
from isocenter.core.limits import MAX_DEPTH
from isocenter.core.matching import JsonAttributes
from isocenter.core.native_elements import (
    CHILDREN,
    COMPONENTS,
    GROUPS,
    NAMESPACE,
    TEXTS,
    OpenAttribute,
    OpenDataSet,
    creators_of,
)

MAX_DOCUMENT = 32 * 1024**2  # bytes

# --- writing -------------------------------------------------------------------------------------

_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    f'<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'
)
_TAIL = "</NativeDicomModel>\n"
_SPECIAL = re.compile('[\0-\x1f&<>"\ud800-\udfff\ufffe\uffff]')
_ESCAPES = {
    "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;",
    "\r": "&#13;",
}  # fmt: skip


def to_xml(attributes: JsonAttributes) -> bytes:
    """One data set as a complete XML document, in UTF-8."""
    out = [_HEAD]
    _write_data_set(out, attributes)
    out.append(_TAIL)
    return "".join(out).encode("utf-8")


def _escaped(text: str) -> str:
    """For character data and for attributes."""
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found[0], "\ufffd"), text)


@lru_cache(maxsize=8192)
def _begin(tag: str, vr: str) -> str:
    keyword = keyword_for_tag(int(tag, 16))
    named = f' keyword="{keyword}"' if keyword else ""
    return f'<DicomAttribute tag="{tag}" vr="{vr}"{named}>'


def _blocks(attributes: JsonAttributes) -> Mapping[str, tuple[str, str]]:
    """For the tags of each reserved private block: how they begin, and their creator."""
    blocks: dict[str, tuple[str, str]] = {}
    for block, name in creators_of(attributes).items():
        creator = _escaped(name)
        again = (f"{block[:4]}00", creator) in blocks.values()
        blocks[block] = (block if again else f"{block[:4]}00", creator)
    return blocks


def _write_data_set(out: list[str], attributes: JsonAttributes) -> None:
    blocks = _blocks(attributes)
    for tag, entry in attributes.items():
        vr = entry["vr"]
        if tag[:6] in blocks:
            lead, creator = blocks[tag[:6]]
            number = lead + tag[6:]
            begin = f'<DicomAttribute tag="{number}" vr="{vr}" privateCreator="{creator}">'
        else:
            begin = _begin(tag, vr)
        out.append(begin)
        if values := entry.get("Value"):
            _WRITERS.get(vr, _write_values)(out, values)
        elif "BulkDataURI" in entry:
            out.append(f'<BulkData uri="{_escaped(entry["BulkDataURI"])}"/>')
        elif "InlineBinary" in entry:
            out.append(f"<InlineBinary>{entry['InlineBinary']}</InlineBinary>")
        out.append("</DicomAttribute>")


def _write_values(out: list[str], values: list[Any]) -> None:
    for number, value in enumerate(values, 1):
        text = _escaped(value) if isinstance(value, str) else "" if value is None else value
        out.append(f'<Value number="{number}">{text}</Value>')


def _write_items(out: list[str], items: list[JsonAttributes]) -> None:
    for number, item in enumerate(items, 1):
        out.append(f'<Item number="{number}">')
        _write_data_set(out, item)
        out.append("</Item>")


def _write_names(out: list[str], names: list[dict[str, str] | None]) -> None:
    for number, name in enumerate(names, 1):
        out.append(f'<PersonName number="{number}">')
        out += [
            f"<{group}>{_components(name[group])}</{group}>"
            for group in GROUPS
            if name and name.get(group)
        ]
        out.append("</PersonName>")


def _components(group: str) -> str:
    """The elements of a component group; an empty one only where a delimiter would be lost."""
    texts = group.split("^", len(COMPONENTS) - 1)
    last = COMPONENTS[len(texts) - 1]
    return "".join(
        f"<{name}>{_escaped(text)}</{name}>"
        for name, text in zip(COMPONENTS, texts, strict=False)
        if text or name == last
    )


_WRITERS: Mapping[str, Callable[[list[str], list[Any]], None]] = {
    "SQ": _write_items,
    "PN": _write_names,
}

# --- reading -------------------------------------------------------------------------------------


def from_xml(
    document: bytes, *, max_size: int = MAX_DOCUMENT, max_depth: int = MAX_DEPTH
) -> JsonAttributes:
    """The data set of an XML document, its attributes in the order of their tags.

    It is in memory as a whole, and takes a second for five to ten megabytes (`max_size`, bytes,
    bounds both): read large documents in a thread. A document type declaration is refused, so no
    entity is ever expanded and nothing outside is ever read. Elements without a namespace are
    taken as those of the model; a missing `vr` is looked up in the data dictionary; group lengths
    are left out. Raises `Invalid`, which names the element but never a value.
    """
    if len(document) > max_size:
        raise Invalid(f"the XML document has more than {max_size} bytes")
    reader = _Reader(max_depth)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        raise Invalid(f"the XML document cannot be read: {error}") from error
    except (LookupError, ValueError) as error:
        raise Invalid("the XML document has an unknown encoding", fix="send UTF-8") from error
    return reader.data_set


def _refuse_doctype(*_: object) -> None:
    raise Invalid("the XML document has a document type declaration", fix="leave it out")


class _Reader:
    """What is open while a document is read."""

    def __init__(self, max_depth: int) -> None:
        self.data_set: JsonAttributes = {}
        self._max_depth = max_depth
        self._path = [""]
        self._data_sets: list[OpenDataSet] = []
        self._attributes: list[OpenAttribute] = []
        self._text: list[str] = []
        self._name: dict[str, list[str]] = {}  # of a person: components by group

    def start(self, qualified: str, given: dict[str, str]) -> None:
        """An element begins."""
        namespace, _, name = qualified.rpartition(" ")
        parent = self._path[-1]
        if name not in CHILDREN.get(parent, ()) or namespace not in ("", NAMESPACE):
            place = f"in {parent}" if parent else "as the outermost one"
            raise Invalid(f"element {name[:64]!a} is not allowed {place}", fix="see PS3.19 A.1.6")
        self._path.append(name)
        self._text.clear()
        if name == "DicomAttribute":
            self._attributes.append(OpenAttribute.of(given))
            return
        if parent == "DicomAttribute":
            self._attributes[-1].begin(name, given)
        if name in ("Item", "NativeDicomModel"):
            if len(self._data_sets) > self._max_depth:
                raise Invalid(f"sequences are nested deeper than {self._max_depth}")
            self._data_sets.append(OpenDataSet())
        elif name == "PersonName":
            self._name = {}
        elif name in GROUPS:
            self._once(name not in self._name, name)
            self._name[name] = []

    def text(self, text: str) -> None:
        """Character data."""
        if self._path[-1] in TEXTS:
            self._text.append(text)
        elif text.strip():
            raise Invalid(f"there is text within {self._path[-1]}", fix="see PS3.19 A.1.6")

    def end(self, _: str) -> None:
        """An element ends."""
        name = self._path.pop()
        if name == "DicomAttribute":
            self._data_sets[-1].add(self._attributes.pop())
        elif name in COMPONENTS:
            components = self._name[self._path[-1]]
            missing = COMPONENTS.index(name) - len(components)
            self._once(missing >= 0, name)
            components += [""] * missing + ["".join(self._text)]
        elif name in TEXTS:
            self._attributes[-1].add_text("".join(self._text))
        elif name == "PersonName":
            joined = {group: "^".join(parts) for group, parts in self._name.items()}
            groups = {group: text for group, text in joined.items() if text}
            self._attributes[-1].values.append(groups or None)
        elif name == "Item":
            self._attributes[-1].values.append(self._data_sets.pop().close())
        elif name == "NativeDicomModel":
            self.data_set = self._data_sets.pop().close()

    def _once(self, holds: bool, name: str) -> None:
        """Component groups and components come once and in order (PS3.19 A.1.6)."""
        if not holds:
            raise Invalid(
                f"{name} in a name of attribute {self._attributes[-1].name} comes twice or late"
            )
