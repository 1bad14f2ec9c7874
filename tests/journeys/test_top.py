"""What an installation counts of its work, by whom it is for, and what `isocenter top` shows."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.clients import dcmtk
from support.files import count_instances, write_series
from support.harness import Isocenter, running, wait_until
from support.monitors import refusal
from support.ports import free_ports
from support.senders import DimseSender

COUNT = 6
PROCESSES = 3  # two for requests, one of consumers


@contextmanager
def monitored(data: Path, **more: object) -> Iterator[tuple[Isocenter, int]]:
    """An installation with a monitor, and the monitor's port."""
    (port,) = free_ports(1)
    known = [{"title": title, "host": "127.0.0.1"} for title in ("CT1", "STATION")]
    settings = {"monitor.port": port, "gateway.known_aes": known, **more}
    with running(data, settings=settings) as isocenter:
        wait_until(lambda: all_ready(port), 60, "all processes are ready, not only the first")
        yield isocenter, port


def all_ready(port: int) -> bool:
    return total(port, "isocenter_process_ready") == PROCESSES


def values(port: int, name: str, **labels: str) -> list[float]:
    """The samples with these labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    return [
        one.value for one in samples if one.name == name and labels.items() <= one.labels.items()
    ]


def total(port: int, name: str, **labels: str) -> float:
    """Their sum."""
    return sum(values(port, name, **labels))


def top(port: int, *arguments: str) -> str:
    command = [sys.executable, "-m", "isocenter", "top", f"http://127.0.0.1:{port}", "--once"]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_comes_and_goes_is_counted_for_whom_it_is(tmp_path: Path) -> None:
    with monitored(tmp_path / "data") as (isocenter, port):
        series = write_series(tmp_path / "sent", count=COUNT)
        stored = dcmtk("storescu", isocenter, "+sd", series.folder, calling="CT1")
        assert stored.code == 0, stored.text
        wait_until(lambda: count_instances(isocenter, series.study) == COUNT, what="findable")
        kept = sum(len(one) for one in isocenter.objects.contents(series.study).values())
        from_ct = {"protocol": "DIMSE", "ae": "CT1"}
        assert total(port, "isocenter_store_instances_total", **from_ct, outcome="ok") == COUNT
        assert total(port, "isocenter_store_bytes_total", **from_ct) == kept
        assert total(port, "isocenter_associations_total", ae="CT1", outcome="accepted") == 1

        (tmp_path / "got").mkdir()
        keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={series.study}")
        got = dcmtk("getscu", isocenter, "-S", "-od", tmp_path / "got", *keys, calling="STATION")
        assert got.code == 0, got.text
        isocenter.get(f"/studies/{series.study}", 'multipart/related; type="application/dicom"')
        for whom in ({"protocol": "DIMSE", "ae": "STATION"}, {"protocol": "DICOMweb", "ae": ""}):
            assert total(port, "isocenter_retrieve_instances_total", **whom) == COUNT
            assert total(port, "isocenter_retrieve_bytes_total", **whom) == kept

        assert dcmtk("echoscu", isocenter, calling="STRANGER").code == 0
        unknown = {"ae": "unknown", "outcome": "accepted"}
        assert total(port, "isocenter_associations_total", **unknown) == 1
        assert total(port, "isocenter_cache_lookups_total", cache="entries") > 0
        free = total(port, "isocenter_disk_free_bytes", process="consumers")
        assert 0 < free < total(port, "isocenter_disk_size_bytes", process="consumers")

        # What the archive holds is looked at when a process starts.
        isocenter.stop()
        isocenter.start()
        wait_until(lambda: total(port, "isocenter_archive_instances") == COUNT, what="totals")
        assert total(port, "isocenter_archive_studies") == 1
        assert total(port, "isocenter_archive_bytes") == kept


def test_top_shows_what_is_going_on(tmp_path: Path) -> None:
    with monitored(tmp_path / "data") as (isocenter, port):
        indexing = {"group": "indexing", "topic": "isocenter.instances"}
        wait_until(lambda: values(port, "isocenter_log_lag", **indexing), what="the lag is known")
        series = write_series(tmp_path / "sent", count=400)
        sender = DimseSender(isocenter, [series], pause=0.02)
        sender.start()
        wait_until(lambda: len(sender.acknowledged) > 5, what="storing is under way")
        told = top(port, "--every", "3")
        sender.stop()
        assert sender.pending, "it stored to the end, and so perhaps not while `top` looked"

        def line(pattern: str) -> re.Match[str]:
            found = re.search(f"^{pattern}", told, re.MULTILINE)
            assert found, told
            return found

        line("processes +3 of 3 ready")
        rates = line(r"SENDER +([0-9.]+) +([0-9.]+) +0\.0")
        assert 0 < float(rates[1]) <= 50  # its pauses allow for no more
        assert float(rates[2]) > 0
        line(r"C-STORE +[0-9.]+ +[0-9.]+ m?s +[0-9.]+ m?s +0\.0")
        line(r"lag of indexing +[0-9]+ \(isocenter\.instances\)")
        line(r"p95 to findable +[0-9.]+ m?s")


def test_a_process_that_hangs_makes_the_family_not_ready_and_top_names_it(tmp_path: Path) -> None:
    with monitored(tmp_path / "data") as (isocenter, port):
        (hung,) = [pid for pid in isocenter.pids() if "consumers.sock" in command_of(pid)]
        os.kill(hung, signal.SIGSTOP)
        try:
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=30)
            assert refused.value.code == 503
            assert json.load(refused.value)["problems"] == ["consumers: does not answer"]
            told = " ".join(top(port, "--every", "0.2").split())
            assert "consumers: does not answer" in told
            assert "2 of 2 ready" in told
        finally:
            os.kill(hung, signal.SIGCONT)
        wait_until(lambda: all_ready(port), what="all ready again")
        os.kill(hung, signal.SIGKILL)
        wait_until(lambda: refusal(port), what="not ready while one is started again")
        wait_until(lambda: all_ready(port), what="the one that was started again is ready")


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_while_its_processes_drain_the_supervisor_is_not_ready(tmp_path: Path) -> None:
    with monitored(tmp_path / "data", **{"process.drain_seconds": 15}) as (isocenter, port):
        with uploading(isocenter):  # a drain waits for it
            isocenter.processes["up"].send_signal(signal.SIGTERM)
            told = wait_until(lambda: refusal(port), 10, "not ready")
            assert "it is stopping" in told or "does not answer" in told
        assert isocenter.processes.pop("up").wait(30) == 0


@contextmanager
def uploading(isocenter: Isocenter) -> Iterator[None]:
    """A request under way."""
    boundary = 'multipart/related; type="application/dicom"; boundary=b'
    with socket.create_connection((isocenter.host, isocenter.http_port)) as upload:
        upload.sendall(
            b"POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
            + f"Content-Type: {boundary}\r\n\r\n--b\r\n".encode()
        )
        yield
