"""QIDO-RS: parameters become searches, answers become DICOM JSON."""

from __future__ import annotations

from email import message_from_bytes

import pytest

from isocenter.core.errors import Unavailable
from isocenter.core.matching import Level, Order
from isocenter.core.native_model import from_xml
from isocenter.core.packs import BULK_BASE
from support.web_fakes import STUDY, Web, study

STUDIES = "/dicomweb/studies"


async def test_a_search_answers_with_json_total_and_retrieve_url() -> None:
    web = Web()
    web.query.answers = [study(1)]
    answer = await web.get(STUDIES + "?PatientID=P1")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom+json"
    assert answer.headers["x-total-count"] == "1"
    assert answer.json()[0]["00081190"]["Value"] == ["http://pacs.test/dicomweb/studies/1.2.1"]
    (key,) = web.query.searches[0].keys
    assert (key.tag, key.vr, key.values) == ("00100020", "LO", ("P1",))
    assert web.query.counts == 0


async def test_no_answers_are_an_empty_array() -> None:
    answer = await Web().get(STUDIES)
    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize(
    ("path", "level", "fixed"),
    [
        ("studies", Level.STUDY, {}),
        ("series", Level.SERIES, {}),
        ("instances", Level.INSTANCE, {}),
        (f"studies/{STUDY}/series", Level.SERIES, {"0020000D": STUDY}),
        (f"studies/{STUDY}/instances", Level.INSTANCE, {"0020000D": STUDY}),
        (
            f"studies/{STUDY}/series/1.2.9/instances",
            Level.INSTANCE,
            {"0020000D": STUDY, "0020000E": "1.2.9"},
        ),
    ],
)
async def test_each_search_route_has_its_level_and_uids(
    path: str, level: Level, fixed: dict[str, str]
) -> None:
    web = Web()
    assert (await web.get(f"/dicomweb/{path}")).status_code == 200
    assert web.query.searches[0].level is level
    assert {key.tag: key.values[0] for key in web.query.searches[0].keys} == fixed


