"""Clients that read or send little and stop, and clients that vanish: memory stays bounded whatever
the size of what they asked for, and nothing of them is left behind.

Both shapes have their embedded parts here: the bound is of our processes.
"""

from __future__ import annotations

import array
import fcntl
import io
import socket
import struct
import termios
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import RLELossless

from support.datasets import ct_image
from support.footprint import PARTS, left_open, memory, store
from support.harness import Isocenter, running, wait_until

MIB = 1024 * 1024
CLIENTS = 8
BOUND = 32 * MIB  # for each request, in a process
READ = 64 * 1024  # bytes, after which a client stops
EDGE = 1448  # pixels: a frame of 4 MiB
IMAGES, FRAMES, COMPRESSED = 48, 48, 24
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PATIENCE = 150  # seconds: other tests may be at work beside these
STILL = 12  # looks in a row that see no change


@dataclass(frozen=True)
class Held:
    """What the installation keeps, as addresses."""

    study: str  # of 192 MiB in images of 4 MiB
    compressed: str  # of 96 MiB when it is decoded, and little as it is kept
    frames: str  # an instance of 192 MiB in frames of 4 MiB


@pytest.fixture(scope="module", params=["up", "split"])
def isocenter(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Isocenter]:
    """An installation of its own, for its memory is looked at."""
    data = tmp_path_factory.mktemp(f"slow-{request.param}") / "data"
    with running(data, request.param, {"process.workers": 1}) as installation:
        yield installation


@pytest.fixture(scope="module")
def held(isocenter: Isocenter) -> Held:
    """Large studies, each read once: what is needed for any answer is in memory."""
    image, frames = ct_image(EDGE, EDGE), ct_image(EDGE, EDGE)
    frames.NumberOfFrames = FRAMES
    frames.PixelData = image.PixelData * FRAMES
    compressed = ct_image(EDGE, EDGE)
    compressed.PixelData = encapsulate([RLELosslessEncoder.encode(compressed, index=0)])
    compressed.file_meta.TransferSyntaxUID = RLELossless
    compressed["PixelData"].VR = "OB"
    for template, count in ((image, IMAGES), (compressed, COMPRESSED), (frames, 1)):
        store(isocenter, template, count)
    found = Held(
        f"/studies/{image.StudyInstanceUID}",
        f"/studies/{compressed.StudyInstanceUID}",
        f"/studies/{frames.StudyInstanceUID}/series/{frames.SeriesInstanceUID}"
        f"/instances/{frames.SOPInstanceUID}",
    )
    for path in (found.study, found.compressed, found.frames):
        wait_until(lambda path=path: isocenter.get(path + "/metadata"), what="metadata")
        with httpx.stream("GET", isocenter.dicomweb + path, timeout=60) as answer:
            assert sum(map(len, answer.iter_raw())) > COMPRESSED * EDGE * EDGE * 2
    return found


class Quiet:
    """Whether numbers have stopped changing, and the most memory of each process meanwhile."""

    def __init__(self, isocenter: Isocenter, look: Callable[[], object]) -> None:
        self.most = Counter[str]()
        self._isocenter = isocenter
        self._look = look
        self._last: object = None
        self._same = 0

    def __call__(self) -> bool:
        self.most |= memory(self._isocenter)
        seen = self._look()
        self._same = self._same + 1 if seen == self._last else 0
        self._last = seen
        return self._same >= STILL


def waiting(peer: socket.socket) -> int:
    """Bytes that have arrived and were not read."""
    count = array.array("i", [0])
    fcntl.ioctl(peer, termios.FIONREAD, count)
    return count[0]


