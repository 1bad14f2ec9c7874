"""Conditional requests (RFC 9110 13): entity tags, dates, and in which order they count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isocenter.web.operations import OPERATIONS
from support.web_fakes import INSTANCE, JPEG_LS, PDF, SERIES, STUDY, Web

STUDY_PATH = f"/dicomweb/studies/{STUDY}"
SERIES_PATH = f"{STUDY_PATH}/series/{SERIES}"
CHANGED = "Sun, 01 Mar 2026 12:30:15 GMT"  # of all instances
BEFORE, AFTER = "Sun, 01 Mar 2026 12:30:14 GMT", "Sun, 01 Mar 2026 12:30:16 GMT"
OTHER = '"other"'
XML = 'multipart/related; type="application/dicom+xml"'
WADO = (
    f"/wado?requestType=WADO&studyUID={STUDY}&seriesUID={SERIES}&objectUID=1.2.3.4.5&contentType="
)

# Address, Accept, whether each answer is byte for byte the same.
REPRESENTATIONS = [
    *((f"{level}{end}", accept, strong)
      for level in (STUDY_PATH, SERIES_PATH, INSTANCE)
      for end, accept, strong in (
          ("", "*/*", False), ("", "application/zip", True),
          ("/metadata", "*/*", True), ("/metadata", XML, False),
          ("/thumbnail", "image/png", True), ("/bulkdata", "*/*", False),
          ("/pixeldata", "*/*", False),
          ("/rendered", 'multipart/related; type="image/jpeg"', False),
      )),
    (INSTANCE, "application/dicom", True),
    (INSTANCE + "/frames/1", "application/octet-stream", True),
    (INSTANCE + "/frames/1", "*/*", False),
    (INSTANCE + "/frames/1,2", "*/*", False),
    (INSTANCE + "/frames/1/rendered", "image/png", True),
    (INSTANCE + "/frames/1/thumbnail", "image/png", True),
    (INSTANCE + "/bulkdata/00420011", "application/octet-stream", True),
    (INSTANCE + "/bulkdata/00420011", "*/*", False),
    (WADO + "application/dicom", "*/*", True),
    (WADO + "image/png&frameNumber=1", "*/*", True),
]  # fmt: skip


def _web() -> Web:
    web = Web()
    web.storage.keep()
    return web


async def _etag(web: Web, path: str, accept: str) -> str:
    return str((await web.get(path, accept=accept)).headers["etag"])


@pytest.mark.parametrize(("path", "accept", "strong"), REPRESENTATIONS)
async def test_each_representation_has_a_tag_a_date_and_a_304(
    path: str, accept: str, strong: bool
) -> None:
    web = _web()
    answer = await web.get(path, accept=accept)
    etag = answer.headers["etag"]
    assert (answer.status_code, etag.startswith("W/")) == (200, not strong)
    assert answer.headers["last-modified"] == CHANGED
    assert answer.headers["cache-control"] == "private, no-cache"
    recorded = len(web.audit.records)
    for condition in ({"if_none_match": f"{OTHER}, {etag}"}, {"if_modified_since": CHANGED}):
        again = await web.get(path, accept=accept, **condition)
        assert (again.status_code, again.content) == (304, b"")
        for name in ("etag", "last-modified", "vary", "cache-control"):
            assert again.headers[name] == answer.headers[name]
        assert "content-length" not in again.headers
    assert len(web.audit.records) == recorded


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": OTHER}, 200),
        ({"if_none_match": "W/{etag}"}, 304),
        ({"if_modified_since": AFTER}, 304),
        ({"if_modified_since": BEFORE}, 200),
        ({"if_modified_since": "yesterday"}, 200),
        # 13.1.3: with a tag, the date is not looked at
        ({"if_none_match": OTHER, "if_modified_since": AFTER}, 200),
        ({"if_none_match": "{etag}", "if_modified_since": BEFORE}, 304),
        ({"if_match": "{etag}"}, 200),
        ({"if_match": "*"}, 200),
        ({"if_match": OTHER}, 412),
        ({"if_match": "W/{etag}"}, 412),  # 13.1.1: strong comparison
        ({"if_unmodified_since": CHANGED}, 200),
        ({"if_unmodified_since": BEFORE}, 412),
        ({"if_unmodified_since": "yesterday"}, 200),
        # 13.1.4: with a tag, the date is not looked at
        ({"if_match": "{etag}", "if_unmodified_since": BEFORE}, 200),
        # 13.2.2: what would refuse comes first
        ({"if_match": OTHER, "if_none_match": "{etag}"}, 412),
        ({"if_match": "{etag}", "if_none_match": "{etag}"}, 304),
        ({"if_unmodified_since": BEFORE, "if_modified_since": AFTER}, 412),
        # 13.2.2: the range comes last
        ({"if_none_match": "{etag}", "range": "bytes=0-1"}, 304),
        ({"if_none_match": OTHER, "range": "bytes=0-1"}, 206),
        ({"if_range": "{etag}", "range": "bytes=0-1"}, 206),
        ({"if_range": "W/{etag}", "range": "bytes=0-1"}, 200),
        ({"if_range": OTHER, "range": "bytes=0-1"}, 200),
        # 13.1.5: two versions may share a second, so that a date is no strong validator
        ({"if_range": CHANGED, "range": "bytes=0-1"}, 200),
    ],
)
async def test_conditions_count_in_their_order(fields: dict[str, str], status: int) -> None:
    web, accept = _web(), "application/octet-stream"
    path = INSTANCE + "/bulkdata/00420011"
    etag = await _etag(web, path, accept)
    given_fields = {name: value.format(etag=etag) for name, value in fields.items()}
    answer = await web.get(path, accept=accept, **given_fields)
    assert answer.status_code == status


async def test_no_range_is_cut_out_of_a_copy_that_has_boundaries() -> None:
    """As browsers do when they are told that theirs is still good."""
    web, path = _web(), INSTANCE + "/bulkdata/00420011"
    etag = await _etag(web, path, "*/*")
    answer = await web.get(path, accept="*/*", if_none_match=etag, range="bytes=0-1")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("multipart/related")
    assert PDF in answer.content


async def test_a_weak_tag_is_none_that_if_match_requires() -> None:
    web = _web()
    etag = await _etag(web, STUDY_PATH, "*/*")
    assert (await web.get(STUDY_PATH, if_match=etag)).status_code == 412
    assert (await web.get(STUDY_PATH, if_match="*")).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/frames/4", "/frames/1,4", "/frames/4/rendered", "/frames/4/thumbnail",
     "/bulkdata/7FE00010", "/bulkdata/00020010"],
)  # fmt: skip
async def test_what_is_not_there_is_404_under_any_condition(path: str) -> None:
    for condition in ({"if_none_match": "*"}, {"if_modified_since": AFTER}):
        answer = await _web().get(INSTANCE + path, **condition)
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("path", "accept"), [(path, accept) for path, accept, _ in REPRESENTATIONS[:16]]
)
async def test_the_tag_of_a_level_changes_with_its_versions(path: str, accept: str) -> None:
    web = _web()
    tags = [await _etag(web, path, accept)]
    web.storage.keep("1.2.3.4.6")
    web.storage.modified_at += timedelta(hours=1)
    tags.append(await _etag(web, path, accept))
    web.storage.keep("1.2.3.4.6", data=web.storage.data["1.2.3.4.6"] + bytes(2))  # another version
    answer = await web.get(path, accept=accept)
    tags.append(answer.headers["etag"])
    assert answer.headers["last-modified"] == "Sun, 01 Mar 2026 13:30:15 GMT"
    del web.storage.kept["1.2.3.4.6"]
    tags.append(await _etag(web, path, accept))
    if path.endswith("/thumbnail"):  # of one of the instances
        return
    assert tags[3] == tags[0]
    assert len(set(tags)) == 3


async def test_representations_of_a_resource_have_different_tags() -> None:
    web = Web()
    web.storage.keep(syntax=JPEG_LS)
    seen: dict[str, set[str]] = {}
    for path, accept, _ in REPRESENTATIONS:
        seen.setdefault(path, set()).add(await _etag(web, path, accept))
    for path, accept, _ in REPRESENTATIONS:
        etag = await _etag(web, path, accept)
        assert etag in seen[path]
        seen[path].discard(etag)
    assert not any(seen.values())


async def test_metadata_with_other_bulk_data_addresses_have_another_tag() -> None:
    web = _web()
    here = await _etag(web, STUDY_PATH + "/metadata", "*/*")
    there = await web.get(STUDY_PATH + "/metadata", host="other.test")
    assert there.headers["etag"] != here


async def test_without_a_date_dates_are_passed_over() -> None:
    web = Web()
    kept = web.storage.keep()
    object.__setattr__(kept, "modified_at", None)  # as of a storage service of an earlier release
    for condition in ({"if_modified_since": AFTER}, {"if_unmodified_since": BEFORE}):
        answer = await web.get(INSTANCE, **condition)
        assert answer.status_code == 200
        assert "last-modified" not in answer.headers


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40))
async def test_any_condition_is_answered(field: str) -> None:
    web = _web()
    for name in ("if-none-match", "if-modified-since", "if-match", "if-unmodified-since"):
        async with web.client() as client:
            headers = {name.encode(): field.encode("latin-1")}
            answer = await client.get(INSTANCE + "/metadata", headers=headers)
        assert answer.status_code in (200, 304, 412)


@settings(max_examples=60)
@given(at=st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)))  # noqa: DTZ001 - made aware below
async def test_dates_of_conditions_are_compared_to_the_second(at: datetime) -> None:
    at = at.replace(tzinfo=UTC, microsecond=0)
    web = _web()
    answer = await web.get(
        INSTANCE + "/metadata", if_modified_since=format_datetime(at, usegmt=True)
    )
    changed = web.storage.modified_at.replace(microsecond=0)
    assert answer.status_code == (304 if at >= changed else 200)


RETRIEVED = [
    template
    for template, methods in OPERATIONS.items()
    if "GET" in methods and 304 in methods["GET"].answers
]


@pytest.mark.parametrize("template", [one for one in RETRIEVED if "file" not in one])
async def test_conditions_are_described_where_they_count(template: str) -> None:
    values = {"study": STUDY, "series": SERIES, "instance": "1.2.3.4.5", "frames": "1"}
    path = template.replace("{path...}", "00420011").format_map(values)
    query = WADO.partition("?")[2] + "application/dicom" if template == "/wado" else ""
    assert 412 in OPERATIONS[template]["GET"].errors
    answer = await _web().get(f"{path}?{query}", if_none_match="*")
    assert answer.status_code == 304
    refused = await _web().get(f"{path}?{query}", if_match='"other"')
    assert refused.status_code == 412
    assert refused.headers["content-type"] == "application/problem+json"


async def test_pixel_data_without_frames_that_could_be_told_apart_are_not_there() -> None:
    web = Web()
    web.storage.keep(syntax=JPEG_LS, frames=0)
    answer = await web.get(f"{INSTANCE}/bulkdata/7FE00010")
    assert answer.status_code == 404