async def test_parameters_of_every_kind_become_the_search() -> None:
    web = Web()
    answer = await web.get(
        "/dicomweb/series?00080060=CT&StudyInstanceUID=1.2,1.3\\1.4&StudyDate=20240101-"
        "&RequestAttributesSequence.ScheduledProcedureStepID=A&00400275.00401001=B"
        "&includefield=BodyPartExamined,00080070&includefield=all&limit=7&offset=3"
        "&fuzzymatching=true&PatientName=Do*&multiplevaluematching=true"
    )
    assert answer.status_code == 200
    search = web.query.searches[0]
    keys = {key.tag: key for key in search.keys}
    assert keys["0020000D"].values == ("1.2", "1.3", "1.4")
    assert keys["00080020"].values == ("20240101-",)
    assert keys["00100010"].values == ("Do*",)
    items = {key.tag: key.values for key in keys["00400275"].items}
    assert items == {"00400009": ("A",), "00401001": ("B",)}
    assert {"00180015", "00080070"} <= set(search.include)
    assert (search.include_all, search.limit, search.offset, search.fuzzy) == (True, 7, 3, True)
    assert search.every_value
    assert "warning" not in answer.headers


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("PatientID=P1", "P1"),
        ("PatientID=P%31", "P1"),
        ("&PatientID=a=b&&", "a=b"),
        ("PatientID=A+B", "A B"),
        ("PatientID=J%C3%BCrgen", "Jürgen"),
        ("PatientID=", ""),
        ("PatientID", ""),
    ],
)
async def test_a_value_is_read_with_and_without_percent_encoding(query: str, value: str) -> None:
    web = Web()
    assert (await web.get(f"{STUDIES}?{query}")).status_code == 200
    (key,) = web.query.searches[0].keys
    assert "".join(key.values) == value


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("Nonsense=1", "Nonsense"),
        ("limit=-1", "limit"),
        ("limit=1&limit=2", "limit"),
        ("offset=x", "offset"),
        ("fuzzymatching=maybe", "fuzzymatching"),
        ("emptyvaluematching=1", "emptyvaluematching"),
        ("multiplevaluematching=", "multiplevaluematching"),
        ("=x", "parameter ''"),
        ("StudyDate=20260230", "StudyDate"),
        ("StudyDate=20260102-20260101", "StudyDate"),
        ("00080030=2460", "00080030"),
        ("PatientSize=tall", "PatientSize"),
        ("00080020=2026*", "00080020"),
        ("PatientID.PatientName=1", "PatientID.PatientName"),
        ("limit=9999999999", "limit"),
        ("orderby=StudyDescription", "orderby"),
        ("orderby=StudyDate,", "orderby"),
        ("orderby=StudyDate,-StudyDate", "orderby"),
        ("orderby=--StudyDate", "orderby"),
        ("orderby=StudyDate&orderby=PatientID", "orderby"),
        ("StudyInstanceUID=abc", "StudyInstanceUID"),
        ("PatientID=1&00100020=2", "00100020"),
        ("0010002=1", "0010002"),
        ("PatientID=%FF", "address"),
        ("&".join(f"a{n}=1" for n in range(300)), "address"),
        ("&".join(f"a{n}=%31" for n in range(300)), "address"),
        ("%3Cscript%3E=1", "<script>"),
        ("PatientID.=1", "PatientID."),
    ],
)
async def test_a_malformed_parameter_is_400_and_named(query: str, names: str) -> None:
    web = Web()
    answer = await web.get(f"{STUDIES}?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert names in answer.json()["detail"]
    assert web.query.searches == []


@pytest.mark.parametrize(
    "query",
    [
        "RequestAttributesSequence=1",
        "00400275.00400009=1&RequestAttributesSequence.ScheduledProcedureStepID=1",
    ],
)
async def test_a_sequence_is_asked_for_by_each_attribute_of_its_items_once(query: str) -> None:
    answer = await Web().get(f"/dicomweb/series?{query}")
    assert answer.status_code == 400
    assert "RequestAttributesSequence" in answer.json()["detail"]


async def test_an_attribute_that_cannot_be_matched_is_ignored_with_a_warning() -> None:
    web = Web()
    answer = await web.get(STUDIES + "?PixelSpacing=1&00091001=x&PatientID=P1")
    assert answer.status_code == 200
    assert answer.headers["warning"].startswith("299 ")
    assert "PixelSpacing, 00091001" in answer.headers["warning"]
    assert [key.tag for key in web.query.searches[0].keys] == ["00100020"]


async def test_an_attribute_beyond_the_table_is_asked_for_and_links_are_ours() -> None:
    web = Web()
    link = f"{BULK_BASE}/studies/1.2.1/series/1/instances/1/bulkdata/00420011"
    web.query.answers = [{**study(1), "00420011": {"vr": "OB", "BulkDataURI": link}}]
    answer = await web.get(STUDIES + "?includefield=EncapsulatedDocument,ReasonForStudy&00091001=")
    assert web.query.searches[0].include == ("00420011", "00321030", "00091001", "00090010")
    assert "warning" not in answer.headers
    found = answer.json()[0]["00420011"]["BulkDataURI"]
    assert found == link.replace(BULK_BASE, "http://pacs.test/dicomweb")


async def test_attributes_to_answer_with_are_named_by_keyword_tag_and_path() -> None:
    web = Web()
    answer = await web.get(
        "/dicomweb/series?includefield=BodyPartExamined,0018000a&includefield=00400275.00400009"
        "&includefield=Nope,0040A730.CodeValue,0040A730.0040A730,RequestAttributesSequence.PatientID"
        "&includefield=PatientID.PatientName"
    )
    include = web.query.searches[0].include
    assert include[:4] == ("00180015", "0018000A", "00400275", "0040A730")
    warned = answer.headers["warning"].removeprefix("299 http://pacs.test/dicomweb: ")
    assert warned == (
        "These attributes are not supported and were ignored: Nope, "
        "RequestAttributesSequence.PatientID, PatientID.PatientName"
    )


async def test_studies_can_be_put_in_another_order() -> None:
    web = Web()
    assert (await web.get(STUDIES + "?orderby=StudyDate,-00100010")).status_code == 200
    assert web.query.searches[0].order == (Order("00080020"), Order("00100010", descending=True))
    answer = await web.get("/dicomweb/series?orderby=StudyDate")
    assert answer.status_code == 400
    assert "orderby" in answer.json()["detail"]


async def test_a_private_attribute_is_answered_with_its_creator_which_may_be_a_key() -> None:
    web = Web()
    answer = await web.get(STUDIES + "?includefield=00091001,0011AB02&00090010=ACME")
    search = web.query.searches[0]
    assert search.include == ("00091001", "0011AB02", "00090010", "001100AB")
    (key,) = search.keys
    assert (key.tag, key.vr, key.values) == ("00090010", "LO", ("ACME",))
    assert "warning" not in answer.headers


async def test_a_private_creator_by_itself_is_ignored_with_a_warning() -> None:
    web = Web()
    answer = await web.get(STUDIES + "?00090010=ACME&00091001=x")
    assert (web.query.searches[0].keys, web.query.searches[0].include) == ((), ())
    assert answer.headers["warning"].endswith(": 00091001, 00090010")


async def test_empty_value_matching_is_refused_in_the_words_of_the_standard() -> None:
    web = Web()
    answer = await web.get(STUDIES + "?emptyvaluematching=true")
    assert answer.headers["warning"] == (
        "299 http://pacs.test/dicomweb: The emptyvaluematching parameter is not supported."
        " Empty Value Matching has not been performed."
    )


async def test_an_attribute_of_a_lower_level_is_not_answered() -> None:
    web = Web()
    answer = await web.get(STUDIES + "?includefield=InstanceNumber,Modality")
    assert web.query.searches[0].include == ()
    assert "InstanceNumber, Modality" in answer.headers["warning"]


async def test_many_results_come_batch_by_batch_as_one_array() -> None:
    web = Web()
    web.query.answers = [study(n) for n in range(10_000)]
    answer = await web.get(STUDIES)
    assert len(answer.json()) == 10_000
    assert answer.headers["x-total-count"] == "10000"
    assert "content-length" not in answer.headers
    assert web.query.closed == 1


async def test_a_page_tells_the_total_of_all() -> None:
    web = Web()
    web.query.answers = [study(n) for n in range(30)]
    answer = await web.get(STUDIES + "?limit=10&offset=5")
    assert (len(answer.json()), answer.headers["x-total-count"]) == (10, "30")
    assert "There are 15 additional results" in answer.headers["warning"]
    empty = await web.get(STUDIES + "?limit=0")
    assert (empty.json(), empty.headers["x-total-count"]) == ([], "30")


async def test_more_than_the_most_results_are_announced() -> None:
    web = Web()
    web.settings = web.settings.model_copy(update={"max_results": 10})
    web.query.answers = [study(n) for n in range(30)]
    answer = await web.get(STUDIES)
    assert len(answer.json()) == 10
    assert answer.headers["warning"] == (
        "299 http://pacs.test/dicomweb: There are 20 additional results that can be requested"
    )
    assert "warning" not in (await web.get(STUDIES + "?offset=20")).headers


async def test_a_search_is_recorded_before_it_happens() -> None:
    web = Web()
    web.audit.error = Unavailable("the log is down")
    answer = await web.get(STUDIES + "?PatientID=P1")
    assert answer.status_code == 503
    assert web.query.searches == []
    web.audit.error = None
    await web.get(STUDIES + "?PatientID=P1")
    ((action, fields),) = web.audit.records
    assert (action, fields["detail"]) == ("query", "QIDO-RS studies 00100020")
    assert fields["patient_ids"] == ("P1",)
    assert fields["query"] == "PatientID=P1"
    assert fields["source"].protocol == "DICOMweb"
    assert fields["source"].host == "127.0.0.1"


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (
            "/studies?PatientName=M%C3%BCller*&StudyDate=20260101-",
            "PatientName=Müller*&StudyDate=20260101-",
        ),
        ("/studies?00080061=CT%5CMR&limit=3&includefield=all", r"ModalitiesInStudy=CT\MR"),
        ("/studies?StudyInstanceUID=1.2,1.3", r"StudyInstanceUID=1.2\1.3"),
        ("/studies/1.2/series?Modality=CT", "StudyInstanceUID=1.2&Modality=CT"),
        ("/series?RequestAttributesSequence.RequestedProcedureID=7",
         "RequestAttributesSequence.RequestedProcedureID=7"),
        ("/studies?PatientID=A%0AB%1B", "PatientID=A B "),
        ("/studies?PatientName=&PatientID=", ""),
    ],
)  # fmt: skip
async def test_the_record_of_a_search_holds_its_keys_with_their_values(
    path: str, query: str
) -> None:
    web = Web()
    assert (await web.get(f"/dicomweb{path}")).status_code == 200
    ((_, fields),) = web.audit.records
    assert fields["query"] == query