def connect(isocenter: Isocenter) -> socket.socket:
    """A connection that takes little at a time."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ)
    peer.settimeout(PATIENCE)
    peer.connect((isocenter.host, isocenter.http_port))
    return peer


def vanish(peers: list[socket.socket]) -> None:
    """Half of them close, half of them reset their connections."""
    for number, peer in enumerate(peers):
        if number % 2:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()


ALL_FRAMES = ",".join(str(number) for number in range(1, FRAMES + 1))
READS: Mapping[str, tuple[Callable[[Held], str], str]] = {
    "objects": (lambda held: held.study, f"{PARTS}; transfer-syntax=*"),
    "transcoded": (lambda held: held.compressed, PARTS),
    "zip": (lambda held: held.study, "application/zip"),
    "bulk data": (lambda held: held.study + "/bulkdata", "*/*"),
    "pixel data": (lambda held: held.compressed + "/pixeldata", "*/*"),
    "one object": (lambda held: held.frames, "application/dicom"),
    "frames": (lambda held: f"{held.frames}/frames/{ALL_FRAMES}", "*/*"),
    "value": (lambda held: held.frames + "/bulkdata/7FE00010", "application/octet-stream"),
    "pictures": (lambda held: held.frames + "/rendered", 'multipart/related; type="image/png"'),
}


@pytest.mark.parametrize("what", READS)
def test_readers_that_stop_take_bounded_memory_and_leave_nothing(
    isocenter: Isocenter, held: Held, what: str
) -> None:
    path, accept = READS[what][0](held), READS[what][1]
    isocenter.search("/studies?limit=1")
    base, before = memory(isocenter), left_open(isocenter)
    request = f"GET /dicomweb{path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n"
    peers = [connect(isocenter) for _ in range(CLIENTS)]
    for peer in peers:
        peer.sendall(request.encode("ascii"))
    for peer in peers:
        with ExitStack() as unread:
            answer = unread.enter_context(peer.makefile("rb", buffering=0))
            assert answer.read(12) == b"HTTP/1.1 200"
            left = READ
            while left > 0:
                left -= len(peer.recv(left))
    quiet = Quiet(isocenter, lambda: [waiting(peer) for peer in peers])
    wait_until(quiet, PATIENCE, "the server waits for its readers")
    assert all(waiting(peer) for peer in peers)
    assert left_open(isocenter)["connections"] >= CLIENTS  # earlier ones may have ended meanwhile
    check_growth(quiet.most - base)
    vanish(peers)
    check_closed(isocenter, before)


def test_senders_that_stop_take_bounded_memory_and_leave_nothing(
    isocenter: Isocenter, held: Held
) -> None:
    image = ct_image(EDGE, EDGE)
    image.NumberOfFrames = 100
    image.PixelData = bytes(EDGE * EDGE * 2)
    file = io.BytesIO()
    image.save_as(file, enforce_file_format=True)
    begin = file.getvalue()[: -EDGE * EDGE * 2 - 4]
    declared = EDGE * EDGE * 2 * 100
    head = (
        "POST /dicomweb/studies HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Length: {declared + MIB}\r\nContent-Type: {PARTS}; boundary=x\r\n\r\n"
        "--x\r\nContent-Type: application/dicom\r\n\r\n"
    ).encode("ascii")
    base, before = memory(isocenter), left_open(isocenter)
    kept = len(isocenter.objects.contents(held.study.rpartition("/")[2]))
    staging = isocenter.data / "blobs" / ".staging"
    peers = [connect(isocenter) for _ in range(CLIENTS)]
    for peer in peers:
        peer.sendall(head + begin + declared.to_bytes(4, "little"))
        for _ in range(20):
            peer.sendall(bytes(MIB))
    quiet = Quiet(isocenter, lambda: sorted(staged(staging).items()))
    wait_until(quiet, PATIENCE, "the server waits for its senders")
    assert len(staged(staging)) == CLIENTS
    check_growth(quiet.most - base)
    vanish(peers)
    check_closed(isocenter, before)
    wait_until(lambda: not staged(staging), PATIENCE, "nothing is staged")
    assert not isocenter.objects.contents(image.StudyInstanceUID)
    assert len(isocenter.objects.contents(held.study.rpartition("/")[2])) == kept


def check_growth(growth: Counter[str]) -> None:
    """What each process took for all clients together."""
    each = {name: round(taken / CLIENTS / MIB, 1) for name, taken in growth.most_common()}
    print("MiB for each request:", each)
    assert max(growth.values(), default=0) <= CLIENTS * BOUND, each


def check_closed(isocenter: Isocenter, before: Counter[str]) -> None:
    """Nothing is open that was not open before."""
    try:
        wait_until(lambda: left_open(isocenter) <= before, PATIENCE)
    except AssertionError:
        raise AssertionError(f"still open: {left_open(isocenter) - before}") from None


def staged(folder: Path) -> dict[str, int]:
    """Sizes of files that are being written."""
    sizes = {}
    for path in folder.rglob("*"):
        try:
            if path.is_file() and path.name != "lock":
                sizes[path.name] = path.stat().st_size
        except FileNotFoundError:
            continue
    return sizes
