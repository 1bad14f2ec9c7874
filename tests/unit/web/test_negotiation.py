"""Which form a client gets (PS3.18 8.7)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.core.errors import Invalid
from isocenter.web.negotiation import (
    DICOM,
    DICOM_JSON,
    DICOM_XML,
    JSON,
    MODEL,
    OCTETS,
    Accepted,
    Offer,
    media_type,
    of_one_kind,
    parse_accept,
    parse_parameter,
)
from support.web_fakes import INSTANCE, Web

EXPLICIT, JPEG_LS = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.80"
PICTURES = (Offer("image/jpeg"), Offer("image/png"), Offer("image/gif"))
OBJECTS = (
    Offer(DICOM, JPEG_LS, multipart=True, default=False),
    Offer(DICOM, EXPLICIT, multipart=True),
    Offer(DICOM, JPEG_LS, default=False),
    Offer(DICOM, EXPLICIT),
)


def best(accept: str, offers: tuple[Offer, ...], parameter: str = "") -> str:
    found = Accepted(parse_parameter(parameter), parse_accept(accept)).best(offers)
    return str(found) if found else ""


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "image/jpeg"),
        ("*/*", "image/jpeg"),
        ("image/*", "image/jpeg"),
        ("image/png", "image/png"),
        ("IMAGE/PNG", "image/png"),
        (" image/png ,image/jpeg", "image/png"),  # equally wanted: the first
        ("image/png;q=0.5, image/jpeg;q=0.4", "image/png"),
        ("image/png;q=0.4, image/jpeg;q=0.5", "image/jpeg"),
        ("image/png; q=0.4 , image/jpeg ; q=0.5", "image/jpeg"),
        ("image/*;q=0.9, image/jpeg;q=0.1", "image/png"),  # the most specific counts
        ("*/*;q=0.9, image/*;q=0.1, image/gif;q=0.2", "image/gif"),
        ("image/jpeg;q=0, */*", "image/png"),  # 0 forbids
        ("image/jpeg;q=0, image/png;q=0, image/gif;q=0, */*", ""),
        ("image/webp", ""),
        ("image/webp, */*;q=0.1", "image/jpeg"),
        ("image/jpeg;q=1.001, image/png;q=0.1", "image/png"),  # no weight: passed over
        ("image/jpeg;;, image/png", "image/png"),
        ("nonsense", ""),
        ('multipart/related; type="image/png"', ""),
        ("text/html, image/avif, image/webp, */*;q=0.8", "image/jpeg"),  # browsers
    ],
)
def test_pictures(accept: str, chosen: str) -> None:
    assert best(accept, PICTURES) == chosen


@pytest.mark.parametrize(
    ("accept", "multipart", "syntax"),
    [
        ("*/*", True, EXPLICIT),
        ("multipart/related", True, EXPLICIT),
        ("multipart/*", True, EXPLICIT),
        ('multipart/related; type="application/dicom"', True, EXPLICIT),
        ("multipart/related; type=application/dicom", True, EXPLICIT),
        ("Multipart/Related;TYPE=Application/DICOM", True, EXPLICIT),
        ('multipart/related; type="application/*"', True, EXPLICIT),
        ("multipart/related; type=application/dicom; transfer-syntax=*", True, JPEG_LS),
        (f'multipart/related;type="application/dicom";transfer-syntax={JPEG_LS}', True, JPEG_LS),
        (f'multipart/related;transfer-syntax="{JPEG_LS}";type=application/dicom', True, JPEG_LS),
        ("application/dicom", False, EXPLICIT),
        ("application/dicom; transfer-syntax=*", False, JPEG_LS),
        ("application/dicom;q=0.5, multipart/related;type=application/dicom", True, EXPLICIT),
        ("application/dicom, multipart/related;type=application/dicom", False, EXPLICIT),
        (f"{DICOM};transfer-syntax={EXPLICIT};q=0, {DICOM};transfer-syntax=*", False, JPEG_LS),
    ],
)  # fmt: skip
def test_objects(accept: str, multipart: bool, syntax: str) -> None:
    chosen = Accepted((), parse_accept(accept)).best(OBJECTS)
    assert chosen is not None
    assert (chosen.multipart, chosen.transfer_syntax) == (multipart, syntax)


@pytest.mark.parametrize(
    "accept",
    [
        'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.90',
        'multipart/related; type="application/octet-stream"',
        "application/dicom+json",
        "application/dicom;q=0",
    ],
)
def test_objects_that_cannot_be_had_so(accept: str) -> None:
    assert Accepted((), parse_accept(accept)).best(OBJECTS) is None


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", DICOM_JSON),
        ("*/*", DICOM_JSON),
        ("application/*", DICOM_JSON),
        ("application/json", JSON),
        ("application/dicom+json, application/json;q=0.9", DICOM_JSON),
        ('multipart/related; type="application/dicom+xml"', DICOM_XML),
        ('multipart/related; type="application/dicom+xml", application/dicom+json', DICOM_XML),
        ('multipart/related; type="application/dicom+xml";q=0.5,application/json', JSON),
    ],
)
def test_the_model(accept: str, chosen: str) -> None:
    found = Accepted((), parse_accept(accept)).best(MODEL)
    assert found is not None
    assert found.media == chosen


@pytest.mark.parametrize(
    ("parameter", "accept", "chosen"),
    [
        ("image/png", "*/*", "image/png"),
        ("image/png", "image/jpeg", "image/png"),
        ("image/webp", "image/gif", "image/gif"),  # PS3.18 8.7.8.1: then the header field
        ("image/webp", "text/html", ""),
        ("image/png;q=0.1,image/gif", "*/*", "image/gif"),
    ],
)
def test_the_parameter_counts_before_the_header_field(
    parameter: str, accept: str, chosen: str
) -> None:
    assert best(accept, PICTURES, parameter) == chosen


@pytest.mark.parametrize(
    "text", ["*/*", "image/*", "image", "image/png;q=2", "multipart/related;type=*/*"]
)
def test_a_malformed_parameter_is_an_error(text: str) -> None:
    with pytest.raises(Invalid):
        parse_parameter(text)


@pytest.mark.parametrize(
    ("accept", "both"),
    [
        ("application/dicom, image/png", True),
        ("application/dicom+json, text/html", True),
        ("application/dicom+json, application/pdf", True),
        ("application/dicom, application/octet-stream", False),
        ('multipart/related; type="application/dicom", image/png', False),
        ("application/dicom, */*", False),
        ("text/html, image/png, */*", False),
    ],
)
def test_dicom_and_rendered_media_types_do_not_mix(accept: str, both: bool) -> None:
    accepted = Accepted((), parse_accept(accept))
    if not both:
        of_one_kind(accepted)
        return
    with pytest.raises(Invalid, match=r"8\.7\.5"):
        of_one_kind(accepted)


@pytest.mark.parametrize(
    ("path", "charset", "status"),
    [
        ("/metadata", "utf-8", 200),
        ("/metadata", "ISO-8859-1, UTF-8;q=0.5", 200),
        ("/metadata", "*", 200),
        ("/metadata", "iso-8859-1", 406),
        ("/metadata?charset=iso-8859-1", "", 406),
        ("/metadata?charset=utf-8", "iso-8859-1", 200),
    ],
)
async def test_text_is_utf8(path: str, charset: str, status: int) -> None:
    web = Web()
    web.storage.keep()
    headers = {"accept_charset": charset} if charset else {}
    answer = await web.get(INSTANCE + path, **headers)
    assert answer.status_code == status
    if status == 406:
        assert "UTF-8" in answer.json()["detail"]


@given(st.text(max_size=200))
def test_any_text_is_read_or_passed_over(text: str) -> None:
    for one in parse_accept(text):
        assert "/" in one.media
        assert 0 <= one.quality <= 1
    try:
        parse_parameter(text)
    except Invalid as error:
        assert error.fix  # noqa: PT017 - either is right
    try:
        media_type(text)
    except Invalid as error:
        assert error.fix  # noqa: PT017


_WORDS = st.sampled_from(["image/png", "image/*", "*/*", DICOM, OCTETS, "multipart/related"])
_RANGES = st.lists(
    st.tuples(_WORDS, st.sampled_from(["", DICOM, OCTETS]), st.sampled_from(["", "*", JPEG_LS]),
              st.sampled_from(["1", "0.5", "0"])),
    min_size=1, max_size=5,
)  # fmt: skip


@given(_RANGES, st.sampled_from([", ", ",", " , "]), st.booleans())
def test_spelling_does_not_matter(
    ranges: list[tuple[str, str, str, str]], comma: str, quoted: bool
) -> None:
    def written(upper: bool, quote: str, space: str) -> str:
        elements = []
        for media, kind, syntax, quality in ranges:
            text = media.upper() if upper else media
            text += f";{space}type={quote}{kind}{quote}" if kind else ""
            text += f";{space}transfer-syntax={quote}{syntax}{quote}" if syntax else ""
            elements.append(f"{text};{space}q={quality}")
        return comma.join(elements)

    plain = parse_accept(written(upper=False, quote='"', space=" "))
    other = parse_accept(written(upper=True, quote='"' if quoted else "", space=""))
    assert plain == other
    chosen = Accepted((), plain).best(OBJECTS)
    if chosen is not None:
        assert any(chosen.within(one) and one.quality for one in plain)
