"""The tables of query parameters: every row is read, and nothing but its errors comes out."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isocenter.core.apis import Region
from isocenter.core.errors import Invalid, Unsupported
from isocenter.web.exchange import Exchange
from isocenter.web.render_parameters import (
    RENDERED,
    THUMBNAIL,
    WADO_URI,
    Given,
    Parameter,
    Viewport,
    Window,
    read,
)
from isocenter.web.settings import WebSettings

SETTINGS = WebSettings()
TABLES = {"rendered": RENDERED, "thumbnail": THUMBNAIL, "wado": WADO_URI}


def asked(table: Mapping[str, Parameter], *parameters: tuple[str, str]) -> Given:
    """What a query with these parameters is read as."""
    scope = {
        "scheme": "http",
        "headers": [(b"host", b"pacs.test")],
        "query_string": urlencode(parameters).encode("ascii"),
    }
    return read(Exchange(scope, None, None, SETTINGS), table)  # type: ignore[arg-type]


# What every row takes, as which value, and what it does not; `...`: right, and not served.
ROWS = [
    (RENDERED, "accept", [("image/png", "image/png")], []),
    (
        RENDERED,
        "charset",
        [("utf-8", "utf-8"), ("utf-8;q=0.5,*", "utf-8;q=0.5,*")],
        ["", "a b", ",", "x;q=2"],
    ),
    (
        RENDERED,
        "annotation",
        [("patient", ...), ("technique, patient", ...)],
        ["", "all", "patient,"],
    ),
    (
        RENDERED,
        "quality",
        [("1", 1), ("100", 100), (" 7 ", 7)],
        ["0", "101", "-1", "1e1", "٣", "9" * 5000],
    ),
    (
        RENDERED,
        "viewport",
        [
            ("1,8192", Viewport(1, 8192)),
            ("5,6,,", Viewport(5, 6)),
            ("5,6,,,,", Viewport(5, 6)),
            ("5,6,1", Viewport(5, 6, Region(1))),
            ("5,6,,2", Viewport(5, 6, Region(0, 2))),
            ("5,6,1.5,2.5,3.5,4.5", Viewport(5, 6, Region(1.5, 2.5, 3.5, 4.5))),
            ("5, 6, -1, .5, -3e0, 4.", Viewport(5, 6, Region(1, 0.5, 3, 4), flip_horizontal=True)),
            ("5,6,,,,-4", Viewport(5, 6, Region(height=4), flip_vertical=True)),
        ],
        [
            "",
            "5",
            ",6",
            "5,6,7,8,9,1,2",
            "5,6,x",
            "5,6,,,0",
            "5,6,,,-0.0",
            "5,6,65536",
            "5,6,1e5",
            "5,6,0x1",
        ],
    ),
    (
        RENDERED,
        "window",
        [
            ("40,400,linear", Window(40, 400, "LINEAR")),
            ("-40.5,0.5,linear-exact", Window(-40.5, 0.5, "LINEAR_EXACT")),
            ("1e3,1e-3,SIGMOID", Window(1000, 0.001, "SIGMOID")),
            ("40,400", Window(40, 400)),
        ],
        [
            "",
            "1",
            "1,2,",
            "1,2,x",
            "1,0",
            "1,0.9,linear",
            "1,-1,sigmoid",
            "1e13,1,linear",
            "nan,1",
            "1,inf",
            "1,2,linear,3",
        ],
    ),
    (
        RENDERED,
        "iccprofile",
        [("no", None), ("yes", ...), ("displayp3", ...)],
        ["", "NO", "no,yes"],
    ),
    (THUMBNAIL, "viewport", [("5,6", Viewport(5, 6))], ["5", "5,6,", "5,6,1,1", "0,1", "1,8193"]),
    (THUMBNAIL, "charset", [("utf-8", "utf-8")], ["="]),
    (THUMBNAIL, "accept", [("image/png", "image/png")], []),
    (WADO_URI, "requestType", [("WADO", None)], ["", "wado", "RAD"]),
    (WADO_URI, "studyUID", [("1.2.3", "1.2.3")], ["", "1..2", "1.2.3 ", "x"]),
    (WADO_URI, "seriesUID", [("1.2.3", "1.2.3")], ["1.02"]),
    (WADO_URI, "objectUID", [("1.2.3", "1.2.3")], ["1" * 65]),
    (WADO_URI, "contentType", [("image/png", "image/png")], []),
    (WADO_URI, "charset", [("utf-8", "utf-8")], [""]),
    (WADO_URI, "anonymize", [("yes", ...)], ["no", ""]),
    (WADO_URI, "annotation", [("patient", ...)], ["x"]),
    (WADO_URI, "imageAnnotation", [("technique", ...)], ["x"]),
    (WADO_URI, "transferSyntax", [("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1")], ["*", ""]),
    (
        WADO_URI,
        "frameNumber",
        [("1", 1), ("2147483647", 2147483647)],
        ["0", "-1", "2147483648", "1,2"],
    ),
    (WADO_URI, "imageQuality", [("50", 50)], ["0", "101"]),
    (WADO_URI, "rows", [("8192", 8192)], ["0", "8193", "1.5"]),
    (WADO_URI, "columns", [("1", 1)], ["0", "x"]),
    (
        WADO_URI,
        "region",
        [("0,0.25,0.5,1", (0, 0.25, 0.5, 1))],
        ["0,0,1", "0,0,0,1", "0,1,1,0", "0,0,1,1.1", "-0.1,0,1,1", "a,b,c,d"],
    ),
    (WADO_URI, "windowCenter", [("-40.5", -40.5)], ["", "x", "1e13"]),
    (WADO_URI, "windowWidth", [("1", 1), ("4e2", 400)], ["0.5", "-1", "inf"]),
    (WADO_URI, "presentationUID", [("1.2", ...)], ["x"]),
    (WADO_URI, "presentationSeriesUID", [("1.2", ...)], ["x"]),
]


def test_every_parameter_has_a_row_here() -> None:
    tested = {(id(table), name) for table, name, _, _ in ROWS}
    assert tested == {(id(table), name) for table in TABLES.values() for name in table}


@pytest.mark.parametrize(
    ("table", "name", "text", "value"),
    [(table, name, text, value) for table, name, right, _ in ROWS for text, value in right],
)
def test_right_values(table: Mapping[str, Parameter], name: str, text: str, value: object) -> None:
    if value is ...:
        with pytest.raises(Unsupported):
            asked(table, (name, text))
    else:
        assert asked(table, (name, text)) == Given({name: value})


@pytest.mark.parametrize(
    ("table", "name", "text"),
    [(table, name, text) for table, name, _, wrong in ROWS for text in wrong],
)
def test_wrong_values(table: Mapping[str, Parameter], name: str, text: str) -> None:
    with pytest.raises(Invalid) as raised:
        asked(table, (name, text))
    told = str(raised.value)
    assert told.startswith(f"parameter {name} must be ")
    assert table[name].section in told
    assert "{" not in told


def test_a_name_that_is_too_long_or_odd_is_told_in_part() -> None:
    given = asked(RENDERED, ("x" * 500, "1"), ('"\r\n', "2"), ('"\r\n', "3"), ("", "4"))
    ((name, value),) = given.warnings
    assert name == b"warning"
    told = value.decode()
    assert told.endswith(f": {'x' * 64}, ???, ?")
    assert asked(RENDERED, *((f"n{n}", "") for n in range(190))).warnings[0][1].count(b",") == 15


NUMBERS = st.one_of(st.floats().map(repr), st.integers().map(str), st.sampled_from(["", "-", "x"]))
VALUES = st.one_of(
    st.text(max_size=40),
    st.lists(NUMBERS, max_size=8).map(",".join),
    st.text("0123456789+-.eE,; *=/", max_size=40),
    st.builds(
        lambda numbers, word: ",".join([*numbers, word]),
        st.lists(NUMBERS, max_size=3),
        st.sampled_from(["linear", "linear-exact", "sigmoid", "patient", "no", "utf-8", "1.2"]),
    ),
)


@pytest.mark.parametrize("table", TABLES)
@given(st.data())
def test_any_value_is_read_or_refused(table: str, data: st.DataObject) -> None:
    names = st.sampled_from(sorted(TABLES[table]))
    name = data.draw(names)
    try:
        found = asked(TABLES[table], (name, data.draw(VALUES)))
    except (Invalid, Unsupported):
        return
    assert found.values.keys() == {name}


@pytest.mark.parametrize("table", TABLES)
@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=5))
def test_any_query_is_read_or_refused(table: str, parameters: list[tuple[str, str]]) -> None:
    try:
        warnings = asked(TABLES[table], *parameters).warnings
    except (Invalid, Unsupported):
        return
    for _, value in warnings:
        assert value.isascii()
        assert b"\r" not in value
        assert b"\n" not in value
