"""Every network tool of dcmtk that sends or asks, with its options, before the gateway role."""

from __future__ import annotations

import asyncio
import shutil
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.filereader import read_dataset

from isocenter.core.errors import OutOfResources
from isocenter.core.transfer_syntax import lookup
from isocenter.runtime.aes import KnownAE
from support.gateway_fakes import EXPLICIT, IMPLICIT, series
from support.live_gateway import STUDY_1, Live, at, dcmtk, instances, live
from support.other_archives import dcmqrscp
from support.ports import free_ports

BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"


def path_of(name: str) -> Path:
    path = get_testdata_file(name, download=False)
    assert path, f"pydicom does not ship {name}"
    return Path(path)


CT_FILE = path_of("CT_small.dcm")


def stored(gateway: Live) -> list[str]:
    return [announcement.instance for announcement, _ in gateway.env.fake_ingest.taken]


# --- echoscu, termscu ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        ("-pts", "38", "-ppc", "128"),
        ("--repeat", "5"),
        ("--abort",),
        ("-pdu", "4096"),
        ("-pdu", "131072"),
    ],
    ids=" ".join,
)
async def test_echoscu(options):
    async with live() as gateway:
        outcome = await dcmtk("echoscu", *options, *at(gateway))
        assert outcome.code == 0, outcome.text
        assert (await dcmtk("echoscu", *at(gateway))).code == 0


async def test_termscu_ends_nothing():
    async with live() as gateway:
        outcome = await dcmtk("termscu", "-v", *at(gateway))
        assert "No Acceptable Presentation Contexts" in outcome.text, outcome.text
        assert (await dcmtk("echoscu", *at(gateway))).code == 0


# --- storescu ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "name", "syntax"),
    [
        ("-x=", "CT_small.dcm", EXPLICIT),
        ("-xe", "CT_small.dcm", EXPLICIT),
        ("-xi", "CT_small.dcm", IMPLICIT),
        ("-xd", "CT_small.dcm", DEFLATED),
        ("-xd", "image_dfl.dcm", DEFLATED),
        ("-xs", "SC_rgb_jpeg_gdcm.dcm", "1.2.840.10008.1.2.4.70"),
        ("-xy", "SC_rgb_jpeg_dcmtk.dcm", "1.2.840.10008.1.2.4.50"),
        ("-xx", "JPEG-lossy.dcm", "1.2.840.10008.1.2.4.51"),
        ("-xv", "MR_small_jp2klossless.dcm", "1.2.840.10008.1.2.4.90"),
        ("-xw", "JPEG2000.dcm", "1.2.840.10008.1.2.4.91"),
        ("-xt", "MR_small_jpeg_ls_lossless.dcm", "1.2.840.10008.1.2.4.80"),
        ("-xr", "MR_small_RLE.dcm", "1.2.840.10008.1.2.5"),
    ],
)
@pytest.mark.parametrize("more", [(), ("+C",), ("-R",)], ids=["", "+C", "-R"])
async def test_storescu_proposes_transfer_syntaxes(option, name, syntax, more):
    async with live() as gateway:
        outcome = await dcmtk("storescu", option, *more, *at(gateway), path_of(name))
        assert outcome.code == 0, outcome.text
        [(announcement, data)] = gateway.env.fake_ingest.taken
    sent = dcmread(path_of(name))
    assert announcement.instance == sent.SOPInstanceUID
    assert announcement.transfer_syntax == syntax
    if syntax != DEFLATED:
        known = lookup(syntax)
        arrived = read_dataset(BytesIO(data), known.implicit_vr, known.little_endian)
        assert arrived.PixelData == sent.PixelData


@pytest.mark.parametrize(
    ("option", "suffix"),
    [
        ("-xu", "81"),
        ("-xm", "100"),
        ("-xh", "101"),
        ("-xn", "102"),
        ("-xl", "103"),
        ("-x2", "104"),
        ("-x3", "105"),
        ("-xo", "106"),
        ("-x4", "107"),
        ("-x5", "108"),
    ],
)
async def test_storescu_passes_on_what_nobody_here_decodes(option, suffix, tmp_path):
    """The codestream of another encoding, under the name of this one: nobody looks inside."""
    sent, file = dcmread(path_of("MR_small_RLE.dcm")), tmp_path / "sent.dcm"
    sent.file_meta.TransferSyntaxUID = f"1.2.840.10008.1.2.4.{suffix}"
    sent.save_as(file)
    async with live() as gateway:
        outcome = await dcmtk("storescu", option, *at(gateway), file)
        assert outcome.code == 0, outcome.text
        [(announcement, data)] = gateway.env.fake_ingest.taken
    assert announcement.transfer_syntax == sent.file_meta.TransferSyntaxUID
    assert read_dataset(BytesIO(data), False, True).PixelData == sent.PixelData


