"""What unchanged clients say to a DICOM port, as bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, build_role, evt

from fuzz.dimse_streams import COMMITMENT
from fuzz.instances import NAME
from support.dimse_peers import CT, FIND, GET, VERIFICATION
from support.live_gateway import dcmtk, in_thread

_WELL_KNOWN = "1.2.840.10008.1.20.1.1"  # the SOP Instance of Storage Commitment (PS3.4 J.3.5)


@asynccontextmanager
async def _between(host: str, number: int) -> AsyncIterator[tuple[int, list[bytearray]]]:
    """A port before another one, and what clients said through it."""
    said: list[bytearray] = []

    async def copy(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray
    ) -> None:
        while part := await reader.read(1 << 16):
            kept += part
            writer.write(part)
        writer.write_eof()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said.append(bytearray())
        far_reader, far_writer = await asyncio.open_connection(host, number)
        with closing(writer), closing(far_writer):
            await asyncio.gather(
                copy(reader, far_writer, said[-1]), copy(far_reader, writer, bytearray())
            )

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], said


async def record(host: str, number: int, file: Path) -> list[bytes]:
    """The conversations of dcmtk's tools and of pynetdicom about a file, which is stored."""
    study = str(dcmread(file, stop_before_pixels=True).StudyInstanceUID)
    async with _between(host, number) as (port, said):
        at = ("-aet", "FUZZER", "-aec", "ISOCENTER", "127.0.0.1", port)
        keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}")
        for tool, *more in (
            ("echoscu",), ("storescu", file), ("findscu", "-S", *keys, "-k", f"PatientName={NAME}"),
            ("movescu", "-S", "-aem", "NOWHERE", *keys),
            ("getscu", "-S", "-od", file.parent, *keys),
        ):  # fmt: skip
            await dcmtk(tool, *at, *more)
        await in_thread(lambda: _with_pynetdicom(port, file))
    assert all(said)
    assert len(said) == 6
    return [bytes(one) for one in said]


def _with_pynetdicom(port: int, file: Path) -> None:
    """One association with every service."""
    ae = AE("FUZZER")
    for uid in (VERIFICATION, CT, FIND, GET, COMMITMENT):
        ae.add_requested_context(uid, ImplicitVRLittleEndian)
    association = ae.associate(
        "127.0.0.1",
        port,
        ae_title="ISOCENTER",
        ext_neg=[build_role(CT, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, lambda _: 0)],
    )
    assert association.is_established
    instance = dcmread(file)
    query, action, item = Dataset(), Dataset(), Dataset()
    query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", instance.StudyInstanceUID
    item.ReferencedSOPClassUID = instance.SOPClassUID
    item.ReferencedSOPInstanceUID = instance.SOPInstanceUID
    action.TransactionUID, action.ReferencedSOPSequence = instance.SeriesInstanceUID, [item]
    services: tuple[Callable[[], object], ...] = (
        association.send_c_echo,
        lambda: list(association.send_c_find(query, FIND)),
        lambda: list(association.send_c_get(query, GET)),
        lambda: association.send_n_action(action, 1, COMMITMENT, _WELL_KNOWN),
    )
    for service in services:
        assert service()
    association.release()
