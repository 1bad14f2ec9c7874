"""Bad input gets a clear answer in the protocol's own form, and the next normal request works."""

from __future__ import annotations

import io
import json
import socket
import ssl
import struct
from pathlib import Path

import httpx
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.sop_class import CTImageStorage

from support.clients import dcmtk, run
from support.datasets import ct_image
from support.files import write_series
from support.harness import Isocenter, wait_until

ABORT_PDU = 0x07
REJECT_PDU = 0x03


def _talk(isocenter: Isocenter, data: bytes, *, half_close: bool = False) -> bytes:
    """What the gateway answers to raw bytes before it closes the connection."""
    with socket.create_connection((isocenter.host, isocenter.dicom_port), timeout=20) as peer:
        peer.sendall(data)
        if half_close:
            peer.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while chunk := peer.recv(65536):
                answer += chunk
        except ConnectionResetError:
            pass
        return answer


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        bytes.fromhex("16030100c8010000c40303") + bytes(200),
        bytes(range(256)) * 8,
        b"\x04\x00\xff\xff\xff\xff" + bytes(64),
        b"\x01\x00\xff\xff\xff\xff" + bytes(64),
        b"\x01\x00\x00\x00\x00\x04\x00\x01\x00\x00",
    ],
    ids=["http", "tls-hello", "garbage", "data-4-gb", "associate-4-gb", "associate-too-short"],
)
def test_what_is_not_dicom_is_aborted(isocenter: Isocenter, data: bytes) -> None:
    answer = _talk(isocenter, data)
    assert answer[:1] == bytes([ABORT_PDU]) or answer == b""


def test_half_an_association_request_and_silence_end_by_artim(isocenter: Isocenter) -> None:
    whole = struct.pack(">BBI", 1, 0, 500) + bytes(100)
    assert _talk(isocenter, whole)[:1] in (b"", bytes([ABORT_PDU]))
    assert _talk(isocenter, b"")[:1] in (b"", bytes([ABORT_PDU]))


def test_a_tls_client_on_the_plain_port_fails_at_once(isocenter: Isocenter) -> None:
    context = ssl.create_default_context()
    with (
        socket.create_connection((isocenter.host, isocenter.dicom_port), timeout=10) as peer,
        pytest.raises((ssl.SSLError, ConnectionError, TimeoutError)),
    ):
        context.wrap_socket(peer, server_hostname="localhost")


def test_an_unknown_called_ae_title_is_rejected(isocenter: Isocenter) -> None:
    outcome = run("echoscu", "-aec", "SOMEBODYELSE", isocenter.host, isocenter.dicom_port)
    assert outcome.code != 0
    assert "Called AE Title Not Recognized" in outcome.text


