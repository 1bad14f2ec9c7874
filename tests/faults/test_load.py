"""Many associations at once, most of them silent: who calls meanwhile is answered, storing goes on,
and nobody is dropped. How fast that is, the benchmarks tell."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

import pytest

from isocenter.dimse.messages import decode_command
from support.clients import dcmtk
from support.dimse_peers import RawPeer, associate_rq, echo_command, p_data, pdv
from support.files import count_instances, write_series
from support.harness import Isocenter, running, wait_until

SLICES = 100
SILENT = 200
ECHO = p_data(pdv(1, 3, echo_command()))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


async def opened(installation: Isocenter) -> RawPeer:
    """An association."""
    peer = RawPeer(*await asyncio.open_connection(installation.host, installation.dicom_port))
    peer.send(associate_rq())
    kind, body = await peer.receive()
    assert kind == 2, body
    return peer


async def echoed(peer: RawPeer) -> None:
    """C-ECHO on an association that is open."""
    peer.send(ECHO)
    kind, body = await peer.receive()
    assert (kind, decode_command(body[6:]).status) == (4, 0)


@pytest.mark.parametrize(("processes", "count"), [(1, 500), (2, 5000)])
async def test_associations_that_are_held_delay_nobody_and_are_not_dropped(
    tmp_path: Path, processes: int, count: int
) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    settings = {
        "process.workers": processes,
        "gateway.unknown_max_associations": 4000,
    }
    series = write_series(tmp_path / "sent", SLICES)
    with running(tmp_path / "data", settings=settings) as installation:
        peers = [await opened(installation) for _ in range(count)]
        arguments = ("+sd", str(series.folder))
        storing = asyncio.create_task(
            asyncio.to_thread(dcmtk, "storescu", installation, *arguments)
        )
        talking = peers[SILENT:]
        while not storing.done():
            caller = await asyncio.to_thread(dcmtk, "echoscu", installation)
            assert caller.code == 0, caller
            for peer in talking[:50]:
                await echoed(peer)
            talking = talking[50:] + talking[:50]
        stored = await storing
        assert stored.code == 0, stored
        for peer in peers:
            await echoed(peer)
        for peer in peers:
            peer.close()
        wait_until(lambda: count_instances(installation, series.study) == SLICES, 60, "found")
