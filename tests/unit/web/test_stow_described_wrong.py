"""Metadata and bulk data that are wrong fail alone, with the reason; no error is ever ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isocenter.web.image_media import (
    BITS_ALLOCATED,
    BITS_STORED,
    COLUMNS,
    HIGH_BIT,
    PHOTOMETRIC,
    ROWS,
    SAMPLES,
)
from support.described_instances import (
    DESCRIPTION,
    admitting,
    identified,
    jpeg,
    reasons,
    store,
)
from support.stow_requests import METADATA, Part, body, metadata

CONTRADICTIONS: dict[str, Any] = {
    ROWS: {"vr": "US", "Value": [99]},
    COLUMNS: {"vr": "US", "Value": [0]},
    SAMPLES: {"vr": "US", "Value": [1]},
    PHOTOMETRIC: {"vr": "CS", "Value": ["RGB"]},
    BITS_ALLOCATED: {"vr": "US", "Value": [12]},
    BITS_STORED: {"vr": "US", "Value": [9]},
    HIGH_BIT: {"vr": "US", "Value": [5]},
    "00280008": {"vr": "IS", "Value": [2]},
    "00282110": {"vr": "CS", "Value": ["00"]},
    "00020010": {"vr": "UI", "Value": ["1.2.840.10008.1.2.4.90"]},
}


@pytest.mark.parametrize("tag", CONTRADICTIONS)
async def test_attributes_that_contradict_the_codestream_are_refused(tag: str) -> None:
    model, parts = jpeg()
    web = admitting()
    answer = await store(web, metadata({**model, tag: CONTRADICTIONS[tag]}), *parts)
    assert (answer.status_code, reasons(answer)) == (409, [0xC000])
    assert web.ingest.received == {}


PDF = {"vr": "OB", "BulkDataURI": "d"}
PIXELS = {"vr": "OW", "BulkDataURI": "p"}
FAILURES: dict[str, tuple[Sequence[Part], list[int], list[int]]] = {
    "bulk data is missing": ([metadata(identified(t00420011=PDF))], [0xC000], []),
    "a part is not used": (
        [metadata(identified("1.2", t00420011=PDF)), Part(b"x", location="other")],
        [0xC000],
        [0xC000],
    ),
    "a part has no location": ([metadata({}), Part(b"x")], [], [0xC000, 0xC000]),
    "bulk data is there twice": (
        [metadata(identified(t00420011=PDF)), Part(b"x", location="d"), Part(b"y", location="d")],
        [0xC000],
        [],
    ),
    "bulk data is used twice": (
        [
            metadata(identified(t00420011=PDF, t00091001={"vr": "OB", "BulkDataURI": "d"})),
            Part(b"x", location="d"),
        ],
        [0xC000],
        [],
    ),
    "an image where a document is": (
        [metadata(identified(t00420011=PDF)), Part(b"x", "image/jpeg", "d")],
        [0xC122],
        [],
    ),
    "a document where bytes are": (
        [
            metadata(identified(t00091001={"vr": "OB", "BulkDataURI": "d"})),
            Part(b"x", "application/pdf", "d"),
        ],
        [0xC000],
        [],
    ),
    "pixels without a description": (
        [metadata(identified(t7FE00010=PIXELS)), Part(b"x", location="p")],
        [0xC000],
        [],
    ),
    "pixels of a media type that nobody knows": (
        [metadata(identified(t7FE00010=PIXELS)), Part(b"x", "image/gif", "p")],
        [0xC122],
        [],
    ),
    "pixels that are no JPEG": (
        [metadata(identified(t7FE00010=PIXELS)), Part(b"x", "image/jpeg", "p")],
        [0xC000],
        [],
    ),
    "frames of two kinds": (
        [
            metadata(identified(t7FE00010=PIXELS)),
            Part(b"x", "image/jpeg", "p"),
            Part(b"x", location="p"),
        ],
        [0xC000],
        [],
    ),
    "float pixels that are compressed": (
        [
            metadata(identified(t7FE00008={"vr": "OF", "BulkDataURI": "p"})),
            Part(b"x", "image/jpeg", "p"),
        ],
        [0xC000],
        [],
    ),
    "no JSON in the array": (
        [Part(b'[{"00080018": nonsense}, ]', "application/dicom+json")],
        [],
        [0xC000, 0xC000],
    ),
    "a number as metadata": ([Part(b"[1]", "application/dicom+json")], [], [0xC000]),
    "no transfer syntax of octets": (
        [
            metadata(identified(t7FE00010=PIXELS)),
            Part(b"x", "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.4.50", "p"),
        ],
        [0xC122],
        [],
    ),
}


@pytest.mark.parametrize("case", FAILURES)
async def test_what_is_wrong_fails_alone(case: str) -> None:
    parts, failed, others = FAILURES[case]
    web = admitting()
    answer = await store(web, *parts)
    assert answer.status_code == 409, answer.text
    assert (reasons(answer), reasons(answer, "0008119A")) == (failed, others)
    assert web.ingest.received == {}
    answer = await store(web, metadata(identified("1.9")), *parts)
    assert answer.status_code == 202
    assert list(web.ingest.received) == ["1.9"]


@pytest.mark.parametrize(
    "parts",
    [
        [Part(b"x", location="d")],
        [Part(b"[", "application/dicom+json")],
        [Part(b"nonsense", "application/dicom+json")],
        [metadata(identified()), Part(b"x", "nonsense", "d")],
        [Part(b"[" * 1000 + b"]" * 1000, "application/dicom+json")],
    ],
)
async def test_a_request_that_cannot_be_understood_is_400(parts: list[Part]) -> None:
    web = admitting()
    answer = await store(web, *parts)
    assert answer.status_code == 400, answer.text
    assert web.ingest.received == {}


async def test_a_body_that_ends_early_stores_nothing() -> None:
    web = admitting()
    content = body([metadata(identified()), Part(b"x", location="d")])
    for length in range(0, len(content) - 2, 7):
        assert (await web.stow(content[:length], METADATA)).status_code == 400
    assert web.ingest.received == {}


async def test_instances_count_as_parts() -> None:
    web = admitting()
    web.settings = web.settings.model_copy(update={"max_parts": 2})
    answer = await store(web, metadata(identified("1.1"), identified("1.2")))
    assert answer.status_code == 413


async def test_no_value_is_told_in_answers_and_logs(caplog: pytest.LogCaptureFixture) -> None:
    secret = "SECRET^NAME"
    wrong = {
        "00100010": {"vr": "PN", "Value": [secret]},
        "00280010": {"vr": "US", "Value": [secret]},
    }
    for tag, value in wrong.items():
        answer = await store(admitting(), metadata({**identified(), tag: value}))
        assert answer.status_code == 409
        assert secret not in answer.text + caplog.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["vr", "Value", "BulkDataURI", "InlineBinary"]), inner)
    ),
    max_leaves=6,
)
TAGS = [
    *DESCRIPTION, "00280008", "00282110", "00420011", "00420012", "00420015", "7FE00010",
    "7FE00008", "00020010", "00083002", "00080018", "0020000D", "00080005", "00880200",
]  # fmt: skip
BEGINNINGS = [b"", b"x", b"\xff\xd8\xff", b"\xff\x4f\xff\x51" + b"\0" * 60, b"\2" + b"\0" * 70]
KINDS = [
    "image/jpeg", "image/jls", "image/jp2", "image/jphc", "image/dicom-rle", "image/jxl",
    "video/mp4", "video/mpeg2", "application/octet-stream", "application/pdf",
]  # fmt: skip
BULK = st.builds(
    Part,
    st.sampled_from(BEGINNINGS) | st.binary(max_size=80),
    st.sampled_from(KINDS),
    st.sampled_from(["p", "p/frames/1", "p/frames/2", ""]),
)


@given(
    changes=st.dictionaries(st.sampled_from(TAGS), JSON, max_size=4),
    bulk=st.lists(BULK, max_size=3),
    described=st.booleans(),
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_no_metadata_make_the_server_fail(
    changes: dict[str, Any], bulk: list[Part], described: bool
) -> None:
    model = jpeg()[0] if described else identified()
    model = {**model, "7FE00010": PIXELS, **changes}
    answer = await store(admitting(), metadata(model), *bulk)
    assert answer.status_code in (200, 202, 409), answer.text