async def test_an_index_that_is_down_is_503_and_an_unexpected_error_tells_nothing() -> None:
    web = Web()
    web.query.error = Unavailable("the index does not answer", fix="try again")
    answer = await web.get(STUDIES)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    web.query.error = KeyError("Doe^John")
    answer = await web.get(STUDIES, x_request_id="req-12345678")
    assert answer.status_code == 500
    assert "Doe" not in answer.text
    assert answer.json()["instance"] == "urn:request:req-12345678"


async def test_answers_come_in_xml_each_a_part() -> None:
    web = Web()
    web.query.answers = [{"0020000D": {"vr": "UI", "Value": [f"1.2.{n}"]}} for n in range(5)]
    web.query.batch = 2
    accept = 'multipart/related; type="application/dicom+xml"'
    answer = await web.get(STUDIES, accept=accept)
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    found = message_from_bytes(head + answer.content).get_payload()
    assert isinstance(found, list)
    kinds = {part["Content-Type"] for part in found}  # type: ignore[index]
    assert kinds == {"application/dicom+xml"}
    models = [from_xml(part.get_payload(decode=True)) for part in found]  # type: ignore[union-attr,arg-type]
    assert models == (await web.get(STUDIES)).json()


async def test_forms_that_can_be_had_and_one_that_cannot() -> None:
    web = Web()
    assert (await web.get(STUDIES, accept="text/html")).status_code == 406
    assert (await web.get(STUDIES, accept="application/json")).status_code == 200
    assert (await web.get(STUDIES + "?accept=application/dicom%2Bjson", accept="a/b")).is_success


