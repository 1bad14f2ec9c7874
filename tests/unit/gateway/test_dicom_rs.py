"""The gateway role on a socket before the unchanged tools of dicom-rs, in both directions."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.filereader import read_dataset

from isocenter.core.errors import OutOfResources
from isocenter.core.transfer_syntax import lookup
from isocenter.runtime.aes import KnownAE
from support import dicom_rs
from support.authority import Authority
from support.dicom_rs import dicom_rs as tool
from support.gateway_fakes import EXPLICIT, from_test_file, series
from support.live_gateway import STUDY_1, Live, at, dcmtk, instances, live
from support.ports import free_ports

pytestmark = dicom_rs.BUILT

FILES = {
    "1.2.840.10008.1.2": "MR_small_implicit.dcm",
    "1.2.840.10008.1.2.1": "CT_small.dcm",
    "1.2.840.10008.1.2.2": "MR_small_bigendian.dcm",
    "1.2.840.10008.1.2.4.50": "SC_rgb_jpeg_dcmtk.dcm",
    "1.2.840.10008.1.2.4.80": "MR_small_jpeg_ls_lossless.dcm",
    "1.2.840.10008.1.2.4.91": "JPEG2000.dcm",
    "1.2.840.10008.1.2.5": "MR_small_RLE.dcm",
}


def path_of(name: str) -> Path:
    path = get_testdata_file(name, download=False)
    assert path, f"pydicom does not ship {name}"
    return Path(path)


def peer(gateway: Live, called: str = "ISOCENTER") -> str:
    return f"{called}@127.0.0.1:{gateway.port}"


# --- as SCP --------------------------------------------------------------------------------------


async def test_echoscu_is_answered():
    async with live() as gateway:
        outcome = await tool("echoscu", "-v", peer(gateway))
    assert outcome.code == 0, outcome.text
    assert "C-ECHO successful" in outcome.text


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("echoscu", []),
        ("storescu", [path_of("CT_small.dcm")]),
        ("findscu", ["-S", "-q", "QueryRetrieveLevel=STUDY"]),
    ],
)
async def test_another_called_title_is_rejected(name, arguments):
    async with live(series(1)) as gateway:
        outcome = await tool(name, peer(gateway, "ELSEWHERE"), *arguments)
        assert gateway.env.fake_ingest.taken == []
        assert gateway.env.fake_query.searches == []
    assert outcome.code != 0
    assert "called AE title not recognized" in outcome.text


@pytest.mark.parametrize(("syntax", "name"), FILES.items())
async def test_storescu_stores_in_every_transfer_syntax_that_it_has(syntax, name):
    async with live() as gateway:
        outcome = await tool("storescu", "--fail-first", peer(gateway), path_of(name))
        assert outcome.code == 0, outcome.text
        [(announcement, data)] = gateway.env.fake_ingest.taken
    assert (announcement.transfer_syntax, announcement.source.ae_title) == (syntax, "STORE-SCU")
    known, sent = lookup(syntax), dcmread(path_of(name))
    arrived = read_dataset(BytesIO(data), known.implicit_vr, known.little_endian)
    assert arrived.PixelData == sent.PixelData
    assert arrived.SOPInstanceUID == announcement.instance == sent.SOPInstanceUID
    assert {element.tag for element in arrived} == {element.tag for element in sent}


async def test_storescu_stores_many_files_on_several_associations(tmp_path):
    for number in range(24):
        instance = dcmread(path_of("CT_small.dcm"))
        instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = f"1.2.9.{number}"
        instance.save_as(tmp_path / f"{number}.dcm")
    async with live() as gateway:
        outcome = await tool("storescu", "-c", "4", "--fail-first", peer(gateway), tmp_path)
        assert outcome.code == 0, outcome.text
        stored = [announcement.instance for announcement, _ in gateway.env.fake_ingest.taken]
    assert sorted(stored) == sorted(f"1.2.9.{number}" for number in range(24))


async def test_storescu_is_told_of_a_refusal():
    async with live() as gateway:
        gateway.env.fake_ingest.error = OutOfResources("disk reserve reached")
        outcome = await tool("storescu", "-v", peer(gateway), path_of("CT_small.dcm"))
        assert gateway.env.fake_ingest.taken == []
    assert "A700" in outcome.text, outcome.text


@pytest.mark.parametrize(
    ("model", "keys", "answers"),
    [
        ("-P", ["QueryRetrieveLevel=PATIENT", "PatientName=doe*", "PatientID="], 1),
        ("-S", ["QueryRetrieveLevel=STUDY", "PatientName=Doe^Jane", "StudyInstanceUID="], 2),
        ("-S", ["QueryRetrieveLevel=IMAGE", "StudyInstanceUID=1.2.3", "SOPInstanceUID="], 3),
        ("-S", ["QueryRetrieveLevel=STUDY", "PatientID=NOBODY"], 0),
    ],
)
async def test_findscu_finds(model, keys, answers):
    wanted = [argument for key in keys for argument in ("-q", key)]
    async with live(series(3) + series(1, study="1.2.4")) as gateway:
        outcome = await tool("findscu", model, peer(gateway), *wanted)
    assert outcome.code == 0, outcome.text
    assert outcome.text.count("Match #") == answers
    assert outcome.text.count('"ONLINE"') == answers


async def test_findscu_is_told_of_a_mistake_and_of_a_model_that_is_not_there():
    async with live(series(1)) as gateway:
        wrong_level = await tool("findscu", "-S", peer(gateway), "-q", "QueryRetrieveLevel=PATIENT")
        worklist = await tool("findscu", "-W", peer(gateway), "-q", "PatientName=")
    assert f"status code {0xA900}" in wrong_level.text
    assert worklist.code != 0
    assert "no presentation contexts accepted" in worklist.text


# --- as SCU --------------------------------------------------------------------------------------


async def moved(gateway: Live, study: str):
    return await dcmtk(
        "movescu", "-v", "-S", *at(gateway), "-aem", "DEST",
        "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}",
    )  # fmt: skip


@pytest.mark.parametrize("options", [[], ["--non-blocking"], ["--max-pdu-length", "4096"]])
async def test_storescp_receives_a_study(options, tmp_path):
    async with dicom_rs.storescp(tmp_path, *options) as port:
        known = [KnownAE(title="DEST", host="127.0.0.1", port=port)]
        async with live(series(3), known_aes=known) as gateway:
            outcome = await moved(gateway, "1.2.3")
    assert outcome.code == 0, outcome.text
    assert instances(tmp_path) == STUDY_1


@pytest.mark.parametrize(
    ("options", "syntax"),
    [([], "1.2.840.10008.1.2.4.90"), (["--uncompressed-only"], EXPLICIT)],
)
async def test_storescp_receives_what_it_takes_as_stored_and_the_rest_decoded(
    options, syntax, tmp_path
):
    held = from_test_file("MR_small_jp2klossless.dcm")
    async with dicom_rs.storescp(tmp_path, *options) as port:
        known = [KnownAE(title="DEST", host="127.0.0.1", port=port)]
        async with live([held], known_aes=known) as gateway:
            outcome = await moved(gateway, held.stored.name.study)
    assert outcome.code == 0, outcome.text
    [file] = tmp_path.iterdir()
    got = dcmread(file)
    assert got.file_meta.TransferSyntaxUID == syntax
    assert (got.pixel_array == dcmread(path_of("MR_small.dcm")).pixel_array).all()


# --- TLS, as rustls speaks it --------------------------------------------------------------------


@pytest.mark.parametrize("version", ["tls1-2", "tls1-3"])
async def test_storescu_stores_over_tls_with_a_certificate_of_the_authority(version, tmp_path):
    authority, strange = Authority(tmp_path / "ca"), Authority(tmp_path / "strange")
    # The tool expects this name whatever it is told to call.
    files, [tls_port] = authority.issue("gateway", "DNS:localhost"), free_ports(1)
    settings = {"tls_port": tls_port, "certificate_file": files.certificate, "key_file": files.key}
    async with live(**settings, ca_file=files.ca) as gateway:
        codes = {}
        for name, shown in (("CT1", authority.issue("CT1")), ("stranger", strange.issue("CT1"))):
            outcome = await tool(
                "storescu", "--tls", "--protocol-versions", version,
                "--key", shown.key, "--cert", shown.certificate, "--add-certs", files.ca,
                f"ISOCENTER@127.0.0.1:{tls_port}", path_of("CT_small.dcm"),
            )  # fmt: skip
            codes[name] = outcome.code
        taken = gateway.env.fake_ingest.taken
        assert codes["CT1"] == 0
        assert codes["stranger"] != 0
        assert [one.source.tls_subject for one, _ in taken] == ["CN=CT1,O=Hospital"]
