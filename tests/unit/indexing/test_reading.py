"""What is read of an instance is the same from its event, its object and its pack."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from isocenter.adapters.index.sqlite import SqliteIndex
from isocenter.core.attributes import BUILT_IN
from isocenter.core.events import ConflictPolicy
from isocenter.core.identity import ObjectName
from isocenter.core.packs import decode_pack, encode_pack
from isocenter.indexing.reading import dumps, from_pack, read_events, read_object
from support.archive import Archive, announcement
from support.datasets import ct_image, tiny


@pytest.mark.parametrize("data_set", [ct_image(8, 8), tiny(PatientName="A^B", SeriesNumber=3)])
async def test_event_object_and_pack_give_the_same_entry(tmp_path: Path, data_set) -> None:
    archive = Archive(await SqliteIndex.open(tmp_path))
    event = await archive.store(data_set)
    found, errors = await read_events(archive.storage, BUILT_IN, [event], {})
    assert errors == {}
    name = ObjectName(event.name, event.digest)
    assert await read_object(archive.storage, BUILT_IN, name, event.size) == found[0]
    (again,) = decode_pack(encode_pack([found[0].pack]))
    assert from_pack(again, BUILT_IN).index == found[0].index
    await archive.index.close()


def test_what_json_cannot_hold_is_approximated() -> None:
    attributes = {"00081030": {"vr": "LO", "Value": ["a\ud800b", 10**30]}}
    assert orjson.loads(dumps(attributes)) == {"00081030": {"vr": "LO", "Value": ["a?b", 1e30]}}


def test_the_announcement_of_an_object_names_its_content() -> None:
    event, part10 = announcement(tiny(), ConflictPolicy.KEEP_FIRST)
    assert event.size == len(part10)
    assert event.key.endswith(f"{event.digest}.dcm")