async def test_a_host_header_that_is_no_host_is_refused() -> None:
    answer = await Web().get(STUDIES, host='x"onload=')
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("path", "asked_for", "not_asked_for"),
    [
        ("studies", (), ("00080020", "00080060")),
        ("series", ("00080020", "00100010", "00201208", "00080201"), ("00080060", "00201209")),
        ("instances", ("00080020", "00080060", "00201209", "00400275", "00080201"), ()),
        (f"studies/{STUDY}/series", ("00080201",), ("00080020", "00100010")),
        (f"studies/{STUDY}/instances", ("00080060", "00201209", "00080201"), ("00080020",)),
        (f"studies/{STUDY}/series/1.2.9/instances", ("00080201",), ("00080020", "00080060")),
    ],
)
async def test_attributes_of_levels_above_are_answered_unless_the_address_names_them(
    path: str, asked_for: tuple[str, ...], not_asked_for: tuple[str, ...]
) -> None:
    web = Web()
    assert (await web.get(f"/dicomweb/{path}")).status_code == 200
    include = set(web.query.searches[0].include)
    assert include >= set(asked_for)
    assert not include & set(not_asked_for)


async def test_required_attributes_without_a_value_are_answered_empty_and_all_in_order() -> None:
    web = Web()
    web.query.answers = [study(1)]
    (answer,) = (await web.get(STUDIES)).json()
    assert answer["00080020"] == {"vr": "DA"}
    assert answer["00100010"] == {"vr": "PN"}
    assert answer["00100020"]["Value"] == ["P1"]
    assert "00080201" not in answer
    assert list(answer) == sorted(answer)