def test_an_abort_in_the_middle_of_a_data_set_leaves_nothing(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    series = write_series(tmp_path / "sent", 1, rows=512)
    ae = AE("ABORTER")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate(
        isocenter.host, isocenter.dicom_port, ae_title=isocenter.ae_title, max_pdu=4096
    )
    assert association.is_established
    # A C-STORE-RQ whose data set never ends: the command, some fragments, then the connection goes.
    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID = CTImageStorage
    request.AffectedSOPInstanceUID = next(iter(series.files))
    request.Priority = 2
    request.DataSet = io.BytesIO(next(iter(series.files.values())).read_bytes()[400:])
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    pdus = list(message.encode_msg(association.accepted_contexts[0].context_id, 4096))
    for pdu in pdus[: len(pdus) // 2]:
        association.dul.send_pdu(pdu)
    association.abort()
    assert isocenter.search(f"/studies/{series.study}/instances") == []


def _stow(
    isocenter: Isocenter, *parts: bytes, content_type: str = "", path: str = "/studies"
) -> httpx.Response:
    body = b"".join(
        b"--b\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts
    )
    return httpx.post(
        f"{isocenter.dicomweb}{path}",
        content=body + b"--b--\r\n",
        headers={
            "Content-Type": content_type
            or 'multipart/related; type="application/dicom"; boundary=b',
            "Accept": "application/dicom+json",
        },
        timeout=60,
    )


def _bytes(instance: Dataset, tmp_path: Path) -> bytes:
    path = tmp_path / f"{generate_uid()}.dcm"
    with pydicom.config.disable_value_validation():
        instance.save_as(path, enforce_file_format=False, implicit_vr=False, little_endian=True)
    return path.read_bytes()


def _slice() -> Dataset:
    instance = ct_image(8, 8, patient_id="BAD")
    instance.file_meta.MediaStorageSOPClassUID = instance.SOPClassUID
    instance.file_meta.MediaStorageSOPInstanceUID = instance.SOPInstanceUID
    instance.preamble = bytes(128)
    return instance


@pytest.mark.parametrize("uid", ["", "1.2.../../x", "../../../etc", "1.2.03", "1." + "2" * 70])
def test_missing_and_invalid_uids_are_refused_over_stow(
    isocenter: Isocenter, tmp_path: Path, uid: str
) -> None:
    with pydicom.config.disable_value_validation():
        instance = _slice()
        instance.StudyInstanceUID = uid
    answer = _stow(isocenter, _bytes(instance, tmp_path))
    assert answer.status_code == 409, answer.text
    (failed,) = answer.json()["00081198"]["Value"]
    assert failed["00081197"]["Value"][0] >= 0x0100


def test_a_truncated_data_set_is_refused_over_both_protocols(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    content = _bytes(_slice(), tmp_path)[:-50]
    assert _stow(isocenter, content).status_code == 409
    path = tmp_path / "truncated.dcm"
    path.write_bytes(content)
    outcome = dcmtk("storescu", isocenter, "-v", path)
    assert outcome.code != 0 or "Failed" in outcome.text or "Error" in outcome.text, outcome.text


def test_sequences_a_thousand_deep_are_refused(isocenter: Isocenter, tmp_path: Path) -> None:
    content = _bytes(_slice(), tmp_path)
    tag = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    ends = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    pixels = content.index(struct.pack("<HH", 0x7FE0, 0x0010))
    nested = content[:pixels] + (tag + item) * 1000 + ends * 1000 + content[pixels:]
    answer = _stow(isocenter, nested)
    assert answer.status_code == 409, answer.text


def test_a_declared_length_of_4_gb_is_refused(isocenter: Isocenter, tmp_path: Path) -> None:
    content = _bytes(_slice(), tmp_path)
    pixels = content.index(struct.pack("<HH", 0x7FE0, 0x0010))
    lying = content[: pixels + 8] + struct.pack("<I", 0xFFFFFFFE) + content[pixels + 12 :]
    assert _stow(isocenter, lying).status_code == 409


def test_an_unknown_character_set_is_stored_and_found(isocenter: Isocenter, tmp_path: Path) -> None:
    instance = _slice()
    content = _bytes(instance, tmp_path)
    head = content.index(struct.pack("<HH", 0x0008, 0x0008))
    charset = struct.pack("<HH2sH", 0x0008, 0x0005, b"CS", 10) + b"ISO_IR 999"
    answer = _stow(isocenter, content[:head] + charset + content[head:])
    assert answer.status_code == 200, answer.text
    metadata = isocenter.get(f"/studies/{instance.StudyInstanceUID}/metadata")
    assert json.loads(metadata)[0]["00100020"]["Value"] == ["BAD"]


def test_a_data_set_that_contradicts_the_command_is_refused(
    isocenter: Isocenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So pynetdicom announces what the File Meta Information says, and sends the file as it is.
    monkeypatch.setattr("pynetdicom._config.STORE_SEND_CHUNKED_DATASET", True)
    instance = _slice()
    instance.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    path = tmp_path / "contradicting.dcm"
    path.write_bytes(_bytes(instance, tmp_path))
    ae = AE("LIAR")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    association = ae.associate(isocenter.host, isocenter.dicom_port, ae_title=isocenter.ae_title)
    assert association.is_established
    assert association.send_c_store(path).Status & 0xFF00 == 0xA900
    assert association.send_c_store(instance).Status == 0x0000
    association.release()


def test_a_data_set_of_another_study_than_its_address_is_refused(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    answer = _stow(isocenter, _bytes(_slice(), tmp_path), path=f"/studies/{generate_uid()}")
    assert answer.status_code == 409
    (failed,) = answer.json()["00081198"]["Value"]
    assert failed["00081197"]["Value"] == [0xC000]


def test_a_part_that_is_not_dicom_fails_alone(isocenter: Isocenter, tmp_path: Path) -> None:
    answer = _stow(isocenter, b"hello", _bytes(_slice(), tmp_path))
    assert answer.status_code == 202, answer.text
    assert len(answer.json()["00081199"]["Value"]) == 1
    # Nothing names this one: it is in the Other Failures Sequence (PS3.18 table I.2-1).
    assert len(answer.json()["0008119A"]["Value"]) == 1


def test_a_request_that_breaks_off_keeps_nothing(isocenter: Isocenter, tmp_path: Path) -> None:
    instance = _slice()
    content = _bytes(instance, tmp_path)
    part = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + content
    head = (
        f"POST /dicomweb/studies HTTP/1.1\r\nHost: {isocenter.host}\r\n"
        'Content-Type: multipart/related; type="application/dicom"; boundary=b\r\n'
        f"Content-Length: {len(part) + 9}\r\n\r\n"
    )
    with socket.create_connection((isocenter.host, isocenter.http_port), timeout=20) as peer:
        peer.sendall(head.encode() + part[: len(part) - len(content) // 2])
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(65536):
            pass
    assert isocenter.search(f"/studies/{instance.StudyInstanceUID}/instances") == []
    assert _stow(isocenter, content).status_code == 200
    wait_until(lambda: isocenter.search(f"/studies/{instance.StudyInstanceUID}/instances"))


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("text/plain", 415),
        ("multipart/related", 415),
        ('multipart/related; type="application/dicom"', 400),
        ('multipart/related; type="application/dicom"; boundary=other', 400),
    ],
)
def test_wrong_media_types_and_boundaries_are_named(
    isocenter: Isocenter, tmp_path: Path, content_type: str, status: int
) -> None:
    answer = _stow(isocenter, _bytes(_slice(), tmp_path), content_type=content_type)
    assert answer.status_code in {status, 400}, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json()["title"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/studies/not-a-uid/metadata", 400),
        ("/studies/1.2.3/series/x/instances/1.2/frames/1", 400),
        ("/studies/1.2.3/metadata", 404),
        ("/studies?limit=-1", 400),
        ("/studies?limit=many", 400),
        ("/studies?NoSuchAttribute=1", 400),
        ("/studies?StudyDate=yesterday", 400),
        ("/nowhere", 404),
    ],
)
def test_malformed_addresses_and_parameters_are_named(
    isocenter: Isocenter, path: str, status: int
) -> None:
    answer = httpx.get(f"{isocenter.dicomweb}{path}", timeout=30)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_a_sequence_of_a_private_kind_comes_back_as_it_came(
    isocenter: Isocenter, tmp_path: Path
) -> None:
    instance = _slice()
    block = instance.private_block(0x0029, "ISOCENTER TEST", create=True)
    inner = Dataset()
    inner.add_new(0x00291010, "UN", b"odd")
    block.add_new(0x10, "SQ", Sequence([inner]))
    content = _bytes(instance, tmp_path)
    assert _stow(isocenter, content).status_code == 200
    address = (
        f"/studies/{instance.StudyInstanceUID}/series/{instance.SeriesInstanceUID}"
        f"/instances/{instance.SOPInstanceUID}"
    )
    got = isocenter.get(address, accept="application/dicom; transfer-syntax=*")
    start = content.index(struct.pack("<HH", 0x0008, 0x0008))
    assert got.endswith(content[start:])
