"""Values that a JSON schema admits, drawn by hypothesis; knows what the chart's schema uses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

Schema = Mapping[str, Any]
_MOST = 3  # entries of a list or map
_LARGEST = 100_000


def values_of(schema: Schema, definitions: Mapping[str, Schema]) -> st.SearchStrategy[Any]:
    """What the schema admits. Objects whose form it leaves to others stay empty."""
    if "$ref" in schema:
        return values_of(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of(values_of(one, definitions) for one in schema["anyOf"])
    return _KINDS[schema["type"]](schema, definitions)


def _object(schema: Schema, definitions: Mapping[str, Schema]) -> st.SearchStrategy[Any]:
    if "properties" in schema:
        of = {key: values_of(one, definitions) for key, one in schema["properties"].items()}
        needed = set(schema.get("required", ()))
        drawn = st.fixed_dictionaries(
            {key: one for key, one in of.items() if key in needed},
            optional={key: one for key, one in of.items() if key not in needed},
        )
        least = schema.get("minProperties", 0)
        return drawn.filter(lambda made: len(made) >= least)
    if "additionalProperties" in schema:
        names = _string(schema["propertyNames"], definitions)
        held = values_of(schema["additionalProperties"], definitions)
        return st.dictionaries(names, held, max_size=_MOST)
    return st.just({})


def _array(schema: Schema, definitions: Mapping[str, Schema]) -> st.SearchStrategy[Any]:
    return st.lists(
        values_of(schema["items"], definitions),
        min_size=schema.get("minItems", 0),
        max_size=_MOST,
        unique=schema.get("uniqueItems", False),
    )


def _string(schema: Schema, definitions: Mapping[str, Schema]) -> st.SearchStrategy[str]:
    if "pattern" not in schema:
        return st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
    longest = schema.get("maxLength", 10_000)
    pattern = re.compile(schema["pattern"].removeprefix("^").removesuffix("$"))
    return st.from_regex(pattern, fullmatch=True).filter(lambda text: len(text) <= longest)


def _integer(schema: Schema, definitions: Mapping[str, Schema]) -> st.SearchStrategy[int]:
    return st.integers(schema["minimum"], schema.get("maximum", _LARGEST))


def _number(schema: Schema, definitions: Mapping[str, Schema]) -> st.SearchStrategy[float]:
    return st.integers(1, 64).map(lambda eighths: eighths / 8)


def _boolean(schema: Schema, definitions: Mapping[str, Schema]) -> st.SearchStrategy[bool]:
    return st.booleans()


def _null(schema: Schema, definitions: Mapping[str, Schema]) -> st.SearchStrategy[None]:
    return st.none()


_KINDS = {
    "object": _object,
    "array": _array,
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "null": _null,
}
