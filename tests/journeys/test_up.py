"""`isocenter up` from its start to its end: signals drain it, data stay, and one at a time."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage

from support.files import Series, find_instances, write_series
from support.harness import Isocenter, running, wait_until


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Isocenter]:
    """One of its own, that a test may end and start again."""
    settings = {"process.workers": 1, "process.drain_seconds": 20}
    with running(tmp_path / "data", settings=settings) as isocenter:
        yield isocenter


def end(isocenter: Isocenter, number: signal.Signals) -> str:
    """Send the signal to `up` alone; what it wrote, once it has ended with exit code 0."""
    children = isocenter.pids()[1:]
    process = isocenter.processes.pop("up")
    process.send_signal(number)
    told = isocenter.log.read_text
    assert process.wait(60) == 0, told()
    assert not any(Path(f"/proc/{pid}").exists() for pid in children), "a child outlived `up`"
    return told()


def another_up(isocenter: Isocenter, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A second `isocenter up` on the same data directory, until it ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "isocenter", "up", "--data", isocenter.data, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def send(isocenter: Isocenter, series: Series) -> None:
    """Store a series with our own sender and wait until it is findable."""
    to = f"dicom://{isocenter.ae_title}@{isocenter.host}:{isocenter.dicom_port}"
    subprocess.run(
        [sys.executable, "-m", "isocenter", "send", series.folder, "--to", to],
        check=True,
        capture_output=True,
    )
    wait_until(lambda: len(find_instances(isocenter, series.study)) == series.count)


def test_ctrl_c_ends_it_cleanly_and_the_next_start_has_the_data(
    installation: Isocenter, tmp_path: Path
) -> None:
    series = write_series(tmp_path / "sent", count=5)
    send(installation, series)
    told = end(installation, signal.SIGINT)
    assert "Isocenter is up." in told
    assert told.rstrip().endswith("stopped; everything acknowledged is kept")
    assert "Traceback" not in told
    installation.start()
    assert sorted(find_instances(installation, series.study)) == sorted(series.files)


def test_a_second_one_on_the_same_directory_is_refused_and_the_first_goes_on(
    installation: Isocenter,
) -> None:
    second = another_up(installation, "--set", "gateway.port=0", "--set", "web.port=0")
    assert second.returncode == 1
    told = " ".join(second.stderr.split())
    assert "is being served already" in told
    assert "name another directory with --data" in told
    assert "Traceback" not in second.stderr
    assert installation.search("/studies") == []


def test_log_lines_of_a_person_begin_with_time_level_and_the_short_name_of_the_process(
    installation: Isocenter,
) -> None:
    lines = installation.log.read_text().splitlines()
    started = [line for line in lines if "started (roles=" in line]
    assert {line.split()[2] for line in started} == {"requests-1", "consumers"}
    assert len(started) == 2
    assert any("(roles=gateway web " in line for line in started)


def test_ctrl_c_waits_for_work_under_way_and_a_second_one_does_not(
    installation: Isocenter,
) -> None:
    boundary = 'multipart/related; type="application/dicom"; boundary=b'
    with socket.create_connection((installation.host, installation.http_port)) as upload:
        upload.sendall(
            b"POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
            + f"Content-Type: {boundary}\r\n\r\n--b\r\n".encode()
        )
        wait_until(lambda: established(upload.getsockname()[1]), what="the upload is accepted")
        time.sleep(0.2)  # and its head is read
        process = installation.processes["up"]
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "Ctrl-C again stops at once" in installation.log.read_text())
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        began = time.monotonic()
        told = end(installation, signal.SIGINT)
        assert time.monotonic() - began < 6, told
    assert told.rstrip().endswith("stopped; everything acknowledged is kept")
    assert "Traceback" not in told


def established(client_port: int) -> bool:
    """Whether a server of this machine has read what came from this port."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, state, queues, *_ = line.split()
        if remote.endswith(f":{client_port:04X}") and state == "01":
            return queues.endswith(":00000000")
    return False


def test_log_lines_of_a_collector_are_json_and_nothing_else(tmp_path: Path) -> None:
    settings = {"process.workers": 1, "log.format": "json"}
    with running(tmp_path / "data", settings=settings) as isocenter:
        told = end(isocenter, signal.SIGINT)
    entries = [json.loads(line) for line in told.splitlines()]
    messages = [
        entry["message"] for entry in entries if entry["logger"].endswith(("up", "lifecycle"))
    ]
    assert sorted(messages) == sorted(
        ["started", "stopping", "stopped"] * 2
        + ["up", "nobody can sign in yet", "stopping", "stopped"]
    )
    (told_how,) = [entry["fix"] for entry in entries if "sign in" in entry["message"]]
    assert told_how == "isocenter account add admin --role administrator"
    assert "/invitation/" not in told


class Sender(threading.Thread):
    """Stores files one after another and remembers which were acknowledged."""

    def __init__(self, isocenter: Isocenter, series: Series) -> None:
        super().__init__(daemon=True)
        self.isocenter = isocenter
        self.files = series.files
        self.acknowledged: set[str] = set()

    def run(self) -> None:
        ae = AE("SENDER")
        ae.dimse_timeout = ae.network_timeout = 10
        ae.add_requested_context(CTImageStorage, pydicom.uid.ExplicitVRLittleEndian)
        association = ae.associate(
            self.isocenter.host, self.isocenter.dicom_port, ae_title=self.isocenter.ae_title
        )
        for uid, path in self.files.items():
            if not association.is_established:
                return
            try:
                status = association.send_c_store(path)
            except RuntimeError:
                return  # the association ended since
            if status.get("Status") == 0:
                self.acknowledged.add(uid)
        association.release()


def test_sigterm_in_the_middle_of_storing_keeps_what_was_acknowledged(
    installation: Isocenter, tmp_path: Path
) -> None:
    series = write_series(tmp_path / "sent", count=400, rows=128)
    sender = Sender(installation, series)
    sender.start()
    wait_until(lambda: len(sender.acknowledged) >= 20, what="storing is under way")
    end(installation, signal.SIGTERM)
    sender.join(30)
    assert not sender.is_alive()
    installation.start()
    wait_until(
        lambda: sender.acknowledged <= set(find_instances(installation, series.study)),
        what="all acknowledged instances are findable",
    )
    assert set(find_instances(installation, series.study)) <= set(series.files)
