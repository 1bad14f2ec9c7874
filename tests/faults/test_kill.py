"""Acknowledged means kept: SIGKILL at random moments in the middle of stores, then counting."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections import Counter
from pathlib import Path

import httpx
import pydicom
import pytest
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage

from support.files import Series, data_set_bytes, find_instances, write_series
from support.harness import Isocenter, wait_until

KILLS = 25  # over each of the two protocols
SERIES = 6
SLICES = 40


class Sender(threading.Thread):
    """Stores slices over and over until told to stop, and remembers what was acknowledged."""

    def __init__(self, isocenter: Isocenter, series: list[Series]) -> None:
        super().__init__(daemon=True)
        self.isocenter = isocenter
        self.acknowledged: dict[str, Path] = {}
        self.attempts = 0
        self.pending = [item for one in series for item in one.files.items()]
        self.stopping = threading.Event()

    def run(self) -> None:
        while self.pending and not self.stopping.is_set():
            try:
                self.send_some()
            except (OSError, RuntimeError, httpx.HTTPError):
                self.stopping.wait(0.05)  # the server was killed: connect again

    def send_some(self) -> None:
        """Send until the connection breaks."""
        raise NotImplementedError

    def accepted(self, item: tuple[str, Path]) -> None:
        """Remember an acknowledgement."""
        self.acknowledged[item[0]] = item[1]
        self.pending.remove(item)


class DimseSender(Sender):
    """pynetdicom's C-STORE."""

    def send_some(self) -> None:
        ae = AE("KILLER")
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = 10
        ae.add_requested_context(CTImageStorage, pydicom.uid.ExplicitVRLittleEndian)
        association = ae.associate(
            self.isocenter.host, self.isocenter.dicom_port, ae_title=self.isocenter.ae_title
        )
        if not association.is_established:
            raise ConnectionError
        for item in list(self.pending):
            if self.stopping.is_set():
                break
            self.attempts += 1
            status = association.send_c_store(item[1])
            if "Status" not in status:
                raise ConnectionError
            if status.Status == 0:
                self.accepted(item)
        association.release()


class StowSender(Sender):
    """One instance a request."""

    def send_some(self) -> None:
        with httpx.Client(timeout=10) as client:
            for item in list(self.pending):
                if self.stopping.is_set():
                    return
                self.attempts += 1
                body = (
                    b"--b\r\nContent-Type: application/dicom\r\n\r\n"
                    + item[1].read_bytes()
                    + b"\r\n--b--\r\n"
                )
                answer = client.post(
                    f"{self.isocenter.dicomweb}/studies",
                    content=body,
                    headers={
                        "Content-Type": 'multipart/related; type="application/dicom"; boundary=b',
                        "Accept": "application/dicom+json",
                    },
                )
                if answer.status_code == 200:
                    self.accepted(item)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("sender_type", [DimseSender, StowSender])
def test_nothing_acknowledged_is_lost_by_kills_in_the_middle_of_stores(
    tmp_path: Path, sender_type: type[Sender]
) -> None:
    rounds = random.Random(20260102)
    isocenter = Isocenter(tmp_path / "data", settings={"process.workers": 1})
    acknowledged: dict[str, Path] = {}
    all_series: list[Series] = []
    kills_during_work = 0
    try:
        for number in range(KILLS):
            isocenter.start()
            series = [
                write_series(tmp_path / f"sent{number}-{one}", SLICES, rows=64)
                for one in range(SERIES)
            ]
            all_series += series
            sender = sender_type(isocenter, series)
            sender.start()
            wait_until(lambda sender=sender: sender.attempts > 0, 20, "storing began")
            sender.stopping.wait(rounds.uniform(0.01, 0.6))
            kills_during_work += bool(sender.pending)
            isocenter.kill()
            sender.stopping.set()
            sender.join(30)
            assert not sender.is_alive()
            acknowledged |= sender.acknowledged
        isocenter.start()
        _check(isocenter, all_series, acknowledged)
    finally:
        isocenter.kill()
    assert kills_during_work >= KILLS // 2
    assert len(acknowledged) > KILLS


def _check(isocenter: Isocenter, series: list[Series], acknowledged: dict[str, Path]) -> None:
    sent = {uid: path for one in series for uid, path in one.files.items()}
    kept: dict[str, str] = {}
    for one in series:
        wanted = acknowledged.keys() & one.files.keys()
        found = wait_until(
            lambda one=one, wanted=wanted: (
                wanted <= set(it := find_instances(isocenter, one.study)) and (it or True)
            ),
            60,
            "everything acknowledged is findable",
        )
        found = found if isinstance(found, list) else []
        assert max(Counter(found).values(), default=1) == 1, "an instance is answered twice"
        for uid in found:
            kept[uid] = f"/studies/{one.study}/series/{one.series}/instances/{uid}"
        _check_counts(isocenter, one, set(found), acknowledged)
    for uid, address in kept.items():
        body = isocenter.get(address, accept="application/dicom; transfer-syntax=*")
        digest = hashlib.sha256(body[-len(data_set_bytes(sent[uid])) :]).hexdigest()
        assert digest == hashlib.sha256(data_set_bytes(sent[uid])).hexdigest()
    objects = list((isocenter.data / "blobs" / "objects").rglob("*.dcm"))
    assert len(objects) >= len(acknowledged)
    for path in objects:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.name.endswith(f"{digest}.dcm"), "something half-written is visible"


def _check_counts(
    isocenter: Isocenter, series: Series, found: set[str], acknowledged: dict[str, Path]
) -> None:
    studies = isocenter.search(f"/studies?StudyInstanceUID={series.study}")
    counts = [study["00201208"]["Value"][0] for study in studies]
    assert counts == ([len(found)] if found else [])
    if found:
        metadata = json.loads(isocenter.get(f"/studies/{series.study}/metadata"))
        kept = [one["00080018"]["Value"][0] for one in metadata]
        assert len(kept) == len(set(kept))
        assert set(kept) >= found
        # Durable, but killed before it was announced: whole, and never acknowledged.
        assert not (set(kept) - found) & acknowledged.keys()
