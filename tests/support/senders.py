"""Clients that store without pause while something is broken, and what they were promised."""

from __future__ import annotations

import hashlib
import json
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import httpx
import pydicom
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage

from support.files import Series, data_set_bytes, find_instances
from support.harness import Reached, wait_until

PATIENCE = 10  # seconds a client waits for an answer
PAUSE = 0.05  # seconds before it connects again


class Sender(threading.Thread, ABC):
    """Stores instances until all are acknowledged, however often it takes, or it is told to stop;
    remembers what was acknowledged."""

    def __init__(self, isocenter: Reached, series: Iterable[Series], *, pause: float = 0) -> None:
        """`pause`: seconds between two instances."""
        super().__init__(daemon=True)
        self.pause = pause
        self.isocenter = isocenter
        self.acknowledged: dict[str, Path] = {}
        self.refused = Counter[int]()
        self.attempts = 0
        self.pending = [item for one in series for item in one.files.items()]
        self.stopping = threading.Event()

    def run(self) -> None:
        while self.pending and not self.stopping.is_set():
            try:
                self.send_some()
            except (OSError, RuntimeError, httpx.HTTPError):
                self.stopping.wait(PAUSE)  # the server was killed: connect again

    @abstractmethod
    def send_some(self) -> None:
        """Send until the connection breaks."""

    def answered(self, item: tuple[str, Path], status: int, success: int) -> None:
        """Remember an answer."""
        if status == success:
            self.acknowledged[item[0]] = item[1]
            self.pending.remove(item)
            self.stopping.wait(self.pause)
        else:
            self.refused[status] += 1
            self.stopping.wait(PAUSE)

    def stop(self) -> None:
        """End after the instance in hand."""
        self.stopping.set()
        self.join(60)
        assert not self.is_alive()


class DimseSender(Sender):
    """pynetdicom's C-STORE, to the first gateway or another one."""

    def __init__(
        self,
        isocenter: Reached,
        series: Iterable[Series],
        port: int = 0,
        *,
        pause: float = 0,
    ) -> None:
        super().__init__(isocenter, series, pause=pause)
        self.port = port or isocenter.dicom_port

    def send_some(self) -> None:
        """On one association."""
        ae = AE("SENDER")
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = PATIENCE
        ae.add_requested_context(CTImageStorage, pydicom.uid.ExplicitVRLittleEndian)
        association = ae.associate(self.isocenter.host, self.port, ae_title=self.isocenter.ae_title)
        if not association.is_established:
            raise ConnectionError
        try:
            for item in list(self.pending):
                if self.stopping.is_set():
                    break
                self.attempts += 1
                status = association.send_c_store(item[1])
                if "Status" not in status:
                    raise ConnectionError
                self.answered(item, status.Status, 0x0000)
        finally:
            association.release()


class StowSender(Sender):
    """One instance a request."""

    def send_some(self) -> None:
        """On one connection."""
        headers = {**STOW_HEADERS, **self.isocenter.credentials}
        with httpx.Client(timeout=PATIENCE, headers=headers) as client:
            for item in list(self.pending):
                if self.stopping.is_set():
                    return
                self.attempts += 1
                answer = client.post(
                    f"{self.isocenter.dicomweb}/studies",
                    content=stow_body(item[1]),
                )
                self.answered(item, answer.status_code, 200)


STOW_HEADERS = {
    "Content-Type": 'multipart/related; type="application/dicom"; boundary=b',
    "Accept": "application/dicom+json",
}


def stow_body(path: Path) -> bytes:
    """One file as a STOW-RS body."""
    start = b"--b\r\nContent-Type: application/dicom\r\n\r\n"
    return start + path.read_bytes() + b"\r\n--b--\r\n"


def check_kept(
    isocenter: Reached,
    series: Sequence[Series],
    acknowledged: Mapping[str, Path],
    *,
    seconds: float = 60,
) -> None:
    """Everything acknowledged is there once, byte for byte, findable, in exact counts; whatever
    else was sent is there whole or not at all."""
    sent = {uid: path for one in series for uid, path in one.files.items()}
    kept: dict[str, str] = {}
    for one in series:
        found = _findable(isocenter, one, acknowledged, seconds)
        for uid in found:
            kept[uid] = f"/studies/{one.study}/series/{one.series}/instances/{uid}"
        _check_metadata(isocenter, one, found, acknowledged)
    for uid, address in kept.items():
        body = isocenter.get(address, accept="application/dicom; transfer-syntax=*")
        assert body.endswith(data_set_bytes(sent[uid])), f"{uid} came back changed"
    objects = isocenter.objects.contents()
    assert len(objects) >= len(acknowledged)
    for key, content in objects.items():
        digest = hashlib.sha256(content).hexdigest()
        assert key.endswith(f"/{digest}.dcm"), "something half-written is visible"


def _findable(
    isocenter: Reached, one: Series, acknowledged: Mapping[str, Path], seconds: float
) -> set[str]:
    """What is found of a series, as often as it is counted. What nobody acknowledged may still be
    announced by the sweep meanwhile."""
    wanted = acknowledged.keys() & one.files.keys()
    seen: dict[str, object] = {}

    def settled() -> bool:
        found = find_instances(isocenter, one.study)
        assert max(Counter(found).values(), default=1) == 1, "an instance is answered twice"
        studies = isocenter.search(f"/studies?StudyInstanceUID={one.study}")
        counts = [study["00201208"]["Value"][0] for study in studies]
        seen.update(found=found, counts=counts)
        return wanted <= set(found) and counts == ([len(found)] if found else [])

    try:
        wait_until(settled, seconds)
    except AssertionError as error:
        found, counts = seen.get("found", []), seen.get("counts")
        missing = wanted - set(found)  # type: ignore[call-overload]
        raise AssertionError(
            f"{len(missing)} of {len(wanted)} acknowledged instances are missing; "
            f"{len(found)} found, {counts} counted"  # type: ignore[arg-type]
        ) from error
    return set(seen["found"])  # type: ignore[call-overload]


def _check_metadata(
    isocenter: Reached, series: Series, found: set[str], acknowledged: Mapping[str, Path]
) -> None:
    if found:
        metadata = json.loads(isocenter.get(f"/studies/{series.study}/metadata"))
        kept = [one["00080018"]["Value"][0] for one in metadata]
        assert len(kept) == len(set(kept))
        assert set(kept) >= found
        # Durable, but killed before it was announced: whole, and never acknowledged.
        assert not (set(kept) - found) & acknowledged.keys()
