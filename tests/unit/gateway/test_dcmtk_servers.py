"""The gateway role and `isocenter send` before dcmtk's servers, and its tools with TLS."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from isocenter.runtime.aes import KnownAE
from support.authority import Authority
from support.gateway_fakes import EXPLICIT, IMPLICIT, from_test_file, series
from support.live_gateway import (
    STUDY_1,
    Live,
    Outcome,
    at,
    dcmtk,
    instances,
    live,
    run,
    storescp,
)
from support.other_archives import dcmqrscp, dcmrecv
from support.ports import free_ports

J2K_LOSSLESS = "1.2.840.10008.1.2.4.90"
STUDY_KEYS = ("-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3")


def path_of(name: str) -> Path:
    path = get_testdata_file(name, download=False)
    assert path, f"pydicom does not ship {name}"
    return Path(path)


async def moved(gateway: Live, title: str, study: str = "1.2.3") -> Outcome:
    return await dcmtk(
        "movescu", "-d", "-S", *at(gateway), "-aem", title, "-k", "QueryRetrieveLevel=STUDY",
        "-k", f"StudyInstanceUID={study}",
    )  # fmt: skip


# --- destinations of C-MOVE ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "syntax"),
    [
        (("+xa",), J2K_LOSSLESS),
        (("+xv",), J2K_LOSSLESS),
        (("+x=",), EXPLICIT),
        (("+xe",), EXPLICIT),
        (("+xi",), IMPLICIT),
        (("+xa", "--fork"), J2K_LOSSLESS),
        (("+xa", "+B", "-pdu", "4096"), J2K_LOSSLESS),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
async def test_storescp_receives_in_a_transfer_syntax_that_it_takes(options, syntax, tmp_path):
    held = from_test_file("MR_small_jp2klossless.dcm")
    async with storescp(tmp_path, *options) as port:
        known = [KnownAE(title="DEST", host="127.0.0.1", port=port)]
        async with live([held], known_aes=known) as gateway:
            outcome = await moved(gateway, "DEST", held.stored.name.study)
    assert outcome.code == 0, outcome.text
    [file] = tmp_path.iterdir()
    got = dcmread(file)
    assert got.file_meta.TransferSyntaxUID == syntax
    assert (got.pixel_array == dcmread(path_of("MR_small.dcm")).pixel_array).all()


@pytest.mark.parametrize("option", ["--refuse", "--abort-after", "--abort-during"])
async def test_a_storescp_that_does_not_take_it_fails_every_sub_operation(option, tmp_path):
    async with storescp(tmp_path, option) as port:
        known = [KnownAE(title="DEST", host="127.0.0.1", port=port)]
        async with live(series(3), known_aes=known) as gateway:
            outcome = await moved(gateway, "DEST")
    assert outcome.code != 0
    assert re.search(r"Failed Suboperations\s*: 3\b", outcome.text), outcome.text
    assert "0xa702" in outcome.text


async def test_dcmrecv_receives_a_study(tmp_path):
    with dcmrecv(tmp_path) as server:
        known = [KnownAE(title="DEST", host="127.0.0.1", port=server.port)]
        async with live(series(3), known_aes=known) as gateway:
            outcome = await moved(gateway, "DEST")
    assert outcome.code == 0, outcome.text
    assert instances(tmp_path / "kept") == STUDY_1


async def test_dcmqrscp_receives_a_study_and_finds_it(tmp_path):
    with dcmqrscp(tmp_path) as archive:
        known = [KnownAE(title=archive.ae_title, host="127.0.0.1", port=archive.port)]
        async with live(series(3), known_aes=known) as gateway:
            outcome = await moved(gateway, archive.ae_title)
        assert outcome.code == 0, outcome.text
        found = await dcmtk(
            "findscu", "-v", "-S", "-aec", archive.ae_title, "127.0.0.1", archive.port, "-k",
            "QueryRetrieveLevel=IMAGE", "-k", "StudyInstanceUID=1.2.3", "-k",
            "SeriesInstanceUID=1.2.3.1", "-k", "SOPInstanceUID",
        )  # fmt: skip
    assert "Find Response: 3 (Pending)" in found.text, found.text


# --- destinations of `isocenter send` ------------------------------------------------------------


@pytest.mark.parametrize("server", [dcmrecv, dcmqrscp])
async def test_send_reaches_other_servers(server, tmp_path):
    names = ("CT_small.dcm", "MR_small.dcm", "MR_small_bigendian.dcm")
    with server(tmp_path / "server") as receiver:
        outcome = await run(
            sys.executable, "-m", "isocenter", "send", *map(path_of, names),
            "--to", receiver.peer,
        )  # fmt: skip
    assert outcome.code == 0, outcome.text
    assert f"sent: {len(names)} instances" in outcome.text
    received = [one for one in (tmp_path / "server/kept").iterdir() if is_object(one)]
    assert {dcmread(one).SOPInstanceUID for one in received} == {
        dcmread(path_of(name)).SOPInstanceUID for name in names
    }


def is_object(file: Path) -> bool:
    """dcmqrscp has its index beside them."""
    return file.is_file() and file.read_bytes()[128:132] == b"DICM"


# --- TLS -----------------------------------------------------------------------------------------

TOOLS = {
    "echoscu": (),
    "storescu": (path_of("CT_small.dcm"),),
    "findscu": ("-S", *STUDY_KEYS),
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> dict[str, tuple[object, ...]]:
    """dcmtk's options for who shows what."""
    folder = tmp_path_factory.mktemp("authorities")
    ours, other = Authority(folder / "ours"), Authority(folder / "other")
    good, strange = ours.issue("CT1"), other.issue("CT1")
    files, ended = ours.issue("gateway"), ours.issue("CT2", days=-1)
    return {
        "gateway": (files.certificate, files.key, files.ca),
        "good": ("+tls", good.key, good.certificate, "+cf", ours.certificate),
        "anonymous": ("+tla", "+cf", ours.certificate),
        "ended": ("+tls", ended.key, ended.certificate, "+cf", ours.certificate),
        "of another authority": ("+tls", strange.key, strange.certificate, "+cf", files.ca),
        "trusting another authority": ("+tls", good.key, good.certificate, "+cf", strange.ca),
        "plain": (),
    }


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    "shown",
    ["good", "anonymous", "ended", "of another authority", "trusting another authority", "plain"],
)
async def test_tools_over_tls(tool, shown, certificates):
    certificate, key, ca = certificates["gateway"]
    [tls_port] = free_ports(1)
    settings = {"tls_port": tls_port, "certificate_file": certificate, "key_file": key}
    async with live(series(1), **settings, ca_file=ca) as gateway:
        peer = ("-aec", "ISOCENTER", "127.0.0.1", tls_port)
        outcome = await dcmtk(tool, *certificates[shown], "-to", "5", *peer, *TOOLS[tool])
        asked = len(gateway.env.fake_ingest.taken) + len(gateway.env.fake_query.searches)
    assert (outcome.code == 0) is (shown == "good"), outcome.text
    assert asked == (1 if shown == "good" and tool != "echoscu" else 0)
