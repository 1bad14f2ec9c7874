"""What the Elasticsearch index says of added attributes: one document among the contexts, whose
fields are those of a context without a study."""

from __future__ import annotations

from isocenter.adapters.index.elasticsearch.client import (
    ElasticsearchClient,
    Place,
    State,
    Write,
    encoded,
)
from isocenter.adapters.index.elasticsearch.schema import CONTEXTS, Generation, Names, admit_added
from isocenter.core.fill_state import FillState, decoded

_ID = "fill-state"


async def read_state(client: ElasticsearchClient, where: Names) -> tuple[FillState, State | None]:
    """What the index says, and the state of the document that says so."""
    (held,) = await client.get([_place(where)])
    if held is None:
        return FillState(), None
    return decoded(held.source["attributes"]["state"]), held.state


async def replace_state(
    client: ElasticsearchClient, where: Generation, state: FillState, before: FillState
) -> bool:
    """Write it, unless it has changed."""
    known, document = await read_state(client, where)
    if known.revision != before.revision:
        return known.revision == state.revision  # an answer that got lost
    if state.held:
        await admit_added(client, where)
    place = _place(where)
    doc = encoded({"id": _ID, "path": _ID, "attributes": {"state": state.encoded()}})
    (written,) = await client.write([Write(place.index, _ID, _ID, doc, document)])
    return written is not None


def _place(where: Names) -> Place:
    return Place(where.alias(CONTEXTS), _ID, _ID)