async def test_storescu_turns_what_it_sends_into_big_endian():
    async with live() as gateway:
        outcome = await dcmtk("storescu", "-xb", "+C", *at(gateway), CT_FILE)
        assert outcome.code == 0, outcome.text
        [(announcement, data)] = gateway.env.fake_ingest.taken
    assert announcement.transfer_syntax == BIG_ENDIAN
    arrived = read_dataset(BytesIO(data), False, False)
    assert arrived.PatientName == dcmread(CT_FILE).PatientName


@pytest.mark.parametrize(
    ("options", "instances_stored"),
    [
        (("+II", "--repeat", "3"), 3),
        (("+IR", "2", "--repeat", "3"), 3),
        (("+IS", "2", "--repeat", "3"), 3),
        (("+IP", "2", "--repeat", "3"), 3),
        (("--repeat", "3"), 1),
        (("--abort",), 1),
        (("-pdu", "4096", "--max-send-pdu", "4096"), 1),
        (("-pdu", "131072", "--max-send-pdu", "131072"), 1),
        (("-usr", "somebody"), 1),
        (("-up", "-to", "10", "-td", "10"), 1),
        (("-u",), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
async def test_storescu(options, instances_stored):
    async with live() as gateway:
        outcome = await dcmtk("storescu", *options, *at(gateway), CT_FILE)
        assert outcome.code == 0, outcome.text
        assert len(set(stored(gateway))) == instances_stored


async def test_storescu_sends_folders_and_renames_what_was_sent(tmp_path):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    shutil.copy(CT_FILE, tmp_path / "one.dcm")
    shutil.copy(path_of("MR_small.dcm"), inside / "two.dcm")
    async with live() as gateway:
        outcome = await dcmtk("storescu", "+sd", "+r", "+rn", *at(gateway), tmp_path)
        assert outcome.code == 0, outcome.text
        assert len(stored(gateway)) == 2
    assert sorted(one.name for one in tmp_path.rglob("*.dcm*")) == ["one.dcm.done", "two.dcm.done"]


async def test_storescu_goes_on_after_a_refusal_where_it_is_told_to():
    async with live() as gateway:
        gateway.env.fake_ingest.error = OutOfResources("disk reserve reached")
        files = (CT_FILE, path_of("MR_small.dcm"))
        halted = await dcmtk("storescu", "-v", *at(gateway), *files)
        going_on = await dcmtk("storescu", "-v", "-nh", *at(gateway), *files)
    assert halted.text.count("Refused: OutOfResources") == 1, halted.text
    assert going_on.text.count("Refused: OutOfResources") == 2, going_on.text


async def test_many_storescus_at_once():
    async with live() as gateway:
        outcomes = await asyncio.gather(
            *(dcmtk("storescu", "+II", "--repeat", 4, *at(gateway), CT_FILE) for _ in range(12))
        )
        assert [outcome.code for outcome in outcomes] == [0] * 12
        assert len(set(stored(gateway))) == 48


# --- dcmsend -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "syntaxes"),
    [
        ((), [EXPLICIT, "1.2.840.10008.1.2.4.90"]),
        (("-dn",), [EXPLICIT, "1.2.840.10008.1.2.4.90"]),
        (("+ma",), [EXPLICIT, "1.2.840.10008.1.2.4.90"]),
        (("-ma", "-nuc"), [EXPLICIT, "1.2.840.10008.1.2.4.90"]),
        (("-pdu", "4096", "--max-send-pdu", "4096"), [EXPLICIT, "1.2.840.10008.1.2.4.90"]),
    ],
    ids=lambda value: " ".join(value) or "plain",
)
async def test_dcmsend(options, syntaxes, tmp_path):
    report = tmp_path / "report"
    files = (CT_FILE, path_of("MR_small_jp2klossless.dcm"))
    async with live() as gateway:
        outcome = await dcmtk("dcmsend", *options, "+crf", report, *at(gateway), *files)
        assert outcome.code == 0, outcome.text
        taken = gateway.env.fake_ingest.taken
        assert [one.transfer_syntax for one, _ in taken] == syntaxes
    assert "with status SUCCESS  : 2" in report.read_text(), report.read_text()


async def test_dcmsend_sends_what_a_dicomdir_names():
    directory = path_of("dicomdirtests/DICOMDIR")
    async with live() as gateway:
        outcome = await dcmtk("dcmsend", "+rd", "-nh", *at(gateway), directory)
        assert outcome.code == 0, outcome.text
        assert len(set(stored(gateway))) > 10


# --- findscu, movescu, getscu --------------------------------------------------------------------

STUDY_KEYS = ("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3")


@pytest.mark.parametrize(
    "options",
    [("-x=",), ("-xe",), ("-xb",), ("-xd",), ("-xi",), ("--repeat", "3"), ("--abort",), ("+sr",)],
    ids=" ".join,
)
@pytest.mark.parametrize("model", ["-P", "-S", "-O"])
async def test_findscu(model, options):
    async with live(series(3)) as gateway:
        outcome = await dcmtk("findscu", "-v", model, *options, *at(gateway), *STUDY_KEYS)
        assert len(gateway.env.fake_query.searches) == (3 if "--repeat" in options else 1)
    assert outcome.code == 0, outcome.text
    assert "Find Response: 1 (Pending)" in outcome.text
    assert "(Success)" in outcome.text


async def test_findscu_has_no_worklist_here():
    async with live() as gateway:
        outcome = await dcmtk("findscu", "-W", *at(gateway), "-k", "PatientName")
    assert outcome.code != 0
    assert "No Acceptable Presentation Contexts" in outcome.text


@pytest.mark.parametrize("model", ["-P", "-S", "-O"])
@pytest.mark.parametrize(
    "options", [(), ("+xi",), ("+xa",), ("-xb",), ("-pdu", "4096")], ids=" ".join
)
async def test_movescu_moves_to_itself(model, options, tmp_path):
    [port] = free_ports(1)
    known = [KnownAE(title="TESTER", host="127.0.0.1", port=port)]
    async with live(series(3) + series(2, study="1.2.4"), known_aes=known) as gateway:
        outcome = await dcmtk(
            "movescu", model, *options, "+P", port, "-aem", "TESTER", "-od", tmp_path,
            *at(gateway), *STUDY_KEYS,
        )  # fmt: skip
    assert outcome.code == 0, outcome.text
    assert instances(tmp_path) == STUDY_1
    syntaxes = {dcmread(file).file_meta.TransferSyntaxUID for file in tmp_path.iterdir()}
    assert syntaxes == {IMPLICIT if options == ("+xi",) else EXPLICIT}


async def test_movescu_cancels(tmp_path, monkeypatch):
    monkeypatch.setattr("isocenter.gateway.progress.PENDING_INTERVAL", 0)
    [port] = free_ports(1)
    known = [KnownAE(title="TESTER", host="127.0.0.1", port=port)]
    async with live(series(60), known_aes=known) as gateway:
        outcome = await dcmtk(
            "movescu", "-v", "-S", "--cancel", 2, "+P", port, "-aem", "TESTER", "-od", tmp_path,
            *at(gateway), *STUDY_KEYS,
        )  # fmt: skip
    assert "Cancel" in outcome.text, outcome.text
    assert 0 < len(list(tmp_path.iterdir())) < 60


async def test_movescu_is_told_that_a_destination_is_unknown():
    async with live(series(1)) as gateway:
        outcome = await dcmtk("movescu", "-v", "-aem", "NOWHERE", *at(gateway), *STUDY_KEYS)
    assert outcome.code != 0
    assert "MoveDestinationUnknown" in outcome.text.replace(" ", ""), outcome.text


@pytest.mark.parametrize("model", ["-P", "-S", "-O"])
@pytest.mark.parametrize(
    "options",
    [(), ("+xe",), ("+xv",), ("+xr",), ("-xb",), ("+B",), ("-pdu", "4096")],
    ids=" ".join,
)
async def test_getscu(model, options, tmp_path):
    """Also where it would rather have a transfer syntax that nothing can be turned into."""
    async with live(series(3) + series(2, study="1.2.4")) as gateway:
        outcome = await dcmtk("getscu", model, *options, "-od", tmp_path, *at(gateway), *STUDY_KEYS)
    assert outcome.code == 0, outcome.text
    assert instances(tmp_path) == STUDY_1
    syntaxes = {dcmread(file).file_meta.TransferSyntaxUID for file in tmp_path.iterdir()}
    assert syntaxes == {EXPLICIT}


# --- an archive of dcmtk as the source -----------------------------------------------------------


async def test_dcmqrscp_moves_a_study_to_us(tmp_path):
    known = [KnownAE(title="QR")]
    async with live(unknown_callers="never", known_aes=known) as gateway:
        with dcmqrscp(tmp_path, {"ISOCENTER": gateway.port}) as other:
            archive = ("-aet", "TESTER", "-aec", "QR", "127.0.0.1", other.port)
            assert (await dcmtk("storescu", *archive, CT_FILE)).code == 0
            sent = dcmread(CT_FILE)
            outcome = await dcmtk(
                "movescu", "-S", "-aem", "ISOCENTER", *archive, "-k", "QueryRetrieveLevel=STUDY",
                "-k", f"StudyInstanceUID={sent.StudyInstanceUID}",
            )  # fmt: skip
            assert outcome.code == 0, outcome.text
            [(announcement, _)] = gateway.env.fake_ingest.taken
    assert announcement.instance == sent.SOPInstanceUID
    assert (announcement.source.ae_title, announcement.source.known) == ("QR", True)
