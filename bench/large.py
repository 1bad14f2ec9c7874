"""The rows of large things: a frame far into an object against its first one, and the metadata of a
series of thousands of instances against what is promised.

No peer takes part: what is measured is that cost does not grow with what is left out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    RLELossless,
)

from bench import ours, storescp, work
from bench.clients import JSON, Web, Wrong, wait_findable
from bench.report import Result, compare
from bench.rows import Bench
from bench.server import Server

FRAMES, FAR = 5_000, 4_999
SIDE = 128  # pixels
DIFFERENT = 50  # frames
READ = 200  # times each frame is asked for
AS_STORED = "multipart/related; type=application/octet-stream; transfer-syntax=*"
INSTANCES, METADATA_MS = 5_000, 500.0  # the promise, in place of a peer

Measure = Callable[[Bench, Server], Result]


def far_frame(name: str, syntax: UID, *, table: bool) -> Measure:
    """Milliseconds (median) of a frame far into an object, against its first one. `table`: it has
    an Extended Offset Table (PS3.3 C.7.6.3.1.8); else its Basic Offset Table is empty."""

    def measure(bench: Bench, server: Server) -> Result:
        one = _write_frames(bench.scratch / name / "frames.dcm", bench.number(), syntax, table)
        web = Web(server)
        web.store(one.folder / "frames.dcm")
        wait_findable(server, one.study, 1)
        path = f"{one.path}/instances/{one.instances[0]}/frames"
        far, first = [], []
        for number, times in ((FAR, far), (1, first)) * READ:
            started = time.perf_counter()
            length = web.drain(f"{path}/{number}", AS_STORED)
            times.append((time.perf_counter() - started) * 1000)
            if length < 1000:
                raise Wrong(f"frame {number} has {length} bytes")
        return compare(name, "ms", far, first, "frame 1", less_is_better=True)

    return measure


def _write_frames(path: Path, first: int, syntax: UID, table: bool) -> work.Series:
    """An object of `FRAMES` frames that differ."""
    path.parent.mkdir(parents=True)
    data = work.describe(first, SIDE)
    storage_class = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = storage_class
    name = work.uid(first + 2)
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = name
    data.NumberOfFrames = FRAMES
    frames = [_picture(data, number, syntax) for number in range(DIFFERENT)]
    every = [frames[number % DIFFERENT] for number in range(FRAMES)]
    data.file_meta.TransferSyntaxUID = syntax
    if not syntax.is_compressed:
        data.PixelData = b"".join(every)
    elif table:
        data.PixelData, offsets, lengths = encapsulate_extended(every)
        data.ExtendedOffsetTable, data.ExtendedOffsetTableLengths = offsets, lengths
    else:
        data.PixelData = encapsulate(every, has_bot=False)
    data["PixelData"].VR = "OB" if syntax.is_compressed else "OW"
    data.save_as(path, enforce_file_format=True)
    return work.Series(
        path.parent, data.PatientID, data.StudyInstanceUID, data.SeriesInstanceUID, (name,),
        path.stat().st_size,
    )  # fmt: skip


def _picture(data: Dataset, number: int, syntax: UID) -> bytes:
    frame = np.random.default_rng(number).integers(0, 4096, (SIDE, SIDE), dtype="<u2")
    if not syntax.is_compressed:
        return frame.tobytes()
    pixels = {
        keyword: getattr(data, name)
        for keyword, name in (
            ("rows", "Rows"), ("columns", "Columns"), ("samples_per_pixel", "SamplesPerPixel"),
            ("bits_allocated", "BitsAllocated"), ("bits_stored", "BitsStored"),
            ("pixel_representation", "PixelRepresentation"),
            ("photometric_interpretation", "PhotometricInterpretation"),
        )
    }  # fmt: skip
    return RLELosslessEncoder.encode(frame, number_of_frames=1, **pixels)


def metadata(bench: Bench, server: Server) -> Result:
    """Milliseconds of the metadata of a large series, as JSON."""
    one = bench.series(INSTANCES, 16)
    bench.load(server, one)
    times = []
    for _ in range(1 if bench.quick else 3):
        started = time.perf_counter()
        body = Web(server).get(f"{one.path}/metadata", JSON)
        times.append((time.perf_counter() - started) * 1000)
        if len(json.loads(body)) != INSTANCES:
            raise Wrong("metadata are left out")
    return compare("metadata-5000", "ms", times, [METADATA_MS], "0.5 s", less_is_better=True)


ROWS: Mapping[str, Measure] = {
    "far-frame": far_frame("far-frame", ExplicitVRLittleEndian, table=False),
    "far-frame-encapsulated": far_frame("far-frame-encapsulated", RLELossless, table=False),
    "far-frame-extended": far_frame("far-frame-extended", RLELossless, table=True),
    "metadata-5000": metadata,
}


@contextmanager
def side(bench: Bench) -> Iterator[Server]:
    """Ours, on which nothing has been stored."""
    with ours.start(bench.scratch / "large-side", (storescp.DESTINATION, 1)) as server:
        yield server
